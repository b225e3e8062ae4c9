"""Random examples are the same in every run of the gate; `HYPOTHESIS=search` looks for new ones.

No example fails for being slow: that says something about the machine, and a test that hangs has its own time-out.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("gate", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("gate"), derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS", "gate"))
