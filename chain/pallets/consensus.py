"""Consensus: what the agreement below the chain needs to know of it.

One consensus epoch is one session of validators. The last block of a session carries a `NextEpoch` digest item: keys
and weights of those who vote in the next one, and the seed of its leader schedule, which is made of the VRF outputs of
the leaders of all blocks of the session (`aitoken.proto.randomness`). The output of a block made elsewhere is believed
only with its proof; that costs as much as eleven signatures, once a block.

Evidence: two votes of one validator in one view that exclude each other cost it a part of its stake, once an epoch, as
long as the stake of that epoch is bonded (`aitoken.proto.offences` says which pairs; Offences says how much). What was
proven is kept for ever: it is little, for each entry costs a validator stake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.hints import Bytes32, Bytes64, TypeName, u8, u16, u64
from aitoken.codec.records import Record, record
from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Bug
from aitoken.proto import randomness
from aitoken.proto.digest import Digest, DigestItem, NextEpoch, next_epoch_item, smpx_of
from aitoken.proto.offences import offence_of
from aitoken.proto.votes import Vote
from aitoken.types import AccountId, BlockNumber, Hash32
from chain.frame.calls import Call, PostInfo, call
from chain.frame.errors import BadProof, InvalidBlock, InvalidTransaction, Stale
from chain.frame.executive import ValidTransaction
from chain.frame.origin import Origin, ensure_none, ensure_signed
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, runtime_api
from chain.frame.storage import TWOX_64_CONCAT, Map, Value, storage_map, value
from chain.frame.types import DispatchClass, Pays, Perbill
from chain.pallets.equivocations import Equivocation, Offence, OffenceHistory, Offender, ReportStatus

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.historical import Member
    from chain.pallets.staking.types import Penalty

Authorities = list[tuple[bytes, int]]


class Header(Protocol):
    """The block being executed."""

    def current_number(self) -> BlockNumber:
        """Its number."""

    def current_digest(self) -> Digest:
        """Its digest so far."""

    def deposit_log(self, item: DigestItem) -> None:
        """Add an item to its digest."""

    def hash_of(self, number: int) -> Hash32 | None:
        """The hash of a recent block, and of genesis."""


class Past(Protocol):
    """Who validated when; the Historical pallet."""

    def members_of(self, session: int) -> Sequence[Member]:
        """The validators of a session, by index."""


class Court(Protocol):
    """Where offences go; the Offences pallet."""

    def is_known(self, offender: AccountId, session: int) -> bool:
        """Whether this one was reported."""

    def report_equivocation(
        self, offender: AccountId, session: int, members: Sequence[Member], reporters: Sequence[AccountId]
    ) -> int:
        """Record it and punish; the fraction of the stake in billionths."""


class Eras(Protocol):
    """What can still be punished, and what it cost; the Staking pallet."""

    def era_of(self, session: int) -> int | None:
        """The era of a session, None where it is too old."""

    def now_active(self) -> int:
        """The era that runs."""

    def penalties_of(self, validator: AccountId) -> list[Penalty]:
        """The slashes a validator ever met, oldest first."""


class Bench(Protocol):
    """Where offenders sit; the Session pallet."""

    def disable(self, who: AccountId, severity: int) -> None:
        """Mark a validator of the running session."""


class Author(Protocol):
    """Who made the current block."""

    def current_author(self) -> AccountId | None:
        """Return the author's account."""


@record("pallet_consensus::SignedVote")
class SignedVote(Record):
    """One vote of a pair: 1 NOTARIZE, 2 NULLIFY, 3 FINALIZE; the hash is zero where no block is named."""

    kind: u8
    hash: Bytes32
    signature: Bytes64


@record("pallet_consensus::EquivocationProof")
class EquivocationProof(Record):
    """Two votes of one validator in one view that exclude each other."""

    epoch: u64
    view: u64
    signer: u16
    first: SignedVote
    second: SignedVote

    def votes(self) -> tuple[Vote, Vote]:
        """Return the two votes as they were signed."""
        first, second = (
            Vote(each.kind, self.epoch, self.view, Hash32(each.hash), self.signer, each.signature)
            for each in (self.first, self.second)
        )
        return first, second


def proof_of(first: Vote, second: Vote) -> EquivocationProof:
    """Return two votes of one signer in one view in the form the chain takes them, the same whichever came first."""
    pair = sorted((first, second), key=lambda vote: (vote.kind, vote.hash))
    signed = [SignedVote(vote.kind, vote.hash, vote.signature) for vote in pair]
    return EquivocationProof(first.epoch, first.view, first.signer, *signed)


