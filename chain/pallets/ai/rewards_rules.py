"""The rules of Rewards that are arithmetic: rewards that fall, and what has to be at stake.

**Attesters.** Whoever owns `threshold` attesters can take `per_day * reward` a day, and whoever owns one less can where
a single honest one errs. If a day's fraud is found once in twenty days, that goes on for twenty days on average, and
from then on until the ruling, when all of the stake is lost; a part of it goes to who challenged, who may be a friend:

    stake >= per_day * reward * (20 + days from a submission to its ruling) / max(1, threshold - 1) / 90 %

**Work.** An honest attester accepts one in ten of bad works at most. So that bad work does not pay even where a single
attester decides, it puts at risk what it gains by that:

    stake of a work >= reward * 10 % / 90 %

**Challenges.** One ruling in a hundred is wrong at most. So that it does not pay to challenge good work and hope:

    bond >= bounty * 1 % / 99 %

Source: payments paper, sections 5.14 and 10.3; both go further than the paper: `docs/adr`.
"""

from __future__ import annotations

from typing import Final

from aitoken.pay.campaign_ledger import remains_of
from aitoken.types import AccountId, Balance, Moment
from chain.pallets.ai.attest_types import KEYS_A_PERSON
from chain.pallets.ai.rewards_events import RewardsErrors as Error
from chain.pallets.ai.rewards_storage import (
    AUDIT_PERCENT,
    BOND,
    BOUNTY_PERCENT,
    ERROR_PERCENT,
    RULING_MS,
    WRONG_PERCENT,
)
from chain.pallets.ai.rewards_types import BPS, PARTS_MAX, Decay, Part, Terms
from chain.params import DAY_MS

LIFETIME_MS: Final = 365 * DAY_MS
STEP_MIN_MS: Final = 60_000
STEP_MAX_MS: Final = 30 * DAY_MS
STEPS: Final = 4
"""Disclosing, voting, revealing, challenging."""


def days_of_fraud(terms: Terms) -> int:
    """Return for how many days frauds are paid, on average, until a ruling ends that."""
    until_ruling = STEPS * terms.step_ms + RULING_MS
    return 100 // AUDIT_PERCENT + -(-until_ruling // DAY_MS)


def stake_for(terms: Terms) -> Balance:
    """Return what each attester of a campaign needs at stake for it."""
    most = terms.per_day * terms.reward * days_of_fraud(terms)
    return Balance(-(-most * 100 // (max(1, terms.threshold - 1) * (100 - BOUNTY_PERCENT))))


def work_stake_for(terms: Terms) -> Balance:
    """Return what a submission has to put at risk at least."""
    return Balance(-(-terms.reward * ERROR_PERCENT // (100 - ERROR_PERCENT)))


def bounty_of(stake: Balance) -> Balance:
    """Return what of a slashed stake goes to who challenged."""
    return Balance(stake * BOUNTY_PERCENT // 100)


def bond_for(bounty: Balance) -> Balance:
    """Return what a challenge puts at risk that could bring so much."""
    return Balance(max(BOND, -(-bounty * WRONG_PERCENT // (100 - WRONG_PERCENT))))


def reward_after(terms: Terms, submitted: int) -> Balance:
    """Return the reward of the next submission after so many."""
    decay: Decay = terms.decay
    part = max(decay.least, BPS - decay.fall * (submitted // decay.every)) if decay.every else BPS
    return Balance(terms.reward * part // BPS)


def with_part(parts: list[Part], start: Balance, amount: Balance) -> list[Part]:
    """Return a sponsor's parts and one more that starts where all that was put in so far ends.

    Raises:
        TooManyParts: it has as many as can be.
    """
    last = parts[-1] if parts else None
    if last is not None and last.start + last.amount == start:
        return [*parts[:-1], Part(last.start, Balance(last.amount + amount))]
    if len(parts) == PARTS_MAX:
        raise Error.TooManyParts
    return [*parts, Part(start, amount)]


def left_of(parts: list[Part], paid: Balance) -> Balance:
    """Return what is left of a sponsor's parts: what was put in first is paid out first."""
    return Balance(remains_of([(part.start, part.amount) for part in parts], paid))


def check_terms(terms: Terms, attesters: list[AccountId], now: Moment) -> None:
    """Make sure that a campaign can be as its terms say.

    Raises:
        BadTerms: it cannot.
        WorkStakeTooLow: bad work would pay.
    """
    decay = terms.decay
    possible = (
        terms.reward > 0
        and terms.per_person > 0
        and terms.per_day > 0
        and 0 < terms.threshold <= len(attesters)
        and 2 * terms.threshold > len(attesters)  # accepted and rejected exclude each other
        and len(set(attesters)) == len(attesters)
        and STEP_MIN_MS <= terms.step_ms <= STEP_MAX_MS
        and terms.vesting_ms <= LIFETIME_MS
        and now < terms.until <= now + LIFETIME_MS
        and decay.fall <= BPS
        and reward_after(terms, 2**32 - 1) > 0
        and decay.least <= BPS
        and (terms.persons is None or 1 <= terms.persons.issuers <= KEYS_A_PERSON)
    )
    if not possible:
        raise Error.BadTerms
    if terms.stake < work_stake_for(terms):
        raise Error.WorkStakeTooLow
