"""What Staking tells and how it fails; names and indices are Substrate's.

Source: `pallet_staking`.
"""

from __future__ import annotations

from typing import Annotated

from aitoken.codec.hints import TypeName
from aitoken.types import AccountId
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.frame.types import Perbill
from chain.pallets.staking.types import BalanceOf, EraIndex, Forcing, Page, RewardDestination, ValidatorPrefs

Destination = Annotated[RewardDestination, TypeName("RewardDestination<T::AccountId>")]


class StakingEvents(Events):
    """What Staking tells."""

    class EraPaid(Ev, index=0):
        """The era payout has been set; the first balance is for stakers, the second for everybody else."""

        era_index: EraIndex
        validator_payout: BalanceOf
        remainder: BalanceOf

    class Rewarded(Ev, index=1):
        """The nominator has been rewarded by this amount to this destination."""

        stash: AccountId
        dest: Destination
        amount: BalanceOf

    class Slashed(Ev, index=2):
        """A staker (validator or nominator) has been slashed by the given amount."""

        staker: AccountId
        amount: BalanceOf

    class SlashReported(Ev, index=3):
        """A slash for the given validator, for the given percentage of its stake, at the given era was reported."""

        validator: AccountId
        fraction: Perbill
        slash_era: EraIndex

    class StakersElected(Ev, index=5):
        """A new set of stakers was elected."""

    class Bonded(Ev, index=6):
        """An account has bonded this amount."""

        stash: AccountId
        amount: BalanceOf

    class Unbonded(Ev, index=7):
        """An account has unbonded this amount."""

        stash: AccountId
        amount: BalanceOf

    class Withdrawn(Ev, index=8):
        """An account has called `withdraw_unbonded` and got this amount back."""

        stash: AccountId
        amount: BalanceOf

    class Kicked(Ev, index=9):
        """A nominator has been kicked from a validator."""

        nominator: AccountId
        stash: AccountId

    class StakingElectionFailed(Ev, index=10):
        """The election failed. No new era is planned."""

    class Chilled(Ev, index=11):
        """An account has stopped participating as either a validator or nominator."""

        stash: AccountId

    class PayoutStarted(Ev, index=12):
        """A page of the stakers of a validator is being paid; `next` is what remains to be claimed."""

        era_index: EraIndex
        validator_stash: AccountId
        page: Page
        next: Annotated[Page | None, TypeName("Option<Page>")]

    class ValidatorPrefsSet(Ev, index=13):
        """A validator has set their preferences."""

        stash: AccountId
        prefs: ValidatorPrefs

    class ForceEra(Ev, index=16):
        """A new force era mode was set."""

        mode: Forcing


class StakingErrors(Errors):
    """How Staking fails."""

    class NotController(Err, index=0):
        """Not a controller account: it has bonded nothing."""

    class NotStash(Err, index=1):
        """Not a stash account."""

    class AlreadyBonded(Err, index=2):
        """Stash is already bonded."""

    class AlreadyPaired(Err, index=3):
        """Controller is already paired."""

    class EmptyTargets(Err, index=4):
        """Targets cannot be empty."""

    class DuplicateIndex(Err, index=5):
        """Duplicate index."""

    class InvalidSlashIndex(Err, index=6):
        """Slash record index out of bounds."""

    class InsufficientBond(Err, index=7):
        """Cannot have a validator or nominator role, with value less than the minimum defined by governance."""

    class NoMoreChunks(Err, index=8):
        """Can not schedule more unlock chunks."""

    class NoUnlockChunk(Err, index=9):
        """Can not rebond without unlocking chunks."""

    class FundedTarget(Err, index=10):
        """Attempting to target a stash that still has funds."""

    class InvalidEraToReward(Err, index=11):
        """Invalid era to reward."""

    class InvalidNumberOfNominations(Err, index=12):
        """Invalid number of nominations."""

    class NotSortedAndUnique(Err, index=13):
        """Items are not sorted and unique."""

    class AlreadyClaimed(Err, index=14):
        """Rewards for this era have already been claimed for this validator."""

    class InvalidPage(Err, index=15):
        """No nominators exist on this page."""

    class IncorrectSlashingSpans(Err, index=17):
        """Incorrect number of slashing spans provided."""

    class TooManyTargets(Err, index=19):
        """Too many nomination targets supplied."""

    class BadTarget(Err, index=20):
        """A nomination target was supplied that was blocked or otherwise not a validator."""

    class CannotChillOther(Err, index=21):
        """The user has enough bond and thus cannot be chilled forcefully by an external person."""

    class TooManyNominators(Err, index=22):
        """There are too many nominators in the system."""

    class TooManyValidators(Err, index=23):
        """There are too many validator candidates in the system."""

    class CommissionTooLow(Err, index=24):
        """Commission is too low. Must be at least `MinCommission`."""

    class BoundNotMet(Err, index=25):
        """Some bound is not met."""

    class NotEnoughFunds(Err, index=29):
        """Not enough funds available to withdraw."""

    class CannotReapStash(Err, index=31):
        """The stash account cannot be reaped because it still has too much bonded."""

    class Restricted(Err, index=33):
        """Account is restricted from participation in staking."""
