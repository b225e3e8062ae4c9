"""Write the published vectors of the payment protocol, or compare them with what the code makes (`--check`).

Amounts and other integers that JSON readers may round are decimal strings; bytes are hexadecimal. What each section is
for says docs/spec/payments.md.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import msgspec

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay import rules
from aitoken.pay.book import ALWAYS, BOOK, Book, Component, Conditions, Price, book_hash
from aitoken.pay.errors import PayRejected
from aitoken.pay.extension import CACHE_TTL, IDEMPOTENCY, TIER, encode_extension
from aitoken.pay.headers import encode_signed, request_hash
from aitoken.pay.layouts import (
    CUMULATIVE,
    FINAL,
    TICKS,
    Authorization,
    Closing,
    Offer,
    Opening,
    OpenParams,
    Receipt,
    Tick,
    Voucher,
    ack0,
    session_id,
)
from aitoken.pay.price import Situation, charge
from aitoken.pay.ticks import TickChain
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment

FILE = Path(__file__).resolve().parents[1] / "tests" / "vectors" / "pay" / "aitp1.json"

PAYER, OPERATOR = Pair(b"\x11" * 32), Pair(b"\x22" * 32)
GENESIS, ACCOUNT = Hash32(b"\x47" * 32), AccountId(b"\xaa" * 32)
PARAMS = OpenParams(7, 3, PAYER.public, 0, BlockNumber(500_000), 300, 16, b"\x05" * 16)
SESSION = session_id(GENESIS, ACCOUNT, PARAMS)
STARTED = Moment(1_790_000_000_000)
FIRST = Receipt(
    SESSION, 3, 1, 0, 42, 3, blake2_256(b"demo-model@1"), request_hash(b"req"), blake2_256(b"resp"), STARTED,
    Moment(STARTED + 850), Balance(183_600_000), Balance(183_600_000), 10**12, ack0(SESSION, 3), ((1, 1200), (2, 350)),
)  # fmt: skip
SECOND = replace(
    FIRST, seq=2, status=1, charge=Balance(2**64), lane_total=Balance(183_600_000 + 2**64), prev_ack=FIRST.hash,
    usage=((1, 63), (4, 64), (8, 2**30), (31, 2**64 - 1)), request=request_hash(b"req", "key-1"),
    extension=encode_extension(
        {TIER: b"\x02", CACHE_TTL: (3600).to_bytes(4, "little"), IDEMPOTENCY: blake2_256(b"key-1")}
    ),
)  # fmt: skip
AFTER_FIRST = Voucher(
    SESSION, 3, CUMULATIVE, 0, 1, Balance(183_600_000), Balance(433_600_000), Moment(0), FIRST.hash
)  # fmt: skip
CHAIN = TickChain(b"\x07" * 32, 1000)


def plain(value: Any) -> Any:
    """The value as JSON: hexadecimal bytes, integers as text, records as objects."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        return [plain(item) for item in value]
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if hasattr(type(value), "scale_fields"):
        value = {name: getattr(value, name) for name in type(value).scale_fields}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def statement(value: Any, pair: Pair) -> dict[str, Any]:
    """A signed statement with its fields, bytes, hash, signature and header text."""
    raw = value.encode()
    signature = pair.sign(raw)
    return {
        "fields": plain(asdict(value)), "bytes": raw.hex(), "hash": blake2_256(raw).hex(),
        "signature": signature.hex(), "text": encode_signed(raw, signature),
    }  # fmt: skip


def statements() -> dict[str, Any]:
    """One or more of each signed layout."""
    tick = Tick(CHAIN.anchor, Balance(25), 1000)
    first = replace(AFTER_FIRST, seq=0, acked=Balance(0), ceiling=Balance(2**128 - 1), ack=ack0(SESSION, 3))
    by_tick = replace(AFTER_FIRST, kind=TICKS, tick=tick, ceiling=Balance(AFTER_FIRST.acked + 25_000))
    last = replace(AFTER_FIRST, flags=FINAL, valid_until=STARTED, ceiling=AFTER_FIRST.acked)
    offer = Offer(GENESIS, 42, 3, request_hash(b"req"), Balance(200_000_000), 10**12, Moment(STARTED + 60_000))
    order = Authorization(
        GENESIS, ACCOUNT, AccountId(b"\xbb" * 32), 0, Balance(5 * 10**12), True, STARTED, Moment(STARTED + 3_600_000),
        b"\x09" * 32, blake2_256(b"memo"),
    )  # fmt: skip
    return {
        "vouchers": [statement(v, PAYER) for v in (AFTER_FIRST, first, by_tick, last)],
        "receipts": [statement(r, OPERATOR) for r in (FIRST, SECOND)],
        "offers": [statement(offer, OPERATOR)],
        "closings": [statement(Closing(SESSION, Balance(183_600_000), STARTED), OPERATOR)],
        "openings": [statement(Opening(SESSION, Balance(5 * 10**12), STARTED), PAYER)],
        "authorizations": [statement(order, PAYER), statement(replace(order, exact=False), PAYER)],
    }


