"""Supply: every change of the total issuance, by reason, so that anybody can add it up.

There is one number, `Balances.TotalIssuance`; this pallet says why it is what it is. After every block

    TotalIssuance == Genesis + sum(Minted) - sum(Burned)        and        IssuedEver == Genesis + sum(Minted) <= cap

Burned tokens never come back: what may still be minted depends on what was ever issued, not on what is left.

Source: runtime paper, section 6.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Protocol

from aitoken.codec.hints import u128
from aitoken.codec.records import Record, record
from aitoken.errors import invariant
from aitoken.types import Balance, BlockNumber
from chain.frame.errors import Overflow
from chain.frame.pallet import Ev, Events, Pallet, constant, runtime_api
from chain.frame.storage import TWOX_64_CONCAT, Map, Value, storage_map, value
from chain.pallets.balances import BurnReason, MintReason

if TYPE_CHECKING:
    from chain.frame.machine import Machine

RATE_ONE = 10**24
"""`IssuanceRate` is in units of 10^-24 per millisecond."""
_MINTED, _BURNED = tuple(MintReason), tuple(BurnReason)


@record("pallet_supply::Summary")
class Summary(Record):
    """The supply after a block. All amounts in the smallest unit."""

    total: Balance
    max_issuance: Balance
    genesis: Balance
    issued_ever: Balance
    minted: list[tuple[MintReason, Balance]]
    burned: list[tuple[BurnReason, Balance]]


class TotalIssuance(Protocol):
    """The one number."""

    def get(self) -> Balance:
        """The total issuance."""


class Supply(Pallet, index=13, crate="pallet_supply"):
    """Every change of the total issuance, by reason."""

    genesis: Value[Balance] = value(doc="The issuance at genesis.")
    issued_ever: Value[Balance] = value(doc="All that was ever issued; what was burned since is not subtracted.")
    minted_for: Map[MintReason, Balance] = storage_map(TWOX_64_CONCAT, name="Minted", doc="What was minted, by reason.")
    burned_for: Map[BurnReason, Balance] = storage_map(TWOX_64_CONCAT, name="Burned", doc="What was burned, by reason.")

    max_issuance: Balance = constant(
        lambda env: env.params.max_issuance, doc="What may ever be issued; nothing is minted beyond."
    )
    issuance_rate: Annotated[int, u128] = constant(
        3_338_673_272_296,
        doc="Share of what is left below the cap that is issued per millisecond, in units of 10^-24: 10% a year.",
    )

    class Event(Events):
        """What Supply tells."""

        class Minted(Ev, index=0):
            """Tokens came into being."""

            reason: MintReason
            amount: Balance

        class Burned(Ev, index=1):
            """Tokens ceased to be."""

            reason: BurnReason
            amount: Balance

    def __init__(self, machine: Machine, issuance: TotalIssuance) -> None:
        super().__init__(machine)
        self._issuance = issuance

    def start(self, total: Balance) -> None:
        """Note the issuance at genesis."""
        self.genesis.put(total)
        self.issued_ever.put(total)

    def room(self) -> Balance:
        """Return what may still be minted."""
        return Balance(self.max_issuance - self.issued_ever.get())

    def minted(self, amount: Balance, reason: MintReason) -> None:
        """Book a mint; whoever calls has changed an account and the total issuance by as much.

        Raises:
            Overflow: it would go beyond the cap; not even root may.
        """
        if amount > self.room():
            raise Overflow
        self.minted_for.put(reason, Balance(self.minted_for.get(reason) + amount))
        self.issued_ever.put(Balance(self.issued_ever.get() + amount))
        self.emit(self.Event.Minted(reason, amount))

    def burned(self, amount: Balance, reason: BurnReason) -> None:
        """Book a burn; whoever calls has changed an account and the total issuance by as much."""
        self.burned_for.put(reason, Balance(self.burned_for.get(reason) + amount))
        self.emit(self.Event.Burned(reason, amount))

    def check_block(self, number: BlockNumber) -> None:
        """Check the equations of this module."""
        issued = self.genesis.get() + sum(map(self.minted_for.get, _MINTED))
        burned = sum(map(self.burned_for.get, _BURNED))
        invariant(self._issuance.get() == issued - burned, f"block {number}: issuance is not the sum of its reasons")
        invariant(issued == self.issued_ever.get(), f"block {number}: issued-ever is not genesis and mints")
        invariant(issued <= self.max_issuance, f"block {number}: more was issued than may ever be")

    @runtime_api("SupplyApi", 1)
    def summary(self) -> Summary:
        """Return the supply after this block, by reason."""
        return Summary(
            self._issuance.get(),
            self.max_issuance,
            self.genesis.get(),
            self.issued_ever.get(),
            [(reason, self.minted_for.get(reason)) for reason in MintReason],
            [(reason, self.burned_for.get(reason)) for reason in BurnReason],
        )
