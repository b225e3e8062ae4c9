"""Many calls of one account, each of which may fail for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitoken.client.chain import Call
from aitoken.client.client import Client
from aitoken.crypto.signature import Signer

CALLS_A_TRANSACTION: Final = 50


def packed(client: Client, calls: Sequence[Call]) -> list[Call]:
    """Pack calls, so that one that fails does not undo the others."""
    parts = [calls[at : at + CALLS_A_TRANSACTION] for at in range(0, len(calls), CALLS_A_TRANSACTION)]
    return [part[0] if len(part) == 1 else client.call("Utility", "force_batch", calls=list(part)) for part in parts]


async def send_in_order(client: Client, pair: Signer, calls: Sequence[Call]) -> None:
    """Send each as a transaction, one after the other, and wait until the last is in a block."""
    if not calls:
        return
    first = await client.nonce(pair)
    for at, each in enumerate(calls[:-1]):
        await client.submit(each, pair, nonce=first + at)
    await client.submit(calls[-1], pair, wait="in_block", nonce=first + len(calls) - 1)
