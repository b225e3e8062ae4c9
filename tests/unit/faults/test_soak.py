"""What grows is seen, what only scatters is not."""

from __future__ import annotations

from random import Random

import pytest

from faults.soak import Bounds, Sample, judge, lag_ms, read_metrics
from node.telemetry.metrics import Metrics, ProcessMetrics
from node.telemetry.operator import LAG_MS

BOUNDS = Bounds(growth_mib=16, lag_ms=100)


def samples(memory: float = 0.0, descriptors: float = 0.0, late: float = 10.0, count: int = 40) -> list[Sample]:
    """A node whose memory and descriptors rise by so much in all; the last tenth of its lateness is up to `late`."""
    scatter = Random(1)
    found = []
    for number in range(count):
        done = number / count
        counts = {10.0: 90.0 * number, late: 100.0 * number, float("inf"): 100.0 * number}
        rising = 100 + memory * done + scatter.uniform(-5, 5)
        found.append(Sample(0, 5.0 * number, number, rising, int(30 + descriptors * done), counts))
    return found


def test_a_node_that_scatters_holds() -> None:
    lines, wrong = judge(samples(), BOUNDS)
    assert wrong == []
    assert len(lines) == 2


def test_what_happens_before_caches_are_full_is_not_judged() -> None:
    warm = [Sample(0, each.at_s, 0, each.memory_mib - 500, 3, each.late) for each in samples()[:20]]
    assert judge([*warm, *samples()[20:]], BOUNDS)[1] == []


@pytest.mark.parametrize(
    ("grown", "word"),
    [(samples(memory=80), "memory"), (samples(descriptors=30), "descriptors"), (samples(late=500.0), "loop")],
)
def test_what_grows_is_named(grown: list[Sample], word: str) -> None:
    [wrong] = judge(grown, BOUNDS)[1]
    assert word in wrong


def test_a_few_samples_prove_nothing() -> None:
    assert "prove nothing" in judge(samples(count=4), BOUNDS)[1][0]


def test_lateness_is_counted_between_two_samples() -> None:
    before = Sample(0, 0, 0, 0, 0, {10.0: 0.0, 100.0: 1000.0, 500.0: 1000.0})
    after = Sample(0, 9, 0, 0, 0, {10.0: 90.0, 100.0: 1098.0, 500.0: 1100.0})
    assert [lag_ms(before, after, share) for share in (0.5, 0.95, 0.99)] == [10.0, 100.0, 500.0]


def test_the_metrics_of_a_node_are_read() -> None:
    metrics = Metrics()
    ProcessMetrics(metrics)
    lag = metrics.histogram("process_loop_lag_ms", "How late.", buckets=LAG_MS)
    lag.observe(3)
    memory, descriptors, late = read_metrics(metrics.render())
    assert memory > 1
    assert descriptors > 2
    assert late[float("inf")] == 1
    assert late[1.0] == 0

    with pytest.raises(ValueError, match="process_memory_bytes"):
        read_metrics(b"")
