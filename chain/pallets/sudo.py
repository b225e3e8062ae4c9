"""Sudo: one account that may act as root, on development chains.

A live chain has no key; the chain spec of a live chain with one is refused.

Source: `pallet_sudo`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from aitoken.codec.hints import TypeName
from aitoken.types import AccountId
from chain.frame.calls import PostInfo, RuntimeCall, call
from chain.frame.origin import ROOT, Origin, Signed, ensure_signed
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet
from chain.frame.results import DispatchResult, attempt
from chain.frame.storage import OptionValue, value
from chain.frame.types import LookupSource, Pays, Weight, lookup

if TYPE_CHECKING:
    from chain.frame.machine import Machine

BoxedCall = Annotated[RuntimeCall, TypeName("Box<<T as Config>::RuntimeCall>")]


class Sudo(Pallet, index=255, crate="pallet_sudo"):
    """One account that may act as root, on development chains."""

    key: OptionValue[AccountId] = value(doc="The `AccountId` of the sudo key.")

    class Event(Events):
        """What Sudo tells."""

        class Sudid(Ev, index=0):
            """A sudo call just took place."""

            sudo_result: DispatchResult

        class KeyChanged(Ev, index=1):
            """The sudo key has been updated."""

            old: AccountId | None
            new: AccountId

        class KeyRemoved(Ev, index=2):
            """The key was permanently removed."""

        class SudoAsDone(Ev, index=3):
            """A call on behalf of another account just took place."""

            sudo_result: DispatchResult

    class Error(Errors):
        """How Sudo fails."""

        class RequireSudo(Err, index=0):
            """Sender must be the Sudo account."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._machine = machine

    @call(0, plus=lambda call: call.weight)
    def sudo(self, origin: Origin, call: BoxedCall) -> PostInfo:
        """Make a call as root."""
        self._ensure_sudo(origin)
        self.emit(self.Event.Sudid(attempt(self._machine, call, ROOT)))
        return PostInfo(pays=Pays.No)

    @call(1, plus=lambda _, said: said.ref_time)
    def sudo_unchecked_weight(
        self,
        origin: Origin,
        call: BoxedCall,
        weight: Annotated[Weight, TypeName("Weight")],  # noqa: ARG002 - what the call is charged for
    ) -> PostInfo:
        """Make a call as root, with a weight the sudo account names."""
        self._ensure_sudo(origin)
        self.emit(self.Event.Sudid(attempt(self._machine, call, ROOT)))
        return PostInfo(pays=Pays.No)

    @call(2)
    def set_key(self, origin: Origin, new: LookupSource) -> PostInfo:
        """Make another account the sudo account."""
        self._ensure_sudo(origin)
        account = lookup(new)
        old = self.key.get()
        self.key.put(account)
        self.emit(self.Event.KeyChanged(old, account))
        return PostInfo(pays=Pays.No)

    @call(3, plus=lambda _, call: call.weight)
    def sudo_as(self, origin: Origin, who: LookupSource, call: BoxedCall) -> PostInfo:
        """Make a call as a given account."""
        self._ensure_sudo(origin)
        self.emit(self.Event.SudoAsDone(attempt(self._machine, call, Signed(lookup(who)))))
        return PostInfo(pays=Pays.No)

    @call(4)
    def remove_key(self, origin: Origin) -> PostInfo:
        """Remove the sudo key for good."""
        self._ensure_sudo(origin)
        self.key.kill()
        self.emit(self.Event.KeyRemoved())
        return PostInfo(pays=Pays.No)

    def _ensure_sudo(self, origin: Any) -> None:
        if self.key.get() != ensure_signed(origin):
            raise self.Error.RequireSudo
