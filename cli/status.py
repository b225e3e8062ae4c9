"""How a node is, asked over JSON-RPC and told in words; used by `node status` and `doctor`."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from aitoken.errors import Rejected
from cli.names import named, names_of_validators
from cli.session import Client

MOVING_SECONDS: Final = 12
"""Twice the longest distance of two blocks on an idle chain (6 s)."""
_POLL_SECONDS: Final = 0.25


async def look(client: Client) -> dict[str, Any]:
    """Ask a node everything that tells how it is; what it does not serve is None."""
    health = await client.request("system_health")
    return {
        "chain": await client.request("system_chain"),
        "version": await client.request("system_version"),
        "name": await client.request("system_name"),
        "genesis": await client.request("chain_getBlockHash", [0]),
        "peers": health["peers"],
        "syncing": health["isSyncing"],
        "roles": await _maybe(client, "system_nodeRoles"),
        "best": await head_number(client, final=False),
        "final": await head_number(client, final=True),
        "pending": len(await _maybe(client, "author_pendingExtrinsics") or ()),
        "sync": await _maybe(client, "system_syncState"),
        "round": _snake_case(await _maybe(client, "smpx_roundState")),
        "validators": await _names(client),
    }


async def head_number(client: Client, *, final: bool) -> int:
    """The height of the best or of the last final block."""
    wanted = [await client.request("chain_getFinalizedHead")] if final else []
    header = await client.request("chain_getHeader", wanted)
    return int(header["number"], 16)


async def is_moving(client: Client, seconds: float = MOVING_SECONDS) -> bool:
    """Whether another block becomes final soon."""
    start = await head_number(client, final=True)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        if await head_number(client, final=True) > start:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


def in_words(facts: dict[str, Any]) -> tuple[list[str], bool]:
    """Lines a person reads, and whether all is well."""
    waiting = facts["best"] - facts["final"]
    lines = [
        f"{facts['name'] or 'node'} {facts['version']} on {facts['chain']}",
        f"genesis {facts['genesis']}",
        f"final block {facts['final']:_}, best block {facts['best']:_}"
        + (f" ({waiting} not final yet)" if waiting > 0 else ""),
        f"{facts['peers']} peer{'' if facts['peers'] == 1 else 's'}, {facts['pending']} transactions waiting",
    ]
    well = True
    if facts["syncing"]:
        target = (facts.get("sync") or {}).get("highestBlock")
        lines.append("it is catching up" + (f" with block {target:_}" if isinstance(target, int) else ""))
        well = False
    if facts["peers"] == 0 and not _is_alone(facts):
        lines.append("it has no peers: check --bootnode, the network and that all nodes have the same genesis")
        well = False
    if (facts.get("round") or {}).get("stopped"):
        lines.append("it stopped voting after an alarm: read its log before anything else")
        well = False
    lines += round_in_words(facts.get("round"), facts.get("validators") or [])
    return lines, well


def trouble_in(lines: list[str]) -> list[str]:
    """Of the lines of `in_words`, those about the chain and the network."""
    return [line for line in lines[2:] if not line.startswith(("consensus:", "  "))]


def round_in_words(state: dict[str, Any] | None, names: list[str]) -> list[str]:
    """What the consensus is doing, and who keeps it waiting; nothing when the node does not say.

    Args:
        state: the node's answer to `smpx_roundState`.
        names: of the validators, by index.
    """
    if not state:
        return []
    leader = state.get("leader")
    who = named([leader], names) if isinstance(leader, int) else "unknown"
    shares = {kind: _share(state, f"{kind}_weight") for kind in ("notarize", "nullify", "finalize")}
    votes = ", ".join(f"{kind} {share} %" for kind, share in shares.items() if share)
    lines = [
        f"consensus: epoch {state.get('epoch')}, view {state.get('view')}, leader is {who}",
        f"  stake heard in this view: {votes or 'none yet'}; more than 66 % make a certificate",
        f"  this node {'votes' if state.get('voting') else 'does not vote'}",
    ]
    return lines + [f"  {line}" for line in held_back_in_words(state, names)]


def held_back_in_words(state: dict[str, Any], names: list[str]) -> list[str]:
    """What finality waits for, by the names of those who keep it waiting, and what keeps this node from voting."""
    reason = holds_back(state)
    lines = [f"finality waits: {reason}"] if reason else ["nothing holds finality back"]
    if reason and state.get("silent"):
        lines.append(f"no vote in this view of {named(state['silent'], names)}")
    if state.get("unreachable") and (reason or state.get("voting")):
        lines.append(f"no connection from this node to {named(state['unreachable'], names)}")
    if state.get("signer_lost"):
        lines.append("this node's signer does not answer: it follows without voting")
    if state.get("alarms"):
        lines.append(f"this node raised an alarm and signs nothing: {', '.join(state['alarms'])}; read its log")
    return lines


def holds_back(state: dict[str, Any] | None) -> str:
    """What finality waits for in the node's own words; empty when nothing is overdue."""
    words = str((state or {}).get("holds_back") or "")
    return "" if words == "nothing" else words


def _share(state: dict[str, Any], name: str) -> int:
    """A weight in percent of the whole stake, rounded down."""
    weight, total = state.get(name), state.get("total")
    return weight * 100 // total if isinstance(weight, int) and isinstance(total, int) and total else 0


def _is_alone(facts: dict[str, Any]) -> bool:
    """Whether a node without peers is well all the same: a chain of one validator moves by itself."""
    state = facts.get("round") or {}
    return bool(state.get("voting")) and not holds_back(state)


def _snake_case(answer: Any) -> dict[str, Any] | None:
    """Names as the node's own code spells them, whichever way they came over JSON."""
    if not isinstance(answer, dict):
        return None
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower(): value for name, value in answer.items()}


async def _names(client: Client) -> list[str]:
    try:
        return await names_of_validators(client)
    except Rejected:
        return []


async def _maybe(client: Client, method: str) -> Any:
    try:
        return await client.request(method)
    except Rejected:
        return None
