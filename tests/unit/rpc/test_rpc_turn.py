"""What all callers together may take of a turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from node.rpc.turn import SHARE_S, Turn


class SlowLoop(asyncio.AbstractEventLoop):
    """A loop whose clock and turns are moved by hand."""

    def __init__(self) -> None:
        self.now = 5.0
        self.soon: list[Callable[[], object]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object], *_: Any, context: Any = None) -> Any:
        self.soon.append(callback)

    def turn(self) -> None:
        due, self.soon = self.soon, []
        for call in due:
            call()


def test_a_share_is_used_up_by_all_together_and_there_is_a_new_one_each_turn() -> None:
    loop = SlowLoop()
    turn = Turn(loop)

    assert not turn.is_over()
    loop.now += SHARE_S / 2
    assert not turn.is_over()
    loop.now += SHARE_S
    assert turn.is_over()
    assert turn.is_over()

    loop.turn()
    assert not turn.is_over()
