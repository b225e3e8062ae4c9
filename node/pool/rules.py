"""The rules of the runtime as the pool asks for them: everything but the signature, against one head at a time.

The plain way is `Executive.validate`. What it finds of an era and of the price of a kind of transaction holds for the
whole block, so the next one of the same era, call, length and tip needs only its account looked at: same result, a
third of the time. Whatever breaks a rule goes the plain way, which says what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aitoken.codec.base import DecodeError
from aitoken.proto.extrinsic import Extrinsic
from chain.frame.errors import InvalidTransaction
from chain.frame.executive import ZERO_ACCOUNT
from chain.pallets.transaction_payment import WORTH_UNIT, room_of
from node.pool.errors import Undecodable, refusal
from node.pool.pooled import IMMORTAL, Pooled

if TYPE_CHECKING:
    from aitoken.types import Hash32
    from chain.frame.calls import CallInfo
    from chain.frame.executive import Executive
    from chain.frame.system import System
    from node.ports import Block

PRICES_MAX: Final = 4096
"""Prices remembered for one head; a sender chooses length and tip."""


class Rules:
    """Implements `node.pool.ports.TransactionRuntime` on a runtime instance of its own.

    The instance follows the head, so its cache of accounts serves all transactions checked against it; it must not be
    shared with block execution, which works in slices on another state.
    """

    def __init__(self, executive: Executive, system: System) -> None:
        """Use `executive` and its `system` pallet; nobody else does."""
        self._executive = executive
        self._system = system
        self._account = system.account.get
        self._spendable = executive.fees.spendable
        self._head: Block | None = None
        self._eras: dict[int, tuple[bytes, int]] = {}
        """Era -> additional bytes, death; all have passed the plain way on this head."""
        self._prices: dict[tuple[CallInfo, int, int], tuple[int, int]] = {}
        """Call, length, tip -> fee and tip together, priority; likewise."""
        self._worths: dict[tuple[bytes, int, int], int] = {}
        """First bytes of a call, length, tip -> what they promise on any head."""

    def parse(self, raw: bytes, known_hash: Hash32 | None = None) -> Extrinsic:
        """Read the envelope of an extrinsic.

        Raises:
            Undecodable: it is none.
        """
        try:
            return Extrinsic(raw, known_hash)
        except DecodeError as error:
            raise Undecodable(str(error)) from None

    def worth(self, xt: Extrinsic) -> int:
        """What its envelope promises; a weight that depends on arguments is not known yet and counts as none."""
        key = (xt.call_bytes[:2], len(xt.raw), xt.tip)
        worth = self._worths.get(key)
        if worth is None:
            if len(self._worths) >= PRICES_MAX:
                self._worths.clear()
            worth = self._worths[key] = (xt.tip + 1) * WORTH_UNIT // self._room(xt)
        return worth

    def tip_for(self, xt: Extrinsic, worth: int) -> int:
        """The least tip with which it would promise `worth`."""
        return max(0, -(-worth * self._room(xt) // WORTH_UNIT) - 1)

    def _room(self, xt: Extrinsic) -> int:
        info = self._executive.info_of(xt.call_bytes)
        return room_of(len(xt.raw), 0 if info is None else info.fixed_weight or 0)

    def check(self, parent: Block, xt: Extrinsic) -> Pooled:
        """Apply every rule of the block after `parent` but the signature.

        Raises:
            PoolRejected: one is broken.
        """
        if parent is not self._head:
            self._load(parent)
        if xt.call is None:
            try:
                self._executive.decode(xt)
            except DecodeError as error:
                raise Undecodable(str(error)) from None
        signer, era = xt.signer, self._eras.get(xt.terms)
        price = self._prices.get((xt.call.info, len(xt.raw), xt.tip))
        if era is not None and price is not None and signer is not None and signer != ZERO_ACCOUNT:
            account, cost = self._account(signer), price[0]
            funds = self._spendable(account)
            # The last two are what `check_payable` asks, of funds that are needed anyway.
            if xt.nonce >= account.nonce and cost <= funds and (account.providers or account.sufficients):
                return Pooled(xt, signer, xt.nonce, price[1], era[1], cost, account.nonce, era[0], funds)
        return self.check_plainly(parent, xt)

    def check_plainly(self, parent: Block, xt: Extrinsic) -> Pooled:
        """What `check` does, without shortcuts; the reference.

        Raises:
            PoolRejected: a rule is broken.
        """
        self._load(parent)
        executive, number, signer = self._executive, parent.number + 1, xt.signer
        marked, additional = xt.verified_for, None
        try:
            if signer is not None:
                # Marked as verified for the length of this call, so that the cheap rules speak first.
                additional = xt.verified_for = executive.additional(xt, number)
            valid = executive.validate(xt, number)
        except InvalidTransaction as error:
            raise refusal(error) from None
        except DecodeError as error:
            raise Undecodable(str(error)) from None
        finally:
            xt.verified_for = marked
        death = min(number + valid.longevity, IMMORTAL)
        if signer is None or additional is None:
            tags = b"unsigned:" + b"".join(valid.provides)
            return Pooled(xt, tags, 0, valid.priority, death, propagate=valid.propagate)
        if valid.propagate:
            self._eras[xt.terms] = (additional, death)
            self._remember_price(xt, valid.priority)
        return Pooled(
            *(xt, signer, xt.nonce, valid.priority, death),
            *(valid.cost, self._account(signer).nonce, additional, valid.funds),
            propagate=valid.propagate,
        )

    def _remember_price(self, xt: Extrinsic, priority: int) -> None:
        info, length, tip = xt.call.info, len(xt.raw), xt.tip
        if info.fixed_weight is None:
            return  # its arguments decide what it costs
        if len(self._prices) >= PRICES_MAX:
            self._prices.clear()
        fee = self._executive.fees.fee(length, info.fixed_weight) if info.charges else 0
        self._prices[info, length, tip] = (fee + tip, priority)

    def nonce(self, parent: Block, account: bytes) -> int:
        """The account's next nonce as the state after `parent` has it."""
        if parent is not self._head:
            self._load(parent)
        return self._account(account).nonce  # type: ignore[arg-type]  # unwrapped: hot path

    def _load(self, parent: Block) -> None:
        if parent is not self._head:
            self._executive.load_for_next(parent.state, parent.number, parent.hash)
            self._head = parent
            self._eras.clear()
            self._prices.clear()
