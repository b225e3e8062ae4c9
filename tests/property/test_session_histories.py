"""Random histories of payment sessions on the real pallets; `HISTORIES=200000` plays so many."""

from __future__ import annotations

import os

import pytest

from tests.support.session_histories import Bench, History

CHUNK = 100
COUNT = int(os.environ.get("HISTORIES", "200"))


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, COUNT, CHUNK))
def test_nobody_is_cheated_in_any_history(bench: Bench, first: int) -> None:
    for seed in range(first, min(first + CHUNK, COUNT)):
        try:
            History(bench, seed).run()
        except BaseException as error:
            error.add_note(f"history {seed}")
            raise
