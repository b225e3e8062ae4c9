"""Unmodified openai-python against a gateway that wants to be paid."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitoken.crypto.derive import pair_from_uri
from aitoken.types import AIT
from tests.interop.test_wallet_libraries import CLIENT_SECONDS, HERE, INSTALL_SECONDS, installed_python
from tests.support.devnet import Net, client_of
from tests.support.market import do, gateway, proxy, sell

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + CLIENT_SECONDS)]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    net = Net.make(tmp_path / "net", 1)
    net.start()
    yield net
    net.close()


@pytest.fixture(scope="module")
def python() -> Path:
    return installed_python("openai", "requirements-openai.txt", "--no-deps")


async def test_openai_pays_through_the_proxy_and_through_a_transport(net: Net, python: Path, tmp_path: Path) -> None:
    async with client_of(net.url(0)) as client:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=pair_from_uri("//Eve").public, value=AIT)
    _, book = await sell(net.url(0), tmp_path)
    paying = ["--purse", str(tmp_path / "purse"), "--from", "//Bob", "--url", net.url(0), "--max-request", "0.2"]
    async with gateway(tmp_path, net.url(0), book) as (shop, _):  # noqa: SIM117 - the second needs the first
        async with proxy(tmp_path, *paying, "--gateway", shop, "--port", "0") as base:
            command = [str(python), str(HERE / "openai_client.py"), base, shop, net.url(0), str(tmp_path / "own")]
            paths = [str(HERE.parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
            settings = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
            done = await asyncio.to_thread(
                subprocess.run,
                command,
                capture_output=True,
                text=True,
                timeout=CLIENT_SECONDS,
                env=settings,
                check=False,
            )
    assert done.returncode == 0, done.stdout + done.stderr
