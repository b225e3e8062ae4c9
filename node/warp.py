"""Making the database by snapshot sync before the node starts, where it was asked for and there is none.

A network of its own, with nothing behind it but genesis, finds peers and fetches; when it has ended, the node opens the
database as if it had always been there. Where it is not possible the database begins at genesis.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, cast

from aitoken.proto.finality import Anchor, check_age
from aitoken.proto.header import Header
from aitoken.types import BlockNumber, Hash32
from chain.genesis import build_genesis
from chain.runtime import build_runtime
from chain.state.layer import FinalState
from node.chain.opening import DATABASE, load_spec, proof_of
from node.chain.tree import GENESIS_PROOF, terminal_key
from node.chain.verify import anchor_of
from node.config import NodeConfig
from node.net.network import Network, NetworkConfig
from node.net.warp import CannotWarp, Warp
from node.ports import Block, ChainView
from node.store.restore import Restoring
from node.tasks import cancel, spawn
from node.trust import checkpoint_of, period_of

_EMPTY: Final = FinalState.in_memory({})

log = logging.getLogger(__name__)


class GenesisOnly:
    """As much of `ChainView` as a network needs that has nothing to give."""

    def __init__(self, header: Header) -> None:
        self.genesis_hash = header.hash
        self.finalized = self.best = Block(header.hash, header, (), _EMPTY)

    def hash_of(self, number: int) -> Hash32 | None:
        """Genesis."""
        return self.genesis_hash if number == 0 else None

    def header(self, block_hash: Hash32) -> Header | None:
        """Genesis."""
        return self.finalized.header if block_hash == self.genesis_hash else None

    def body(self, block_hash: Hash32) -> Sequence[bytes] | None:
        """Genesis."""
        return () if block_hash == self.genesis_hash else None

    def justification(self, block_hash: Hash32) -> bytes | None:  # noqa: ARG002 - the port's
        """None is known."""
        return None

    def certified_from(self, number: int, limit: int) -> BlockNumber | None:  # noqa: ARG002 - the port's
        """None is known."""
        return None

    def epoch_end(self, epoch: int) -> tuple[Header, bytes] | None:  # noqa: ARG002 - the port's
        """None is known."""
        return None


async def warp(config: NodeConfig, network_config: NetworkConfig, static_key: bytes) -> bool:
    """Make the database of a new node by snapshot sync; whether it was made.

    Raises:
        TrustTooOld: what is trusted is too old to begin with.
        Rejected: two chains are final, or the configuration is wrong.
        Unavailable: the disk refuses.
    """
    path = config.data_dir / DATABASE
    if path.exists():
        return False
    spec, _ = load_spec(config.chain)
    genesis = build_genesis(spec, build_runtime(spec))
    checkpoint = checkpoint_of(config.sync, genesis.header.hash)
    network = Network(network_config, static_key, cast(ChainView, GenesisOnly(genesis.header)))
    period = period_of(spec)
    config.data_dir.mkdir(parents=True, exist_ok=True)

    def check_trust(anchor: Anchor) -> None:
        if checkpoint is not None and anchor.hash == checkpoint.hash:
            checkpoint.check(anchor)
        if period is not None and not config.sync.trust_database:
            check_age(anchor, time.time_ns() // 1_000_000, period)

    work = Warp(
        network,
        network.states,
        network.sync,
        anchor_of(spec, genesis),
        begin=lambda header: Restoring.begin(path, header),
        required=None if checkpoint is None else checkpoint.hash,
        resumed=Restoring.resume(path),
        check_trust=check_trust,
    )
    await network.start()
    try:
        restoring, blocks = await work.run()
    except CannotWarp as why:
        log.warning("snapshot sync is not possible, executing blocks from genesis instead: %s", why)
        return False
    finally:
        await network.stop()
    meta = {GENESIS_PROOF: proof_of(genesis)}
    for epoch, block in enumerate(blocks):  # the first one ends epoch 0
        meta[terminal_key(epoch)] = block.certificate or b""
    restoring.finish(genesis.header, blocks, meta)
    log.info("snapshot sync is done", extra={"number": blocks[-1].header.number, "pieces": work.pieces})
    return True


async def warp_until(stop: asyncio.Event, config: NodeConfig, network: NetworkConfig, static_key: bytes) -> None:
    """Do it unless `stop` is set meanwhile; what was fetched stays.

    Raises:
        Rejected, Unavailable: as `warp`.
    """
    making, stopping = spawn(warp(config, network, static_key), "snapshot sync"), spawn(stop.wait(), "stop")
    try:
        await asyncio.wait((making, stopping), return_when=asyncio.FIRST_COMPLETED)
        if making.done():
            making.result()
    finally:
        await cancel([making, stopping])
