"""The own key and its votes: which key, whether it may vote now, and its signature.

A vote needs the leave of both: of the key's past (`consensus.permission`) and of what is known now
(`node.driver.guard`). A key of unknown past holds, and asks its peers where they stand until it is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aitoken.errors import Bug, Unavailable
from aitoken.proto.votes import Vote
from aitoken.types import Hash32
from consensus import inputs
from consensus.epochs import Epoch
from consensus.journal import Opening, Replay, decode_record, replay
from consensus.messages import Status
from consensus.permission import Permission
from consensus.signed import VoteRefused
from consensus.signing import SigningTable
from consensus.types import Pace, Peer
from node.driver.guard import Guard
from node.driver.ports import Signer, VotingRecord

if TYPE_CHECKING:
    from node.driver.driver import Driver

HOLD_DELTAS: Final = 30
"""A new key at genesis waits to hear a quorum, but not longer than this after the first answer: on a thin graph it
never hears one. Whoever says that the chain left genesis has as long again to show a certificate."""


class SignerForgot(Unavailable):
    """The signer's memory lacks a vote of ours: it was replaced by an older one."""

    code = "signer.older_state"


class Voting:
    """Signs for the driver what may be signed.

    Attributes:
        key: the present key, zeros without one.
        permission: where it may vote, by its past.
        guard: whether it may vote, by what is known now.
        table: what it signed in this epoch.
    """

    def __init__(
        self,
        driver: Driver,
        signer: Signer | None,
        record: VotingRecord,
        pace: Pace,
        epoch: Epoch,
        watch_ms: int,
    ) -> None:
        self._driver = driver
        self._signer = signer
        self._record = record
        self._pace = pace
        self._refused: set[tuple[int, int]] = set()
        self._looked_in = (0, 0)
        if signer is not None:
            signer.choose(epoch.validators.keys)
        self.key = bytes(32) if signer is None else signer.public
        self.permission = Permission(self.key, 0, None, None, force=False)
        self.guard = Guard(driver.clock, watch_ms, driver.is_behind, self.allow)
        self.table = SigningTable(epoch.index)

    def read(self, journal: Sequence[bytes] | None, epoch: Epoch) -> tuple[Replay | None, bool]:
        """Return what the journal holds, and whether it goes on; None where there is none that is intact.

        A journal of another of our keys is no strangers': where the epoch lists none of our keys, the key stays; where
        the process ended between the epochs, the listed key may vote where the one before it might have.

        Raises:
            DamagedJournal: it does not read, or is another chain's or key's.
        """
        if journal is None:
            return None, False
        genesis_hash, signer = self._driver.genesis_hash, self._signer
        first = decode_record(journal[0]) if journal else None
        if signer is not None and isinstance(first, Opening) and first.key != self.key:
            listed = self.key
            signer.choose([first.key])
            if self.me(epoch) is None:
                self.key = signer.public
            elif signer.public == first.key and first.epoch + 1 == epoch.index:
                signer.choose([listed])
                before = replay(journal, genesis_hash, first.key, epoch.index).opening
                return Replay(replace(before, key=listed), [], [], []), False
        return replay(journal, genesis_hash, self.key, epoch.index), True

    def begin(self, epoch: Epoch, found: Replay | None, *, force: bool) -> None:
        """The process starts with this journal, None without an intact one.

        Raises:
            SignerForgot: the signer's memory is older than the journal.
        """
        signer = self._signer
        force = force or signer is None or (found is None and signer.remembers)
        self.permission = Permission(self.key, epoch.index, found, self._record.epoch, force=force)
        if found is not None:
            self._check_memory(found.own_votes)
        self.guard.begin()
        me, validators = self.me(epoch), epoch.validators
        if me is not None and validators.weights[me] >= validators.quorum:
            self.guard.watch.heard()  # nobody else is needed, so nobody may ever say anything

    def begin_epoch(self, epoch: Epoch, votes: Sequence[Vote]) -> bool:
        """Return whether to vote in an epoch that begins, where these votes were made already."""
        self._refused.clear()
        self.table = SigningTable(epoch.index)
        for vote in votes:
            self.table.restore(vote)
        self.guard.begin_epoch()
        may = self._may_vote(epoch)
        if may:
            self._record_epoch(epoch.index)
        return may

    def choose_key(self, epoch: Epoch) -> None:
        """Vote with the key that an epoch lists: where the one before it might have, and its own memory allows."""
        signer = self._signer
        if signer is None:
            return
        signer.choose(epoch.validators.keys)
        if signer.public != self.key:
            self.key, held = signer.public, self.permission
            opening = Opening(
                self._driver.genesis_hash, self.key, epoch.index, held.votes_from, held.floor(epoch.index)
            )
            self.permission = Permission(self.key, epoch.index, Replay(opening, [], [], []), None, force=False)

    def me(self, epoch: Epoch) -> int | None:
        """Return the index of the own key in an epoch."""
        return None if self._signer is None else epoch.validators.index_of(self.key)

    def opening(self, epoch: int) -> Opening:
        """Return the journal record that keeps where the key may vote."""
        return self.permission.opening(self._driver.genesis_hash, epoch)

    def sign(self, kind: int, epoch: int, view: int, block_hash: Hash32) -> bytes | None:
        """Return the signature of a vote; None where it is not made.

        Raises:
            Bug: the core asks for what an honest validator never signs; the signature goes nowhere.
        """
        signer = self._signer
        if signer is None:
            raise Bug("a node without a key cannot vote")
        if self.guard.lost or (view, kind) in self._refused:
            return None
        try:
            signature = signer.sign_vote(kind, epoch, view, block_hash, self._driver.core.final.view)
        except VoteRefused:
            self._refused.add((view, kind))
            return None
        except Unavailable:
            self.guard.lost = True
            return None
        self.table.check(kind, epoch, view, block_hash)
        return signature

    def prove_view(self, epoch: Epoch, view: int) -> bytes | None:
        """Return the VRF proof for a view this node leads; None where the signer does not answer."""
        signer = self._signer
        if signer is None:
            raise Bug("a node without a key leads no view")
        if self.guard.lost:
            return None
        try:
            return signer.prove_view(epoch.index, view, epoch.seed)
        except Unavailable:
            self.guard.lost = True
            return None

    def is_twin(self, vote: Vote, *, present: bool) -> bool:
        """Whether a vote by our key that is not ours is another process's for certain; `present`: of this epoch."""
        allowed = self.permission.may_vote(vote.epoch) and vote.view > self.permission.floor(vote.epoch)
        return self.guard.is_twin(certain=present and allowed)

    def allow(self) -> None:
        """Vote, if no reason against it is left."""
        driver = self._driver
        epoch = driver.core.epoch
        if not driver.stopped and not driver.core.voting and self._may_vote(epoch):
            self._record_epoch(epoch.index)
            driver.step(inputs.VotingAllowed(self.permission.floor(epoch.index)))

    # A key of which nothing is known.

    def hear(self, peer: Peer, status: Status) -> None:
        """A peer says where it stands."""
        if self.permission.holds:
            if self.permission.heard_nobody:
                self._driver.clock.call_later(HOLD_DELTAS * self._pace.delta_ms, self._end_hold_after_a_while)
            self.permission.hear(peer, status, self.me(self._driver.core.epoch))
            self.look_at_hold()

    def look_at_hold(self) -> None:
        """End holding where enough is known."""
        if not self.permission.holds:
            return
        epoch, peer_of = self._driver.core.epoch, self._driver.transport.validator
        if self._is_at_genesis():
            if self.permission.knows_enough_at_genesis(epoch.validators, peer_of):
                self._end_hold_at_genesis()
        elif self.permission.end_if_known(epoch.index, epoch.validators, peer_of, self._driver.core.open_view):
            self._end_hold()

    def look_in_view(self) -> None:
        """Where the core goes on, what was told before may be enough: once a view, when the block below it is here."""
        core = self._driver.core
        view = (core.epoch.index, core.view)
        if view != self._looked_in and core.open_view:
            self._looked_in = view
            self.look_at_hold()

    def ask_while_holding(self) -> None:
        """Tell where we stand, and so ask the others, again and again."""
        driver = self._driver
        if self.permission.holds and not driver.stopped:
            driver.broadcast(driver.core.status())
            driver.clock.call_later(self._pace.status_interval_ms, self.ask_while_holding)

    def _is_at_genesis(self) -> bool:
        """Whether there is no certificate yet, as far as anybody proved; what peers merely say does not count."""
        core = self._driver.core
        return self._driver.committed.number == 0 and core.epoch.index == 0 and core.view <= 1

    def _end_hold_after_a_while(self) -> None:
        if self.permission.heard_of_movement:
            self._driver.clock.call_later(HOLD_DELTAS * self._pace.delta_ms, self._end_hold_at_genesis)
        else:
            self._end_hold_at_genesis()

    def _end_hold_at_genesis(self) -> None:
        if self.permission.holds and self._is_at_genesis() and not self._driver.stopped:
            self.permission.end_at_genesis()
            self._end_hold()

    def _end_hold(self) -> None:
        self._driver.write_down(self.opening(self._driver.core.epoch.index))
        self.allow()

    def _may_vote(self, epoch: Epoch) -> bool:
        return self.me(epoch) is not None and self.permission.may_vote(epoch.index) and self.guard.allows

    def _record_epoch(self, index: int) -> None:
        recorded = self._record.epoch
        if recorded is None or recorded < index:
            self._record.raise_to(index)

    def _check_memory(self, votes: Sequence[Vote]) -> None:
        """Whether the signer remembers these votes; the last one is noted where it does not.

        Of that one the power may have gone while journal and signer wrote it at the same time, each on its own.
        """
        signer = self._signer
        for vote in votes if signer is not None else ():
            if signer is None or signer.knows(vote.kind, vote.epoch, vote.view, vote.hash):
                continue
            if vote is votes[-1] and self._is_noted_now(signer, vote):
                continue
            raise SignerForgot(
                f"the journal holds a vote of this key in epoch {vote.epoch}, view {vote.view} that its sign-state "
                "does not know: the sign-state is an older copy. Put the newer one back, or set new session keys"
            )

    def _is_noted_now(self, signer: Signer, vote: Vote) -> bool:
        try:
            return signer.sign_vote(vote.kind, vote.epoch, vote.view, vote.hash, 0) == vote.signature
        except (VoteRefused, Unavailable):
            return False
