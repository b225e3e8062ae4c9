"""SCALE types of Allowances."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import MaxLen, TypeName, u8, u16, u64
from aitoken.codec.records import Record, plain_enum, record
from aitoken.types import AccountId, Balance, Moment
from chain.pallets.ai.pay_types import Payee

DEPTH_MAX: Final = 4
"""How deep grants may be granted on; 1 is a grant of the owner itself."""
GRANTS_MAX: Final = 256
"""Most grants of one owner."""
PAYEES_MAX: Final = 16
SESSIONS_MAX: Final = 64
"""Most sessions that keys of one owner have opened and that can still be frozen with their grants."""


@plain_enum("pallet_allowances::pallet::HoldReason")
class AllowancesHoldReason(IntEnum):
    """Why Allowances holds money."""

    Deposit = 0


@plain_enum("pallet_allowances::Purpose")
class Purpose(IntEnum):
    """What a key may spend on; `chain.pallets.ai.spending` lists the calls of each."""

    Transfer = 0
    Pay = 1
    Sessions = 2
    Plans = 3
    Delegate = 4
    Attest = 5


@record("pallet_allowances::Limits")
class Limits(Record):
    """How much a key may spend, fees included.

    Attributes:
        per_transaction: in one transaction.
        per_period: in one period; without a period it does not matter.
        total: in all.
        period: milliseconds, counted from the grant on; 0 for none.
    """

    per_transaction: Balance
    per_period: Balance
    total: Balance
    period: u64


@record("pallet_allowances::Scope")
class Scope(Record):
    """What a key may spend on, and on whom: an empty list of payees is anybody."""

    purposes: Annotated[list[Purpose], MaxLen(len(Purpose)), TypeName("BoundedVec<Purpose>")]
    payees: Annotated[list[Payee], MaxLen(PAYEES_MAX), TypeName("BoundedVec<Payee>")]


@record("pallet_allowances::Grant")
class Grant(Record):
    """A key's permission to spend.

    Attributes:
        depth: 1 for a grant of the owner, else one more than the parent's.
        since: when it was granted; periods count from here.
        deposit: held of the owner.
        spent: in all.
        window: the last period something was spent in.
        spent_window: what was spent in it.
    """

    key: AccountId
    parent: u64 | None
    depth: u8
    limits: Limits
    scope: Scope
    since: Moment
    expires: Moment
    deposit: Balance
    spent: Balance
    window: u64
    spent_window: Balance


@record("pallet_allowances::GrantsOf")
class GrantsOf(Record):
    """How many grants an owner has, and below which number they are void."""

    count: u16
    void_below: u64


@record("pallet_allowances::OpenedSession")
class OpenedSession(Record):
    """A session that a key opened.

    Attributes:
        grants: the grant it was opened with and those above it, up to the root.
        amount: what the key put into it, as it was counted on these grants.
    """

    grants: Annotated[list[u64], MaxLen(DEPTH_MAX), TypeName("BoundedVec<GrantId>")]
    amount: Balance
