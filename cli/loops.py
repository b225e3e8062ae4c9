"""The event loop of commands that serve: uvloop where it is installed (the extra `uvloop`), asyncio's own otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def serve(work: Coroutine[Any, Any, None]) -> None:
    """Run something until it ends."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
