"""Whether what is on this disk may still be believed (weak subjectivity), and holding a chain to a checkpoint.

Validators that have withdrawn their stake lose nothing by signing another history. So a node that was away for longer
than two thirds of the unbonding time, or that starts from a genesis so old, cannot tell by signatures which of two
chains is the right one: it needs a checkpoint from somebody its operator trusts, or the operator's word for the
database. Asked for on live chains only; a development network is its operator's own.

Source: section 10.3 of the consensus paper.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from aitoken.client.checkpoint import BadCheckpoint, Checkpoint, OtherCheckpoint, parse
from aitoken.errors import Bug
from aitoken.proto.finality import DAY_MS, OtherGenesis, TrustTooOld, trusting_period_ms
from aitoken.types import Hash32
from chain.spec import ChainSpec
from node.chain.opening import OpenChain
from node.config import SyncConfig
from node.ports import Block

LIVE: Final = "Live"

log = logging.getLogger(__name__)


def period_of(spec: ChainSpec) -> int | None:
    """Return for how many milliseconds a final block may be trusted; None where that is not asked.

    Unbonding is counted in blocks, so it takes at least their number times the least distance of two.
    """
    if spec.chain_type != LIVE:
        return None
    params = spec.params
    blocks = params.bonding_eras * params.sessions_per_era * params.session_blocks
    return trusting_period_ms(blocks * params.block_time_ms)


def checkpoint_of(config: SyncConfig, genesis_hash: Hash32) -> Checkpoint | None:
    """Return the checkpoint of the configuration.

    Raises:
        BadCheckpoint: it cannot be read.
        OtherGenesis: it is another chain's.
    """
    found = parse(config.checkpoint) if config.checkpoint else None
    if found is not None and found.genesis not in (None, genesis_hash):
        raise OtherGenesis("the checkpoint is of a chain with another genesis block")
    return found


def check_database(opened: OpenChain, config: SyncConfig, now_ms: int) -> Checkpoint | None:
    """Refuse a database that is too old to be believed or is not the checkpoint's; return the checkpoint.

    Raises:
        TrustTooOld: it is older than the trusting period.
        OtherCheckpoint, OtherGenesis, BadCheckpoint: the checkpoint is another chain's, or of no use.
    """
    checkpoint = checkpoint_of(config, opened.genesis_hash)
    if checkpoint is not None:
        _check_known(opened, checkpoint)
    period, last = period_of(opened.spec), opened.committed
    age = now_ms - last.timestamp_ms
    if period is None or age <= period:
        return checkpoint
    sentence = (
        f"the last final block on this disk, {last.number}, is {age // DAY_MS} days old; after {period // DAY_MS} days "
        "its validators may have withdrawn their stake and sign whatever they like"
    )
    if checkpoint is None and not config.trust_database:
        raise TrustTooOld(
            f"{sentence}: start with --checkpoint, a newer block from somebody you trust (`aitoken checkpoint`), or "
            "with --trust-database if you are sure of what is stored here and of your first peers"
        )
    log.warning("%s; going on as told", sentence)
    return checkpoint


def trust(opened: OpenChain, config: SyncConfig, now_ms: int, fail: Callable[[BaseException], None]) -> None:
    """Check an open chain before anything is done with it, and hold it to the checkpoint from now on.

    Raises:
        Rejected: see `check_database`; the database is closed then.
    """
    try:
        checkpoint = check_database(opened, config, now_ms)
    except BaseException:
        opened.database.close()
        raise
    if checkpoint is not None:
        opened.chain.subscribe(CheckpointGuard(checkpoint, fail))


def _check_known(opened: OpenChain, checkpoint: Checkpoint) -> None:
    database = opened.database
    number = database.number_of(checkpoint.hash) if checkpoint.number is None else checkpoint.number
    if number is None:
        raise BadCheckpoint("give the checkpoint as a file: this node executes blocks and must know its height")
    found = database.hash_of(number)
    if found is not None and found != checkpoint.hash:
        raise OtherCheckpoint(
            f"block {number} on this disk is {found.hex()}, the checkpoint is {checkpoint.hash.hex()}"
        )


class OffCheckpoint(Bug):
    """The chain that peers showed is not the one the operator trusts."""

    code = "node.off_checkpoint"


class CheckpointGuard:
    """Ends the node when the chain reaches the height of the checkpoint with another block (`ChainListener`)."""

    def __init__(self, checkpoint: Checkpoint, fail: Callable[[BaseException], None]) -> None:
        self._checkpoint = checkpoint
        self._fail = fail

    def on_block(self, block: Block) -> None:
        """Nothing is final by it."""

    def on_best(self, block: Block) -> None:
        """Nothing is final by it."""

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:  # noqa: ARG002 - the port's
        """Compare the block at the height of the checkpoint."""
        wanted = self._checkpoint
        for block in blocks:
            if block.number == wanted.number and block.hash != wanted.hash:
                self._fail(
                    OffCheckpoint(
                        f"block {block.number} became final as {block.hash.hex()}, the checkpoint is "
                        f"{wanted.hash.hex()}: these peers are of another chain. Remove this database, find peers you "
                        "trust, and start again"
                    )
                )
