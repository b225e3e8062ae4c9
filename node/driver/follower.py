"""Commits what is final: fetches what is missing, executes what is not, in order, whatever the core is doing.

Upon a finalization: walk from its block down to the committed one. Where a block is missing, ask for it; where all are
here, execute those that are not, lowest first, and commit the certificate's block with its ancestors in one batch.
None of it depends on the core being alive: an epoch may be over before its last block has arrived.

A final block that does not extend the committed chain, or that execution refuses, means that a third of the weight is
dishonest or that a program is wrong: stop, never repair (`on_conflict`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.messages import GetBlock
from consensus.types import Block, Peer
from node.driver.blocks import KNOWN_MAX, Blocks
from node.driver.ports import Executor
from node.driver.requests import Requests

TARGETS_MAX: Final = 64


class Follower:
    """The committed block and the finalizations above it.

    Args:
        blocks: the blocks in play.
        executor: commits.
        requests: asks peers for blocks.
        holders: peers that signed a certificate.
        on_committed: told of every commit, when it is durable.
        on_missing: told of a finalization whose block or ancestor is not here.
        on_conflict: told of a safety violation, with the reason.
    """

    def __init__(
        self,
        committed: Block,
        blocks: Blocks,
        executor: Executor,
        requests: Requests,
        *,
        holders: Callable[[Certificate], list[Peer]],
        on_committed: Callable[[Block, Certificate], None],
        on_missing: Callable[[Certificate], None],
        on_conflict: Callable[[str, Certificate], None],
    ) -> None:
        self.committed = committed
        self.certificate: Certificate | None = None
        self._blocks = blocks
        self._executor = executor
        self._requests = requests
        self._holders = holders
        self._on_committed = on_committed
        self._on_missing = on_missing
        self._on_conflict = on_conflict
        self._targets: dict[int, Certificate] = {}
        self._busy = False
        self._stopped = False
        self._told: Hash32 | None = None

    @property
    def target(self) -> Certificate | None:
        """The highest finalization that is not committed yet."""
        return self._targets[max(self._targets)] if self._targets else None

    def add(self, certificate: Certificate) -> None:
        """Take a verified finalization of the running epoch as a target.

        One of a lower view than that of the committed block is old news: it names an ancestor, and arrives last where
        two peers serve overlapping ranges.
        """
        if certificate.hash == self.committed.hash:
            self.certificate = certificate
            return
        newest = self.certificate
        if newest is not None and (certificate.epoch, certificate.view) < (newest.epoch, newest.view):
            return
        self._targets[certificate.view] = certificate
        if len(self._targets) > TARGETS_MAX:
            del self._targets[sorted(self._targets)[-2]]
        self.advance()

    def begin_epoch(self) -> None:
        """Forget the targets of the epoch that ended."""
        self._targets.clear()
        self._told = None

    def stop(self) -> None:
        """Commit nothing any more."""
        self._stopped = True

    def advance(self) -> None:
        """Go on with whatever is possible."""
        if self._busy or self._stopped:
            return
        for view in sorted(self._targets, reverse=True):
            certificate = self._targets[view]
            path = self._path(certificate)
            if path is not None:
                self._busy = True
                self._execute(certificate, path)
                return
            if self._stopped:
                return

    def _path(self, certificate: Certificate) -> list[Block] | None:
        """Return the blocks above the committed one, highest first; None when one is missing (and asked for)."""
        path: list[Block] = []
        at = certificate.hash
        while at != self.committed.hash:
            block = self._blocks.get(at)
            if block is None:
                self._fetch(at, certificate)
                return None
            if block.number <= self.committed.number:
                self._conflict("a final block does not extend the committed chain", certificate)
                return None
            path.append(block)
            at = block.parent_hash
        return path

    def _fetch(self, block_hash: Hash32, certificate: Certificate) -> None:
        if self._told != certificate.hash and certificate is self.target:
            self._told = certificate.hash
            self._on_missing(certificate)
        if len(self._blocks) < KNOWN_MAX:
            self._requests.ask(
                block_hash,
                GetBlock(block_hash),
                self._holders(certificate),
                lambda: self._blocks.get(block_hash) is not None,
                self.advance,
            )

    def _execute(self, certificate: Certificate, path: list[Block]) -> None:
        while path:
            block = path[-1]
            verdict = self._blocks.verdict(block.hash)
            if verdict is None:
                self._blocks.execute(block, lambda valid: self._executed(certificate, path, valid=valid))
                return
            if not verdict:
                self._conflict(f"execution refuses final block {block.number}", certificate)
                return
            path.pop()
        block_or_none = self._blocks.get(certificate.hash)
        if block_or_none is not None:
            block = block_or_none
            self._executor.commit(certificate, certificate.hash, lambda: self._commit_done(block, certificate))

    def _executed(self, certificate: Certificate, path: list[Block], *, valid: bool) -> None:
        del valid  # read again from the store, with the blocks that were executed before
        if not self._stopped:
            self._execute(certificate, path)

    def _commit_done(self, block: Block, certificate: Certificate) -> None:
        self.committed = block
        self.certificate = certificate
        self._targets = {view: held for view, held in self._targets.items() if view > certificate.view}
        self._blocks.settle(block, certificate)
        self._busy = False
        self._on_committed(block, certificate)
        self.advance()

    def _conflict(self, reason: str, certificate: Certificate) -> None:
        self._stopped = True
        self._on_conflict(reason, certificate)
