"""Planted bugs: what the simulator must find, or it proves nothing.

Each replaces one small thing in the real core or driver for the time of a run. The independent guards that would catch
it first (the signing table, the driver's check of durability) are opened where the bug is about what lies behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final


def no_barrier() -> list[Any]:
    """The disk says "synced" before it is: votes leave before they are durable."""
    return []


MUTATIONS: Final[dict[str, Callable[[], list[Any]]]] = {"no-barrier": no_barrier}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Plant a bug."""
    with ExitStack() as stack:
        for patch in MUTATIONS[name]():
            stack.enter_context(patch)
        yield
