"""A chain of nearly empty blocks: enough of headers, execution and commits for consensus to run on.

A block's hash covers everything its validity depends on, an "invalid" flag included, which is how a liar's invalid
block looks. What else a block may say is that somebody was found cheating in some epoch; `simulation.stakes` reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

from aitoken.errors import Rejected
from aitoken.proto.digest import NextEpoch
from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.types import Block, Slot

if TYPE_CHECKING:
    from simulation.node import Node

_HEADER = struct.Struct("<32sQQQQHQ80sIHIB")
_NOBODY: Final = (0xFFFF, 0)

Offence: TypeAlias = tuple[int, int]
"""Who cheated, and in which epoch."""


class BadHeader(Rejected):
    """Not a header."""

    code = "simulation.bad_header"


class Blocks:
    """All blocks of a run by their header bytes, so that every node shares one object each."""

    def __init__(self) -> None:
        self._by_header: dict[bytes, Block] = {}
        self._salt = 0

    def make(
        self, parent_hash: Hash32, slot: Slot, proof: bytes, offence: Offence | None = None, *, valid: bool = True
    ) -> Block:
        """Return a new block, different from all others."""
        self._salt += 1
        offender, offence_epoch = offence or _NOBODY
        header = _HEADER.pack(
            parent_hash,
            slot.number,
            slot.epoch,
            slot.view,
            slot.parent_view,
            slot.leader,
            slot.timestamp_ms,
            proof,
            self._salt,
            offender,
            offence_epoch,
            valid,
        )
        return self.read(header)

    def read(self, header: bytes) -> Block:
        """Return the block with this header.

        Raises:
            BadHeader: wrong length.
        """
        block = self._by_header.get(header)
        if block is None:
            if len(header) != _HEADER.size:
                raise BadHeader(f"{len(header)} bytes")
            parent, number, epoch, view, parent_view, leader, timestamp = _HEADER.unpack(header)[:7]
            block_hash = Hash32(blake2b(header, digest_size=32).digest())
            block = Block(block_hash, number, Hash32(parent), epoch, view, parent_view, leader, timestamp, header)
            self._by_header[header] = block
        return block


def is_valid(block: Block) -> bool:
    """Whether a block is valid but for its proof."""
    return block.header[-1] == 1


def proof_in(block: Block) -> bytes:
    """Return the VRF proof of a block."""
    proof: bytes = _HEADER.unpack(block.header)[7]
    return proof


def offence_in(block: Block) -> Offence | None:
    """Return the offence that a block reports."""
    offender, epoch = _HEADER.unpack(block.header)[-3:-1]
    return None if (offender, epoch) == _NOBODY else (offender, epoch)


GENESIS: Final = Block(Hash32(b"G" * 32), 0, Hash32(bytes(32)), 0, 0, 0, 0, 0)


class Execution:
    """One incarnation's executor and archive over its node's disk; unfinalized states live in memory only."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._world = node.world
        self._executed: set[Hash32] = set()

    def build(self, parent_hash: Hash32, slot: Slot, proof: bytes, done: Callable[[Block | None], None]) -> None:
        """Build after the scenario's build time."""
        self._node.tick()
        self._check_parent(parent_hash)
        self._node.later(self._world.scenario.build_ms, self._built, parent_hash, slot, proof, done)

    def verify(self, block: Block, done: Callable[[bool], None]) -> None:
        """Execute after the scenario's verification time."""
        self._node.tick()
        self._check_parent(block.parent_hash)
        self._node.later(self._world.scenario.verify_ms, self._verified, block, done)

    def commit(self, certificate: Certificate, block_hash: Hash32, done: Callable[[], None]) -> None:
        """Write the block and its uncommitted ancestors as one batch."""
        self._node.tick()
        path: list[Block] = []
        at = block_hash
        while at != self._node.disk.committed.hash:
            block = self._world.block(at)
            if at not in self._executed or block.number <= self._node.disk.committed.number:
                self._world.fail("I4", f"{self._node.name} commits {at.hex()[:8]}, not executed or not linked")
                return
            path.append(block)
            at = block.parent_hash
        path.reverse()
        self._world.invariants.committing(self._node, certificate, path[-1])
        self._node.disk.begin_commit(path, certificate)
        delay_ms = self._world.fsync_ms()
        if delay_ms:
            self._node.later(delay_ms, self._committed, path, done)
        else:
            self._committed(path, done)

    def read(self, header: bytes, extrinsics: tuple[bytes, ...]) -> Block:
        """Return the block with this header."""
        if extrinsics:
            raise BadHeader("blocks here are empty")
        return self._world.blocks.read(header)

    def block(self, block_hash: Hash32) -> tuple[bytes, tuple[bytes, ...]] | None:
        """Serve a committed block."""
        block = self._node.disk.blocks.get(block_hash)
        return None if block is None else (block.header, ())

    def terminal_certificate(self, epoch: int) -> Certificate | None:
        """Return the finalization that ended an epoch."""
        return self._node.disk.terminal.get(epoch)

    def next_epoch(self, block: Block) -> NextEpoch:
        """Return what the terminal block announces."""
        return self._world.elections.begin(block.epoch + 1, block).announcement()

    def _check_parent(self, parent_hash: Hash32) -> None:
        if parent_hash not in self._executed and parent_hash != self._node.disk.committed.hash:
            self._world.fail("I4", f"{self._node.name} executes on a parent without state")

    def _built(self, parent_hash: Hash32, slot: Slot, proof: bytes, done: Callable[[Block | None], None]) -> None:
        block = self._world.make_block(parent_hash, slot, proof, self._node.offence_to_report(parent_hash))
        self._executed.add(block.hash)
        done(block)

    def _verified(self, block: Block, done: Callable[[bool], None]) -> None:
        valid = self._world.is_valid(block)
        if valid:
            self._executed.add(block.hash)
        done(valid)

    def _committed(self, path: list[Block], done: Callable[[], None]) -> None:
        self._node.disk.end_commit()
        self._world.invariants.committed(self._node, path)
        done()
