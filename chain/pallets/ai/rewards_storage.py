"""Storage and constants of Rewards."""

from __future__ import annotations

from typing import Final

from aitoken.codec.hints import Bytes32, u8, u16, u32, u64
from aitoken.types import AIT, AccountId, Balance
from chain.frame.pallet import Ev, constant
from chain.frame.parameters import Parameter, parameter
from chain.frame.storage import (
    BLAKE2_128_CONCAT,
    TWOX_64_CONCAT,
    Map,
    OptionMap,
    OptionValue,
    Value,
    storage_map,
    value,
)
from chain.pallets.ai.disputes_types import Panel
from chain.pallets.ai.rewards_types import Attester, Campaign, Granted, Member, Parts, Submission
from chain.params import DAY_MS

RULING_MS: Final = 7 * DAY_MS
"""If nobody rules on a challenge for so long, the work is no fraud."""
JUDGE_MS: Final = 2 * DAY_MS
UNVEIL_MS: Final = DAY_MS
AUDIT_PERCENT: Final = 5
"""How many of all frauds have to be expected to be found."""
ERROR_PERCENT: Final = 10
"""How many of bad works an honest attester accepts at most."""
BOUNTY_PERCENT: Final = 10
"""What of a slashed stake goes to who challenged; the rest is burned."""
BOND: Final = Balance(10 * AIT)
"""The least a challenge puts at risk."""
WRONG_PERCENT: Final = 1
"""How many rulings are wrong at most."""
TERM_MS: Final = 365 * DAY_MS
"""How long a member cannot leave."""
SHARE_PERCENT_MAX: Final = 25
"""What of the burned fees of a member goes back at most to it, and as much at most to its referrer: half together."""
GRANT_PERCENT_MAX: Final = 25


class RewardsStorage:
    """What Rewards keeps; a part of the pallet that its helpers may see."""

    attesters: OptionMap[AccountId, Attester] = storage_map(BLAKE2_128_CONCAT, doc="Who judges work.")
    campaigns: OptionMap[u64, Campaign] = storage_map(TWOX_64_CONCAT, doc="Campaigns.")
    shares: Map[tuple[u64, AccountId], Parts] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="What a sponsor put into a campaign, and what others had before."
    )
    submissions: OptionMap[u64, Submission] = storage_map(TWOX_64_CONCAT, doc="Work, until its campaign is gone.")
    works: OptionMap[tuple[u64, Bytes32], u64] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="Which submission of a campaign disclosed a work."
    )
    people: Map[tuple[u64, AccountId], u32] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="How often somebody submitted to a campaign."
    )
    next_id: Value[u64] = value(doc="The number of the next campaign or submission; never used twice.")

    bond: Balance = constant(BOND, doc="What a challenge puts at risk at least.")
    wrong_percent: u16 = constant(WRONG_PERCENT, doc="How many rulings are wrong at most, in percent.")
    ruling: u64 = constant(RULING_MS, doc="How long a challenge waits for its ruling, in milliseconds.")
    judging: u64 = constant(JUDGE_MS, doc="How long a panel seals its votes, in milliseconds.")
    unveiling: u64 = constant(UNVEIL_MS, doc="How long it then shows them, in milliseconds.")
    audit_percent: u16 = constant(AUDIT_PERCENT, doc="How many of all frauds are expected to be found, in percent.")
    error_percent: u16 = constant(ERROR_PERCENT, doc="How many of bad works an honest attester accepts, in percent.")
    bounty_percent: u16 = constant(BOUNTY_PERCENT, doc="What of a slashed stake who challenged gets, in percent.")

    members: OptionMap[AccountId, Member] = storage_map(
        BLAKE2_128_CONCAT, doc="Who gets a part of the fees it burns back, and who brought it here."
    )
    panels: OptionMap[u64, Panel] = storage_map(TWOX_64_CONCAT, doc="The panel on the challenge of a submission.")
    granted: OptionValue[Granted] = value(doc="What campaigns were given of the pot in the era of the last grant.")

    term: u64 = constant(TERM_MS, doc="How long a member stays at least, in milliseconds.")

    rebate_percent: Parameter[u8] = parameter(
        0, SHARE_PERCENT_MAX, bounds=(0, SHARE_PERCENT_MAX), doc="What a member gets of the fees it burned, in percent."
    )
    referral_percent: Parameter[u8] = parameter(
        1, SHARE_PERCENT_MAX, bounds=(0, SHARE_PERCENT_MAX), doc="What its referrer gets of them, in percent."
    )
    grant_percent: Parameter[u8] = parameter(
        2, 10, bounds=(0, GRANT_PERCENT_MAX), doc="What campaigns may be given of the pot in an era, in percent."
    )

    def emit(self, event: Ev) -> None:
        """Record an event; the pallet's own method."""
        raise NotImplementedError
