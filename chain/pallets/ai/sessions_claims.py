"""Claims: vouchers shown to the chain, many in one call, each accepted or passed over by itself.

The rules are `aitoken.pay.rules`; here the voucher's bytes are put back together, its signature is checked under the
session's key (or the one before, as long as its grace lasts), and lanes, session and money follow. What a voucher
acknowledges may be claimed by anybody, a tail only by the provider, because it can be slashed for it.

Source: payments paper, sections 6.4 and 6.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aitoken.crypto import ed25519
from aitoken.pay import rules
from aitoken.pay.errors import BadLayout, BadTick, CeilingExpired, OverDeposit, PayRejected
from aitoken.pay.layouts import CUMULATIVE, TICKS, Tick, Voucher
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.pallets.ai.sessions_events import SessionsEvents as Event
from chain.pallets.ai.sessions_types import (
    LANES_A_PAGE,
    ClaimItem,
    ClaimProblem,
    Closed,
    LaneState,
    LaneTail,
    Session,
    SessionClaims,
    Tailed,
    Ticked,
)

if TYPE_CHECKING:
    from chain.pallets.ai.providers import Providers
    from chain.pallets.ai.sessions_money import Escrows
    from chain.pallets.ai.sessions_storage import SessionsStorage

NOTHING: Final = Balance(0)
NEW_LANE: Final = LaneState(NOTHING, 0, bytes(32), None)
PROBLEMS: Final[dict[type[PayRejected], ClaimProblem]] = {
    BadLayout: ClaimProblem.BadVoucher,
    rules.BadSequence: ClaimProblem.BadSequence,
    rules.BadTotal: ClaimProblem.BadTotal,
    rules.TotalDecreases: ClaimProblem.TotalDecreases,
    OverDeposit: ClaimProblem.OverDeposit,
    rules.NoReceipt: ClaimProblem.NoReceipt,
    CeilingExpired: ClaimProblem.CeilingExpired,
    rules.TailWaits: ClaimProblem.TailWaits,
    BadTick: ClaimProblem.BadTick,
}


class PassedOver(PayRejected):
    """A claim is passed over for a reason of the chain's."""

    code = "pay.passed_over"

    def __init__(self, problem: ClaimProblem) -> None:
        super().__init__(problem.name)
        self.problem = problem


def waiting(lane: LaneState) -> int:
    """Return what a lane's tail comes to beyond what is paid."""
    return 0 if lane.tail is None else max(0, lane.tail.total - lane.paid)


def is_ripe(tail: LaneTail, number: BlockNumber, now: Moment) -> bool:
    """Whether a tail has waited its time."""
    return now >= tail.ripe_at and number >= tail.ripe_from


class Claims:
    """Accepts claims."""

    def __init__(self, store: SessionsStorage, escrows: Escrows, providers: Providers) -> None:
        self._store = store
        self._escrows = escrows
        self._providers = providers

    def accept(self, who: AccountId, claims: SessionClaims, number: BlockNumber, now: Moment) -> int:
        """Work off the claims on one session; return the fee that was taken.

        Args:
            who: who shows them.
            claims: the claims.
            number: the block.
            now: its time.
        """
        store = self._store
        session = store.sessions.get(claims.session)
        if session is None or isinstance(session.state, Closed):
            problem = ClaimProblem.NoSession if session is None else ClaimProblem.Ended
            for item in claims.items:
                store.emit(Event.ClaimRefused(claims.session, item.lane, problem))
            return 0
        batch = _Batch(store, self._escrows, claims.session, session.copy(), (number, now))
        by_provider = self._providers.is_run_by(session.provider, who)
        for item in claims.items:
            try:
                batch.take(item, by_provider=by_provider)
            except PassedOver as error:
                store.emit(Event.ClaimRefused(claims.session, item.lane, error.problem))
            except PayRejected as error:
                problem = PROBLEMS.get(type(error), ClaimProblem.BadVoucher)
                store.emit(Event.ClaimRefused(claims.session, item.lane, problem))
        return batch.finish()


