"""What an operator watches: is the chain final, does this node vote, does anything run late.

One object listens to the chain, looks at consensus once a second, and measures how late the event loop wakes it:
whoever blocks the loop for long shows there first.

Figures of other rooms (pool, JSON-RPC, process) are declared where they arise.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aitoken.types import Hash32
from node.driver.roundstate import RoundState
from node.ports import Block
from node.telemetry.metrics import Metrics

PERIOD_S: Final = 1.0
LAG_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)
REMEMBERED_MAX: Final = 256
"""Blocks seen and not yet final whose time is kept."""


class OperatorMetrics:
    """Measures for people who run a node (`node.ports.ChainListener`)."""

    def __init__(
        self,
        metrics: Metrics,
        data_dir: Path,
        look: Callable[[], RoundState],
        peers: Callable[[], int],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Declare everything; `look` and `peers` are asked once a second."""
        self._look = look
        self._peers = peers
        self._data_dir = data_dir
        self._now = now
        self._executed: dict[Hash32, float] = {}
        self._at = (-1, -1)
        self._entered = 0.0
        self._best = metrics.gauge("chain_best_height", "Height of the best block.")
        self._final = metrics.gauge("chain_final_height", "Height of the last final block.")
        self._final_at = metrics.gauge("chain_final_time_seconds", "When a block was last made final, Unix time.")
        self._finality = metrics.histogram("chain_finality_ms", "From a block's execution here to its finality.")
        self._extrinsics = metrics.counter("chain_extrinsics_final", "Extrinsics in final blocks.")
        self._epoch = metrics.gauge("consensus_epoch", "The running epoch.")
        self._view = metrics.gauge("consensus_view", "The current view of the epoch.")
        self._behind = metrics.gauge("consensus_views_since_final", "Views since the last final one.")
        self._round = metrics.histogram("consensus_round_ms", "How long views took, as seen once a second.")
        self._voting = metrics.gauge("consensus_voting", "Whether this node votes: 1 or 0.")
        self._stopped = metrics.gauge("consensus_stopped", "Whether this node stopped after an alarm: 1 or 0.")
        self._made = metrics.gauge("consensus_votes_made", "Own votes since the start.")
        self._missed = metrics.gauge("consensus_votes_missed", "Views since the start without an own vote.")
        self._silent = metrics.gauge("consensus_silent_validators", "Validators unheard in the current view.")
        self._unreachable = metrics.gauge("consensus_unreachable_validators", "Validators without a connection.")
        self._connected = metrics.gauge("net_peers", "Connected peers.")
        self._lag = metrics.histogram("process_loop_lag_ms", "How late the event loop woke up.", buckets=LAG_MS)
        self._free = metrics.gauge("disk_free_bytes", "Free space where the data lies.")

    def begin(self, best: int, final: int) -> None:
        """Set the heights the node wakes up with."""
        self._best.set(best)
        self._final.set(final)

    def on_block(self, block: Block) -> None:
        """A block was executed."""
        self._executed[block.hash] = self._now()
        if len(self._executed) > REMEMBERED_MAX:
            del self._executed[next(iter(self._executed))]

    def on_best(self, block: Block) -> None:
        """The best block moved."""
        self._best.set(block.number)

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Blocks became final."""
        now = self._now()
        for block in blocks:
            executed = self._executed.pop(block.hash, None)
            if executed is not None:
                self._finality.observe((now - executed) * 1000)
            self._extrinsics.inc(len(block.body))
            self._final.set(block.number)
        for block_hash in pruned:
            self._executed.pop(block_hash, None)
        self._final_at.set(time.time())

    def sample(self, lag_s: float) -> None:
        """Look at consensus and disk; the event loop woke up `lag_s` late."""
        self._lag.observe(max(lag_s, 0.0) * 1000)
        state = self._look()
        at = (state.epoch, state.view)
        if at != self._at:
            views = state.view - self._at[1] if state.epoch == self._at[0] else 1
            if self._at[0] >= 0:
                self._round.observe((self._now() - self._entered) * 1000 / max(views, 1))
            self._at, self._entered = at, self._now()
        self._epoch.set(state.epoch)
        self._view.set(state.view)
        self._behind.set(max(state.view - state.final_view - 1, 0))
        self._voting.set(state.voting)
        self._stopped.set(state.stopped)
        self._made.set(state.votes_made)
        self._missed.set(state.votes_missed)
        self._silent.set(len(state.silent))
        self._unreachable.set(len(state.unreachable))
        self._connected.set(self._peers())
        self._free.set(shutil.disk_usage(self._data_dir).free)

    async def run(self) -> None:
        """Sample once a second, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            wanted = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.sample(loop.time() - wanted)