def refused() -> list[dict[str, str]]:
    """Bytes that are no statement, and why."""
    voucher, receipt = AFTER_FIRST.encode(), FIRST.encode()

    def patched(raw: bytes, offset: int, new: bytes) -> str:
        return (raw[:offset] + new + raw[offset + len(new) :]).hex()

    cases = [
        ("voucher", voucher[:-1].hex(), "cut"),
        ("voucher", (voucher + b"\x00").hex(), "bytes left over"),
        ("voucher", patched(voucher, 7, b"2"), "another version"),
        ("voucher", patched(voucher, 42, b"\x03"), "unknown kind"),
        ("voucher", patched(voucher, 42, b"\x02"), "ticks without a chain"),
        ("voucher", patched(voucher, 43, b"\x04"), "unknown flag"),
        ("voucher", patched(voucher, 68, bytes(16)), "ceiling below what is acknowledged"),
        ("receipt", receipt[:-1].hex(), "cut"),
        ("receipt", (receipt + b"\x00").hex(), "bytes left over"),
        ("receipt", patched(receipt, 42, bytes(8)), "number 0"),
        ("receipt", patched(receipt, 50, b"\x06"), "unknown status"),
        ("receipt", patched(receipt, 167, bytes(8)), "finished before it started"),
        ("receipt", patched(receipt, 191, bytes(16)), "lane comes to less than the charge"),
        ("receipt", (receipt[:255] + b"\x08\x02\x00\x04\x01\x00\x04\x00").hex(), "units out of order"),
        ("receipt", (receipt[:255] + b"\x08\x01\x00\x04\x01\x00\x04\x00").hex(), "a unit twice"),
        ("receipt", (receipt[:255] + b"\x04\x01\x00\x00\x00").hex(), "none of a unit"),
        ("receipt", (receipt[:255] + b"\x04\x01\x00\x01\x00\x00").hex(), "quantity not in its shortest form"),
        ("receipt", (receipt[:255] + b"\x00\x0c\x02\x01\x00").hex(), "unknown extension"),
        ("receipt", (receipt[:255] + b"\x00\x0c\x01\x02\x00").hex(), "extension of a wrong length"),
    ]
    return [{"kind": kind, "bytes": data, "why": why} for kind, data, why in cases]


def prices() -> list[dict[str, Any]]:
    """Books, and what usages cost under them."""
    free = Price(0, 0)
    long, fast = Conditions(None, 200_000, None, None, None), Conditions(2, None, None, None, None)
    night, old = Conditions(None, None, None, None, (1320, 360)), Conditions(None, None, 3600, None, None)
    plain_book = Book(
        840, [Component(1, Price(66, 3), 10**6, ALWAYS), Component(2, Price(15, 1), 10**6, ALWAYS)], free, [], 0
    )  # fmt: skip
    rich = Book(
        978,
        [
            Component(1, Price(3, 0), 10**6, ALWAYS), Component(1, Price(6, 0), 10**6, long),
            Component(1, Price(9, 0), 10**6, fast), Component(1, Price(1, 0), 10**6, night),
            Component(4, Price(375, 2), 10**6, ALWAYS), Component(4, Price(6, 0), 10**6, old),
            Component(20, Price(2, 0), 3600, ALWAYS), Component(10, Price(13, 11), 1, ALWAYS),
        ],
        Price(1, 6), [(1, 100), (20, 1)], 1,
    )  # fmt: skip
    in_asset = Book(0, [Component(9, Price(2, 0), 1, ALWAYS)], free, [], 0)
    noon = Situation(minute=720)
    cases = [
        (plain_book, ((1, 1200), (2, 350)), noon, 10**12),
        (plain_book, ((1, 1),), noon, 1),
        (plain_book, ((1, 1200), (2, 350)), noon, 333_333_333_333),
        (plain_book, ((6, 5),), noon, 10**12),
        (rich, ((1, 200_000),), noon, 10**12),
        (rich, ((1, 200_001),), noon, 10**12),
        (rich, ((1, 150_000), (4, 50_001)), noon, 10**12),
        (rich, ((1, 5000), (4, 100)), Situation(2, 3600, 0, 0), 10**12),
        (rich, ((1, 5000),), Situation(minute=359), 10**12),
        (rich, ((1, 5000),), Situation(minute=360), 10**12),
        (rich, ((20, 2),), noon, 10**12),
        (rich, ((10, 1024 * 1024),), noon, 10**12),
        (rich, ((1, 100),), noon, 10**12),
        (rich, (), noon, 10**12),
        (in_asset, ((9, 3),), noon, 0),
    ]
    return [
        {
            "book": plain(book), "book_bytes": BOOK.encode(book).hex(), "book_hash": book_hash(book).hex(),
            "usage": plain(usage), "situation": plain(situation), "rate": str(rate),
            "charge": str(charge(book, usage, situation, rate)),
        }
        for book, usage, situation, rate in cases
    ]  # fmt: skip


