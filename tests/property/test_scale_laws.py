"""Laws of SCALE: what is decoded encodes to the same bytes, and garbage fails cleanly or is canonical."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.codec.base import Codec, DecodeError, EncodeError, compact_encode, compact_read
from aitoken.codec.hints import codec_of, compile_record, compile_writer, u8, u16, u32, u64, u128
from aitoken.codec.records import Record, Union, record
from aitoken.proto.digest import DIGEST
from aitoken.proto.header import HEADER
from aitoken.types import AccountId, Hash32
from chain.frame.types import ACCOUNT_INFO, NEW_LOGIC, AccountInfo
from chain.params import PRESETS
from chain.runtime import build_schema
from chain.state.memory import MemoryKeyValue
from tests.support.small_runtime import Chain

SCHEMA = build_schema(PRESETS["devnet"])
EMPTY = Chain({})
OLD = AccountInfo(1, 2, 3, 4, 5, 6, 7, NEW_LOGIC)


@record("laws::Everything")
class Everything(Record):
    flag: bool
    small: u8
    amounts: list[u128]
    maybe: tuple[u16, str] | None
    owner: AccountId
    numbers: dict[u32, bytes]
    wide: u64


class Either(Union, path="laws::Either"):
    """Recursive."""


class Nothing(Either, index=0):
    pass


class Both(Either, index=9):
    left: Either
    right: list[Either]
    hash: Hash32 | None


VALUES = st.builds(
    Everything,
    st.booleans(),
    st.integers(0, 255),
    st.lists(st.integers(0, 2**128 - 1), max_size=5),
    st.none() | st.tuples(st.integers(0, 65535), st.text(max_size=5)),
    st.binary(min_size=32, max_size=32),
    st.dictionaries(st.integers(0, 2**32 - 1), st.binary(max_size=5), max_size=5),
    st.integers(0, 2**64 - 1),
)
U128 = st.integers(0, 2**128 - 1)
COUNTS = [st.integers(0, 2**32 - 1)] * 4
USUAL = st.builds(AccountInfo, *COUNTS, U128, st.just(0), st.just(0), st.just(NEW_LOGIC))
ACCOUNTS = USUAL | st.builds(AccountInfo, *COUNTS, U128, st.just(0) | U128, st.just(0) | U128, st.just(0) | U128)
EITHER = st.recursive(
    st.builds(Nothing),
    lambda inner: st.builds(Both, inner, st.lists(inner, max_size=3), st.none() | st.binary(min_size=32, max_size=32)),
    max_leaves=8,
)


@given(VALUES)
def test_records_survive_the_round_trip(value: Everything) -> None:
    codec = codec_of(Everything)

    assert codec.decode(codec.encode(value)) == value


@given(EITHER)
def test_recursive_enums_survive_the_round_trip(value: Either) -> None:
    codec = codec_of(Either)

    assert codec.decode(codec.encode(value)) == value


@given(st.integers(0, 2**128 - 1), st.binary(max_size=3))
def test_compact_integers_are_read_back_wherever_they_stand(value: int, before: bytes) -> None:
    data = before + compact_encode(value)

    assert compact_read(data + b"\xff", len(before)) == (value, len(data))


def check_garbage(codec: Codec[Any], data: bytes) -> None:
    try:
        value = codec.decode(data)
    except DecodeError:
        return
    assert codec.encode(value) == data


GARBAGE = st.binary(max_size=120)


@settings(max_examples=300)
@given(GARBAGE)
def test_garbage_fails_cleanly_or_is_canonical(data: bytes) -> None:
    for codec in (codec_of(Everything), codec_of(Either), DIGEST, HEADER, codec_of(list[tuple[str, bool]])):
        check_garbage(codec, data)


CALL_HEADS = st.sampled_from([info.key for info in SCHEMA.all_calls()])


@settings(max_examples=300)
@given(CALL_HEADS, GARBAGE, st.integers(0, 3))
def test_garbage_calls_fail_cleanly_or_are_canonical(head: bytes, rest: bytes, wraps: int) -> None:
    data = head + rest
    for _ in range(wraps):
        data = b"\x06\x02\x04" + data  # Utility.batch_all of one
    try:
        call = SCHEMA.decode_call(data)
    except DecodeError:
        return
    if not _has_other_address(call.args):  # those are kept as they came; nothing re-encodes them
        assert call.encode() == data


def _has_other_address(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_has_other_address(item) for item in value)
    if hasattr(value, "args"):
        return _has_other_address(value.args)
    return type(value).__name__ == "OtherAddress"


@given(st.tuples(*[st.integers(0, 2**32 - 1)] * 4, *[st.integers(0, 2**128 - 1)] * 4))
def test_the_account_reader_of_the_store_agrees_with_the_codec(fields: tuple[int, ...]) -> None:
    info = AccountInfo(*fields)
    chain = EMPTY
    who = AccountId(b"a" * 32)
    key = chain.system.account.raw_key(who)
    chain.machine.store.load(_One(key, codec_of(AccountInfo).encode(info)))

    assert chain.system.account.get(who) == info


class _One:
    def __init__(self, key: bytes, value: bytes) -> None:
        self.pair = key, value

    def get(self, key: bytes, /) -> bytes | None:
        return self.pair[1] if key == self.pair[0] else None

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Any:
        yield self.pair


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**128 - 1), st.integers(0, 2**32 - 1))
def test_a_writer_gives_the_bytes_of_the_record(who: bytes, amount: int, number: int) -> None:
    fields = [("who", codec_of(AccountId)), ("amount", codec_of(u128)), ("number", codec_of(u32))]

    @record("laws::Event")
    class Event(Record):
        who: AccountId
        amount: u128
        number: u32

    encode, _ = compile_record(Event, fields)
    write = compile_writer(b"\x04\x02", fields, b"\x00")

    assert write(who, amount, number) == b"\x04\x02" + encode(Event(who, amount, number)) + b"\x00"


@given(st.dictionaries(st.binary(min_size=32, max_size=32), st.none() | ACCOUNTS, max_size=4))
def test_accounts_are_stored_and_read_as_their_codec_has_them(accounts: dict[AccountId, AccountInfo | None]) -> None:
    items = EMPTY.system.account
    store = items.store
    store.load(MemoryKeyValue({items.raw_key(who): ACCOUNT_INFO.encode(OLD) for who in accounts}))
    for who, account in accounts.items():
        assert items.get(who) == OLD
        items.put(who, account)

    changed: dict[bytes, bytes | None] = {}
    items.collect(changed)

    assert changed == {
        items.raw_key(who): None if account is None else ACCOUNT_INFO.encode(account)
        for who, account in accounts.items()
    }
    store.load(MemoryKeyValue(changed))
    assert {who: items.find(who) for who in accounts} == accounts


def test_an_account_that_fits_no_storage_is_refused_by_its_codec() -> None:
    items = EMPTY.system.account
    items.store.load(MemoryKeyValue({}))
    items.put(AccountId(bytes(32)), AccountInfo(2**32, 0, 1, 0, 1, 0, 0, NEW_LOGIC))
    with pytest.raises(EncodeError):
        items.collect({})
    items.store.load(MemoryKeyValue({}))
