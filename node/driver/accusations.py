"""Evidence that is formed here or heard of peers: checked, told once for each validator and epoch, passed on.

One offence costs a validator all that its epoch will ever cost it, so a second one of the same epoch is no news: a liar
that signs thousands of votes fills no memory and costs nobody a signature check. Evidence that proves nothing is its
sender's fault. The epoch before the running one is looked at as well, for what is found at its end travels late.

A node never accuses itself: evidence against its own key shows that another process signs with it, so its votes are
given to the core, which then stops voting. Source: section 13.2 of the consensus paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aitoken.proto.votes import BadSignature
from consensus import inputs
from consensus.epochs import Epoch
from consensus.evidence import offence_of
from consensus.messages import Evidence
from consensus.types import Peer

if TYPE_CHECKING:
    from node.driver.driver import Driver


class Accusations:
    """Who is known to have lied, in the running epoch and the one before."""

    def __init__(self, driver: Driver, epoch: Epoch) -> None:
        self._driver = driver
        self._running = epoch
        self._ended: Epoch | None = None
        self._known: set[tuple[int, int]] = set()

    def begin_epoch(self, epoch: Epoch) -> None:
        """Another epoch runs."""
        self._ended, self._running = self._running, epoch
        self._known = {key for key in self._known if key[0] >= self._ended.index}

    def is_news(self, evidence: Evidence) -> bool:
        """Note whom the evidence accuses, for which epoch; False when that was known."""
        key = (evidence.first.epoch, evidence.first.signer)
        if key in self._known:
            return False
        self._known.add(key)
        return True

    def hear(self, peer: Peer, evidence: Evidence) -> None:
        """Take evidence of a peer.

        Raises:
            BadSignature: it proves nothing.
        """
        if offence_of(evidence) is None:
            raise BadSignature("evidence that proves nothing")
        number, signer = evidence.first.epoch, evidence.first.signer
        epoch = next((each for each in (self._running, self._ended) if each is not None and each.index == number), None)
        if epoch is None or (number, signer) in self._known:
            return
        self._check(evidence, epoch)
        if epoch.validators.keys[signer] == self._own_key():
            self._hear_of_twin(evidence)
        elif self.is_news(evidence):
            self._driver.observer.evidence(evidence)
            self._driver.relay(peer, evidence)

    def _check(self, evidence: Evidence, epoch: Epoch) -> None:
        driver, signer = self._driver, evidence.first.signer
        if signer >= len(epoch.validators):
            raise BadSignature("evidence against nobody")
        public = epoch.validators.keys[signer]
        for vote in (evidence.first, evidence.second):
            if not driver.verify(vote.signature, vote.sign_bytes(driver.genesis_hash), public):
                raise BadSignature(f"evidence against validator {signer}")

    def _own_key(self) -> bytes | None:
        core = self._driver.core
        return None if core.state.me is None else core.epoch.validators.keys[core.state.me]

    def _hear_of_twin(self, evidence: Evidence) -> None:
        for vote in (evidence.first, evidence.second):
            if vote.epoch == self._running.index and self._driver.core.wants_vote(vote):
                self._driver.step(inputs.VoteReceived(vote))
