"""One session on a chain, with the keys of both sides: vouchers, receipts, claims and proofs made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aitoken.crypto.hashing import blake2_256
from aitoken.pay.layouts import (
    CUMULATIVE,
    TICKS,
    Closing,
    Offer,
    OpenParams,
    Receipt,
    Tick,
    Voucher,
    ack0,
    session_id,
)
from aitoken.pay.units import INPUT_TOKEN
from aitoken.types import AIT, Balance, BlockNumber, Hash32, Moment
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.sessions_claims import waiting
from chain.pallets.ai.sessions_storage import TOMBSTONE_BYTES, session_deposit
from tests.support.pay_chain import PayChain, account, pair

REASONS = t.SessionsHoldReason
NO_HASH = Hash32(bytes(32))


class PaySession:
    """A session; `voucher`, `receipt` and the rest are what its payer's key and the provider's operator key sign."""

    def __init__(
        self,
        chain: PayChain,
        provider: int,
        *,
        amount: int = 100 * AIT,
        lanes: int = 64,
        expires: int = 1_000,
        grace: int = 10,
        salt: int = 0,
        book: int = 1,
        payer: str = "payer",
        opened: bool = True,
    ) -> None:
        self.chain = chain
        self.payer = payer
        self.provider = provider
        self.params = OpenParams(
            provider, book, pair("key").public, 0, BlockNumber(expires), grace, lanes, salt.to_bytes(16, "little")
        )
        self.id = session_id(chain.genesis_hash, account(payer), self.params)
        self.book = book
        if opened:
            chain.call(payer, "Sessions.open", self.params, amount)

    # ---------------------------------------------------------------------------------------------- statements

    def voucher(
        self, lane: int, seq: int, acked: int, ceiling: int | None = None, *, ack: bytes | None = None,
        valid_until: int = 0, flags: int = 0, tick: Tick | None = None,
    ) -> Voucher:  # fmt: skip
        """A voucher without its signature."""
        return Voucher(
            self.id, lane, CUMULATIVE if tick is None else TICKS, flags, seq, Balance(acked),
            Balance(acked if ceiling is None else ceiling), Moment(valid_until),
            ack0(self.id, lane) if ack is None else Hash32(ack), tick,
        )  # fmt: skip

    def item(self, voucher: Voucher, end: t.ClaimEnd | None = None, *, key: str = "key") -> t.ClaimItem:
        """A claim, signed by a key."""
        return t.ClaimItem(
            voucher.lane, voucher.flags, voucher.seq, voucher.acked, voucher.ceiling, voucher.valid_until,
            voucher.ack, pair(key).sign(voucher.encode()), end or t.Acked(),
        )  # fmt: skip

    def receipt(
        self, lane: int, seq: int, charge: int, before: Receipt | None = None, *, usage: int = 0, **other: Any
    ) -> Receipt:
        """A receipt that follows the one before; by default its usage is what the charge comes to at 2 units each."""
        now = Moment(self.chain.now)
        total = charge + (0 if before is None else before.lane_total)
        made = Receipt(
            self.id, lane, seq, 0, 1, self.book, blake2_256(b"demo-model@1"), blake2_256(b"request"),
            blake2_256(b"response"), now, now, Balance(charge), Balance(total), 0,
            ack0(self.id, lane) if before is None else before.hash,
            ((INPUT_TOKEN, usage or max(1, -(-charge // 2_000_000))),),
        )  # fmt: skip
        return replace(made, **other)

    def signed(self, receipt: Receipt, key: str = "operator") -> t.SignedReceipt:
        """A receipt with a signature."""
        return t.SignedReceipt(receipt.encode(), pair(key).sign(receipt.encode()))

    def offer(self, *, key: str = "operator", **fields: Any) -> t.SignedOffer:
        """An offer with a signature; by default it locks a rate for this session."""
        values = {
            "genesis": self.chain.genesis_hash, "service": 1, "book_version": self.book, "request": self.id,
            "max_charge": Balance(0), "rate": AIT, "valid_until": Moment(self.chain.now + 1_000_000),
        } | fields  # fmt: skip
        statement = Offer(**values).encode()  # type: ignore[arg-type]
        return t.SignedOffer(statement, pair(key).sign(statement))

    def agreement(self, total: int, *, valid_until: int | None = None, key: str = "operator") -> t.Agreement:
        """What the provider signs at the end."""
        until = Moment(self.chain.now + 60_000 if valid_until is None else valid_until)
        return t.Agreement(Balance(total), until, pair(key).sign(Closing(self.id, Balance(total), until).encode()))

    # ---------------------------------------------------------------------------------------------- calls

    def claim(self, *items: t.ClaimItem, who: str = "operator") -> list[Any]:
        """Claim; the events of it that are about claims."""
        self.chain.emitted()
        self.chain.call(who, "Sessions.claim", [t.SessionClaims(self.id, list(items))])
        return [event for event in self.chain.emitted() if type(event).__name__ in ("Claimed", "ClaimRefused")]

    def claim_tail(self, lane: int, receipt: Receipt, acked: int, ceiling: int | None = None) -> list[Any]:
        """Claim a receipt that is not countersigned."""
        voucher = self.voucher(lane, receipt.seq - 1, acked, receipt.lane_total if ceiling is None else ceiling)
        return self.claim(self.item(voucher, t.Tailed(receipt.lane_total, receipt.hash)))

    def problem(self, *items: t.ClaimItem, who: str = "operator") -> t.ClaimProblem:
        """Claim what must be passed over; why it was."""
        events = self.claim(*items, who=who)
        assert [type(event).__name__ for event in events] == ["ClaimRefused"]
        problem: t.ClaimProblem = events[0].problem
        return problem

    # ---------------------------------------------------------------------------------------------- looking

    @property
    def state(self) -> t.Session:
        """The session as it is stored."""
        found = self.chain.sessions.sessions.get(self.id)
        assert isinstance(found, t.Session)
        return found

    @property
    def is_stored(self) -> bool:
        """Whether the session is stored."""
        return bool(self.chain.sessions.sessions.contains(self.id))

    def lane(self, number: int) -> t.LaneState:
        """A lane as it is stored."""
        found = self.chain.sessions.lane(self.id, number)
        assert found is not None
        return found

    def tail(self, number: int) -> t.LaneTail:
        """The tail of a lane."""
        found = self.lane(number).tail
        assert found is not None
        return found


def check_sessions(chain: PayChain) -> None:
    """Escrows, deposits and bonds are what is held; the numbers of every session add up; queues know their tails."""
    sessions, escrow, deposits, bonds = chain.sessions, {}, {}, {}
    lanes: dict[bytes, list[t.LaneState]] = {}
    for (number, page), rows in sessions.lanes.items():
        assert sessions.sessions.contains(number)
        assert all(lane // t.LANES_A_PAGE == page for lane in rows)
        lanes.setdefault(number, []).extend(rows.values())
        for lane, row in rows.items():
            if row.tail is not None:
                assert row.tail.total > row.paid
                if row.tail.demand is None:
                    assert sessions.tail_queue.get(row.tail.ticket) == (number, lane)
                else:
                    bonds[row.tail.demand.who] = bonds.get(row.tail.demand.who, 0) + sessions.demand_bond
    for number, row in sessions.sessions.items():
        own = lanes.get(number, [])
        assert row.waiting == sum(waiting(lane) for lane in own) <= row.escrow
        assert row.tails == sum(lane.tail is not None for lane in own)
        assert row.demands == sum(lane.tail is not None and lane.tail.demand is not None for lane in own)
        assert row.claimed >= sum(lane.paid for lane in own)
        assert row.claimed + row.escrow <= row.deposit
        if not isinstance(row.state, t.Closed):
            assert row.claimed + row.escrow == row.deposit
            assert row.claimed == sum(lane.paid for lane in own)
        escrow[row.payer] = escrow.get(row.payer, 0) + row.escrow
        deposits[row.payer] = deposits.get(row.payer, 0) + session_deposit(row.max_lanes)
    for stone in dict(sessions.tombstones.items()).values():
        deposits[stone.payer] = deposits.get(stone.payer, 0) + deposit(TOMBSTONE_BYTES)
    found: dict[Any, dict[bytes, int]] = {reason: {} for reason in REASONS}
    for who, holds in chain.balances.holds.items():
        for hold in holds:
            if isinstance(hold.id, REASONS):
                found[hold.id][who] = hold.amount
    expected = {REASONS.Escrow: escrow, REASONS.Deposit: deposits, REASONS.Demand: bonds}
    assert found == {reason: {who: sum_ for who, sum_ in rows.items() if sum_} for reason, rows in expected.items()}
    chain.check_providers()
    accounts = [row for _, row in chain.system.account.items()]
    assert sum(row.free + row.reserved for row in accounts) == chain.balances.total_issuance.get()


__all__ = ["PaySession", "check_sessions"]
