"""Block sync: always on, beside consensus, never a mode.

The target is the highest final height a peer told of, or a finalization that consensus could not follow. While we are
below it, ranges of final blocks are asked for, one at a time and a few ahead of what is being executed: a range is
checked (links, bodies, and that its certificate names its last block), expected by whoever checks signatures ahead
(`node.chain.ahead`), handed to consensus, which checks the certificate, executes and commits it as one, and forgotten
only when it is committed.

A peer is never dropped for being slow or for having nothing; only for data that does not fit. Who claims a height and
does not deliver is not believed any more: claims alone must not make a node think it is behind. All is bounded: two
ranges are held, whatever peers push.

Serving reads the chain view, as much as fits into one answer of half a MiB, cut where an epoch ends (the certificate of
a later epoch could not be checked before the blocks are executed) and where a certificate is kept. Of old blocks only
one certificate in some hundred is kept: then the answer has none of its own blocks, but the headers up to the next
certified one, and the asker puts such answers of one peer together.

Source: section 11 of the consensus paper.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Final

from aitoken.errors import Rejected
from aitoken.proto.digest import smpx_of
from aitoken.proto.header import Header
from aitoken.proto.votes import FINALIZE, Certificate
from consensus.types import Block
from node.bodies import Bodies
from node.driver.headers import read_block
from node.net.channels import KIB, MIB, Channel
from node.net.compact import check_body
from node.net.messages import Blocks, GetBlocks
from node.net.peer import Peer
from node.net.ports import Ahead, Consensus, Neighbours
from node.net.score import Deed
from node.net.wire import TRAIL_MAX
from node.ports import ChainView
from node.tasks import cancel, spawn

RANGE_COUNT: Final = 64
ANSWER_SIZE_MAX: Final = 512 * KIB
SERVED_COUNT_MAX: Final = 128
WAITING_SIZE_MAX: Final = 2048 * KIB
REQUEST_DEADLINE_S: Final = 5.0
RANGES_AHEAD: Final = 2
"""Ranges that wait, besides the one being executed and the one being fetched."""
COMMIT_CHECK_S: Final = 0.005
COMMIT_CHECKS: Final = 50
"""Looks at the committed height before a range is offered again."""
COMMIT_DEADLINE_S: Final = 30.0
IDLE_S: Final = 2.0
"""How long to wait when no peer has what we need."""
HELD_SIZE_MAX: Final = 256 * MIB
"""Of blocks that wait for their certificate."""
GAP: Final = 2
"""Consensus itself closes smaller gaps."""

log = logging.getLogger(__name__)


class WrongRange(Rejected):
    """Blocks that do not link, do not start where asked, or are not the certificate's."""

    code = "net.wrong_range"


@dataclass(frozen=True, slots=True)
class Range:
    """Consecutive blocks, the last one certified or followed by one that is."""

    peer: Peer
    blocks: tuple[Block, ...]
    certificate: Certificate

    @property
    def is_complete(self) -> bool:
        """Whether the last block is the certified one; else the certificate is of a later one, linked by headers."""
        return self.blocks[-1].hash == self.certificate.hash

    @property
    def end(self) -> int:
        """The height of the last block."""
        return self.blocks[-1].number

    def above(self, number: int) -> Range | None:
        """What is left of it where consensus went on to a height by itself; None when nothing is."""
        blocks = self.blocks[max(0, number + 1 - self.blocks[0].number) :]
        return replace(self, blocks=blocks) if blocks else None


