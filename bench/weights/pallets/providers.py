"""Providers: full lists of chunks, keys and services, and books as long as they may be."""

from __future__ import annotations

from aitoken.pay.book import ALWAYS, COMPONENTS_MAX, IN_ASSET, Book, Component, Conditions, Price
from aitoken.pay.units import INPUT_TOKEN
from aitoken.types import AccountId, Balance
from bench.weights.world import Run, World, ait, scenario
from chain.pallets.ai import providers_types as p

OWNER, OPERATOR, PAYOUT, OTHER = range(4)
PROVIDER = 1
TERMS = p.ServiceTerms(
    p.ServiceKind.Chat, b"m" * p.MODEL_MAX, list(range(p.TAGS_MAX)), p.ServicePolicy(1, 0, 0, 1)
)  # fmt: skip


def _provider(world: World) -> AccountId:
    """Somebody who sells, and changed its key and took bond out as often as possible."""
    owner = world.person(OWNER)
    world.give(owner, ait(100_000))
    world.timestamp.now.put(world.time_ms)
    endpoint = b"e" * p.ENDPOINT_MAX
    world.do(owner, "Providers.register", world.person(OPERATOR), world.person(PAYOUT), endpoint, ait(50_000))
    row = world.providers.providers.get(PROVIDER).copy()
    row.former_keys = [p.FormerKey(bytes([index]) * 32, world.time_ms) for index in range(p.FORMER_KEYS_MAX - 1)]
    row.unbonding = [p.Chunk(ait(10), world.time_ms) for _ in range(p.CHUNKS_MAX - 1)]
    row.bond = Balance(row.bond - sum(chunk.amount for chunk in row.unbonding))
    world.providers.providers.put(PROVIDER, row)
    return owner


def _book(components: int, mantissa: int) -> Book:
    """Prices of one unit, of which all but one count in some tier or other."""
    rows = [Component(INPUT_TOKEN, Price(mantissa, 6), 1, ALWAYS)]
    rows += [
        Component(INPUT_TOKEN, Price(mantissa, 6), 1, Conditions(tier, None, None, None, None))
        for tier in range(components - 1)
    ]
    return Book(IN_ASSET, rows, Price(0, 0), [], 0)


def _services(world: World, count: int) -> list[int]:
    """Services of a provider, with a book in force that is half as long as one may be."""
    owner = _provider(world)
    for _ in range(count):
        world.do(owner, "Providers.publish_service", PROVIDER, None, TERMS)
    services = list(range(1, count + 1))
    world.do(owner, "Providers.publish_book", PROVIDER, services, _book(COMPONENTS_MAX // 2, 9), 0)
    return services


@scenario("Providers.register")
def register(world: World) -> Run:
    who, endpoint = world.person(OWNER), b"e" * p.ENDPOINT_MAX
    world.give(who, ait(100_000))
    keys = world.person(OPERATOR), world.person(PAYOUT)
    return world.call(who, "Providers.register", *keys, endpoint, ait(50_000))


@scenario("Providers.update")
def update(world: World) -> Run:
    owner = _provider(world)
    patch = p.ProviderPatch(world.person(OTHER), world.person(OTHER), b"n" * p.ENDPOINT_MAX, True)
    return world.call(owner, "Providers.update", PROVIDER, patch)


@scenario("Providers.bond")
def bond(world: World) -> Run:
    _provider(world)
    return world.call(world.person(OTHER), "Providers.bond", PROVIDER, ait(10))


@scenario("Providers.unbond")
def unbond(world: World) -> Run:
    return world.call(_provider(world), "Providers.unbond", PROVIDER, ait(10))


@scenario("Providers.withdraw")
def withdraw(world: World) -> Run:
    _provider(world)
    return world.call(world.person(OTHER), "Providers.withdraw", PROVIDER)


@scenario("Providers.publish_service")
def publish_service(world: World) -> Run:
    return world.call(_provider(world), "Providers.publish_service", PROVIDER, None, TERMS)


@scenario("Providers.publish_book", units=(1, 4, p.SERVICES_A_BOOK))
def publish_book(world: World, services: int) -> Run:
    """A full book after one half as long: each new component is held against all old ones."""
    named = _services(world, services)
    return world.call(world.person(OWNER), "Providers.publish_book", PROVIDER, named, _book(COMPONENTS_MAX, 1), 0)


@scenario("Providers.retire")
def retire(world: World) -> Run:
    """A book that all its services left for another."""
    named = _services(world, p.SERVICES_A_BOOK)
    world.do(world.person(OWNER), "Providers.publish_book", PROVIDER, named, _book(COMPONENTS_MAX // 2, 1), 0)
    return world.call(world.person(OTHER), "Providers.retire", p.RetiredBook(PROVIDER, 1))
