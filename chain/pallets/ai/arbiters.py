"""The arbiters of Disputes: their stakes, who sits on which panel, and what silence costs them.

At any time held(Stake, who) == its stake, and `seats` is on how many panels it sits. Works on maps of the pallet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from aitoken.types import AIT, AccountId, Balance
from chain.frame.parameters import Parameter
from chain.frame.storage import OptionMap, Value
from chain.pallets.ai.disputes_events import DisputesErrors as Error
from chain.pallets.ai.disputes_events import DisputesEvents as Event
from chain.pallets.ai.disputes_types import Arbiter, DisputesHoldReason, Seat
from chain.pallets.ai.jury import draw
from chain.pallets.balances import BurnReason

if TYPE_CHECKING:
    from chain.frame.pallet import Ev
    from chain.pallets.balances import Balances

ARBITERS_MAX: Final = 256
STAKE_MIN: Final = 100 * AIT
"""The least to begin with; a parameter."""
STAKES_COUNTED: Final = 10
"""Stake beyond so many times the least does not make it likelier to be drawn."""
SILENCE_PERCENT: Final = 5
STAKE: Final = DisputesHoldReason.Stake


class Arbiters:
    """Who judges."""

    def __init__(
        self,
        rows: OptionMap[AccountId, Arbiter],
        count: Value[int],
        panels: OptionMap[int, list[Seat]],
        least: Parameter[Balance],
        balances: Balances,
        emit: Callable[[Ev], None],
    ) -> None:
        self._rows = rows
        self._count = count
        self._panels = panels
        self._least = least
        self._balances = balances
        self._emit = emit

    def put_down(self, who: AccountId, stake: Balance) -> None:
        """Add to what somebody has at stake; where there is no room for one more, who has least makes it.

        Raises:
            StakeTooLow, TooMany: it is not enough.
        """
        before = self._rows.get(who)
        row = Arbiter(Balance(0), 0) if before is None else before.copy()
        row.stake = Balance(row.stake + stake)
        if row.stake < self._least.get():
            raise Error.StakeTooLow
        if before is None:
            if self._count.get() >= ARBITERS_MAX:
                self._displace(row.stake)
            self._count.put(self._count.get() + 1)
        self._balances.hold(STAKE, who, stake)
        self._rows.put(who, row)
        self._emit(Event.ArbiterRegistered(who, row.stake))

    def leave(self, who: AccountId) -> None:
        """Give the stake of somebody back who sits on no panel.

        Raises:
            NotArbiter, Seated: that cannot be.
        """
        row = self._row(who)
        if row.seats:
            raise Error.Seated
        self._rows.remove(who)
        self._count.put(self._count.get() - 1)
        self._balances.release(STAKE, who, row.stake)
        self._emit(Event.ArbiterRetired(who))

    def seat(self, case: int, panel: int, seed: bytes, barred: Collection[AccountId], seats: int) -> list[AccountId]:
        """Draw a panel and seat it; return who sits."""
        least = self._least.get()
        candidates = [
            (who, min(row.stake, STAKES_COUNTED * least))
            for who, row in self._rows.items()
            if row.stake >= least and who not in barred
        ]
        drawn = draw(seed, case, panel, candidates, seats)
        for who in drawn:
            self._sit(who, 1)
        if drawn:
            self._panels.put(case, [Seat(who, None, None) for who in drawn])
        return drawn

    def place_of(self, case: int, who: AccountId) -> tuple[list[Seat], int]:
        """Return a copy of the panel of a case and where somebody sits on it.

        Raises:
            NotSeated: nowhere.
        """
        panel = list(self._panels.get(case) or [])
        for index, seat in enumerate(panel):
            if seat.arbiter == who:
                return panel, index
        raise Error.NotSeated

    def punish_silent(self, case: int) -> list[int]:
        """Take a part of the stake of those of a panel who revealed nothing; return the votes of the others."""
        votes = []
        for seat in self._panels.get(case) or []:
            if seat.vote is not None:
                votes.append(seat.vote)
                continue
            row = self._row(seat.arbiter)
            amount = Balance(row.stake * SILENCE_PERCENT // 100)
            row.stake = Balance(row.stake - amount)
            self._rows.put(seat.arbiter, row)
            self._balances.burn_held(STAKE, seat.arbiter, amount, BurnReason.Slash)
            self._emit(Event.ArbiterSlashed(case, seat.arbiter, amount))
        return votes

    def dissolve(self, case: int) -> list[Seat]:
        """End the panel of a case, if there is one; return who sat on it."""
        panel = self._panels.take(case) or []
        for seat in panel:
            self._sit(seat.arbiter, -1)
        return panel

    def _sit(self, who: AccountId, more: int) -> None:
        row = self._row(who)
        row.seats += more
        self._rows.put(who, row)

    def _row(self, who: AccountId) -> Arbiter:
        row = self._rows.get(who)
        if row is None:
            raise Error.NotArbiter
        return row.copy()

    def _displace(self, stake: Balance) -> None:
        free = [(row.stake, who) for who, row in self._rows.items() if not row.seats]
        if not free or min(free)[0] >= stake:
            raise Error.TooMany
        self.leave(min(free)[1])
