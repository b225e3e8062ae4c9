"""The examples run as they stand, against a scripted node."""

import importlib.util
from types import ModuleType

import pytest

from tests.support.fake_node import FakeNode
from tests.support.scripted_chain import ALICE, BOB, BOB_ADDRESS, INFO, Scripted
from tests.support.vectors import REPOSITORY


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_transfer(capsys: pytest.CaptureFixture[str]) -> None:
    script = Scripted()
    script.record(1, "Balances", "Transfer", {"from": ALICE.public, "to": BOB.public, "amount": 25 * 10**11})
    script.record(1, "System", "ExtrinsicSuccess", {"dispatch_info": INFO})
    async with FakeNode(script.methods) as node:
        assert await example("transfer").transfer(node.url, "//Alice", BOB_ADDRESS, "2.5")

    shown = capsys.readouterr().out
    assert "value=2500000000000" in shown
    assert "fee about 777" in shown
    assert "final in block 50" in shown
    assert BOB_ADDRESS in shown


async def test_watch_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    script = Scripted()
    script.record(1, "Balances", "Transfer", {"from": ALICE.public, "to": BOB.public, "amount": 5})
    async with FakeNode(script.methods) as node:
        await example("watch_blocks").watch(node.url, 2)

    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["1", "1:", "2", "1:"]
    assert "Balances.Transfer" in shown[1]
