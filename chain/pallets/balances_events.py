"""What Balances tells and how it fails. Names and indices are those of `pallet_balances`, for ever.

Several are not used by this chain; they stay, so that clients that hard-code indices read the others right.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from aitoken.codec.hints import TypeName
from aitoken.codec.records import plain_enum
from aitoken.types import AccountId, Balance
from chain.frame.pallet import Err, Errors, Ev, Events


@plain_enum("frame_support::traits::tokens::misc::BalanceStatus")
class BalanceStatus(IntEnum):
    """Where repatriated money goes."""

    Free = 0
    Reserved = 1


class BalancesEvents(Events):
    """What Balances tells."""

    class Endowed(Ev, index=0):
        """An account was created with some free balance."""

        account: AccountId
        free_balance: Balance

    class DustLost(Ev, index=1):
        """An account was removed whose balance was non-zero but below the existential deposit."""

        account: AccountId
        amount: Balance

    class Transfer(Ev, index=2):
        """Transfer succeeded."""

        from_: AccountId
        to: AccountId
        amount: Balance

    class BalanceSet(Ev, index=3):
        """A balance was set by root."""

        who: AccountId
        free: Balance

    class Reserved(Ev, index=4):
        """Some balance was reserved (moved from free to reserved)."""

        who: AccountId
        amount: Balance

    class Unreserved(Ev, index=5):
        """Some balance was unreserved (moved from reserved to free)."""

        who: AccountId
        amount: Balance

    class ReserveRepatriated(Ev, index=6):
        """Some balance was moved from the reserve of the first account to the second account."""

        from_: AccountId
        to: AccountId
        amount: Balance
        destination_status: Annotated[BalanceStatus, TypeName("Status")]

    class Deposit(Ev, index=7):
        """Some amount was deposited (e.g. for transaction fees)."""

        who: AccountId
        amount: Balance

    class Withdraw(Ev, index=8):
        """Some amount was withdrawn from the account (e.g. for transaction fees)."""

        who: AccountId
        amount: Balance

    class Slashed(Ev, index=9):
        """Some amount was removed from the account (e.g. for misbehavior)."""

        who: AccountId
        amount: Balance

    class Minted(Ev, index=10):
        """Some amount was minted into an account."""

        who: AccountId
        amount: Balance

    class Burned(Ev, index=11):
        """Some amount was burned from an account."""

        who: AccountId
        amount: Balance

    class Suspended(Ev, index=12):
        """Some amount was suspended from an account (it can be restored later)."""

        who: AccountId
        amount: Balance

    class Restored(Ev, index=13):
        """Some amount was restored into an account."""

        who: AccountId
        amount: Balance

    class Upgraded(Ev, index=14):
        """An account was upgraded."""

        who: AccountId

    class Issued(Ev, index=15):
        """Total issuance was increased by `amount`, creating a credit to be balanced."""

        amount: Balance

    class Rescinded(Ev, index=16):
        """Total issuance was decreased by `amount`, creating a debt to be balanced."""

        amount: Balance

    class Locked(Ev, index=17):
        """Some balance was locked."""

        who: AccountId
        amount: Balance

    class Unlocked(Ev, index=18):
        """Some balance was unlocked."""

        who: AccountId
        amount: Balance

    class Frozen(Ev, index=19):
        """Some balance was frozen."""

        who: AccountId
        amount: Balance

    class Thawed(Ev, index=20):
        """Some balance was thawed."""

        who: AccountId
        amount: Balance

    class TotalIssuanceForced(Ev, index=21):
        """The `TotalIssuance` was forcefully changed."""

        old: Balance
        new: Balance


class BalancesErrors(Errors):
    """How Balances fails."""

    class VestingBalance(Err, index=0):
        """Vesting balance too high to send value."""

    class LiquidityRestrictions(Err, index=1):
        """Account liquidity restrictions prevent withdrawal."""

    class InsufficientBalance(Err, index=2):
        """Balance too low to send value."""

    class ExistentialDeposit(Err, index=3):
        """Value too low to create account due to existential deposit."""

    class Expendability(Err, index=4):
        """Transfer/payment would kill account."""

    class ExistingVestingSchedule(Err, index=5):
        """A vesting schedule already exists for this account."""

    class DeadAccount(Err, index=6):
        """Beneficiary account must pre-exist."""

    class TooManyReserves(Err, index=7):
        """Number of named reserves exceed `MaxReserves`."""

    class TooManyHolds(Err, index=8):
        """Number of holds exceed `VariantCountOf<T::RuntimeHoldReason>`."""

    class TooManyFreezes(Err, index=9):
        """Number of freezes exceed `MaxFreezes`."""

    class IssuanceDeactivated(Err, index=10):
        """The issuance cannot be modified since it is already deactivated."""

    class DeltaZero(Err, index=11):
        """The delta cannot be zero."""
