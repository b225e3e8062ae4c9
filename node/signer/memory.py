"""Keeps keys of this process out of core files and away from debuggers of the same user.

Python cannot promise that no copy of a secret stays in memory; this closes the ways in which memory leaves the process.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def protect() -> None:
    """Write no core files and, on Linux, let no other process of this user read our memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
