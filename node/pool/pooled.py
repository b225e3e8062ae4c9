"""A transaction that keeps the rules: made once, when they are checked, and what the pool holds from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from aitoken.types import Hash32

IMMORTAL: Final = 2**63


class Pooled:
    """A transaction that keeps every rule of the next block but, perhaps, the signature."""

    __slots__ = (
        "additional", "at", "base", "cost", "death", "floor", "funds", "hash", "is_next", "lane", "nonce", "priority",
        "propagate", "ready", "sender", "size", "turn", "xt",
    )  # fmt: skip

    at: Hash32
    """The head it was checked against."""
    lane: Lane
    """Where it waits, or is about to: see `is_next`."""

    def __init__(
        self,
        xt: Extrinsic,
        sender: bytes,
        nonce: int,
        priority: int,
        death: int,
        cost: int = 0,
        base: int = 0,
        additional: bytes | None = None,
        funds: int = 0,
        *,
        propagate: bool = True,
    ) -> None:
        """Describe a transaction.

        Args:
            xt: the transaction.
            sender: whose nonces order it: the account; for an unsigned one a name of what it provides, so that two that
                provide the same meet as one sender's nonce 0.
            nonce: its place in that order.
            priority: the runtime's; higher is built first.
            death: first block number it can no longer be in; `IMMORTAL` for never.
            cost: fee and tip, which are taken whatever becomes of the call.
            base: the sender's next nonce on chain when it was checked.
            additional: what the signature must cover besides what is sent: versions, genesis, birth block; None
                without a signature.
            funds: what whoever pays had for fees and tips then.
            propagate: whether peers are told.
        """
        self.xt = xt
        self.hash: Hash32 = xt.hash
        self.sender = sender
        self.nonce = nonce
        self.priority = priority
        self.floor = priority
        self.death = death
        self.size = len(xt.raw)
        self.turn = 0
        self.ready = False
        """Whether it waits and nothing is missing before it."""
        self.is_next = False
        """Whether it can simply be put at the end of `lane` (`Waiting.check`); holds until anything happens."""
        self.propagate = propagate
        self.cost = cost
        self.base = base
        self.additional = additional
        self.funds = funds

    @property
    def needs_signature(self) -> bool:
        """Whether a signature is still to be checked."""
        return self.additional is not None and self.xt.verified_for != self.additional


class Lane:
    """The transactions of one sender: ready ones are base <= nonce < end; `cost` is what all are charged."""

    __slots__ = ("base", "by_nonce", "cost", "end")

    def __init__(self, base: int) -> None:
        """Begin empty at the sender's nonce on chain."""
        self.base = base
        self.cost = 0
        self.end = base
        self.by_nonce: dict[int, Pooled] = {}
