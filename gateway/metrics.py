"""What the gateway measures, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MILLISECONDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 120_000)


class Metrics:
    """Counters of one gateway, in a registry of its own.

    `request`, `receipt` and `took` find the counter of some labels: what the client looks up anew each time is
    remembered, because every request counts several.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._before: list[Callable[[], None]] = []
        self.requests = self._counter("requests", "Requests by endpoint and status.", ("api", "status"))
        self.refusals = self._counter("refusals", "Requests that were not served, by reason.", ("code",))
        self.receipts = self._counter("receipts", "Receipts by how their request ended.", ("status",))
        self.charged = self._counter("charged_base_units", "What all receipts come to.")
        self.request = lru_cache(self.requests.labels)
        self.receipt = lru_cache(self.receipts.labels)
        self.claims = self._counter("claims", "Claims by outcome.", ("outcome",))
        self.seconds = Histogram(
            "aitoken_gateway_request_ms", "How long requests take.", ("api",), buckets=_MILLISECONDS,
            registry=self._registry,
        )  # fmt: skip
        self.took = lru_cache(self.seconds.labels)

    def _counter(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"aitoken_gateway_{name}", meaning, labels, registry=self._registry)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Show a value as it is when somebody looks."""
        gauge = Gauge(f"aitoken_gateway_{name}", meaning, registry=self._registry)
        self._before.append(lambda: gauge.set(value()))

    def render(self) -> bytes:
        """Everything."""
        for look in self._before:
            look()
        return generate_latest(self._registry)
