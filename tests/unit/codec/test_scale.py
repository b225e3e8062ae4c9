"""SCALE against values made with @polkadot/types and the rejects of parity-scale-codec."""

from __future__ import annotations

import json
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import pytest

from aitoken.codec import containers as c
from aitoken.codec import primitives as p
from aitoken.codec.base import Codec, DecodeError, EncodeError, compact_encode
from aitoken.codec.containers import fail, ok
from aitoken.codec.hints import (
    COMPACT,
    Bytes32,
    MaxLen,
    Resolver,
    codec_of,
    type_name_of,
    u8,
    u16,
    u32,
    u64,
    u128,
)
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.codec.registry import Registry
from aitoken.types import AccountId, Balance, Hash32
from tests.support.vectors import public_vectors

VECTORS = Path(__file__).parents[2] / "vectors" / "polkadot_js"


@record("test::AccountInfo")
class Info(Record):
    nonce: u32
    consumers: u32
    providers: u32
    sufficients: u32
    free: u128
    reserved: u128
    frozen: u128
    flags: u128


class Choice(Union, path="test::Choice"):
    """An enum with all kinds of fields."""


class A(Choice, index=0):
    pass


class B(Choice, index=1, unnamed=True):
    value: u32


class C(Choice, index=2, unnamed=True):
    value: tuple[u8, bytes]


class D(Choice, index=3):
    x: Annotated[int, p.U64, COMPACT]
    y: Hash32 | None


class Tree(Union, path="test::Tree"):
    """Contains itself."""


class Leaf(Tree, index=0):
    value: u8


class Node(Tree, index=1):
    children: list[Tree]


@plain_enum("test::Colour")
class Colour(IntEnum):
    RED = 0
    GREEN = 3


TYPES: dict[str, Codec[Any]] = {
    **{f"{sign.lower()}{bits}": getattr(p, f"{sign}{bits}") for sign in "UI" for bits in (8, 16, 32, 64, 128)},
    "u256": p.U256,
    "bool": p.Bool,
    "H256": p.H256,
    "AccountId32": p.ACCOUNT_ID,
    "Bytes": p.Bytes,
    "Text": p.Str,
    "Vec<u8>": p.Bytes,
    "Vec<u16>": codec_of(list[u16]),
    "Vec<u32>": codec_of(list[u32]),
    "Vec<u128>": codec_of(list[u128]),
    "Option<u8>": c.Option(p.U8),
    "Option<u32>": c.Option(p.U32),
    "Option<Vec<u8>>": codec_of(bytes | None),
    "[u8; 4]": p.FixedBytes(4),
    "[u16; 3]": c.Array(p.U16, 3),
    "(u8,u64,bool)": codec_of(tuple[u8, u64, bool]),
    "Result<u8,u8>": c.Result(p.U8, p.U8),
    "Result<u32,Text>": c.Result(p.U32, p.Str),
    "BTreeMap<u32,u64>": codec_of(dict[u32, u64]),
    **{f"Compact<u{bits}>": p.Compact(getattr(p, f"U{bits}")) for bits in (8, 16, 32, 64, 128)},
}


def plain(codec_name: str, value: Any) -> Any:
    """Turn polkadot-js's JSON form into ours."""
    if codec_name.startswith(("u", "i")):
        return int(value)
    if codec_name.startswith(("H256", "AccountId", "Bytes", "[u8")) or codec_name == "Option<Vec<u8>>":
        return None if value is None else bytes.fromhex(value[2:])
    if codec_name.startswith("Option"):
        return None if value is None else int(value)
    if codec_name.startswith(("Vec", "[u16")):
        return [int(item) for item in value]
    if codec_name.startswith("("):
        return (int(value[0]), int(value[1]), value[2])
    if codec_name.startswith("Result"):
        return ok(int(value["Ok"])) if "Ok" in value else fail(value["Err"])
    if codec_name.startswith("BTreeMap"):
        return {int(key): int(item) for key, item in value.items()}
    return value


def js_values() -> list[Any]:
    rows = json.loads((VECTORS / "scale_values.json").read_text())
    return [row for row in rows if row["type"] in TYPES]


@pytest.mark.parametrize("row", js_values(), ids=lambda row: row["type"])
def test_values_of_polkadot_js_are_written_and_read_alike(row: dict[str, Any]) -> None:
    codec, data = TYPES[row["type"]], bytes.fromhex(row["hex"][2:])

    value = plain(row["type"], row["value"])

    assert codec.encode(value) == data
    assert codec.decode(data) == value


def test_most_of_the_value_file_is_used() -> None:
    assert len(js_values()) >= 130


def test_compact_integers_of_polkadot_js() -> None:
    for row in json.loads((VECTORS / "scale_compact.json").read_text()):
        data = bytes.fromhex(row["hex"][2:])
        assert compact_encode(int(row["value"])) == data
        assert p.CompactU128.decode(data) == int(row["value"])


def test_compact_integers_and_their_lengths_as_in_rust() -> None:
    vectors = json.loads((public_vectors() / "scale/compact_and_rejects.json").read_text())
    for row in vectors["compact"]:
        assert compact_encode(int(row["value"])).hex() == row["hex"][2:]
    for row in vectors["compact_lengths"]:
        assert len(compact_encode(int(row["value"]))) == row["bytes"]


def test_what_rust_refuses_is_refused() -> None:
    rows = json.loads((public_vectors() / "scale/compact_and_rejects.json").read_text())["must_reject"]
    known = [row for row in rows if row["type"] in TYPES]
    assert len(known) >= 31
    for row in known:
        with pytest.raises(DecodeError):
            TYPES[row["type"]].decode(bytes.fromhex(row["hex"][2:]))


