"""Sessions: each claim on a session of its own, proofs with all keys and units there may be, pages full of tails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aitoken.crypto.hashing import blake2_256
from aitoken.pay.book import COMPONENTS_MAX
from aitoken.pay.layouts import (
    CUMULATIVE,
    USAGE_MAX,
    Closing,
    Offer,
    Opening,
    OpenParams,
    Receipt,
    Voucher,
    ack0,
    session_id,
)
from aitoken.pay.units import UNITS
from aitoken.types import Balance, BlockNumber, Hash32, Moment
from bench.weights.pallets.providers import OPERATOR, OTHER, OWNER, PROVIDER, _book, _services
from bench.weights.world import Run, World, ait, scenario
from chain.frame.types import Ed25519Signature
from chain.pallets.ai import allowances_types as a
from chain.pallets.ai import providers_types as p
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.oracle import STALE_WINDOWS_MAX, Feed
from chain.pallets.ai.rewards_types import Member
from chain.pallets.ai.sessions_claims import NEW_LANE

PAYER, KEY = 10, 11
USD = 840
ITEMS = 64


def _seller(world: World) -> None:
    """A provider whose book has all components and all services."""
    _services(world, p.SERVICES_A_BOOK)
    world.do(
        world.person(OWNER), "Providers.publish_book", PROVIDER, list(range(1, p.SERVICES_A_BOOK + 1)),
        _book(COMPONENTS_MAX, 1), 0,
    )  # fmt: skip


def _params(world: World, salt: int = 0, lanes: int = 64) -> OpenParams:
    key = world.pair(KEY).public
    return OpenParams(PROVIDER, 2, key, 0, BlockNumber(5_000), 100, lanes, salt.to_bytes(16, "little"))


def _id(world: World, params: OpenParams, payer: int = PAYER) -> Hash32:
    return session_id(world.genesis_hash, world.person(payer), params)


def _by_a_key(world: World, session: Hash32) -> None:
    """A grant as deep as there may be has opened this session, so its end counts back on all of them."""
    payer, zero = world.person(PAYER), Balance(0)
    limits, scope = a.Limits(ait(100), zero, ait(900), 0), a.Scope([a.Purpose.Sessions], [])
    for depth in range(a.DEPTH_MAX):
        terms = limits, scope, Moment(0), Moment(world.time_ms * 2), zero, ait(500), 0, zero
        grant = a.Grant(world.person(KEY), depth - 1 if depth else None, depth + 1, *terms)
        world.allowances.grants.put((payer, depth), grant)
    world.allowances.sessions.put((payer, session), a.OpenedSession(list(reversed(range(a.DEPTH_MAX))), ait(100)))
    world.allowances.session_count.put(payer, 2)


def _open(world: World, salt: int = 0, lanes: int = 64, payer: int = PAYER) -> Hash32:
    """Open a session of somebody whose burned fees are kept account of."""
    params = _params(world, salt, lanes)
    world.do(world.person(payer), "Sessions.open", params, ait(100))
    world.rewards.members.put(world.person(payer), Member(world.person(OTHER), ait(1), Moment(0), Balance(0)))
    return _id(world, params, payer)


def _receipt(session: Hash32, lane: int, seq: int, total: int, world: World, before: Receipt | None = None) -> Receipt:
    usage = tuple((unit, 10**15) for unit in sorted(UNITS))[:USAGE_MAX]
    return Receipt(
        session, lane, seq, 0, 1, 2, blake2_256(b"m"), blake2_256(b"q"), blake2_256(b"a"), Moment(world.time_ms),
        Moment(world.time_ms), Balance(total - (0 if before is None else before.lane_total)), Balance(total), 0,
        ack0(session, lane) if before is None else before.hash, usage,
    )  # fmt: skip


def _signed(world: World, receipt: Receipt) -> t.SignedReceipt:
    """By the oldest key that may have signed it."""
    return t.SignedReceipt(receipt.encode(), world.pair(OPERATOR).sign(receipt.encode()))


def _rotated(world: World) -> None:
    """The key that signed is the last of all that are tried."""
    row, now = world.providers.providers.get(PROVIDER).copy(), world.timestamp.now.get()
    former = [p.FormerKey(world.pair(50 + index).public, now) for index in range(p.FORMER_KEYS_MAX - 1)]
    row.former_keys = [*former, p.FormerKey(world.person(OPERATOR), now)]
    row.operator = world.pair(49).public
    world.providers.providers.put(PROVIDER, row)


def _item(world: World, session: Hash32, lane: int, acked: int, end: t.ClaimEnd | None = None) -> t.ClaimItem:
    ceiling = getattr(end, "total", acked)
    voucher = Voucher(session, lane, CUMULATIVE, 0, 1, Balance(acked), Balance(ceiling), Moment(0), Hash32(bytes(32)))
    signature = world.pair(KEY).sign(voucher.encode())
    return t.ClaimItem(lane, 0, 1, Balance(acked), Balance(ceiling), 0, bytes(32), signature, end or t.Acked())


def _frozen(world: World, session: Hash32) -> None:
    """Its vouchers are those of the former key: two signatures are checked."""
    row = world.sessions.sessions.get(session).copy()
    row.former_key = t.FormerSessionKey(row.key, BlockNumber(2), 0)
    row.key = world.pair(60).public
    world.sessions.sessions.put(session, row)


def _tail(world: World, session: Hash32, lane: int, receipt: Receipt) -> None:
    item = _item(world, session, lane, 0, t.Tailed(receipt.lane_total, receipt.hash))
    item.seq = receipt.seq - 1
    voucher = Voucher(
        session, lane, CUMULATIVE, 0, item.seq, Balance(0), item.ceiling, Moment(0), Hash32(bytes(32))
    )  # fmt: skip
    item.signature = world.pair(KEY).sign(voucher.encode())
    world.do(world.person(OPERATOR), "Sessions.claim", [t.SessionClaims(session, [item])])


@scenario("Sessions.open")
def open_(world: World) -> Run:
    _seller(world)
    return world.call(world.person(PAYER), "Sessions.open", _params(world), ait(100))


@scenario("Sessions.open_for")
def open_for(world: World) -> Run:
    """Signed as wallets sign bytes, so that the plain form is tried first."""
    _seller(world)
    params, until = _params(world), Moment(world.time_ms + 10**6)
    order = Opening(_id(world, params), ait(100), until).encode()
    signature = Ed25519Signature(world.pair(PAYER).sign(b"<Bytes>" + order + b"</Bytes>"))
    call = (world.person(PAYER), params, ait(100), until, signature)
    return world.call(world.person(OTHER), "Sessions.open_for", *call)


@scenario("Sessions.top_up")
def top_up(world: World) -> Run:
    _seller(world)
    return world.call(world.person(OTHER), "Sessions.top_up", _open(world), ait(1))


@scenario("Sessions.claim", units=(3, 30, 3 * ITEMS))
def claim(world: World, units: int) -> Run:
    """One item a session counts three; each with another payer, its former key, and a new tail beside what is paid."""
    _seller(world)
    groups = []
    for index in range(units // 3):
        session = _open(world, payer=100 + index)
        _frozen(world, session)
        groups.append(t.SessionClaims(session, [_item(world, session, 63, 10**12, t.Tailed(2 * 10**12, bytes(32)))]))
        lanes = dict.fromkeys(range(63), NEW_LANE)
        world.sessions.lanes.put((session, 0), lanes)
    return world.call(world.person(OPERATOR), "Sessions.claim", groups)


@scenario("Sessions.challenge")
def challenge(world: World) -> Run:
    """A receipt in money, and an offer below it, by the oldest key; no price counts, and the whole ring is searched."""
    _seller(world)
    book = _book(COMPONENTS_MAX, 1)
    book.currency = USD
    number = list(range(1, p.SERVICES_A_BOOK + 1))
    world.do("ROOT", "Oracle.set_feed", USD, Feed(0, 0, STALE_WINDOWS_MAX * world.oracle.window_ms))
    later = Moment(world.time_ms + world.providers.notice)
    world.do(world.person(OWNER), "Providers.publish_book", PROVIDER, number, book, later)
    world.timestamp.now.put(later)
    params = _params(world)
    params.book_version = 3
    world.do(world.person(PAYER), "Sessions.open", params, ait(100))
    session = _id(world, params)
    world.sessions.punished.put(session, [(1, seq, 3) for seq in range(t.PUNISHED_MAX - 1)])
    receipt = replace(_receipt(session, 0, 1, 10**12, world), rate=10**12, usage=((1, 10**15),))
    statement = Offer(world.genesis_hash, 1, 2, receipt.request, Balance(1), 1, Moment(2**60)).encode()
    offer = t.SignedOffer(statement, world.pair(OPERATOR).sign(statement))
    _rotated(world)
    return world.call(
        world.person(OTHER), "Sessions.challenge", session, 0, t.Mispricing(_signed(world, receipt), offer)
    )


@scenario("Sessions.demand")
def demand(world: World) -> Run:
    _seller(world)
    session = _open(world)
    _tail(world, session, 0, _receipt(session, 0, 2, 10**12, world))
    return world.call(world.person(OTHER), "Sessions.demand", session, 0)


@scenario("Sessions.answer")
def answer(world: World) -> Run:
    """The window is over, so the tail is paid on the way."""
    _seller(world)
    session = _open(world)
    receipt = _receipt(session, 0, 2, 10**12, world)
    _tail(world, session, 0, receipt)
    world.do(world.person(OTHER), "Sessions.demand", session, 0)
    _rotated(world)
    state = world.sessions.lane(session, 0).copy()
    state.tail = state.tail.copy()
    state.tail.ripe_at, state.tail.ripe_from = Moment(0), BlockNumber(0)
    world.sessions.put_lane(session, 0, state)
    return world.call(world.person(OTHER), "Sessions.answer", session, 0, _signed(world, receipt))


@scenario("Sessions.close", units=(0, 4, t.LANES_MAX // t.LANES_A_PAGE))
def close(world: World, pages: int) -> Run:
    """By agreement, with a tail on every lane there may be, and as many demands."""
    _seller(world)
    session = _open(world, lanes=max(1, pages * t.LANES_A_PAGE))
    _by_a_key(world, session)
    for page in range(pages):
        first = page * t.LANES_A_PAGE
        lanes = {first + lane: t.LaneState(Balance(0), 0, bytes(32), _waits(None)) for lane in range(t.LANES_A_PAGE)}
        if page == 0:
            for lane in range(t.DEMANDS_MAX):
                who = world.person(200 + lane)
                world.balances.hold(t.SessionsHoldReason.Demand, who, world.sessions.demand_bond)
                lanes[lane].tail = _waits(t.Demand(who, Moment(0), 0))
        world.sessions.lanes.put((session, page), lanes)
    row = world.sessions.sessions.get(session).copy()
    row.tails = pages * t.LANES_A_PAGE
    row.waiting, row.demands = Balance(row.tails), t.DEMANDS_MAX if pages else 0
    world.sessions.sessions.put(session, row)
    total, until = ait(1), Moment(world.time_ms + 10**6)
    signature = world.pair(OPERATOR).sign(Closing(session, total, until).encode())
    return world.call(world.person(PAYER), "Sessions.close", session, t.Agreement(total, until, signature))


def _waits(demand: t.Demand | None) -> t.LaneTail:
    return t.LaneTail(Balance(1), 1, bytes(32), Moment(0), BlockNumber(0), 0, demand, shown=False)


@scenario("Sessions.finalize", units=(1, 8, t.LANES_A_PAGE))
def finalize(world: World, lanes: int) -> Run:
    """Ripe tails, each on a page of its own as far as there are pages, of a session whose grace is over."""
    _seller(world)
    session = _open(world, lanes=t.LANES_MAX)
    _by_a_key(world, session)
    numbers = [lane * (t.LANES_MAX // t.LANES_A_PAGE) for lane in range(lanes)]
    for lane in numbers:
        _tail(world, session, lane, _receipt(session, lane, 2, 10**11, world))
    for lane in numbers:
        state = world.sessions.lane(session, lane).copy()
        state.tail = state.tail.copy()
        state.tail.ripe_at, state.tail.ripe_from = Moment(0), BlockNumber(0)
        world.sessions.put_lane(session, lane, state)
    row = world.sessions.sessions.get(session).copy()
    row.state, row.grace = t.Closing(BlockNumber(0), 0), 0
    world.sessions.sessions.put(session, row)
    return world.call(world.person(OTHER), "Sessions.finalize", session, numbers)


@scenario("Sessions.change")
def change(world: World) -> Run:
    _seller(world)
    session = _open(world)
    until = Moment(world.time_ms + 10**6)
    statement = Offer(world.genesis_hash, 1, 2, session, Balance(0), 10**12, until).encode()
    offer = t.SignedOffer(statement, world.pair(OPERATOR).sign(statement))
    return world.call(world.person(PAYER), "Sessions.change", session, t.ToRate(offer))


@scenario("Sessions.refund")
def refund(world: World) -> Run:
    _seller(world)
    session = _open(world)
    world.do(world.person(OTHER), "Sessions.claim", [t.SessionClaims(session, [_item(world, session, 0, 10**12)])])
    return world.call(world.person(OPERATOR), "Sessions.refund", session, Balance(10**11), bytes(32))


@scenario("Sessions.on_initialize", units=(0, 4, 8))
def on_initialize(world: World, sessions: int) -> Run:
    """Sessions whose time for proofs is over: all that is left of each is a tombstone."""
    _seller(world)
    number = BlockNumber(1_000)
    for index in range(sessions):
        session = _open(world, lanes=t.LANES_MAX, payer=100 + index)
        row: Any = world.sessions.sessions.get(session).copy()
        world.balances.release(t.SessionsHoldReason.Escrow, row.payer)
        row.state, row.escrow, row.due = t.Closed(BlockNumber(0)), Balance(0), number
        world.sessions.sessions.put(session, row)
        for page in range(t.LANES_MAX // t.LANES_A_PAGE):
            first = page * t.LANES_A_PAGE
            world.sessions.lanes.put(
                (session, page), {first + lane: t.LaneState(Balance(1), 1, bytes(32), None) for lane in range(64)}
            )
        world.sessions.punished.put(session, [(0, seq, 1) for seq in range(64)])
        world.sessions.agenda.put((number, index), session)
    world.sessions.agenda_count.put(number, sessions)
    sweep = world.sessions.on_initialize
    return lambda: sweep(number)
