"""Four validators far apart on links that lose packets go on, and blocks are final in bounded time.

With seven, longer, and with a table: `make links SECONDS=60`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.far_apart import measure

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


async def test_lost_packets_stop_nobody(tmp_path: Path) -> None:
    wrong = await measure(tmp_path, seconds=2, count=4, delay_ms=100, loss=0.03, seed=1, rate=20, proxies=False)

    assert wrong == []
