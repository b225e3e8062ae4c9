"""Headers hash as real ones do; digests carry what they should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aitoken.codec.base import DecodeError
from aitoken.proto.digest import (
    BABE_ENGINE,
    CONSENSUS,
    DIGEST_ITEM,
    PRE_RUNTIME,
    Digest,
    DigestItem,
    NextEpoch,
    SmpxDigest,
    leading_items_of,
    next_epoch_item,
    next_epoch_of,
    smpx_of,
)
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from tests.support.vectors import public_vectors

VECTORS = Path(__file__).parents[2] / "vectors"
WESTEND_GENESIS = "e143f23803ac50e8f6f8e62695d1ce9e4e1d68aa36c1cd2cfd15340213f3423e"


def test_the_first_blocks_of_westend_hash_to_their_known_hashes() -> None:
    blocks = json.loads((public_vectors() / "blocks/westend_1_10.json").read_text())
    parent = WESTEND_GENESIS
    for block in blocks:
        header = Header.decode(bytes.fromhex(block["header_scale"].removeprefix("0x")))
        assert header.parent_hash.hex() == parent
        assert header.number == block["number"]
        assert header.hash.hex() == block["hash"][2:]
        rebuilt = Header(header.parent_hash, header.number, header.state_root, header.extrinsics_root, header.digest)
        assert rebuilt.encode() == header.encode()
        parent = block["hash"][2:]


def test_a_header_of_polkadot_js() -> None:
    row = json.loads((VECTORS / "rpc" / "scale.json").read_text())["header"]
    header = Header.decode(bytes.fromhex(row["scale"][2:]))

    assert header.hash.hex() == row["hash"][2:]
    assert header.digest.logs[0].encode().hex() == row["json"]["digest"]["logs"][0][2:]


def test_headers_cut_or_too_long_are_refused() -> None:
    row = json.loads((VECTORS / "rpc" / "scale.json").read_text())["header"]
    data = bytes.fromhex(row["scale"][2:])
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            Header.decode(data[:size])
    with pytest.raises(DecodeError):
        Header.decode(data + b"\0")


SMPX = SmpxDigest(1, 3, 77, 76, 2, 1_767_225_600_000, b"o" * 32, b"p" * 80)


def test_the_two_leading_items_name_leader_and_view() -> None:
    babe, smpx = leading_items_of(SMPX)

    assert (babe.kind, babe.engine) == (PRE_RUNTIME, BABE_ENGINE)
    assert babe.data.hex() == "02" + "02000000" + "4d00000000000000"
    assert len(babe.data) == 13
    assert (
        smpx.data.hex()
        == "01"
        + "0300000000000000"
        + "4d00000000000000"
        + "4c00000000000000"
        + "0200"
        + "00a8da769b010000"
        + "6f" * 32
        + "70" * 80
    )
    assert smpx_of(Digest((babe, smpx))) == SMPX


@pytest.mark.parametrize(
    "logs",
    [
        (), leading_items_of(SMPX)[:1], leading_items_of(SMPX)[::-1],
        (leading_items_of(SMPX)[0], leading_items_of(SmpxDigest(1, 3, 78, 76, 2, 0, *UNPROVEN))[1]),
        leading_items_of(SmpxDigest(2, 3, 77, 76, 2, 0, *UNPROVEN)),
    ],
    ids=["none", "one", "swapped", "disagree", "version"],
)  # fmt: skip
def test_a_digest_without_the_proper_leading_items_is_refused(logs: tuple[DigestItem, ...]) -> None:
    with pytest.raises(DecodeError):
        smpx_of(Digest(logs))


def test_next_epoch_travels_in_a_consensus_item() -> None:
    next_epoch = NextEpoch(4, [(b"k" * 32, 10), (b"l" * 32, 11)], b"s" * 32, 120, 30)
    digest = Digest(leading_items_of(SMPX)).with_item(next_epoch_item(next_epoch))

    assert digest.logs[2].kind == CONSENSUS
    assert next_epoch_of(digest) == next_epoch
    assert next_epoch_of(Digest(leading_items_of(SMPX))) is None
    assert DIGEST_ITEM.decode(b"\x08") == DigestItem(8)
    with pytest.raises(DecodeError):
        DIGEST_ITEM.decode(b"\x07")
