"""TransactionPayment: what a transaction costs, and where the money goes.

    fee = base + bytes * per_byte + weight fee * multiplier      (+ tip)

The multiplier follows demand: after each block m' = m * (1 + v*d + (v*d)^2 / 2) with d = used / normal capacity - 1/4,
v = 3/1000, held within [0.1, 1000]. Integers in units of 10^-18 only.

The fee of the announced weight is taken before the call; if the call used less, the fee is computed anew for what it
used and the difference given back. What blocks collect is split once per block: 50 % burned, 30 % treasury, the rest
and all tips to the author. Where an account cannot receive its share, the share goes to the treasury, else is burned.

Source: `pallet_transaction_payment`; the figures are this chain's.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.containers import Option
from aitoken.codec.hints import TypeName, codec_of, u8, u32, u128
from aitoken.codec.records import Record, plain_enum, record
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT, AccountId, Balance, BlockNumber
from chain.frame.calls import Call, RuntimeCall
from chain.frame.errors import CannotPay
from chain.frame.metadata import UncheckedExtrinsic
from chain.frame.pallet import Ev, Events, Pallet, constant, runtime_api
from chain.frame.storage import Value, value
from chain.frame.system import NORMAL_PERCENT, System
from chain.frame.types import FIXED_ONE, AccountInfo, DispatchClass, FixedU128, Pays, Weight
from chain.frame.weights import PS_PER_MS
from chain.pallets.balances import Balances, BurnReason, PlainBalance

if TYPE_CHECKING:
    from chain.frame.machine import Machine

YARDSTICK: Final = "Balances.transfer_keep_alive"
YARDSTICK_FEE: Final = Balance(35 * AIT // 100_000)
"""What the weight of a plain transfer costs at multiplier 1, however fast transfers are; all others in proportion."""

VARIABILITY: Final = 3 * FIXED_ONE // 1000
TARGET: Final = FIXED_ONE // 4
MULTIPLIER_MIN: Final = FIXED_ONE // 10
MULTIPLIER_MAX: Final = 1000 * FIXED_ONE
BURN_PERCENT: Final = 50
TREASURY_PERCENT: Final = 30
TREASURY: Final = AccountId(b"modlpy/trsry".ljust(32, b"\x00"))
OPERATIONAL_FACTOR: Final = 5
U64_MAX: Final = 2**64 - 1
WORTH_UNIT: Final = 1_000_000
"""Priorities are what is paid for so much room."""
WEIGHT_FEES_MAX: Final = 1024


class Author(Protocol):
    """Who made the current block."""

    def current_author(self) -> AccountId | None:
        """Return the author's account."""


@plain_enum("pallet_transaction_payment::Releases")
class Releases(IntEnum):
    """Storage versions."""

    V1Ancient = 0
    V2 = 1


@record("pallet_transaction_payment::types::RuntimeDispatchInfo", {"Balance": u128, "Weight": Weight})
class RuntimeDispatchInfo(Record):
    """What a transaction weighs and costs, without tip."""

    weight: Weight
    class_: DispatchClass
    partial_fee: PlainBalance


@record("pallet_transaction_payment::types::InclusionFee", {"Balance": u128})
class InclusionFee(Record):
    """The parts of a fee."""

    base_fee: PlainBalance
    len_fee: PlainBalance
    adjusted_weight_fee: PlainBalance


@record("pallet_transaction_payment::types::FeeDetails", {"Balance": u128})
class FeeDetails(Record):
    """The parts of a fee, None for a transaction that pays none; the tip is not known here."""

    inclusion_fee: Annotated[
        InclusionFee | None, Option(codec_of(InclusionFee)), TypeName("Option<InclusionFee<Balance>>")
    ]
    tip: PlainBalance


