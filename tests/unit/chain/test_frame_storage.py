"""Storage items: typed access, rollback, what is written, order of iteration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.codec.base import EncodeError
from aitoken.codec.hints import codec_of, u8, u32
from aitoken.crypto.hashing import blake2_128_concat, twox_64_concat, twox_128
from chain.frame.storage import (
    BLAKE2_128_CONCAT,
    IDENTITY,
    TWOX_64_CONCAT,
    Hasher,
    Map,
    OptionMap,
    OptionValue,
    StorageInfo,
    Store,
    Value,
    storage_map,
    storage_prefix,
)
from chain.state.memory import MemoryKeyValue


def info(kind: Any, name: str, *keys: Any, hashers: tuple[Hasher, ...] = (), value: Any = u32) -> StorageInfo:
    codecs = tuple(codec_of(key) for key in keys)
    key = None if not keys else codecs[0] if len(keys) == 1 else codec_of(tuple[keys])
    codec = codec_of(value)
    optional = issubclass(kind, (OptionValue, OptionMap))
    return StorageInfo(
        name, name, kind, hashers, codecs, key, codec, optional, codec.default, storage_prefix("Test", name), ""
    )


COUNT = info(Value, "Count")
MAYBE = info(OptionValue, "Maybe")
BALANCES = info(Map, "Balances", u8, hashers=(TWOX_64_CONCAT,))
NAMES = info(OptionMap, "Names", u8, u8, hashers=(TWOX_64_CONCAT, BLAKE2_128_CONCAT))


def store_with(pairs: dict[bytes, bytes] | None = None) -> tuple[Store, Any, Any, Any, Any]:
    store = Store(MemoryKeyValue(pairs or {}))
    return store, *(store.bind(item) for item in (COUNT, MAYBE, BALANCES, NAMES))


def test_keys_are_those_of_substrate() -> None:
    _, count, _, balances, names = store_with()
    prefix = twox_128(b"Test") + twox_128(b"Names")

    assert count.raw_key(None) == twox_128(b"Test") + twox_128(b"Count")
    assert balances.raw_key(7) == twox_128(b"Test") + twox_128(b"Balances") + twox_64_concat(b"\x07")
    assert names.raw_key((1, 2)) == prefix + twox_64_concat(b"\x01") + blake2_128_concat(b"\x02")
    assert IDENTITY.digest(b"x") == b"x"


def test_absent_values_read_as_default_or_none() -> None:
    _, count, maybe, balances, names = store_with()

    assert (count.get(), maybe.get(), balances.get(1), names.get((1, 1))) == (0, None, 0, None)
    assert not (count.exists())
    assert not (maybe.exists())
    assert not (balances.contains(1))
    assert not (names.contains((1, 1)))


def test_only_what_changed_is_written() -> None:
    _, count, *_ = store_with()
    store, count, maybe, balances, _names = store_with({count.raw_key(None): b"\x05\0\0\0"})
    balances.get(3)
    maybe.put(9)
    count.put(6)
    count.kill()
    balances.put(1, 10)
    balances.put(2, 20)
    balances.remove(2)

    assert store.changes() == {
        count.raw_key(None): None,
        maybe.raw_key(None): b"\x09\0\0\0",
        balances.raw_key(1): b"\x0a\0\0\0",
    }


def test_a_layer_that_is_rolled_back_leaves_no_trace() -> None:
    store, count, maybe, balances, _ = store_with()
    count.put(1)
    store.events.append(b"kept")
    outer = store.mark()
    count.put(2)
    inner = store.mark()
    count.put(3)
    maybe.put(4)
    balances.put(1, 1)
    store.events.append(b"lost")

    store.rollback(inner)
    assert (count.get(), maybe.get(), balances.get(1)) == (2, None, 0)
    store.rollback(outer)

    assert count.get() == 1
    assert store.events == [b"kept"]
    assert store.changes() == {count.raw_key(None): b"\x01\0\0\0"}


def test_a_value_that_does_not_fit_is_found_before_the_block_ends() -> None:
    store, count, *_ = store_with()
    mark = store.mark()
    count.put(-1)

    with pytest.raises(EncodeError):
        store.check_encodable(mark[0])


@given(
    st.dictionaries(st.integers(0, 255), st.integers(0, 9)),
    st.lists(st.tuples(st.integers(0, 255), st.integers(-1, 9))),
    st.integers(1, 5),
)
def test_iteration_and_pages_are_in_raw_order_whatever_was_written_when(
    stored: dict[int, int], writes: list[tuple[int, int]], limit: int
) -> None:
    *_, blank, _ = store_with()
    raw = {blank.raw_key(key): value.to_bytes(4, "little") for key, value in stored.items()}
    store, _, _, balances, _ = store_with(raw)
    expected = dict(stored)
    for key, value in writes:
        if value < 0:
            balances.remove(key)
            expected.pop(key, None)
        else:
            balances.put(key, value)
            expected[key] = value

    rows = sorted(expected.items(), key=lambda row: balances.raw_key(row[0]))
    assert list(balances.items()) == rows
    assert balances.page(after=None, limit=limit) == rows[:limit]
    for at, (key, _) in enumerate(rows):
        assert balances.page(after=key, limit=limit) == rows[at + 1 :][:limit]
    after = MemoryKeyValue(raw)
    after.apply(store.changes())
    store.load(after)
    assert dict(balances.items()) == expected


def test_entries_under_a_leading_key_are_listed_and_cleared() -> None:
    store, *_, names = store_with()
    for key in [(1, 1), (1, 2), (2, 1)]:
        names.put(key, key[0] * 10 + key[1])

    assert sorted(names.keys(1)) == [(1, 1), (1, 2)]
    assert names.page(1, after=None, limit=9) == list(names.items(1))
    assert names.clear(1) == 2
    assert list(names.items()) == [((2, 1), 21)]
    assert names.take((2, 1)) == 21
    assert store.changes() == {}


def test_a_map_without_hasher_is_refused() -> None:
    with pytest.raises(TypeError, match="hasher"):
        storage_map()
