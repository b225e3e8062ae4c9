"""What the pool asks of the runtime; of the chain it asks `node.ports.ChainView`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from aitoken.types import Hash32
    from node.pool.pooled import Pooled
    from node.ports import Block


class TransactionRuntime(Protocol):
    """The rules of the block that would follow a given one."""

    def parse(self, raw: bytes, known_hash: Hash32 | None = None) -> Extrinsic:
        """Read the envelope of an extrinsic with its length prefix; its call is read when it is checked first.

        `known_hash` is the hash of all its bytes, where it is known.

        Raises:
            Undecodable: it is none.
        """

    def worth(self, xt: Extrinsic) -> int:
        """What its envelope promises: the priority its tip would give it if all else is well, which nobody has seen."""

    def tip_for(self, xt: Extrinsic, worth: int) -> int:
        """The least tip with which it would promise `worth`."""

    def check(self, parent: Block, xt: Extrinsic) -> Pooled:
        """Apply every rule of the block after `parent` but the signature: cheap, so that junk costs little.

        Raises:
            Undecodable: its call is none.
            Invalid: a rule is broken.
            UnknownValidity: the rules do not say.
            CannotValidate: the runtime itself failed.
        """

    def nonce(self, parent: Block, account: bytes) -> int:
        """The account's next nonce as the state after `parent` has it."""
