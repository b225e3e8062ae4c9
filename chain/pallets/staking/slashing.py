"""Slashes: computed when an offence is reported, applied some eras later unless cancelled.

In an era a validator is punished once, at the highest fraction reported: a later report of a higher fraction adds the
difference. The fraction applies to the exposure of the era of the offence: the validator's own bond and the part of
each nominator, whatever they bond today.

    own       = own(era) * fraction - what was taken for that era before
    nominator = value(era) * fraction - value(era) * highest fraction before
    reward    = SlashRewardFraction of the sum, at most `REWARD_MAX`; the rest is burned

A slash for era e is applied when era e + SlashDeferDuration + 1 starts, one reported later when the next era starts.
Both are within the bonding time, so nobody gets out in between.

`Penalties` keeps every slash for people to see, also when it was taken or cancelled; nothing here reads it.

Source: `pallet_staking::slashing`, runtime paper section 3.5; without spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from aitoken.types import AIT, AccountId, Balance
from chain.frame.types import PERBILL_ONE
from chain.pallets.staking.events import StakingErrors as Error
from chain.pallets.staking.events import StakingEvents as Event
from chain.pallets.staking.types import Penalty, UnappliedSlash

if TYPE_CHECKING:
    from chain.pallets.staking.eras import Exposures
    from chain.pallets.staking.ledger import Bonds
    from chain.pallets.staking.storage import StakingStorage

REWARD_MAX: Final = Balance(1_000 * AIT)
"""The most a reporter gets for one slash."""


class Slashing:
    """Computes, defers, cancels and applies slashes."""

    def __init__(self, store: StakingStorage, bonds: Bonds, exposures: Exposures) -> None:
        self._store = store
        self._bonds = bonds
        self._exposures = exposures

    def era_of(self, session: int) -> int | None:
        """Return the era a session belongs to, None where it is too old to be punished."""
        found = None
        for era, start in self._store.bonded_eras.get():
            if start <= session:
                found = era
        return found

    def report(self, offender: AccountId, era: int, fraction: int, reporters: Sequence[AccountId]) -> None:
        """Punish an equivocation: chill, keep out of the rest of the era, slash.

        Args:
            offender: the validator.
            era: of the offence.
            fraction: of the exposure, in billionths.
            reporters: who shares the reward.
        """
        store = self._store
        store.emit(Event.SlashReported(offender, fraction, era))
        if self._bonds.chill(offender):
            store.emit(Event.Chilled(offender))
        excluded = store.excluded.get()
        if offender not in excluded:
            store.excluded.put([*excluded, offender])
        slash = self._compute(offender, era, fraction, reporters)
        if slash is None:
            return
        now = store.now_active()
        due = now if store.slash_defer_duration == 0 else max(era + store.slash_defer_duration, now) + 1
        self._keep(slash, era, fraction, due)
        if due == now:
            self._apply(slash)
            return
        store.unapplied_slashes.put(due, [*store.unapplied_slashes.get(due), slash])

    def _compute(
        self, offender: AccountId, era: int, fraction: int, reporters: Sequence[AccountId]
    ) -> UnappliedSlash | None:
        store = self._store
        before, taken = store.validator_slash_in_era.get((era, offender)) or (0, Balance(0))
        if fraction <= before:
            return None
        own_total = Balance(self._exposures.own(era, offender) * fraction // PERBILL_ONE)
        store.validator_slash_in_era.put((era, offender), (fraction, own_total))
        others: list[tuple[AccountId, Balance]] = []
        for who, value in self._exposures.others(era, offender):
            part = Balance(value * fraction // PERBILL_ONE - value * before // PERBILL_ONE)
            if part:
                others.append((who, part))
                so_far = store.nominator_slash_in_era.get((era, who)) or 0
                store.nominator_slash_in_era.put((era, who), Balance(so_far + part))
        own = Balance(own_total - taken)
        whole = own + sum(part for _, part in others)
        payout = min(whole * store.slash_reward_fraction.get() // PERBILL_ONE, REWARD_MAX)
        return UnappliedSlash(offender, own, others, list(reporters), Balance(payout))

    def _keep(self, slash: UnappliedSlash, era: int, fraction: int, due: int) -> None:
        others = Balance(sum(part for _, part in slash.others))
        reporter = slash.reporters[0] if slash.reporters else None
        payout = Balance(0) if reporter is None else slash.payout
        penalty = Penalty(era, fraction, slash.own, others, due, reporter, payout, cancelled=False)
        penalties = self._store.penalties
        penalties.put(slash.validator, [*penalties.get(slash.validator), penalty])

    def waiting(self, era: int) -> Sequence[UnappliedSlash]:
        """Return what waits for the start of `era`."""
        return self._store.unapplied_slashes.get(era)

    def apply_due(self, era: int) -> None:
        """Apply what waited for the start of `era`."""
        for slash in self._store.unapplied_slashes.take(era):
            self._apply(slash)

    def _apply(self, slash: UnappliedSlash) -> None:
        reward = slash.payout
        reporter = slash.reporters[0] if slash.reporters else None
        for who, amount in ((slash.validator, slash.own), *slash.others):
            taken = self._bonds.slash(who, amount, reward, reporter)
            reward = Balance(reward - min(reward, taken))

    def cancel(self, era: int, indices: Sequence[int]) -> None:
        """Drop slashes that wait for the start of `era`.

        Raises:
            EmptyTargets, NotSortedAndUnique, InvalidSlashIndex: the indices do not name waiting slashes.
        """
        if not indices:
            raise Error.EmptyTargets
        if any(first >= second for first, second in pairwise(indices)):
            raise Error.NotSortedAndUnique
        waiting = self._store.unapplied_slashes.get(era)
        if indices[-1] >= len(waiting):
            raise Error.InvalidSlashIndex
        kept = [slash for index, slash in enumerate(waiting) if index not in indices]
        for validator in dict.fromkeys(waiting[index].validator for index in indices):
            theirs = [index for index, slash in enumerate(waiting) if slash.validator == validator]
            self._strike(validator, era, [index in indices for index in theirs])
        if kept:
            self._store.unapplied_slashes.put(era, kept)
        else:
            self._store.unapplied_slashes.remove(era)

    def _strike(self, validator: AccountId, era: int, cancelled: Sequence[bool]) -> None:
        """Mark penalties that waited for the start of `era` as cancelled or not, in the order of their reports."""
        verdicts = iter(cancelled)
        rows = []
        for row in self._store.penalties.get(validator):
            if row.due == era and not row.cancelled and next(verdicts, False):
                struck = row.copy()
                struck.cancelled = True
                rows.append(struck)
            else:
                rows.append(row)
        self._store.penalties.put(validator, rows)
