"""What the README promises: a devnet, a transfer that is final, a node that dies and comes back, a clean end."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnet import AITOKEN, GENESIS, answer_of, children_of, is_alive, run_aitoken, wait_final
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


class Devnet:
    """`aitoken devnet` in a terminal of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.out, self.err = folder.with_suffix(".out"), folder.with_suffix(".err")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        arguments = ["devnet", "--chain", str(GENESIS), "--data-dir", str(self.folder), "--base-port", str(self.port)]
        with self.out.open("wb") as out, self.err.open("wb") as err:
            command = [*AITOKEN, *arguments, "--p2p-base-port", str(self.port + 20), *options]
            self.process = subprocess.Popen(command, stdout=out, stderr=err)

    def url(self, index: int) -> str:
        return f"ws://127.0.0.1:{self.port + index}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        assert self.process is not None
        started = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(20)
        return code, time.monotonic() - started

    def node_pid(self, index: int) -> int:
        assert self.process is not None
        for pid in children_of(self.process.pid):
            if f"node-{index}" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        raise AssertionError(f"node {index} does not run")


@pytest.fixture
def devnet(tmp_path: Path) -> Iterator[Devnet]:
    net = Devnet(tmp_path / "net", free_ports(40))
    yield net
    if net.process is not None and net.process.poll() is None:
        net.process.kill()
        net.process.wait(10)


async def test_a_devnet_pays_survives_a_death_and_ends_in_order(devnet: Devnet) -> None:
    devnet.start("--clean")
    await wait_final(devnet.url(0), 2)

    # a transfer, as the README shows it
    before = answer_of("balance", "//Bob", "--url", devnet.url(1))["free"]
    receipt = answer_of("transfer", "//Alice", "//Bob", "12.5", "--url", devnet.url(0))
    assert receipt["success"] is True
    after = answer_of("balance", "//Bob", "--url", devnet.url(1))["free"]
    assert after - before == 12_500_000_000_000
    text = devnet.out.read_text()
    assert "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY" in text
    assert re.search(r"^final #\d+  0x[0-9a-f]+", text, re.MULTILINE)
    assert answer_of("node", "status", "--url", devnet.url(2))["well"] is True

    # the program of the README
    readme = (GENESIS.parent / "README.md").read_text()
    program = readme.partition("```python\n")[2].partition("```")[0].replace("ws://127.0.0.1:9944", devnet.url(0))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "success=True" in done.stdout

    # one of four dies: the devnet says so, the chain goes on
    os.kill(devnet.node_pid(3), signal.SIGKILL)
    receipt = answer_of("transfer", "//Alice", "//Bob", "1", "--url", devnet.url(0))
    assert receipt["success"] is True
    obituary = devnet.err.read_text()
    assert "node 3 (Dave) was ended by SIGKILL" in obituary

    # it is started again with the command that was shown, and catches up
    again = obituary.partition("to start it again: ")[2].splitlines()[0]
    with devnet.err.open("ab") as log:
        back = subprocess.Popen([*AITOKEN, *shlex.split(again)[1:]], stdout=log, stderr=log)
    try:
        height = receipt["block_number"]
        assert await wait_final(devnet.url(3), height) == await wait_final(devnet.url(0), height)
    finally:
        back.terminate()
        assert back.wait(15) == 0

    code, seconds = devnet.stop()
    assert code == 6, "a node had died"
    assert seconds < 10


async def test_a_second_start_continues_the_same_chain(devnet: Devnet) -> None:
    devnet.start("-n", "1")
    first = await wait_final(devnet.url(0), 3)
    pid = devnet.node_pid(0)

    code, seconds = devnet.stop(signal.SIGINT)

    assert code == 0
    assert seconds < 10
    assert not is_alive(pid)
    devnet.start()
    assert await wait_final(devnet.url(0), 3) == first
    clean = run_aitoken("devnet", "--chain", str(GENESIS), "--data-dir", str(devnet.folder), "--clean")
    assert clean.returncode == 5
    assert "already runs" in clean.stderr
    assert devnet.stop()[0] == 0


async def test_nodes_do_not_outlive_their_devnet(devnet: Devnet) -> None:
    devnet.start("-n", "1")
    await wait_final(devnet.url(0), 1)
    pid = devnet.node_pid(0)

    devnet.stop(signal.SIGKILL)

    async with asyncio.timeout(15):
        while is_alive(pid):
            await asyncio.sleep(0.05)
