"""Fraud proofs: what a provider signed that an honest one cannot have signed. Anybody may show one; nobody judges.

F1 a claim's tail differs from the receipt of its number. F2 two receipts of one number. F3 (a tail whose receipt nobody
shows after a demand) is a matter of time and the chain's. F4 a receipt charges more than its book, or than a signed
offer, allows. F5 a receipt does not follow from the one before.

Each returns the damage in base units, or None where nothing is proved; a proof may show damage 0. The signatures of
the receipts under the provider's operator key are the caller's to check, except where an offer comes with one.
To charge less than the price is no fraud: a stream that reaches its ceiling ends with what the ceiling allows.
"""

from __future__ import annotations

from typing import Final

from aitoken.pay.errors import ChargeTooLarge
from aitoken.pay.layouts import Offer, Receipt, ack0
from aitoken.pay.price import PriceList, situation_of
from aitoken.pay.rules import Tail
from aitoken.types import AIT, Balance

SLASH_FACTOR: Final = 5
SLASH_MIN: Final = Balance(10 * AIT)


def slash_for(damage: Balance) -> Balance:
    """Return what a provider loses for a proved fraud."""
    return Balance(max(SLASH_FACTOR * damage, SLASH_MIN))


def overclaim(tail: Tail, receipt: Receipt) -> Balance | None:
    """F1: the receipt of the tail's number has another hash or total. The receipt is of the tail's session and lane."""
    if receipt.seq != tail.seq or (receipt.hash == tail.receipt_hash and receipt.lane_total == tail.total):
        return None
    return Balance(max(0, tail.total - receipt.lane_total))


def equivocation(one: Receipt, other: Receipt) -> Balance | None:
    """F2: two different receipts of one session, lane and number."""
    if _place(one) != _place(other) or one.seq != other.seq or one == other:
        return None
    return Balance(abs(one.lane_total - other.lane_total))


def mispriced(receipt: Receipt, prices: PriceList, rate_max: int) -> Balance | None:
    """F4: the receipt charges more than its book gives.

    Args:
        receipt: the receipt.
        prices: the book it names.
        rate_max: highest rate it may have used: the locked one, or the upper end of the oracle's band at `finished`;
            0 with a book in the asset.
    """
    rate = 0 if prices.in_asset else min(receipt.rate, rate_max)
    if rate == 0 and not prices.in_asset:
        return receipt.charge if receipt.charge > 0 else None
    try:
        right = prices.charge(receipt.usage, situation_of(receipt), rate)
    except ChargeTooLarge:
        return None
    return Balance(receipt.charge - right) if receipt.charge > right else None


def over_offer(receipt: Receipt, offer: Offer) -> Balance | None:
    """F4: the receipt charges more than a signed offer for the same request, made for this chain and still valid."""
    same = (receipt.service, receipt.book_version, receipt.request) == (
        offer.service, offer.book_version, offer.request,
    )  # fmt: skip
    if not same or receipt.started > offer.valid_until or receipt.charge <= offer.max_charge:
        return None
    return Balance(receipt.charge - offer.max_charge)


def broken_chain(receipt: Receipt, previous: Receipt | None) -> Balance | None:
    """F5: the receipt does not follow from the provider's own receipt before it (None: it is the lane's first)."""
    before = Balance(0) if previous is None else previous.lane_total
    if previous is None:
        if receipt.seq != 1:
            return None
        follows = receipt.prev_ack == ack0(receipt.session_id, receipt.lane)
    else:
        if _place(receipt) != _place(previous) or receipt.seq != previous.seq + 1:
            return None
        follows = receipt.prev_ack == previous.hash
    owed = Balance(receipt.lane_total - receipt.charge)
    if follows and owed == before:
        return None
    return Balance(max(0, owed - before))


def _place(receipt: Receipt) -> tuple[bytes, int]:
    return receipt.session_id, receipt.lane
