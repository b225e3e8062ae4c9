"""Writes `chain/weights.py`."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.weights.measure import Signatures
from chain.frame.weights import REFERENCE_RATE, Cost

LINE_MAX = 121
FILE = Path(__file__).parents[2] / "chain" / "weights.py"
HEAD = '''"""What calls and hooks of this chain cost: measured, frozen, part of the runtime.

Written by `make weights`; a figure changes fees and what fits into a block, hence the spec version. `bench/weights`
says how it is measured, `chain.frame.weights` what it means: picoseconds of a machine that checks {rate:,} ed25519
signatures a second.
"""

from typing import Final

from chain.frame.weights import Cost, Weights

MEASURED: Final = {{
{measured}}}
"""When and on what the figures of each pallet were found: a machine's figures are scaled by its signatures a second."""

WEIGHTS: Final = Weights(
    read={read:_},
    write={write:_},
    costs={{
{costs}    }},
)
'''


def source(signatures: Signatures) -> str:
    """Say when and on what something is measured."""
    rate = round(1 / min(signatures.seconds() for _ in range(5)), -2)
    day = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{day}, {_processor()}, {platform.python_implementation()} {platform.python_version()}, {rate:,.0f}/s"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def render(read: int, write: int, costs: Mapping[str, Cost], measured: Mapping[str, str]) -> str:
    """Return the module."""
    return HEAD.format(
        rate=REFERENCE_RATE,
        measured=_lines(f'    "{name}": "{measured[name]}",' for name in sorted(measured)),
        read=read,
        write=write,
        costs="".join(_cost(name, costs[name]) for name in sorted(costs)),
    )


def _lines(lines: Iterable[str]) -> str:
    return "".join(line + "\n" for line in lines)


def _cost(name: str, cost: Cost) -> str:
    """One entry, laid out as the formatter would."""
    named = {
        "reads": cost.reads, "writes": cost.writes,
        "unit_ps": cost.unit_ps, "unit_reads": cost.unit_reads, "unit_writes": cost.unit_writes,
    }  # fmt: skip
    arguments = f"{cost.ps:_}{''.join(f', {key}={value:_}' for key, value in named.items() if value)}"
    line = f'        "{name}": Cost({arguments}),\n'
    if len(line) <= LINE_MAX:
        return line
    return f'        "{name}": Cost(\n            {arguments}\n        ),\n'
