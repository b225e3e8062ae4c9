"""Weights are measured, for every call and hook there is, and a call touches no more than it announces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.proto.digest import Digest
from bench.weights.measure import Point, Probe, line, rounded
from bench.weights.pallets import everything
from bench.weights.table import FILE, render
from bench.weights.world import World
from chain import runtime as whole
from chain.frame.calls import announced
from chain.frame.system import System
from chain.frame.weights import PS_PER_MS, UNMEASURED, Cost, Linear, Weights
from chain.pallets.staking.types import Forcing
from chain.params import PRESETS
from chain.weights import MEASURED, WEIGHTS
from tests.support.small_runtime import small_schema

SCENARIOS = everything()
FIX = "run: make weights ARGS=<pallet>"


class Recording(Weights):
    """Notes what is asked for."""

    def __init__(self) -> None:
        super().__init__(read=WEIGHTS.read, write=WEIGHTS.write, costs=WEIGHTS.costs)
        self.asked: set[str] = set()

    def of(self, name: str) -> Linear:
        self.asked.add(name)
        return super().of(name)


@pytest.fixture(scope="module")
def world() -> World:
    return World(1_300)


@pytest.fixture(scope="module")
def asked(world: World) -> set[str]:
    """Every name the runtime asks for: when it is built, and in the last block of a session that ends an era."""
    recording = Recording()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "WEIGHTS", recording)
        instance = whole.assemble(whole.build_schema(PRESETS["devnet"]), {})
    instance.machine.store.load(world.base)
    pallets: Any = instance.machine.pallets
    pallets["Staking"].eras_start_session_index.put(1, 1)
    pallets["Staking"].force_era.put(Forcing.ForceNew)
    instance.system.initialize(30, world.header.hash, Digest(world.items(2, 1)))
    for hook in instance.machine.hooks("on_initialize"):
        hook(30)
    return recording.asked


def test_every_call_and_hook_is_measured(asked: set[str]) -> None:
    assert sorted(asked - set(WEIGHTS.costs)) == [], FIX
    assert sorted(set(WEIGHTS.costs) - asked) == [], "measured, but nothing by that name is left"


def test_every_figure_has_a_scenario_and_says_when_it_was_found() -> None:
    assert sorted(WEIGHTS.costs) == list(SCENARIOS)
    assert {name.partition(".")[0] for name in WEIGHTS.costs} | {"database"} == set(MEASURED)


def test_the_frozen_file_is_as_it_is_written() -> None:
    assert FILE.read_text(encoding="utf-8") == render(WEIGHTS.read, WEIGHTS.write, WEIGHTS.costs, MEASURED)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_no_call_touches_more_keys_than_it_announces(world: World, name: str) -> None:
    what, cost = SCENARIOS[name], WEIGHTS.costs[name]
    for units in what.units[:2] or (0,):
        world.reset()
        run = what.prepare(world, units) if what.units else what.prepare(world)
        world.settle()
        probe = Probe(world.state)
        world.machine.store.load(probe)
        result: Any = run()
        sealed = getattr(getattr(result, "state", None), "changes", {})
        written = {**world.machine.store.changes(), **sealed}

        assert len(probe.keys) <= cost.reads + units * cost.unit_reads, FIX
        assert len(written) <= cost.writes + units * cost.unit_writes, FIX


def test_a_weight_grows_with_what_the_call_carries_and_counts() -> None:
    def of(name: str, *args: Any) -> int:
        return int(schema.make_call(name, *args).weight)

    schema = whole.build_schema(PRESETS["devnet"])
    remark = schema.make_call("System.remark", b"")
    batch = WEIGHTS.of("Utility.batch")

    assert of("Utility.batch", [remark] * 3) == batch.base + 3 * batch.unit + 3 * remark.weight
    assert of("Utility.if_else", remark, remark) == WEIGHTS.of("Utility.if_else").base + 2 * remark.weight
    assert of("System.remark", bytes(1000)) - of("System.remark", b"") == 1000 * WEIGHTS.of("System.remark").unit
    assert of("Balances.burn", 1, True) == WEIGHTS.of("Balances.burn").base


def test_what_no_benchmark_has_seen_is_dear() -> None:
    unknown = announced(System.remark.scale_call, Weights(read=1, write=1, costs={}).of("System.remark"))  # type: ignore[attr-defined]

    assert callable(unknown)
    assert unknown(b"abc") == 4 * PS_PER_MS == UNMEASURED.at(3)


def test_other_weights_are_another_runtime() -> None:
    params = PRESETS["devnet"]
    before = small_schema(params).code
    costs = {**small_schema(params).weights.costs, "System.remark": Cost(1)}
    changed = Weights(read=5_000_000, write=15_000_000, costs=costs)
    schema = type(small_schema(params))(
        small_schema(params).pallets, (), replace(params), changed, spec_version=100, transaction_version=1
    )

    assert schema.code != before


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0, 1e12)), min_size=1, max_size=5, unique_by=lambda p: p[0]))
def test_no_measured_point_lies_above_the_line(found: list[tuple[int, float]]) -> None:
    points = [Point(units, ps, units // 3, 2) for units, ps in sorted(found)]
    cost = line(points)

    for point in points:
        assert cost.ps + point.units * cost.unit_ps >= point.ps
        assert cost.reads + point.units * cost.unit_reads >= point.reads - 1
        assert cost.writes + point.units * cost.unit_writes >= point.writes - 1


@given(st.floats(0, 1e15))
def test_figures_are_rounded_up_to_three_digits(ps: float) -> None:
    assert ps <= rounded(ps) <= ps * 1.011 + 1
