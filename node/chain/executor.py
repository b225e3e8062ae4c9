"""Blocks are built, executed and made final here: the driver's `Executor` and `Archive` ports on the real chain.

Build    on the parent's state from what the pool offers, until weight, length or time is used up.
Verify   the same way with the given extrinsics, then compare the header this node would have written.
Commit   through `Chain.finalize`: disk first, then memory, then whoever listens.

A job takes several turns of the loop, and blocks become final between them. What rests on a state that finality left
behind can never become final itself: it ends without a block, or without a verdict of validity.

Extrinsics that the pool has verified are taken from there, so a signature is checked once in a node's life; those of
blocks that sync has fetched come from `node.chain.ahead`.
Both run as sliced jobs (`node.chain.jobs`) on one runtime instance, one block at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from aitoken.codec.base import DecodeError
from aitoken.errors import Rejected
from aitoken.proto import randomness
from aitoken.proto.digest import NextEpoch, SmpxDigest, leading_items_of, next_epoch_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from chain.frame.builder import BlockBuilder, difference, leading_items
from chain.frame.errors import ExhaustsResources, Future, InvalidBlock, InvalidTransaction
from chain.frame.executive import ExecutedBlock
from chain.frame.runtime import Runtime
from chain.state.base import StateDiscarded
from consensus.types import Block as ConsensusBlock
from consensus.types import Slot
from node.bodies import Bodies
from node.chain.jobs import Job, JobRunner
from node.chain.tree import Chain, terminal_key
from node.driver.headers import block_of, next_epoch_in, read_block
from node.ports import Block
from node.store.database import Database

YIELD_EVERY: Final = 16
"""Extrinsics between two looks at the clock: a twentieth of a millisecond if all are usual transfers."""
MISFITS_MAX: Final = 8
"""Transactions in a row that did not fit before the block counts as full."""

log = logging.getLogger(__name__)


class Walk(Protocol):
    """Goes through ready transactions, each sender's in nonce order."""

    def __iter__(self) -> Iterator[Extrinsic]:
        """Return itself."""

    def __next__(self) -> Extrinsic:
        """Return the next one."""

    def skip(self) -> Extrinsic:
        """Give out no more of the sender whose transaction came last: it was not built; return it."""


class ReadyTransactions(Protocol):
    """What the block builder asks of the pool."""

    def iter_ready(self) -> Walk:
        """Transactions in the order they should be included; tolerates changes of the pool while it runs."""

    def get(self, tx_hash: Hash32) -> Extrinsic | None:
        """A pooled transaction by hash."""

    def reject(self, tx_hash: Hash32, cause: InvalidTransaction, parent: Hash32 | None = None) -> None:
        """The transaction turned out invalid on top of block `parent`."""


class CheckedAhead(Protocol):
    """Signatures that are checked before their block is executed (`node.chain.ahead`)."""

    def when_ready(self, block: ConsensusBlock, call: Callable[[Sequence[Extrinsic] | None], None]) -> None:
        """Call back with the parsed extrinsics of a block; None where nothing was done ahead for it."""


