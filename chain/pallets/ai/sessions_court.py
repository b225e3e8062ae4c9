"""Fraud proofs and demands for receipts: whoever shows a lie of a provider gets a part of what it costs.

What a proof must show is `aitoken.pay.proofs`; here it is made sure that the statements are about the session and
signed by a key the provider has or had since the session was opened (what a receipt says of its own time proves
nothing), each lie is punished once, and the money moves. Lies can be proved as long as the session is stored: while it
is open and for a time after its end.

A receipt may use the locked rate where one was locked when it finished, else at most the oracle's highest of the time
between its start (at most a few windows back) and its end, and 2 % more. Where the chain knows no rate, it is not
judged.

Source: payments paper, section 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.crypto import ed25519
from aitoken.errors import Rejected
from aitoken.pay.errors import BadLayout, PayRejected
from aitoken.pay.layouts import Offer, Receipt
from aitoken.pay.price import price_list
from aitoken.pay.proofs import broken_chain, equivocation, mispriced, over_offer, overclaim
from aitoken.pay.rules import CLOCK_SLACK_MS, Tail
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.pallets.ai.sessions_claims import is_ripe
from chain.pallets.ai.sessions_events import SessionsErrors as Error
from chain.pallets.ai.sessions_events import SessionsEvents as Event
from chain.pallets.ai.sessions_types import (
    DEMANDS_MAX,
    PUNISHED_MAX,
    BrokenChain,
    Demand,
    Equivocation,
    LaneState,
    LaneTail,
    Mispricing,
    OverClaim,
    Proof,
    Session,
    SignedOffer,
    SignedReceipt,
)

if TYPE_CHECKING:
    from chain.pallets.ai.providers import Providers
    from chain.pallets.ai.sessions_life import Life
    from chain.pallets.ai.sessions_money import Escrows
    from chain.pallets.ai.sessions_storage import SessionsStorage

REQUEST_WINDOWS: Final = 10
"""How many windows of the oracle a request may have begun before it finished, for its rate."""


class Rates(Protocol):
    """What currencies cost when; the Oracle pallet."""

    window_ms: Moment

    def highest_rate(self, currency: int, since: Moment, until: Moment) -> int | None:
        """The highest rate that may have been used in a time, None where unknown."""


class Court:
    """Judges proofs."""

    def __init__(
        self, store: SessionsStorage, escrows: Escrows, life: Life, providers: Providers, rates: Rates
    ) -> None:
        self._store = store
        self._escrows = escrows
        self._life = life
        self._providers = providers
        self._rates = rates

    def find(self, number: Hash32) -> Session:
        """Return a copy of a session.

        Raises:
            NoSession: there is none.
        """
        session = self._store.sessions.get(number)
        if session is None:
            raise Error.NoSession
        return session.copy()

    def judge(self, who: AccountId, number: Hash32, lane: int, proof: Proof, at: tuple[Hash32, Moment]) -> None:
        """Punish a lie.

        Args:
            who: shows it.
            number: the session.
            lane: the lane it is about.
            proof: F1, F2, F4 or F5.
            at: the chain's genesis hash, which offers name, and its time.

        Raises:
            NoSession, NoTail, BadReceipt, BadSignature, BadOffer: the proof does not fit the chain.
            NotFraud: it proves nothing.
            AlreadyPunished, TooMany: it was punished, or too much was.
        """
        session = self.find(number)
        if isinstance(proof, OverClaim):
            damage = self._over_claim(number, lane, session, proof)
        else:
            receipt, found = self._about_receipts(number, lane, session, proof, at)
            if found is None:
                raise Error.NotFraud
            damage = found
            self._punish_once(number, (lane, receipt.seq, proof.scale_index))
        slashed = self._providers.slash(session.provider, damage, session.payer, who)
        self._store.sessions.put(number, session)
        self._store.emit(Event.Challenged(number, lane, proof.scale_index + 1, damage, slashed, who))

    def _over_claim(self, number: Hash32, lane: int, session: Session, proof: OverClaim) -> Balance:
        state, tail = self._tail(number, lane)
        receipt = self._receipt(number, lane, session, proof.receipt)
        claimed = Tail(tail.total, tail.seq, Hash32(tail.receipt_hash), 0)
        damage = overclaim(claimed, receipt)
        if damage is None:
            raise Error.NotFraud
        self._life.drop_tail(number, lane, session, state)
        return damage

    def _about_receipts(
        self, number: Hash32, lane: int, session: Session, proof: Proof, at: tuple[Hash32, Moment]
    ) -> tuple[Receipt, Balance | None]:
        if isinstance(proof, Equivocation):
            one = self._receipt(number, lane, session, proof.one)
            return one, equivocation(one, self._receipt(number, lane, session, proof.other))
        if isinstance(proof, Mispricing):
            receipt = self._receipt(number, lane, session, proof.receipt)
            return receipt, self._mispricing(session, receipt, proof.offer, at)
        if isinstance(proof, BrokenChain):
            receipt = self._receipt(number, lane, session, proof.receipt)
            before = None if proof.previous is None else self._receipt(number, lane, session, proof.previous)
            return receipt, broken_chain(receipt, before)
        raise Error.NotFraud

    def _mispricing(
        self, session: Session, receipt: Receipt, offer: SignedOffer | None, at: tuple[Hash32, Moment]
    ) -> Balance | None:
        book = self._providers.prices_of(session.provider, session.book_version)
        try:
            damage = mispriced(receipt, price_list(book), self._rate_max(session, book.currency, receipt, at[1]))
        except PayRejected:  # a charge that no balance holds is the price of this usage
            damage = None
        if damage is None and offer is not None:
            keys = self._providers.keys_since(session.provider, session.opened)
            damage = over_offer(receipt, read_offer(offer, keys, at[0]))
        return damage

    def _rate_max(self, session: Session, currency: int, receipt: Receipt, now: Moment) -> int:
        """Return the highest rate a receipt may have used; it finished while the session was, whatever it says."""
        time, slack = min(max(receipt.finished, session.opened), now), CLOCK_SLACK_MS
        locks = [lock for lock in session.locks if lock.since - slack <= time <= lock.until + slack]
        rates = [lock.rate for lock in locks]
        if any(lock.since + slack <= time <= lock.until - slack for lock in locks):
            return max(rates)
        start = max(min(receipt.started, time), time - REQUEST_WINDOWS * self._rates.window_ms)
        highest = self._rates.highest_rate(currency, Moment(start), time)
        return max([*rates, receipt.rate if highest is None else highest])

    def _punish_once(self, number: Hash32, what: tuple[int, int, int]) -> None:
        known = self._store.punished.get(number)
        if what in known:
            raise Error.AlreadyPunished
        if len(known) >= PUNISHED_MAX:
            raise Error.TooMany
        self._store.punished.put(number, [*known, what])

    # --------------------------------------------------------------------------------------------- demands

    def demand(self, who: AccountId, number: Hash32, lane: int, block: BlockNumber, now: Moment) -> None:
        """Ask to see the receipt behind a tail; the caller holds the bond.

        Raises:
            NoSession, NoTail: there is nothing to be shown.
            AlreadyDemanded: it was asked for, or shown.
            TooLate: the tail's time is over, it is the provider's.
            TooMany: so many demands are open on this session.
        """
        store = self._store
        session = self.find(number)
        state, tail = self._tail(number, lane)
        if tail.demand is not None or tail.shown:
            raise Error.AlreadyDemanded
        if is_ripe(tail, block, now):
            raise Error.TooLate
        if session.demands >= DEMANDS_MAX:
            raise Error.TooMany
        until, place = Moment(now + store.answer_period), store.demand_end.get()
        store.demand_queue.put(place, (number, lane))
        store.demand_end.put(place + 1)
        session.demands += 1
        store.sessions.put(number, session)
        tail = tail.copy()
        tail.demand = Demand(who, until, place)
        store.put_lane(number, lane, LaneState(state.paid, state.seq, state.ack, tail))
        store.emit(Event.Demanded(number, lane, who, until))

    def show(self, number: Hash32, lane: int, statement: SignedReceipt, now: Moment) -> None:
        """Show the receipt behind a tail; the bond of who demanded it goes to the provider.

        Raises:
            NoSession, NoTail: there is nothing to be shown.
            NotDemanded: nobody asked, or the time is over.
            BadReceipt, BadSignature: it is not the receipt.
        """
        store = self._store
        session = self.find(number)
        state, tail = self._tail(number, lane)
        if tail.demand is None or now > tail.demand.until:
            raise Error.NotDemanded
        receipt = self._receipt(number, lane, session, statement)
        if (receipt.seq, receipt.hash, receipt.lane_total) != (tail.seq, tail.receipt_hash, tail.total):
            raise Error.BadReceipt
        self._escrows.end_demand(session, tail.demand.who, answered=True)
        store.sessions.put(number, session)
        tail = tail.copy()
        tail.demand, tail.shown = None, True
        store.put_lane(number, lane, LaneState(state.paid, state.seq, state.ack, tail))
        store.emit(Event.Shown(number, lane, receipt.hash))

    # --------------------------------------------------------------------------------------------- reading statements

    def _tail(self, number: Hash32, lane: int) -> tuple[LaneState, LaneTail]:
        state = self._store.lane(number, lane)
        if state is None or state.tail is None:
            raise Error.NoTail
        return state, state.tail

    def read(self, number: Hash32, lane: int, signed: SignedReceipt) -> tuple[Session, Receipt]:
        """Return a copy of a session and a receipt of it.

        Raises:
            NoSession, BadReceipt, BadSignature: there is none, or it is of something or somebody else.
        """
        session = self.find(number)
        return session, self._receipt(number, lane, session, signed)

    def _receipt(self, number: Hash32, lane: int, session: Session, signed: SignedReceipt) -> Receipt:
        """Read a receipt of a lane and check whose it is."""
        try:
            receipt = Receipt.decode(signed.statement)
        except BadLayout:
            raise Error.BadReceipt from None
        if (receipt.session_id, receipt.lane) != (number, lane):
            raise Error.BadReceipt
        keys = self._providers.keys_since(session.provider, session.opened)
        if not any(ed25519.verify(signed.signature, signed.statement, key) for key in keys):
            raise Error.BadSignature
        return receipt


def read_offer(signed: SignedOffer, keys: list[bytes], genesis: Hash32) -> Offer:
    """Read an offer made for this chain by one of a provider's keys.

    Raises:
        BadOffer: it is malformed or for another chain.
        BadSignature: no such key signed it.
    """
    try:
        offer = Offer.decode(signed.statement)
    except Rejected:
        raise Error.BadOffer from None
    if offer.genesis != genesis:
        raise Error.BadOffer
    if not any(ed25519.verify(signed.signature, signed.statement, key) for key in keys):
        raise Error.BadSignature
    return offer
