"""A key that is in use twice, or whose signer is gone: the second copy refuses or stops itself, nobody is accused."""

from __future__ import annotations

import asyncio
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from aitoken.keystore import node_keys
from tests.support.devnet import AITOKEN, Net, answer_of, client_of, environment, final_head, run_aitoken, wait_final
from tests.support.links import EVIDENCE
from tests.support.ports import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

REAL = 3
"""The validator whose key lies in a file."""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 4)
    yield net
    net.close()


def give_real_key(net: Net) -> Path:
    """Let the fourth validator of genesis have a key of its own; return its data folder, ready to run."""
    folder = net.plan.nodes[REAL].folder
    pairs = node_keys.make_session_pairs(folder / "keys")
    spec = msgspec.json.decode(net.plan.genesis.read_bytes())
    spec["genesis"]["staking"]["validators"][REAL]["keys"] = {"bft": "0x" + pairs.bft.public.hex()}
    net.plan.genesis.write_bytes(msgspec.json.encode(spec))
    return folder


def arguments_of(net: Net, folder: Path, *extra: str, port: int = 0) -> list[str]:
    """What runs the fourth validator by the key in its folder."""
    given = net.plan.arguments(net.plan.nodes[REAL])
    at = given.index("--dev-key")
    arguments = given[:at] + given[at + 2 :]
    arguments[arguments.index("--data-dir") + 1] = str(folder)
    if port:
        arguments[arguments.index("--rpc-port") + 1] = str(port)
        arguments[arguments.index("--p2p-port") + 1] = str(port + 1)
    return [*arguments, *extra]


async def votes(net: Net, index: int) -> bool:
    async with client_of(net.url(index)) as client:
        return bool((await client.request("smpx_roundState"))["voting"])


