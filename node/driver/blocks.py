"""The blocks in play above the committed one, and the verdict of executing each, once.

Blocks come in as part of a proposal for the core's window, as answers to our own requests, or from the syncer in
bounded ranges; nothing unsolicited is kept, so the store is as bounded as those are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.types import Block
from node.driver.ports import Executor

KNOWN_MAX: Final = 1024
"""Blocks kept; more than any window, gap or range needs. The lowest stay, for they are needed first."""


class Blocks:
    """Blocks by hash, with what their execution said."""

    def __init__(self, executor: Executor, on_verdict: Callable[[Hash32, bool], None]) -> None:
        self._executor = executor
        self._on_verdict = on_verdict
        self._known: dict[Hash32, Block] = {}
        self._verdicts: dict[Hash32, bool] = {}
        self._running: dict[Hash32, list[Callable[[bool], None]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, block_hash: Hash32) -> Block | None:
        """Return a block in play."""
        return self._known.get(block_hash)

    def add(self, block: Block) -> None:
        """Keep a block."""
        if block.hash in self._known:
            return
        self._known[block.hash] = block
        if len(self._known) > KNOWN_MAX:
            highest = max(self._known.values(), key=lambda known: known.number)
            del self._known[highest.hash]

    def verdict(self, block_hash: Hash32) -> bool | None:
        """Return whether the block is valid, None before it was executed."""
        return self._verdicts.get(block_hash)

    def note_built(self, block: Block) -> None:
        """An own block was executed while it was built."""
        self.add(block)
        self._verdicts[block.hash] = True

    def execute(self, block: Block, done: Callable[[bool], None] | None = None) -> None:
        """Execute a block whose parent is executed or committed; every block at most once."""
        verdict = self._verdicts.get(block.hash)
        if verdict is not None:
            if done is not None:
                done(verdict)
            self._on_verdict(block.hash, verdict)
            return
        waiting = self._running.get(block.hash)
        if waiting is None:
            self._running[block.hash] = [] if done is None else [done]
            self._executor.verify(block, lambda valid: self._finish(block.hash, valid=valid))
        elif done is not None:
            waiting.append(done)

    def settle(self, committed: Block, certificate: Certificate) -> None:
        """Forget what can no longer become final: not above the committed block in height, nor in view."""
        settled = (certificate.epoch, certificate.view)
        self._known = {
            h: block
            for h, block in self._known.items()
            if block.number > committed.number and (block.epoch, block.view) > settled
        }
        self._verdicts = {h: verdict for h, verdict in self._verdicts.items() if h in self._known}

    def _finish(self, block_hash: Hash32, *, valid: bool) -> None:
        waiting = self._running.pop(block_hash, [])
        self._verdicts[block_hash] = valid
        for done in waiting:
            done(valid)
        self._on_verdict(block_hash, valid)
