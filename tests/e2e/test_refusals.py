"""What a node refuses to run on, or with: each in one line, with its own exit code."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.devnet import Net, client_of, other_genesis, run_aitoken, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 1)
    yield net
    net.close()


def arguments_of(net: Net, index: int = 0) -> list[str]:
    return net.plan.arguments(net.plan.nodes[index])


def replaced(arguments: list[str], **options: object) -> list[str]:
    changed = list(arguments)
    for name, value in options.items():
        changed[changed.index("--" + name.replace("_", "-")) + 1] = str(value)
    return changed


def refused(net: Net, arguments: list[str], words: str) -> None:
    done = run_aitoken(*arguments, seconds=30)
    assert done.returncode == 5, done.stderr[-2_000:]
    assert re.search(words, done.stderr, re.IGNORECASE), done.stderr
    assert "Traceback" not in done.stderr


async def test_a_second_process_on_the_same_folder_is_refused(net: Net) -> None:
    net.start()
    await wait_final(net.url(0), 1)

    port = net.plan.nodes[0].rpc_port
    refused(net, replaced(arguments_of(net), rpc_port=port + 5, p2p_port=port + 6), "process [0-9]+ works in")

    await wait_final(net.url(0), 3)


@pytest.mark.parametrize("which", ["rpc_port", "p2p_port"])
def test_a_port_in_use_is_named(net: Net, which: str) -> None:
    with socket.create_server(("127.0.0.1", getattr(net.plan.nodes[0], which))) as taken:
        refused(net, arguments_of(net), f"{taken.getsockname()[1]}")


async def test_an_old_database_with_a_new_genesis_is_refused(net: Net, tmp_path: Path) -> None:
    net.start()
    await wait_final(net.url(0), 2)
    net.stop(0)

    refused(net, replaced(arguments_of(net), chain=other_genesis(tmp_path)), "genesis|another chain")


async def test_a_peer_of_another_chain_is_not_followed(tmp_path: Path) -> None:
    ours = Net.make(tmp_path / "ours", 1)
    theirs = Net.make(tmp_path / "theirs", 1, other_genesis(tmp_path))
    try:
        ours.start()
        theirs.start(extra=("--bootnode", f"127.0.0.1:{ours.plan.nodes[0].p2p_port}", "--log-level", "debug"))
        one = await wait_final(ours.url(0), 3)
        other = await wait_final(theirs.url(0), 3)

        assert one != other
        for net in (ours, theirs):
            async with client_of(net.url(0)) as client:
                assert (await client.request("system_health"))["peers"] == 0
        assert "genesis" in theirs.log(0) + ours.log(0)
    finally:
        ours.close()
        theirs.close()


def test_python_without_asserts_runs_no_node(net: Net) -> None:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-O", "-P", "-m", "cli", *arguments_of(net)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert "PYTHONOPTIMIZE" in done.stderr
