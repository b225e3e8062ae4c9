"""Envelopes made with @polkadot/types are read, rebuilt and refused as they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.codec.base import DecodeError, compact_encode
from aitoken.crypto.ed25519 import verify as verify_ed25519
from aitoken.crypto.signature import verify_multi
from aitoken.proto.era import Era
from aitoken.proto.extrinsic import (
    Extrinsic,
    additional_signed,
    bare_extrinsic,
    encode_extra,
    signing_payload,
    with_signature,
)

VECTORS = Path(__file__).parents[2] / "vectors"
RPC = json.loads((VECTORS / "rpc" / "scale.json").read_text())
STANDARD = [
    "CheckNonZeroSender", "CheckSpecVersion", "CheckTxVersion", "CheckGenesis", "CheckMortality", "CheckNonce",
    "CheckWeight", "ChargeTransactionPayment", "CheckMetadataHash",
]  # fmt: skip


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def rows_of_polkadot_js() -> list[Any]:
    rows = json.loads((VECTORS / "polkadot_js" / "extrinsics_v4.json").read_text())
    # Polkadot's own extension carries no data, so its bytes are those of the standard nine.
    return [row for row in rows if [e for e in row["signed_extensions"] if e != "PrevalidateAttests"] == STANDARD]


def test_there_are_rows_to_test_with() -> None:
    assert len(rows_of_polkadot_js()) >= 10


@pytest.mark.parametrize("row", rows_of_polkadot_js(), ids=lambda row: f"{row['metadata']}-{row['nonce']}")
def test_an_extrinsic_of_polkadot_js_is_read_to_its_parts(row: dict[str, Any]) -> None:
    extrinsic = Extrinsic(unhex(row["extrinsic"]))

    assert extrinsic.is_signed
    assert extrinsic.hash == unhex(row["extrinsic_hash"])
    assert extrinsic.signer == unhex(row["signer_public"])
    assert (extrinsic.nonce, extrinsic.tip) == (row["nonce"], int(row["tip"]))
    assert extrinsic.era.encode() == unhex(row["era"])
    assert extrinsic.call_bytes == unhex(row["call"])
    assert bytes((extrinsic.signature_kind,)) + extrinsic.signature == unhex(row["signature"])


@pytest.mark.parametrize("row", rows_of_polkadot_js(), ids=lambda row: f"{row['metadata']}-{row['nonce']}")
def test_the_signed_payload_is_that_of_polkadot_js(row: dict[str, Any]) -> None:
    extrinsic = Extrinsic(unhex(row["extrinsic"]))
    birth = unhex(row["genesisHash" if extrinsic.era.is_immortal else "blockHash"])
    additional = additional_signed(row["specVersion"], row["transactionVersion"], unhex(row["genesisHash"]), birth)

    payload = extrinsic.payload(additional)

    assert extrinsic.call_bytes + extrinsic.extra + additional == unhex(row["sign_payload"])
    assert verify_multi(extrinsic.signature_kind, extrinsic.signature, payload, unhex(row["signer_public"]))
    rebuilt = with_signature(
        unhex(row["signer_public"]),
        extrinsic.signature_kind,
        extrinsic.signature,
        encode_extra(extrinsic.era, row["nonce"], int(row["tip"])),
        unhex(row["call"]),
    )
    assert rebuilt.raw == extrinsic.raw


def test_a_payload_over_256_bytes_is_signed_by_its_hash() -> None:
    row = RPC["extrinsic_mortal_long_payload"]
    short = RPC["extrinsic_immortal_ed25519"]
    extrinsic = Extrinsic(unhex(row["extrinsic"]))
    additional = additional_signed(100, 1, unhex(short["genesis_hash"]), unhex(row["birth_block_hash"]))

    payload = extrinsic.payload(additional)

    assert payload == unhex(row["signed_message_blake2_256"])
    assert (extrinsic.nonce, extrinsic.tip, extrinsic.era) == (7, 1000, Era.mortal(64, 42))
    assert verify_ed25519(extrinsic.signature, payload, unhex(short["alice_ed25519_public"]))
    assert signing_payload(b"a" * 128, b"b" * 64, b"c" * 64) == b"a" * 128 + b"b" * 64 + b"c" * 64
    assert len(signing_payload(b"a" * 129, b"b" * 64, b"c" * 64)) == 32


def test_a_bare_extrinsic_has_no_signer() -> None:
    inherent = Extrinsic(unhex(RPC["inherent_timestamp_set"]["extrinsic"]))

    assert not inherent.is_signed
    assert inherent.signer is None
    assert inherent.call_bytes == unhex("01000b0068e5cf8b01")
    assert bare_extrinsic(inherent.call_bytes).raw == inherent.raw
    assert Extrinsic(b"\x0c\x05\x01\x00").call_bytes == b"\x01\x00"


def signed(address: bytes, signature: bytes = b"\x00" + bytes(64), extra: bytes = bytes(4)) -> bytes:
    body = b"\x84" + address + signature + extra + b"\x00\x00\x00"
    return compact_encode(len(body)) + body


@pytest.mark.parametrize(
    "address", [b"\x01", b"\x02\x0cabc", b"\x03" + bytes(32), b"\x04" + bytes(20)], ids=["Index", "Raw", "32", "20"]
)
def test_other_address_kinds_are_read_but_have_no_signer(address: bytes) -> None:
    extrinsic = Extrinsic(signed(address))

    assert extrinsic.is_signed
    assert extrinsic.signer is None
    assert extrinsic.address_kind == address[0]
    assert extrinsic.call_bytes == b"\x00\x00\x00"


GOOD = unhex(RPC["extrinsic_immortal_ed25519"]["extrinsic"])
ALICE = b"\x00" + bytes(32)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00", GOOD[:-1], GOOD + b"\x00", b"\x02" + GOOD, b"\x04\x84", b"\x08\x06\x00", b"\x08\x44\x00",
        b"\x04\x04", signed(b"\x05" + bytes(32)), signed(ALICE, b"\x03" + bytes(64)),
        signed(ALICE, extra=b"\x10\x00\0\0\0"),
        signed(ALICE, extra=b"\x11\xf0\0\0\0"), signed(ALICE, extra=b"\0\0\0\x02"), signed(b"\x02\xfe\xff\xff\xff"),
        signed(ALICE, extra=b"\0\x07\x00\x00\x00\x00\x01\0\0"), signed(ALICE, extra=b"\0\x01\x00\0\0"),
    ],
    ids=range(17),
)  # fmt: skip
def test_malformed_envelopes_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        Extrinsic(raw)


@given(st.data())
def test_every_cut_and_every_garbage_is_refused_or_read_whole(data: st.DataObject) -> None:
    body = data.draw(st.one_of(st.binary(max_size=200), st.integers(0, len(GOOD) - 2).map(lambda n: GOOD[2 : 2 + n])))
    raw = compact_encode(len(body)) + body
    try:
        extrinsic = Extrinsic(raw)
    except DecodeError:
        return
    assert extrinsic.raw.endswith(extrinsic.extra + extrinsic.call_bytes)
