"""A failed end-to-end test shows the last lines of each node's log."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

LINES = 25


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        folder: Any = getattr(item, "funcargs", {}).get("tmp_path")
        for log in sorted(Path(folder).rglob("node-*.log")) if folder is not None else ():
            lines = log.read_text(errors="replace").splitlines()[-LINES:]
            report.sections.append((str(log.relative_to(folder)), "\n".join(lines)))
    return report
