"""Signatures of blocks that are to be executed soon, checked in a worker process while those before them execute.

Nothing is decided here. A good signature marks its extrinsic with the very bytes that it covers; execution finds out by
itself which bytes these must be and checks again whatever is not marked with them (ADR 9). So a wrong signature, a
block nobody finalised, a birth block that this node knows another hash of: all cost a check and change nothing.

Whoever comes to execute a block asks `when_ready`. If checks of it are still to be made, the event loop makes some of
them itself instead of waiting idly: worker and loop take from one queue. Where there is no worker, nothing is done
ahead, and execution checks everything as it goes.

Bounds: `HELD_MAX` extrinsics are parsed and not executed yet; blocks are as many as sync holds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, Protocol, TypeAlias

from aitoken.codec.base import DecodeError
from aitoken.crypto.checks import Check
from aitoken.proto.extrinsic import HASHES_METADATA, Extrinsic, additional_signed, signing_payload
from aitoken.types import Hash32
from chain.frame.schema import Schema
from node.pool.verify import InlineVerifier, Verifier
from node.tasks import cancel, spawn

BATCH: Final = 128
BATCHES_UNDER_WAY: Final = 8
"""What the worker has of us while the loop is busy: some 70 ms of its time; sealing a block of 1,000 takes 30."""
HELP: Final = 16
"""Checks the loop makes at a time while a block waits for them: about a millisecond."""
HELD_MAX: Final = 16_384
WORTH_IT: Final = 256
"""Extrinsics in blocks that came together; fewer are not worth a process."""
HASHES_MAX: Final = 8_192
"""Of the latest expected blocks; births before them are final, or not known."""

Ready: TypeAlias = Callable[[Sequence[Extrinsic] | None], None]
"""Told the parsed extrinsics of a block; None where nothing was done ahead for it."""


class Block(Protocol):
    """What of a block matters here."""

    @property
    def hash(self) -> Hash32:
        """Its name."""

    @property
    def number(self) -> int:
        """Its height."""

    @property
    def extrinsics(self) -> tuple[bytes, ...]:
        """Its body."""


class _Coming:
    """A block and how far it is."""

    __slots__ = ("additional", "block", "call", "extrinsics", "left")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.additional: dict[int, bytes | None] = {}
        """What signers and the chain know, by the terms of an extrinsic; None where we do not."""
        self.extrinsics: list[Extrinsic] = []
        self.left = len(block.extrinsics)
        """Extrinsics that are not parsed, or whose verdict is not known."""
        self.call: Ready | None = None

    @property
    def unparsed(self) -> int:
        return len(self.block.extrinsics) - len(self.extrinsics)


class _Batch(NamedTuple):
    coming: _Coming
    size: int
    checks: list[Check]
    marks: list[tuple[Extrinsic, bytes]]


class Ahead:
    """Checks signatures ahead of execution."""

    def __init__(
        self,
        verifier: Verifier,
        schema: Schema,
        hash_of: Callable[[int], Hash32 | None],
        *,
        shared: bool = False,
    ) -> None:
        """Store what it works with.

        Args:
            verifier: checks signatures; nothing is done ahead while it is an inline one.
            schema: of the runtime; what is signed names its versions and, if asked to, the hash of its metadata.
            hash_of: the hash of a final block by height.
            shared: others use the verifier too, so it stays when there is nothing more to do.
        """
        self._verifier = verifier
        self._schema = schema
        self._hash_of = hash_of
        self._shared = shared
        self._here = InlineVerifier()
        self._coming: dict[Hash32, _Coming] = {}
        self._queue: deque[_Coming] = deque()
        """Blocks with extrinsics that nobody has taken."""
        self._hashes: dict[int, Hash32] = {}
        self._held = 0
        self._wake = asyncio.Event()
        self._lanes: list[asyncio.Task[None]] = []
        self._helper: asyncio.Task[None] | None = None

    # What is asked of it

    def expect(self, blocks: Sequence[Block]) -> None:
        """Begin to check blocks that will be executed in this order, after those expected before."""
        if self._verifier.inline or sum(len(block.extrinsics) for block in blocks) < WORTH_IT:
            return
        for block in blocks:
            self._hashes[block.number] = block.hash
            if len(self._hashes) > HASHES_MAX:
                del self._hashes[next(iter(self._hashes))]
            if block.hash not in self._coming and block.extrinsics:
                coming = self._coming[block.hash] = _Coming(block)
                self._queue.append(coming)
        if not self._lanes:
            self._lanes = [spawn(self._feed(), "signatures ahead") for _ in range(BATCHES_UNDER_WAY)]
        self._wake.set()

    def when_ready(self, block: Block, call: Ready) -> None:
        """Call back, at once or later, when nothing is left to be done ahead for this block."""
        for lower in [each for each in self._coming.values() if each.block.number < block.number]:
            self._release(lower, None)  # nobody will ask for it any more
        coming = self._coming.get(block.hash)
        if coming is None or coming.call is not None or coming.block.extrinsics != block.extrinsics:
            call(None)
            return
        coming.call = call
        if not coming.left:
            self._release(coming)
            return
        self._wake.set()
        if self._helper is None:
            self._helper = spawn(self._help(), "signatures of the next block")

    def forget(self) -> None:
        """Expect nothing any more; whoever waits is called."""
        self._queue.clear()
        for coming in list(self._coming.values()):
            self._release(coming, None)
        self._hashes.clear()

    async def rest(self) -> None:
        """Forget everything, and end what works for us alone."""
        self.forget()
        lanes, self._lanes = self._lanes, []
        helper, self._helper = self._helper, None
        await cancel([*lanes, *([] if helper is None else [helper])])
        if not self._shared:
            await self._verifier.close()

    # The queue

    def _take(self, count: int) -> _Batch | None:
        """Parse the next extrinsics of the queue; None when there are none, or enough are held."""
        while self._queue:
            coming = self._queue[0]
            if self._coming.get(coming.block.hash) is not coming:
                self._queue.popleft()
                continue
            if self._held >= HELD_MAX and coming.call is None:
                return None
            start = len(coming.extrinsics)
            some = coming.block.extrinsics[start : start + count]
            try:
                parsed = [Extrinsic(raw) for raw in some]
            except DecodeError:
                self._queue.popleft()
                self._release(coming, None)  # execution says what is wrong with it
                continue
            coming.extrinsics += parsed
            self._held += len(parsed)
            if not coming.unparsed:
                self._queue.popleft()
            marks = list(self._marks(coming, parsed))
            checks = [
                Check(xt.signature_kind, xt.signature, signing_payload(xt.call_bytes, xt.extra, mark), xt.signer or b"")
                for xt, mark in marks
            ]
            return _Batch(coming, len(parsed), checks, marks)
        return None

    def _marks(self, coming: _Coming, extrinsics: Iterable[Extrinsic]) -> Iterable[tuple[Extrinsic, bytes]]:
        """Those that are signed, with the bytes that their signers and the chain knew."""
        known = coming.additional
        for xt in extrinsics:
            if xt.signer is None:
                continue
            if xt.terms not in known:
                known[xt.terms] = self._additional_of(coming.block.number, xt)
            additional = known[xt.terms]
            if additional is not None:
                yield xt, additional

    def _additional_of(self, number: int, xt: Extrinsic) -> bytes | None:
        birth = xt.era.birth(number)
        genesis, birth_hash = self._hash_of(0), self._hashes.get(birth) or self._hash_of(birth)
        if genesis is None or birth_hash is None:
            return None
        version, digest = self._schema.version, self._schema.metadata_digest if xt.terms & HASHES_METADATA else None
        return additional_signed(version.spec_version, version.transaction_version, genesis, birth_hash, digest)

    def _settle(self, batch: _Batch, verdicts: Iterable[bool]) -> None:
        for (xt, additional), good in zip(batch.marks, verdicts, strict=True):
            if good:
                xt.verified_for = additional
        coming = batch.coming
        coming.left -= batch.size
        if not coming.left and coming.call is not None:
            self._release(coming)

    def _release(self, coming: _Coming, extrinsics: Sequence[Extrinsic] | None = ()) -> None:
        """Let go of a block, and tell whoever waits for it: its own extrinsics unless others are given."""
        if self._coming.get(coming.block.hash) is not coming:
            return
        del self._coming[coming.block.hash]
        self._held -= len(coming.extrinsics)
        self._wake.set()
        if coming.call is not None:
            coming.call(None if extrinsics is None else coming.extrinsics)

    # Who works on it

    async def _feed(self) -> None:
        """Keep the worker busy."""
        while True:
            batch = None if self._verifier.inline else self._take(BATCH)
            if batch is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            self._settle(batch, await self._verifier.verify(batch.checks))

    async def _help(self) -> None:
        """Do here what the worker has not begun, as long as a block waits."""
        try:
            while any(coming.call is not None for coming in self._coming.values()):
                batch = self._take(HELP)
                if batch is None:
                    return  # the worker has the rest
                self._settle(batch, await self._here.verify(batch.checks))
                await asyncio.sleep(0)
        finally:
            self._helper = None
