"""Python's collector of cycles, for processes that serve.

What requests, transactions and blocks make holds no cycles and dies without the collector, so it may look rarely; and
what is there when the work begins stays, so it need not be looked at again.
"""

from __future__ import annotations

import gc
from typing import Final

COLLECT_AFTER: Final = (50_000, 20, 100)
"""Allocations until the youngest are looked at, and how many such looks until the older ones are."""


def collect_rarely() -> None:
    """Leave what exists out of all collections from now on, and collect rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
