"""Metrics live in the registry they were given, and the process measures itself."""

import gc
from pathlib import Path

import pytest

from node.telemetry.metrics import Metrics, ProcessMetrics, open_descriptors, resident_bytes


def test_two_nodes_of_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()

    one.counter("blocks_final", "Blocks that became final.").inc(3)
    other.counter("blocks_final", "Blocks that became final.")

    assert b"aitoken_blocks_final_total 3.0" in one.render()
    assert b"aitoken_blocks_final_total 0.0" in other.render()


def test_a_name_is_declared_once() -> None:
    metrics = Metrics()
    metrics.gauge("peers", "Peers.")

    with pytest.raises(ValueError, match="Duplicated"):
        metrics.gauge("peers", "Peers.")


def test_a_histogram_sorts_into_its_buckets() -> None:
    metrics = Metrics()

    metrics.histogram("wait_ms", "Waiting.", ["room"], buckets=(10, 20)).labels("pool").observe(15)

    text = metrics.render()
    assert b'aitoken_wait_ms_bucket{le="10.0",room="pool"} 0.0' in text
    assert b'aitoken_wait_ms_bucket{le="20.0",room="pool"} 1.0' in text


def test_collections_are_measured_only_while_watched() -> None:
    metrics = Metrics()
    process = ProcessMetrics(metrics)

    gc.collect(0)
    assert b'process_gc_pause_ms_count{generation="0"}' not in metrics.render()
    process.watch_pauses()
    gc.collect(0)
    process.close()

    assert b'process_gc_pause_ms_count{generation="0"} 1.0' in metrics.render()
    assert process._on_collection not in gc.callbacks


def test_memory_and_descriptors_are_those_of_this_process() -> None:
    ProcessMetrics(metrics := Metrics())

    with Path(__file__).open("rb"):
        more = open_descriptors()

    assert more == open_descriptors() + 1
    assert resident_bytes() > 5_000_000
    assert b"aitoken_process_memory_bytes" in metrics.render()
