"""Unmodified wallet libraries against a devnet of real processes.

The libraries are installed once, as `package-lock.json` and `requirements.txt` pin them, under
`AITOKEN_INTEROP_CACHE` (default: the user's cache folder); without node or npm the tests say so and skip.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aitoken.crypto.derive import pair_from_uri
from cli.wallet import address_of
from tests.support.devnet import Net, quick_genesis, wait_final

HERE = Path(__file__).parent
VALIDATORS = 4
INSTALL_SECONDS = 600
CLIENT_SECONDS = 120

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(INSTALL_SECONDS + CLIENT_SECONDS)]


def cache(kind: str, *pins: str) -> Path:
    """The folder of an installation; another one for other pins."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aitoken-interop"
    root = Path(os.environ.get("AITOKEN_INTEROP_CACHE") or default)
    digest = hashlib.blake2b(b"".join((HERE / pin).read_bytes() for pin in pins), digest_size=8).hexdigest()
    return root / f"{kind}-{digest}"


def run(command: list[str], seconds: float, folder: Path | None = None) -> str:
    """Run a command to its end and return what it said; fail with that when it fails."""
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}"
    return done.stdout


def installed_python(kind: str, pins: str, *options: str, first: str = "pass") -> Path:
    """The interpreter of an environment with what `pins` lists and nothing else; `first` is run in it once."""
    folder = cache(kind, pins)
    interpreter = folder / "bin" / "python"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)], INSTALL_SECONDS)
        pip = [str(interpreter), "-m", "pip", "install", "-q", *options, "-r", str(HERE / pins)]
        run(pip, INSTALL_SECONDS)
        run([str(interpreter), "-c", first], INSTALL_SECONDS)
        (folder / "installed").touch()
    return interpreter


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    net = Net.make(tmp_path_factory.mktemp("interop"), VALIDATORS)
    try:
        net.start()
        asyncio.run(wait_final(net.url(0), 2))
        yield net.url(0)
    finally:
        net.close()


def installed_javascript() -> Path:
    """The folder with what `package-lock.json` pins, and the scripts of this one; skip where it cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are needed to drive JavaScript clients")
    folder = cache("js", "package.json", "package-lock.json")
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], INSTALL_SECONDS, folder)
        (folder / "installed").touch()
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


@pytest.fixture(scope="module")
def javascript() -> Path:
    return installed_javascript()


@pytest.fixture(scope="module")
def python() -> Path:
    return installed_python("py", "requirements.txt", "--no-deps")


def test_polkadot_js(devnet: str, javascript: Path) -> None:
    run(["node", "polkadot_js.mjs", devnet], CLIENT_SECONDS, javascript)


def test_polkadot_js_shows_identities(devnet: str, javascript: Path) -> None:
    run(["node", "polkadot_js_identity.mjs", devnet], CLIENT_SECONDS, javascript)


def test_polkadot_js_reads_an_offence(tmp_path: Path, javascript: Path) -> None:
    net = Net.make(tmp_path / "net", VALIDATORS, quick_genesis(tmp_path))
    try:
        net.start(0, 1, 2)
        net.start_liar(3).touch()
        asyncio.run(wait_final(net.url(0), 1))
        liar = address_of(bytes(pair_from_uri("//Dave//stash", "sr25519").public))
        run(["node", "polkadot_js_offence.mjs", net.url(0), liar], CLIENT_SECONDS, javascript)
    finally:
        net.close()


@pytest.mark.parametrize("methods", [[], ["--legacy"]], ids=["new", "legacy"])
def test_polkadot_api(devnet: str, javascript: Path, methods: list[str]) -> None:
    run(["node", "polkadot_api.mjs", devnet, *methods], CLIENT_SECONDS, javascript)


def test_substrate_interface(devnet: str, python: Path) -> None:
    run([str(python), str(HERE / "substrate_interface_client.py"), devnet], CLIENT_SECONDS)