def room_of(length: int, weight: int) -> int:
    """What a transaction occupies of a block: its bytes, or its weight in millionths of a second, whatever is more."""
    return max(1, weight // 1_000_000, length)


class TransactionPayment(Pallet, index=5, crate="pallet_transaction_payment"):
    """What a transaction costs, and where the money goes."""

    next_fee_multiplier: Value[FixedU128] = value(
        default=lambda: FIXED_ONE, doc="The multiplier of the weight part of fees in the next block."
    )
    storage_version: Value[Releases] = value(doc="The version of the storage.")

    operational_fee_multiplier: u8 = constant(
        OPERATIONAL_FACTOR, doc='A fee multiplier for `Operational` extrinsics to compute "virtual tip".'
    )

    class Event(Events):
        """What TransactionPayment tells."""

        class TransactionFeePaid(Ev, index=0):
            """A transaction fee `actual_fee`, of which `tip` was added to the minimum inclusion fee, has been paid."""

            who: AccountId
            actual_fee: Annotated[Balance, TypeName("BalanceOf<T>")]
            tip: Annotated[Balance, TypeName("BalanceOf<T>")]

    def __init__(self, machine: Machine, system: System, balances: Balances, author: Author) -> None:
        super().__init__(machine)
        self._schema = machine.schema
        self._system = system
        self._balances = balances
        self._author = author
        params = machine.schema.params
        self._base, self._per_byte = params.fee_base, params.fee_per_byte
        self._deposit = params.existential_deposit
        self._write_withdraw = machine.schema.event_writer(balances.Event.Withdraw)
        self._write_paid = machine.schema.event_writer(self.Event.TransactionFeePaid)
        self._capacity = params.block_weight_ms * PS_PER_MS * NORMAL_PERCENT // 100
        self._yardstick = machine.schema.weights.of(YARDSTICK).base
        self._priced_at = 0
        self._weight_fees: dict[int, int] = {}  # at that multiplier
        self.pending = 0
        self.tips = 0
        self._used = 0

    # --------------------------------------------------------------------------------------------- the fee

    def weight_fee(self, weight: int) -> int:
        """Return the fee of a weight at the multiplier of this block."""
        return weight * YARDSTICK_FEE // self._yardstick * self.next_fee_multiplier.get() // FIXED_ONE

    def fee(self, length: int, weight: int) -> int:
        """Return the fee, without tip, of a transaction of that length whose call has that weight."""
        multiplier = self.next_fee_multiplier.get()
        if multiplier != self._priced_at or len(self._weight_fees) > WEIGHT_FEES_MAX:
            self._priced_at = multiplier
            self._weight_fees.clear()
        weight_fee = self._weight_fees.get(weight)
        if weight_fee is None:
            weight_fee = self._weight_fees[weight] = self.weight_fee(weight)
        return self._base + length * self._per_byte + weight_fee

    def priority(self, length: int, weight: int, dispatch_class: DispatchClass, tip: int) -> int:
        """Return the priority of a transaction: its tip and fee per unit of what it occupies."""
        fee = self.fee(length, weight)
        worth = tip + 1
        if dispatch_class is DispatchClass.Operational:
            worth += fee * OPERATIONAL_FACTOR
        return min(worth * WORTH_UNIT // room_of(length, weight), U64_MAX)

    # --------------------------------------------------------------------------------------------- the executive's

    def open_block(self) -> None:
        """Forget what the last block collected."""
        self.pending = self.tips = self._used = 0

    def note_usage(self, normal_weight: int) -> None:
        """Be told, before the block is closed, what its normal transactions weigh."""
        self._used = normal_weight

    def check_payable(self, account: AccountInfo, amount: int) -> None:
        """Make sure that an account can pay and live on.

        Raises:
            CannotPay: it cannot.
        """
        if amount > self.spendable(account) or not (account.providers or account.sufficients):
            raise CannotPay

    def spendable(self, account: AccountInfo) -> int:
        """Return how much an account can pay in fees and live on."""
        untouchable: int = self._deposit
        if account.frozen:
            untouchable = max(untouchable, account.frozen - account.reserved)
        return max(0, account.free - untouchable)

    def charged(self, who: AccountId, amount: int) -> None:
        """Note that `amount` was taken from `who`."""
        self.pending += amount
        store = self._store
        store.events.append(store.phase + self._write_withdraw(who, amount))

    def settle(self, who: AccountId, charged: int, actual: int, tip: int) -> int:
        """Give back what was charged too much and record what was paid; return that."""
        if actual < charged:
            back = Balance(charged - actual)
            if self._balances.can_receive(who, back):
                self._balances.deposit(who, back)
                self.pending -= back
            else:
                actual = charged
        self.tips += tip
        store = self._store
        store.events.append(store.phase + self._write_paid(who, actual, tip))
        return actual

    # --------------------------------------------------------------------------------------------- the end of a block

    def on_finalize(self, number: BlockNumber) -> None:  # noqa: ARG002 - the same for every block
        """Give out what the block collected and move the multiplier."""
        if self.pending:
            self._give_out()
        self.next_fee_multiplier.put(self._moved_multiplier())

    def _give_out(self) -> None:
        fees = self.pending - self.tips
        burned = fees * BURN_PERCENT // 100
        treasury = fees * TREASURY_PERCENT // 100
        author_share = self.pending - burned - treasury
        author = self._author.current_author()
        if author is not None and author_share and self._balances.can_receive(author, Balance(author_share)):
            self._balances.deposit(author, Balance(author_share))
        else:
            treasury += author_share
        if treasury and self._balances.can_receive(TREASURY, Balance(treasury)):
            self._balances.deposit(TREASURY, Balance(treasury))
        else:
            burned += treasury
        self._balances.rescind(Balance(burned), BurnReason.Fee)
        self.pending = self.tips = 0

    def _moved_multiplier(self) -> int:
        multiplier = self.next_fee_multiplier.get()
        step = VARIABILITY * (self._used * FIXED_ONE // self._capacity - TARGET) // FIXED_ONE
        factor = FIXED_ONE + step + step * step // (2 * FIXED_ONE)
        return min(max(multiplier * factor // FIXED_ONE, MULTIPLIER_MIN), MULTIPLIER_MAX)

    # --------------------------------------------------------------------------------------------- queries

    def call_info(self, call: Call, length: int) -> RuntimeDispatchInfo:
        """Return what a call of an extrinsic of `length` bytes weighs and costs."""
        weight, kind = call.weight, call.info.dispatch_class
        fee = Balance(self.fee(length, weight) if call.info.pays is Pays.Yes else 0)
        return RuntimeDispatchInfo(Weight(weight, 0), kind, fee)

    def call_details(self, call: Call, length: int) -> FeeDetails:
        """Return the parts of the fee of a call in an extrinsic of `length` bytes."""
        if call.info.pays is Pays.No:
            return FeeDetails(None, Balance(0))
        parts = InclusionFee(self._base, Balance(length * self._per_byte), Balance(self.weight_fee(call.weight)))
        return FeeDetails(parts, Balance(0))

    def _call_of(self, raw: bytes) -> tuple[Call, Extrinsic]:
        extrinsic = Extrinsic(raw)
        return self._schema.decode_call(extrinsic.call_bytes), extrinsic

    @runtime_api("TransactionPaymentApi", 4)
    def query_info(self, uxt: UncheckedExtrinsic, len_: u32) -> RuntimeDispatchInfo:
        """Query the dispatch info of an extrinsic; its signature is not checked."""
        call, extrinsic = self._call_of(uxt)
        if not extrinsic.is_signed:
            return RuntimeDispatchInfo(Weight(call.weight, 0), call.info.dispatch_class, Balance(0))
        return self.call_info(call, len_)

    @runtime_api("TransactionPaymentApi", 4)
    def query_fee_details(self, uxt: UncheckedExtrinsic, len_: u32) -> FeeDetails:
        """Query the fee details of an extrinsic; its signature is not checked."""
        call, extrinsic = self._call_of(uxt)
        return self.call_details(call, len_) if extrinsic.is_signed else FeeDetails(None, Balance(0))

    @runtime_api("TransactionPaymentApi", 4)
    def query_weight_to_fee(self, weight: Weight) -> Balance:
        """Query the output of the current `WeightToFee` given some input."""
        return Balance(self.weight_fee(weight.ref_time))

    @runtime_api("TransactionPaymentApi", 4)
    def query_length_to_fee(self, length: u32) -> Balance:
        """Query the output of the current `LengthToFee` given some input."""
        return Balance(length * self._per_byte)


class CallPaymentApis:
    """The same questions about a bare call."""

    def __init__(self, payment: TransactionPayment) -> None:
        self._payment = payment

    @runtime_api("TransactionPaymentCallApi", 3)
    def query_call_info(self, call: RuntimeCall, len_: u32) -> RuntimeDispatchInfo:
        """Query information of a dispatch class, weight, and fee of a given encoded `Call`."""
        return self._payment.call_info(call, len_)

    @runtime_api("TransactionPaymentCallApi", 3)
    def query_call_fee_details(self, call: RuntimeCall, len_: u32) -> FeeDetails:
        """Query fee details of a given encoded `Call`."""
        return self._payment.call_details(call, len_)