class BlockSync:
    """Catches up with the final chain, and helps others to."""

    def __init__(self, chain: ChainView, neighbours: Neighbours, bodies: Bodies | None = None) -> None:
        self._chain = chain
        self._neighbours = neighbours
        self._bodies = bodies
        self._committer: Consensus | None = None
        self._ahead: Ahead | None = None
        self._heights: dict[Peer, int] = {}
        self._disbelieved: set[Peer] = set()
        self._needed = 0
        self._wake = asyncio.Event()
        self._request = 0
        self._asked: dict[int, tuple[Peer, int, asyncio.Future[Range | None]]] = {}
        self._turn = 0

    def attach(self, committer: Consensus) -> None:
        """Set who takes the blocks; before `run`."""
        self._committer = committer

    def attach_ahead(self, ahead: Ahead) -> None:
        """Set who begins with blocks before they are offered to consensus; before `run`."""
        self._ahead = ahead

    # -- what is known

    @property
    def highest_seen(self) -> int:
        """The greatest final height a connected peer told of."""
        return max(self._heights.values(), default=0)

    @property
    def gap(self) -> int:
        """How many blocks we are behind what was told."""
        own = self._committer.committed.number if self._committer is not None else self._chain.finalized.number
        return max(0, max(self.highest_seen, self._needed) - own)

    def note_height(self, peer: Peer, number: int) -> None:
        """A peer says what is final there."""
        if peer not in self._disbelieved and number > self._heights.get(peer, -1):
            self._heights[peer] = number
            if self.gap > GAP:
                self._wake.set()

    def behind(self, certificate: Certificate) -> None:
        """Consensus knows of a finalization it cannot follow by itself."""
        del certificate  # its block is unknown, so its height is: ask for whatever comes next
        own = self._committer.committed.number if self._committer is not None else 0
        self._needed = max(self._needed, own + 1)
        self._wake.set()

    def closed(self, peer: Peer) -> None:
        """Forget a peer, and ask somebody else."""
        self._heights.pop(peer, None)
        self._disbelieved.discard(peer)
        for asked, _, answer in self._asked.values():
            if asked is peer and not answer.done():
                answer.set_result(None)

    # -- catching up

    async def run(self) -> None:
        """Catch up whenever there is something to catch up with."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._catch_up()
            if self.gap > GAP:  # nobody could help just now
                await asyncio.sleep(IDLE_S)
                self._wake.set()

    async def _catch_up(self) -> None:
        committer = self._committer
        if committer is None:
            return
        try:
            while self._target > (before := committer.committed.number):
                await self._take_ranges(committer)
                if committer.committed.number == before:
                    return
        finally:
            if self._ahead is not None:
                await self._ahead.rest()

    @property
    def _target(self) -> int:
        return max(self.highest_seen, self._needed)

    async def _take_ranges(self, committer: Consensus) -> None:
        """Commit one range after another, until there is no next one or one is not taken."""
        ranges: asyncio.Queue[Range | None] = asyncio.Queue(RANGES_AHEAD)
        fetching = spawn(self._fetch_ranges(committer.committed.number + 1, ranges), "net: next ranges")
        try:
            while (found := await ranges.get()) is not None:
                rest = found.above(committer.committed.number)
                if rest is not None and not await self._commit(committer, rest):
                    break
        finally:
            await cancel([fetching])
            if self._ahead is not None:
                self._ahead.forget()

    async def _fetch_ranges(self, start: int, ranges: asyncio.Queue[Range | None]) -> None:
        """Put the ranges from `start` on into the queue, as long as peers give them, and None at the end."""
        while start <= self._target:
            found = await self._fetch(start)
            if found is not None and not found.is_complete:
                found = await self._complete(found)
            if found is None:
                break  # somebody else is asked next time
            if self._ahead is not None:
                self._ahead.expect(found.blocks)
            await ranges.put(found)
            start = found.end + 1
        await ranges.put(None)

    async def _commit(self, committer: Consensus, found: Range) -> bool:
        """Offer the range until it is committed; between two epochs consensus cannot take it for a moment."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + COMMIT_DEADLINE_S
        first, committed = found.blocks[0], committer.committed
        if first.number != committed.number + 1:
            return False
        if first.parent_hash != committed.hash:
            self._neighbours.punish(found.peer, Deed.BAD_BLOCK, "a range that does not continue the final chain")
            return False
        while committer.committed.number < found.end and loop.time() < deadline:
            if committer.core.epoch.index < found.certificate.epoch:  # it is about to begin
                await asyncio.sleep(COMMIT_CHECK_S)
                continue
            try:
                committer.synced(found.blocks, found.certificate)
            except Rejected as bad:
                self._neighbours.punish(found.peer, Deed.BAD_BLOCK, f"{bad.code}: {bad}")
                return False
            before = committer.committed.number
            for _ in range(COMMIT_CHECKS):
                await asyncio.sleep(COMMIT_CHECK_S)
                if committer.committed.number >= found.end:
                    return True
            if committer.committed.number > before:
                deadline = loop.time() + COMMIT_DEADLINE_S
        return committer.committed.number >= found.end

    async def _fetch(self, start: int) -> Range | None:
        """Ask peers in turn for the range that starts at `start`; None when nobody gave it."""
        candidates = [
            peer
            for peer in self._neighbours.open_peers()
            if self._heights.get(peer, 0) >= start or self._needed >= start
        ]
        wanted = [peer for peer in candidates if self._neighbours.is_wanted(peer)] or candidates
        wanted.sort(key=lambda peer: -self._heights.get(peer, 0))
        self._turn += 1
        for step in range(len(wanted)):
            peer = wanted[(self._turn + step) % len(wanted)]
            found = await self.ask(peer, start)
            if found is not None:
                return found
            if self._heights.pop(peer, 0) >= start:
                self._disbelieved.add(peer)  # what it claims cannot be had from it, so it counts for nothing
        return None

    async def _complete(self, found: Range) -> Range | None:
        """Ask the same peer for what lies between a range and its certificate, so that it answers for all of it."""
        blocks = list(found.blocks)
        size = 0
        while len(blocks) < TRAIL_MAX and size <= HELD_SIZE_MAX:
            following = await self.ask(found.peer, blocks[-1].number + 1)
            if following is None:
                break
            if following.blocks[0].parent_hash != blocks[-1].hash:
                self._neighbours.punish(found.peer, Deed.BAD_BLOCK, "a range that does not continue its own")
                break
            blocks += following.blocks
            size += sum(len(block.header) + sum(map(len, block.extrinsics)) for block in following.blocks)
            if following.is_complete:
                return Range(found.peer, tuple(blocks), following.certificate)
        self._heights.pop(found.peer, None)
        self._disbelieved.add(found.peer)
        return None

    async def ask(self, peer: Peer, start: int) -> Range | None:
        """Ask one peer for the range that starts at `start`; None when it does not give it."""
        self._request = (self._request + 1) % 2**32
        request = self._request
        answer: asyncio.Future[Range | None] = asyncio.get_running_loop().create_future()
        self._asked[request] = (peer, start, answer)
        peer.allow_full(Channel.SYNC)
        try:
            if not peer.send(GetBlocks(request, start, RANGE_COUNT)):
                return None
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                return await answer
        except TimeoutError:
            self._neighbours.punish(peer, Deed.TIMED_OUT)
            return None
        finally:
            del self._asked[request]

    def on_blocks(self, peer: Peer, message: Blocks) -> None:
        """Take an answer. Blocks that do not fit cost half of what a peer can lose: the fault might be ours."""
        asked = self._asked.get(message.request)
        if asked is None or asked[0] is not peer:
            self._neighbours.punish(peer, Deed.UNASKED)
            return
        _, start, answer = asked
        if answer.done():
            return
        try:
            answer.set_result(_read_range(peer, start, message, self._bodies) if message.blocks else None)
        except Rejected as bad:
            answer.set_result(None)
            self._neighbours.punish(peer, Deed.BAD_BLOCK, f"{bad.code}: {bad}")

    # -- serving

    def on_get_blocks(self, peer: Peer, message: GetBlocks) -> None:
        """Send a range of final blocks."""
        if peer.waiting_bytes > WAITING_SIZE_MAX:
            return  # it asks faster than it reads
        blocks, certificate = self._collect(message.start, min(message.count, SERVED_COUNT_MAX))
        trail: tuple[bytes, ...] = ()
        if blocks and not certificate:
            trail, certificate = self._trail(message.start + len(blocks))
        peer.send(Blocks(message.request, blocks if certificate else (), certificate, trail))

    def _trail(self, start: int) -> tuple[tuple[bytes, ...], bytes]:
        """Headers from `start` to the next certified block, and its certificate; empty when it is too far."""
        chain = self._chain
        end = chain.certified_from(start, TRAIL_MAX)
        headers: list[bytes] = []
        for number in range(start, (end or 0) + 1):
            block_hash = chain.hash_of(number)
            header = chain.header(block_hash) if block_hash is not None else None
            if block_hash is None or header is None:
                break
            headers.append(header.encode())
            if number == end:
                return tuple(headers), chain.justification(block_hash) or b""
        return (), b""

    def _collect(self, start: int, count: int) -> tuple[tuple[tuple[bytes, tuple[bytes, ...]], ...], bytes]:
        """Blocks up to the last certified one and its certificate; all that fit and none where none is certified."""
        chain = self._chain
        final = chain.finalized.number
        blocks: list[tuple[bytes, tuple[bytes, ...]]] = []
        certified, certificate = 0, b""
        epoch: int | None = None
        size = 0
        for number in range(max(start, 1), min(start + count, final + 1)):
            block_hash = chain.hash_of(number)
            header = chain.header(block_hash) if block_hash is not None else None
            body = chain.body(block_hash) if block_hash is not None else None
            if block_hash is None or header is None or body is None:
                break
            own = _epoch_of(header)
            size += len(header.encode()) + sum(map(len, body))
            if (epoch is not None and own != epoch) or (size > ANSWER_SIZE_MAX and blocks):
                break
            epoch = own
            blocks.append((header.encode(), tuple(body)))
            justification = chain.justification(block_hash)
            if justification is not None:
                certified, certificate = len(blocks), justification
        return tuple(blocks[:certified] if certified else blocks), certificate


def _epoch_of(header: Header) -> int:
    return int(smpx_of(header.digest).epoch)


def _read_range(peer: Peer, start: int, message: Blocks, bodies: Bodies | None) -> Range:
    certificate = Certificate.decode(message.certificate)
    blocks: list[Block] = []
    for header, extrinsics in message.blocks:
        check_body(header, extrinsics, bodies)
        block = read_block(header, extrinsics)
        if block.number != start + len(blocks):
            raise WrongRange(f"block {block.number} instead of {start + len(blocks)}")
        if blocks and block.parent_hash != blocks[-1].hash:
            raise WrongRange(f"block {block.number} does not follow the one before")
        blocks.append(block)
    if certificate.kind != FINALIZE or certificate.epoch != blocks[-1].epoch:
        raise WrongRange("the certificate is of another kind or epoch")
    last = blocks[-1].hash
    for above in map(Header.decode, message.trail):
        if above.parent_hash != last:
            raise WrongRange("the headers after the last block do not follow it")
        last = above.hash
    if certificate.hash != last:
        raise WrongRange("the certificate is not of the last block or header")
    return Range(peer, tuple(blocks), certificate)
