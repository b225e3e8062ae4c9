"""A client that sends one transfer a second, whatever else happens, and wants every one of them final."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from aitoken.client.answers import Receipt
from aitoken.client.client import Client
from aitoken.crypto.derive import pair_from_uri
from node.tasks import spawn

INTERVAL_S = 1.0
PATIENCE_S = 40.0


@dataclass
class Canary:
    """Sends from one account, in order."""

    client: Client
    suri: str
    receipts: list[Receipt] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """From each submission to its finality."""
    sent: int = 0

    async def sing(self, until: float) -> None:
        """Send until `until` (monotonic seconds), then wait for what is under way.

        Raises:
            AiTokenError: a transfer was refused, dropped, or not seen final in time.
        """
        pair, dest = pair_from_uri(self.suri), pair_from_uri("//Eve").public
        nonce = await self.client.nonce(pair.public)
        call = self.client.call("Balances", "transfer_keep_alive", dest=dest, value=10**10)
        waiting = []
        while time.monotonic() < until:
            raw = await self.client.sign(call, pair, nonce=nonce + self.sent)
            waiting.append(spawn(self._send(raw), "canary"))
            self.sent += 1
            await asyncio.sleep(INTERVAL_S)
        await asyncio.gather(*waiting)

    async def _send(self, raw: bytes) -> None:
        started = time.monotonic()
        self.receipts.append(await self.client.send(raw, "final", timeout_seconds=PATIENCE_S))
        self.seconds.append(time.monotonic() - started)