def test_records_and_enums_of_polkadot_js() -> None:
    rows = json.loads((VECTORS / "scale_values.json").read_text())
    infos = [row for row in rows if row["type"].startswith('{"nonce"')]
    choices = [row for row in rows if row["type"].startswith('{"_enum"')]
    assert infos
    assert choices
    for row in infos:
        info = Info(*(int(row["value"][name]) for name in Info.scale_fields))
        assert codec_of(Info).encode(info).hex() == row["hex"][2:]
        assert codec_of(Info).decode(bytes.fromhex(row["hex"][2:])) == info
    for row in choices:
        data = bytes.fromhex(row["hex"][2:])
        value = codec_of(Choice).decode(data)
        assert type(value).__name__ in row["value"]
        assert codec_of(Choice).encode(value) == data


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (p.U8, 256), (p.U8, -1), (p.U128, 1 << 128), (p.Compact(p.U32), 1 << 32), (p.Compact(p.U32), -1),
        (p.FixedBytes(4), b"abc"), (codec_of(tuple[u8, u8]), (1,)), (codec_of(Annotated[bytes, MaxLen(2)]), b"abc"),
        (codec_of(Annotated[list[u8], MaxLen(1)]), [1, 2]), (codec_of(Colour), 1),
        (codec_of(Info), Info(0, 0, 0, 0, -1, 0, 0, 0)), (codec_of(Info), Info(0, 0, 0, 0, 1 << 128, 0, 0, 0)),
        (codec_of(Info), Info(1 << 32, 0, 0, 0, 0, 0, 0, 0)), (codec_of(Choice), Leaf(1)),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_not_written(codec: Codec[Any], value: Any) -> None:
    with pytest.raises(EncodeError):
        codec.encode(value)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (codec_of(Annotated[bytes, MaxLen(2)]), "0c616263"), (codec_of(Annotated[list[u8], MaxLen(1)]), "080101"),
        (codec_of(Colour), "01"), (codec_of(Choice), "04"), (codec_of(Info), "00" * 79),
        (p.CompactU32, "0100"), (p.CompactU32, "02000000"), (p.CompactU32, "0300000000"), (p.CompactU64, "0700000000"),
        (p.CompactU32, "070000000001"), (p.CompactU32, "0201"), (p.Bytes, "feffffff"), (p.Bool, "02"),
        (p.U32, "0000000000"),
        (codec_of(dict[u8, u8]), "0802000100"), (codec_of(dict[u8, u8]), "0801000100"),
    ],
)  # fmt: skip
def test_malformed_input_is_refused(codec: Codec[Any], data: str) -> None:
    with pytest.raises(DecodeError):
        codec.decode(bytes.fromhex(data))


def test_a_type_may_contain_itself() -> None:
    tree = Node([Leaf(1), Node([Leaf(2)])])

    codec = codec_of(Tree)

    assert codec.encode(tree).hex() == "010800010104" + "0002"
    assert codec.decode(codec.encode(tree)) == tree
    assert len(Registry().encode()) == 1
    registry = Registry()
    registry.id_of(codec)
    assert len(registry) == 3  # the enum, its list, u8


def test_equal_hints_are_one_codec() -> None:
    assert codec_of(list[tuple[u8, Balance]]) is codec_of(list[tuple[u8, u128]])
    assert codec_of(Info) is codec_of(Info)
    assert codec_of(AccountId) is not codec_of(Hash32)
    assert codec_of(Bytes32) is p.FixedBytes(32)


def test_a_bounded_list_is_the_same_registry_type_as_an_unbounded_one() -> None:
    registry = Registry()
    first = registry.id_of(codec_of(list[u32] | None))

    assert registry.id_of(codec_of(Annotated[list[u32], MaxLen(4)] | None)) == first


def test_a_stand_in_gets_its_codec_from_the_resolver() -> None:
    class StandIn:
        pass

    resolver = Resolver({StandIn: p.U16})

    assert resolver.codec_of(list[StandIn]) is codec_of(list[u16])
    with pytest.raises(TypeError, match="StandIn"):
        codec_of(StandIn)


def test_records_copy_compare_and_hash_by_value() -> None:
    one = D(1, None)
    two = one.copy()
    two.x = 2

    assert one == D(1, None)
    assert two == D(2, None)
    assert one != two
    assert hash(one) == hash(D(1, None))
    assert A() != B(0)
    assert not hasattr(one, "__dict__")


def test_type_names_read_like_rust() -> None:
    assert type_name_of(list[AccountId]) == "Vec<T::AccountId>"
    assert type_name_of(Annotated[Balance, COMPACT]) == "T::Balance"
    assert type_name_of(u32) == "u32"
    assert type_name_of(bytes) == "Vec<u8>"
    assert type_name_of(tuple[u8, Hash32 | None]) == "(u8, Option<T::Hash>)"


def test_int_without_a_size_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match="u32"):
        codec_of(int)


def test_a_length_beyond_the_input_is_refused_before_anything_is_read() -> None:
    reads: list[int] = []

    def read(data: bytes, offset: int) -> tuple[int, int]:
        reads.append(offset)
        return p.U32.read(data, offset)

    spy = Codec(p.U32.encode, read, default=int, size_min=4, shape=p.U32.shape)
    with pytest.raises(DecodeError):
        c.Vec(spy).decode(bytes.fromhex("fdff0000000000000000"))

    assert reads == []
