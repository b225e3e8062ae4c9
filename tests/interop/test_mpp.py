"""Unmodified clients of MPP against a gateway that wants to be paid: what moved on chain is what receipts say."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from tests.interop.test_wallet_libraries import CLIENT_SECONDS, HERE, INSTALL_SECONDS, installed_python
from tests.interop.test_x402 import claimed, free, net, shop, talk
from tests.support.devnet import Net, client_of

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + CLIENT_SECONDS)]

__all__ = ["net"]


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
