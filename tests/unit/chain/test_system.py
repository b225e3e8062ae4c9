"""System's calls, nesting limits and rollback on the whole runtime."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aitoken.codec.base import DecodeError
from aitoken.crypto.hashing import blake2_256, twox_128
from aitoken.types import AIT, AccountId
from chain.frame import errors
from chain.frame.calls import CARRIED_MAX, NESTING_MAX, Call
from chain.frame.machine import Machine
from chain.frame.origin import ROOT, Signed
from chain.frame.system import System
from chain.genesis import build_genesis
from chain.pallets.balances import Balances
from chain.params import PRESETS
from chain.runtime import assemble, build_runtime, build_schema
from chain.spec import parse_spec
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from tests.support import leading
from tests.support.vectors import REPOSITORY

SCHEMA = build_schema(PRESETS["devnet"])
WHO = AccountId(b"w" * 32)


@pytest.fixture
def machine() -> Machine:
    return assemble(SCHEMA, {}).machine


def system_of(machine: Machine) -> System:
    system = machine.pallets["System"]
    assert isinstance(system, System)
    return system


def last_event(machine: Machine) -> Any:
    return SCHEMA.event_record.decode(machine.store.events[-1]).event


def test_a_remark_is_told_by_its_hash(machine: Machine) -> None:
    machine.dispatch(SCHEMA.make_call("System.remark_with_event", b"hello"), Signed(WHO))
    event = last_event(machine)

    assert (event.sender, event.hash) == (WHO, blake2_256(b"hello"))
    with pytest.raises(errors.BadOrigin):
        machine.dispatch(SCHEMA.make_call("System.remark_with_event", b"hello"), ROOT)


def test_root_writes_raw_storage_but_not_money(machine: Machine) -> None:
    call = SCHEMA.make_call("System.set_storage", [(b"key", b"value"), (b"other", b"")])
    with pytest.raises(errors.BadOrigin):
        machine.dispatch(call, Signed(WHO))
    machine.dispatch(call, ROOT)
    machine.dispatch(SCHEMA.make_call("System.kill_storage", [b"other"]), ROOT)
    assert machine.store.changes() == {b"key": b"value"}

    for prefix in (twox_128(b"System") + twox_128(b"Account"), twox_128(b"Balances"), twox_128(b"Supply")):
        forbidden = SCHEMA.make_call("System.set_storage", [(b"more", b"x"), (prefix + b"rest", b"x")])
        with pytest.raises(errors.ModuleError) as caught:
            machine.dispatch(forbidden, ROOT)
        assert caught.value.code == "System.Unauthorized"
        assert machine.store.changes() == {b"key": b"value"}


def test_a_reference_too_few_fails_the_call_and_not_the_block(machine: Machine) -> None:
    system = system_of(machine)
    account = system.fresh_account()
    account.consumers = -1
    with pytest.raises(errors.Underflow):
        system.account.put(AccountId(bytes(32)), account)


def test_raw_writes_are_seen_by_typed_items_of_the_next_block(machine: Machine) -> None:
    system = system_of(machine)
    system.parent_hash.put(blake2_256(b"typed"))
    machine.dispatch(
        SCHEMA.make_call("System.set_storage", [(system.parent_hash.raw_key(None), blake2_256(b"raw"))]), ROOT
    )
    after = MemoryKeyValue(machine.store.changes())
    machine.store.settle(after)

    assert system.parent_hash.get() == blake2_256(b"raw")


def test_kill_prefix_removes_what_is_stored(machine: Machine) -> None:
    machine.store.load(MemoryKeyValue({b"aa": b"1", b"ab": b"2", b"b": b"3"}))
    machine.dispatch(SCHEMA.make_call("System.kill_prefix", b"a", 1), ROOT)
    assert machine.store.changes() == {b"aa": None}
    machine.dispatch(SCHEMA.make_call("System.kill_prefix", b"a", 10), ROOT)
    assert machine.store.changes() == {b"aa": None, b"ab": None}


def nested(depth: int) -> Call:
    call = SCHEMA.make_call("System.remark", b"")
    for _ in range(depth):
        call = SCHEMA.make_call("Utility.batch_all", [call])
    return call


def test_calls_nest_to_the_limit_and_no_deeper(machine: Machine) -> None:
    deepest = SCHEMA.decode_call(nested(NESTING_MAX).encode())
    assert deepest == nested(NESTING_MAX)
    with pytest.raises(DecodeError, match="nested"):
        SCHEMA.decode_call(nested(NESTING_MAX + 1).encode())
    machine.dispatch(nested(NESTING_MAX - 1), Signed(WHO))
    with pytest.raises(errors.LimitReached):
        machine.dispatch(nested(NESTING_MAX), Signed(WHO))
    machine.dispatch(nested(1), Signed(WHO))
    assert machine.store.changes() == {}


def test_a_call_carries_only_so_many_calls() -> None:
    remark = SCHEMA.make_call("System.remark", b"")
    for count, fits in [(CARRIED_MAX, True), (CARRIED_MAX + 1, False)]:
        data = SCHEMA.make_call("Utility.force_batch", [remark] * count).encode()
        if fits:
            assert len(SCHEMA.decode_call(data).args[0]) == count
        else:
            with pytest.raises(DecodeError, match="more than"):
                SCHEMA.decode_call(data)
    with pytest.raises(DecodeError):
        SCHEMA.decode_call(
            SCHEMA.make_call("System.kill_storage", [b""] * 1000).encode()[:2] + b"\xa5\x0f" + bytes(1001)
        )


def test_a_limited_origin_stays_limited_inside_a_batch(machine: Machine) -> None:
    limited = Signed(WHO, lambda call: call.info.pallet_name == "Utility")

    with pytest.raises(errors.DispatchError) as caught:
        machine.dispatch(nested(1), limited)

    assert caught.value.code == "System.CallFiltered"
    assert caught.value.scale == bytes((3, 0, 5, 0, 0, 0))


def test_sessions_turn_and_epochs_are_announced() -> None:
    spec = parse_spec(
        {
            "name": "t", "id": "t", "chainType": "Local", "protocolId": "t",
            "properties": {"tokenSymbol": "AIT", "tokenDecimals": 12, "ss58Format": 42},
            "runtime": {"preset": "devnet"}, "params": {"sessionBlocks": 3},
            "genesis": {
                "timestampMs": 1_000_000, "balances": {"//A": "10 AIT", "//B": "10 AIT"},
                "staking": {"validators": [
                    {"stash": "//A", "bond": "2 AIT", "keys": {"bft": "//A"}},
                    {"stash": "//B", "bond": "5 AIT", "keys": {"bft": "//B"}},
                ]},
            },
        }
    )  # fmt: skip
    runtime = build_runtime(spec)
    genesis = build_genesis(spec, runtime)
    state: Any = FinalState(MemoryKeyValue(genesis.pairs))
    header = genesis.header
    announced = []
    for view in range(1, 8):
        items = leading.items(
            runtime,
            state,
            genesis.header.hash,
            view=view,
            parent_view=view - 1,
            timestamp_ms=1_000_000 + 250 * view,
            leader=view % 2,
        )
        block = runtime.open_block(state, header, items).seal()
        runtime.execute_block(state, header, block.header, block.body)
        state, header = block.state, block.header
        if len(header.digest.logs) > 2:
            announced.append(header.number)

    assert announced == [3, 6]
    assert [weight for _, weight in genesis.epoch.authorities] == [2_000_000, 5_000_000]


def test_the_devnet_of_the_repository_is_a_chain() -> None:
    spec = parse_spec(msgspec.json.decode((REPOSITORY / "genesis.json").read_bytes()))
    genesis = build_genesis(spec)

    assert genesis.issuance == 500_000_000 * AIT
    assert len(genesis.epoch.authorities) == 4
    assert genesis.pairs[b":code"]
    assert build_genesis(spec).header == genesis.header
    machine = assemble(build_schema(spec.params), {}).machine
    machine.store.load(MemoryKeyValue(genesis.pairs))
    balances = machine.pallets["Balances"]
    assert isinstance(balances, Balances)
    accounts = [each for _, each in system_of(machine).account.items()]
    assert sum(each.free + each.reserved for each in accounts) == balances.total_issuance.get()
    for hook in machine.hooks("check_block"):
        hook(0)


def test_session_keys_are_taken_apart_for_whoever_asks() -> None:
    spec = parse_spec(msgspec.json.decode((REPOSITORY / "genesis.json").read_bytes()))
    runtime = build_runtime(spec)
    state: Any = FinalState(MemoryKeyValue(build_genesis(spec, runtime).pairs))
    keys = b"b" * 32 + b"n" * 32

    answer = runtime.call(state, "SessionKeys_decode_session_keys", b"\x01\x01" + keys)

    assert answer == b"\x01\x08" + b"\x80" + b"b" * 32 + b"bft_" + b"\x80" + b"n" * 32 + b"net_"
    assert runtime.call(state, "SessionKeys_decode_session_keys", b"\x04\x01") == b"\x00"
    with pytest.raises(errors.Unavailable):
        runtime.call(state, "SessionKeys_generate_session_keys", b"\x00")
