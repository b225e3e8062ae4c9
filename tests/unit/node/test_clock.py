"""Timers of the event loop: one that is put off fires as one that is made anew each time."""

from __future__ import annotations

import asyncio
import selectors

from hypothesis import given
from hypothesis import strategies as st

from node.clock import LoopTimer, SystemClock

STEPS = st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), st.integers(0, 60))), max_size=20)
"""After so many milliseconds: set the timer to so many, or cancel it."""


class _NoSockets(selectors.SelectSelector):
    """Waits for nothing: time passes in its place."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._virtual = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._virtual.now += max(timeout or 0.0, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The real loop, with time that passes when nothing is to be done."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_NoSockets(self))

    def time(self) -> float:
        return self.now


class _MadeAnew:
    """What a timer does, said plainly."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: object) -> None:
        self._loop, self._call = loop, call
        self._handle: asyncio.TimerHandle | None = None

    def set(self, delay_ms: int) -> None:
        self.cancel()
        self._handle = self._loop.call_later(delay_ms / 1000, self._call)  # type: ignore[arg-type]  # a callable

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def _fired(make: type[LoopTimer] | type[_MadeAnew], steps: list[tuple[int, int | None]]) -> list[int]:
    loop, fired = VirtualLoop(), []
    timer = make(loop, lambda: fired.append(round(loop.now * 1000)))

    async def play() -> None:
        for pause, delay in steps:
            await asyncio.sleep(pause / 1000)
            if delay is None:
                timer.cancel()
            else:
                timer.set(delay)
        await asyncio.sleep(1)

    loop.run_until_complete(play())
    loop.close()
    return fired


@given(STEPS)
def test_a_timer_fires_when_one_made_anew_each_time_would(steps: list[tuple[int, int | None]]) -> None:
    assert _fired(LoopTimer, steps) == _fired(_MadeAnew, steps)


def test_putting_a_timer_off_asks_nothing_of_the_loop() -> None:
    loop = VirtualLoop()

    async def play() -> int:
        timer = SystemClock().timer(lambda: None)
        for delay in range(10, 40):
            timer.set(delay)
        return len(loop._scheduled)  # type: ignore[attr-defined]  # what is to be counted

    assert loop.run_until_complete(play()) == 1
    loop.close()


def test_a_timer_may_be_set_by_its_own_call() -> None:
    loop, fired = VirtualLoop(), []

    def call() -> None:
        fired.append(round(loop.now * 1000))
        if len(fired) < 3:
            timer.set(10)

    timer = LoopTimer(loop, call)
    timer.set(5)
    loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    assert fired == [5, 15, 25]