async def wait_voting(net: Net, index: int, wanted: bool, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while await votes(net, index) != wanted:
            await asyncio.sleep(0.2)


def nobody_is_accused(net: Net) -> None:
    for index in range(len(net.plan.nodes)):
        assert EVIDENCE.search(net.log(index)) is None


async def test_a_copy_on_another_machine_hears_its_own_key_and_stops_itself(net: Net, tmp_path: Path) -> None:
    """Development keys are spared the locks of one machine, as a copy elsewhere would be."""
    net.start()
    await wait_final(net.url(REAL), 3)
    copy = tmp_path / "copy"
    shutil.copytree(net.plan.nodes[REAL].folder, copy)

    arguments = net.plan.arguments(net.plan.nodes[REAL])
    port = free_ports(2)
    for name, value in (("--data-dir", str(copy)), ("--rpc-port", str(port)), ("--p2p-port", str(port + 1))):
        arguments[arguments.index(name) + 1] = value
    done = await asyncio.to_thread(run_aitoken, *arguments, "--watch-seconds", "20", seconds=150)

    assert done.returncode == 70, done.stderr[-2_000:]
    assert re.search("another process signs with this key. This node signed nothing", done.stderr)
    height, _ = await final_head(net.url(0))
    await wait_final(net.url(0), height + 3)
    assert await votes(net, REAL)
    nobody_is_accused(net)


async def test_a_copy_on_the_same_machine_is_refused_running_or_not(net: Net, tmp_path: Path) -> None:
    folder = give_real_key(net)
    net.start(0, 1, 2)
    net.start_by_hand(REAL, arguments_of(net, folder, "--watch-seconds", "1"), net.plan.nodes[REAL].log)
    await wait_voting(net, REAL, wanted=True)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    done = await asyncio.to_thread(run_aitoken, *arguments_of(net, copy, port=free_ports(2)))
    assert done.returncode == 5
    assert re.search("process [0-9]+ of this machine signs with the key", done.stderr)

    net.kill(REAL)
    done = await asyncio.to_thread(run_aitoken, *arguments_of(net, copy, port=free_ports(2)))
    assert done.returncode == 5
    assert "this is a copy" in done.stderr
    shutil.rmtree(copy / "sign-state")
    done = await asyncio.to_thread(run_aitoken, *arguments_of(net, copy, port=free_ports(2)))
    assert done.returncode == 5
    assert "no record of what it signed" in done.stderr
    shutil.copytree(folder / "sign-state", tmp_path / "old")

    net.start_by_hand(REAL, arguments_of(net, folder, "--watch-seconds", "1"), net.plan.nodes[REAL].log)
    await wait_voting(net, REAL, wanted=True)
    height, _ = await final_head(net.url(REAL))
    await wait_final(net.url(REAL), height + 3)
    net.kill(REAL)
    (state,) = (folder / "sign-state").iterdir()
    with state.open("r+b") as file:  # an older one, in the same place
        file.write((tmp_path / "old" / state.name).read_bytes())
    done = await asyncio.to_thread(run_aitoken, *arguments_of(net, folder, port=free_ports(2)))
    assert done.returncode == 5
    assert re.search("older", done.stderr)
    nobody_is_accused(net)


async def test_what_a_node_keeps_secret_is_its_owners_alone(net: Net) -> None:
    folder = give_real_key(net)
    net.start(0)
    net.start_by_hand(REAL, arguments_of(net, folder), net.plan.nodes[REAL].log)
    await votes(net, REAL)

    secrets = list(folder.rglob("*.key"))
    assert secrets
    for path in secrets:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.read_text().strip() not in net.log(REAL)


async def test_a_validator_moves_with_its_history(net: Net, tmp_path: Path) -> None:
    folder = give_real_key(net)
    chain = ("--chain", str(net.plan.genesis))
    net.start(0, 1, 2)
    net.start_by_hand(REAL, arguments_of(net, folder, "--watch-seconds", "1"), net.plan.nodes[REAL].log)
    await wait_voting(net, REAL, wanted=True)
    await wait_final(net.url(REAL), 5)
    net.stop(REAL)

    history = tmp_path / "history.json"
    done = run_aitoken("validator", "export-state", "--data-dir", str(folder), *chain, "--file", str(history))
    assert done.returncode == 0, done.stderr
    new = tmp_path / "new"
    new.mkdir()
    shutil.move(folder / "keys", new / "keys")
    (row,) = answer_of("validator", "import-state", str(history), "--data-dir", str(new), *chain)
    assert int(row["view"]) > 0

    net.start_by_hand(REAL, arguments_of(net, new, "--watch-seconds", "1"), net.plan.nodes[REAL].log)
    await wait_voting(net, REAL, wanted=True, seconds=120)
    nobody_is_accused(net)


async def test_a_node_whose_signer_is_gone_follows_and_votes_again_when_it_is_back(net: Net, tmp_path: Path) -> None:
    folder = give_real_key(net)
    state, path = tmp_path / "signer", tmp_path / "signer.sock"
    chain = ("--chain", str(net.plan.genesis))
    answer_of("validator", "init", "--data-dir", str(folder), *chain)
    state.mkdir(mode=0o700)
    shutil.move(folder / "sign-state", state / "sign-state")
    moved = run_aitoken(
        "validator", "init", "--moved", "--data-dir", str(state), *chain,
        "--key-file", str(folder / "keys" / "session.key"), "--confirm", "AI Token Devnet",
    )  # fmt: skip
    assert moved.returncode == 0, moved.stderr
    key = folder / "keys" / "session.key"

    def start_signer() -> subprocess.Popen[bytes]:
        command = ["signer", "run", "--key-file", str(key), "--state", str(state), *chain, "--socket", str(path)]
        return subprocess.Popen([*AITOKEN, *command], env=environment(), stderr=subprocess.DEVNULL)

    signer = start_signer()
    try:
        async with asyncio.timeout(30):
            while not path.exists():
                await asyncio.sleep(0.1)
        net.start(0, 1, 2)
        arguments = arguments_of(net, tmp_path / "node", "--signer", f"unix:{path}", "--watch-seconds", "1")
        net.start_by_hand(REAL, arguments, net.plan.nodes[REAL].log)
        await wait_voting(net, REAL, wanted=True)

        signer.kill()
        signer.wait(10)
        await wait_voting(net, REAL, wanted=False)
        assert "signer is lost" in net.log(REAL)
        height, _ = await final_head(net.url(REAL))
        await wait_final(net.url(REAL), height + 3)

        signer = start_signer()
        await wait_voting(net, REAL, wanted=True)
        assert "signer is back" in net.log(REAL)
        assert not list((tmp_path / "node").rglob("session*.key"))
        nobody_is_accused(net)
    finally:
        signer.kill()
        signer.wait(10)
