"""The usual transfer in one straight line: same state, same events, a third of the time.

Most of what a payment chain does is moving money between two accounts that exist and go on existing. For such a
transfer nothing can fail once its conditions hold, so it needs no transactional layer, no event objects, no account
objects (see `chain.frame.accounts`), and one write per account instead of one per step. Anything unusual is left to the
general way (`Balances.transfer` under `Executive.apply`), which stays the reference:
`tests/property/test_conservation.py` replays every block that way.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from chain.frame.accounts import LOW, USUAL
from chain.frame.types import OtherAddress

if TYPE_CHECKING:
    from aitoken.types import AccountId
    from chain.frame.executive import Executive
    from chain.frame.schema import Schema
    from chain.frame.system import System
    from chain.pallets.balances import Balances
    from chain.pallets.transaction_payment import TransactionPayment

CALLS: Final = ("Balances.transfer_keep_alive", "Balances.transfer_allow_death")
FROZEN: Final = slice(16, 32)  # of the rest of an account
EVENTS: Final = Struct(
    "<"
    "5s 2s 32s QQ x"  # Balances.Withdraw: phase, indices, who, fee and tip, no topics
    "5s 2s 32s 32s QQ x"  # Balances.Transfer: from, to, amount
    "5s 2s 32s QQ QQ x"  # TransactionPayment.TransactionFeePaid: who, fee and tip, tip
    "5s 2s"  # System.ExtrinsicSuccess, whose end follows
)
WITHDRAW: Final = b"\x04\x08"
TRANSFER: Final = b"\x04\x02"
FEE_PAID: Final = b"\x05\x00"
SUCCESS: Final = b"\x00\x00"


class FastTransfer:
    """A `Shortcut` for transfers between two living accounts."""

    def __init__(self, system: System, balances: Balances, payment: TransactionPayment) -> None:
        self._accounts = system.account
        self._store = system.account.store
        self._payment = payment
        self._minimum = balances.existential_deposit
        self._pack = EVENTS.pack

    def install(self, executive: Executive, schema: Schema) -> None:
        """Use it for the calls it knows."""
        for info in schema.call_infos["Balances"]:
            if repr(info) in CALLS:
                executive.use_shortcut(info, self)

    def __call__(
        self,
        signer: AccountId,
        nonce: int,
        args: tuple[Any, ...],
        charged: int,
        tip: int,
        phase: bytes,
        tail: bytes,
    ) -> bool:
        """Do the transfer, or return False without having done anything."""
        dest, amount = args
        if dest == signer or dest.__class__ is OtherAddress:
            return False
        accounts = self._accounts
        plain = accounts.plain
        giver = plain.get(signer) or accounts.load_plain(signer)
        taker = plain.get(dest) or accounts.load_plain(dest)
        if giver is None or taker is None:
            return False
        expected, consumers, providers, sufficients, low, high, rest = giver
        left = (low | high << 64) - charged - amount
        if nonce != expected or left < self._minimum or not (providers or sufficients):
            return False
        if rest != USUAL and any(rest[FROZEN]):
            return False
        taker_nonce, taker_consumers, taker_providers, taker_sufficients, low, high, taker_rest = taker
        had = low | high << 64
        if had < self._minimum or not taker_providers:
            return False
        got = had + amount
        plain[signer] = nonce + 1, consumers, providers, sufficients, left & LOW, left >> 64, rest
        plain[dest] = taker_nonce, taker_consumers, taker_providers, taker_sufficients, got & LOW, got >> 64, taker_rest
        accounts.moved[signer] = accounts.moved[dest] = None
        store = self._store
        store.imbalance -= charged
        payment = self._payment
        payment.pending += charged
        if tip:
            payment.tips += tip
        charged_low, charged_high = charged & LOW, charged >> 64
        store.events.append(
            self._pack(
                phase, WITHDRAW, signer, charged_low, charged_high,
                phase, TRANSFER, signer, dest, amount & LOW, amount >> 64,
                phase, FEE_PAID, signer, charged_low, charged_high, tip & LOW, tip >> 64,
                phase, SUCCESS,
            ) + tail
        )  # fmt: skip
        store.events_joined += 3
        return True
