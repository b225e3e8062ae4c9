"""What the chain says of a validator, and the calls by which one comes and goes; by names of the metadata alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cli.amounts import show_amount
from cli.session import Client
from cli.wallet import address_of

PERBILL_PER_PERCENT = 10**7


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a stash stands."""

    stash: str
    bonded: int
    active: int
    unlocking: list[dict[str, int]]
    validates: bool
    elected: bool
    queued: bool
    """Whether it is in the set of the session after this one."""
    keys: str
    """Registered session keys, 0x-hex; empty without."""
    keys_here: bool | None
    """Whether the asked node signs with them; None where it does not tell."""
    points: int
    era: int
    session: int


async def standing_of(client: Client, account: bytes) -> Standing:
    """Ask the chain about a stash."""
    stash = address_of(account)
    ledger = await client.query("Staking", "Ledger", stash)
    active = await client.query("Staking", "ActiveEra")
    era = int(active["index"]) if active else 0
    rewards = await client.query("Staking", "ErasRewardPoints", era)
    keys = keys_hex(await client.query("Session", "NextKeys", stash))
    return Standing(
        stash=stash,
        bonded=int(ledger["total"]) if ledger else 0,
        active=int(ledger["active"]) if ledger else 0,
        unlocking=[
            {"value": int(part["value"]), "era": int(part["era"])} for part in (ledger or {}).get("unlocking", ())
        ],
        validates=await is_candidate(client, stash),
        elected=stash in (await client.query("Session", "Validators") or ()),
        queued=stash in [who for who, _ in await client.query("Session", "QueuedKeys") or ()],
        keys=keys,
        keys_here=await keys_are_here(client, keys) if keys else None,
        points=points_of(rewards, stash),
        era=era,
        session=int(await client.query("Session", "CurrentIndex") or 0),
    )


async def is_candidate(client: Client, stash: str) -> bool:
    """Whether the stash offers itself as a validator."""
    query_map = getattr(client, "query_map", None)
    if query_map is None:
        return bool(await client.query("Staking", "Validators", stash))
    async for keys, _ in query_map("Staking", "Validators"):
        if keys[0] == stash:
            return True
    return False


async def keys_are_here(client: Client, keys: str) -> bool | None:
    """Whether the asked node signs with registered keys; None where it serves no unsafe methods."""
    from aitoken.errors import Rejected

    try:
        return bool(await client.request("author_hasSessionKeys", [keys]))
    except Rejected:
        state = await client.request("smpx_roundState")
        key = state.get("key") if isinstance(state, dict) else None
        return None if key is None else key == keys[:66]


def keys_hex(keys: Any) -> str:
    """Session keys as the metadata decodes them, as 0x-hex."""
    if not keys:
        return ""
    parts = keys.values() if isinstance(keys, dict) else keys
    return "0x" + b"".join(bytes(part) for part in parts).hex()


def points_of(rewards: Any, stash: str) -> int:
    """The points of a stash in an era's reward points."""
    individual = (rewards or {}).get("individual", {}) if isinstance(rewards, dict) else {}
    pairs = individual.items() if isinstance(individual, dict) else individual
    return next((int(points) for who, points in pairs if who == stash), 0)


def in_words(standing: Standing) -> list[str]:
    """Lines a person reads."""
    lines = [f"stash {standing.stash}, era {standing.era}, session {standing.session}"]
    if not standing.bonded:
        lines.append("nothing is bonded: aitoken validator setup STASH AMOUNT")
    else:
        lines.append(f"bonded {show_amount(standing.bonded)}, of it {show_amount(standing.active)} active")
    for part in standing.unlocking:
        when = "free now: aitoken validator exit" if part["era"] <= standing.era else f"free in era {part['era']}"
        lines.append(f"  {show_amount(part['value'])} leaving, {when}")
    lines.append(_role(standing))
    if not standing.keys:
        lines.append("no session keys are registered: aitoken validator rotate-keys STASH")
    elif standing.keys_here is None:
        lines.append(
            f"session keys {standing.keys[:18]}...; whether this node has them it does not tell (--unsafe-rpc)"
        )
    elif standing.keys_here:
        lines.append(f"session keys {standing.keys[:18]}... are this node's")
    else:
        lines.append(f"session keys {standing.keys[:18]}... are NOT this node's: it cannot vote for this stash")
    lines.append(f"{standing.points} reward points in this era")
    return lines


def _role(standing: Standing) -> str:
    if standing.elected and not standing.validates:
        return "in the present set of validators, and leaving it"
    if standing.elected:
        return "elected: in the present set of validators"
    if standing.queued:
        return "elected: in the set from the next session on"
    if standing.validates:
        return "a candidate, not elected (yet): elections are held once an era"
    return "not a candidate"
