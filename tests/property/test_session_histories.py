"""Random histories of payment sessions on the real pallets; `HISTORIES=200000 FIRST=0` plays so many from there."""

from __future__ import annotations

import os

import pytest

from tests.support.session_histories import Bench, History

CHUNK = 100
COUNT = int(os.environ.get("HISTORIES", "200"))
FIRST = int(os.environ.get("FIRST", "0"))
REMEMBERED = (36_474,)
"""Histories that once went wrong: a tail somebody hurries comes back instead, because a demand was not answered."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, CHUNK))
def test_nobody_is_cheated_in_any_history(bench: Bench, first: int) -> None:
    for seed in range(first, min(first + CHUNK, FIRST + COUNT)):
        play(bench, seed)


@pytest.mark.parametrize("seed", REMEMBERED)
def test_nobody_is_cheated_in_a_history_that_once_went_wrong(bench: Bench, seed: int) -> None:
    play(bench, seed)


def play(bench: Bench, seed: int) -> None:
    try:
        History(bench, seed).run()
    except BaseException as error:
        error.add_note(f"history {seed}")
        raise
