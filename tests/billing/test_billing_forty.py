"""All forty situations of the kit are there."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
SITUATIONS = frozenset(range(1, 41))
NAME = re.compile(r"^\s*(?:async )?def test_((?:b\d+_)+)", re.MULTILINE)


def test_every_situation_from_b1_to_b40_has_a_test() -> None:
    found: set[int] = set()
    for file in sorted(HERE.glob("test_*.py")):
        for numbers in NAME.findall(file.read_text()):
            found |= {int(number) for number in re.findall(r"b(\d+)_", numbers)}
    assert found == SITUATIONS, (sorted(SITUATIONS - found), sorted(found - SITUATIONS))
    assert len(found) == 40
