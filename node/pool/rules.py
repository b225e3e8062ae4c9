"""The rules of the runtime as the pool asks for them: everything but the signature, against one head at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aitoken.codec.base import DecodeError
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AccountId
from chain.frame.errors import InvalidTransaction
from node.pool.errors import Undecodable, refusal
from node.pool.ports import Verdict

if TYPE_CHECKING:
    from chain.frame.executive import Executive
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

    def check(self, parent: Block, xt: Extrinsic) -> Verdict:
        """Apply every rule of the block after `parent` but the signature.

        Raises:
            PoolRejected: one is broken.
        """
        self._load(parent)
        executive, number, signer = self._executive, parent.number + 1, xt.signer
        marked, additional = xt.verified_for, None
        try:
            if signer is not None:
                # Marked as verified for the length of this call, so that the cheap rules speak first.
                additional = xt.verified_for = executive.additional(xt.era_code, xt, number)
            valid = executive.validate(xt, number)
        except InvalidTransaction as error:
            raise refusal(error) from None
        except DecodeError as error:
            raise Undecodable(str(error)) from None
        finally:
            xt.verified_for = marked
        if signer is None:
            tags = b"unsigned:" + b"".join(valid.provides)
            return Verdict(tags, 0, 0, valid.priority, valid.longevity, valid.propagate, None)
        base = self._system.account_nonce(signer)
        return Verdict(signer, xt.nonce, base, valid.priority, valid.longevity, valid.propagate, additional)

    def nonce(self, parent: Block, account: bytes) -> int:
        """The account's next nonce as the state after `parent` has it."""
        self._load(parent)
        return self._system.account_nonce(AccountId(account))

    def _load(self, parent: Block) -> None:
        if parent is not self._head:
            self._executive.load(parent.state)
            self._executive.enter_next_block(parent.hash)
            self._head = parent
