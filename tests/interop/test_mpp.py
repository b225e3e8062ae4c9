"""Unmodified clients of MPP against a gateway that wants to be paid: what moved on chain is what receipts say."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from aitoken.crypto.ed25519 import Pair
from aitoken.types import AIT
from tests.interop.test_wallet_libraries import CLIENT_SECONDS, HERE, INSTALL_SECONDS, installed_python
from tests.interop.test_x402 import claimed, free, javascript, net, shop, talk
from tests.support.devnet import Net, client_of
from tests.support.market import do

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + CLIENT_SECONDS)]

__all__ = ["javascript", "net"]


@pytest.fixture(scope="module")
def mpp() -> Path:
    return installed_python("mpp", "requirements-mpp.txt", "--no-deps")


async def test_the_mpp_client_for_python_pays(net: Net, mpp: Path, tmp_path: Path) -> None:
    paths = [str(HERE.parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    async with shop(net, tmp_path) as url, client_of(net.url(0)) as client:
        before = await free(client, "//Eve")
        command = [str(mpp), str(HERE / "mpp_client.py"), url, net.url(0), str(tmp_path / "own")]
        told = await talk(command, PYTHONPATH=os.pathsep.join(paths))
        assert await claimed(client, told["session"], told["spent"])
        assert await free(client, "//Eve") - before == told["spent"] - -(-told["spent"] // 1000)


async def test_the_mpp_client_for_javascript_opens_a_session_and_pays(
    net: Net, javascript: Path, tmp_path: Path
) -> None:
    payer = Pair(bytes([0x35]) * 32)
    async with shop(net, tmp_path) as url, client_of(net.url(0)) as client:
        await do(client, "//Alice", "Balances", "transfer_keep_alive", dest=payer.public, value=5 * AIT)
        before = await free(client, "//Eve")
        script = str(javascript / "mppx.mjs")
        told = await talk(["node", script, url, client.chain.genesis_hash.hex(), payer.seed.hex()])
        spent = int(told["spent"])
        assert await claimed(client, told["session"], spent)
        assert await free(client, "//Eve") - before == spent - -(-spent // 1000)
