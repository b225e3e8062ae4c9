"""What a client makes of campaigns: phases, what is due, and a ledger that two ways lead to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from typing import Any

import pytest

from aitoken.client.campaign_ledger import _apply
from aitoken.client.campaigns import Following, Phase, Work
from aitoken.client.chain import Event
from aitoken.pay.campaign_ledger import Earned, Ledger, differences, remains_of, unbalanced

TERMS = {"step_ms": 1000, "vesting_ms": 4000}
RULING = 50_000
SITTING = 20_000


def work(stage: Any = "Open", challenge: Any = None) -> Work:
    return Work(5, {"stage": stage, "since": 10_000, "challenge": challenge, "reward": 100, "votes": []})


@pytest.mark.parametrize(
    ("now", "phase"),
    [
        (10_000, Phase.DISCLOSE), (10_999, Phase.DISCLOSE), (11_000, Phase.VOTE), (12_000, Phase.REVEAL),
        (13_000, Phase.CHALLENGE), (13_999, Phase.CHALLENGE), (14_000, Phase.SETTLE), (99_000, Phase.SETTLE),
    ],
)  # fmt: skip
def test_open_work_goes_through_its_phases(now: int, phase: Phase) -> None:
    assert work().phase(TERMS, now) is phase
    assert work().due(TERMS, now, RULING, SITTING) is (phase is Phase.SETTLE)


@pytest.mark.parametrize(
    ("stage", "challenge", "now", "phase", "is_due"),
    [
        ({"Vesting": {"since": 14_000, "paid": 0}}, None, 14_000, Phase.VESTING, False),
        ({"Vesting": {"since": 14_000, "paid": 0}}, None, 15_000, Phase.VESTING, True),
        ({"Vesting": {"since": 14_000, "paid": 25}}, None, 15_000, Phase.VESTING, False),
        ({"Vesting": {"since": 14_000, "paid": 99}}, None, 18_000, Phase.VESTING, True),
        ({"Vesting": {"since": 14_000, "paid": 0}}, {"since": 14_500, "seated": None}, 18_000, Phase.CHALLENGED, False),
        ({"Vesting": {"since": 14_000, "paid": 0}}, {"since": 14_500, "seated": None}, 64_500, Phase.CHALLENGED, True),
        ("Open", {"since": 13_500, "seated": None}, 63_500, Phase.CHALLENGED, True),
        ("Open", {"since": 13_500, "seated": 15_000}, 34_999, Phase.CHALLENGED, False),
        ("Open", {"since": 13_500, "seated": 15_000}, 35_000, Phase.CHALLENGED, True),
        ({"Over": {"paid": 100}}, None, 99_000, Phase.OVER, False),
    ],
)
def test_what_is_due_is_what_settle_would_do(stage: Any, challenge: Any, now: int, phase: Phase, is_due: bool) -> None:
    found = work(stage, challenge)

    assert found.phase(TERMS, now) is phase
    assert found.due(TERMS, now, RULING, SITTING) is is_due


class Shelf:
    """A client that has submissions and remembers which were read."""

    def __init__(self, rows: dict[int, dict[str, Any]]) -> None:
        self.rows = rows
        self.read: list[int] = []

    async def query_map(self, *_: str, wanted: Callable[[tuple[int]], bool]) -> AsyncIterator[tuple[Any, Any]]:
        for number in [number for number in self.rows if wanted((number,))]:
            self.read.append(number)
            yield (number,), self.rows[number]


async def test_work_of_others_and_work_that_is_over_is_read_once() -> None:
    def row(campaign: int, stage: Any = "Open") -> dict[str, Any]:
        return {"campaign": campaign, "stage": stage}

    shelf = Shelf({9: row(1), 2: row(2), 3: row(1, {"Over": {"paid": 0}}), 4: row(1, {"Vesting": {"paid": 0}})})
    following = Following(shelf, 1)  # type: ignore[arg-type]  # a client in small

    assert [work.number for work in await following.look()] == [4, 9]
    shelf.read.clear()
    shelf.rows |= {9: row(1, {"Over": {"paid": 5}}), 11: row(1)}
    assert [work.number for work in await following.look()] == [4, 11]
    assert sorted(shelf.read) == [4, 9, 11]
    shelf.read.clear()
    await following.look()
    assert sorted(shelf.read) == [4, 11]


def events() -> list[Event]:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("Funded", {"campaign": 1, "sponsor": "a", "amount": 100}),
        ("Funded", {"campaign": 2, "sponsor": "a", "amount": 900}),
        ("Funded", {"campaign": 1, "sponsor": "b", "amount": 50}),
        ("Submitted", {"submission": 7, "campaign": 1, "who": "p", "reward": 30}),
        ("Submitted", {"submission": 8, "campaign": 2, "who": "q", "reward": 30}),
        ("Submitted", {"submission": 9, "campaign": 1, "who": "q", "reward": 30}),
        ("Disclosed", {"submission": 7, "content": b"seven"}),
        ("Disclosed", {"submission": 8, "content": b"eight"}),
        ("Disclosed", {"submission": 9, "content": b"nine"}),
        ("Displaced", {"submission": 9, "by": 7}),
        ("Revealed", {"submission": 7, "attester": "j", "accepts": True}),
        ("Accepted", {"submission": 7}),
        ("Paid", {"submission": 7, "who": "p", "amount": 10, "paid": 10}),
        ("Paid", {"submission": 7, "who": "p", "amount": 20, "paid": 30}),
        ("Paid", {"submission": 8, "who": "q", "amount": 30, "paid": 30}),
        ("Withdrawn", {"campaign": 1, "sponsor": "b", "amount": 40}),
    ]
    return [Event("Rewards", name, fields, 0) for name, fields in rows]


def ledger() -> Ledger:
    found, parts = Ledger(1, "0x", Counter(), Counter(), Counter(), 0, {}), {}
    for event in events():
        _apply(found, parts, event)
    assert parts == {"a": [(0, 100)], "b": [(100, 50)]}
    found.remains, found.left = Counter({"a": 70, "b": 0}), 80
    return found


def test_a_ledger_follows_from_the_events_of_its_campaign_alone() -> None:
    found = ledger()

    assert (found.paid_in, found.taken_out) == ({"a": 100, "b": 50}, {"b": 40})
    assert found.works == {
        7: Earned(7, "p", 30, b"seven", ["j"], [], 30, "over"),
        9: Earned(9, "q", 30, None, [], [], 0, "over"),
    }
    assert (found.earned, found.by_person()) == (30, {"p": 30})


def test_any_difference_between_what_is_stored_and_what_was_told_is_named() -> None:
    assert list(differences(ledger(), ledger())) == []
    for change in (
        lambda one: setattr(one, "left", 81),
        lambda one: one.paid_in.update({"a": 1}),
        lambda one: one.paid_in.update({"c": 1}),
        lambda one: one.remains.update({"a": 1}),
        lambda one: one.works.pop(9),
        lambda one: setattr(one.works[7], "paid", 29),
        lambda one: setattr(one.works[7], "content", b"other"),
        lambda one: setattr(one.works[7], "who", "q"),
        lambda one: setattr(one.works[7], "challenged", True),
        lambda one: one.works[7].rejected.append("k"),
    ):
        changed = deepcopy(ledger())
        change(changed)
        assert list(differences(changed, ledger())), change


def test_money_that_is_missing_is_named() -> None:
    one = ledger()
    assert list(unbalanced(one)) == []
    one.left = 79

    assert list(unbalanced(one)) == ["150 was paid in, 149 is accounted for"]


def test_what_was_put_in_first_is_paid_out_first() -> None:
    first, second, again = [(0, 100)], [(100, 50)], [(150, 10)]

    left = [[remains_of(parts, paid) for parts in (first, second, first + again)] for paid in (0, 30, 120, 155, 160)]

    assert left == [[100, 50, 110], [70, 50, 80], [0, 30, 10], [0, 0, 5], [0, 0, 0]]
