"""Escrows: money of payers that is held for sessions, and how it moves.

Every payment goes from what is held of the payer to the provider's payout account, less a fee (a parameter, 0.1 %):
half of it is burned, 30 % go to the author of the block, 20 % to the treasury. A share that its account cannot take
goes to the treasury, else it is burned. A payout account that cannot take a payment is passed over for the owner,
whose account exists as long as its deposits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aitoken.types import AccountId, Balance, Hash32
from chain.pallets.ai.sessions_events import SessionsEvents as Event
from chain.pallets.ai.sessions_storage import FEE_ONE
from chain.pallets.ai.sessions_types import Closed, Session, SessionsHoldReason
from chain.pallets.balances import BurnReason
from chain.pallets.transaction_payment import TREASURY

if TYPE_CHECKING:
    from chain.pallets.ai.providers import Providers
    from chain.pallets.ai.sessions_storage import SessionsStorage

ESCROW: Final = SessionsHoldReason.Escrow
DEPOSIT: Final = SessionsHoldReason.Deposit
DEMAND: Final = SessionsHoldReason.Demand
BURN_PERCENT: Final = 50
TREASURY_PERCENT: Final = 20


class Money(Protocol):
    """Escrows and deposits; the Balances pallet."""

    def hold(self, reason: Any, who: AccountId, amount: Balance) -> None:
        """Set free money aside."""

    def release(self, reason: Any, who: AccountId, amount: Balance | None = None) -> Balance:
        """Give held money back."""

    def transfer(self, source: AccountId, dest: AccountId, amount: Balance, *, keep_alive: bool) -> None:
        """Move free money."""

    def transfer_into_hold(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move free money of one account into what is held of another."""

    def transfer_held(self, reason: Any, source: AccountId, dest: AccountId, amount: Balance) -> None:
        """Move held money into the free money of another account."""

    def take_held(self, reason: Any, source: AccountId, amount: Balance) -> None:
        """Take held money out to put it elsewhere in the same call."""

    def deposit(self, who: AccountId, amount: Balance) -> None:
        """Put money that was taken elsewhere into an account."""

    def rescind(self, amount: Balance, reason: BurnReason) -> None:
        """Lower the issuance by money that was taken."""

    def can_receive(self, who: AccountId, amount: Balance) -> bool:
        """Whether an account would accept a deposit."""


class Author(Protocol):
    """Who made the current block."""

    def current_author(self) -> AccountId | None:
        """Return the author's account."""


class Burns(Protocol):
    """Who keeps account of the fees that are burned; the Rewards pallet."""

    def note_burned(self, payer: AccountId, amount: int) -> None:
        """Note a fee."""


class Escrows:
    """Moves the money of sessions; the caller stores the session it has changed."""

    def __init__(
        self, store: SessionsStorage, money: Money, providers: Providers, author: Author, burns: Burns
    ) -> None:
        self._store = store
        self._money = money
        self._providers = providers
        self._author = author
        self._burns = burns

    def pay(self, session: Session, amount: int, unacked: int = 0) -> int:
        """Pay a provider out of a session's escrow; return the fee, which `share_out` has to be given.

        Args:
            session: a copy; its numbers are changed.
            amount: what is paid, fee included.
            unacked: how much of that the payer has not countersigned.
        """
        if not amount:
            return 0
        fee = amount * self._store.protocol_fee.get() // FEE_ONE
        session.escrow = Balance(session.escrow - amount)
        session.claimed = Balance(session.claimed + amount)
        net = Balance(amount - fee)
        self._money.transfer_held(ESCROW, session.payer, self._payee(session.provider, net), net)
        if fee:
            self._money.take_held(ESCROW, session.payer, Balance(fee))
            self._burns.note_burned(session.payer, fee * BURN_PERCENT // 100)
        self._providers.note_settled(session.provider, amount, unacked)
        return fee

    def _payee(self, provider: int, amount: Balance) -> AccountId:
        payout = self._providers.payout_of(provider)
        if payout is not None and self._money.can_receive(payout, amount):
            return payout
        return self._providers.find(provider).owner

    def share_out(self, fee: int) -> None:
        """Give out the fees that were taken in a call."""
        if not fee:
            return
        burned, treasury = fee * BURN_PERCENT // 100, fee * TREASURY_PERCENT // 100
        validators = fee - burned - treasury
        author = self._author.current_author()
        if author is not None and validators and self._money.can_receive(author, Balance(validators)):
            self._money.deposit(author, Balance(validators))
        else:
            treasury, validators = treasury + validators, 0
        if treasury and self._money.can_receive(TREASURY, Balance(treasury)):
            self._money.deposit(TREASURY, Balance(treasury))
        else:
            burned, treasury = burned + treasury, 0
        if burned:
            self._money.rescind(Balance(burned), BurnReason.Fee)
        self._store.emit(Event.FeePaid(Balance(burned), Balance(validators), Balance(treasury)))

    def give_back(self, session: Session, amount: int) -> None:
        """Give a part of the escrow back to the payer."""
        session.escrow = Balance(session.escrow - amount)
        self._money.release(ESCROW, session.payer, Balance(amount))

    def free_tail(self, number: Hash32, lane: int, session: Session, amount: int) -> None:
        """Let what a tail took of the escrow be the payer's again: at once where the rest has gone back already."""
        session.waiting = Balance(session.waiting - amount)
        session.tails -= 1
        if isinstance(session.state, Closed):
            self.give_back(session, amount)
        self._store.emit(Event.TailReturned(number, lane, Balance(amount)))

    def end_demand(self, session: Session, who: AccountId, *, answered: bool) -> None:
        """Give the bond of a demand back, or to the provider that answered it."""
        session.demands -= 1
        bond = self._store.demand_bond
        if answered:
            self._money.transfer_held(DEMAND, who, self._payee(session.provider, bond), bond)
        else:
            self._money.release(DEMAND, who, bond)
