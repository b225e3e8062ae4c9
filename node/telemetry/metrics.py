"""Counters, gauges and histograms of one node, kept in a registry that is passed in and never global.

A room declares what it measures once, in its constructor, and keeps the returned objects:

    self._blocks = metrics.counter("chain_blocks_final", "Blocks that became final.")

Every name starts with `aitoken_`; units come last (`_ms`, `_bytes`), `_total` is added to counters by the library.
Two nodes of one process (simulation, tests) have two registries.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX: Final = "aitoken_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MILLISECONDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000)
"""Default buckets of a histogram."""


class Metrics:
    """What one node measures; `render()` is the body of `/metrics`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._before_render: list[Callable[[], None]] = []

    def counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows."""
        return Counter(PREFIX + name, meaning, labels, registry=self.registry)

    def gauge(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(PREFIX + name, meaning, labels, registry=self.registry)

    def histogram(
        self, name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[int] = MILLISECONDS
    ) -> Histogram:
        """How a measured quantity is spread."""
        return Histogram(PREFIX + name, meaning, labels, buckets=buckets, registry=self.registry)

    def before_render(self, call: Callable[[], None]) -> None:
        """Run `call` before each `render`: what is counted often is counted plainly and told here (a lock each)."""
        self._before_render.append(call)

    def render(self) -> bytes:
        """Everything in the text format of Prometheus."""
        for call in self._before_render:
            call()
        return generate_latest(self.registry)


class ProcessMetrics:
    """Memory, descriptors, processor time and pauses of garbage collection of this process.

    `watch_pauses` hooks into the garbage collector; `close` takes the hook out again.
    """

    def __init__(self, metrics: Metrics) -> None:
        metrics.gauge("process_memory_bytes", "Resident memory.").set_function(resident_bytes)
        metrics.gauge("process_descriptors", "Open file descriptors.").set_function(open_descriptors)
        metrics.gauge("process_cpu_seconds", "Processor time used, user and system.").set_function(_cpu_seconds)
        self._pauses = metrics.histogram("process_gc_pause_ms", "Pauses of the garbage collector.", ["generation"])
        self._pauses_of: dict[int, Histogram] = {}
        self._started_ns = 0

    def watch_pauses(self) -> None:
        """Measure each collection from now on."""
        gc.callbacks.append(self._on_collection)

    def close(self) -> None:
        """Stop measuring collections."""
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, facts: dict[str, int]) -> None:
        if phase == "start":
            self._started_ns = time.perf_counter_ns()
        elif self._started_ns:
            pause_ms = (time.perf_counter_ns() - self._started_ns) / 1e6
            generation = facts["generation"]
            pauses = self._pauses_of.get(generation)
            if pauses is None:
                pauses = self._pauses_of[generation] = self._pauses.labels(str(generation))
            pauses.observe(pause_ms)


def resident_bytes() -> int:
    """Resident memory of this process; the highest so far where /proc is missing."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> int:
    """Open descriptors of this process; 0 where /proc is missing."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
    except OSError:
        return 0


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system
