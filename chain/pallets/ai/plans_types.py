"""SCALE types of Plans."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import MaxLen, TypeName, u8, u16, u32, u64
from aitoken.codec.records import Record, plain_enum, record
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.pallets.ai.agenda import Place
from chain.pallets.ai.pay_types import Currency

MODELS_MAX: Final = 16
UNITS_MAX: Final = 16
VERSIONS_MAX: Final = 8
"""Most versions of a plan that anybody is subscribed to, or could be."""
TRIAL_DAYS_MAX: Final = 90


@plain_enum("pallet_plans::pallet::HoldReason")
class PlansHoldReason(IntEnum):
    """Why Plans holds money."""

    Deposit = 0
    Period = 1


@plain_enum("pallet_plans::PeriodUnit")
class PeriodUnit(IntEnum):
    """What periods are counted in; months are calendar months of the day the subscription began."""

    Day = 0
    Week = 1
    Month = 2


PERIOD_MAX: Final = {PeriodUnit.Day: 366, PeriodUnit.Week: 52, PeriodUnit.Month: 12}


@record("pallet_plans::Period")
class Period(Record):
    """How long what is paid once lasts."""

    unit: PeriodUnit
    count: u16


@plain_enum("pallet_plans::Refund")
class Refund(IntEnum):
    """What comes back of a period that is cancelled.

    Nothing: the provider has the price when the period begins.
    ProRata: the price is held of the payer and becomes the provider's as time passes.
    """

    Nothing = 0
    ProRata = 1


Units = Annotated[list[tuple[u16, u64]], MaxLen(UNITS_MAX), TypeName("BoundedVec<(u16, u64)>")]
"""(unit, quantity) in ascending order of units."""


@record("pallet_plans::Entitlements")
class Entitlements(Record):
    """What a pass lets its holder do; providers keep it, the chain says it.

    Attributes:
        models: blake2b-256 of the names of models it is good for; none means all of the provider.
        tier: the service tier.
        per_minute: requests a minute; 0 for no limit.
        at_once: requests at once; 0 for no limit.
        queue: class in the queue, a higher one first.
    """

    models: Annotated[list[Hash32], MaxLen(MODELS_MAX), TypeName("BoundedVec<Hash, MaxModels>")]
    tier: u8
    per_minute: u32
    at_once: u16
    queue: u8


@record("pallet_plans::PlanTerms")
class PlanTerms(Record):
    """What a version of a plan costs and gives.

    Attributes:
        price: for one period, in units of 10^-12 of the currency.
        included: units that are paid with the price.
        trial_days: length of a first period for nothing; 0 for none.
        transferable: whether the holder may give the pass to somebody else.
    """

    currency: Currency
    price: Balance
    entitlements: Entitlements
    included: Units
    trial_days: u16
    refund: Refund
    transferable: bool


@record("pallet_plans::Plan")
class Plan(Record):
    """A plan: new subscriptions and renewals get its latest version.

    Attributes:
        version: the latest.
        versions: how many are stored.
        subscriptions: how many there are, of all versions.
        retired: nobody can subscribe or renew any more.
    """

    provider: u64
    period: Period
    version: u32
    versions: u32
    subscriptions: u32
    retired: bool


@record("pallet_plans::PlanVersion")
class PlanVersion(Record):
    """A version of a plan, kept as long as it is the latest or somebody's."""

    terms: PlanTerms
    subscriptions: u32
    depositor: AccountId
    deposit: Balance


@record("pallet_plans::Mandate")
class Mandate(Record):
    """What a payer agrees to.

    Attributes:
        max_price: most a period may be priced at, in the plan's currency.
        max_amount: most a period may cost in the token.
        until: no period begins at or after this time.
        auto_renew: whether others may renew; the payer itself always may.
    """

    max_price: Balance
    max_amount: Balance
    until: Moment
    auto_renew: bool


@record("pallet_plans::Subscription")
class Subscription(Record):
    """A pass and who pays for it.

    Attributes:
        anchor: where periods are counted from.
        period: number of the present period, 0 for a trial.
        price: what the period cost, in the token.
        paid: how much of it the provider has; the rest is held of the payer.
        used: units of the present period that the provider says were used.
        failures: how often renewing it by itself failed.
        place: where it stands in the agenda.
    """

    plan: u64
    version: u32
    payer: AccountId
    beneficiary: AccountId
    mandate: Mandate
    anchor: Moment
    period: u32
    starts: Moment
    ends: Moment
    price: Balance
    paid: Balance
    used: Units
    failures: u8
    place: Place
    deposit: Balance


@record("pallet_plans::Pass")
class Pass(Record):
    """What a holder may do with a provider now."""

    subscription: u64
    plan: u64
    version: u32
    period: u32
    ends: Moment
    renews: bool
    entitlements: Entitlements
    included: Units
    used: Units