class _Batch:
    """The claims of one call on one session: everything is read once, moved once and written once."""

    def __init__(
        self,
        store: SessionsStorage,
        escrows: Escrows,
        number: Hash32,
        session: Session,
        time: tuple[BlockNumber, Moment],
    ) -> None:
        self._store = store
        self._escrows = escrows
        self._id = number
        self._session = session
        self._number, self._now = time
        self._pages: dict[int, dict[int, LaneState]] = {}
        self._paid = 0
        self._unacked = 0
        former = session.former_key
        keys = [] if session.key is None else [session.key]
        if former is not None and store.grace_left(self._number, former.since, former.busy, session.grace):
            keys.append(former.key)
        self._keys = keys

    def take(self, item: ClaimItem, *, by_provider: bool) -> None:
        """Accept one claim.

        Raises:
            PayRejected: it is passed over; nothing changed.
        """
        session = self._session
        if item.lane >= session.max_lanes:
            raise PassedOver(ClaimProblem.NoLane)
        if isinstance(item.end, Tailed) and not by_provider:
            raise PassedOver(ClaimProblem.NotByProvider)
        before = self._lane(item.lane)
        ripe = before.tail is not None and before.tail.demand is None and is_ripe(before.tail, self._number, self._now)
        lane = _known(before)
        if ripe:
            lane = rules.mature(lane)
        # What all other lanes have committed is not this lane's to take.
        others = session.claimed + self._paid + session.waiting - before.paid - waiting(before)
        room = Balance(session.deposit - others)
        voucher = self._voucher(item)
        after = self._apply(lane, voucher, item, room)
        statement = voucher.encode()
        if not any(ed25519.verify(item.signature, statement, key) for key in self._keys):
            raise PassedOver(ClaimProblem.BadSignature)
        self._move(item, before, after, matured=lane.paid - before.paid)

    def _voucher(self, item: ClaimItem) -> Voucher:
        end = item.end
        tick = Tick(Hash32(end.anchor), end.value, end.max_ticks) if isinstance(end, Ticked) else None
        return Voucher(
            self._id, item.lane, CUMULATIVE if tick is None else TICKS, item.flags, item.seq, item.acked, item.ceiling,
            Moment(item.valid_until), Hash32(item.ack), tick,
        )  # fmt: skip

    def _apply(self, lane: rules.Lane, voucher: Voucher, item: ClaimItem, room: Balance) -> rules.Lane:
        end = item.end
        if isinstance(end, Ticked):
            return rules.claim_ticks(lane, voucher, end.index, end.preimage, room)
        if isinstance(end, Tailed):
            claim = rules.Claim(voucher, end.total, voucher.seq + 1, Hash32(end.receipt_hash))
        else:
            claim = rules.Claim(voucher, voucher.acked, voucher.seq)
        return rules.claim(lane, claim, room, self._number, self._now)

    def _move(self, item: ClaimItem, before: LaneState, after: rules.Lane, *, matured: int) -> None:
        """Change lane, session and queue by an accepted claim."""
        session = self._session
        tail = self._kept_tail(item.lane, before.tail, after)
        lane = LaneState(after.paid, before.seq, before.ack, tail)
        if item.seq >= before.seq:
            lane.seq, lane.ack = item.seq, item.ack
        self._pages[item.lane // LANES_A_PAGE][item.lane] = lane
        paid = after.paid - before.paid
        self._paid += paid
        self._unacked += matured
        session.waiting = Balance(session.waiting + waiting(lane) - waiting(before))
        self._store.emit(Event.Claimed(self._id, item.lane, Balance(paid), Balance(waiting(lane))))

    def _kept_tail(self, number: int, before: LaneTail | None, after: rules.Lane) -> LaneTail | None:
        """Return the tail of a lane after a claim; one that is new takes a place in the queue."""
        session, store, tail = self._session, self._store, after.tail
        if before is not None and tail is not None and (before.seq, before.total) == (tail.seq, tail.total):
            return before
        if before is not None:
            session.tails -= 1
            if before.demand is not None:
                self._escrows.end_demand(session, before.demand.who, answered=False)
        if tail is None:
            return None
        session.tails += 1
        ticket = store.tail_end.get()
        store.tail_queue.put(ticket, (self._id, number))
        store.tail_end.put(ticket + 1)
        return LaneTail(
            tail.total, tail.seq, tail.receipt_hash, Moment(self._now + store.tail_window),
            BlockNumber(self._number + store.tail_blocks), ticket, None, shown=False,
        )  # fmt: skip

    def _lane(self, number: int) -> LaneState:
        page = number // LANES_A_PAGE
        known = self._pages.get(page)
        if known is None:
            known = self._pages[page] = dict(self._store.lanes.get((self._id, page)))
        return known.get(number, NEW_LANE)

    def finish(self) -> int:
        """Move the money and store what changed; return the fee."""
        for page, lanes in self._pages.items():
            if lanes:
                self._store.lanes.put((self._id, page), lanes)
        fee = self._escrows.pay(self._session, self._paid, self._unacked)
        self._store.sessions.put(self._id, self._session)
        return fee


def _known(lane: LaneState) -> rules.Lane:
    """Return a lane as the rules see it."""
    tail = lane.tail
    if tail is None:
        return rules.Lane(lane.paid)
    return rules.Lane(lane.paid, rules.Tail(tail.total, tail.seq, Hash32(tail.receipt_hash), 0))
