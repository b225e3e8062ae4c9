"""The published vectors are read as a stranger would read them: from the file alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from aitoken.crypto.ed25519 import Pair, verify
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.book import BOOK, book_hash, check_book
from aitoken.pay.errors import BadLayout, PayRejected
from aitoken.pay.headers import decode_signed, request_hash
from aitoken.pay.layouts import (
    CUMULATIVE,
    Authorization,
    Closing,
    Offer,
    Opening,
    OpenParams,
    Receipt,
    Voucher,
    ack0,
    session_id,
)
from aitoken.pay.price import Situation, charge
from aitoken.pay.rules import NEW_LANE, Claim, claim
from aitoken.pay.ticks import TickChain
from aitoken.types import AccountId, Balance, Hash32, Moment
from tests.tidy.rules import ROOT

VECTORS: dict[str, Any] = msgspec.json.decode((ROOT / "tests/vectors/pay/aitp1.json").read_bytes())
KEYS = VECTORS["keys"]
KINDS = {
    "vouchers": (Voucher, KEYS["payer"]),
    "receipts": (Receipt, KEYS["operator"]),
    "offers": (Offer, KEYS["operator"]),
    "closings": (Closing, KEYS["operator"]),
    "openings": (Opening, KEYS["payer"]),
    "authorizations": (Authorization, KEYS["payer"]),
}
STATEMENTS = [(name, vector) for name in KINDS for vector in VECTORS[name]]


def hexed(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text))


def test_session_ids_and_first_acknowledgements() -> None:
    vector = VECTORS["session"]
    params = OpenParams.decode(bytes.fromhex(vector["bytes"]))

    assert (
        session_id(hexed(KEYS["genesis"]), AccountId(hexed(KEYS["payer_account"])), params).hex()
        == vector["session_id"]
    )
    assert str(params.expires_block) == vector["params"]["expires_block"]
    for lane, digest in vector["ack0"].items():
        assert ack0(hexed(vector["session_id"]), int(lane)).hex() == digest
    assert Pair(bytes.fromhex(KEYS["payer_seed"])).public.hex() == KEYS["payer"]


@pytest.mark.parametrize(("name", "vector"), STATEMENTS)
def test_signed_statements(name: str, vector: dict[str, Any]) -> None:
    kind, signer = KINDS[name]
    raw, signature = bytes.fromhex(vector["bytes"]), bytes.fromhex(vector["signature"])
    read = kind.decode(raw)

    assert read.encode() == raw
    assert blake2_256(raw).hex() == vector["hash"]
    assert decode_signed(vector["text"]) == (raw, signature)
    assert verify(signature, raw, bytes.fromhex(signer))
    for field, value in vector["fields"].items():
        ours = getattr(read, field)
        if isinstance(ours, bytes):
            assert ours.hex() == value
        elif isinstance(ours, int) and not isinstance(ours, bool):
            assert str(int(ours)) == value


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: f"{vector['kind']}: {vector['why']}")
def test_refused_statements(vector: dict[str, str]) -> None:
    with pytest.raises(BadLayout):
        (Voucher if vector["kind"] == "voucher" else Receipt).decode(bytes.fromhex(vector["bytes"]))


@pytest.mark.parametrize("vector", VECTORS["request_hashes"])
def test_request_hashes(vector: dict[str, str]) -> None:
    assert request_hash(bytes.fromhex(vector["body"]), vector["key"]).hex() == vector["hash"]


@pytest.mark.parametrize("vector", VECTORS["prices"])
def test_prices(vector: dict[str, Any]) -> None:
    book = BOOK.decode(bytes.fromhex(vector["book_bytes"]))
    check_book(book)
    usage = tuple((int(unit), int(quantity)) for unit, quantity in vector["usage"])
    situation = Situation(**{name: int(value) for name, value in vector["situation"].items()})

    assert book_hash(book).hex() == vector["book_hash"]
    assert str(charge(book, usage, situation, int(vector["rate"]))) == vector["charge"]


def test_claims() -> None:
    lane = NEW_LANE
    for step in VECTORS["claims"]:
        voucher = Voucher(
            Hash32(bytes(32)), 0, CUMULATIVE, 0, step["seq"], Balance(step["acked"]), Balance(step["ceiling"]),
            Moment(0), Hash32(bytes(32)),
        )  # fmt: skip
        digest = None if step["receipt_hash"] is None else hexed(step["receipt_hash"])
        request = Claim(voucher, Balance(step["total"]), step["receipt_seq"], digest)
        error = ""
        try:
            lane = claim(lane, request, Balance(step["headroom"]), step["at"], Moment(0))
        except PayRejected as refusal:
            error = refusal.code
        assert (error, lane.paid) == (step["error"], step["paid"])
        tail = None if lane.tail is None else str(lane.tail.total)
        assert tail == (None if step["tail"] is None else step["tail"]["total"])


def test_ticks() -> None:
    vector = VECTORS["ticks"]
    chain = TickChain(bytes.fromhex(vector["seed"]), vector["length"])

    assert chain.anchor.hex() == vector["anchor"]
    assert {index: chain.tick(int(index)).hex() for index in vector["ticks"]} == vector["ticks"]
