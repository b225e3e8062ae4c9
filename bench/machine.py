"""The machine and the day, which belong to every figure."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def facts() -> dict[str, str]:
    """Day, processor, cores, Python, and how busy the machine is."""
    cpu = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in cpu.read_text().splitlines()] if cpu.exists() else []
    found = [line for line in names if any(maker in line for maker in ("AMD", "Intel", "ARM"))]
    model = next((line for line in found if " " in line), platform.processor())
    return {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "processor": model,
        "cores": str(os.cpu_count()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def sentence() -> str:
    """The same in words."""
    told = facts()
    return (
        f"{told['day']}, {told['processor']}, {told['cores']} cores, {told['python']}, load {told['load']} at the end"
    )
