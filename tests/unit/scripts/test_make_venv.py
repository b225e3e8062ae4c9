"""Which Python the environment is made with. The Pythons here are shell scripts that say what a real one would."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "make-venv"
TOOLS = ("sh", "rm", "mkdir", "cat", "chmod", "touch", "id")

FAKE = """#!/bin/sh
case "$*" in
    -) cat >/dev/null; [ -n "{took}" ] && echo "{took}" ;;
    "-m venv --without-pip "*) mkdir -p "$4/bin" && printf '#!/bin/sh\\necho "$@" >%s/pip\\n' "$4" >"$4/bin/python" \\
        && chmod +x "$4/bin/python" && echo {name} >"$4/made-by" ;;
    "-m venv "*) [ -n "{pip}" ] && mkdir -p "$3" && echo {name} >"$3/made-by" ;;
    "-c import ensurepip"*) [ -n "{pip}" ] && echo "{pip}" ;;
    *) exit 1 ;;
esac
"""


class Machine:
    """A folder that is all there is of PATH."""

    def __init__(self, folder: Path) -> None:
        self.venv = folder / "venv"
        self.wheel = folder / "pip-1-py3-none-any.whl"
        self.wheel.touch()
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.more = folder / "more"
        self.more.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(next(p for p in (Path("/bin") / tool, Path("/usr/bin") / tool) if p.exists()))

    def python(self, name: str, took: int | None, *, pip: bool = True, folder: Path | None = None) -> Path:
        """Put a Python there that needs so many microseconds, None for one of another version."""
        path = (folder or self.bin) / name
        text = FAKE.format(name=path, took="" if took is None else took, pip=self.wheel if pip else "")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    def make(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        path = f"{self.bin}{os.pathsep}{self.more}"
        return subprocess.run(
            ["sh", SCRIPT, self.venv],
            env={"PATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def made_by(self, **environment: str) -> str:
        """Run it, and return which Python made the environment."""
        done = self.make(**environment)
        assert done.returncode == 0, done.stderr
        return (self.venv / "made-by").read_text(encoding="utf-8").strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_first_one_is_taken_where_others_are_hardly_faster(machine: Machine) -> None:
    first = machine.python("python3.12", 1000)
    machine.python("python3.11", 850)
    assert machine.made_by() == str(first)


def test_one_that_takes_a_fifth_less_is_preferred(machine: Machine) -> None:
    machine.python("python3.12", 1000)
    fast = machine.python("python3.11", 700)
    machine.python("python3", 1100)
    assert machine.made_by() == str(fast)


def test_two_of_one_name_are_both_looked_at(machine: Machine) -> None:
    machine.python("python3.11", 1000)
    fast = machine.python("python3.11", 500, folder=machine.more)
    assert machine.made_by() == str(fast)


def test_the_one_that_is_named_is_taken_however_slow(machine: Machine) -> None:
    machine.python("python3.11", 500)
    slow = machine.python("slow", 5000)
    assert machine.made_by(PYTHON=str(slow)) == str(slow)


def test_other_versions_are_passed_over(machine: Machine) -> None:
    machine.python("python3.12", None)
    right = machine.python("python3", 1000)
    assert machine.made_by() == str(right)


def test_none_at_all_is_said(machine: Machine) -> None:
    machine.python("python3", None)
    done = machine.make()
    assert done.returncode == 1
    assert "needs Python 3.11 or 3.12" in done.stderr


def test_a_fast_one_without_pip_gets_that_of_another(machine: Machine) -> None:
    machine.python("python3.12", 1000)
    bare = machine.python("python3.11", 500, pip=False)
    assert machine.made_by() == str(bare)
    told = (machine.venv / "pip").read_text(encoding="utf-8")
    assert told.startswith(f"{machine.wheel}/pip install")
    assert "--no-index" in told


def test_where_nothing_can_be_made_it_is_said_what_to_install(machine: Machine) -> None:
    machine.python("python3.11", 500, pip=False)
    done = machine.make()
    assert done.returncode == 1
    assert "python3-venv" in done.stderr
    assert not machine.venv.exists()
