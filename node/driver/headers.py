"""How consensus reads real headers; everything it needs stands in the digest."""

from __future__ import annotations

from aitoken.proto.digest import NextEpoch, next_epoch_of, smpx_of
from aitoken.proto.header import Header
from aitoken.types import Hash32
from consensus.epochs import Epoch
from consensus.types import Block
from consensus.validators import Validators


def read_block(header: bytes, extrinsics: tuple[bytes, ...]) -> Block:
    """Return the block with this SCALE header and body, as consensus sees it. Whether they fit is for execution.

    Raises:
        DecodeError: the header or its consensus digest is malformed.
    """
    return block_of(Header.decode(header), extrinsics)


def block_of(header: Header, extrinsics: tuple[bytes, ...]) -> Block:
    """Return what `read_block` does, of a header that is read already.

    Raises:
        DecodeError: the consensus digest is malformed.
    """
    smpx = smpx_of(header.digest)
    return Block(
        header.hash,
        header.number,
        header.parent_hash,
        smpx.epoch,
        smpx.view,
        smpx.parent_view,
        smpx.leader,
        smpx.timestamp_ms,
        header.encode(),
        extrinsics,
    )


def genesis_block(genesis_hash: bytes, timestamp_ms: int) -> Block:
    """Return block 0 as the base of epoch 0; its header has no consensus digest."""
    return Block(Hash32(genesis_hash), 0, Hash32(bytes(32)), 0, 0, 0, 0, timestamp_ms)


def next_epoch_in(block: Block) -> NextEpoch | None:
    """Return what a terminal block announces."""
    return next_epoch_of(Header.decode(block.header).digest)


def epoch_after(terminal: Block, announced: NextEpoch) -> Epoch:
    """Return the epoch that starts on a final terminal block.

    Raises:
        UnusableValidators: the announced list cannot be a validator set.
    """
    validators = Validators([(bytes(key), weight) for key, weight in announced.authorities])
    return Epoch(announced.epoch, validators, bytes(announced.seed), terminal, announced.length)
