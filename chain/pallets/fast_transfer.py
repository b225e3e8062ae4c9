"""The usual transfer in one straight line: same state, same events, a small part of the time.

Most of what a payment chain does is moving money between two accounts that exist and go on existing. For such a
transfer nothing can fail once its conditions hold, so it needs no transactional layer, no event objects, no account
objects (see `chain.frame.accounts`), and one write per account instead of one per step. Anything unusual is left to the
general way (`Balances.transfer` under the executive), which stays the reference:
`tests/property/test_straight_line.py` and `test_conservation.py` build every block that way too.

What transfers have in common is done once: many are taken in one call, and those that are charged the same share the
ends of their events.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from aitoken.codec.base import DecodeError
from chain.frame.accounts import LOW, USUAL
from chain.frame.executive import NORMAL, ZERO_ACCOUNT
from chain.frame.types import OtherAddress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aitoken.proto.extrinsic import Extrinsic
    from aitoken.types import AccountId
    from chain.frame.calls import CallInfo
    from chain.frame.charging import OpenBlock
    from chain.frame.schema import Schema
    from chain.frame.system import System
    from chain.pallets.balances import Balances
    from chain.pallets.transaction_payment import TransactionPayment

CALLS: Final = ("Balances.transfer_keep_alive", "Balances.transfer_allow_death")
FROZEN: Final = slice(16, 32)  # of the rest of an account
PRICES_MAX: Final = 4096
EVENTS: Final = Struct(
    "<"
    "xI 2s 32s 17s"  # Balances.Withdraw: phase, indices, who, end
    "xI 2s 32s 32s QQ x"  # Balances.Transfer: from, to, amount, no topics
    "xI 2s 32s 33s"  # TransactionPayment.TransactionFeePaid: who, end
    "xI"  # System.ExtrinsicSuccess, whose end follows
)
WITHDRAW: Final = b"\x04\x08"
WITHDRAW_END: Final = Struct("<QQ x")  # fee and tip together, no topics
TRANSFER: Final = b"\x04\x02"
FEE_PAID: Final = b"\x05\x00"
FEE_PAID_END: Final = Struct("<QQ QQ x")  # the same, tip, no topics
SUCCESS: Final = b"\x00\x00"

Price: TypeAlias = tuple[int, int, bytes, bytes, bytes]
"""Weight in the block, fee and tip together, ends of the events Withdraw, TransactionFeePaid and ExtrinsicSuccess."""


class FastTransfer:
    """The `Shortcut` for transfers between two living accounts."""

    def __init__(self, system: System, balances: Balances, payment: TransactionPayment, schema: Schema) -> None:
        self._accounts = system.account
        self._store = system.account.store
        self._payment = payment
        self._minimum = balances.existential_deposit
        self._overhead = schema.weights.of("block").unit
        self._calls = [schema.call_info(name) for name in CALLS]
        self._prices: dict[tuple[CallInfo, int, int], Price] = {}
        self._priced_at = 0

    def _valid_prices(self) -> dict[tuple[CallInfo, int, int], Price]:
        """Return what is known of prices at the multiplier of this block."""
        multiplier = self._payment.next_fee_multiplier.get()
        if multiplier != self._priced_at or len(self._prices) > PRICES_MAX:
            self._priced_at = multiplier
            self._prices.clear()
        return self._prices

    def _price(self, info: CallInfo, length: int, tip: int) -> Price | None:
        """Return what a transaction of that length costs, None if it is no transfer."""
        weight = info.fixed_weight
        if info not in self._calls or weight is None:
            return None
        charged = self._payment.fee(length, weight) + tip
        amounts = charged & LOW, charged >> 64
        price = self._prices[info, length, tip] = (
            weight + self._overhead,
            charged,
            WITHDRAW_END.pack(*amounts),
            FEE_PAID_END.pack(*amounts, tip & LOW, tip >> 64),
            SUCCESS + info.tail(weight, charges=True),
        )
        return price

    def __call__(self, extrinsics: Iterator[Extrinsic], block: OpenBlock) -> Extrinsic | None:
        """Do the transfers that come next; return the first transaction that is something else, or an unusual one."""
        accounts, minimum, events, pack = self._accounts, self._minimum, self._store.events, EVENTS.pack
        raw_keys, plain, moved = accounts.raw_keys, accounts.plain, accounts.moved
        known, prices = block.additional_known, self._valid_prices()
        weight_left, length_left = block.room(NORMAL)
        before, position = (weight_left, length_left), len(block.extrinsics)
        done: list[Extrinsic] = []
        fees = tips = 0
        try:
            for xt in extrinsics:
                call = xt.call or block.decode(xt)
                signer, raw, tip = xt.signer, xt.raw, xt.tip
                if signer is None:
                    return xt
                if xt.verified_for is None or xt.verified_for != known.get(xt.terms) or signer == ZERO_ACCOUNT:
                    block.check_signature(xt)
                length = len(raw)
                price = prices.get((call.info, length, tip)) or self._price(call.info, length, tip)
                if price is None:
                    return xt
                weight, charged, withdraw_end, paid_end, end = price
                dest, amount = call.args
                if weight > weight_left or length > length_left or dest == signer or dest.__class__ is OtherAddress:
                    return xt
                giver_key = raw_keys.get(signer) or accounts.raw_key(signer)
                taker_key = raw_keys.get(dest) or accounts.raw_key(dest)
                giver = plain.get(giver_key) or accounts.load_plain(signer, giver_key)
                taker = plain.get(taker_key) or accounts.load_plain(dest, taker_key)
                if giver is None or taker is None:
                    return xt
                nonce, consumers, providers, sufficients, low, high, rest = giver
                left = (low | high << 64) - charged - amount
                if (
                    nonce != xt.nonce
                    or left < minimum
                    or not (providers or sufficients)
                    or (rest != USUAL and any(rest[FROZEN]))
                ):
                    return xt
                taker_nonce, taker_consumers, taker_providers, taker_sufficients, low, high, taker_rest = taker
                had = low | high << 64
                if had < minimum or not taker_providers:
                    return xt
                got = had + amount
                plain[giver_key] = moved[giver_key] = (
                    nonce + 1, consumers, providers, sufficients, left & LOW, left >> 64, rest
                )  # fmt: skip
                plain[taker_key] = moved[taker_key] = (
                    taker_nonce, taker_consumers, taker_providers, taker_sufficients, got & LOW, got >> 64, taker_rest
                )  # fmt: skip
                events.append(
                    pack(
                        position, WITHDRAW, signer, withdraw_end,
                        position, TRANSFER, signer, dest, amount & LOW, amount >> 64,
                        position, FEE_PAID, signer, paid_end,
                        position,
                    ) + end
                )  # fmt: skip
                position += 1
                fees += charged
                tips += tip
                weight_left -= weight
                length_left -= length
                done.append(xt)
        finally:
            self._note(len(done), fees, tips)
            block.include(done, NORMAL, before[0] - weight_left, before[1] - length_left)
        return None

    def accounts(self, extrinsics: Iterable[Extrinsic], block: OpenBlock) -> Iterator[AccountId]:
        """Yield givers and takers of the transfers among `extrinsics`; what is malformed shows when it is applied."""
        for xt in extrinsics:
            try:
                call = xt.call or block.decode(xt)
            except DecodeError:
                continue
            if xt.signer is not None and call.info in self._calls:
                yield xt.signer
                if call.args[0].__class__ is not OtherAddress:
                    yield call.args[0]

    def _note(self, count: int, fees: int, tips: int) -> None:
        """Write down what so many transfers paid together."""
        self._store.events_joined += 3 * count
        self._store.imbalance -= fees
        self._payment.pending += fees
        self._payment.tips += tips
