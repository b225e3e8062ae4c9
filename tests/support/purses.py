"""Purses with many receipts, made without a seller: what a long time of paid requests leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aitoken.client.pay.purse import OPEN, Kept, Purse, open_purse
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.book import ALWAYS, BOOK, IN_ASSET, Book, Component, Price
from aitoken.pay.layouts import OpenParams, Receipt, ack0, session_id
from aitoken.pay.price import Situation, price_list
from aitoken.pay.seller import Signed
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment

OPERATOR, KEY = Pair(b"\x22" * 32), Pair(b"\x33" * 32)
GENESIS = Hash32(b"\x47" * 32)
PRICES = Book(
    IN_ASSET, [Component(1, Price(1, 9), 1, ALWAYS), Component(2, Price(2, 9), 1, ALWAYS)], Price(0, 0), [], 0
)  # fmt: skip
NOW = Moment(1_790_000_000_000)


def kept_session(salt: int, lanes: int = 64) -> Kept:
    """A session as a purse has it."""
    params = OpenParams(7, 1, KEY.public, 0, BlockNumber(500_000), 300, lanes, salt.to_bytes(16, "little"))
    payer = AccountId(b"\xaa" * 32)
    return Kept(
        session_id(GENESIS, payer, params), GENESIS, payer, 7, OPERATOR.public, "http://127.0.0.1", 1,
        BOOK.encode(PRICES), KEY.seed, Balance(10**18), lanes, 500_000, OPEN,
    )  # fmt: skip


def receipts_of(kept: Kept, lane: int, count: int) -> Iterator[tuple[Receipt, Signed]]:
    """The receipts of a lane, each a little different."""
    prices, hash_ = price_list(PRICES), blake2_256(b"")
    total, before = Balance(0), ack0(kept.id, lane)
    for seq in range(1, count + 1):
        usage = ((1, 100 + seq % 50), (2, 1 + (seq + lane) % 20))
        charge = prices.charge(usage, Situation(), 0)
        total = Balance(total + charge)
        receipt = Receipt(
            kept.id, lane, seq, 0, 1, 1, hash_, hash_, hash_, NOW, NOW, charge, total, 0, before, usage
        )  # fmt: skip
        statement = receipt.encode()
        before = blake2_256(statement)
        yield receipt, Signed(statement, OPERATOR.sign(statement))


def fill(folder: Path, sessions: int, lanes: int, count: int) -> Purse:
    """Make a purse with so many sessions, lanes of each and receipts on each lane."""
    purse = open_purse(folder)
    for salt in range(sessions):
        kept = kept_session(salt, lanes)
        purse.put(kept)
        for lane in range(lanes):
            for receipt, signed in receipts_of(kept, lane, count):
                purse.put_receipt(receipt, signed)
    return purse
