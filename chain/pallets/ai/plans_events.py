"""What Plans tells and how it fails."""

from __future__ import annotations

from aitoken.codec.hints import u8, u32, u64
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.errors import DispatchError
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.plans_types import Units


class PlansEvents(Events):
    """What Plans tells."""

    class PlanPublished(Ev, index=0):
        """A plan has a new version."""

        plan: u64
        provider: u64
        version: u32

    class PlanRetired(Ev, index=1):
        """Nobody can subscribe to a plan or renew any more."""

        plan: u64

    class Subscribed(Ev, index=2):
        """A subscription began; a trial costs nothing."""

        subscription: u64
        plan: u64
        version: u32
        payer: AccountId
        beneficiary: AccountId
        amount: Balance
        ends: Moment

    class Renewed(Ev, index=3):
        """The next period of a subscription began."""

        subscription: u64
        period: u32
        version: u32
        amount: Balance
        ends: Moment

    class RenewalFailed(Ev, index=4):
        """A subscription that renews by itself could not be; it is tried again a day later, three times in all."""

        subscription: u64
        failures: u8
        error: DispatchError

    class Settled(Ev, index=5):
        """The provider was paid what it has earned of a period."""

        subscription: u64
        amount: Balance

    class WillEnd(Ev, index=6):
        """A subscription will not be renewed."""

        subscription: u64
        ends: Moment

    class Ended(Ev, index=7):
        """A subscription is over; what was held for the rest of its period went back."""

        subscription: u64
        refund: Balance

    class PassTransferred(Ev, index=8):
        """A pass has another holder."""

        subscription: u64
        to: AccountId

    class UnitsRedeemed(Ev, index=9):
        """The provider counted used units of a period, so many in all."""

        subscription: u64
        period: u32
        used: Units
        receipt_root: Hash32

    class TrialForgotten(Ev, index=10):
        """That an account had a trial of a plan is no longer kept; the plan is gone."""

        plan: u64
        who: AccountId


class PlansErrors(Errors):
    """How Plans fails."""

    class NoPlan(Err, index=0):
        """There is no such plan, or it takes nobody any more."""

    class NotProvider(Err, index=1):
        """Only the provider's owner or operator may do that."""

    class BadPeriod(Err, index=2):
        """The period is empty or longer than a year, or differs from the plan's."""

    class BadTerms(Err, index=3):
        """Units are not known or not in order, or the trial is too long."""

    class TooManyVersions(Err, index=4):
        """Too many versions of the plan have subscriptions."""

    class OtherVersion(Err, index=5):
        """The plan has another version now."""

    class OverMandate(Err, index=6):
        """It costs more than the payer agreed to."""

    class BadMandate(Err, index=7):
        """The mandate is over already, or lasts longer than two years."""

    class MandateOver(Err, index=8):
        """The payer agreed to no further period."""

    class NoTrial(Err, index=9):
        """The plan has no trial."""

    class TrialUsed(Err, index=10):
        """This account had a trial of the plan."""

    class NoSubscription(Err, index=11):
        """There is no such subscription."""

    class NotPayer(Err, index=12):
        """Only who pays may do that."""

    class NotDue(Err, index=13):
        """The present period is not over."""

    class Lapsed(Err, index=14):
        """It is too late to renew."""

    class NoRate(Err, index=15):
        """There is no fresh price for the plan's currency."""

    class NotHolder(Err, index=16):
        """Only the holder of a transferable pass may give it away."""

    class OtherPeriod(Err, index=17):
        """The subscription is in another period."""

    class BadUnits(Err, index=18):
        """Units that are not included, above what is included, or fewer than before."""

    class NothingToSettle(Err, index=19):
        """The provider has all it has earned, and the subscription is not over."""

    class PlanExists(Err, index=20):
        """The plan still exists."""
