"""Finds test data: files of this repository, and public files that are read where they lie.

Public vectors belong to other projects and are not copied here. Their folder is `AITOKEN_VECTORS`, by default one
beside this repository; a test that needs one is skipped, saying so, where it is missing.
"""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
MADE: Final = REPOSITORY / "tests" / "vectors"
PUBLIC: Final = Path(os.environ.get("AITOKEN_VECTORS", REPOSITORY.parent / "shared" / "vectors" / "public"))


def own_json(name: str) -> Any:
    """Return the parsed JSON of `tests/vectors/<name>` (`.gz` is unpacked)."""
    return msgspec.json.decode(_read(MADE / name))


def own_hex(name: str) -> bytes:
    """Return the bytes of a hex text file `tests/vectors/<name>`."""
    return unhex(_read(MADE / name).decode().strip())


def public_vectors() -> Path:
    """Return the folder of public vectors, or skip the test saying what to set."""
    if not PUBLIC.is_dir():
        pytest.skip(f"no public vectors at {PUBLIC}: set AITOKEN_VECTORS")
    return PUBLIC


def public_bytes(name: str) -> bytes:
    """Return the bytes of a public vector (`.gz` is unpacked), or skip the test where it is missing."""
    path = public_vectors() / name
    if not path.exists():
        pytest.skip(f"no public vector {path}")
    return _read(path)


def public_json(name: str) -> Any:
    """Return the parsed JSON of a public vector, or skip the test where it is missing."""
    return msgspec.json.decode(public_bytes(name))


def public_hex(name: str) -> bytes:
    """Return the bytes of a public hex text file, or skip the test where it is missing."""
    return unhex(public_bytes(name).decode().strip())


def unhex(text: str) -> bytes:
    """Return the bytes of hex with or without 0x."""
    return bytes.fromhex(text.removeprefix("0x"))


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
