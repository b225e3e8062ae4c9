"""Whatever bytes come in: one well-formed answer or none, never an exception; and nesting is measured rightly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.rpc.dispatch import Answer, Caller, Dispatcher
from node.rpc.errors import RpcError
from node.rpc.limits import Bucket, check_depth
from node.rpc.params import BadParam, converter_for, unhex
from tests.support.rpc_fakes import RpcBench
from tests.support.rpc_wire import Line

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[asyncio.AbstractEventLoop, Dispatcher, RpcBench]]:
    loop = asyncio.new_event_loop()
    bench = RpcBench()
    loop.run_until_complete(bench.__aenter__())
    yield loop, bench.rpc.server._dispatcher, bench
    loop.run_until_complete(bench.__aexit__())
    loop.close()


Served = tuple[asyncio.AbstractEventLoop, Dispatcher, RpcBench]


def ask(served: Served, data: bytes) -> bytes | None:
    """The answer to some bytes on a connection of their own."""
    loop, dispatcher, bench = served

    async def run() -> bytes | None:
        session = Line(bench.settings.limits).session
        outcome = dispatcher.process(data, Caller(Bucket(0, 0), session))
        answer = outcome if isinstance(outcome, Answer) else await outcome
        answer.release()
        session.close()
        return answer.body

    return loop.run_until_complete(run())


def check(answer: bytes | None) -> None:
    if answer is None:
        return
    decoded = msgspec.json.decode(answer)
    for each in decoded if isinstance(decoded, list) else [decoded]:
        assert each.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
        assert each["jsonrpc"] == "2.0"
        if "error" in each:
            assert type(each["error"]["code"]) is int
            assert each["error"]["code"] != -32603, each


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_get_an_answer(served: Served, data: bytes) -> None:
    check(ask(served, data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values)
def test_any_json_gets_an_answer(served: Served, value: Any) -> None:
    check(ask(served, msgspec.json.encode(value)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(data=st.data())
def test_any_parameters_of_any_method_get_an_answer(served: Served, data: st.DataObject) -> None:
    bench = served[2]
    name = data.draw(st.sampled_from(bench.rpc.services.catalogue.names))
    params = data.draw(st.lists(json_values | st.binary(max_size=33).map(lambda raw: "0x" + raw.hex()), max_size=5))
    request = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}

    check(ask(served, msgspec.json.encode(request)))


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@given(value=json_values, limit=st.integers(0, 6))
def test_depth_is_measured_without_decoding(value: Any, limit: int) -> None:
    data = msgspec.json.encode(value)
    deeper = depth_of(value) > limit

    try:
        check_depth(data, limit)
        refused = False
    except RpcError:
        refused = True

    assert refused == deeper


@given(st.text(max_size=20))
def test_hex_is_read_strictly(text: str) -> None:
    try:
        raw = unhex(text)
    except BadParam:
        return
    assert raw.hex() == text.lower().removeprefix("0x")


def test_a_hint_that_means_nothing_is_found_when_the_method_is_declared() -> None:
    with pytest.raises(TypeError, match="no parameter can be of type"):
        converter_for(complex)