class Executor:
    """Builds, executes and commits blocks (`node.driver.ports.Executor` and `Archive`)."""

    def __init__(
        self,
        chain: Chain,
        database: Database,
        runtime: Runtime,
        pool: ReadyTransactions,
        jobs: JobRunner,
        build_budget_ms: int,
        bodies: Bodies | None = None,
        ahead: CheckedAhead | None = None,
    ) -> None:
        """Wire it up.

        Args:
            chain: the tree of blocks.
            database: what is final.
            runtime: the rules.
            pool: transactions this node has checked.
            jobs: runs building and execution in slices.
            build_budget_ms: the time after which a builder takes no more transactions.
            bodies: shared with whoever receives and sends blocks.
            ahead: knows whose signatures are being checked already.
        """
        self._chain = chain
        self._database = database
        self._runtime = runtime
        self._pool = pool
        self._jobs = jobs
        self._build_budget_s = build_budget_ms / 1000
        self._bodies = bodies if bodies is not None else Bodies()
        self._ahead = ahead

    # The driver's Executor

    def build(
        self, parent_hash: Hash32, slot: Slot, proof: bytes, done: Callable[[ConsensusBlock | None], None]
    ) -> None:
        """Build a block for `slot`, with our VRF proof for it, on an executed parent; None when it cannot be built."""
        self._jobs.add(self._build(parent_hash, slot, proof, done))

    def verify(self, block: ConsensusBlock, done: Callable[[bool], None]) -> None:
        """Execute a block: whether it is valid on its parent, header and state root included."""
        if self._ahead is None:
            self._jobs.add(self._verify(block, done))
        else:
            self._ahead.when_ready(block, lambda parsed: self._jobs.add(self._verify(block, done, parsed)))

    def commit(self, certificate: Certificate, block_hash: Hash32, done: Callable[[], None]) -> None:
        """Make an executed block and its ancestors final, durable before `done`."""
        block = self._chain.get(block_hash)
        encoded = certificate.encode()
        meta: dict[bytes, bytes] = {}
        if block is not None and next_epoch_of(block.header.digest) is not None:
            meta[terminal_key(certificate.epoch)] = encoded
        self._chain.finalize(block_hash, encoded, meta, done)

    # The driver's Archive

    @staticmethod
    def read(header: bytes, extrinsics: tuple[bytes, ...]) -> ConsensusBlock:
        """Return the block with these parts as consensus sees it, without executing it."""
        return read_block(header, extrinsics)

    def block(self, block_hash: Hash32) -> tuple[bytes, tuple[bytes, ...]] | None:
        """Return header and extrinsics of a block this node has executed, to serve a peer."""
        header, body = self._chain.header(block_hash), self._chain.body(block_hash)
        return None if header is None or body is None else (header.encode(), tuple(body))

    def terminal_certificate(self, epoch: int) -> Certificate | None:
        """Return the finalization that ended an epoch; kept for ever."""
        encoded = self._database.consensus_meta(terminal_key(epoch))
        return None if encoded is None else Certificate.decode(encoded)

    def next_epoch(self, block: ConsensusBlock) -> NextEpoch:
        """Return what a committed terminal block announces."""
        announced = next_epoch_in(block)
        if announced is None:
            raise InvalidBlock(f"block {block.number} ends an epoch but announces no next one")
        return announced

    # Jobs

    def _build(
        self, parent_hash: Hash32, slot: Slot, proof: bytes, done: Callable[[ConsensusBlock | None], None]
    ) -> Job:
        parent = self._chain.get(parent_hash)
        if parent is None:
            done(None)
            return
        try:
            block = yield from self._built(parent, slot, proof)
        except StateDiscarded:
            log.info("a block on #%d was overtaken by finality while it was built", parent.number)
            done(None)
            return
        log.debug("built #%d with %d extrinsics", block.number, len(block.body))
        done(self._for_consensus(block))

    def _built(self, parent: Block, slot: Slot, proof: bytes) -> Generator[None, None, Block]:
        started = time.perf_counter()
        builder = self._runtime.open_block(parent.state, parent.header, leading_items_of(_digest_of(slot, proof)))
        end = started + self._build_budget_s
        walk = self._pool.iter_ready()
        misfits = 0
        while misfits < MISFITS_MAX:
            yield
            if time.perf_counter() >= end:
                break
            before = len(builder.extrinsics)
            try:
                builder.apply_all(islice(walk, YIELD_EVERY))
            except InvalidTransaction as error:
                refused = walk.skip()
                if len(builder.extrinsics) > before:
                    misfits = 0
                if isinstance(error, ExhaustsResources):
                    misfits += 1
                elif not isinstance(error, Future):
                    self._pool.reject(refused.hash, error, parent.hash)
            else:
                misfits = 0
                if len(builder.extrinsics) < before + YIELD_EVERY:
                    break
        yield
        return self._insert(builder.seal())

    def _verify(
        self, block: ConsensusBlock, done: Callable[[bool], None], parsed: Sequence[Extrinsic] | None = None
    ) -> Job:
        if self._chain.get(block.hash) is not None:
            done(True)
            return
        parent = self._chain.get(block.parent_hash)
        if parent is None:
            log.error("block #%d came to execution without its parent", block.number)
            done(False)
            return
        try:
            yield from self._execute(parent, block, parsed)
        except Rejected as error:
            log.warning("block #%d %s is invalid: %s: %s", block.number, block.hash.hex()[:12], error.code, error)
            done(False)
            return
        except StateDiscarded:
            log.info(
                "block #%d %s was overtaken by finality while it was executed", block.number, block.hash.hex()[:12]
            )
            done(False)
            return
        done(True)

    def _execute(self, parent: Block, block: ConsensusBlock, parsed: Sequence[Extrinsic] | None) -> Iterator[None]:
        header = Header.decode(block.header)
        builder: BlockBuilder = self._runtime.open_block(
            parent.state, parent.header, leading_items(header.digest), given=len(block.extrinsics)
        )
        if parsed is None:
            parsed, hashes = [], self._bodies.hashes(block.extrinsics)
            for some in _slices(len(block.extrinsics)):
                yield
                parsed += map(self._extrinsic, block.extrinsics[some], hashes[some])
        yield
        yield from self._chain.read_ahead(builder.keys_of(parsed))
        for some in _slices(len(parsed)):
            yield
            builder.apply_given(parsed[some])
        yield
        self._insert(builder.seal(self._bodies.root(block.extrinsics)), header)

    def _extrinsic(self, raw: bytes, tx_hash: Hash32) -> Extrinsic:
        try:
            return self._pool.get(tx_hash) or Extrinsic(raw, tx_hash)
        except DecodeError as error:
            raise InvalidBlock(f"extrinsic: {error}") from error

    def _insert(self, executed: ExecutedBlock, expected: Header | None = None) -> Block:
        wrong = None if expected is None else difference(executed.header, expected)
        if wrong is not None:
            raise InvalidBlock(wrong)
        header = expected or executed.header  # whoever has read it knows its hash
        block = Block(header.hash, header, executed.body, executed.state)
        self._chain.insert(block)
        return block

    def _for_consensus(self, block: Block) -> ConsensusBlock:
        body = tuple([xt.raw for xt in block.body])
        self._bodies.note(body, root=block.header.extrinsics_root, hashes=[xt.hash for xt in block.body])
        return block_of(block.header, body)


def _slices(count: int) -> Iterator[slice]:
    return (slice(start, start + YIELD_EVERY) for start in range(0, count, YIELD_EVERY))


def _digest_of(slot: Slot, proof: bytes) -> SmpxDigest:
    output = randomness.output_of(proof)
    return SmpxDigest(1, slot.epoch, slot.view, slot.parent_view, slot.leader, slot.timestamp_ms, output, proof)
