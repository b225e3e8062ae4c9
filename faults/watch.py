"""What every node of a network says is final, followed from outside, and compared at once.

A fork, and a height told twice with two hashes by one node, is found in the moment it is told. Restarts of a node are
expected: its followers connect again for as long as the watch lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from aitoken.client.answers import Head
from aitoken.client.client import Client
from aitoken.errors import AiTokenError
from aitoken.proto.digest import DIGEST_ITEM, Digest, smpx_of
from node.tasks import cancel, spawn

RETRY_S: Final = 0.2


@dataclass(slots=True)
class Told:
    """What one node told."""

    hashes: dict[int, str] = field(default_factory=dict)
    height: int = -1
    at: float = 0.0
    """When it told of that height, monotonic."""
    times: dict[int, float] = field(default_factory=dict)
    """When it told of each height first, monotonic."""


class Watch:
    """Follows the final heads of all nodes."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.told: list[Told] = []
        self.hashes: dict[int, str] = {}
        """The final chain: the first hash anybody told at a height."""
        self.forks: list[str] = []
        self.times: list[float] = []
        """When the network reached a new height."""
        self.proposed: dict[int, float] = {}
        """When the leader of a final block began to build it, monotonic, as its header says; only on this machine."""
        self._top = -1
        self._news = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, urls: Sequence[str]) -> None:
        """Begin to follow these nodes."""
        self.urls = list(urls)
        self.told = [Told() for _ in urls]
        self._tasks = [spawn(self._follow(index), f"watch node {index}") for index in range(len(self.urls))]

    async def close(self) -> None:
        """Stop following."""
        await cancel(self._tasks)

    @property
    def top(self) -> int:
        """The greatest height anybody told of."""
        return self._top

    def height(self, index: int) -> int:
        """The height a node told of last."""
        return self.told[index].height

    async def until(self, height: int, nodes: Sequence[int], seconds: float) -> float:
        """Wait until each of `nodes` told of `height`; how many seconds that took.

        Raises:
            TimeoutError: they did not.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: all(self.told[index].height >= height for index in nodes))
        except TimeoutError:
            reached = [told.height for told in self.told]
            raise TimeoutError(f"not at {height} within {seconds:g} s: nodes are at {reached}") from None
        return time.monotonic() - started

    async def until_any(self, height: int, seconds: float) -> None:
        """Wait until anybody told of `height`.

        Raises:
            TimeoutError: nobody did.
        """
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self._top >= height)
        except TimeoutError:
            raise TimeoutError(f"nobody at {height} within {seconds:g} s, but at {self._top}") from None

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time between two new heights of the network within a span, its ends counted."""
        marks = [since, *(at for at in self.times if since < at < until), until]
        return max(later - earlier for earlier, later in pairwise(marks))

    async def _follow(self, index: int) -> None:
        while True:
            with contextlib.suppress(AiTokenError, OSError, TimeoutError):
                async for head in _heads(self.urls[index]):
                    self._note(index, head.number, head.hash)
                    if head.number not in self.proposed:
                        self.proposed[head.number] = _proposed_at(head)
                    async with self._news:
                        self._news.notify_all()
            await asyncio.sleep(RETRY_S)

    def _note(self, index: int, height: int, block_hash: str) -> None:
        told = self.told[index]
        told.hashes[height] = block_hash
        told.height, told.at = max(told.height, height), time.monotonic()
        told.times.setdefault(height, told.at)
        known = self.hashes.setdefault(height, block_hash)
        if known != block_hash:
            self.forks.append(f"height {height}: node {index} tells {block_hash}, before it was {known}")
        if height > self._top:
            self._top = height
            self.times.append(told.at)


async def _heads(url: str) -> AsyncIterator[Head]:
    client = await Client.connect(url)
    try:
        async for head in client.subscribe_heads(final=True):
            yield head
    finally:
        await client.close()


def _proposed_at(head: Head) -> float:
    """When a block was proposed; genesis, by nobody, in the distant past."""
    items = tuple(DIGEST_ITEM.decode(bytes.fromhex(item[2:])) for item in head.digest)
    stamp = smpx_of(Digest(items)).timestamp_ms / 1000 if head.number else 0.0
    return stamp - time.time() + time.monotonic()
