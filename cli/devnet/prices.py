"""The price of a devnet's token: made up, reported by an account of each validator once a window.

So books in money work on a devnet without a person touching them. It is a test price, and tools show it as one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Final

from aitoken.errors import AiTokenError
from cli.devnet.plan import Plan
from cli.devnet.processes import NodeProcess
from cli.session import Client, Connect

LOOKS_A_WINDOW: Final = 4
RETRY_SECONDS: Final = 1
DECIMALS_MAX: Final = 12


def parse_price(text: str) -> tuple[int, int] | None:
    """Read a decimal price such as "0.25" as mantissa and scale; None where it is none or zero."""
    whole, _, part = text.partition(".")
    digits = whole + part
    if not (digits.isascii() and digits.isdigit() and whole and len(part) <= DECIMALS_MAX and len(digits) <= 18):
        return None
    return (int(digits), len(part)) if int(digits) else None


def feeders_of(plan: Plan) -> tuple[list[int], list[str]]:
    """The feeds of a devnet's genesis, and the development accounts that report for its validators."""
    oracle = plan.spec.get("genesis", {}).get("oracle", {})
    feeds = [int(feed["currency"]) for feed in oracle.get("feeds", [])]
    return feeds, [uri for uri in oracle.get("feeders", {}).values() if uri.startswith("//")]


async def report(plan: Plan, nodes: list[NodeProcess], connect: Connect, price: tuple[int, int]) -> None:
    """Report a price for all feeds and validators in every window, over whichever node answers, until cancelled."""
    from aitoken.crypto.derive import pair_from_uri

    feeds, uris = feeders_of(plan)
    pairs = [pair_from_uri(uri) for uri in uris]
    if not feeds or not pairs:
        return
    while True:
        for node in [node for node in nodes if node.alive]:
            with contextlib.suppress(AiTokenError, OSError, TimeoutError):
                client = await connect(node.plan.url)
                try:
                    await _report_windows(client, feeds, pairs, price)
                finally:
                    await client.close()
        await asyncio.sleep(RETRY_SECONDS)


async def _report_windows(client: Client, feeds: list[int], pairs: list[Any], price: tuple[int, int]) -> None:
    window_ms = int(client.constant("Oracle", "Window"))
    last = 0
    while True:
        now_ms = int(await client.query("Timestamp", "Now"))
        if now_ms // window_ms != last:
            last = now_ms // window_ms
            for pair in pairs:
                for feed in feeds:
                    call = client.call(
                        "Oracle", "submit", feed=feed, price={"mantissa": price[0], "scale": price[1]},
                        observed_at=int(time.time() * 1000),
                    )  # fmt: skip
                    await client.submit(call, pair, wait="none")
        await asyncio.sleep(window_ms / 1000 / LOOKS_A_WINDOW)
