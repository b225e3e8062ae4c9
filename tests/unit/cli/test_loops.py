"""Commands that serve take uvloop where it is installed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from types import ModuleType
from typing import Any

import pytest

from cli.loops import serve


async def work(done: list[str]) -> None:
    await asyncio.sleep(0)
    done.append(type(asyncio.get_running_loop()).__module__)


def test_without_uvloop_the_loop_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    done: list[str] = []
    serve(work(done))
    assert done[0].startswith("asyncio.")


def test_with_uvloop_it_runs_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []

    def run(work: Coroutine[Any, Any, None]) -> None:
        ran.append(True)
        asyncio.run(work)

    module = ModuleType("uvloop")
    module.run = run  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "uvloop", module)
    done: list[str] = []
    serve(work(done))
    assert ran == [True]
    assert len(done) == 1
