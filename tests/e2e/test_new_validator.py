"""A validator that comes, signs, changes its keys and leaves, by the commands of docs/operating/validator.md."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.devnet import GENESIS, Net, answer_of, client_of, run_aitoken, wait_final
from tests.support.links import EVIDENCE
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(400)]

STASH = "//Ferdie"


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    spec = msgspec.json.decode(GENESIS.read_bytes())
    spec["params"] |= {
        "blockTimeMs": 200, "idleIntervalMs": 400, "sessionBlocks": 10, "sessionsPerEra": 1, "bondingEras": 2,
        "slashDeferEras": 1,
    }  # fmt: skip
    file = tmp_path / "quick.json"
    file.write_bytes(msgspec.json.encode(spec))
    net = Net.make(tmp_path / "net", 2, file)
    room_for_a_third = msgspec.json.decode(net.plan.genesis.read_bytes())
    room_for_a_third["genesis"]["staking"]["validatorCount"] = 3
    net.plan.genesis.write_bytes(msgspec.json.encode(room_for_a_third))
    yield net
    net.close()


class Newcomer:
    """A node that is no validator of genesis."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net = net
        self.folder = folder
        self.port = free_ports(2)
        self.log = folder.with_suffix(".log")
        self.url = f"ws://127.0.0.1:{self.port}"
        self.chain = str(net.plan.genesis)

    def arguments(self, *extra: str) -> list[str]:
        bootnodes = [f"127.0.0.1:{node.p2p_port}" for node in self.net.plan.nodes]
        return [
            "node", "run", "--chain", self.chain, "--data-dir", str(self.folder), "--validator", "--unsafe-rpc",
            "--rpc-port", str(self.port), "--p2p-port", str(self.port + 1), "--p2p-host", "127.0.0.1",
            *(word for address in bootnodes for word in ("--bootnode", address)), *extra,
        ]  # fmt: skip

    def start(self, *extra: str, name: int = 9) -> None:
        self.net.start_by_hand(name, self.arguments(*extra), self.log)

    async def session(self) -> int:
        async with client_of(self.url) as client:
            return int(await client.query("Session", "CurrentIndex"))

    async def next_sessions(self, count: int) -> None:
        async with client_of(self.net.url(0)) as client:
            start = int(await client.query("Session", "CurrentIndex"))
            async for _ in client.subscribe_heads(final=True):
                if int(await client.query("Session", "CurrentIndex")) >= start + count:
                    return

    def status(self) -> dict[str, Any]:
        return answer_of("validator", "status", STASH, "--url", self.url)["validator"]

    async def until(self, **wanted: object) -> dict[str, Any]:
        async with asyncio.timeout(120):
            while True:
                found = await asyncio.to_thread(self.status)
                if all(found[name] == value for name, value in wanted.items()):
                    return found
                await asyncio.sleep(0.5)


@pytest.fixture
def newcomer(net: Net, tmp_path: Path) -> Newcomer:
    return Newcomer(net, tmp_path / "newcomer")


async def until_it_signs(newcomer: Newcomer, key: str) -> None:
    """Wait until the node votes with this key; a busy machine may be an epoch behind."""
    async with asyncio.timeout(60), client_of(newcomer.url) as client:
        while True:
            state = await client.request("smpx_roundState")
            if state["voting"] and state["key"] == key:
                return
            await asyncio.sleep(0.2)


async def test_it_is_set_up_elected_rewarded_rotates_its_keys_and_leaves(net: Net, newcomer: Newcomer) -> None:
    net.start()
    await wait_final(net.url(0), 2)
    answer_of("validator", "init", "--data-dir", str(newcomer.folder), "--chain", newcomer.chain)
    newcomer.start("--watch-seconds", "1")
    await wait_final(newcomer.url, 2)

    where = ("--url", newcomer.url)
    answer_of("validator", "setup", STASH, "20_000", "--data-dir", str(newcomer.folder), *where)
    found = await newcomer.until(elected=True)
    assert found["keys_here"] is True
    assert found["validates"] is True
    await newcomer.next_sessions(1)
    first = found["keys"]
    await until_it_signs(newcomer, first[:66])
    answer_of("validator", "rotate-keys", STASH, *where)
    second = newcomer.status()["keys"]
    assert second != first
    await newcomer.next_sessions(3)
    await until_it_signs(newcomer, second[:66])

    answer_of("validator", "exit", STASH, *where)
    await newcomer.until(elected=False, queued=False, active=0)
    while newcomer.status()["bonded"]:  # bonds leave some eras later
        await newcomer.next_sessions(1)
        answer_of("validator", "exit", STASH, *where)
    gone = newcomer.status()
    assert (gone["unlocking"], gone["keys"]) == ([], "")
    for index in (0, 1):
        assert EVIDENCE.search(net.log(index)) is None
    text = run_aitoken("validator", "status", STASH, *where).stdout
    assert "nothing holds finality back" in text
    assert "not a candidate" in text
