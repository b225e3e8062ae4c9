"""Where test data of public repositories is; it is read in place and never copied."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MADE = REPOSITORY / "tests" / "vectors"


def public_vectors() -> Path:
    """Return the folder of public vectors, or skip the test saying what to set."""
    folder = Path(os.environ.get("AITOKEN_VECTORS", REPOSITORY.parent / "shared" / "vectors" / "public"))
    if not folder.is_dir():
        pytest.skip(f"no public vectors at {folder}: set AITOKEN_VECTORS")
    return folder
