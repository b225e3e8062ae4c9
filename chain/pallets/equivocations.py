"""What Consensus keeps and tells of proven equivocations: SCALE types of our own, for people and for reporters."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from aitoken.codec.hints import TypeName, codec_of, u32, u64
from aitoken.codec.records import Record, plain_enum, record
from aitoken.types import AccountId
from chain.frame.types import Perbill
from chain.pallets.staking.types import Penalty


@plain_enum("pallet_consensus::Offence")
class Offence(IntEnum):
    """What two votes prove together; the numbers are those of `aitoken.proto.offences`."""

    DoubleNotarize = 1
    DoubleFinalize = 2
    FinalizeAndNullify = 3


@record("pallet_consensus::Equivocation")
class Equivocation(Record):
    """A validator proven to have signed two votes of one view that exclude each other; once an epoch."""

    validator: AccountId
    epoch: u64
    view: u64
    offence: Offence
    fraction: Perbill
    """Of the stake of that era; it grows with every further offender of the epoch."""
    era: u32
    reported_at: Annotated[int, codec_of(u32), TypeName("BlockNumber")]


@record("pallet_consensus::Offender")
class Offender(Record):
    """Everything a validator was ever punished for, and what it costs; several equivocations of an era share it."""

    validator: AccountId
    equivocations: list[Equivocation]
    penalties: list[Penalty]


@record("pallet_consensus::OffenceHistory")
class OffenceHistory(Record):
    """Who was ever punished; `active_era` says which penalties are still due."""

    active_era: u32
    offenders: list[Offender]


@plain_enum("pallet_consensus::ReportStatus")
class ReportStatus(IntEnum):
    """What a report of an equivocation would meet in the next block."""

    Open = 0
    """It would be punished."""
    Early = 1
    """Its epoch has not begun here."""
    Punished = 2
    """The validator was punished for this epoch already."""
    TooOld = 3
    """The stake of that epoch may have left."""
    Invalid = 4
    """It proves nothing."""
