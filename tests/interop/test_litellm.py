"""Unmodified LiteLLM pays a gateway on a devnet: by the address of a proxy, and through a provider of its own."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from tests.interop.test_wallet_libraries import CLIENT_SECONDS, HERE, INSTALL_SECONDS, installed_python
from tests.interop.test_x402 import claimed, free, net, shop, talk
from tests.support.devnet import Net, client_of
from tests.support.market import proxy

SECONDS = 3 * CLIENT_SECONDS
pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(2 * INSTALL_SECONDS + SECONDS)]

__all__ = ["net"]

PATHS = [str(HERE.parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
"""Where our client is, and what it needs besides LiteLLM."""
FIRST_IMPORT = (
    f"import os, sys; sys.path += {PATHS!r}; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'; import litellm"
)


@pytest.fixture(scope="module")
def python() -> Path:
    # Its first import compiles what is needed, and takes minutes on a busy machine.
    return installed_python("litellm", "requirements-litellm.txt", "--no-compile", "--no-deps", first=FIRST_IMPORT)


async def test_litellm_pays_through_the_proxy_and_through_its_provider(net: Net, python: Path, tmp_path: Path) -> None:
    paying = ["--purse", str(tmp_path / "purse"), "--from", "//Bob", "--url", net.url(0), "--max-request", "0.2"]
    async with shop(net, tmp_path) as url, client_of(net.url(0)) as client:
        eve = await free(client, "//Eve")
        async with proxy(tmp_path, *paying, "--gateway", url, "--port", "0") as base:
            command = [str(python), str(HERE / "litellm_client.py"), base, url, net.url(0), str(tmp_path / "own")]
            told = await talk(command, SECONDS, PYTHONPATH=os.pathsep.join(PATHS))
        assert await claimed(client, told["session"], told["spent"])
        # The proxy's two requests: the first is claimed, the second is countersigned when the session is closed.
        paid = await free(client, "//Eve") - eve
        assert paid >= told["spent"] * 999 // 1000
