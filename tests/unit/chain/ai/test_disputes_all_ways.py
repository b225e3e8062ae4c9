"""Every combination of who acts and who is silent: the case ends, and its money is where a small model says."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Any

import pytest

from aitoken.pay.seals import FULL_AWARD, commitment
from chain.frame.errors import DispatchError
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.disputes import APPEAL_BONDS, Disputes, bond_of
from chain.pallets.ai.disputes_types import Committing, Drawing, Ended, Opened, Revealing, Ruled
from tests.support.court import AMOUNT, ARBITERS, ROOT, SALT, court, moved, opened, pass_phase, phase
from tests.support.spending_chain import SpendingChain, ait, rows

Error = Disputes.Error

SILENT, COMMITS, AGAINST, FOR = range(4)
"""What an arbiter does: nothing, commit and no more, vote for nothing, vote for everything."""


@dataclass(frozen=True)
class Play:
    """Who does what in a case; everybody else's time passes with the sweep alone, or with somebody who advances it."""

    answers: bool
    withdraws: bool
    offers: bool
    accepts: bool
    first: tuple[int, ...]
    appeals: str
    second: tuple[int, ...]
    helped: bool


def outcome(play: Play) -> tuple[int | None, list[int]]:
    """The model: the part of the amount that is awarded (None where nothing is judged), and who of the last panel
    that voted is near it."""
    if not play.answers:
        return FULL_AWARD, []
    award, votes = judged(play.first)
    if award is None:
        return None, []
    if (
        play.appeals
        and not (play.appeals == "alice" and award == FULL_AWARD)
        and not (play.appeals == "owner" and award == 0)
    ):
        again, more = judged(play.second)
        if again is not None:
            award, votes = again, more
        else:
            votes = []  # a second panel that says nothing earns nothing; the first has been dissolved
    return award, [each for each in votes if abs(each - award) <= 5_000]


