"""Coders made at run time, on small hand-made registries: what each kind of type accepts and refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.client import metadata as m
from aitoken.client.chain import Call, Chain
from aitoken.client.dynamic import EMPTY_ITEMS_MAX, Coders, account_of, bytes_of, number_of
from aitoken.client.errors import BadMetadata, BadValue, UnknownName, UnsupportedChain
from aitoken.client.metadata import ExtrinsicInfo, Metadata, Pallet, TypeInfo, parse
from aitoken.codec.base import DecodeError
from aitoken.crypto import ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.era import Era
from tests.support.vectors import own_hex

ALICE = pair_from_uri("//Alice")
BOOL, CHAR, STR, U8, U16, U32, U64, U128, U256, I32 = 0, 1, 2, 3, 4, 5, 6, 7, 8, 11


def primitive(number: int) -> m.Definition:
    return m.PrimitiveDef(number)


def field(type_id: int, name: str | None = None) -> m.FieldInfo:
    return m.FieldInfo(name, type_id, None, [])


def variant(name: str, index: int, *fields: m.FieldInfo) -> m.VariantInfo:
    return m.VariantInfo(name, list(fields), index, [])


def info(definition: m.Definition, *path: str) -> TypeInfo:
    return TypeInfo(list(path), [], definition, [])


def coders(*types: m.Definition | TypeInfo, call: int = -1) -> Coders:
    rows = tuple(t if isinstance(t, TypeInfo) else info(t) for t in types)
    return Coders(Metadata(15, rows, {}, ExtrinsicInfo(4, 0, 0, call, ())))


def both(c: Coders, type_id: int, value: Any, data: bytes) -> None:
    assert c.encode(type_id, value) == data
    assert c.decode(type_id, data) == value


def test_primitives() -> None:
    c = coders(*(primitive(n) for n in range(14)))

    both(c, BOOL, True, b"\x01")
    both(c, STR, "é", b"\x08\xc3\xa9")
    both(c, U8, 255, b"\xff")
    both(c, U256, 1 << 255, bytes(31) + b"\x80")
    both(c, I32, -2, b"\xfe\xff\xff\xff")
    assert c.encode(U128, "340282366920938463463374607431768211455") == b"\xff" * 16
    assert c.encode(U16, "0x0102") == b"\x02\x01"
    for type_id, value in (
        (BOOL, 1), (BOOL, "true"), (STR, b"x"), (STR, 5), (U8, 256), (U8, -1), (U8, 1.0), (U8, True), (U8, None),
        (U8, "x"), (U8, ""), (U8, "0x"), (U8, "1e3"), (U8, " 1"), (I32, 1 << 31), (U256, "0x1" + "0" * 64),
    ):  # fmt: skip
        with pytest.raises(BadValue):
            c.encode(type_id, value)
    for type_id, data in ((BOOL, b"\x02"), (U16, b"\x01"), (U8, b"\x01\x02"), (STR, b"\x04\xff")):
        with pytest.raises(DecodeError):
            c.decode(type_id, data)


def test_what_metadata_must_not_say() -> None:
    for types in (
        [primitive(14)],
        [primitive(99)],
        [m.CompactDef(1), primitive(STR)],
        [m.BitsDef(1, 1), primitive(STR)],
        [m.SequenceDef(7)],
        [m.TupleDef([-1])],
        [m.CompactDef(1), m.CompositeDef([field(1)])],
    ):
        with pytest.raises(BadMetadata):
            coders(*types).codec(0)


def test_sequences_arrays_and_tuples() -> None:
    c = coders(primitive(U16), m.SequenceDef(0), m.ArrayDef(2, 0), m.TupleDef([0, 1]), m.TupleDef([]), m.SequenceDef(4))

    both(c, 1, [1, 2], b"\x08\x01\0\x02\0")
    both(c, 2, [1, 2], b"\x01\0\x02\0")
    both(c, 3, (1, [2]), b"\x01\0\x04\x02\0")
    both(c, 4, (), b"")
    both(c, 5, [(), ()], b"\x08")
    assert c.encode(1, (1, "2")) == b"\x08\x01\0\x02\0"
    for type_id, value in ((1, 5), (1, "12"), (1, [70000]), (2, [1]), (3, (1,)), (3, [1, 5]), (4, [1])):
        with pytest.raises(BadValue):
            c.encode(type_id, value)
    with pytest.raises(BadValue, match=r"\[1\]: 70000"):
        c.encode(1, [1, 70000])
    for type_id, data in ((1, b"\x08\x01\0"), (1, b"\xfe\xff\xff\xff"), (2, b"\x01\0\x02"), (5, b"\x02\0\x10\0")):
        with pytest.raises(DecodeError):
            c.decode(type_id, data)
    assert len(c.decode(5, (EMPTY_ITEMS_MAX << 2 | 2).to_bytes(4, "little"))) == EMPTY_ITEMS_MAX


def test_a_map_may_be_given_as_a_dict() -> None:
    c = coders(primitive(U8), m.TupleDef([0, 0]), m.SequenceDef(1))

    assert c.encode(2, {1: 2, 3: 4}) == b"\x08\x01\x02\x03\x04"
    assert c.decode(2, b"\x08\x01\x02\x03\x04") == [(1, 2), (3, 4)]


def test_a_huge_array_of_nothing_is_refused() -> None:
    c = coders(m.TupleDef([]), m.ArrayDef(1 << 31, 0), primitive(U16), m.ArrayDef(1 << 31, 2))

    for type_id in (1, 3):
        with pytest.raises(DecodeError):
            c.decode(type_id, b"")


def test_bytes() -> None:
    c = coders(primitive(U8), m.SequenceDef(0), m.ArrayDef(2, 0))

    both(c, 1, b"ab", b"\x08ab")
    both(c, 2, b"ab", b"ab")
    assert c.encode(1, "0x6162") == c.encode(1, "ab") == c.encode(1, [97, 98]) == c.encode(1, bytearray(b"ab"))
    assert c.encode(2, "0x6162") == b"ab"
    for type_id, value in (
        (1, "0x616"),
        (1, "0xzz"),
        (1, 5),
        (1, [256]),
        (1, ["a"]),
        (2, "ab"),
        (2, b"abc"),
        (2, "0x61"),
    ):
        with pytest.raises(BadValue):
            c.encode(type_id, value)


def test_structs() -> None:
    named = m.CompositeDef([field(0, "a"), field(0, "b")])
    c = coders(
        primitive(U8), named, m.CompositeDef([field(0), field(0)]), m.CompositeDef([field(1)]), m.CompositeDef([])
    )

    both(c, 1, {"a": 1, "b": 2}, b"\x01\x02")
    both(c, 2, (1, 2), b"\x01\x02")
    both(c, 3, {"a": 1, "b": 2}, b"\x01\x02")
    both(c, 4, (), b"")
    assert c.encode(1, [1, 2]) == b"\x01\x02"
    with pytest.raises(BadValue, match="b is missing and there is no c; the fields are a, b"):
        c.encode(1, {"a": 1, "c": 2})
    with pytest.raises(BadValue, match=r"^there is no c; the fields"):
        c.encode(1, {"a": 1, "b": 2, "c": 3})
    with pytest.raises(BadValue, match="b: 256"):
        c.encode(3, {"a": 1, "b": 256})


def test_enums() -> None:
    rows = m.VariantDef(
        [variant("No", 0), variant("One", 3, field(0)), variant("Many", 9, field(0, "x"), field(0, "y"))]
    )
    c = coders(primitive(U8), info(rows, "a", "Choice"), m.VariantDef([]))

    both(c, 1, "No", b"\0")
    both(c, 1, {"One": 7}, b"\x03\x07")
    both(c, 1, {"Many": {"x": 1, "y": 2}}, b"\x09\x01\x02")
    assert c.encode(1, {"No": None}) == b"\0"
    for value in ("Nope", 5, {}, {"No": 1, "One": 2}, "One", {5: 1}):
        with pytest.raises(BadValue):
            c.encode(1, value)
    with pytest.raises(BadValue, match=r"Many\.y: 256"):
        c.encode(1, {"Many": {"x": 1, "y": 256}})
    with pytest.raises(BadValue, match="no alternative of Choice: No, One, Many"):
        c.encode(1, "Nope")
    for data in (b"", b"\x01", b"\x03", b"\x00\x00"):
        with pytest.raises(DecodeError):
            c.decode(1, data)
    with pytest.raises(DecodeError):
        c.decode(2, b"\0")


def test_options_and_options_of_options() -> None:
    def option(inner: int) -> TypeInfo:
        return info(m.VariantDef([variant("None", 0), variant("Some", 1, field(inner))]), "Option")

    c = coders(primitive(BOOL), option(0), option(1))

    both(c, 1, None, b"\0")
    both(c, 1, False, b"\x01\0")
    both(c, 2, None, b"\0")
    both(c, 2, {"Some": None}, b"\x01\0")
    both(c, 2, {"Some": True}, b"\x01\x01\x01")
    for value in (True, {"None": 1}):
        with pytest.raises(BadValue):
            c.encode(2, value)
    for data in (b"", b"\x02", b"\x01"):
        with pytest.raises(DecodeError):
            c.decode(1, data)


def test_compact_integers_through_newtypes() -> None:
    c = coders(primitive(U32), m.CompositeDef([field(0, "parts")]), m.CompactDef(1), m.TupleDef([]), m.CompactDef(3))

    both(c, 2, 64, b"\x01\x01")
    both(c, 4, (), b"")
    with pytest.raises(BadValue):
        c.encode(2, 1 << 32)
    with pytest.raises(DecodeError):
        c.decode(2, b"\x01\x00")
    assert c.is_empty(4)
    assert not c.is_empty(2)


def test_accounts() -> None:
    account = info(m.CompositeDef([field(1)]), "sp_core", "crypto", "AccountId32")
    address = info(
        m.VariantDef([variant("Id", 0, field(0)), variant("Raw", 2, field(3))]),
        "sp_runtime",
        "multiaddress",
        "MultiAddress",
    )
    c = coders(account, m.ArrayDef(32, 2), primitive(U8), m.SequenceDef(2), address)
    text = ss58.encode(ALICE.public)

    both(c, 0, text, ALICE.public)
    both(c, 4, {"Id": text}, b"\0" + ALICE.public)
    for form in (ALICE.public, "0x" + ALICE.public.hex(), ss58.encode(ALICE.public, 0)):
        assert c.encode(0, form) == ALICE.public
        assert c.encode(4, form) == b"\0" + ALICE.public
    assert c.encode(4, {"Raw": b"x"}) == b"\x02\x04x"
    with pytest.raises(BadValue):
        c.encode(0, ALICE.public[:31])
    with pytest.raises(DecodeError):
        c.decode(0, ALICE.public[:31])


@pytest.mark.parametrize(("order", "data"), [("Lsb0", b"\x0c\x05"), ("Msb0", b"\x0c\xa0")])
def test_bits(order: str, data: bytes) -> None:
    c = coders(m.BitsDef(1, 2), primitive(U8), info(m.CompositeDef([]), "bitvec", "order", order))

    both(c, 0, "101", data)
    both(c, 0, "", b"\0")
    for value in ("12", 5, b"01"):
        with pytest.raises(BadValue):
            c.encode(0, value)
    with pytest.raises(DecodeError):
        c.decode(0, b"\x0c")
    with pytest.raises(DecodeError, match="behind the last"):
        c.decode(0, b"\x0c\xff")


@given(st.text("01", max_size=90), st.sampled_from([U8, U16, U32, U64]), st.sampled_from(["Lsb0", "Msb0"]))
def test_bits_of_any_width_round_trip(bits: str, store: int, order: str) -> None:
    c = coders(m.BitsDef(1, 2), primitive(store), info(m.CompositeDef([]), order))

    assert c.decode(0, c.encode(0, bits)) == bits


def test_types_that_contain_themselves_stop_at_a_depth() -> None:
    tree = m.VariantDef([variant("Leaf", 0), variant("Node", 1, field(1))])
    c = coders(m.TupleDef([]), tree)

    both(c, 1, {"Node": {"Node": "Leaf"}}, b"\x01\x01\x00")
    with pytest.raises(DecodeError, match="too deep"):
        c.decode(1, b"\x01" * 100_000)
    deep: Any = "Leaf"
    for _ in range(100_000):
        deep = {"Node": deep}
    with pytest.raises(BadValue, match="too deep"):
        c.encode(1, deep)
    while isinstance(deep, dict):  # taken apart by hand: the interpreter would recurse
        deep = deep.pop("Node")


REFNODE = Chain(parse(own_hex("rpc/refnode_metadata_v15.hex")), bytes(32), 1, 1)


@given(st.data())
def test_no_bytes_make_a_coder_raise_anything_but_decode_errors(data: st.DataObject) -> None:
    type_id = data.draw(st.integers(0, len(REFNODE.metadata.types) - 1))
    raw = data.draw(st.binary(max_size=60))

    try:
        value = REFNODE.coders.decode(type_id, raw)
    except DecodeError:
        return
    assert REFNODE.coders.encode(type_id, value) == raw


def test_helpers() -> None:
    assert number_of("-5") == -5
    assert bytes_of(memoryview(b"x")) == b"x"
    assert account_of(bytearray(32)) == bytes(32)


# chain


def test_calls_inside_calls() -> None:
    remark = REFNODE.call("System", "remark", remark="hi")
    batch = REFNODE.call("Utility", "batch_all", calls=[remark, {"System": {"remark": {"remark": b"hi"}}}])

    assert batch.call_bytes == b"\x04\x02\x08" + remark.call_bytes * 2
    assert REFNODE.decode_call(batch.call_bytes) == {
        "Utility": {"batch_all": {"calls": [{"System": {"remark": {"remark": b"hi"}}}] * 2}}
    }
    assert str(remark) == "System.remark(remark='hi')"
    assert str(REFNODE.call("System", "remark", remark=b"hi")) == "System.remark(remark=0x6869)"
    assert str(batch) == ("Utility.batch_all(calls=[System.remark(remark='hi'), {System: {remark: {remark: 0x6869}}}])")


def test_calls_that_make_no_sense() -> None:
    with pytest.raises(UnknownName, match="no call 'Remark'; it is spelled 'remark'"):
        REFNODE.call("System", "Remark", remark=b"")
    with pytest.raises(UnknownName):
        REFNODE.call("TransactionPayment", "anything")
    with pytest.raises(BadValue, match="remark is missing"):
        REFNODE.call("System", "remark")
    with pytest.raises(BadValue, match=r"transfer_keep_alive\.value: -1"):
        REFNODE.call("Balances", "transfer_keep_alive", dest=ALICE.public, value=-1)
    remark = REFNODE.call("System", "remark", remark=b"")
    with pytest.raises(BadValue, match="mortal"):
        REFNODE.sign(remark, ALICE, nonce=0, era=Era.mortal(64, 5))


def custom_chain(*extensions: m.ExtensionInfo, version: int = 4) -> Chain:
    """A chain with types: 0 u8, 1 (), 2 Option<u8>, 3 call enum, 4 pallet's calls, 5 MultiSignature, 6 [u8; 64]."""
    account = info(m.CompositeDef([field(8)]), "AccountId32")
    types = (
        info(primitive(U8)),
        info(m.TupleDef([])),
        info(m.VariantDef([variant("None", 0), variant("Some", 1, field(0))]), "Option"),
        info(m.VariantDef([variant("Nothing", 0, field(4))])),
        info(m.VariantDef([variant("do_it", 0)])),
        info(m.VariantDef([variant("Ed25519", 0, field(6)), variant("Sr25519", 1, field(6))])),
        info(m.ArrayDef(64, 0)),
        account,
        info(m.ArrayDef(32, 0)),
    )
    pallet = Pallet("Nothing", 0, "Nothing", {}, {}, 4, None, None)
    extrinsic = ExtrinsicInfo(version, 7, 5, 3, extensions)
    return Chain(Metadata(15, types, {"Nothing": pallet}, extrinsic), bytes(32), 1, 1)


