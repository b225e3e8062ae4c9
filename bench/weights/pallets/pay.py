"""Pay: payments to full splits and to strangers, and nonces that are forgotten on the way."""

from __future__ import annotations

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Balance, Hash32, Moment
from bench.weights.world import Run, World, ait, scenario
from chain.frame.types import Ed25519Signature
from chain.pallets.ai.pay import AUTHORIZATION_LIFETIME_MS, CLEARED_MAX, DEAD_NONCES_A_USE
from chain.pallets.ai.pay_types import BPS, RECIPIENTS_MAX, REFERENCE_MAX, AuthorizationTerms, Share, ToAccount, ToSplit

PAYER, PAYEE, OTHER = range(3)
RECIPIENTS = 100
"""Recipients of splits are accounts from this number on."""
NOTHING = Hash32(bytes(32))
REFERENCE = b"r" * REFERENCE_MAX
SECRET = b"s" * 32
HOUR_MS = 3_600_000
SHARES = (1, 8, RECIPIENTS_MAX)


def _start(world: World) -> AccountId:
    world.timestamp.now.put(world.time_ms)
    return world.person(PAYER)


def _shares(world: World, count: int) -> list[Share]:
    rows = [Share(world.person(RECIPIENTS + index), BPS // count) for index in range(count)]
    rows[0].bps += BPS - sum(row.bps for row in rows)
    return rows


def _nonces(world: World, count: int) -> None:
    """Nonces that can no longer matter."""
    world.timestamp.now.put(Moment(world.time_ms - 2 * AUTHORIZATION_LIFETIME_MS))
    for index in range(count):
        world.do(world.person(RECIPIENTS + index), "Pay.cancel_authorization", index.to_bytes(32, "big"))
    world.timestamp.now.put(world.time_ms)


@scenario("Pay.pay", units=(0, *SHARES))
def pay(world: World, shares: int) -> Run:
    """Without shares it goes to a new account."""
    payer = _start(world)
    to = ToAccount(world.stranger())
    if shares:
        world.do(world.person(OTHER), "Pay.create_split", _shares(world, shares))
        to = ToSplit(0)
    return world.call(payer, "Pay.pay", to, ait(1), NOTHING, REFERENCE)


@scenario("Pay.execute_authorization")
def execute_authorization(world: World) -> Run:
    """Signed with ed25519, the dearest kind."""
    payer = _start(world)
    _nonces(world, DEAD_NONCES_A_USE)
    end = Moment(world.time_ms + HOUR_MS)
    terms = AuthorizationTerms(payer, world.stranger(), 0, ait(1), True, Moment(0), end, SECRET, NOTHING)
    signature = Ed25519Signature(world.pair(PAYER).sign(world.pay.signed_bytes(terms)))
    return world.call(world.person(OTHER), "Pay.execute_authorization", terms, signature, ait(1))


@scenario("Pay.cancel_authorization")
def cancel_authorization(world: World) -> Run:
    payer = _start(world)
    _nonces(world, DEAD_NONCES_A_USE)
    return world.call(payer, "Pay.cancel_authorization", SECRET)


@scenario("Pay.clear_nonces", units=(0, 8, CLEARED_MAX))
def clear_nonces(world: World, count: int) -> Run:
    payer = _start(world)
    _nonces(world, count)
    return world.call(payer, "Pay.clear_nonces", count)


@scenario("Pay.create_split", units=SHARES)
def create_split(world: World, shares: int) -> Run:
    return world.call(_start(world), "Pay.create_split", _shares(world, shares))


@scenario("Pay.remove_split")
def remove_split(world: World) -> Run:
    payer = _start(world)
    world.do(payer, "Pay.create_split", _shares(world, RECIPIENTS_MAX))
    return world.call(payer, "Pay.remove_split", 0)


@scenario("Pay.create_invoice")
def create_invoice(world: World) -> Run:
    payee = _start(world)
    world.do(payee, "Pay.create_split", _shares(world, RECIPIENTS_MAX))
    due = Moment(world.time_ms + HOUR_MS)
    return world.call(payee, "Pay.create_invoice", ToSplit(0), 0, ait(1), due, NOTHING)


@scenario("Pay.pay_invoice", units=(0, *SHARES))
def pay_invoice(world: World, shares: int) -> Run:
    payer = _start(world)
    to = ToAccount(world.stranger())
    if shares:
        world.do(world.person(OTHER), "Pay.create_split", _shares(world, shares))
        to = ToSplit(0)
    return world.call(payer, "Pay.pay_invoice", _invoice(world, to), ait(1))


@scenario("Pay.void_invoice")
def void_invoice(world: World) -> Run:
    _start(world)
    return world.call(world.person(PAYEE), "Pay.void_invoice", _invoice(world, ToAccount(world.person(PAYEE))))


def _invoice(world: World, to: ToAccount | ToSplit) -> int:
    number: int = world.pay.next_id.get()
    due = Moment(world.time_ms + HOUR_MS)
    world.do(world.person(PAYEE), "Pay.create_invoice", to, 0, ait(1), due, NOTHING)
    return number


@scenario("Pay.lock")
def lock(world: World) -> Run:
    payer, deadline = _start(world), Moment(world.time_ms + HOUR_MS)
    return world.call(payer, "Pay.lock", world.person(PAYEE), ait(1), NOTHING, deadline, REFERENCE)


def _locked(world: World) -> int:
    payer, deadline = _start(world), Moment(world.time_ms + HOUR_MS)
    secret_hash = Hash32(blake2_256(SECRET))
    world.do(payer, "Pay.lock", world.stranger(), Balance(ait(1)), secret_hash, deadline, REFERENCE)
    return 0


@scenario("Pay.reveal")
def reveal(world: World) -> Run:
    """The payee is a new account."""
    return world.call(world.person(OTHER), "Pay.reveal", _locked(world), SECRET)


@scenario("Pay.reclaim")
def reclaim(world: World) -> Run:
    number = _locked(world)
    world.timestamp.now.put(Moment(world.time_ms + 2 * HOUR_MS))
    return world.call(world.person(OTHER), "Pay.reclaim", number)
