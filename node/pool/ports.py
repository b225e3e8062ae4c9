"""What the pool asks of the runtime; of the chain it asks `node.ports.ChainView`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from node.ports import Block


class ValidTransaction(Protocol):
    """The runtime's good verdict (`sp_runtime::transaction_validity::ValidTransaction`)."""

    @property
    def priority(self) -> int:
        """Higher is built first."""

    @property
    def requires(self) -> Sequence[bytes]:
        """Tags that must be provided first."""

    @property
    def provides(self) -> Sequence[bytes]:
        """Tags this one provides; two transactions that provide the same one exclude each other."""

    @property
    def longevity(self) -> int:
        """For how many blocks from the next one on the verdict holds."""

    @property
    def propagate(self) -> bool:
        """Whether peers are told."""


class TransactionRuntime(Protocol):
    """The rules of the block that would follow a given one."""

    def parse(self, raw: bytes) -> Extrinsic:
        """Read an extrinsic with its length prefix.

        Raises:
            Undecodable: it is none.
        """

    def check(self, parent: Block, xt: Extrinsic) -> ValidTransaction:
        """Apply every rule but the signature: cheap, so that junk costs little.

        Raises:
            Invalid: a rule is broken.
            UnknownValidity: the rules do not say.
            CannotValidate: the runtime itself failed.
        """

    def additional_signed(self, parent: Block, xt: Extrinsic) -> bytes:
        """What a signature covers besides what is sent: versions, genesis, birth block.

        Raises:
            Invalid: the birth block is not known any more.
        """

    def nonce(self, parent: Block, account: bytes) -> int:
        """The account's next nonce as the state after `parent` has it."""