def test_extensions_without_data_or_with_options_are_passed_over() -> None:
    chain = custom_chain(
        m.ExtensionInfo("New", 1, 1), m.ExtensionInfo("Other", 2, 2), m.ExtensionInfo("CheckNonce", 0, 1)
    )
    call = chain.call("Nothing", "do_it")

    raw = chain.sign(call, ALICE, nonce=5)

    assert call == Call("Nothing", "do_it", {}, b"\0\0")
    assert raw[2:] == b"\x84" + ALICE.public + b"\x01" + raw[36:100] + b"\x00\x05" + b"\0\0"
    with pytest.raises(BadValue, match="no arguments"):
        chain.call("Nothing", "do_it", x=1)


def test_chains_that_ask_for_more_are_refused() -> None:
    call = Call("Nothing", "do_it", {}, b"\0\0")

    with pytest.raises(UnsupportedChain, match="Strange"):
        custom_chain(m.ExtensionInfo("Strange", 0, 1)).sign(call, ALICE, nonce=0)
    with pytest.raises(UnsupportedChain, match="version 5"):
        custom_chain(version=5).sign(call, ALICE, nonce=0)


def map_chain(hashers: list[int], key: int) -> Chain:
    """A chain with one map; types: 0 u8, 1 (u8, u8)."""
    types = (info(primitive(U8)), info(m.TupleDef([0, 0])))
    entry = m.StorageInfo("Map", 0, m.MapKind(hashers, key, 0), b"\0", [])
    pallet = Pallet("P", 0, "P", {"Map": entry}, {}, None, None, None)
    return Chain(Metadata(15, types, {"P": pallet}, ExtrinsicInfo(4, 0, 0, 0, ())), bytes(32), 1, 1)


