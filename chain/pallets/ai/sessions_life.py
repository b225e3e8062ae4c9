"""The life of sessions: they expire, close, are kept for proofs and forgotten; tails ripen; demands run out.

    open --(expires, or the payer asks)--> closing --(grace)--> closed --(time for proofs, no tail waits)--> tombstone
         --(all agree, or the provider)---------------------->                --(the id cannot return)--> forgotten

Nobody has to do anything for it: each block looks after a few sessions, tails and demands that are due, from queues
that are never searched. What a block does not get to waits for the next one, and anybody may call `finalize` meanwhile.
Tails and demands wait equally long, so their queues are in the order of their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.sessions_claims import is_ripe, waiting
from chain.pallets.ai.sessions_events import SessionsEvents as Event
from chain.pallets.ai.sessions_money import DEPOSIT
from chain.pallets.ai.sessions_storage import TOMBSTONE_BYTES, pages_of, session_deposit
from chain.pallets.ai.sessions_types import Closed, Closing, LaneState, Open, Session, Tombstone

if TYPE_CHECKING:
    from chain.pallets.ai.providers import Providers
    from chain.pallets.ai.sessions_money import Escrows, Money
    from chain.pallets.ai.sessions_storage import SessionsStorage

SWEEP_MAX: Final = 8
"""Sessions, tails and demands of each kind that a block looks after."""
RETRY_BLOCKS: Final = 32
"""After so many blocks a closed session is looked after again whose tails keep it."""
EMPTY_MAX: Final = 64
"""Blocks of the agenda without an entry that are passed at once when it is behind."""


class Watcher(Protocol):
    """Who is told what becomes of sessions; the Allowances pallet."""

    def session_ended(self, payer: AccountId, session: Hash32, returned: Balance) -> None:
        """A session was closed, and so much went back to its payer."""

    def session_rekeyed(self, payer: AccountId, session: Hash32) -> None:
        """A session's payer gave it another key, or none."""


