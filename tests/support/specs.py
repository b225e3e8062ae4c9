"""A small genesis for tests of the command line: the devnet's, with two validators."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cli.specs import read_spec, with_validators

GENESIS: Final = Path(__file__).resolve().parents[2] / "genesis.json"
TWO_VALIDATORS: Final[dict[str, Any]] = with_validators(read_spec(GENESIS), 2)
