"""The tree of blocks: what is executed but not final lives in memory, what is final on disk.

Upon execution of a block   -> it is inserted above its parent; listeners hear `on_block`.
Upon a new head             -> listeners hear `on_best`; heads move along one branch or to a better one.
Upon finality of a block    -> it and its unfinalised ancestors go to disk in one synced batch with everything that must
                               change together, then their states are absorbed, then blocks that can no longer become
                               final are dropped, and only then listeners hear `on_finalized`: what was reported final
                               survives a power cut.

Nothing on disk is ever rolled back. A few of the newest final blocks stay in memory, for readers a step behind.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgpack

from aitoken.errors import Bug, Rejected, Unavailable, invariant
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import BlockNumber, Hash32
from chain.state.layer import FinalState, Layer
from node.ports import Block, Cancellable, ChainListener
from node.store.database import CommittedBlock, Database

if TYPE_CHECKING:
    from chain.state.base import State

RECENT_FINAL_BLOCKS: Final = 32
"""Final blocks kept in memory besides the tip."""
UNFINALIZED_MAX: Final = 1024
"""Executed blocks above the final one; the consensus window keeps it to a handful."""

SHORT_COMMIT: Final = 256
"""Extrinsics whose effects are written within a few milliseconds."""

log = logging.getLogger(__name__)


GENESIS_PROOF: Final = b"genesis-proof"
"""The record of consensus that proves the first epoch under the genesis header: msgpack list of trie nodes."""


def terminal_key(epoch: int) -> bytes:
    """Return the name under which the certificate that ended an epoch is kept, for ever."""
    return b"terminal" + epoch.to_bytes(8, "big")


class UnknownBlock(Rejected):
    """No block of that hash is known here."""

    code = "chain.unknown_block"


class TooManyUnfinalized(Unavailable):
    """More blocks wait for finality than this node keeps."""

    code = "chain.too_many_unfinalized"


class RunBehind(Protocol):
    """Writes without holding up the event loop for long (`node.store.background`)."""

    def __call__(self, work: Callable[[], None], done: Callable[[], None], /, *, short: bool) -> None:
        """Do `work`, then call `done` on the event loop; `short` work may be done at once."""


class _Subscription:
    def __init__(self, listeners: list[ChainListener], listener: ChainListener) -> None:
        self._listeners, self._listener = listeners, listener

    def cancel(self) -> None:
        if self._listener in self._listeners:
            self._listeners.remove(self._listener)


class Chain:
    """The blocks this node knows (`node.ports.ChainView`), and the one place where they become final."""

    def __init__(self, database: Database, state: FinalState, genesis_hash: Hash32, final: Block) -> None:
        self._background: RunBehind | None = None
        self._database = database
        self._state = state
        self._genesis_hash = genesis_hash
        self._final = final
        self._best = final
        self._unfinalized: dict[Hash32, Block] = {}
        self._recent: OrderedDict[Hash32, Block] = OrderedDict({final.hash: final})
        self._listeners: list[ChainListener] = []

    def write_behind(self, run: RunBehind) -> None:
        """Write final blocks in this way from now on; one at a time, as callers of `finalize` see to."""
        self._background = run

    @property
    def genesis_hash(self) -> Hash32:
        """Hash of block 0."""
        return self._genesis_hash

    @property
    def best(self) -> Block:
        """The head."""
        return self._best

    @property
    def finalized(self) -> Block:
        """The last final block."""
        return self._final

    def get(self, block_hash: Hash32) -> Block | None:
        """Return an executed block that is still in memory."""
        return self._unfinalized.get(block_hash) or self._recent.get(block_hash)

    def hash_of(self, number: int) -> Hash32 | None:
        """Hash of the block at `number` on the best chain."""
        if number <= self._final.number:
            return self._database.hash_of(BlockNumber(number)) if number >= 0 else None
        block: Block | None = self._best
        while block is not None and block.number > number:
            block = self._unfinalized.get(block.header.parent_hash)
        return block.hash if block is not None and block.number == number else None

    def number_of(self, block_hash: Hash32) -> BlockNumber | None:
        """Height of a known block."""
        block = self.get(block_hash)
        return block.number if block is not None else self._database.number_of(block_hash)

    def header(self, block_hash: Hash32) -> Header | None:
        """Header of a known block."""
        block = self.get(block_hash)
        if block is not None:
            return block.header
        number = self._database.number_of(block_hash)
        data = self._database.header(number) if number is not None else None
        return Header.decode(data) if data is not None else None

    def body(self, block_hash: Hash32) -> Sequence[bytes] | None:
        """Extrinsics of a known block as submitted; None also when they were pruned."""
        block = self.get(block_hash)
        if block is not None:
            return [xt.raw for xt in block.body]
        number = self._database.number_of(block_hash)
        return self._database.body(number) if number is not None else None

    def justification(self, block_hash: Hash32) -> bytes | None:
        """The finality certificate of a final block, where one was kept."""
        number = None if block_hash in self._unfinalized else self._database.number_of(block_hash)
        return self._database.justification(number) if number is not None else None

    def certified_from(self, number: int, limit: int) -> BlockNumber | None:
        """The first final block at or above `number`, below `number + limit`, whose certificate is kept."""
        return self._database.certified_from(number, limit)

    def epoch_end(self, epoch: int) -> tuple[Header, bytes] | None:
        """Header and certificate of the final block that ended an epoch; both are kept for ever."""
        if not 0 <= epoch < 1 << 64:
            return None
        certificate = self._database.consensus_meta(terminal_key(epoch))
        header = None if certificate is None else self.header(Certificate.decode(certificate).hash)
        return None if certificate is None or header is None else (header, certificate)

    def genesis_proof(self) -> tuple[Header, list[bytes]] | None:
        """Genesis header, and the trie nodes that show under it the first epoch and the time."""
        header, proof = self.header(self._genesis_hash), self._database.consensus_meta(GENESIS_PROOF)
        return None if header is None or proof is None else (header, msgpack.unpackb(proof))

    def is_final(self, block_hash: Hash32) -> bool:
        """Whether the block is final."""
        return block_hash not in self._unfinalized and self._database.number_of(block_hash) is not None

    def state_at(self, block_hash: Hash32) -> State:
        """State after a block.

        Raises:
            UnknownBlock: no such block.
            StateDiscarded: its state is older than the history this node keeps.
        """
        block = self.get(block_hash)
        if block is not None:
            return block.state
        number = self._database.number_of(block_hash)
        if number is None:
            raise UnknownBlock(block_hash.hex())
        return self._database.state_at(number)

    def unfinalized(self) -> Sequence[Block]:
        """Executed blocks above the final one, parents first."""
        return list(self._unfinalized.values())

    def subscribe(self, listener: ChainListener) -> Cancellable:
        """Tell `listener` of changes from now on."""
        self._listeners.append(listener)
        return _Subscription(self._listeners, listener)

    def insert(self, block: Block) -> None:
        """Take an executed block; its parent must be known and not below the final block.

        Raises:
            TooManyUnfinalized: the tree is full.
            Bug: the parent is unknown.
        """
        if block.hash in self._unfinalized or block.hash in self._recent:
            return
        parent = block.header.parent_hash
        invariant(parent in self._unfinalized or parent == self._final.hash, "a block without its parent")
        if len(self._unfinalized) >= UNFINALIZED_MAX:
            raise TooManyUnfinalized(f"{UNFINALIZED_MAX} blocks wait for finality")
        self._unfinalized[block.hash] = block
        for listener in tuple(self._listeners):
            listener.on_block(block)

    def set_best(self, block_hash: Hash32) -> None:
        """Make a known block that is final or above the final one the head."""
        block = self.get(block_hash)
        if block is None or block.number < self._final.number or block.hash == self._best.hash:
            return
        self._best = block
        for listener in tuple(self._listeners):
            listener.on_best(block)

    def read_ahead(self, keys: Iterable[bytes]) -> Iterator[None]:
        """Read values of the final state before they are asked for, some in each step; see `FlatState.read_ahead`."""
        return self._database.read_ahead(keys)

    def finalize(
        self,
        block_hash: Hash32,
        justification: bytes | None,
        meta: Mapping[bytes, bytes] | None = None,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Make an executed block and its ancestors final: on disk first, then in memory, then to listeners.

        Args:
            block_hash: of the block the certificate names.
            justification: its SCALE finality certificate.
            meta: records of consensus that must change with the final block.
            done: called after the listeners; before this returns, unless writing is done in the background.

        Raises:
            Bug: the block is unknown or does not descend from the final block.
            Unavailable: the disk refused; the process must stop. In the background, whoever runs it is told.
        """
        if block_hash in self._recent:
            if done is not None:
                done()
            return
        path = self._path_to(block_hash)
        blocks = [self._committed(block, block_hash, justification) for block in path]
        pending = self._database.prepare(blocks, dict(meta or {}))

        def written() -> None:
            self._database.settle(pending)
            self._became_final(path)
            self._write_trunk()
            if done is not None:
                done()

        if self._background is None:
            self._database.write(pending)
            written()
        else:
            short = sum(len(block.body) for block in path) <= SHORT_COMMIT
            self._background(lambda: self._database.write(pending), written, short=short)

    def _became_final(self, path: list[Block]) -> None:
        for block in path:
            self._state.absorb(_layer_of(block), self._database.view_at(BlockNumber(block.number - 1)))
        self._final = path[-1]
        for block in path:
            del self._unfinalized[block.hash]
            self._recent[block.hash] = block
        while len(self._recent) > RECENT_FINAL_BLOCKS:
            self._recent.popitem(last=False)
        pruned = self._prune()
        if self._best.number < self._final.number or self._best.hash in pruned:
            self._best = self._final
            for listener in tuple(self._listeners):
                listener.on_best(self._final)
        for listener in tuple(self._listeners):
            listener.on_finalized(path, pruned)

    def _write_trunk(self) -> None:
        write = self._database.trunk_to_write()
        if write is None:
            return
        if self._background is None:
            write()
        else:
            self._background(write, lambda: None, short=False)

    def _path_to(self, block_hash: Hash32) -> list[Block]:
        path = []
        cursor = block_hash
        while cursor != self._final.hash:
            block = self._unfinalized.get(cursor)
            if block is None:
                raise Bug(f"block {block_hash.hex()} does not descend from the final block {self._final.hash.hex()}")
            path.append(block)
            cursor = block.header.parent_hash
        return path[::-1]

    @staticmethod
    def _committed(block: Block, certified: Hash32, justification: bytes | None) -> CommittedBlock:
        layer = _layer_of(block)
        return CommittedBlock(
            number=block.number,
            hash=block.hash,
            header=block.header.encode(),
            body=[xt.raw for xt in block.body],
            justification=justification if block.hash == certified else None,
            changes=layer.changes,
            before=layer.before,
        )

    def _prune(self) -> list[Hash32]:
        """Drop unfinalised blocks that do not descend from the final one; return their hashes, parents first."""
        pruned: list[Hash32] = []
        alive = {self._final.hash}
        for block in list(self._unfinalized.values()):
            if block.header.parent_hash in alive:
                alive.add(block.hash)
            else:
                pruned.append(block.hash)
                del self._unfinalized[block.hash]
        return pruned


def _layer_of(block: Block) -> Layer:
    if not isinstance(block.state, Layer):
        raise Bug("the state of an unfinalised block is a layer")
    return block.state