Proof = Annotated[EquivocationProof, TypeName("EquivocationProof")]
REPORT_PRIORITY: Final = 2**64 - 2
"""Before every transaction: a report is worth more than any fee."""
REPORT_LONGEVITY: Final = 4_096
"""Blocks a report waits in pools; its window is longer, but it is sent again."""


def _no_epoch() -> NextEpoch:
    return NextEpoch(0, [], bytes(32), 0, 1)


class Consensus(Pallet, index=11, crate="pallet_consensus"):
    """Epochs of the agreement: who votes, with which weight, led in which order."""

    current_epoch: Value[NextEpoch] = value(
        default=_no_epoch, doc="The epoch the next block belongs to: its validators, seed, base block and length."
    )
    equivocations: Map[u64, list[Equivocation]] = storage_map(
        TWOX_64_CONCAT, doc="Proven equivocations, by epoch, in the order of their reports."
    )
    mix: Value[Bytes32] = value(doc="Hash over the VRF outputs of the blocks of this epoch so far.")

    class Event(Events):
        """What Consensus tells."""

        class Equivocated(Ev, index=0):
            """A validator signed two votes of one view that exclude each other, and loses a part of its stake."""

            validator: AccountId
            epoch: u64
            view: u64
            fraction: Perbill

    class Error(Errors):
        """How Consensus fails."""

        class InvalidEquivocationProof(Err, index=0):
            """The two votes prove nothing, or a signature does not fit the key of that epoch."""

        class DuplicateOffenceReport(Err, index=1):
            """This validator has been punished for this epoch already."""

        class TooOld(Err, index=2):
            """Stake that stood behind this epoch may have left: it cannot be punished any more."""

    def __init__(self, machine: Machine, header: Header) -> None:
        super().__init__(machine)
        self._header = header
        self._judges: tuple[Past, Court, Eras, Bench, Author] | None = None

    def report_to(self, past: Past, court: Court, eras: Eras, bench: Bench, author: Author) -> None:
        """Have evidence judged; these pallets are constructed after this one."""
        self._judges = (past, court, eras, bench, author)

    # --------------------------------------------------------------------------------------------- evidence

    @call(0, dispatch_class=DispatchClass.Operational)
    def report_equivocation(self, origin: Origin, proof: Proof) -> PostInfo:
        """Report two votes that exclude each other. Who is first gets a part of the slash and pays no fee."""
        self._report(proof, [ensure_signed(origin)])
        return PostInfo(pays=Pays.No)

    @call(1, dispatch_class=DispatchClass.Operational)
    def report_equivocation_unsigned(self, origin: Origin, proof: Proof) -> None:
        """Report without an account, as validators do; the reward goes to the author of the block."""
        ensure_none(origin)
        author = self._bound()[4].current_author()
        self._report(proof, [] if author is None else [author])

    def check_unsigned(self, call: Call) -> ValidTransaction:
        """Let valid evidence in without a signature.

        Raises:
            InvalidTransaction: another call, or evidence that is too old.
            BadProof: it proves nothing, in whatever block.
            Stale: the offence is punished already.
        """
        if call.info.name != "report_equivocation_unsigned":
            raise InvalidTransaction
        proof: EquivocationProof = call.args[0]
        try:
            offender = self._offender(proof)
        except self.Error.DuplicateOffenceReport:
            raise Stale from None
        except self.Error.InvalidEquivocationProof:
            raise BadProof from None
        except self.Error.TooOld:
            raise InvalidTransaction from None
        tag = blake2_256(offender + proof.epoch.to_bytes(8, "little"))
        return ValidTransaction(REPORT_PRIORITY, (), (tag,), REPORT_LONGEVITY)

    def _bound(self) -> tuple[Past, Court, Eras, Bench, Author]:
        if self._judges is None:
            raise Bug("nobody judges evidence")
        return self._judges

    def _report(self, proof: EquivocationProof, reporters: list[AccountId]) -> None:
        past, court, _, bench, _ = self._bound()
        offender = self._offender(proof)
        others = [who for who in reporters if who != offender]  # nobody is paid for a report of itself
        fraction = court.report_equivocation(offender, proof.epoch, past.members_of(proof.epoch), others)
        bench.disable(offender, fraction)
        self._note(offender, proof, fraction)
        self.emit(self.Event.Equivocated(offender, proof.epoch, proof.view, fraction))

    def _note(self, offender: AccountId, proof: EquivocationProof, fraction: int) -> None:
        """Keep what was proven; all who offended in an epoch lose the same fraction."""
        rows = []
        for row in self.equivocations.get(proof.epoch):
            raised = row.copy()
            raised.fraction = fraction
            rows.append(raised)
        offence, era = offence_of(*proof.votes()), self._bound()[2].era_of(proof.epoch)
        if offence is None or era is None:
            raise Bug("a report was taken that proves nothing or is too old")
        number = self._header.current_number()
        rows.append(Equivocation(offender, proof.epoch, proof.view, Offence(offence), fraction, era, number))
        self.equivocations.put(proof.epoch, rows)

    def _offender(self, proof: EquivocationProof) -> AccountId:
        """Return who signed both votes, after checking that they exclude each other and can be punished."""
        past, court, eras, _, _ = self._bound()
        first, second = proof.votes()
        if offence_of(first, second) is None:
            raise self.Error.InvalidEquivocationProof
        members = past.members_of(proof.epoch)
        if not members or eras.era_of(proof.epoch) is None:
            raise self.Error.TooOld
        if proof.signer >= len(members):
            raise self.Error.InvalidEquivocationProof
        member = members[proof.signer]
        if court.is_known(member.validator, proof.epoch):
            raise self.Error.DuplicateOffenceReport
        genesis = self._genesis_hash()
        for vote in (first, second):
            if not ed25519.verify(vote.signature, vote.sign_bytes(genesis), member.key):
                raise self.Error.InvalidEquivocationProof
        return member.validator

    # --------------------------------------------------------------------------------------------- epochs

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - the same for every block
        """Add the output of the block's leader to the mix."""
        output = smpx_of(self._header.current_digest()).vrf_output
        self.mix.put(randomness.mixed(self.mix.get(), output))
        return self.cost_of("on_initialize").base  # check_given included

    def check_given(self, number: BlockNumber) -> None:
        """Refuse a block of another epoch, or whose VRF output is not its leader's for that view."""
        smpx, epoch = smpx_of(self._header.current_digest()), self.current_epoch.get()
        if smpx.epoch != epoch.epoch or smpx.leader >= len(epoch.authorities):
            raise InvalidBlock(f"block {number}: no validator {smpx.leader} of epoch {smpx.epoch} makes it")
        message = randomness.message_of(self._genesis_hash(), bytes(epoch.seed), epoch.epoch, smpx.view)
        key = bytes(epoch.authorities[smpx.leader][0])
        if not randomness.verify(smpx.vrf_output, smpx.vrf_proof, message, key):
            raise InvalidBlock(f"block {number}: the VRF output is not that of validator {smpx.leader}")

    def _genesis_hash(self) -> Hash32:
        genesis = self._header.hash_of(0)
        if genesis is None:
            raise Bug("the hash of genesis is not stored")
        return genesis

    def on_new_session(self, index: int, authorities: Sequence[tuple[bytes, int]]) -> bytes:
        """Announce the epoch that starts after this block; return the seed of its leaders.

        Args:
            index: of the session, hence of the epoch.
            authorities: ed25519 key and voting weight of each validator, by index.
        """
        last = self.current_epoch.get()
        number = self._header.current_number()
        seed = randomness.seed_after(bytes(last.seed), index, self.mix.get())
        announced = NextEpoch(index, list(authorities), seed, number, last.length)
        self.current_epoch.put(announced)
        self.mix.put(randomness.NO_MIX)
        self._header.deposit_log(next_epoch_item(announced))
        return seed

    @runtime_api("ConsensusApi", 2)
    def epoch(self) -> NextEpoch:
        """Return the epoch the next block belongs to."""
        return self.current_epoch.get()

    # --------------------------------------------------------------------------------------------- questions

    @runtime_api("ConsensusApi", 2)
    def report_status(self, proof: Proof) -> ReportStatus:
        """Return what a report would meet in the next block."""
        if proof.epoch > self.current_epoch.get().epoch or self._header.hash_of(0) is None:
            return ReportStatus.Early  # the state of genesis itself does not know its hash
        try:
            self._offender(proof)
        except self.Error.DuplicateOffenceReport:
            return ReportStatus.Punished
        except self.Error.TooOld:
            return ReportStatus.TooOld
        except self.Error.InvalidEquivocationProof:
            return ReportStatus.Invalid
        return ReportStatus.Open

    @runtime_api("ConsensusApi", 2)
    def offences(self) -> OffenceHistory:
        """Return every validator that was ever proven to equivocate, the first one first, and what it cost."""
        found: dict[AccountId, list[Equivocation]] = {}
        rows = sorted(self.equivocations.items(), key=lambda item: item[0])
        for row in (each for _, of_epoch in rows for each in of_epoch):
            found.setdefault(row.validator, []).append(row)
        eras = self._bound()[2]
        offenders = [Offender(who, equivocations, eras.penalties_of(who)) for who, equivocations in found.items()]
        return OffenceHistory(eras.now_active(), offenders)
