"""Offences: reports of what validators did, once each, and what they cost.

    fraction(equivocation) = max(2 %, min(1, (3 * share)^2)),   share = weight of all who offended in the epoch / all

So one small validator that made a mistake loses 2 %, a third of the weight together loses all. A second offender in
an epoch raises the fraction of the first ones too; Staking takes the difference. Weight and not heads is counted, for
votes count by weight: who splits its stake over many validators gains nothing.

Source: `pallet_offences`, runtime paper section 3.6 (the consensus paper's count of heads and lower floors not taken).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.hints import TypeName
from aitoken.codec.primitives import Bytes, FixedBytes
from aitoken.codec.records import Record, record
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Hash32
from chain.frame.pallet import Ev, Events, Pallet
from chain.frame.storage import TWOX_64_CONCAT, Map, OptionMap, storage_map
from chain.frame.types import PERBILL_ONE

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.historical import Member

EQUIVOCATION: Final = b"smpx:equivocatio"
"""The kind of all pairs of votes that exclude each other."""
FLOOR: Final = PERBILL_ONE // 50

Kind = Annotated[bytes, FixedBytes(16), TypeName("Kind")]
TimeSlot = Annotated[bytes, Bytes, TypeName("OpaqueTimeSlot")]
Offender = Annotated[tuple[AccountId], TypeName("Offender")]


@record("sp_staking::offence::OffenceDetails", {"Reporter": AccountId, "Offender": tuple[AccountId]})
class OffenceDetails(Record):
    """Who offended, and who said so."""

    offender: Offender
    reporters: Annotated[list[AccountId], TypeName("Vec<Reporter>")]


class Judge(Protocol):
    """Who takes the money; the Staking pallet."""

    def punish(self, offender: AccountId, session: int, fraction: int, reporters: Sequence[AccountId]) -> None:
        """Slash a validator for what it did in a session."""


def fraction_of(offending: int, total: int) -> int:
    """Return the part of their stake that offenders of this weight lose, in billionths.

    Args:
        offending: the weight of all of them.
        total: the weight of the whole set.
    """
    return max(FLOOR, min(PERBILL_ONE, (3 * offending) ** 2 * PERBILL_ONE // total**2))


class Offences(Pallet, index=10, crate="pallet_offences"):
    """Reports of what validators did, once each, and what they cost."""

    reports: OptionMap[Annotated[Hash32, TypeName("ReportIdOf<T>")], OffenceDetails] = storage_map(
        TWOX_64_CONCAT, doc="The primary structure that holds all offence records keyed by report identifiers."
    )
    concurrent_reports_index: Map[tuple[Kind, TimeSlot], Annotated[list[Hash32], TypeName("Vec<ReportIdOf<T>>")]] = (
        storage_map(
            TWOX_64_CONCAT,
            TWOX_64_CONCAT,
            doc="A vector of reports of the same kind that happened at the same time slot.",
        )
    )

    class Event(Events):
        """What Offences tells."""

        class Offence(Ev, index=0):
            """There is an offence reported of the given `kind` happened at the `session_index`: the epoch, as u64."""

            kind: Kind
            timeslot: TimeSlot

    def __init__(self, machine: Machine, judge: Judge) -> None:
        super().__init__(machine)
        self._judge = judge

    def is_known(self, offender: AccountId, session: int) -> bool:
        """Whether an equivocation of this validator in this session was reported."""
        return self.reports.contains(_report_id(offender, session))

    def report_equivocation(
        self, offender: AccountId, session: int, members: Sequence[Member], reporters: Sequence[AccountId]
    ) -> int:
        """Record an equivocation that was not known and punish all who equivocated in that session.

        Args:
            offender: who did.
            session: when.
            members: the validators of that session, by index.
            reporters: who said so.

        Returns:
            The fraction of their stake that they lose, in billionths.
        """
        report, slot = _report_id(offender, session), _slot(session)
        self.reports.put(report, OffenceDetails((offender,), list(reporters)))
        concurrent = [*self.concurrent_reports_index.get((EQUIVOCATION, slot)), report]
        self.concurrent_reports_index.put((EQUIVOCATION, slot), concurrent)
        found = [details for each in concurrent if (details := self.reports.get(each)) is not None]
        offenders = [details.offender[0] for details in found]
        weights = {member.validator: member.weight for member in members}
        fraction = fraction_of(sum(weights.get(who, 0) for who in offenders), sum(weights.values()))
        self.emit(self.Event.Offence(EQUIVOCATION, slot))
        for details in found:
            self._judge.punish(details.offender[0], session, fraction, details.reporters)
        return fraction


def _slot(session: int) -> bytes:
    return session.to_bytes(8, "little")


def _report_id(offender: AccountId, session: int) -> Hash32:
    return Hash32(blake2_256(EQUIVOCATION + _slot(session) + offender))
