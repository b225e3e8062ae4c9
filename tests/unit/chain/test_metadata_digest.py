"""The digest of the metadata: what it covers, and that a signature over it is worth something here only.

That it is what wallets compute is checked with a wallet's own library in `tests/interop`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from blake3 import blake3

from aitoken.codec.base import Composite, Field, SequenceOf, Shape, Variant, Variants
from aitoken.codec.primitives import U32, Compact, Str
from aitoken.codec.registry import Registry
from aitoken.proto.era import IMMORTAL
from aitoken.proto.extrinsic import Extrinsic, additional_signed, encode_extra, signing_payload, with_signature
from chain.frame import errors
from chain.frame.metadata_digest import Types, merkle_root
from chain.frame.types import described
from chain.params import PRESETS
from chain.runtime import build_schema
from tests.support.small_runtime import ALICE, Chain


def node(left: bytes, right: bytes) -> bytes:
    return blake3(left + right).digest()


def test_the_tree_is_complete_and_keeps_the_order_of_its_leaves() -> None:
    one, two, three = (blake3(leaf).digest() for leaf in (b"1", b"2", b"3"))

    assert merkle_root([]) == bytes(32)
    assert merkle_root([b"1"]) == one
    assert merkle_root([b"1", b"2"]) == node(one, two)
    assert merkle_root([b"1", b"2", b"3"]) == node(node(two, three), one)


def test_types_are_numbered_without_gaps_and_every_variant_is_a_leaf() -> None:
    unused = described(Shape(Composite((Field(Str),)), path=("a", "Unused")))
    nothing = described(Shape(Composite(()), path=("a", "Nothing")))
    fields = (Field(Compact(U32), "n", "u32"), Field(nothing))
    choice = described(Shape(Variants((Variant("B", 7, fields), Variant("A", 2))), path=("a", "Choice")))
    many = described(Shape(SequenceOf(choice)))
    registry = Registry()
    for codec in (unused, choice, many):
        registry.id_of(codec)
    types = Types(registry)

    types.reach(many)

    path = b"\x08\x04a\x18Choice"
    assert types.leaves() == [
        path + b"\x01\x04A\x00\x08" + b"\x00",
        path + b"\x01\x04B\x08" + b"\x01\x04n\x11\x01\x0cu32" + b"\x00\x15\x00" + b"\x1c" + b"\x00",
        b"\x00\x02\x16\x00" + b"\x04",
    ]
    assert [types.reference(codec) for codec in (U32, Str, nothing, choice, many)] == [
        b"\x05", b"\x02", b"\x15", b"\x16\x00", b"\x16\x04",
    ]  # fmt: skip


def test_it_covers_what_a_wallet_shows_amounts_and_addresses_with() -> None:
    devnet = PRESETS["devnet"]
    others = (devnet, replace(devnet, symbol="XYZ"), replace(devnet, ss58_prefix=7))

    assert len({build_schema(params).metadata_digest for params in others}) == 3
    assert build_schema(devnet).metadata_digest == build_schema(devnet).metadata_digest


@pytest.fixture
def chain() -> Chain:
    return Chain()


def signed(chain: Chain, digest: bytes | None, mode: int) -> Extrinsic:
    call = chain.schema.make_call("System.remark", b"seen").encode()
    version = chain.schema.version
    known = additional_signed(
        version.spec_version, version.transaction_version, chain.genesis_hash, chain.genesis_hash, digest
    )
    extra = encode_extra(IMMORTAL, 0, 0)[:-1] + bytes((mode,))
    signature = ALICE.sign(signing_payload(call, extra, known))
    return with_signature(ALICE.public, int(ALICE.kind), signature, extra, call)


def test_a_signature_over_this_metadata_is_good(chain: Chain) -> None:
    chain.block(signed(chain, chain.schema.metadata_digest, 1))

    assert type(chain.events_of(1)[-1]).__name__ == "ExtrinsicSuccess"


def test_a_signature_over_other_metadata_is_none(chain: Chain) -> None:
    right = chain.schema.metadata_digest
    chain.open()

    for digest, mode in ((bytes(32), 1), (None, 1), (right, 0)):
        with pytest.raises(errors.BadProof):
            chain.executive.apply(signed(chain, digest, mode))
    chain.executive.apply(signed(chain, right, 1))
