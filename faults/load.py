"""Transfers at a steady rate, each sent again until it is final, and a book of those that are.

Each account has one transfer under way. Which blocks are final is taken from `Watch`; their bodies are read from
whichever node has them. What the book holds was told final by a node, so it must be there at the end, on every node.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from aitoken.client.client import Client
from aitoken.client.errors import NodeRefused
from aitoken.crypto.derive import pair_from_uri
from aitoken.errors import AiTokenError
from faults.watch import Watch
from node.tasks import cancel, spawn

FUNDS: Final = "1_000 AIT"
VALUE: Final = 10**9
AGAIN_S: Final = 3.0
"""A transfer that is not final by then is sent again: the node that took it may have lost its pool."""
SETTLE_S: Final = 180.0
"""What is under way in the end has so long; it is sent again every few seconds until it is final."""
RETRY_S: Final = 0.1
ANSWER_S: Final = 2.0
SUBMITTING_MAX: Final = 32


@dataclass(slots=True)
class Transfer:
    """A signed transfer under way."""

    raw: str
    born: float
    sent: float = 0.0


class Load:
    """Senders, and the book."""

    def __init__(self, watch: Watch, accounts: int, random: Random) -> None:
        self._watch = watch
        self._random = random
        self._suris = [f"//Load//{index}" for index in range(accounts)]
        self._pairs = [pair_from_uri(suri) for suri in self._suris]
        self._under_way: dict[int, Transfer] = {}
        self._nonces = [0] * accounts
        self._clients: dict[str, Client] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._submitting: set[asyncio.Task[None]] = set()
        self._chain: Any = None
        self._next_height = 1
        self.final: dict[str, int] = {}
        """Transfer -> height of the final block that holds it."""
        self.latencies: list[float] = []
        self.submissions = 0
        self.refusals: dict[str, int] = {}
        self.is_paused = False

    @property
    def balances(self) -> dict[str, str]:
        """What the genesis gives the senders."""
        return dict.fromkeys(self._suris, FUNDS)

    @property
    def under_way(self) -> int:
        """Transfers that are not final yet."""
        return len(self._under_way)

    async def start(self, url: str, rate: float) -> None:
        """Begin to send; one node must answer at `url`."""
        client = await Client.connect(url)
        self._chain = client.chain
        await client.close()
        self._tasks = [spawn(self._send(rate), "load"), spawn(self._keep_book(), "book")]

    async def close(self) -> None:
        """Stop."""
        await cancel([*self._tasks, *self._submitting])
        for client in self._clients.values():
            await client.close()

    async def settle(self, seconds: float) -> list[str]:
        """Send nothing new, let what is under way become final, then two more blocks everywhere; what did not come."""
        self.is_paused = True
        try:
            async with asyncio.timeout(seconds):
                while self._under_way:
                    await asyncio.sleep(RETRY_S)
            await self._watch.until(self._watch.top + 2, range(len(self._watch.urls)), seconds)
        except TimeoutError as late:
            why = str(late) or f"not within {seconds:g} s"
            return [f"in the end: {why}; {self.under_way} transfers are not final; refused: {self.refusals}"]
        return []

    async def check(self, top: int) -> list[str]:
        """What is not on every node as it was told: block hashes up to `top`, transfers, nonces."""
        wrong: list[str] = []
        by_height: dict[int, set[str]] = {}
        for raw, height in self.final.items():
            by_height.setdefault(height, set()).add(raw)
        for url in self._watch.urls:
            client = await self._client(url)
            for height in range(1, top + 1):
                found = await client.request("chain_getBlockHash", [height])
                told = self._watch.hashes.get(height)
                if told is not None and found != told:
                    wrong.append(f"{url} has {found} at height {height}, told was {told}")
                if height in by_height:
                    block = await client.request("chain_getBlock", [found])
                    missing = by_height[height] - set(block["block"]["extrinsics"])
                    wrong += [f"{url} lost {raw[:40]}... of height {height}" for raw in missing]
            for pair, nonce in zip(self._pairs, self._nonces, strict=True):
                account = await client.account(pair.public)
                if account["nonce"] != nonce:
                    wrong.append(f"{url} counts {account['nonce']} transfers of an account that sent {nonce}")
        return wrong

    # -- sending

    async def _send(self, rate: float) -> None:
        turn = 0
        while True:
            now = time.monotonic()
            late = next((each for each in self._under_way.values() if now - each.sent > AGAIN_S), None)
            turn = (turn + 1) % len(self._pairs)
            if late is None and turn not in self._under_way and not self.is_paused:
                late = self._under_way[turn] = Transfer(self._sign(turn), now)
            if late is not None and len(self._submitting) < SUBMITTING_MAX:
                late.sent = now
                task = spawn(self._submit(late.raw), "submit")
                self._submitting.add(task)
                task.add_done_callback(self._submitting.discard)
            await asyncio.sleep(1 / rate)

    def _sign(self, index: int) -> str:
        dest = self._pairs[(index * 7 + 1) % len(self._pairs)].public
        call = self._chain.call("Balances", "transfer_keep_alive", dest=dest, value=VALUE)
        return "0x" + bytes(self._chain.sign(call, self._pairs[index], nonce=self._nonces[index])).hex()

    async def _submit(self, raw: str) -> None:
        self.submissions += 1
        try:
            await self._ask(self._random.choice(self._watch.urls), "author_submitExtrinsic", [raw])
        except NodeRefused as refused:  # most often: it is there already, or just became final
            name = str(refused)[:50]
            self.refusals[name] = self.refusals.get(name, 0) + 1

    # -- the book

    async def _keep_book(self) -> None:
        while True:
            height = self._next_height
            body = await self._body(height) if height <= self._watch.top else None
            if body is None:
                await asyncio.sleep(RETRY_S)
                continue
            self._next_height += 1
            for index, transfer in list(self._under_way.items()):
                if transfer.raw in body:
                    del self._under_way[index]
                    self._nonces[index] += 1
                    self.final[transfer.raw] = height
                    self.latencies.append(time.monotonic() - transfer.born)

    async def _body(self, height: int) -> set[str] | None:
        """The transactions of a final block, from the first node that has it."""
        for url, told in zip(self._watch.urls, self._watch.told, strict=True):
            if told.height >= height:
                block_hash = self._watch.hashes.get(height) or await self._ask(url, "chain_getBlockHash", [height])
                block = await self._ask(url, "chain_getBlock", [block_hash]) if block_hash else None
                if block is not None:
                    return set(block["block"]["extrinsics"])
        return None

    # -- connections

    async def _ask(self, url: str, method: str, params: list[Any]) -> Any:
        """Ask a node; None when it does not answer, and then the next question finds a new connection.

        Raises:
            NodeRefused: it answers with an error.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                return await (await self._client(url)).request(method, params)
        except NodeRefused:
            raise
        except (AiTokenError, OSError, TimeoutError):
            client = self._clients.pop(url, None)
            if client is not None:
                task = spawn(client.close(), "close")  # a node that is frozen does not say goodbye
                self._submitting.add(task)
                task.add_done_callback(self._submitting.discard)
            return None

    async def _client(self, url: str) -> Client:
        client = self._clients.get(url)
        if client is None:
            client = await Client.connect(url)
            if url in self._clients:  # somebody was faster
                await client.close()
            self._clients.setdefault(url, client)
        return self._clients[url]
