"""Re-checks a list of receipts: signatures, the chain of each lane, prices from the book, rates inside a band.

Receipts of a lane come in ascending order; lanes may be mixed. What does not fit becomes a finding.
`Audit.total` is what the receipts without findings come to, to be compared with the money that moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.errors import PayRejected
from aitoken.pay.layouts import Receipt, ack0
from aitoken.pay.price import PriceList, situation_of
from aitoken.pay.rules import NOTHING
from aitoken.types import Balance, Hash32, Moment

FINDINGS_MAX: Final = 100
"""Findings that are kept; all are counted."""

RateBand = Callable[[Moment], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one receipt."""

    index: int
    session_id: Hash32
    lane: int
    seq: int
    what: str


@dataclass(slots=True)
class Account:
    """Where a lane is: its last receipt's number and hash, and what it came to."""

    seq: int
    total: Balance
    ack: Hash32


@dataclass(slots=True)
class Audit:
    """A running audit of one seller's receipts.

    Attributes:
        operator: the 32-byte key they must be signed with.
        prices: the book of each (service, book version).
        band: lowest and highest rate allowed at a moment; None checks no rates.
        receipts: how many were looked at.
        total: what the receipts without findings charge.
        undercharged: how much less than the price they charge.
        units: quantity of each unit in them.
        findings: the first that were wrong.
        wrong: how many were.
        lanes: where each (session, lane) is.
    """

    operator: bytes
    prices: Mapping[tuple[int, int], PriceList]
    band: RateBand | None = None
    receipts: int = 0
    total: Balance = NOTHING
    undercharged: int = 0
    units: dict[int, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    wrong: int = 0
    lanes: dict[tuple[Hash32, int], Account] = field(default_factory=dict)

    def add(self, statement: bytes, signature: bytes) -> None:
        """Check one receipt."""
        index, self.receipts = self.receipts, self.receipts + 1
        try:
            receipt = Receipt.decode(statement)
        except PayRejected as error:
            self._found(Finding(index, Hash32(statement[8:40]), 0, 0, str(error)))
            return
        wrong = self._wrong_with(receipt, statement, signature)
        if wrong:
            self._found(Finding(index, receipt.session_id, receipt.lane, receipt.seq, wrong))
            return
        self.total = Balance(self.total + receipt.charge)
        units = self.units
        for unit, quantity in receipt.usage:
            units[unit] = units.get(unit, 0) + quantity

    def go_on_from(self, statement: bytes) -> None:
        """Go on after a receipt that another audit checks, so that many may share the receipts of a lane."""
        try:
            receipt = Receipt.decode(statement)
        except PayRejected:
            return  # the other audit finds it, and this one that its first receipt follows from nothing
        place = (receipt.session_id, receipt.lane)
        self.lanes[place] = Account(receipt.seq, receipt.lane_total, blake2_256(statement))

    def add_all(self, receipts: Iterable[tuple[bytes, bytes]]) -> None:
        """Check receipts given as (statement, signature)."""
        for statement, signature in receipts:
            self.add(statement, signature)

    def session_total(self, session: Hash32) -> Balance:
        """What a session's lanes come to by their last receipts."""
        return Balance(sum(account.total for (owner, _), account in self.lanes.items() if owner == session))

    def _wrong_with(self, receipt: Receipt, statement: bytes, signature: bytes) -> str:
        if not ed25519.verify(signature, statement, self.operator):
            return "not signed by the seller's operator key"
        broken = self._follow(receipt, blake2_256(statement))
        if broken:
            return broken
        if self.band is not None and receipt.rate:
            low, high = self.band(receipt.finished)
            if not low <= receipt.rate <= high:
                return f"rate {receipt.rate} is not between {low} and {high}"
        prices = self.prices.get((receipt.service, receipt.book_version))
        if prices is None:
            return f"no book {receipt.book_version} of service {receipt.service}"
        try:
            price = prices.charge(receipt.usage, situation_of(receipt), receipt.rate)
        except PayRejected as error:
            return str(error)
        if receipt.charge > price:
            return f"charges {receipt.charge}, the price is {price}"
        self.undercharged += price - receipt.charge
        return ""

    def _follow(self, receipt: Receipt, digest: Hash32) -> str:
        place = (receipt.session_id, receipt.lane)
        account = self.lanes.get(place)
        if account is None:
            account = Account(0, NOTHING, ack0(receipt.session_id, receipt.lane))
            self.lanes[place] = account
        if receipt.seq != account.seq + 1:
            return f"receipt {receipt.seq} comes after receipt {account.seq}"
        follows = receipt.prev_ack == account.ack and receipt.lane_total == account.total + receipt.charge
        account.seq, account.total, account.ack = receipt.seq, receipt.lane_total, digest
        return "" if follows else "does not follow from the receipt before"

    def _found(self, finding: Finding) -> None:
        self.wrong += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(finding)
