"""Pay: payments in one go: to an account, split or provider; by signed authorisation; by invoice; against a secret.

* A signed authorisation (`AITPaut1`) names payer, payee, sum and time and is used at most once; whoever submits it
  pays the fee and can change nothing but, where it is not `exact`, pay less. Its nonce stays known until it could no
  longer be valid anyway.
* An invoice is paid once, in the token at the price of the block; the payer says the most it may cost.
* A split divides by cumulative floors: the recipients before any point have together exactly the floor of their part,
  so the pieces add up to the payment to the unit.
* A lock holds money for the payee until somebody shows the preimage of its hash (a key that opens what was sold);
  after the deadline, or when the payee gives up, it is the payer's again.

Every stored object has a deposit behind it. Money stays held in the payer's account until it moves, so at any time

    held(Locked, who) == sum of locks of who          held(Deposit, who) == sum of deposits of who

Source: payments paper, sections 5.4 and 6.1; `docs/spec/pay-plans-allowances.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.hints import Bytes32, u32, u64
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import verify_multi
from aitoken.pay.layouts import Authorization
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.calls import PostInfo, call
from chain.frame.origin import Origin, ensure_signed
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, OptionMap, Value, storage_map, value
from chain.frame.types import CompactBalance, LookupSource, MultiSignature, lookup
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.pay_events import PayErrors, PayEvents
from chain.pallets.ai.pay_types import (
    BPS,
    RECIPIENTS_MAX,
    AuthorizationTerms,
    Currency,
    Invoice,
    Lock,
    Payee,
    PayHoldReason,
    Reference,
    Shares,
    Split,
    ToAccount,
    ToSplit,
    UsedNonce,
)

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances

AUTHORIZATION_LIFETIME_MS: Final = 7 * 86_400_000
LOCK_LIFETIME_MS: Final = 365 * 86_400_000
DEAD_NONCES_A_USE: Final = 2
"""Every use of an authorisation removes up to two nonces that are no longer needed, so their number cannot run away."""
CLEARED_MAX: Final = 64
AUTHORIZATION_BYTES: Final = 200
INVOICE_BYTES: Final = 160
SPLIT_BYTES: Final = 80
SHARE_BYTES: Final = 34
LOCK_BYTES: Final = 200
QUOTE_ONE: Final = 10**12
"""Amounts of a currency are in units of 10^-12; a rate is what one whole of it costs."""

DEPOSIT: Final = PayHoldReason.Deposit
LOCKED: Final = PayHoldReason.Locked


class Genesis(Protocol):
    """What names this chain."""

    def hash_of(self, number: int) -> Hash32 | None:
        """The hash of a recent block, and of genesis."""


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Rates(Protocol):
    """What a currency costs; the Oracle pallet."""

    def rate(self, currency: int) -> int | None:
        """Units of the token for one whole of a currency, None where nobody knows it now."""


class PayoutBook(Protocol):
    """Where providers are paid; the Providers pallet."""

    def payout_of(self, provider: int) -> AccountId | None:
        """The account, None where there is no such provider."""


class Pay(Pallet, index=43, crate="pallet_pay"):
    """Payments in one go: to accounts, splits and providers, by authorisation, by invoice, against a secret."""

    HoldReason = PayHoldReason

    used_nonces: OptionMap[tuple[AccountId, Bytes32], UsedNonce] = storage_map(
        BLAKE2_128_CONCAT, BLAKE2_128_CONCAT, doc="Nonces of signed authorisations that were used or cancelled."
    )
    nonce_queue: OptionMap[u64, tuple[AccountId, Bytes32]] = storage_map(
        TWOX_64_CONCAT, doc="The same in the order of their use, to be forgotten from the front."
    )
    nonce_front: Value[u64] = value(doc="The first place of the queue that is taken.")
    nonce_end: Value[u64] = value(doc="The first place of the queue that is free.")
    splits: OptionMap[u64, Split] = storage_map(TWOX_64_CONCAT, doc="Splits.")
    invoices: OptionMap[u64, Invoice] = storage_map(TWOX_64_CONCAT, doc="Invoices that are not paid.")
    hashlocks: OptionMap[u64, Lock] = storage_map(TWOX_64_CONCAT, doc="Money waiting for a preimage.")
    next_id: Value[u64] = value(doc="The number of the next split, invoice or lock; never used twice.")

    max_recipients: u32 = constant(RECIPIENTS_MAX, doc="Most recipients of a split.")
    authorization_lifetime: u64 = constant(
        AUTHORIZATION_LIFETIME_MS, doc="How far ahead an authorisation may end, in milliseconds."
    )
    lock_lifetime: u64 = constant(LOCK_LIFETIME_MS, doc="How far ahead the deadline of a lock may be, in milliseconds.")

    Event = PayEvents
    Error = PayErrors

    def __init__(
        self,
        machine: Machine,
        balances: Balances,
        genesis: Genesis,
        clock: Now,
        rates: Rates,
        providers: PayoutBook,
    ) -> None:
        super().__init__(machine)
        self._balances = balances
        self._genesis = genesis
        self._clock = clock
        self._rates = rates
        self._providers = providers

    # --------------------------------------------------------------------------------------------- payments

    @call(0, units=lambda *_: RECIPIENTS_MAX)
    def pay(
        self, origin: Origin, to: Payee, amount: CompactBalance, memo_hash: Hash32, reference: Reference
    ) -> PostInfo:
        """Pay an account, a split or a provider; memo and reference tell the payee what for."""
        payer = ensure_signed(origin)
        shares = self.deliver(payer, to, amount)
        self.emit(self.Event.Paid(payer, to, amount, memo_hash, reference))
        return PostInfo(self.cost_of("pay").at(shares))

    @call(1)
    def execute_authorization(
        self, origin: Origin, authorization: AuthorizationTerms, signature: MultiSignature, amount: CompactBalance
    ) -> None:
        """Carry out what a payer signed; whoever submits it pays the fee, and a deposit until it is forgotten."""
        relayer, terms, now = ensure_signed(origin), authorization, self._clock.current_time()
        if terms.asset:
            raise self.Error.UnknownAsset
        if not 0 < amount <= terms.maximum or (terms.exact and amount != terms.maximum):
            raise self.Error.OverMaximum
        if now < terms.valid_after:
            raise self.Error.NotYetValid
        if now >= terms.valid_before:
            raise self.Error.Expired
        if terms.valid_before > now + AUTHORIZATION_LIFETIME_MS:
            raise self.Error.LivesTooLong
        if self.used_nonces.contains((terms.payer, terms.nonce)):
            raise self.Error.NonceUsed
        if not verify_multi(signature.scale_index, _bytes_of(signature), self.signed_bytes(terms), terms.payer):
            raise self.Error.BadSignature
        self._use_nonce(terms.payer, terms.nonce, terms.valid_before, relayer)
        self._balances.transfer(terms.payer, terms.payee, amount, keep_alive=True)
        self.emit(self.Event.AuthorizationUsed(terms.payer, terms.payee, amount, terms.nonce, terms.memo_hash, relayer))

    @call(2)
    def cancel_authorization(self, origin: Origin, nonce: Bytes32) -> None:
        """Make all authorisations of the caller with this nonce void."""
        payer = ensure_signed(origin)
        if self.used_nonces.contains((payer, nonce)):
            raise self.Error.NonceUsed
        self._use_nonce(payer, nonce, Moment(self._clock.current_time() + AUTHORIZATION_LIFETIME_MS), payer)
        self.emit(self.Event.NonceCancelled(payer, nonce))

    @call(3, units=lambda count: min(count, CLEARED_MAX))
    def clear_nonces(self, origin: Origin, count: u32) -> None:
        """Forget up to `count` nonces (at most 64) that can no longer matter; their deposits go back."""
        ensure_signed(origin)
        self._forget_nonces(min(count, CLEARED_MAX))

    # --------------------------------------------------------------------------------------------- splits

    @call(4, units=len)
    def create_split(self, origin: Origin, shares: Shares) -> None:
        """Make a split that can be paid like an account. It never changes; make another one instead."""
        owner = ensure_signed(origin)
        if len({share.who for share in shares}) != len(shares) or not all(share.bps for share in shares):
            raise self.Error.BadShares
        if sum(share.bps for share in shares) != BPS:
            raise self.Error.BadShares
        if not all(self._balances.can_receive(share.who, Balance(0)) for share in shares):
            raise self.Error.NoRecipient
        held = self._put_down(owner, SPLIT_BYTES + SHARE_BYTES * len(shares))
        split = self._new_id()
        self.splits.put(split, Split(owner, held, shares))
        self.emit(self.Event.SplitCreated(split, owner))

    @call(5)
    def remove_split(self, origin: Origin, split: u64) -> None:
        """Remove a split; its deposit goes back."""
        owner = ensure_signed(origin)
        found = self._split(split)
        if found.owner != owner:
            raise self.Error.NotOwner
        self.splits.remove(split)
        self._balances.release(DEPOSIT, owner, found.deposit)
        self.emit(self.Event.SplitRemoved(split))

    # --------------------------------------------------------------------------------------------- invoices

    @call(6)
    def create_invoice(
        self, origin: Origin, to: Payee, currency: Currency, amount: CompactBalance, due: Moment, terms_hash: Hash32
    ) -> None:
        """Ask for an amount, in units of 10^-12 of the currency (0 is the token), payable until `due`."""
        issuer = ensure_signed(origin)
        if amount == 0:
            raise self.Error.NothingToPay
        self._check_deadline(due)
        if isinstance(to, ToSplit):
            self._split(to.split)
        held = self._put_down(issuer, INVOICE_BYTES)
        invoice = self._new_id()
        self.invoices.put(invoice, Invoice(issuer, held, to, currency, amount, due, terms_hash))
        self.emit(self.Event.InvoiceCreated(invoice, issuer, currency, amount, due))

    @call(7, units=lambda *_: RECIPIENTS_MAX)
    def pay_invoice(self, origin: Origin, invoice: u64, maximum: CompactBalance) -> PostInfo:
        """Pay an invoice if it costs no more than `maximum` now."""
        payer = ensure_signed(origin)
        found = self._invoice(invoice)
        if self._clock.current_time() >= found.due:
            raise self.Error.Expired
        if payer == found.issuer:
            raise self.Error.OwnInvoice
        rate = 0 if found.currency == 0 else self._rates.rate(found.currency)
        if rate is None:
            raise self.Error.NoRate
        amount = in_token(found.amount, rate)
        if amount > maximum:
            raise self.Error.Slippage
        self.invoices.remove(invoice)
        self._balances.release(DEPOSIT, found.issuer, found.deposit)
        shares = self.deliver(payer, found.to, amount)
        self.emit(self.Event.InvoicePaid(invoice, payer, found.to, amount, rate))
        return PostInfo(self.cost_of("pay_invoice").at(shares))

    @call(8)
    def void_invoice(self, origin: Origin, invoice: u64) -> None:
        """Withdraw an invoice; who wrote it may at any time, anybody may once it is past due."""
        who = ensure_signed(origin)
        found = self._invoice(invoice)
        if who != found.issuer and self._clock.current_time() < found.due:
            raise self.Error.NotOwner
        self.invoices.remove(invoice)
        self._balances.release(DEPOSIT, found.issuer, found.deposit)
        self.emit(self.Event.InvoiceVoided(invoice))

    # --------------------------------------------------------------------------------------------- locks

    @call(9)
    def lock(
        self,
        origin: Origin,
        payee: LookupSource,
        amount: CompactBalance,
        secret_hash: Hash32,
        deadline: Moment,
        reference: Reference,
    ) -> None:
        """Hold money for the payee until somebody shows the 32 bytes whose blake2b-256 is `secret_hash`."""
        payer = ensure_signed(origin)
        if amount == 0:
            raise self.Error.NothingToPay
        self._check_deadline(deadline)
        held = self._put_down(payer, LOCK_BYTES)
        self._balances.hold(LOCKED, payer, amount)
        to, lock = lookup(payee), self._new_id()
        self.hashlocks.put(lock, Lock(payer, held, to, amount, secret_hash, deadline, reference))
        self.emit(self.Event.Locked(lock, payer, to, amount, secret_hash, deadline, reference))

    @call(10)
    def reveal(self, origin: Origin, lock: u64, preimage: Bytes32) -> None:
        """Show the preimage before the deadline: the payee is paid."""
        ensure_signed(origin)
        found = self._lock(lock)
        if self._clock.current_time() >= found.deadline:
            raise self.Error.Expired
        if blake2_256(preimage) != found.secret_hash:
            raise self.Error.WrongPreimage
        self.hashlocks.remove(lock)
        self._balances.transfer_held(LOCKED, found.payer, found.payee, found.amount)
        self._balances.release(DEPOSIT, found.payer, found.deposit)
        self.emit(self.Event.Revealed(lock, preimage))

    @call(11)
    def reclaim(self, origin: Origin, lock: u64) -> None:
        """Give the money of a lock back to its payer: the payee may at any time, anybody may after the deadline."""
        who = ensure_signed(origin)
        found = self._lock(lock)
        if who != found.payee and self._clock.current_time() < found.deadline:
            raise self.Error.TooEarly
        self.hashlocks.remove(lock)
        self._balances.release(LOCKED, found.payer, found.amount)
        self._balances.release(DEPOSIT, found.payer, found.deposit)
        self.emit(self.Event.Reclaimed(lock))

    # --------------------------------------------------------------------------------------------- for others

    def payee_of_invoice(self, invoice: int) -> Payee | None:
        """Return whom an invoice pays."""
        found = self.invoices.get(invoice)
        return None if found is None else found.to

    def deliver(self, payer: AccountId, to: Payee, amount: Balance) -> int:
        """Move free money to whom a payment reaches; return among how many shares it was divided.

        Raises:
            DispatchError: the payer cannot pay, or there is no such payee.
        """
        if amount == 0:
            raise self.Error.NothingToPay
        if isinstance(to, ToSplit):
            return self._divide(payer, to.split, amount)
        who = to.who if isinstance(to, ToAccount) else self._providers.payout_of(to.provider)  # type: ignore[attr-defined]
        if who is None:
            raise self.Error.NoProvider
        self._balances.transfer(payer, who, amount, keep_alive=True)
        return 0

    def signed_bytes(self, terms: AuthorizationTerms) -> bytes:
        """Return what a payer signs."""
        genesis = self._genesis.hash_of(0) or Hash32(bytes(32))
        return Authorization(
            genesis, terms.payer, terms.payee, terms.asset, terms.maximum, terms.exact, terms.valid_after,
            terms.valid_before, terms.nonce, terms.memo_hash,
        ).encode()  # fmt: skip

    # --------------------------------------------------------------------------------------------- inside

    def _divide(self, payer: AccountId, split: int, amount: Balance) -> int:
        found = self._split(split)
        part, given = 0, 0
        for share in found.shares:
            part += share.bps
            due = amount * part // BPS
            piece, given = Balance(due - given), due
            if piece:
                takes = self._balances.can_receive(share.who, piece)
                self._balances.transfer(payer, share.who if takes else found.owner, piece, keep_alive=True)
        self.emit(self.Event.SplitPaid(split, payer, amount))
        return len(found.shares)

    def _use_nonce(self, payer: AccountId, nonce: bytes, until: Moment, depositor: AccountId) -> None:
        self._forget_nonces(DEAD_NONCES_A_USE)
        self._balances.hold(DEPOSIT, depositor, deposit(AUTHORIZATION_BYTES))
        self.used_nonces.put((payer, nonce), UsedNonce(until, depositor))
        end = self.nonce_end.get()
        self.nonce_queue.put(end, (payer, nonce))
        self.nonce_end.put(end + 1)

    def _forget_nonces(self, most: int) -> None:
        first = front = self.nonce_front.get()
        now = self._clock.current_time()
        for _ in range(most):
            key = self.nonce_queue.get(front)
            used = None if key is None else self.used_nonces.get(key)
            if key is None or used is None or used.until > now:
                break
            self.used_nonces.remove(key)
            self.nonce_queue.remove(front)
            self._balances.release(DEPOSIT, used.depositor, deposit(AUTHORIZATION_BYTES))
            front += 1
        if front != first:
            self.nonce_front.put(front)

    def _new_id(self) -> int:
        number = self.next_id.get()
        self.next_id.put(number + 1)
        return number

    def _put_down(self, who: AccountId, size: int) -> Balance:
        amount = deposit(size)
        self._balances.hold(DEPOSIT, who, amount)
        return amount

    def _check_deadline(self, deadline: Moment) -> None:
        now = self._clock.current_time()
        if not now < deadline <= now + LOCK_LIFETIME_MS:
            raise self.Error.BadDeadline

    def _split(self, split: int) -> Split:
        found = self.splits.get(split)
        if found is None:
            raise self.Error.NoSplit
        return found

    def _invoice(self, invoice: int) -> Invoice:
        found = self.invoices.get(invoice)
        if found is None:
            raise self.Error.NoInvoice
        return found

    def _lock(self, lock: int) -> Lock:
        found = self.hashlocks.get(lock)
        if found is None:
            raise self.Error.NoLock
        return found


def in_token(amount: Balance, rate: int) -> Balance:
    """Return what an amount of a currency costs in the token at a rate (0: it is in the token), rounded up."""
    return amount if rate == 0 else Balance(-(-amount * rate // QUOTE_ONE))


def _bytes_of(signature: MultiSignature) -> bytes:
    raw: bytes = signature.signature  # type: ignore[attr-defined]
    return raw
