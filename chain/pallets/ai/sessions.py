"""Sessions: a payer's money for one provider, from which any number of requests is paid with about one transaction.

* `open` holds a deposit of the payer. Every request is paid off the chain by a voucher, answered by a receipt, and
  countersigned by the next voucher (`docs/spec/payments.md`); parallel requests use lanes of their own.
* `claim` shows the latest vouchers of many lanes of many sessions: what they acknowledge is paid at once, the rest (a
  tail) waits a window for a fraud proof.
* `challenge` proves a lie of the provider without a judge; it costs its bond. `demand` and `answer` bring a receipt to
  light that was claimed and not shown.
* What is not claimed goes back: at once if the provider agrees, after a grace if it does not, by itself at expiry.

Money stays held of the payer until it moves, so at any time

    held(Escrow, payer) == sum of escrow of its sessions        held(Demand, who) == bonds of its open demands
    held(Deposit, payer) == deposits of its sessions and tombstones
    deposit == escrow + claimed + what went back,  waiting <= escrow,  for every session

Source: payments paper, sections 5.3 and 6; which calls became one: `docs/adr`. Lanes are numbered below `max_lanes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.hints import Bytes32, MaxLen, TypeName, u16
from aitoken.crypto import ed25519
from aitoken.crypto.signature import verify_by_wallet
from aitoken.errors import Bug
from aitoken.pay.layouts import Closing as ClosingStatement
from aitoken.pay.layouts import Opening, OpenParams, Receipt, session_id
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.calls import PostInfo, call
from chain.frame.origin import Origin, ensure_signed
from chain.frame.pallet import Pallet
from chain.frame.types import CompactBalance, DispatchClass, MultiSignature
from chain.frame.weights import PS_PER_MS
from chain.pallets.ai.sessions_claims import Claims
from chain.pallets.ai.sessions_court import Court, Rates, read_offer
from chain.pallets.ai.sessions_events import SessionsErrors, SessionsEvents
from chain.pallets.ai.sessions_life import Life, Watcher
from chain.pallets.ai.sessions_money import BURN_PERCENT, DEMAND, DEPOSIT, ESCROW, Author, Burns, Escrows, Money
from chain.pallets.ai.sessions_storage import FEE_ONE, MIN_DEPOSIT, SessionsStorage, pages_of, session_deposit
from chain.pallets.ai.sessions_types import (
    ITEMS_MAX,
    LANES_A_PAGE,
    LANES_MAX,
    LOCKS_MAX,
    Agreement,
    Change,
    Claimed,
    Closed,
    FormerSessionKey,
    LaneNumber,
    Open,
    Phantom,
    Proof,
    RateLock,
    Session,
    SessionClaims,
    SessionId,
    SessionsHoldReason,
    SignedOffer,
    SignedReceipt,
    Ticked,
    ToExpiry,
    ToKey,
    ToRate,
)

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.ai.providers import Providers

NOTHING: Final = Balance(0)
TICKS_A_UNIT: Final = 200
ROOM_SHARE: Final = 8
"""A block is busy if less than an eighth of its weight was left."""

LaneList = Annotated[list[u16], MaxLen(LANES_A_PAGE), TypeName("BoundedVec<LaneNumber>")]
Params = Annotated[OpenParams, TypeName("OpenParams")]


class Chain(Protocol):
    """The block being made; the System pallet."""

    def current_number(self) -> BlockNumber:
        """Its number."""

    def hash_of(self, number: int) -> Hash32 | None:
        """The hash of a recent block, and of genesis."""


class Clock(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


def _claim_units(claims: Sequence[SessionClaims]) -> int:
    """Return what claims cost: an item counts one, a session two, and 200 ticks one."""
    units = 0
    for each in claims:
        units += 2 + len(each.items)
        for item in each.items:
            if isinstance(item.end, Ticked):
                units += item.end.index // TICKS_A_UNIT
    return units


class Sessions(Pallet, SessionsStorage, index=42, crate="pallet_sessions"):
    """A payer's money for one provider, from which any number of requests is paid."""

    HoldReason = SessionsHoldReason
    Event = SessionsEvents
    Error = SessionsErrors

    def __init__(
        self,
        machine: Machine,
        system: Chain,
        clock: Clock,
        money: Money,
        providers: Providers,
        rates: Rates,
        author: Author,
        burns: Burns,
    ) -> None:
        super().__init__(machine)
        self._system = system
        self._clock = clock
        self._money = money
        self._providers = providers
        self._escrows = Escrows(self, money, providers, author, burns)
        self._life = Life(self, self._escrows, money, providers)
        self._claims = Claims(self, self._escrows, providers)
        self._court = Court(self, self._escrows, self._life, providers, rates)
        self._room_wanted = machine.schema.params.block_weight_ms * PS_PER_MS // ROOM_SHARE
        self._had_room = False
        self._swept = self.cost_of("on_initialize")

    def watched_by(self, watcher: Watcher) -> None:
        """Tell somebody of sessions that end or get other keys."""
        self._life.watcher = watcher

    # --------------------------------------------------------------------------------------------- opening

    @call(0)
    def open(self, origin: Origin, params: Params, deposit: CompactBalance) -> None:
        """Hold a deposit for requests to a provider, under a book of its that is in force."""
        payer = ensure_signed(origin)
        self._open(self.id_of(payer, params), payer, params, deposit)

    @call(1)
    def open_for(
        self,
        origin: Origin,
        payer: AccountId,
        params: Params,
        deposit: CompactBalance,
        valid_before: Moment,
        signature: MultiSignature,
    ) -> None:
        """Open a session of somebody who signed an order for it; whoever submits it pays the fee.

        The signature is over `"AITPopn1" | session_id | deposit | valid_before`, with or without the frame that
        wallets put around bytes.
        """
        ensure_signed(origin)
        number = self.id_of(payer, params)
        if self._now() > valid_before:
            raise self.Error.Expired
        order = Opening(number, deposit, valid_before).encode()
        kind, signed = signature.scale_index, getattr(signature, "signature", b"")
        if not verify_by_wallet(kind, signed, order, payer):
            raise self.Error.BadSignature
        self._open(number, payer, params, deposit)

    def _open(self, number: Hash32, payer: AccountId, params: OpenParams, deposit: Balance) -> None:
        block = self._system.current_number()
        if params.asset != 0:
            raise self.Error.UnknownAsset
        if deposit < MIN_DEPOSIT:
            raise self.Error.DepositTooLow
        if not 1 <= params.max_lanes <= LANES_MAX:
            raise self.Error.BadLanes
        if not self.min_grace <= params.grace_blocks <= self.max_grace:
            raise self.Error.BadGrace
        if not block < params.expires_block <= block + self.max_life:
            raise self.Error.BadExpiry
        if self.sessions.contains(number) or self.tombstones.contains(number):
            raise self.Error.SessionExists
        self._providers.bind(params.provider, params.book_version)
        self._money.hold(ESCROW, payer, deposit)
        self._money.hold(DEPOSIT, payer, session_deposit(params.max_lanes))
        self.sessions.put(
            number,
            Session(
                payer, params.provider, params.session_key, None, params.asset, params.book_version, deposit, deposit,
                NOTHING, NOTHING, NOTHING, 0, 0, [], self._now(), params.expires_block, params.grace_blocks,
                params.max_lanes, Open(), params.expires_block,
            ),
        )  # fmt: skip
        self._life.plan(number, params.expires_block)
        self.emit(self.Event.Opened(number, payer, params.provider, deposit, params.expires_block))

    @call(2)
    def top_up(self, origin: Origin, session: SessionId, amount: CompactBalance) -> None:
        """Add money to an open session; anybody may, and what is not used goes to the payer."""
        who = ensure_signed(origin)
        found = self._open_one(session)
        self._money.transfer_into_hold(ESCROW, who, found.payer, amount)
        found.deposit = Balance(found.deposit + amount)
        found.escrow = Balance(found.escrow + amount)
        self.sessions.put(session, found)
        self.emit(self.Event.ToppedUp(session, who, amount))

    # --------------------------------------------------------------------------------------------- claims, proofs

    @call(3, units=_claim_units, dispatch_class=DispatchClass.Operational)
    def claim(self, origin: Origin, claims: Claimed) -> None:
        """Show vouchers: what they acknowledge is paid at once, and tails, which only the provider claims, wait.

        One that breaks a rule is passed over and does not hinder the others; each has an event.
        """
        who = ensure_signed(origin)
        if sum(len(each.items) for each in claims) > ITEMS_MAX:
            raise self.Error.TooMany
        number, now, fee = self._system.current_number(), self._now(), 0
        for each in claims:
            fee += self._claims.accept(who, each, number, now)
        self._escrows.share_out(fee)

    @call(4, dispatch_class=DispatchClass.Operational)
    def challenge(self, origin: Origin, session: SessionId, lane: LaneNumber, proof: Proof) -> None:
        """Prove a lie of the provider: it loses five times the damage, and 10 AIT at least.

        The payer gets the damage and 30 %, who shows it 20 %, the rest is burned. A receipt that was demanded and not
        shown costs the provider the tail.
        """
        who = ensure_signed(origin)
        if isinstance(proof, Phantom):
            state = self.lane(session, lane)
            tail = None if state is None else state.tail
            if tail is None or tail.demand is None:
                raise self.Error.NotDemanded
            if self._settle(session, [lane]) == 0:
                raise self.Error.WindowOpen
            return
        self._court.judge(who, session, lane, proof, (self._genesis(), self._now()))

    @call(5, dispatch_class=DispatchClass.Operational)
    def demand(self, origin: Origin, session: SessionId, lane: LaneNumber) -> None:
        """Ask the provider to show the receipt behind a tail; the bond is its if it does, else the tail is returned."""
        who = ensure_signed(origin)
        self._court.demand(who, session, lane, self._system.current_number(), self._now())
        self._money.hold(DEMAND, who, self.demand_bond)

    @call(6, dispatch_class=DispatchClass.Operational)
    def answer(self, origin: Origin, session: SessionId, lane: LaneNumber, receipt: SignedReceipt) -> None:
        """Show the receipt behind a tail that was demanded; anybody may."""
        ensure_signed(origin)
        self._court.show(session, lane, receipt, self._now())
        self._settle(session, [lane])

    # --------------------------------------------------------------------------------------------- the end

    @call(7, units=lambda _, agreement: 0 if agreement is None else len(pages_of(LANES_MAX)))
    def close(
        self,
        origin: Origin,
        session: SessionId,
        agreement: Annotated[Agreement | None, TypeName("Option<Agreement>")],
    ) -> PostInfo:
        """End a session. The payer with the provider's signature under a final total: at once, tails fall away.

        The provider without one: at once, what was claimed stays. The payer, or the session key's account, without
        one: after the grace, in which claims are still accepted.
        """
        who = ensure_signed(origin)
        found = self._court.find(session)
        if isinstance(found.state, Closed):
            raise self.Error.Ended
        block, pages = self._system.current_number(), 0
        if agreement is not None:
            if who != found.payer:
                raise self.Error.NotPayer
            pages = self._agree(session, found, agreement)
            self._life.end(session, found, block)
        elif self._providers.is_run_by(found.provider, who):
            self._life.end(session, found, block)
        elif who == found.payer or who == found.key:
            if not isinstance(found.state, Open):
                raise self.Error.Ended
            self._life.begin_closing(session, found, block)
        else:
            raise self.Error.NotPayer
        self._life.plan_next(session, found, block)
        self.sessions.put(session, found)
        return PostInfo(self.cost_of("close").at(pages))

    def _agree(self, number: Hash32, found: Session, agreement: Agreement) -> int:
        """Pay what the provider agreed to, in place of whatever waits; return how many pages of lanes that took."""
        if self._now() > agreement.valid_until:
            raise self.Error.Expired
        statement = ClosingStatement(number, agreement.final_total, agreement.valid_until).encode()
        if not ed25519.verify(agreement.signature, statement, self._providers.find(found.provider).operator):
            raise self.Error.BadSignature
        extra = agreement.final_total - found.claimed
        if extra < 0:
            raise self.Error.BelowClaimed
        if extra > found.escrow:
            raise self.Error.OverDeposit
        pages = self._life.drop_tails(number, found)
        self._escrows.share_out(self._escrows.pay(found, extra))
        return pages

    @call(8, units=lambda _, lanes: len(lanes))
    def finalize(self, origin: Origin, session: SessionId, lanes: LaneList) -> None:
        """Do what is due of a session now, and of the tails of these lanes; the chain does it by itself, but later."""
        ensure_signed(origin)
        done = self._settle(session, lanes)
        found = self.sessions.get(session)
        block = self._system.current_number()
        if found is None:
            raise self.Error.NoSession
        done += self._life.advance(session, found.copy(), block)
        if not done:
            raise self.Error.NothingToDo

    def _settle(self, session: Hash32, lanes: Sequence[int]) -> int:
        """Settle the tails of lanes that are due; return how many were."""
        block, now = self._system.current_number(), self._now()
        fees = [self._life.settle(session, lane, block, now) for lane in lanes]
        self._escrows.share_out(sum(fee for fee in fees if fee is not None))
        return sum(fee is not None for fee in fees)

    # --------------------------------------------------------------------------------------------- changes

    @call(9)
    def change(self, origin: Origin, session: SessionId, change: Change) -> None:
        """Change an open session: another key or none (frozen), a later expiry, a rate the provider signed.

        Vouchers of the key before can be claimed for the session's grace. Only the payer's account may do it.
        """
        who = ensure_signed(origin)
        found = self._open_one(session)
        if who != found.payer:
            raise self.Error.NotPayer
        if isinstance(change, ToKey):
            self._change_key(session, found, change.key)
        elif isinstance(change, ToExpiry):
            block = self._system.current_number()
            if not found.expires < change.expires <= block + self.max_life:
                raise self.Error.BadExpiry
            found.expires = change.expires
            self.emit(self.Event.Extended(session, change.expires))
        elif isinstance(change, ToRate):
            self._lock_rate(session, found, change.offer)
        self.sessions.put(session, found)

    def _change_key(self, number: Hash32, found: Session, key: bytes | None) -> None:
        if key == found.key:
            raise self.Error.NoChange
        former = found.former_key if found.key is not None else None
        block = self._system.current_number()
        if former is not None and self.grace_left(block, former.since, former.busy, found.grace):
            raise self.Error.WindowOpen
        self._put_key(number, found, key)
        if self._life.watcher is not None:
            self._life.watcher.session_rekeyed(found.payer, number)

    def freeze(self, session: Hash32) -> None:
        """Take the key of a session away, whose payer has never changed it: like a change to none."""
        found = self.sessions.get(session)
        if found is None or found.key is None or isinstance(found.state, Closed):
            return
        found = found.copy()
        self._put_key(session, found, None)
        self.sessions.put(session, found)

    def _put_key(self, number: Hash32, found: Session, key: bytes | None) -> None:
        """Replace a session's key; what it has signed can be claimed for the grace."""
        if found.key is not None:
            found.former_key = FormerSessionKey(found.key, self._system.current_number(), self.busy_blocks.get())
        found.key = key
        self.emit(self.Event.KeyChanged(number, key))

    def _lock_rate(self, number: Hash32, found: Session, signed: SignedOffer) -> None:
        now = self._now()
        offer = read_offer(signed, [self._providers.find(found.provider).operator], self._genesis())
        if (offer.request, offer.book_version) != (number, found.book_version) or not offer.rate:
            raise self.Error.BadOffer
        if offer.valid_until <= now:
            raise self.Error.Expired
        if len(found.locks) >= LOCKS_MAX:
            raise self.Error.TooMany
        found.locks = [*found.locks, RateLock(offer.rate, now, offer.valid_until)]
        self.emit(self.Event.RateLocked(number, offer.rate, offer.valid_until))

    @call(10)
    def refund(self, origin: Origin, session: SessionId, amount: CompactBalance, receipt_hash: Bytes32) -> None:
        """Give the payer a part of what was claimed back, from the account of the caller: owner, operator or payout."""
        who = ensure_signed(origin)
        found = self._court.find(session)
        if not self._providers.is_run_by(found.provider, who) and who != self._providers.payout_of(found.provider):
            raise self.Error.NotProvider
        if found.refunded + amount > found.claimed:
            raise self.Error.OverDeposit
        self._money.transfer(who, found.payer, amount, keep_alive=True)
        found.refunded = Balance(found.refunded + amount)
        self.sessions.put(session, found)
        self._providers.note_refunded(found.provider, amount)
        self.emit(self.Event.Refunded(session, amount, Hash32(receipt_hash)))

    def parties_of(self, session: Hash32) -> tuple[AccountId, int] | None:
        """Return payer and provider of a session, None where there is none."""
        found = self.sessions.get(session)
        return None if found is None else (found.payer, found.provider)

    def shown(self, session: Hash32, lane: int, receipt: SignedReceipt) -> tuple[Session, Receipt]:
        """Return a session and a receipt of one of its lanes, which the provider has signed.

        Raises:
            NoSession, BadReceipt, BadSignature: there is none, or it is of something or somebody else.
        """
        return self._court.read(session, lane, receipt)

    def burned_by(self, found: Session) -> int:
        """Return how much of what a session has paid is burned, at the present fee."""
        return found.claimed * self.protocol_fee.get() // FEE_ONE * BURN_PERCENT // 100

    def paid_by(self, session: Hash32) -> Balance:
        """Return what the provider has been paid by a session and has not given back."""
        found = self.sessions.get(session)
        return Balance(0) if found is None else Balance(found.claimed - found.refunded)

    # --------------------------------------------------------------------------------------------- blocks

    def on_initialize(self, number: BlockNumber) -> int:
        """Look after what is due."""
        self._had_room = False
        seen = self._life.sweep(number, self._now())
        return self._swept.at(seen)

    def on_idle(self, number: BlockNumber, remaining: int) -> int:  # noqa: ARG002 - the same for every block
        """Note whether the block has room left for claims."""
        self._had_room = remaining >= self._room_wanted
        return 0

    def on_finalize(self, number: BlockNumber) -> None:  # noqa: ARG002 - the same for every block
        """Count busy blocks."""
        if not self._had_room:
            self.busy_blocks.put(self.busy_blocks.get() + 1)

    # --------------------------------------------------------------------------------------------- small questions

    def id_of(self, payer: AccountId, params: OpenParams) -> Hash32:
        """Return the id of the session a payer would open."""
        return session_id(self._genesis(), payer, params)

    def _genesis(self) -> Hash32:
        genesis = self._system.hash_of(0)
        if genesis is None:
            raise Bug("the hash of genesis is not stored")
        return genesis

    def _now(self) -> Moment:
        return self._clock.current_time()

    def _open_one(self, number: Hash32) -> Session:
        found = self._court.find(number)
        if not isinstance(found.state, Open):
            raise self.Error.Ended
        return found
