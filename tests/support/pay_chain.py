"""A chain whose blocks and time pass at a word, for tests of the payment pallets: calls without transactions."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.pay.book import ALWAYS, IN_ASSET, Book, Component, Price
from aitoken.pay.units import INPUT_TOKEN, OUTPUT_TOKEN
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.types import AIT
from chain.frame import errors
from chain.pallets.ai import providers_types as p
from tests.support.staking_chain import StakingChain, account, pair

USD = 840
FREE = Price(0, 0)


def book(price: int = 2, *, scale: int = 6, currency: int = IN_ASSET, per: int = 1) -> Book:
    """A book of two units: input at `price / 10^scale`, output at three times that."""
    components = [
        Component(INPUT_TOKEN, Price(price, scale), per, ALWAYS),
        Component(OUTPUT_TOKEN, Price(3 * price, scale), per, ALWAYS),
    ]
    return Book(currency, components, FREE, [], 0)


def terms(model: bytes = b"demo-model@1") -> p.ServiceTerms:
    """Terms of a service."""
    return p.ServiceTerms(p.ServiceKind.Chat, model, [1, 2], p.ServicePolicy(1, 0, 0, 1))


class PayChain(StakingChain):
    """Four validators A to D (A has a tenth of the stake), a provider's people, payers and strangers, with money."""

    def __init__(self, **chain: Any) -> None:
        people = dict.fromkeys(("owner", "operator", "payout", "payer", "other", "stranger"), 10_000)
        self.busy = False
        super().__init__(**{"others": people | chain.pop("others", {}), "maxIssuance": "2_000_000 AIT"} | chain)

    @property
    def now(self) -> int:
        """The time of the block that is being made."""
        return int(self.timestamp.now.get())

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.system.number.get())

    def begin(self) -> None:
        """Forget all calls and make the first block."""
        self.look()
        self.system.block_hash.put(0, self.genesis_hash)
        self.system.number.put(1)

    def pass_time(self, ms: int, blocks: int = 1) -> None:
        """End the block, make some that are empty, and begin one: time passes with the first of them.

        What begins a block sees the time of the one before.
        """
        for step in range(blocks):
            number = self.number
            self.oracle.on_finalize(number)
            if not self.busy:
                self.sessions.on_idle(number, 10**18)
            self.sessions.on_finalize(number)
            self.system.number.put(number + 1)
            self.sessions.on_initialize(number + 1)
            if step == 0:
                self.timestamp.now.put(self.now + ms)

    def refused(self, error: str, who: str, name: str, *args: Any) -> None:
        """Make a call that must fail with this error and leave nothing."""
        before = self.machine.store.changes()
        with pytest.raises(errors.DispatchError) as caught:
            self.call(who, name, *args)
        assert caught.value.code == (error if "." in error else f"{name.partition('.')[0]}.{error}")
        assert self.machine.store.changes() == before

    def emitted(self) -> list[Any]:
        """The events since the last call of this, oldest first."""
        store = self.machine.store
        count = len(store.events)
        raw = bytes((count << 2,)) if count < 64 else (count << 2 | 1).to_bytes(2, "little")
        rows = self.schema.decode_events(raw + b"".join(store.events))
        store.events.clear()
        return [row.event for row in rows]

    def told(self, name: str) -> list[Any]:
        """Those of the events since the last call that have this name."""
        return [event for event in self.emitted() if type(event).__name__ == name]

    # ---------------------------------------------------------------------------------------------- a provider

    def sell(self, prices: Book | None = None, *, bond: int = 5_000) -> int:
        """Register a provider with one service and one book; its number."""
        number = int(self.providers.next_provider.get())
        self.call("owner", "Providers.register", account("operator"), account("payout"), b"http://x", bond * AIT)
        service = int(self.providers.next_service.get())
        self.call("owner", "Providers.publish_service", number, None, terms())
        self.call("operator", "Providers.publish_book", number, [service], prices or book(), 0)
        return number

    def held(self, reason: Any, who: str) -> int:
        """What is held of somebody for a reason."""
        return int(self.balances.held(reason, account(who)))

    def check_providers(self) -> None:
        """Bonds and deposits are what is held of the owners, and counters count."""
        providers = self.providers
        bonds: dict[bytes, int] = {}
        deposits: dict[bytes, int] = {}
        owners = {number: row.owner for number, row in providers.providers.items()}
        for number, row in providers.providers.items():
            bonds[row.owner] = bonds.get(row.owner, 0) + row.bond + sum(chunk.amount for chunk in row.unbonding)
            deposits[row.owner] = deposits.get(row.owner, 0) + row.deposit
            services = [each for _, each in providers.services.items() if each.provider == number]
            books = [each for (owner, _), each in providers.books.items() if owner == number]
            assert (row.services, row.live_books) == (len(services), len(books))
            assert row.sessions == sum(each.sessions for each in books)
        for service in dict(providers.services.items()).values():
            deposits[owners[service.provider]] += service.deposit
        for (number, _), each in providers.books.items():
            deposits[owners[number]] += each.deposit
        reasons = p.ProvidersHoldReason
        for who, holds in self.balances.holds.items():
            held = {type(hold.id): {} for hold in holds} | {
                (type(hold.id), int(hold.id)): hold.amount for hold in holds
            }
            assert held.get((reasons, 0), 0) == bonds.pop(who, 0)
            assert held.get((reasons, 1), 0) == deposits.pop(who, 0)
        assert not any(bonds.values())
        assert not any(deposits.values())


def spending(chain: PayChain, grant: int, call: Any, nonce: int | None = None) -> Extrinsic:
    """A transaction in which the agent spends the payer's money, with the agent's next nonce by default."""
    wrapped = chain.schema.make_call("Allowances.spend", account("payer"), grant, call)
    version, genesis = chain.schema.version, chain.genesis_hash
    additional = additional_signed(version.spec_version, version.transaction_version, genesis, genesis)
    if nonce is None:
        nonce = chain.system.account.get(account("agent")).nonce
    return sign_extrinsic(wrapped.encode(), pair("agent"), additional, nonce=nonce)


__all__ = ["FREE", "USD", "PayChain", "account", "book", "pair", "spending", "terms"]
