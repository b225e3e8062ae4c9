"""Authorship: who made the current block.

The leader's index stands in the first digest item; it counts in the validators of the session the block belongs to.

Source: `pallet_authorship`; the author stays readable after the block, where Substrate removes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from aitoken.proto.digest import BABE_ENGINE, PRE_RUNTIME, Digest
from aitoken.types import AccountId, BlockNumber
from chain.frame.pallet import Pallet
from chain.frame.storage import OptionValue, value

if TYPE_CHECKING:
    from chain.frame.machine import Machine


class Header(Protocol):
    """The block being executed."""

    def current_digest(self) -> Digest:
        """The digest so far."""


class ValidatorList(Protocol):
    """The validators of the current session."""

    def current_validators(self) -> Sequence[AccountId]:
        """Their accounts, by index."""


class PointsBook(Protocol):
    """Where authors are credited; the Staking pallet."""

    def note_author(self, who: AccountId) -> None:
        """Be told who made the block."""


class Authorship(Pallet, index=2, crate="pallet_authorship"):
    """Who made the current block."""

    author: OptionValue[AccountId] = value(doc="Author of current block.")

    def __init__(self, machine: Machine, header: Header, session: ValidatorList, points: PointsBook) -> None:
        super().__init__(machine)
        self._header = header
        self._session = session
        self._points = points

    def on_initialize(self, number: BlockNumber) -> int:  # noqa: ARG002 - the same for every block
        """Note the author."""
        data = self._header.current_digest().find(PRE_RUNTIME, BABE_ENGINE)
        validators = self._session.current_validators()
        index = int.from_bytes(data[1:5], "little") if data is not None and len(data) >= 5 else len(validators)
        if index < len(validators):
            self.author.put(validators[index])
            self._points.note_author(validators[index])
        else:
            self.author.kill()
        return self.cost_of("on_initialize").at(len(validators))

    def current_author(self) -> AccountId | None:
        """Return the author of the current block."""
        return self.author.get()
