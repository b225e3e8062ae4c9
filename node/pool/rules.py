"""The rules of the runtime as the pool asks for them: everything but the signature, against one head at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aitoken.codec.base import DecodeError
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AccountId
from chain.frame.errors import InvalidTransaction
from node.pool.errors import Undecodable, refusal

if TYPE_CHECKING:
    from chain.frame.executive import Executive, ValidTransaction
    from chain.frame.system import System
    from node.ports import Block


class Rules:
    """Implements `node.pool.ports.TransactionRuntime` on a runtime instance of its own.

    The instance is loaded once a head, so its cache of accounts serves all transactions checked against it; it must
    not be shared with block execution, which works in slices on another state.
    """

    def __init__(self, executive: Executive, system: System) -> None:
        """Use `executive` and its `system` pallet; nobody else does."""
        self._executive = executive
        self._system = system
        self._head: Block | None = None

    def parse(self, raw: bytes) -> Extrinsic:
        """Read an extrinsic and its call.

        Raises:
            Undecodable: it is none, or calls something unknown.
        """
        try:
            xt = Extrinsic(raw)
            self._executive.decode(xt)
        except DecodeError as error:
            raise Undecodable(str(error)) from None
        return xt

    def check(self, parent: Block, xt: Extrinsic) -> ValidTransaction:
        """Apply every rule of the block after `parent` but the signature.

        Raises:
            PoolRejected: one is broken.
        """
        self._load(parent)
        marked = xt.verified_for
        try:
            if xt.signer is not None:
                # Marked as verified for the length of this call, so that the cheap rules speak first.
                xt.verified_for = self._executive.additional(xt.era_code, xt, parent.number + 1)
            return self._executive.validate(xt, parent.number + 1)
        except InvalidTransaction as error:
            raise refusal(error) from None
        except DecodeError as error:
            raise Undecodable(str(error)) from None
        finally:
            xt.verified_for = marked

    def additional_signed(self, parent: Block, xt: Extrinsic) -> bytes:
        """What a signature covers besides what is sent.

        Raises:
            PoolRejected: the birth block is not known any more.
        """
        self._load(parent)
        try:
            return self._executive.additional(xt.era_code, xt, parent.number + 1)
        except InvalidTransaction as error:
            raise refusal(error) from None

    def nonce(self, parent: Block, account: bytes) -> int:
        """The account's next nonce as the state after `parent` has it."""
        self._load(parent)
        return self._system.account_nonce(AccountId(account))

    def _load(self, parent: Block) -> None:
        if parent is not self._head:
            self._executive.load(parent.state)
            self._executive.enter_next_block(parent.hash)
            self._head = parent
