"""Disks that are full, read-only or damaged, for real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1024 * 1024


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes at `path`, in memory; skips the test where none can be mounted."""
    path.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here (needs root): {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fill(path: Path) -> Path:
    """Take all space that is left; remove the returned file to give it back."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 512):
            block = bytes(size)
            try:
                while file.write(block):
                    pass
            except OSError:
                continue
    return filler


def make_read_only(path: Path) -> None:
    """Let nothing be written to the file system mounted at `path`."""
    subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)


def as_ordinary_user() -> list[str]:
    """What to put before a command so that file modes bind it; skips the test where root cannot give that up."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root ignores file modes, and setpriv is not installed")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


def flip(file: Path, at: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)
