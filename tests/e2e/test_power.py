"""The power goes just before and just after a sync of a real node's disk: nothing final and no vote is lost.

Longer, with four nodes and more moments: `make power RUNS=200`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.power import NOTHING, cut_power

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


async def test_power_cuts_around_a_sync_lose_nothing_that_was_promised(tmp_path: Path) -> None:
    wrong = await cut_power(tmp_path, runs=2, seed=1, count=1, rate=20)

    if any(each.startswith(f"{NOTHING}: ") for each in wrong):
        pytest.skip(wrong[-1])
    assert wrong == []
