"""Admission of a paid request next to the bare signature check, and what else the payment protocol costs a request.

Everything in one run and one process, processor time. The yardstick is `ed25519.verify` over the same vouchers, so the
ratio says what decoding, the lane's rules and the reservation add. What the x402 SDK for Python needs to check a
voucher of its own stands beside it (`bench.yardstick`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.audit import Audit
from aitoken.pay.book import ALWAYS, Book, Component, Price
from aitoken.pay.buyer import BuyerSession
from aitoken.pay.headers import decode_signed, encode_signed
from aitoken.pay.layouts import OpenParams, Receipt, Tick, session_id
from aitoken.pay.price import Situation, price_list
from aitoken.pay.seller import NO_LIMIT, SellerSession
from aitoken.pay.ticks import TickChain, TickMeter
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from bench import yardstick
from bench.row import Row

ROUNDS = 9
NOW = Moment(1_790_000_000_000)
RATE = 10**12
BOOK = Book(
    840, [Component(unit, Price(15 * unit, 2), 10**6, ALWAYS) for unit in range(1, 7)], Price(0, 0), [], 0
)  # fmt: skip
USAGE = ((1, 1200), (2, 350), (3, 40), (4, 50), (5, 60), (6, 1))


def run(quick: bool) -> list[Row]:
    count = 500 if quick else 2_000
    vouchers, receipts, keys = _conversation(count)
    raw, admitted, read = _side_by_side(
        lambda: _once(count, lambda: [ed25519.verify(signed, stated, keys.buyer) for stated, signed in vouchers]),
        lambda: _admissions(vouchers, receipts, keys),
        lambda: _admissions(vouchers, receipts, keys, text=[encode_signed(*voucher) for voucher in vouchers]),
    )
    signing = ed25519.Pair(bytes(32))
    receipt_raw, audited = _side_by_side(
        lambda: _once(count, lambda: [ed25519.verify(signed, stated, keys.operator) for stated, signed in receipts]),
        lambda: _once(count, lambda: _audit(receipts, keys.operator)),
    )
    prices = price_list(BOOK)
    return [
        Row("voucher", "raw ed25519 verifications", statistics.median(raw), "per second"),
        Row("voucher", "admissions: decode, rules, reservation, signature", statistics.median(admitted), "per second"),
        Row("voucher", "admissions of raw", 100 * _ratio(admitted, raw), "%"),
        Row("voucher", "admissions from header text", statistics.median(read), "per second"),
        Row("voucher", "admissions from header text of raw", 100 * _ratio(read, raw), "%"),
        Row("voucher", "made and signed", _rate(count, lambda: [signing.sign(v[0]) for v in vouchers]), "per second"),
        Row("receipt", "made and signed", _settlements(vouchers, receipts, keys), "per second"),
        Row("receipt", "audited: signature, chain, price, rate", statistics.median(audited), "per second"),
        Row("receipt", "audited of raw", 100 * _ratio(audited, receipt_raw), "%"),
        Row("price", "six components", _rate(count, lambda: _price(prices.charge, count)), "per second"),
        Row("tick", "accepted one by one", _ticks(), "per second"),
        *yardstick.rows(quick),
    ]


class _Keys:
    def __init__(self) -> None:
        self.buyer_pair, self.operator_pair = ed25519.Pair(b"\x11" * 32), ed25519.Pair(b"\x22" * 32)
        self.buyer, self.operator = self.buyer_pair.public, self.operator_pair.public
        params = OpenParams(7, 3, self.buyer, 0, BlockNumber(500_000), 300, 1024, bytes(16))
        self.session = session_id(Hash32(b"\x47" * 32), AccountId(b"\xaa" * 32), params)

    def seller(self) -> SellerSession:
        return SellerSession(self.session, self.buyer, Balance(2**100), 1024)


Signed = tuple[bytes, bytes]


def _receipt(keys: _Keys) -> Receipt:
    body = blake2_256(b"")
    charge = price_list(BOOK).charge(USAGE, Situation(), RATE)
    return Receipt(
        keys.session, 0, 1, 0, 42, 3, body, body, body, NOW, NOW, charge, charge, RATE, body, USAGE,
    )  # fmt: skip


def _conversation(count: int) -> tuple[list[Signed], list[Signed], _Keys]:
    """Vouchers and receipts of `count` requests on 16 lanes in turn."""
    keys = _Keys()
    shop = keys.seller()
    client = BuyerSession(keys.session, keys.buyer_pair, keys.operator, Balance(2**100), 16, Balance(2**100))
    blank, vouchers, receipts = _receipt(keys), [], []
    for start in range(0, count, 16):
        promises = [client.promise(Balance(10**9), NOW) for _ in range(min(16, count - start))]
        for promise in promises:
            signed = promise.signed
            admission = shop.admit(signed.statement, signed.signature, NOW)
            receipt = shop.settle(admission, shop.next_receipt(admission, blank), keys.operator_pair)
            client.accept(receipt)
            vouchers.append((signed.statement, signed.signature))
            receipts.append((receipt.statement, receipt.signature))
    return vouchers, receipts, keys


def _admissions(vouchers: list[Signed], receipts: list[Signed], keys: _Keys, text: list[str] | None = None) -> float:
    """Admissions per second; the receipts between them are put in place outside the measured time."""
    shop, spent = keys.seller(), 0.0
    for start in range(0, len(vouchers), 16):
        batch = range(start, min(start + 16, len(vouchers)))
        begin = time.process_time()
        for index in batch:
            statement, signature = decode_signed(text[index]) if text else vouchers[index]
            shop.admit(statement, signature, NOW, Balance(10**9), NO_LIMIT)
        spent += time.process_time() - begin
        for index in batch:
            statement = receipts[index][0]
            receipt = Receipt.decode(statement)
            lane = shop.lanes[receipt.lane]
            shop.reserved = Balance(shop.reserved - lane.end + receipt.lane_total)
            lane.seq, lane.total, lane.end = receipt.seq, receipt.lane_total, receipt.lane_total
            lane.ack, lane.busy = blake2_256(statement), False
    return len(vouchers) / spent


def _settlements(vouchers: list[Signed], receipts: list[Signed], keys: _Keys) -> float:
    shop, spent = keys.seller(), 0.0
    blank = _receipt(keys)
    for index, (statement, signature) in enumerate(vouchers):
        admission = shop.admit(statement, signature, NOW)
        begin = time.process_time()
        shop.settle(admission, replace(shop.next_receipt(admission, blank)), keys.operator_pair)
        spent += time.process_time() - begin
        if admission.lane.ack != blake2_256(receipts[index][0]):
            raise RuntimeError("the same request made another receipt")
    return len(vouchers) / spent


def _audit(receipts: list[Signed], operator: bytes) -> None:
    audit = Audit(operator, {(42, 3): price_list(BOOK)}, lambda _: (RATE, RATE))
    audit.add_all(receipts)
    if audit.wrong:
        raise RuntimeError(audit.findings[0].what)


def _price(charge: Callable[..., Balance], count: int) -> None:
    situation = Situation()
    for _ in range(count):
        charge(USAGE, situation, RATE)


def _ticks() -> float:
    chain = TickChain(b"\x07" * 32, 4096)
    values = [chain.tick(index) for index in range(1, 4097)]
    tick = Tick(chain.anchor, Balance(1), 4096)

    def take() -> None:
        meter = TickMeter(tick)
        for value in values:
            meter.accept(value)

    return _rate(4096, take)


def _side_by_side(*measured: Callable[[], float]) -> list[list[float]]:
    """Rates of all, round by round in turn, so that what else the machine does hits them alike."""
    rounds = [[measure() for measure in measured] for _ in range(ROUNDS)]
    return [list(rates) for rates in zip(*rounds, strict=True)]


def _ratio(rates: list[float], of: list[float]) -> float:
    return statistics.median(rate / other for rate, other in zip(rates, of, strict=True))


def _rate(count: int, work: Callable[[], object]) -> float:
    return statistics.median(_once(count, work) for _ in range(ROUNDS))


def _once(count: int, work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return count / (time.process_time() - begin)