@pytest.mark.parametrize(
    ("hasher", "size", "kept"), [(0, 16, 0), (1, 32, 0), (2, 17, 1), (3, 16, 0), (4, 32, 0), (5, 9, 1), (6, 1, 1)]
)
def test_every_hasher(hasher: int, size: int, kept: int) -> None:
    chain = map_chain([hasher, 6], 1)

    key = chain.storage_key("P", "Map", 7, 8)

    assert len(key) == 32 + size + 1
    assert chain.decode_keys("P", "Map", key) == ((7 if kept else None), 8)
    assert chain.storage_key("P", "Map", 7) == key[:-1]
    assert chain.key_count("P", "Map") == 2
    with pytest.raises(BadValue, match="2 keys, 3"):
        chain.storage_key("P", "Map", 1, 2, 3)


def test_maps_that_make_no_sense() -> None:
    for hashers, key in (([7], 0), ([2, 2, 2], 1), ([2, 2], 0)):
        with pytest.raises(BadMetadata):
            map_chain(hashers, key).storage_key("P", "Map")


# metadata


def test_other_blobs_are_refused() -> None:
    good = own_hex("rpc/refnode_metadata_v15.hex")
    for blob in (
        b"",
        b"meta",
        b"atem\x0f",
        b"meta\x0d" + good[5:],
        b"meta\x10" + good[5:],
        good[:-1],
        good + b"\0",
        good[:5000],
    ):
        with pytest.raises(BadMetadata):
            parse(blob)
    assert parse(good).variants(None) == parse(good).variants(0) == {}
    with pytest.raises(BadMetadata):
        parse(good).variants(1 << 20)


