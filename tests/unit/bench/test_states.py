"""A large state that was streamed is the genesis state of its accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import states
from bench.accounts import account, account_key
from chain.genesis import build_genesis
from chain.state.layer import FinalState

ACCOUNTS = 300


def test_a_state_that_was_streamed_is_that_of_a_genesis_and_copies_leave_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITOKEN_BENCH_STATES", str(tmp_path / "kept"))
    monkeypatch.setattr("bench.accounts.WITH_KEYS", 200)

    first = states.open_copy(ACCOUNTS, tmp_path / "first")
    opened = first.database.state.top
    first.database.close()
    again = states.open_copy(ACCOUNTS, tmp_path / "again").database

    genesis = build_genesis(states.roomy_spec(ACCOUNTS))
    assert first.header == genesis.header
    assert dict(again.state.iterate(b"")) == genesis.pairs
    assert opened == FinalState.in_memory(genesis.pairs).top
    assert again.state.get(account_key(account(ACCOUNTS - 1))) is not None
    again.close()