class Life:
    """Moves sessions on when their time comes.

    Attributes:
        watcher: who is told, if anybody.
    """

    def __init__(self, store: SessionsStorage, escrows: Escrows, money: Money, providers: Providers) -> None:
        self._store = store
        self._escrows = escrows
        self._money = money
        self._providers = providers
        self.watcher: Watcher | None = None

    # --------------------------------------------------------------------------------------------- the agenda

    def plan(self, number: Hash32, at: BlockNumber) -> None:
        """Look after a session in a later block."""
        store = self._store
        place = store.agenda_count.get(at)
        store.agenda.put((at, place), number)
        store.agenda_count.put(at, place + 1)

    def sweep(self, number: BlockNumber, now: Moment) -> int:
        """Do what is due in a block; return how many entries of all queues were looked at."""
        seen, fee = self._sweep_agenda(number), 0
        for queue in (self._sweep_tails, self._sweep_demands):
            looked, taken = queue(number, now)
            seen, fee = seen + looked, fee + taken
        self._escrows.share_out(fee)
        return seen

    def _sweep_agenda(self, number: BlockNumber) -> int:
        store, seen, empty = self._store, 0, 0
        behind = store.agenda_behind.get()
        block, place = behind or (number, 0)
        while block <= number and seen < SWEEP_MAX and empty < EMPTY_MAX:
            count = store.agenda_count.get(block)
            if place < count:
                session = store.agenda.take((block, place))
                if session is not None:
                    self._look_after(session, block, number)
                place, seen = place + 1, seen + 1
                continue
            if count:
                store.agenda_count.remove(block)
            block, place, empty = BlockNumber(block + 1), 0, empty + 1
        if block <= number:
            store.agenda_behind.put((block, place))
        elif behind is not None:
            store.agenda_behind.kill()
        return seen

    def _look_after(self, number: Hash32, entry: BlockNumber, block: BlockNumber) -> None:
        session = self._store.sessions.get(number)
        if session is not None:
            if session.due == entry:
                self.advance(number, session.copy(), block)
            return
        tombstone = self._store.tombstones.get(number)
        if tombstone is not None and tombstone.until <= block:
            self._forget(number, tombstone)

    # --------------------------------------------------------------------------------------------- sessions

    def advance(self, number: Hash32, session: Session, block: BlockNumber) -> bool:
        """Do what is due of a session and plan what comes next; return whether anything was.

        `session` is a copy, which is stored.
        """
        done = False
        state = session.state
        if isinstance(state, Open) and block >= session.expires:
            self.begin_closing(number, session, block)
            state, done = session.state, True
        if isinstance(state, Closing) and not self._grace(session, state, block):
            self.end(number, session, block)
            state, done = session.state, True
        if isinstance(state, Closed) and not session.tails and block >= state.at + self._store.proof_blocks:
            self._bury(number, session, block)
            return True
        self.plan_next(number, session, block)
        self._store.sessions.put(number, session)
        return done

    def begin_closing(self, number: Hash32, session: Session, block: BlockNumber) -> None:
        """Let the grace of a session begin; the caller stores and plans it."""
        session.state = Closing(block, self._store.busy_blocks.get())
        self._store.emit(Event.CloseRequested(number, BlockNumber(session.grace)))

    def end(self, number: Hash32, session: Session, block: BlockNumber) -> None:
        """Close a session: what no tail waits for goes back to the payer; the caller stores and plans it."""
        rest = session.escrow - session.waiting
        self._escrows.give_back(session, rest)
        session.state = Closed(block)
        self._store.emit(Event.Closed(number, session.claimed, Balance(rest)))
        if self.watcher is not None:
            self.watcher.session_ended(session.payer, number, Balance(rest))

    def _grace(self, session: Session, state: Closing, block: BlockNumber) -> int:
        return self._store.grace_left(block, state.since, state.busy, session.grace)

    def plan_next(self, number: Hash32, session: Session, block: BlockNumber) -> None:
        """Set the block in which to look after a session next; the caller stores it."""
        state = session.state
        if isinstance(state, Closing):
            due = block + self._grace(session, state, block)
        elif isinstance(state, Closed):
            due = max(state.at + self._store.proof_blocks, block + RETRY_BLOCKS if session.tails else 0)
        else:
            due = session.expires
        due = BlockNumber(max(due, block + 1))
        if session.due != due:
            session.due = due
            self.plan(number, due)

    def _bury(self, number: Hash32, session: Session, block: BlockNumber) -> None:
        """Keep of a session only that its id is taken, as long as it could come back."""
        store = self._store
        for page in pages_of(session.max_lanes):
            store.lanes.remove((number, page))
        store.punished.remove(number)
        store.sessions.remove(number)
        self._providers.unbind(session.provider, session.book_version)
        stone = Tombstone(session.payer, session.expires)
        kept = deposit(TOMBSTONE_BYTES)
        self._money.release(DEPOSIT, session.payer, Balance(session_deposit(session.max_lanes) - kept))
        if stone.until <= block:
            self._forget(number, stone)
            return
        store.tombstones.put(number, stone)
        self.plan(number, stone.until)

    def _forget(self, number: Hash32, stone: Tombstone) -> None:
        self._store.tombstones.remove(number)
        self._money.release(DEPOSIT, stone.payer, deposit(TOMBSTONE_BYTES))
        self._store.emit(Event.Forgotten(number))

    # --------------------------------------------------------------------------------------------- tails

    def _sweep_tails(self, number: BlockNumber, now: Moment) -> tuple[int, int]:
        store, seen, fee = self._store, 0, 0
        front, end = store.tail_front.get(), store.tail_end.get()
        start = front
        while front < end and seen < SWEEP_MAX:
            session, lane = store.tail_queue.get(front) or (Hash32(bytes(32)), 0)
            found = store.lane(session, lane)
            if found is not None and found.tail is not None and found.tail.ticket == front:
                if not is_ripe(found.tail, number, now):
                    break
                fee += self.settle(session, lane, number, now) or 0
            store.tail_queue.remove(front)
            front, seen = front + 1, seen + 1
        if front != start:
            store.tail_front.put(front)
        return seen, fee

    def _sweep_demands(self, number: BlockNumber, now: Moment) -> tuple[int, int]:
        store, seen = self._store, 0
        front, end = store.demand_front.get(), store.demand_end.get()
        start = front
        while front < end and seen < SWEEP_MAX:
            session, lane = store.demand_queue.get(front) or (Hash32(bytes(32)), 0)
            found = store.lane(session, lane)
            tail = None if found is None else found.tail
            if tail is not None and tail.demand is not None and tail.demand.place == front:
                if now < tail.demand.until:
                    break
                self.settle(session, lane, number, now)
            store.demand_queue.remove(front)
            front, seen = front + 1, seen + 1
        if front != start:
            store.demand_front.put(front)
        return seen, 0

    def settle(self, number: Hash32, lane: int, block: BlockNumber, now: Moment) -> int | None:
        """Pay a tail that is ripe, or free one whose receipt was not shown in time.

        Returns:
            The fee that was taken; None where nothing was due.
        """
        store = self._store
        session, found = store.sessions.get(number), store.lane(number, lane)
        if session is None or found is None or found.tail is None:
            return None
        tail, amount = found.tail, waiting(found)
        if tail.demand is not None:
            if now < tail.demand.until:
                return None
            session = session.copy()
            self.drop_tail(number, lane, session, found)
            store.sessions.put(number, session)
            return 0
        if not is_ripe(tail, block, now):
            return None
        session = session.copy()
        session.waiting = Balance(session.waiting - amount)
        session.tails -= 1
        store.put_lane(number, lane, LaneState(Balance(found.paid + amount), found.seq, found.ack, None))
        fee = self._escrows.pay(session, amount, amount)
        store.sessions.put(number, session)
        store.emit(Event.TailPaid(number, lane, Balance(amount)))
        return fee

    def drop_tail(self, number: Hash32, lane: int, session: Session, found: LaneState) -> None:
        """Take a lane's tail away from the provider; the caller stores the session."""
        if found.tail is None:
            return
        if found.tail.demand is not None:
            self._escrows.end_demand(session, found.tail.demand.who, answered=False)
        self._store.put_lane(number, lane, LaneState(found.paid, found.seq, found.ack, None))
        self._escrows.free_tail(number, lane, session, waiting(found))

    def drop_tails(self, number: Hash32, session: Session) -> int:
        """Take all tails away by agreement; the caller stores the session. Return how many pages were looked at."""
        if not session.tails:
            return 0
        store, pages = self._store, pages_of(session.max_lanes)
        for page in pages:
            lanes = store.lanes.get((number, page))
            for lane in lanes.values():
                if lane.tail is not None and lane.tail.demand is not None:
                    self._escrows.end_demand(session, lane.tail.demand.who, answered=False)
            if any(lane.tail is not None for lane in lanes.values()):
                bare = {place: LaneState(lane.paid, lane.seq, lane.ack, None) for place, lane in lanes.items()}
                store.lanes.put((number, page), bare)
        session.waiting, session.tails = Balance(0), 0
        return len(pages)
