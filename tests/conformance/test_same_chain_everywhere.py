"""A chain means the same under every hash seed, interpreter flag, locale, time zone and supported Python version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import replay

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = 200
PYTHONS = [Path(sys.executable), *sorted(ROOT.glob(".venv-3.1*/bin/python"))]
"""Other versions where somebody made an environment for them: `make runtime VENV=.venv-3.12 PYTHON=python3.12`."""

ENVIRONMENTS = [
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "4294967295", "PYTHONOPTIMIZE": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
]


def run(python: Path, environment: dict[str, str], *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "TZ"))}
    command = [str(python), "-P", str(ROOT / "tests" / "support" / "replay.py"), *arguments]
    done = subprocess.run(
        command, env=clean | environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    file = tmp_path_factory.mktemp("chain") / "chain.jsonl"
    return file, run(Path(sys.executable), {"PYTHONHASHSEED": "42"}, "record", str(file), str(BLOCKS))


@pytest.mark.slow
@pytest.mark.xdist_group("replay")
@pytest.mark.parametrize("python", PYTHONS, ids=[path.parent.parent.name for path in PYTHONS])
@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment["PYTHONHASHSEED"])
def test_every_environment_computes_the_same_blocks(
    chain: tuple[Path, str], python: Path, environment: dict[str, str]
) -> None:
    file, head = chain

    assert run(python, environment, "replay", str(file)) == head


@pytest.mark.slow
@pytest.mark.xdist_group("replay")
def test_a_changed_block_is_not_the_same_chain(chain: tuple[Path, str], tmp_path: Path) -> None:
    """The replay compares: one transaction less and it must not come to the same end."""
    from chain.frame.errors import InvalidBlock

    lines = chain[0].read_text().splitlines()
    index = next(index for index, line in enumerate(lines) if line.count('", "') > 2)
    start, _, _ = lines[index].rpartition(', "')
    lines[index] = start + "]]"
    changed = tmp_path / "changed.jsonl"
    changed.write_text("\n".join(lines))

    with pytest.raises(InvalidBlock):
        replay.replay(changed)
