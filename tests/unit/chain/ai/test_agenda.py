"""An agenda tells everything once, nothing before its time, in order, and no more than asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aitoken.types import Moment
from chain.pallets.ai.agenda import SLOT_MS, SLOTS_A_LOOK, Agenda
from tests.support.spending_chain import SpendingChain

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(-2 * SLOT_MS, 40 * SLOT_MS)),
        st.tuples(st.just("cross out"), st.integers(0, 30)),
        st.tuples(st.just("look"), st.integers(0, 90 * SLOT_MS)),
    ),
    max_size=60,
)


@given(steps=STEPS, most=st.integers(1, 4))
def test_everything_is_told_once_and_nothing_before_its_time(steps: list[tuple[str, int]], most: int) -> None:
    chain = SpendingChain()
    agenda = Agenda(chain.plans.agenda, chain.plans.agenda_counts, chain.plans.agenda_front)
    now, waiting, places, number = chain.now, dict[int, int](), dict[int, tuple[int, int]](), 0

    def look() -> int:
        found = agenda.due(Moment(now), most)
        assert len(found) <= most
        for thing in found:
            assert waiting.pop(thing) <= now
        return len(found)

    for action, amount in steps:
        if action == "enter":
            places[number], waiting[number] = agenda.enter(Moment(now + amount), number), now + amount
            number += 1
        elif action == "cross out" and amount in places:
            agenda.cross_out(places.pop(amount))
            waiting.pop(amount, None)
        elif action == "look":
            now += amount
            look()
    now += 42 * SLOT_MS
    for _ in range(len(waiting) + 40 * 90 // SLOTS_A_LOOK + 2):
        look()
    assert not waiting
    assert not list(chain.plans.agenda.items())
    assert not list(chain.plans.agenda_counts.items())


def test_a_chain_whose_genesis_is_old_looks_at_what_is_entered_in_time() -> None:
    chain = SpendingChain()
    agenda = Agenda(chain.plans.agenda, chain.plans.agenda_counts, chain.plans.agenda_front)
    chain.plans.agenda_front.put((chain.now // SLOT_MS, 0))
    now = chain.now + 1_000 * SLOTS_A_LOOK * SLOT_MS

    agenda.cross_out(agenda.enter(Moment(now - 5 * SLOT_MS), 1))
    nothing = agenda.due(Moment(now), 4)
    agenda.enter(Moment(now + SLOT_MS), 2)
    early, told = agenda.due(Moment(now), 4), agenda.due(Moment(now + 2 * SLOT_MS), 4)

    assert (nothing, early, told) == ([], [], [2])
