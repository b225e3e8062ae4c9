"""What the gateway measures, in the text format of Prometheus.

Every request counts several things and somebody looks once in a while, so counting is a plain addition here and the
client library makes its families when they are looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MILLISECONDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 120_000)


class Counts(Collector):
    """One counter, by labels.

    Attributes:
        counts: how much was counted under which labels.
    """

    def __init__(self, name: str, meaning: str, labels: tuple[str, ...]) -> None:
        self._told = (name, meaning, labels)
        self.counts: dict[tuple[str, ...], int] = {} if labels else {(): 0}

    def add(self, *labels: str, by: int = 1) -> None:
        """Count."""
        self.counts[labels] = self.counts.get(labels, 0) + by

    def collect(self) -> Iterator[Metric]:
        """Tell the counts."""
        name, meaning, labels = self._told
        family = CounterMetricFamily(name, meaning, labels=labels)
        for values, count in self.counts.items():
            family.add_metric(values, count)
        yield family


class Times(Collector):
    """How long something takes, by one label, in milliseconds."""

    def __init__(self, name: str, meaning: str, label: str) -> None:
        self._told = (name, meaning, [label])
        self._found: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add(self, value: str, milliseconds: float) -> None:
        """Count one."""
        found = self._found.get(value)
        if found is None:
            found = self._found[value] = [0] * (len(_MILLISECONDS) + 1)
            self._sums[value] = 0.0
        found[bisect_left(_MILLISECONDS, milliseconds)] += 1
        self._sums[value] += milliseconds

    def collect(self) -> Iterator[Metric]:
        """Tell how many took up to how long."""
        name, meaning, labels = self._told
        family = HistogramMetricFamily(name, meaning, labels=labels)
        bounds = [*(str(float(bound)) for bound in _MILLISECONDS), "+Inf"]
        for value, found in self._found.items():
            total, buckets = 0, []
            for bound, count in zip(bounds, found, strict=True):
                total += count
                buckets.append((bound, float(total)))
            family.add_metric([value], buckets, self._sums[value])
        yield family


class Metrics:
    """What one gateway counts, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._before: list[Callable[[], None]] = []
        self.requests = self._counts("requests", "Requests by endpoint and status.", ("api", "status"))
        self.refusals = self._counts("refusals", "Requests that were not served, by reason.", ("code",))
        self.receipts = self._counts("receipts", "Receipts by how their request ended.", ("status",))
        self.charged = self._counts("charged_base_units", "What all receipts come to.")
        self.claims = self._counts("claims", "Claims by outcome.", ("outcome",))
        self.took = Times("aitoken_gateway_request_ms", "How long requests take.", "api")
        self._registry.register(self.took)

    def _counts(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counts:
        counts = Counts(f"aitoken_gateway_{name}", meaning, labels)
        self._registry.register(counts)
        return counts

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a value as it is when somebody looks."""
        gauge = Gauge(f"aitoken_gateway_{name}", meaning, registry=self._registry)
        self._before.append(lambda: gauge.set(value()))

    def render(self) -> bytes:
        """Everything."""
        for look in self._before:
            look()
        return generate_latest(self._registry)
