"""The sessions that pay here: what the chain knows of them, and where their lanes are.

A session is read from the chain when its first voucher comes, its lanes from the store; after an unclean stop all lanes
the store knows are retired. Asking for sessions nobody knows costs a stranger nothing and the chain something, so those
answers are kept for a while and only so many questions are asked at once.

Where gateways share a store, what is in memory of a session's lanes is what the store had at the last step (`turn`);
each step begins with what it has now.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

from aitoken.crypto import ed25519
from aitoken.pay.errors import BadSignature
from aitoken.pay.layouts import Voucher
from aitoken.pay.seller import SellerLane, SellerSession, Signed
from aitoken.types import Balance, Hash32, Moment
from gateway.passes import PassBook
from gateway.ports import ChainDown, ChainSide, Clock, SessionFacts
from gateway.refusals import ChainUnavailable, TooBusy
from gateway.store import Held, Store, StoredLane, StoredSession, Turn

log = logging.getLogger(__name__)

SESSIONS_MAX: Final = 10_000
UNKNOWN_MAX: Final = 10_000
UNKNOWN_MS: Final = 2_000
QUESTIONS_MAX: Final = 64
NEVER: Final = Moment(0)
FACTS_MS: Final = 30_000
"""Facts in use are read again when they are older: plans change without an event of the session."""


@dataclass(slots=True)
class Known:
    """One session.

    Attributes:
        facts: what the chain knows.
        seller: its lanes.
        claimed: what was claimed of each lane.
        read_at: when the facts were read.
        ended: nothing more is served from it.
        gone: it is over on chain.
        urgent: what is owed is to be claimed at once.
        raised: set whenever a ceiling is raised or the facts change, for streams that wait.
        away: lanes whose last request the store does not know to be over.
    """

    facts: SessionFacts
    seller: SellerSession
    claimed: dict[int, Balance] = field(default_factory=dict)
    read_at: Moment = NEVER
    ended: bool = False
    gone: bool = False
    urgent: bool = False
    raised: asyncio.Event = field(default_factory=asyncio.Event)
    away: set[int] = field(default_factory=set)

    def follow(self, found: StoredSession) -> None:
        """Make memory what a shared store has."""
        seller = self.seller
        for stored in found.lanes:
            self.claimed[stored.lane] = stored.claimed
            here = seller.lanes.get(stored.lane)
            if stored.held is Held.NOWHERE:
                self.away.discard(stored.lane)
            else:
                self.away.add(stored.lane)
            if stored.held is Held.HERE and here is not None:
                follow_raise(here, stored)
                continue
            lane = seller.restore(stored.lane, stored.voucher, stored.receipt, retired=stored.retired)
            lane.busy = stored.held is not Held.NOWHERE
            if stored.end is not None:
                lane.end = stored.end
        seller.reserved = found.reserved
        self.ended = self.ended or found.closing
        seller.closing = seller.closing or found.closing

    @property
    def unclaimed(self) -> Balance:
        """What receipts come to beyond what was claimed."""
        lanes = self.seller.lanes.values()
        return Balance(sum(max(0, lane.total - self.claimed.get(lane.number, 0)) for lane in lanes))

    @property
    def busy(self) -> bool:
        """Whether a request is in flight."""
        return any(lane.busy for lane in self.seller.lanes.values())


def follow_raise(lane: SellerLane, stored: StoredLane) -> None:
    """Take over, for a request in flight here, a ceiling that another gateway was given."""
    if lane.busy and stored.end is not None and stored.voucher is not None and stored.end > lane.end:
        lane.end = stored.end
        lane.voucher, lane.signed_voucher = Voucher.decode(stored.voucher.statement), stored.voucher


class Sessions:
    """All sessions in memory, at most `SESSIONS_MAX`; those that were not used longest give way.

    Attributes:
        passes: what is used of payers' plans.
    """

    def __init__(self, chain: ChainSide, store: Store, clock: Clock) -> None:
        self._chain = chain
        self._store = store
        self._clock = clock
        self.passes = PassBook(store)
        self._known: OrderedDict[Hash32, Known] = OrderedDict()
        self._unknown: OrderedDict[Hash32, Moment] = OrderedDict()
        self._asking: dict[Hash32, asyncio.Future[Known | None]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def all(self) -> list[Known]:
        """Every session in memory."""
        return list(self._known.values())

    def at_hand(self, session: Hash32) -> Known | None:
        """Return a session that is in memory and was read lately; None where `find` has to look."""
        known = self._known.get(session)
        if known is None or self._clock.now() - known.read_at > FACTS_MS:
            return None
        self._known.move_to_end(session)
        return known

    async def find(self, session: Hash32) -> Known | None:
        """Return a session; None where the chain has none with this provider.

        Raises:
            ChainUnavailable: the chain does not answer.
            TooBusy: too many unknown sessions are asked for at once.
        """
        known = self._known.get(session)
        now = self._clock.now()
        if known is not None:
            self._known.move_to_end(session)
            if now - known.read_at > FACTS_MS:
                known.read_at = now
                try:
                    await self.refresh(session)
                except ChainUnavailable as error:
                    log.warning("a session could not be read again", extra={"reason": str(error)})
            return known
        if self._unknown.get(session, Moment(-UNKNOWN_MS)) + UNKNOWN_MS > now:
            return None
        asked = self._asking.get(session)
        if asked is not None:
            return await asyncio.shield(asked)
        if len(self._asking) >= QUESTIONS_MAX:
            raise TooBusy("too many unknown sessions at once", retry_after_s=1)
        return await self._learn(session)

    async def _learn(self, session: Hash32) -> Known | None:
        asked: asyncio.Future[Known | None] = asyncio.get_running_loop().create_future()
        self._asking[session] = asked
        try:
            known = await self._load(session)
        except BaseException as error:
            if not isinstance(error, ChainUnavailable):
                error = ChainUnavailable("the question was given up", retry_after_s=1)
            asked.set_exception(error)
            asked.exception()  # nobody has to be waiting
            raise
        else:
            asked.set_result(known)
            return known
        finally:
            del self._asking[session]

    async def _load(self, session: Hash32) -> Known | None:
        facts = await self._facts(session)
        if facts is None:
            self._unknown[session] = self._clock.now()
            while len(self._unknown) > UNKNOWN_MAX:
                self._unknown.popitem(last=False)
            return None
        seller = SellerSession(session, facts.key, facts.deposit, facts.max_lanes)
        signed = await self._store.is_closing(session)
        seller.closing = facts.closing or signed
        known = Known(facts, seller, read_at=self._clock.now(), ended=signed)
        for stored in [] if self._store.shared else await self._store.lanes(session):
            retired = stored.retired or not self._store.clean
            seller.restore(stored.lane, stored.voucher, stored.receipt, retired=retired)
            known.claimed[stored.lane] = stored.claimed
        self._known[session] = known
        self._make_room()
        return known

    async def _facts(self, session: Hash32) -> SessionFacts | None:
        try:
            return await self._chain.session(session)
        except ChainDown as error:
            raise ChainUnavailable(str(error), retry_after_s=2) from error

    def turn(
        self, known: Known, lane: int | None, voucher: Signed | None = None, checked: bytes = b""
    ) -> AbstractAsyncContextManager[Turn]:
        """Take one step of a session, on a lane or on all of them, that no other gateway's step comes between.

        Args:
            known: the session.
            lane: the lane, None for all.
            voucher: what the step is taken for.
            checked: the key with which its signature has been checked, if it has.

        Raises:
            BadSignature: the voucher is a stranger's, for whom no database is asked.
        """
        key = known.seller.key
        if voucher is None or checked == key or not self._store.shared:
            return self._store.turn(known.seller.id, lane, known.follow)
        if not ed25519.verify(voucher.signature, voucher.statement, key):
            raise BadSignature("the voucher is not signed with the session's key")
        return self._store.turn(known.seller.id, lane, known.follow)

    async def renew(self, known: Known) -> None:
        """Make memory what the store has of all lanes, where others serve them as well."""
        if self._store.shared:
            async with self.turn(known, None):
                pass

    async def gather(self) -> None:
        """Bring to memory what other gateways have served and is not claimed."""
        for session in await self._store.owing():
            known = await self.find(session)
            if known is not None:
                await self.renew(known)

    async def refresh(self, session: Hash32) -> Known | None:
        """Read again what the chain knows of a session in memory."""
        known = self._known.get(session)
        if known is None:
            self._unknown.pop(session, None)
            return None
        facts = await self._facts(session)
        if facts is None:
            known.seller.closing = True
        else:
            # What the old key signed can be claimed for a while only.
            known.urgent = known.urgent or facts.key != known.seller.key
            known.facts = facts
            known.seller.key = facts.key
            known.seller.deposit = facts.deposit
            known.seller.closing = facts.closing or known.ended
        known.raised.set()
        return known

    async def follow(self) -> None:
        """Keep what is in memory as the chain has it, until cancelled."""
        async for changed in self._chain.changes():
            for session in list(self._known) if changed is None else [changed]:
                try:
                    await self.refresh(session)
                except ChainUnavailable as error:
                    log.warning("a session could not be read again", extra={"reason": str(error)})

    async def load_all(self) -> None:
        """Bring back every session with lanes that the store knows, so that what is owed is claimed."""
        for session in [] if self._store.shared else await self._store.sessions():
            await self.find(session)

    def _make_room(self) -> None:
        if len(self._known) <= SESSIONS_MAX:
            return
        for session, known in self._known.items():
            if not known.busy and (self._store.shared or not known.unclaimed):
                del self._known[session]
                return
        raise TooBusy("too many sessions with money that is not claimed yet", retry_after_s=10)
