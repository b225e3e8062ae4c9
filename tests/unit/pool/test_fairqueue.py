"""Who is served first at the door, who leaves when it is full, and what promises are worth."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.pool.fairqueue import BROKEN, DOUBT, DOUBT_MAX, OLDEST_EVERY, FairQueue


def queue_of(count: int = 1_000, size: int = 10_000, per_source: int = 100) -> FairQueue[Any]:
    return FairQueue(count, size, per_source)


def drained(queue: FairQueue[Any]) -> list[Any]:
    return [queue.pop() for _ in range(len(queue))]


def doubt(queue: FairQueue[Any], source: str) -> None:
    for _ in range(DOUBT // BROKEN + 1):
        queue.judge(source, kept=False)


def test_sources_are_served_in_turn_whatever_they_promise_and_bounds_are_kept() -> None:
    queue = queue_of(4, 100, 3)
    assert [queue.push("a", item, 10, 9) for item in range(4)] == [[], [], [], [3]]
    assert queue.push("b", 10, 10) == []
    assert queue.push("b", 11, 10) == [11]
    assert queue.push("c", 20, 10) == []
    assert queue.push("d", 30, 160) == [30]
    assert drained(queue) == [0, 10, 20, 1, 2]
    assert len(queue) == 0


def test_of_one_source_who_promises_more_goes_first_and_equals_in_order() -> None:
    queue = queue_of()
    for item, worth in enumerate((1, 5, 3, 5, 1)):
        queue.push("a", item, 1, worth)
    assert drained(queue) == [1, 3, 2, 0, 4]


def test_who_has_waited_longest_is_served_before_long() -> None:
    queue = queue_of()
    queue.push("a", "old", 1, 0)
    served = []
    for item in range(2 * OLDEST_EVERY):
        queue.push("a", item, 1, 9)
        served.append(queue.pop())
    assert served.index("old") < OLDEST_EVERY


def test_in_a_full_lane_the_least_leaves_for_what_promises_more() -> None:
    queue = queue_of(per_source=3)
    for item, worth in (("low", 1), ("high", 9), ("equal", 3)):
        queue.push("a", item, 1, worth)
    assert queue.least("a") == 1
    assert queue.push("a", "no more", 1, 1) == ["no more"]
    assert queue.push("a", "more", 1, 2) == ["low"]
    assert queue.push("a", "as much", 1, 3) == ["more"]
    assert queue.push("a", "not enough", 1, 3) == ["not enough"]
    assert drained(queue) == ["high", "equal", "as much"]


def test_a_large_one_takes_the_room_of_several_that_promise_less_or_none() -> None:
    queue = queue_of(size=10)
    for item, worth in enumerate((1, 2, 8)):
        queue.push("a", item, 3, worth)
    assert queue.push("a", "too large", 8, 5) == ["too large"]
    assert queue.push("a", "fits", 6, 5) == [0, 1]
    assert drained(queue) == [2, "fits"]


def test_a_source_in_doubt_is_served_in_order_of_arrival_until_it_has_kept_enough() -> None:
    queue = queue_of(per_source=3)
    queue.push("a", "first", 1, 1)
    queue.push("a", "second", 1, 9)
    doubt(queue, "a")
    assert not queue.believes("a")
    assert queue.least("a") is None
    queue.push("a", "third", 1, 99)
    assert queue.push("a", "boast", 1, 999) == ["boast"]
    assert drained(queue) == ["first", "second", "third"]
    for _ in range(1_000):
        queue.judge("a", kept=False)
    for _ in range(DOUBT_MAX - DOUBT):
        assert not queue.believes("a")
        queue.judge("a", kept=True)
    assert queue.believes("a")


def test_one_broken_promise_among_many_that_are_kept_changes_nothing() -> None:
    queue = queue_of()
    for number in range(1_000):
        queue.judge("a", kept=bool(number % (BROKEN + 1)))
    assert queue.believes("a")
    assert queue.believes("b")


SOURCES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), SOURCES, st.integers(1, 5), st.integers(0, 3)),
        st.tuples(st.just("pop")),
        st.tuples(st.just("judge"), SOURCES, st.booleans()),
    ),
    max_size=60,
)


@given(STEPS)
def test_everything_leaves_once_within_bounds_and_nothing_that_promises_more_than_what_stays(steps: Any) -> None:
    queue = queue_of(8, 25, 4)
    inside: dict[int, tuple[str, int, int]] = {}
    for number, step in enumerate(steps):
        if step[0] == "judge":
            queue.judge(step[1], kept=step[2])
        elif step[0] == "pop":
            if inside:
                del inside[queue.pop()]
        else:
            _, source, size, worth = step
            inside[number] = (source, size, worth)
            for gone in queue.push(source, number, size, worth):
                assert inside.pop(gone)[0] == source
                if gone != number:
                    assert number in inside
        lanes = [lane for lane, _, _ in inside.values()]
        assert len(queue) == len(inside) <= 16
        assert sum(size for _, size, _ in inside.values()) == queue._bytes <= 50
        assert all(lanes.count(source) <= 4 for source in "abc")
    assert sorted(drained(queue)) == sorted(inside)
    assert queue._bytes == 0


class PlainQueue:
    """The rules word by word, for one source: `waiting` are (promise, item, size), the oldest first."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size
        self.waiting: list[tuple[int, int, int]] = []
        self.served = 0

    def push(self, item: int, size: int, worth: int) -> list[int]:
        staying = list(self.waiting)
        leaving = []
        while staying and (len(staying) >= self.count or sum(s for *_, s in staying) + size > self.size):
            least = min(reversed(staying), key=lambda entry: entry[0])
            if least[0] >= worth:
                return [item]
            staying.remove(least)
            leaving.append(least[1])
        if len(staying) >= self.count or size > (self.size if self.waiting else 2 * self.size):
            return [item]
        self.waiting = [*staying, (worth, item, size)]
        return leaving

    def pop(self) -> int:
        self.served += 1
        oldest = self.waiting[0]
        best = oldest if self.served % OLDEST_EVERY == 0 else max(self.waiting, key=lambda entry: entry[0])
        self.waiting.remove(best)
        if not self.waiting:
            self.served = 0
        return best[1]


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(1, 9), st.sampled_from((3, 3, 3, 1, 5, 7)))), max_size=90))
def test_one_source_is_served_and_shed_by_the_rules_word_by_word(steps: Any) -> None:
    queue, plain = queue_of(100, 60, 12), PlainQueue(12, 60)
    for item, step in enumerate(steps):
        if step is None:
            assert queue.pop() == (plain.pop() if plain.waiting else None)
        else:
            size, worth = step
            assert queue.push("a", item, size, worth) == plain.push(item, size, worth)
        assert len(queue) == len(plain.waiting)
    assert drained(queue) == [plain.pop() for _ in list(plain.waiting)]
