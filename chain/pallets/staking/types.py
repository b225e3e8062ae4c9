"""SCALE types of Staking, with Substrate's paths and names.

Source: `pallet_staking`, `sp_staking`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Final

from aitoken.codec.base import Codec
from aitoken.codec.containers import Vec
from aitoken.codec.hints import COMPACT, TypeName, codec_of, u32, u64, u128
from aitoken.codec.primitives import U32, Compact, newtype
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.types import AccountId, Balance
from chain.frame.types import CompactPerbill, Perbill, Percent

MAX_NOMINATIONS: Final = 16
"""Most validators one nominator may name."""
MAX_UNLOCKING: Final = 32
"""Most withdrawals one stash may have under way."""
PAGE_SIZE: Final = 64
"""Nominators paid in one go."""
HISTORY_DEPTH: Final = 84
"""Eras kept for payouts and for wallets that show the past."""

EraIndex = Annotated[int, U32, TypeName("EraIndex")]
Page = Annotated[int, U32, TypeName("Page")]
SessionIndex = Annotated[int, U32, TypeName("SessionIndex")]
BalanceOf = Annotated[Balance, codec_of(u128), TypeName("BalanceOf<T>")]
CompactBalanceOf = Annotated[Balance, COMPACT, TypeName("BalanceOf<T>")]
PlainBalance = Annotated[Balance, codec_of(u128), TypeName("Balance")]
CompactPlainBalance = Annotated[Balance, COMPACT, TypeName("Balance")]
PlainAccount = Annotated[AccountId, codec_of(AccountId), TypeName("AccountId")]

VALIDATORS_MAX: Final = 1000
"""Most validators of a session; the agreement below has room for 1024."""


@plain_enum("pallet_staking::pallet::pallet::HoldReason")
class StakingHoldReason(IntEnum):
    """Why Staking holds money."""

    Staking = 0


@plain_enum("pallet_staking::Forcing")
class Forcing(IntEnum):
    """Whether the next era starts out of turn. This chain knows the first two."""

    NotForcing = 0
    ForceNew = 1
    ForceNone = 2
    ForceAlways = 3


class RewardDestination(Union, path="pallet_staking::RewardDestination", params={"AccountId": AccountId}):
    """Where the rewards of a stash go."""


class Staked(RewardDestination, index=0):
    """Into the stash, and staked with the rest."""


class Stash(RewardDestination, index=1):
    """Into the stash."""


class Controller(RewardDestination, index=2):
    """Into the stash: there are no controllers here."""


class PaidTo(RewardDestination, index=3, name="Account", unnamed=True):
    """Into another account."""

    who: PlainAccount


class Nowhere(RewardDestination, index=4, name="None"):
    """Nowhere: the reward is not minted."""


@record("pallet_staking::ValidatorPrefs")
class ValidatorPrefs(Record):
    """What a validator asks: its commission, and whether it refuses new nominators."""

    commission: CompactPerbill
    blocked: bool


@record("pallet_staking::UnlockChunk", {"Balance": u128})
class UnlockChunk(Record):
    """Money on its way out of a bond, free from an era on."""

    value: CompactPlainBalance
    era: Annotated[int, Compact(U32), TypeName("EraIndex")]


def _bounded(item: Any, most: int) -> Codec[Any]:
    """Return the codec of a `BoundedVec`, as metadata shows it."""
    inner = codec_of(item)
    return newtype(
        "bounded_collections::bounded_vec::BoundedVec",
        Vec(inner, most),
        type_name="Vec<T>",
        params=(("T", inner), ("S", None)),
    )


@record("pallet_staking::StakingLedger", {"T": None})
class StakingLedger(Record):
    """The bond of a stash: `total` is what is held, `active` what backs validators; the rest is unlocking."""

    stash: AccountId
    total: CompactBalanceOf
    active: CompactBalanceOf
    unlocking: Annotated[
        list[UnlockChunk],
        _bounded(UnlockChunk, MAX_UNLOCKING),
        TypeName("BoundedVec<UnlockChunk<BalanceOf<T>>, T::MaxUnlockingChunks>"),
    ]
    legacy_claimed_rewards: Annotated[
        list[EraIndex], _bounded(u32, HISTORY_DEPTH), TypeName("BoundedVec<EraIndex, T::HistoryDepth>")
    ]


@record("pallet_staking::Nominations", {"T": None})
class Nominations(Record):
    """Whom a stash nominates."""

    targets: Annotated[
        list[AccountId], _bounded(AccountId, MAX_NOMINATIONS), TypeName("BoundedVec<T::AccountId, MaxNominationsOf<T>>")
    ]
    submitted_in: EraIndex
    suppressed: bool


@record("pallet_staking::ActiveEraInfo")
class ActiveEraInfo(Record):
    """The era that runs, and when it started (milliseconds since 1970; None before the first block)."""

    index: EraIndex
    start: u64 | None


@record("pallet_staking::EraRewardPoints", {"AccountId": AccountId})
class EraRewardPoints(Record):
    """What validators did in an era."""

    total: Annotated[int, codec_of(u32), TypeName("RewardPoint")]
    individual: Annotated[
        dict[AccountId, Annotated[int, codec_of(u32), TypeName("RewardPoint")]],
        TypeName("BTreeMap<AccountId, RewardPoint>"),
    ]


@record("pallet_staking::UnappliedSlash", {"AccountId": AccountId, "Balance": u128})
class UnappliedSlash(Record):
    """A slash that waits, so that it can be cancelled."""

    validator: PlainAccount
    own: PlainBalance
    others: Annotated[list[tuple[AccountId, Balance]], TypeName("Vec<(AccountId, Balance)>")]
    reporters: Annotated[list[AccountId], TypeName("Vec<AccountId>")]
    payout: PlainBalance


@record("pallet_staking::Penalty", {"AccountId": AccountId, "Balance": u128})
class Penalty(Record):
    """A slash of a validator and its nominators, kept after it was taken or cancelled; of this chain only."""

    era: EraIndex
    """Of the offence."""
    fraction: Perbill
    """Of the stake of that era in all, earlier penalties for it included."""
    own: PlainBalance
    others: PlainBalance
    """What all nominators lose together."""
    due: EraIndex
    """It is taken when this era starts."""
    reporter: Annotated[AccountId | None, TypeName("Option<AccountId>")]
    payout: PlainBalance
    """The part of it that the reporter gets."""
    cancelled: bool


@record("pallet_staking::slashing::SlashingSpans")
class SlashingSpans(Record):
    """Not used by this chain; wallets read the item."""

    span_index: Annotated[int, codec_of(u32), TypeName("SpanIndex")]
    last_start: EraIndex
    last_nonzero_slash: EraIndex
    prior: list[EraIndex]


@record("sp_staking::IndividualExposure", {"AccountId": AccountId, "Balance": u128})
class IndividualExposure(Record):
    """What one nominator stands behind one validator with."""

    who: PlainAccount
    value: CompactPlainBalance


@record("sp_staking::ExposurePage", {"AccountId": AccountId, "Balance": u128})
class ExposurePage(Record):
    """Up to `PAGE_SIZE` nominators of a validator."""

    page_total: CompactPlainBalance
    others: Annotated[list[IndividualExposure], TypeName("Vec<IndividualExposure<AccountId, Balance>>")]


@record("sp_staking::PagedExposureMetadata", {"Balance": u128})
class PagedExposureMetadata(Record):
    """The stake behind a validator in an era. A validator without nominators has no page and is paid on page 0."""

    total: CompactPlainBalance
    own: CompactPlainBalance
    nominator_count: u32
    page_count: Page


SlashRecord = tuple[Perbill, Balance]


class ConfigOpBalance(Union, path="pallet_staking::pallet::pallet::ConfigOp", params={"T": u128}):
    """What to do with a setting."""


class BalanceNoop(ConfigOpBalance, index=0, name="Noop"):
    """Leave it."""


class BalanceSet(ConfigOpBalance, index=1, name="Set", unnamed=True):
    """Set it."""

    value: Annotated[Balance, codec_of(u128), TypeName("T")]


class BalanceRemove(ConfigOpBalance, index=2, name="Remove"):
    """Remove it."""


class ConfigOpU32(Union, path="pallet_staking::pallet::pallet::ConfigOp", params={"T": u32}):
    """What to do with a setting."""


class U32Noop(ConfigOpU32, index=0, name="Noop"):
    """Leave it."""


class U32Set(ConfigOpU32, index=1, name="Set", unnamed=True):
    """Set it."""

    value: Annotated[int, U32, TypeName("T")]


class U32Remove(ConfigOpU32, index=2, name="Remove"):
    """Remove it."""


class ConfigOpPercent(Union, path="pallet_staking::pallet::pallet::ConfigOp", params={"T": Percent}):
    """What to do with a setting."""


class PercentNoop(ConfigOpPercent, index=0, name="Noop"):
    """Leave it."""


class PercentSet(ConfigOpPercent, index=1, name="Set", unnamed=True):
    """Set it."""

    value: Annotated[int, codec_of(Percent), TypeName("T")]


class PercentRemove(ConfigOpPercent, index=2, name="Remove"):
    """Remove it."""


class ConfigOpPerbill(Union, path="pallet_staking::pallet::pallet::ConfigOp", params={"T": Perbill}):
    """What to do with a setting."""


class PerbillNoop(ConfigOpPerbill, index=0, name="Noop"):
    """Leave it."""


class PerbillSet(ConfigOpPerbill, index=1, name="Set", unnamed=True):
    """Set it."""

    value: Annotated[int, codec_of(Perbill), TypeName("T")]


class PerbillRemove(ConfigOpPerbill, index=2, name="Remove"):
    """Remove it."""
