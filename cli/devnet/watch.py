"""What a person sees of a running devnet: where to connect, who has money, and a line for each final block."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import click

from aitoken.errors import AiTokenError
from cli.amounts import show_amount
from cli.devnet.plan import Plan
from cli.devnet.processes import NodeProcess
from cli.session import Connect
from cli.wallet import account_of, address_of

BROWSER_WALLET = "https://polkadot.js.org/apps/?rpc="
RETRY_SECONDS = 0.5


def addresses(plan: Plan) -> str:
    """Where wallets and programs connect."""
    rows = [
        f"  node {n.index}  {n.name:<12} ws://127.0.0.1:{n.rpc_port}  http://127.0.0.1:{n.rpc_port}" for n in plan.nodes
    ]
    first = plan.nodes[0].url
    return "\n".join(["nodes", *rows, "", f"browser wallet: {BROWSER_WALLET}{first}"])


def pace(plan: Plan) -> str:
    """How fast blocks come and how long a session of validators is."""
    from chain.spec import parse_spec

    params = parse_spec(plan.spec).params
    block, idle, session = params.block_time_ms, params.idle_interval_ms, params.session_blocks
    return (
        f"pace: a block every {block / 1000:g} s while transactions wait, every {idle / 1000:g} s otherwise; "
        f"{session} blocks are a session of validators"
    )


def dev_accounts(plan: Plan) -> list[str]:
    """The development accounts of the genesis, as URIs."""
    balances = plan.spec.get("genesis", {}).get("balances") or {}
    return [name for name in balances if name.startswith("//") and name.count("//") == 1]


async def accounts(plan: Plan, nodes: list[NodeProcess], connect: Connect) -> str:
    """The development accounts with what they own now, as the first node that answers says it."""
    uris = dev_accounts(plan)
    for node in [node for node in nodes if node.alive]:
        with contextlib.suppress(AiTokenError, OSError, TimeoutError):
            amounts = await _balances(node.plan.url, uris, connect)
            rows = [f"  {uri:<13} {address_of(account_of(uri))}  {show_amount(amounts[uri])}" for uri in uris]
            return "\n".join(["development accounts (everybody knows their secrets)", *rows])
    return "development accounts: no node answers yet"


async def _balances(url: str, uris: list[str], connect: Connect) -> dict[str, int]:
    client = await connect(url)
    try:
        found = {uri: await client.account(address_of(account_of(uri))) for uri in uris}
    finally:
        await client.close()
    return {uri: int(_get(_get(account, "data"), "free")) for uri, account in found.items()}


async def follow(nodes: list[NodeProcess], connect: Connect, show: Callable[[str], None]) -> None:
    """Show a line for each final block, from whichever node answers, until cancelled."""
    seen, last_s = -1, 0.0
    while True:
        for node in [node for node in nodes if node.alive]:
            with contextlib.suppress(AiTokenError, OSError, TimeoutError):
                async for number, line in _lines(node, connect):
                    if number > seen:
                        now_s = time.monotonic()
                        gap = f"  {now_s - last_s:6.2f} s" if last_s else ""
                        seen, last_s = number, now_s
                        show(line + gap)
        await asyncio.sleep(RETRY_SECONDS)


async def _lines(node: NodeProcess, connect: Connect) -> AsyncIterator[tuple[int, str]]:
    client = await connect(node.plan.url)
    try:
        async for head in client.subscribe_heads(final=True):
            block = await client.request("chain_getBlock", [head.hash])
            extrinsics = len(block["block"]["extrinsics"]) if block else 0
            plural = "" if extrinsics == 1 else "s"
            yield head.number, f"final #{head.number}  {head.hash[:18]}…  {extrinsics} extrinsic{plural}"
    finally:
        await client.close()


def _get(record: Any, name: str) -> Any:
    return record[name] if isinstance(record, dict) else getattr(record, name)


def show(text: str) -> None:
    """Write a result line at once, also into a pipe."""
    click.echo(text)