def claims() -> list[dict[str, Any]]:
    """One lane, claim after claim: what it was paid and what waits, or the error and no change."""
    steps: list[tuple[int, int, int, int, int, str | None, int]] = [
        (0, 0, 300, 250, 1, "aa", 1000), (0, 0, 300, 250, 1, "aa", 1000), (0, 0, 300, 200, 1, "aa", 1000),
        (0, 0, 300, 301, 1, "aa", 1000), (0, 0, 300, 280, 2, "aa", 1000), (0, 0, 300, 280, 1, None, 1000),
        (1, 240, 240, 240, 1, None, 1000), (1, 250, 250, 250, 1, None, 1000), (1, 249, 249, 249, 1, None, 1000),
        (4, 600, 900, 800, 5, "bb", 800), (4, 600, 900, 801, 5, "bb", 800), (7, 790, 790, 790, 7, None, 800),
        (9, 801, 801, 801, 9, None, 800),
    ]  # fmt: skip
    lane, told = rules.NEW_LANE, []
    for at, (seq, acked, ceiling, total, receipt_seq, digest, headroom) in enumerate(steps):
        voucher = replace(AFTER_FIRST, seq=seq, acked=Balance(acked), ceiling=Balance(ceiling))
        receipt_hash = None if digest is None else Hash32(bytes.fromhex(digest) * 32)
        request = rules.Claim(voucher, Balance(total), receipt_seq, receipt_hash)
        error = ""
        try:
            lane = rules.claim(lane, request, Balance(headroom), at, STARTED)
        except PayRejected as refusal:
            error = refusal.code
        told.append(
            {
                "seq": seq, "acked": acked, "ceiling": ceiling, "total": total, "receipt_seq": receipt_seq,
                "receipt_hash": None if receipt_hash is None else receipt_hash.hex(), "headroom": headroom, "at": at,
                "error": error, "paid": lane.paid, "tail": None if lane.tail is None else plain(asdict(lane.tail)),
            }
        )  # fmt: skip
    return told


def build() -> bytes:
    """The whole file."""
    ticks = {str(index): CHAIN.tick(index).hex() for index in (1, 2, 999, 1000)}
    hashes = [
        {"body": body.hex(), "key": key, "hash": request_hash(body, key).hex()}
        for body, key in ((b"req", ""), (b"req", "key-1"), (b"", ""), (b'{"a":1}', "\u00fc"))
    ]
    everything = {
        "keys": {
            "payer_seed": (b"\x11" * 32).hex(), "payer": PAYER.public.hex(), "operator_seed": (b"\x22" * 32).hex(),
            "operator": OPERATOR.public.hex(), "genesis": GENESIS.hex(), "payer_account": ACCOUNT.hex(),
        },
        "session": {
            "params": plain(PARAMS), "bytes": PARAMS.encode().hex(), "session_id": SESSION.hex(),
            "ack0": {str(lane): ack0(SESSION, lane).hex() for lane in (0, 3, 65535)},
        },
        **statements(),
        "refused": refused(),
        "request_hashes": hashes,
        "prices": prices(),
        "claims": claims(),
        "ticks": {"seed": (b"\x07" * 32).hex(), "length": 1000, "anchor": CHAIN.anchor.hex(), "ticks": ticks},
    }  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(everything), indent=1) + b"\n"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail if the file differs.")
def main(check: bool) -> None:  # noqa: FBT001
    """Write or compare the vectors."""
    new = build()
    if check:
        sys.exit(FILE.read_bytes() != new)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_bytes(new)


if __name__ == "__main__":
    main()
