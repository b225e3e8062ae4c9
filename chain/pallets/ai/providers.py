"""Providers: who sells, what, at which prices, and with which bond behind its word.

* A provider is registered by its owner. The operator key signs receipts and sends the daily calls; money goes to the
  payout account. Another operator works at once, another payout after a notice: who steals a key gets no money.
* The bond is held of the owner and pays for proved lies, also while it is on its way out. It cannot fall below the
  least while sessions are open.
* A service names a kind, a model and terms. Its prices are a book: versions are numbered by provider, never change,
  and one that may cost anybody more counts only after the notice. Sessions bind a version; it stays until they end.
* Everything stored has a deposit behind it, which comes back when it is retired.

At any time

    held(Bond, owner) == sum over its providers of bond and chunks        held(Deposit, owner) == sum of deposits

Source: payments paper, section 5.2; the reduced set of calls is explained in `docs/adr`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

from aitoken.codec.hints import MaxLen, TypeName, codec_of, u8, u16, u32, u64
from aitoken.pay.book import BOOK, Book, book_hash, check_book, may_raise
from aitoken.pay.errors import BadBook
from aitoken.pay.proofs import slash_for
from aitoken.pay.rules import CLOCK_SLACK_MS
from aitoken.types import AccountId, Balance, Moment
from chain.frame.calls import call
from chain.frame.origin import Origin, ensure_signed
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import TWOX_64_CONCAT, Map, OptionMap, Value, storage_map, value
from chain.frame.types import CompactBalance
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.providers_events import ProvidersErrors, ProvidersEvents
from chain.pallets.ai.providers_types import (
    BOOKS_MAX,
    CHUNKS_MAX,
    ENDPOINT_MAX,
    FORMER_KEYS_MAX,
    MODEL_MAX,
    SERVICES_A_BOOK,
    TAGS_MAX,
    Chunk,
    Endpoint,
    FormerKey,
    Provider,
    ProviderId,
    ProviderPatch,
    ProvidersHoldReason,
    ProviderStats,
    PublishedBook,
    Retired,
    RetiredBook,
    RetiredProvider,
    RetiredService,
    Service,
    ServiceId,
    ServiceTerms,
    Version,
)
from chain.pallets.balances import BurnReason
from chain.pallets.session import Ed25519Public
from chain.params import DAY_MS

if TYPE_CHECKING:
    from chain.frame.machine import Machine

BOND: Final = ProvidersHoldReason.Bond
DEPOSIT: Final = ProvidersHoldReason.Deposit
KEY_MEMORY_MS: Final = 150 * DAY_MS
"""Longer than any session with its proofs lasts."""
ANNOUNCED_MAX_MS: Final = 365 * DAY_MS
VICTIM_PERCENT: Final = 30
REPORTER_PERCENT: Final = 20
PROVIDER_BYTES: Final = 600
SERVICE_BYTES: Final = 200
BOOK_KEY_BYTES: Final = 200
_NOTHING: Final = Balance(0)
_TERMS: Final = codec_of(ServiceTerms)

Services = Annotated[list[u64], MaxLen(SERVICES_A_BOOK), TypeName("BoundedVec<ServiceId>")]


class Clock(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class HeldMoney(Protocol):
    """Bonds and deposits; the Balances pallet."""

    def hold(self, reason: Any, who: AccountId, amount: Balance) -> None:
        """Set free money aside."""

    def release(self, reason: Any, who: AccountId, amount: Balance | None = None) -> Balance:
        """Give held money back."""

    def transfer_into_hold(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move free money of one account into what is held of another."""

    def transfer_held(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move held money into the free money of another account."""

    def burn_held(self, reason: Any, who: AccountId, amount: Balance, why: BurnReason) -> Balance:
        """Destroy held money."""

    def can_receive(self, who: AccountId, amount: Balance) -> bool:
        """Whether an account would accept a deposit."""


class Providers(Pallet, index=41, crate="pallet_providers"):
    """Who sells, what, at which prices, and with which bond behind its word."""

    HoldReason = ProvidersHoldReason
    Event = ProvidersEvents
    Error = ProvidersErrors

    providers: OptionMap[ProviderId, Provider] = storage_map(TWOX_64_CONCAT, doc="Who sells.")
    services: OptionMap[ServiceId, Service] = storage_map(TWOX_64_CONCAT, doc="What is offered.")
    books: OptionMap[tuple[ProviderId, Version], PublishedBook] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Price books, by provider and version."
    )
    stats: Map[ProviderId, ProviderStats] = storage_map(
        TWOX_64_CONCAT,
        default=lambda: ProviderStats(0, _NOTHING, _NOTHING, 0, _NOTHING, _NOTHING),
        doc="What the chain saw of a provider.",
    )
    cases: Map[ProviderId, u32] = storage_map(TWOX_64_CONCAT, doc="How many disputes run against a provider.")
    next_provider: Value[u64] = value(default=lambda: 1, doc="The number of the next provider; never used twice.")
    next_service: Value[u64] = value(default=lambda: 1, doc="The number of the next service; never used twice.")

    min_bond: Balance = constant(lambda env: env.params.provider_bond_min, doc="The least bond of who sells.")
    notice: Moment = constant(
        lambda env: env.params.notice_ms,
        doc="How long before it counts a dearer book, another payout or the end of a service is announced.",
    )
    unbonding: Moment = constant(
        lambda env: env.params.unbond_ms, name="UnbondingPeriod", doc="How long a bond can still be slashed."
    )
    max_endpoint: u32 = constant(ENDPOINT_MAX, doc="Most bytes of an endpoint.")
    max_model: u32 = constant(MODEL_MAX, doc="Most bytes of the name of a model.")
    max_tags: u32 = constant(TAGS_MAX, doc="Most tags of a service.")
    max_books: u16 = constant(BOOKS_MAX, doc="Most books of a provider at once.")
    max_chunks: u8 = constant(CHUNKS_MAX, doc="Most parts of a bond on their way out.")

    def __init__(self, machine: Machine, balances: HeldMoney, clock: Clock) -> None:
        super().__init__(machine)
        self._balances = balances
        self._clock = clock

    # --------------------------------------------------------------------------------------------- the provider

    @call(0)
    def register(
        self, origin: Origin, operator: Ed25519Public, payout: AccountId, endpoint: Endpoint, bond: CompactBalance
    ) -> None:
        """Sell from now on; the bond and a deposit are held of the caller."""
        owner = ensure_signed(origin)
        if bond < self.min_bond:
            raise self.Error.BondTooLow
        number = self.next_provider.get()
        self.next_provider.put(number + 1)
        held = deposit(PROVIDER_BYTES)
        self._balances.hold(BOND, owner, bond)
        self._balances.hold(DEPOSIT, owner, held)
        self.providers.put(
            number,
            Provider(owner, operator, payout, None, endpoint, bond, [], [], paused=False, deposit=held, books=0,
                     live_books=0, services=0, sessions=0),
        )  # fmt: skip
        self.emit(self.Event.ProviderRegistered(number, owner, operator, payout))

    @call(1)
    def update(self, origin: Origin, provider: ProviderId, patch: ProviderPatch) -> None:
        """Change the operator key, the endpoint or the pause at once, the payout after the notice.

        The operator may do all but the payout. What a former operator key signed can still be proved.
        """
        who = ensure_signed(origin)
        found = self.find(provider).copy()
        if who != found.owner and (who != found.operator or patch.payout is not None):
            raise self.Error.NotOwner
        now = self._clock.current_time()
        if patch.operator is not None and patch.operator != found.operator:
            self._change_operator(found, patch.operator, now)
        if patch.endpoint is not None:
            if len(patch.endpoint) > ENDPOINT_MAX:
                raise self.Error.TooLong
            found.endpoint = patch.endpoint
        if patch.paused is not None:
            found.paused = patch.paused
        if patch.payout is not None:
            found.payout = self._payout(found, now)
            found.next_payout = (patch.payout, Moment(now + self.notice))
            self.emit(self.Event.PayoutChangeScheduled(provider, *found.next_payout))
        self.providers.put(provider, found)
        self.emit(self.Event.ProviderUpdated(provider, found.operator, found.paused))

    @call(2)
    def bond(self, origin: Origin, provider: ProviderId, amount: CompactBalance) -> None:
        """Add to the bond of a provider, for its owner; anybody may."""
        who = ensure_signed(origin)
        found = self.find(provider).copy()
        self._balances.transfer_into_hold(BOND, who, found.owner, amount)
        found.bond = Balance(found.bond + amount)
        self.providers.put(provider, found)
        self.emit(self.Event.Bonded(provider, who, amount))

    @call(3)
    def unbond(self, origin: Origin, provider: ProviderId, amount: CompactBalance) -> None:
        """Start taking a part of the bond out; who keeps less than the least has to pause first."""
        found = self._owned(origin, provider).copy()
        left = found.bond - amount
        if amount == 0:
            raise self.Error.NothingToWithdraw
        if left < 0 or (left < self.min_bond and not found.paused):
            raise self.Error.BondTooLow
        if len(found.unbonding) >= CHUNKS_MAX:
            raise self.Error.TooMany
        free_at = Moment(self._clock.current_time() + self.unbonding)
        found.bond = Balance(left)
        found.unbonding = [*found.unbonding, Chunk(amount, free_at)]
        self.providers.put(provider, found)
        self.emit(self.Event.Unbonded(provider, amount, free_at))

    @call(4)
    def withdraw(self, origin: Origin, provider: ProviderId) -> None:
        """Take out what has waited long enough; with open sessions the least stays, with a dispute all of it.

        Anybody may ask for it.
        """
        ensure_signed(origin)
        found = self.find(provider).copy()
        now, kept, free = self._clock.current_time(), [], 0
        total = found.bond + sum(chunk.amount for chunk in found.unbonding)
        disputed = self.cases.get(provider) > 0
        for chunk in found.unbonding:
            leaves = total - free - chunk.amount
            if chunk.free_at <= now and not disputed and (not found.sessions or leaves >= self.min_bond):
                free += chunk.amount
            else:
                kept.append(chunk)
        if not free:
            raise self.Error.NothingToWithdraw
        found.unbonding = kept
        self.providers.put(provider, found)
        self._balances.release(BOND, found.owner, Balance(free))
        self.emit(self.Event.Withdrawn(provider, Balance(free)))

    # --------------------------------------------------------------------------------------------- services, books

    @call(5)
    def publish_service(
        self,
        origin: Origin,
        provider: ProviderId,
        service: Annotated[int | None, codec_of(u64 | None), TypeName("Option<ServiceId>")],
        terms: ServiceTerms,
    ) -> None:
        """Offer a service, or with its number change its terms; it needs a book before it can be paid."""
        found = self._run_by(origin, provider)
        if service is not None:
            before = self._service_of(provider, service).copy()
            before.terms = terms
            self.services.put(service, before)
        else:
            service = self.next_service.get()
            self.next_service.put(service + 1)
            held = deposit(SERVICE_BYTES)
            self._balances.hold(DEPOSIT, found.owner, held)
            self.services.put(service, Service(provider, terms, 0, None, None, held))
            found = found.copy()
            found.services += 1
            self.providers.put(provider, found)
        self.emit(self.Event.ServicePublished(service, provider))

    @call(6, units=lambda _, services, *__: len(services))
    def publish_book(
        self, origin: Origin, provider: ProviderId, services: Services, book: Book, effective_from: Moment
    ) -> None:
        """Publish a new version of prices for services; from now on, or from a time within a year.

        If any request might cost more than now, the time has to be at least the notice ahead.
        """
        found = self._run_by(origin, provider).copy()
        now = self._clock.current_time()
        effective_from = max(now, effective_from)
        if effective_from > now + ANNOUNCED_MAX_MS:
            raise self.Error.BadMoment
        if found.live_books >= BOOKS_MAX:
            raise self.Error.TooMany
        try:
            check_book(book)
        except BadBook:
            raise self.Error.BadBook from None
        version = found.books + 1
        if not services or sorted(set(services)) != services:
            raise self.Error.NoService
        for number in services:
            self._announce(provider, number, version, book, (now, effective_from))
        held = deposit(BOOK_KEY_BYTES + len(BOOK.encode(book)))
        self._balances.hold(DEPOSIT, found.owner, held)
        self.books.put((provider, version), PublishedBook(book, effective_from, services, 0, held))
        found.books = version
        found.live_books += 1
        self.providers.put(provider, found)
        self.emit(self.Event.BookPublished(provider, version, book_hash(book), effective_from))

    def _announce(self, provider: int, number: int, version: int, book: Book, times: tuple[Moment, Moment]) -> None:
        """Make `book` the next one of a service; `times` are now and from when it counts."""
        now, effective_from = times
        service = self._service_of(provider, number).copy()
        current = self.book_of(service, now)
        before = self.books.get((provider, current))
        if before is not None and effective_from < now + self.notice and may_raise(before.book, book):
            raise self.Error.NoticeTooShort
        if effective_from > now:
            service.book, service.next_book = current, (version, effective_from)
        else:
            service.book, service.next_book = version, None
        self.services.put(number, service)

    @call(7)
    def retire(self, origin: Origin, what: Retired) -> None:
        """Take a service, a book or a whole provider out of the registry and give its deposit back.

        A service is announced by its provider and may, like the other two, be removed by anybody once it is needed by
        nobody: after the notice; when no service or session uses the book; when nothing of the provider is left.
        """
        who = ensure_signed(origin)
        if isinstance(what, RetiredService):
            self._retire_service(who, what.service)
        elif isinstance(what, RetiredBook):
            self._retire_book(what.provider, what.version)
        elif isinstance(what, RetiredProvider):
            self._retire_provider(what.provider)

    def _retire_service(self, who: AccountId, number: int) -> None:
        service = self.services.get(number)
        if service is None:
            raise self.Error.NoService
        provider = self.find(service.provider)
        now = self._clock.current_time()
        if service.retires is None:
            if who not in (provider.owner, provider.operator):
                raise self.Error.NotOwner
            service = service.copy()
            service.retires = Moment(now + self.notice)
            self.services.put(number, service)
            self.emit(self.Event.ServiceRetiring(number, service.retires))
            return
        if now < service.retires:
            raise self.Error.StillNeeded
        self.services.remove(number)
        provider = provider.copy()
        provider.services -= 1
        self.providers.put(service.provider, provider)
        self._balances.release(DEPOSIT, provider.owner, service.deposit)
        self.emit(self.Event.ServiceRetired(number))

    def _retire_book(self, number: int, version: int) -> None:
        book = self.books.get((number, version))
        if book is None:
            raise self.Error.NoBook
        if book.sessions or self._is_in_force(version, book) or self._is_announced(version, book):
            raise self.Error.StillNeeded
        self.books.remove((number, version))
        provider = self.find(number).copy()
        provider.live_books -= 1
        self.providers.put(number, provider)
        self._balances.release(DEPOSIT, provider.owner, book.deposit)
        self.emit(self.Event.BookRetired(number, version))

    def _retire_provider(self, number: int) -> None:
        provider = self.find(number)
        if provider.bond or provider.unbonding or provider.sessions or provider.services or provider.live_books:
            raise self.Error.StillNeeded
        self.providers.remove(number)
        self.stats.remove(number)
        self._balances.release(DEPOSIT, provider.owner, provider.deposit)
        self.emit(self.Event.ProviderRetired(number))

    # --------------------------------------------------------------------------------------------- reading

    def find(self, provider: int) -> Provider:
        """Return a provider.

        Raises:
            NoProvider: there is none of that number.
        """
        found = self.providers.get(provider)
        if found is None:
            raise self.Error.NoProvider
        return found

    def payout_of(self, provider: int) -> AccountId | None:
        """Return where a provider is paid now, None where there is no such provider."""
        found = self.providers.get(provider)
        return None if found is None else self._payout(found, self._clock.current_time())

    def is_run_by(self, provider: int, who: AccountId) -> bool:
        """Whether an account is the owner or the operator of a provider."""
        found = self.providers.get(provider)
        return found is not None and who in (found.owner, found.operator)

    def keys_since(self, provider: int, time: Moment) -> list[bytes]:
        """Return the operator keys that a provider has or had since a time."""
        found = self.find(provider)
        former = [row.key for row in found.former_keys if time <= row.until + CLOCK_SLACK_MS]
        return [found.operator, *former]

    def book_of(self, service: Service, now: Moment) -> int:
        """Return the version of a service's book that is in force, 0 for none."""
        upcoming = service.next_book
        return upcoming[0] if upcoming is not None and upcoming[1] <= now else service.book

    def prices_of(self, provider: int, version: int) -> Book:
        """Return a book that sessions are bound to.

        Raises:
            NoBook: there is none.
        """
        found = self.books.get((provider, version))
        if found is None:
            raise self.Error.NoBook
        return found.book

    @staticmethod
    def _payout(provider: Provider, now: Moment) -> AccountId:
        change = provider.next_payout
        return change[0] if change is not None and change[1] <= now else provider.payout

    def _is_in_force(self, version: int, book: PublishedBook) -> bool:
        """Whether a book counts now for a service that is offered."""
        now = self._clock.current_time()
        found = [service for number in book.services if (service := self.services.get(number)) is not None]
        return any(
            self.book_of(service, now) == version and (service.retires is None or now < service.retires)
            for service in found
        )

    def _is_announced(self, version: int, book: PublishedBook) -> bool:
        found = [service for number in book.services if (service := self.services.get(number)) is not None]
        return any(service.next_book is not None and service.next_book[0] == version for service in found)

    def _owned(self, origin: Any, provider: int) -> Provider:
        found = self.find(provider)
        if ensure_signed(origin) != found.owner:
            raise self.Error.NotOwner
        return found

    def _run_by(self, origin: Any, provider: int) -> Provider:
        found = self.find(provider)
        if ensure_signed(origin) not in (found.owner, found.operator):
            raise self.Error.NotOwner
        return found

    def _service_of(self, provider: int, number: int) -> Service:
        service = self.services.get(number)
        if service is None or service.provider != provider or service.retires is not None:
            raise self.Error.NoService
        return service

    def _change_operator(self, provider: Provider, key: bytes, now: Moment) -> None:
        former = [row for row in provider.former_keys if now < row.until + KEY_MEMORY_MS]
        if len(former) >= FORMER_KEYS_MAX:
            raise self.Error.TooMany
        provider.former_keys = [*former, FormerKey(provider.operator, now)]
        provider.operator = key

    # --------------------------------------------------------------------------------------------- for other pallets

    def bind(self, number: int, version: int) -> None:
        """Count a session that is opened under a book.

        Raises:
            NoProvider, NoBook: there is none.
            Paused, BondTooLow: the provider takes no sessions.
            BookMismatch: the book is not in force.
        """
        provider = self.find(number)
        if provider.paused:
            raise self.Error.Paused
        if provider.bond < self.min_bond:
            raise self.Error.BondTooLow
        book = self.books.get((number, version))
        if book is None:
            raise self.Error.NoBook
        if not self._is_in_force(version, book):
            raise self.Error.BookMismatch
        self._count(number, version, provider, book, 1)
        stats = self.stats.get(number).copy()
        stats.sessions += 1
        self.stats.put(number, stats)

    def unbind(self, number: int, version: int) -> None:
        """Note that a session under a book is over and nothing can be proved about it any more."""
        book = self.books.get((number, version))
        if book is not None:
            self._count(number, version, self.find(number), book, -1)

    def _count(self, number: int, version: int, provider: Provider, book: PublishedBook, by: int) -> None:
        provider, book = provider.copy(), book.copy()
        provider.sessions += by
        book.sessions += by
        self.providers.put(number, provider)
        self.books.put((number, version), book)

    def note_settled(self, number: int, amount: int, unacked: int) -> None:
        """Note what a provider was paid by a session, and how much of that the payer did not countersign."""
        stats = self.stats.get(number).copy()
        stats.settled = Balance(stats.settled + amount)
        stats.unacked = Balance(stats.unacked + unacked)
        self.stats.put(number, stats)

    def note_refunded(self, number: int, amount: int) -> None:
        """Note what a provider gave back."""
        stats = self.stats.get(number).copy()
        stats.refunded = Balance(stats.refunded + amount)
        self.stats.put(number, stats)

    def people_of(self, number: int) -> tuple[AccountId, ...]:
        """Return owner, operator and payout, none where there is no such provider."""
        found = self.providers.get(number)
        if found is None:
            return ()
        return found.owner, AccountId(found.operator), self._payout(found, self._clock.current_time())

    def case_begins(self, number: int) -> None:
        """Keep the bond of a provider from being taken out while a dispute runs."""
        self.cases.put(number, self.cases.get(number) + 1)

    def case_ends(self, number: int) -> None:
        """Note that a dispute is over."""
        left = self.cases.get(number) - 1
        if left > 0:
            self.cases.put(number, left)
        else:
            self.cases.remove(number)

    def award(self, number: int, amount: Balance, to: AccountId) -> Balance:
        """Pay somebody out of a provider's bond, as far as it goes; return how much."""
        if not amount or not self.providers.contains(number) or not self._balances.can_receive(to, amount):
            return Balance(0)
        provider, taken = self._take(number, amount)
        if taken:
            self._balances.transfer_held(BOND, provider.owner, to, taken)
        return taken

    def _take(self, number: int, most: int) -> tuple[Provider, Balance]:
        """Lower a provider's bond, then what is on its way out, latest first; the caller moves what is held."""
        provider = self.find(number).copy()
        chunks = list(provider.unbonding)
        taken = min(most, provider.bond + sum(chunk.amount for chunk in chunks))
        left = taken - min(taken, provider.bond)
        provider.bond = Balance(provider.bond - (taken - left))
        while left:
            last = chunks.pop()
            part = min(left, last.amount)
            left -= part
            if part < last.amount:
                chunks.append(Chunk(Balance(last.amount - part), last.free_at))
        provider.unbonding = chunks
        self.providers.put(number, provider)
        return provider, Balance(taken)

    def slash(self, number: int, damage: Balance, victim: AccountId, reporter: AccountId) -> Balance:
        """Take `max(5 * damage, 10 AIT)` from a provider's bond, or what is left of it; return how much that was.

        The victim gets its damage and 30 % of the slash, the reporter 20 %, the rest is burned.
        """
        provider, taken = self._take(number, slash_for(damage))
        to_victim = min(taken, damage + taken * VICTIM_PERCENT // 100)
        to_reporter = min(taken - to_victim, taken * REPORTER_PERCENT // 100)
        for who, amount in ((victim, to_victim), (reporter, to_reporter)):
            if amount and self._balances.can_receive(who, Balance(amount)):
                self._balances.transfer_held(BOND, provider.owner, who, Balance(amount))
            else:
                self._balances.burn_held(BOND, provider.owner, Balance(amount), BurnReason.Slash)
        rest = Balance(taken - to_victim - to_reporter)
        self._balances.burn_held(BOND, provider.owner, rest, BurnReason.Slash)
        stats = self.stats.get(number).copy()
        stats.slashes += 1
        stats.slashed = Balance(stats.slashed + taken)
        self.stats.put(number, stats)
        self.emit(self.Event.Slashed(number, Balance(taken), Balance(to_victim), Balance(to_reporter)))
        return Balance(taken)
