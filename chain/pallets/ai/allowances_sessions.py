"""Sessions that spend keys have opened: they are frozen with their grant, and what comes back from them counts back.

A session outlives the call that opened it: its key goes on promising what is in it. So Allowances keeps which grants
each of these sessions stands under, at most `SESSIONS_MAX` of an owner. A session leaves the list when it ends, when it
is frozen, and when its payer gives it another key or none, since it is no longer the spend key's then.

Source: payments paper, section 5.7 ("also freezes its sessions", "session deposits count as spent, returned on close").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aitoken.types import AccountId, Balance, Hash32
from chain.pallets.ai.allowances_types import SESSIONS_MAX, OpenedSession

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chain.frame.storage import Map, OptionMap


class Freezer(Protocol):
    """Takes sessions' keys away; the Sessions pallet."""

    def freeze(self, session: Hash32) -> None:
        """Let a session's key promise nothing more."""


class OpenedSessions:
    """The sessions of all owners' keys."""

    def __init__(
        self, rows: OptionMap[tuple[AccountId, Hash32], OpenedSession], counts: Map[AccountId, int], freezer: Freezer
    ) -> None:
        self._rows = rows
        self._counts = counts
        self._freezer = freezer

    def is_full(self, owner: AccountId) -> bool:
        """Whether the owner's keys may open no more sessions."""
        return self._counts.get(owner) >= SESSIONS_MAX

    def opened(self, owner: AccountId, session: Hash32, grants: Sequence[int], amount: int) -> None:
        """Remember a session; its grants from the one that was spent from to the root."""
        self._rows.put((owner, session), OpenedSession(list(grants), Balance(amount)))
        self._counts.put(owner, self._counts.get(owner) + 1)

    def topped_up(self, owner: AccountId, session: Hash32, grants: Sequence[int], amount: int) -> None:
        """Count what a grant adds to a session of its own."""
        found = self._rows.get((owner, session))
        if found is not None and found.grants == list(grants):
            self._rows.put((owner, session), OpenedSession(found.grants, Balance(found.amount + amount)))

    def take(self, owner: AccountId, session: Hash32) -> OpenedSession | None:
        """Forget a session and return what was known of it."""
        found = self._rows.take((owner, session))
        if found is not None:
            left = self._counts.get(owner) - 1
            if left:
                self._counts.put(owner, left)
            else:
                self._counts.remove(owner)
        return found

    def freeze(self, owner: AccountId, grant: int | None) -> int:
        """Freeze the sessions under a grant, or all; return how many were looked at."""
        rows = [(session, row) for (_, session), row in self._rows.items(owner)]
        for session, row in rows:
            if grant is None or grant in row.grants:
                self._freezer.freeze(session)
                self.take(owner, session)
        return len(rows)
