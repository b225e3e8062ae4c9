"""A devnet's validators report its made-up price once a window, over whichever node answers."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aitoken.errors import Unavailable
from cli.devnet.plan import NodePlan, Plan
from cli.devnet.prices import feeders_of, parse_price, report
from cli.specs import read_spec
from tests.support.specs import GENESIS


class PricedChain:
    """What the feeder asks a node for; time passes with each question."""

    def __init__(self) -> None:
        self.now_ms = 10_000
        self.step_ms = 2
        self.sent: list[tuple[int, str, dict[str, Any]]] = []
        self.refusals = 2
        self.enough = asyncio.Event()

    async def connect(self, _: str) -> PricedChain:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("still starting")
        return self

    def constant(self, pallet: str, name: str) -> int:
        assert (pallet, name) == ("Oracle", "Window")
        return 4

    async def query(self, *_: str) -> int:
        self.now_ms += self.step_ms
        return self.now_ms

    def call(self, pallet: str, name: str, /, **arguments: Any) -> dict[str, Any]:
        assert (pallet, name) == ("Oracle", "submit")
        return arguments

    async def submit(self, call: dict[str, Any], pair: Any, wait: str) -> None:
        assert wait == "none"
        self.sent.append((self.now_ms // 4, pair.public.hex(), call))
        if len(self.sent) == 12:
            self.enough.set()

    async def close(self) -> None:
        pass


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    node = NodePlan(0, "Alice", "//Alice", 1, 2, tmp_path, tmp_path)
    return Plan(tmp_path, tmp_path, read_spec(GENESIS), None, (node,))


async def test_every_feeder_reports_once_a_window(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.devnet.prices.RETRY_SECONDS", 0)
    chain = PricedChain()
    node: Any = SimpleNamespace(plan=plan.nodes[0], alive=True)
    task = asyncio.ensure_future(report(plan, [node], chain.connect, (125, 2)))
    async with asyncio.timeout(20):
        await chain.enough.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    by_window: dict[int, list[str]] = {}
    for window, who, call in chain.sent:
        by_window.setdefault(window, []).append(who)
        assert (call["feed"], call["price"]) == (840, {"mantissa": 125, "scale": 2})
    for who in list(by_window.values())[:2]:
        assert len(who) == len(set(who)) == 4


async def test_a_chain_without_feeds_needs_no_feeder(plan: Plan) -> None:
    plan.spec["genesis"].pop("oracle")
    await report(plan, [], PricedChain().connect, (1, 0))
    assert feeders_of(plan) == ([], [])


@pytest.mark.parametrize(
    ("text", "price"),
    [("1.00", (100, 2)), ("7", (7, 0)), ("0.000000000001", (1, 12)), ("12.5", (125, 1))],
)
def test_prices_as_people_write_them(text: str, price: tuple[int, int]) -> None:
    assert parse_price(text) == price


@pytest.mark.parametrize(
    "text", ["", "0", "0.00", ".5", "1,5", "-1", "1e3", "0.0000000000001", "1" * 19, "1.2.3", "none"]
)
def test_what_is_no_price(text: str) -> None:
    assert parse_price(text) is None