def judged(panel: tuple[int, ...]) -> tuple[int | None, list[int]]:
    votes = sorted({AGAINST: 0, FOR: FULL_AWARD}[each] for each in panel if each in (AGAINST, FOR))
    if not votes:
        return None, []
    half = len(votes) // 2
    return (votes[half] if len(votes) % 2 else (votes[half - 1] + votes[half]) // 2), votes


def plays() -> list[Play]:
    found = [
        Play(False, withdraws, offers, accepts, (), "", (), helped)
        for withdraws, offers, accepts, helped in product((False, True), repeat=4)
    ]
    found += [
        Play(True, withdraws, offers, accepts, (FOR, FOR, FOR), "", (), helped)
        for withdraws, offers, accepts, helped in product((False, True), repeat=4)
    ]
    seconds = [
        (SILENT,) * 9, (COMMITS,) * 9, (FOR,) * 9, (AGAINST,) * 9, (SILENT,) * 8 + (FOR,),
        (FOR,) * 4 + (AGAINST,) * 4 + (SILENT,), (AGAINST,) * 5 + (FOR,) * 4,
    ]  # fmt: skip
    for first in combinations_with_replacement((SILENT, COMMITS, AGAINST, FOR), 3):
        for appeals in ("", "alice", "owner"):
            for second in seconds if appeals else [()]:
                found += [Play(True, False, False, False, first, appeals, second, helped) for helped in (False, True)]
    return found


def perform(chain: SpendingChain, play: Play) -> int:
    """Play a case to its end; the test fails if it does not end within a bounded time."""
    case = opened(chain)
    if play.answers:
        chain.run("operator", "Disputes.respond", case, ROOT)
    if play.offers:
        chain.run("owner", "Disputes.offer", case, ait(50))
        if play.accepts:
            chain.run("alice", "Disputes.accept", case)
    if play.withdraws and not isinstance(phase(chain, case), Ended):
        chain.run("alice", "Disputes.withdraw", case)
    for _ in range(30):
        now = phase(chain, case)
        if isinstance(now, Ended):
            return case
        act(chain, case, play, now)
        if phase(chain, case) != now:
            continue
        if play.helped and hasattr(now, "until"):
            pass_phase(chain, case)
        else:
            chain.wait(SLOT_MS)
    raise AssertionError(f"{play} does not end")


def act(chain: SpendingChain, case: int, play: Play, now: Any) -> None:
    """Do what the people of a play do in a phase."""
    panel = int(chain.disputes.cases.get(case).appeal is not None)
    seats = [seat.arbiter for seat in chain.disputes.panels.get(case) or []]
    judges = list(zip(seats, play.second if panel else play.first, strict=True)) if seats else []
    if isinstance(now, Committing):
        for who, does in judges:
            if does != SILENT:
                chain.run(who, "Disputes.commit", case, commitment(case, panel, who, FULL_AWARD * (does == FOR), SALT))
    elif isinstance(now, Revealing):
        for who, does in judges:
            if does in (AGAINST, FOR):
                chain.run(who, "Disputes.reveal", case, FULL_AWARD * (does == FOR), SALT)
    elif isinstance(now, Ruled) and play.appeals:
        try:
            chain.run(play.appeals, "Disputes.appeal", case)
        except DispatchError as error:
            assert isinstance(error, Error.NotLoser)  # noqa: PT017 - the one reason there may be
    else:
        assert isinstance(now, (Opened, Drawing, Ruled))


@pytest.mark.parametrize("part", range(4))
def test_every_case_ends_whoever_is_silent_and_the_money_is_where_the_model_says(part: int) -> None:
    chain = court()
    mark, start, session, bond_left = chain.machine.store.mark(), chain.now, chain.market.sessions, chain.market.bond
    issuance = chain.balances.total_issuance
    for play in plays()[part::4]:
        chain.machine.store.rollback(mark)
        chain.now, chain.market.sessions, chain.market.bond = start, session, bond_left
        alice, provider = chain.free("alice"), chain.free("owner") + chain.free("operator")
        judges = sum(chain.free(who) for who in ARBITERS)
        before = issuance.get()
        case = perform(chain, play)
        chain.burned = before - issuance.get()
        chain.check()
        chain.burned = 0
        row = chain.disputes.cases.get(case)
        settled = play.offers and play.accepts
        bond, fees = bond_of(AMOUNT), 0
        if settled:
            gain, provider_gain = ait(50), -ait(50)
        elif play.withdraws:
            gain, provider_gain = (-bond, bond) if play.answers else (0, 0)
        else:
            award, near = outcome(play)
            gain = AMOUNT * (award or 0) // FULL_AWARD
            provider_gain = -gain
            if play.answers and award is not None:
                claimant_wins = 2 * award >= FULL_AWARD
                appellant = play.appeals if _appealed(play) else ""
                lost = bond + (APPEAL_BONDS * bond if (appellant == "owner") == claimant_wins and appellant else 0)
                lost_bonds = [bond] + ([APPEAL_BONDS * bond] if lost > bond else [])
                fees = sum(each // 2 // len(near) * len(near) for each in lost_bonds) if near else 0
                gain += (lost - fees) if claimant_wins else -lost
                provider_gain += -lost if claimant_wins else (lost - fees)
        assert moved(chain, "alice", alice) == gain - row.deposit, play
        assert chain.free("owner") + chain.free("operator") - provider == provider_gain, play
        assert sum(chain.free(who) for who in ARBITERS) - judges == fees, play
        assert not rows(chain.disputes.panels)
        assert not rows(chain.disputes.agenda)
        assert (row.bond, row.answer_bond, row.offer, row.appeal) == (0, None, None, None)
        assert chain.market.running_cases == 0


def _appealed(play: Play) -> bool:
    award, _ = judged(play.first)
    return bool(play.appeals) and award is not None and award != (FULL_AWARD if play.appeals == "alice" else 0)
