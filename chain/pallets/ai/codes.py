"""Codes: coupons, gift links and spend-only credit, claimed without having anything.

A sponsor puts down the value of a batch of codes. Each code is an ed25519 key; the chain knows the root of their tree.
Who holds the key names the account that gets the value, and signs that:

* A copied claim still pays the account it names; a code pays once; nobody but the key's holder can change anything.
* A claim needs neither balance nor account: it comes without an outer signature, and it enters pool and block only if
  it would succeed. Its price is held of the sponsor from the start and burned with the claim, so who floods the chain
  with claims pays for them. Such calls fill a small share of a block; more of them wait, or pay a fee like any call.
* A gift link is a batch of one. A code that was lost is made void before it is claimed.
* Codes for persons are claimed by accounts that count as persons (`chain.pallets.ai.attest`), one of a batch each.
* Credit is not the holder's money: it stays held of the sponsor and goes to providers the batch names, by orders the
  holder signs. What is unspent in the end is the sponsor's again.

At any time, for each sponsor

    held(Funded)  == sum of unused codes * (value + fee) + sum of what is left of credits
    held(Deposit) == sum of deposits of batches

Source: payments paper, section 5.15; `docs/spec/codes.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.hints import Bytes32, u8, u32, u64
from aitoken.crypto import ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import verify_by_wallet
from aitoken.pay.codes import COUNT_MAX, claim_bytes, depth_of, has_work, root_from, spend_bytes
from aitoken.types import AIT, AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import Call, PostInfo, call
from chain.frame.errors import BadProof, DispatchError, InvalidTransaction, Stale, WouldFail
from chain.frame.executive import ValidTransaction
from chain.frame.origin import Origin, ensure_signed
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, OptionMap, Value, storage_map, value
from chain.frame.types import CompactBalance, DispatchClass, MultiSignature
from chain.pallets.ai.attest_types import KEYS_A_PERSON
from chain.pallets.ai.codes_events import CodesErrors, CodesEvents
from chain.pallets.ai.codes_types import (
    PAGE_BYTES,
    PAGE_CODES,
    WORK_MAX,
    Batch,
    CodeIndex,
    CodesHoldReason,
    Credit,
    ForPersons,
    Held,
    Indices,
    Page,
    Path,
    Signature64,
    Terms,
    Tokens,
)
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.free_lane import LONGEVITY, PRIORITY, FreeLane
from chain.pallets.ai.pay_types import Reference
from chain.pallets.balances import BurnReason

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

FEE: Final = Balance(AIT // 200)
"""What a claim or an order of a credit costs; the sponsor has put it down, it is burned."""
LIFETIME_MS: Final = 2 * 365 * 86_400_000
CREDITS_MAX: Final = 4_096
"""Most codes of a batch of credit: each has an entry of its own."""
SWEPT_A_CALL: Final = 64
CLOSE_UNITS_MAX: Final = SWEPT_A_CALL + CREDITS_MAX // PAGE_CODES
"""Entries one `close` removes at most; a batch of tokens has up to 64 pages."""
BATCH_BYTES: Final = 180 + 8 * 16
PAGE_KEY_BYTES: Final = 32
CREDIT_BYTES: Final = 80
TAKER_BYTES: Final = 100

CLAIM: Final = "claim"
CLAIM_AS_PERSON: Final = "claim_as_person"

DEPOSIT: Final = CodesHoldReason.Deposit
FUNDED: Final = CodesHoldReason.Funded


class CodeRefused(WouldFail):
    """A claim or an order of a credit would fail; the message names the error."""

    code = "transaction.code"


class Genesis(Protocol):
    """What names this chain."""

    def hash_of(self, number: int) -> Hash32 | None:
        """The hash of a recent block, and of genesis."""


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class PayoutBook(Protocol):
    """Where providers are paid; the Providers pallet."""

    def payout_of(self, provider: int) -> AccountId | None:
        """The account, None where there is no such provider."""


class Persons(Protocol):
    """Who is a person; the Attest pallet."""

    def is_person(self, account: AccountId, scope: bytes, issuers: int = 1) -> bool:
        """Whether so many issuers vouch for that."""


class Codes(Pallet, index=47, crate="pallet_codes"):
    """Coupons, gift links and spend-only credit, claimed without having anything."""

    HoldReason = CodesHoldReason

    batches: OptionMap[u64, Batch] = storage_map(TWOX_64_CONCAT, doc="Batches of codes.")
    pages: OptionMap[tuple[u64, u32], Page] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="Which codes were claimed or made void: a bit each, 1024 codes a page."
    )
    credits: OptionMap[tuple[u64, CodeIndex], Held] = storage_map(
        TWOX_64_CONCAT, TWOX_64_CONCAT, doc="What is left of claimed credit; who has had a code for persons."
    )
    takers: OptionMap[tuple[u64, AccountId], CodeIndex] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="Persons that have had a code of a batch, and which."
    )
    next_batch: Value[u64] = value(doc="The number of the next batch; never used twice.")

    claim_fee: Balance = constant(FEE, name="ClaimFee", doc="What a claim or an order of a credit costs the sponsor.")
    max_count: u32 = constant(COUNT_MAX, doc="Most codes of a batch of tokens.")
    max_credits: u32 = constant(CREDITS_MAX, doc="Most codes of a batch of credit.")
    lifetime: u64 = constant(LIFETIME_MS, doc="How far ahead a batch may end, in milliseconds.")

    Event = CodesEvents
    Error = CodesErrors

    def __init__(
        self,
        machine: Machine,
        balances: Balances,
        genesis: Genesis,
        clock: Now,
        providers: PayoutBook,
        persons: Persons,
    ) -> None:
        super().__init__(machine)
        self._balances = balances
        self._genesis = genesis
        self._clock = clock
        self._providers = providers
        self._persons = persons
        self._lane = FreeLane(machine)
        self._verified: tuple[object, ...] = ()
        """The last signature that was found good: what is let in and then made is verified once."""

    # --------------------------------------------------------------------------------------------- the sponsor's

    @call(0)
    def create(
        self, origin: Origin, root: Hash32, count: u32, value: CompactBalance, expires: Moment, work: u8, terms: Terms
    ) -> None:
        """Put down value and fee of `count` codes whose keys' tree has this root."""
        sponsor = ensure_signed(origin)
        is_credit, has_entries = isinstance(terms, Credit), not isinstance(terms, Tokens)
        if isinstance(terms, Credit) and (
            not terms.providers or len(set(terms.providers)) != len(terms.providers) or not self._is_ahead(terms.until)
        ):
            raise self.Error.BadTerms
        if isinstance(terms, ForPersons) and not 1 <= terms.issuers <= KEYS_A_PERSON:
            raise self.Error.BadTerms
        if (
            not 1 <= count <= (CREDITS_MAX if has_entries else COUNT_MAX)
            or work > WORK_MAX
            or not self._is_ahead(expires)
        ):
            raise self.Error.BadTerms
        if value < (FEE + 1 if is_credit else self._balances.existential_deposit):
            raise self.Error.BadTerms
        held = batch_deposit(count, terms)
        self._balances.hold(DEPOSIT, sponsor, held)
        self._balances.hold(FUNDED, sponsor, Balance(count * (value + FEE)))
        number = self.next_batch.get()
        self.next_batch.put(number + 1)
        self.batches.put(number, Batch(sponsor, held, root, value, count, 0, expires, work, terms, 0))
        self.emit(self.Event.Created(number, sponsor, root, value, count, expires, terms))

    @call(1, units=lambda _, indices: len(indices))
    def void(self, origin: Origin, batch: u64, indices: Indices) -> None:
        """Make codes void that nobody has claimed; what stood behind them is the sponsor's again."""
        found = self._batch(batch)
        if ensure_signed(origin) != found.sponsor:
            raise self.Error.NotSponsor
        for index in indices:
            self._use(batch, found, index)
        found = found.copy()
        found.used += len(indices)
        self.batches.put(batch, found)
        self._balances.release(FUNDED, found.sponsor, Balance(len(indices) * (found.value + FEE)))
        self.emit(self.Event.Voided(batch, indices))

    @call(2, units=lambda _: CLOSE_UNITS_MAX)
    def close(self, origin: Origin, batch: u64) -> PostInfo:
        """End a batch that is over: by anybody; what is left is the sponsor's again.

        Credit and codes for persons are looked through 64 a call, so a large batch of them takes several.
        """
        ensure_signed(origin)
        found = self._batch(batch).copy()
        if not self._is_over(found):
            raise self.Error.NotOver
        has_entries = not isinstance(found.terms, Tokens)
        done = self._sweep(batch, found) if has_entries else 0
        if has_entries and found.swept < found.count:
            self.batches.put(batch, found)
            return PostInfo(self.cost_of("close").at(done))
        for page in range(-(-found.count // PAGE_CODES)):
            self.pages.remove((batch, page))
            done += 1
        self.batches.remove(batch)
        self._balances.release(FUNDED, found.sponsor, Balance((found.count - found.used) * (found.value + FEE)))
        self._balances.release(DEPOSIT, found.sponsor, found.deposit)
        self.emit(self.Event.Closed(batch))
        return PostInfo(self.cost_of("close").at(done))

    # --------------------------------------------------------------------------------------------- the holder's

    @call(3, dispatch_class=DispatchClass.Operational)
    def claim(
        self,
        origin: Origin,
        batch: u64,
        index: CodeIndex,
        key: Bytes32,
        proof: Path,
        claimant: AccountId,
        work: u64,
        signature: Signature64,
    ) -> None:
        """Have the value of a code given to the claimant its key names; needs no outer signature and then no fee."""
        self._claim(CLAIM, origin, batch, index, key, proof, claimant, work, signature)

    @call(4, dispatch_class=DispatchClass.Operational)
    def spend(
        self,
        origin: Origin,
        batch: u64,
        index: CodeIndex,
        provider: u64,
        amount: CompactBalance,
        reference: Reference,
        signature: MultiSignature,
    ) -> None:
        """Have a provider paid out of a credit, as its holder signs; needs no outer signature and then no fee.

        The fee comes out of the credit.
        """
        self._lane.let_in(origin, self.cost_of("spend").base)
        found, held, payout = self._check_spend(batch, index, provider, amount, reference, signature)
        left = Balance(held.left - amount - FEE)
        if left:
            self.credits.put((batch, index), Held(held.holder, left))
        else:
            self.credits.remove((batch, index))
        self._burn_fee(found.sponsor)
        self._balances.transfer_held(FUNDED, found.sponsor, payout, amount)
        self.emit(self.Event.CreditSpent(batch, index, held.holder, provider, amount, left, reference))

    @call(5, dispatch_class=DispatchClass.Operational)
    def claim_as_person(
        self,
        origin: Origin,
        batch: u64,
        index: CodeIndex,
        key: Bytes32,
        proof: Path,
        claimant: AccountId,
        work: u64,
        signature: Signature64,
    ) -> None:
        """Do the same for a code that is for persons; to look at who vouches for one costs more than the rest."""
        self._claim(CLAIM_AS_PERSON, origin, batch, index, key, proof, claimant, work, signature)

    def _claim(
        self, name: str, origin: Origin, batch: int, index: int, key: bytes, proof: list[Hash32], claimant: AccountId,
        work: int, signature: bytes,
    ) -> None:  # fmt: skip
        """Give what a code is worth to its claimant."""
        self._lane.let_in(origin, self.cost_of(name).base)
        found = self._check_claim(name, batch, index, key, proof, claimant, work, signature)
        self._use(batch, found, index)
        sponsor, value, terms = found.sponsor, found.value, found.terms
        found = found.copy()
        found.used += 1
        self.batches.put(batch, found)
        self._burn_fee(sponsor)
        if isinstance(terms, ForPersons):
            self.credits.put((batch, index), Held(claimant, Balance(0)))
            self.takers.put((batch, claimant), index)
        if isinstance(terms, Credit):
            self.credits.put((batch, index), Held(claimant, value))
        else:
            self._balances.transfer_held(FUNDED, sponsor, claimant, value)
        self.emit(self.Event.Claimed(batch, index, claimant, value))

    # --------------------------------------------------------------------------------------------- without a fee

    def check_unsigned(self, call: Call) -> ValidTransaction:
        """Let a claim or an order in that would succeed.

        Raises:
            LaneFull: there is no more room for it in this block.
            Stale: the code was used.
            BadProof: the signature is not that of the code's key, or of the credit's holder.
            CodeRefused: it would fail for another reason.
        """
        if call.info.name not in (CLAIM, CLAIM_AS_PERSON, "spend"):
            raise InvalidTransaction
        self._lane.check_room(self.cost_of(call.info.name).base)
        batch, index = call.args[:2]
        try:
            if call.info.name == "spend":
                state = self._check_spend(*call.args)[1].left.to_bytes(16, "little")
            else:
                self._check_claim(call.info.name, *call.args)
                state = b""
        except self.Error.AlreadyUsed:
            raise Stale from None
        except self.Error.BadSignature:
            raise BadProof from None
        except DispatchError as error:
            raise CodeRefused(error.code) from None
        tag = blake2_256(b"code" + batch.to_bytes(8, "little") + index.to_bytes(4, "little") + state)
        return ValidTransaction(PRIORITY, (), (tag,), LONGEVITY)

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - the same for every block
        """Let claims and orders in anew; that costs nothing."""
        self._lane.begin_block()
        return 0

    # --------------------------------------------------------------------------------------------- the rules

    def _check_claim(
        self, name: str, batch: int, index: int, key: bytes, proof: list[Hash32], claimant: AccountId, work: int,
        signature: bytes,
    ) -> Batch:  # fmt: skip
        """Return the batch of a claim that is good. What is cheap is checked first."""
        found = self._batch(batch)
        if self._clock.current_time() >= found.expires:
            raise self.Error.Expired
        if index >= found.count or len(proof) != depth_of(found.count):
            raise self.Error.BadCode
        if self._is_used(batch, index):
            raise self.Error.AlreadyUsed
        terms = found.terms
        if isinstance(terms, ForPersons):
            if name != CLAIM_AS_PERSON:
                raise self.Error.NotPerson
            if self.takers.contains((batch, claimant)):
                raise self.Error.HadOne
            if not self._persons.is_person(claimant, terms.scope, terms.issuers):
                raise self.Error.NotPerson
        message = claim_bytes(self._genesis_hash(), batch, index, claimant)
        if not has_work(message, work, found.work):
            raise self.Error.WorkTooWeak
        if root_from(index, key, proof) != found.root:
            raise self.Error.BadCode
        seal = (key, message, signature)
        if seal != self._verified and not ed25519.verify(signature, message, key):
            raise self.Error.BadSignature
        self._verified = seal
        return found

    def _check_spend(
        self, batch: int, index: int, provider: int, amount: Balance, reference: bytes, signature: MultiSignature
    ) -> tuple[Batch, Held, AccountId]:
        """Return batch, credit and payee of an order that is good."""
        found, held = self._batch(batch), self.credits.get((batch, index))
        terms = found.terms
        if held is None or not isinstance(terms, Credit):
            raise self.Error.NoCredit
        if self._clock.current_time() >= terms.until:
            raise self.Error.Expired
        if not amount or amount + FEE > held.left:
            raise self.Error.OverCredit
        payout = self._providers.payout_of(provider) if provider in terms.providers else None
        if payout is None or not self._balances.can_receive(payout, amount):
            raise self.Error.NotForProvider
        message = spend_bytes(self._genesis_hash(), batch, index, held.left, provider, amount, reference)
        kind, signed = signature.scale_index, getattr(signature, "signature", b"")
        seal = (held.holder, message, signed, kind)
        if seal != self._verified and not verify_by_wallet(kind, signed, message, held.holder):
            raise self.Error.BadSignature
        self._verified = seal
        return found, held, payout

    def _batch(self, batch: int) -> Batch:
        found = self.batches.get(batch)
        if found is None:
            raise self.Error.NoBatch
        return found

    def _is_ahead(self, time: Moment) -> bool:
        now = self._clock.current_time()
        return now < time <= now + LIFETIME_MS

    def _is_over(self, batch: Batch) -> bool:
        """Whether nobody can claim or spend anything any more."""
        now, terms = self._clock.current_time(), batch.terms
        no_claims = batch.used == batch.count or now >= batch.expires
        return no_claims and (not isinstance(terms, Credit) or now >= terms.until)

    def _is_used(self, batch: int, index: int) -> bool:
        page = self.pages.get((batch, index // PAGE_CODES))
        at = index % PAGE_CODES
        return page is not None and bool(page[at // 8] >> at % 8 & 1)

    def _use(self, batch: int, found: Batch, index: int) -> None:
        """Mark a code as used."""
        if index >= found.count:
            raise self.Error.BadCode
        if self._is_used(batch, index):
            raise self.Error.AlreadyUsed
        place, at = (batch, index // PAGE_CODES), index % PAGE_CODES
        page = bytearray(self.pages.get(place) or bytes(PAGE_BYTES))
        page[at // 8] |= 1 << at % 8
        self.pages.put(place, bytes(page))

    def _sweep(self, batch: int, found: Batch) -> int:
        """Give the sponsor back what is left of the next credits; return how many codes were looked at."""
        first, end = found.swept, min(found.count, found.swept + SWEPT_A_CALL)
        rows = [self.credits.take((batch, index)) for index in range(first, end)]
        if isinstance(found.terms, ForPersons):
            for row in rows:
                if row is not None:
                    self.takers.remove((batch, row.holder))
        self._balances.release(FUNDED, found.sponsor, Balance(sum(row.left for row in rows if row is not None)))
        found.swept = end
        return end - first

    def _burn_fee(self, sponsor: AccountId) -> None:
        self._balances.take_held(FUNDED, sponsor, FEE)
        self._balances.rescind(FEE, BurnReason.Fee)

    def _genesis_hash(self) -> Hash32:
        return self._genesis.hash_of(0) or Hash32(bytes(32))


def batch_deposit(count: int, terms: Terms) -> Balance:
    """Return the deposit for a batch of so many codes."""
    pages = -(-count // PAGE_CODES) * deposit(PAGE_BYTES + PAGE_KEY_BYTES)
    size = 0 if isinstance(terms, Tokens) else CREDIT_BYTES + isinstance(terms, ForPersons) * TAKER_BYTES
    return Balance(deposit(BATCH_BYTES) + pages + (count * deposit(size) if size else 0))
