"""Checks beside what is measured give a rate of the same order as checks alone, and end with it."""

from __future__ import annotations

import asyncio

import pytest

from bench import raw
from bench.raw import Beside


def test_it_checks_while_entered_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []

    def verify(signature: bytes, message: bytes, public: bytes) -> bool:
        checked.append(public)
        return True

    monkeypatch.setattr(raw.ed25519, "verify", verify)
    monkeypatch.setattr(raw, "BESIDE_SECONDS", 0.001)

    async def measure() -> float:
        async with Beside() as beside:
            while len(checked) < 5 * raw.BESIDE_COUNT:  # noqa: ASYNC110 - what it does is counted, not told
                await asyncio.sleep(0.001)
        after = len(checked)
        await asyncio.sleep(0.01)
        assert len(checked) == after
        return beside.rate

    assert asyncio.run(measure()) > 0
    assert len(set(checked[: 5 * raw.BESIDE_COUNT])) == 5 * raw.BESIDE_COUNT  # each under another key
