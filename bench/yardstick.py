"""The yardstick of `vouchers`: how fast the x402 SDK for Python checks a voucher of its batch settlement.

It works in a virtual environment of its own, made once and kept where the tools of tests/interop are; where it cannot
be made, a line on standard error says so and the table has no such rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.row import Row

HERE: Final = Path(__file__).parent
PINS: Final = HERE / "requirements-x402.txt"
INSTALL_SECONDS: Final = 600
RUN_SECONDS: Final = 300
PLAIN: Final = "eth_keys.backends.NativeECCBackend"
"""What the SDK computes with where coincurve, a binding of libsecp256k1, is not installed beside it."""


def rows(quick: bool) -> list[Row]:
    """Measure, if it can be installed."""
    try:
        python = _environment()
    except (OSError, subprocess.SubprocessError) as error:
        print(f"bench: no x402 SDK to compare with: {error}", file=sys.stderr)
        return []
    fast = _checked(python, 200 if quick else 2_000, {})
    plain = _checked(python, 10 if quick else 50, {"ECC_BACKEND_CLASS": PLAIN})
    return [
        Row("x402 SDK", "vouchers checked, with coincurve", fast, "per second"),
        Row("x402 SDK", "vouchers checked, as it is installed", plain, "per second"),
    ]


def _environment() -> Path:
    """The interpreter of the environment, which is made when it is not there."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aitoken-interop"
    root = Path(os.environ.get("AITOKEN_INTEROP_CACHE") or default)
    folder = root / f"x402-bench-{hashlib.blake2b(PINS.read_bytes(), digest_size=8).hexdigest()}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(PINS)]
        for command in ([sys.executable, "-m", "venv", str(folder)], pip):
            subprocess.run(command, check=True, timeout=INSTALL_SECONDS, stdout=subprocess.DEVNULL)
        (folder / "installed").touch()
    return python


def _checked(python: Path, count: int, settings: dict[str, str]) -> float:
    command = [str(python), str(HERE / "_x402_vouchers.py"), str(count)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=RUN_SECONDS, env=os.environ | settings
    )
    return float(json.loads(done.stdout)["per_second"])
