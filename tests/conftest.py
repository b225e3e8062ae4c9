"""Random examples are the same in every run of the gate; `HYPOTHESIS=search` looks for new ones."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("gate", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS", "gate"))