def test_types_out_of_order_are_refused() -> None:
    good = own_hex("rpc/refnode_metadata_v15.hex")
    assert good[5:8] == b"\xd1\x01\x00"  # 116 types, the first numbered 0

    with pytest.raises(BadMetadata, match="numbered"):
        parse(good[:7] + b"\x04" + good[8:])


def test_an_extrinsic_type_without_parameters_is_refused() -> None:
    good = own_hex("rpc/refnode_metadata_v14.hex")
    assert good.count(b"\x24Signature") >= 1

    with pytest.raises(BadMetadata, match="names no address"):
        parse(good.replace(b"\x24Signature", b"\x24Signaturo"))


def test_some_without_a_value_is_no_option_and_endless_structs_stop() -> None:
    odd = info(m.VariantDef([variant("None", 0), variant("Some", 1)]), "Option")
    c = coders(odd, m.CompositeDef([field(1)]))

    both(c, 0, "Some", b"\x01")
    with pytest.raises(DecodeError, match="too deep"):
        c.decode(1, b"")


@given(st.integers(5, 31000), st.binary(min_size=1, max_size=4))
def test_damaged_metadata_is_refused_or_read(at: int, patch: bytes) -> None:
    good = own_hex("rpc/refnode_metadata_v14.hex")
    blob = good[:at] + patch + good[at + len(patch) :]

    try:
        Chain(parse(blob), bytes(32), 1, 1).call("System", "remark", remark=b"x")
    except (BadMetadata, UnknownName, BadValue):
        pass
