"""One module for each pallet: the dearest way each of its calls and hooks can go."""

import importlib
from pathlib import Path

from bench.weights.world import SCENARIOS, Scenario


def everything() -> dict[str, Scenario]:
    """Return the scenarios of all modules here, by name."""
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem != "__init__":
            importlib.import_module(f"{__name__}.{path.stem}")
    return dict(sorted(SCENARIOS.items()))
