"""Historical: who validated in which session, with which key and weight, for as long as that can be punished.

Sets that repeat are stored once, under the hash of their list; `HistoricalSessions` has the shape Substrate gives it.

Source: `pallet_session::historical`; the set itself stands in the state, so nobody needs membership proofs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from aitoken.codec.hints import TypeName, codec_of, u32, u64
from aitoken.codec.records import Record, record
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId, Hash32
from chain.frame.pallet import Pallet
from chain.frame.storage import TWOX_64_CONCAT, OptionMap, OptionValue, storage_map, value
from chain.pallets.session import Ed25519Public, SessionIndex


@record("pallet_session::historical::Member")
class Member(Record):
    """A validator of a session."""

    validator: AccountId
    key: Ed25519Public
    weight: u64


@record("pallet_session::historical::ValidatorSet")
class ValidatorSet(Record):
    """The validators of one or more sessions, by index, and of how many."""

    sessions: u32
    members: list[Member]


_MEMBERS = codec_of(list[Member])
SESSION_MAX: Final = 2**32 - 1


class Historical(Pallet, index=9, crate="pallet_session::historical"):
    """Who validated in which session, with which key and weight."""

    historical_sessions: OptionMap[
        SessionIndex, Annotated[tuple[Hash32, u32], TypeName("(T::Hash, ValidatorCount)")]
    ] = storage_map(
        TWOX_64_CONCAT, doc="Mapping from historical session indices to the hash and the size of their validator set."
    )
    stored_range: OptionValue[tuple[SessionIndex, SessionIndex]] = value(
        doc="The range of historical sessions we store: first and after last."
    )
    sets: OptionMap[Hash32, ValidatorSet] = storage_map(TWOX_64_CONCAT, doc="The validator sets, by hash.")

    def note_session(self, index: int, members: Sequence[tuple[AccountId, bytes, int]]) -> None:
        """Remember the validators of session `index`: account, voting key, weight."""
        rows = [Member(*row) for row in members]
        root = Hash32(blake2_256(_MEMBERS.encode(rows)))
        known = self.sets.get(root)
        self.sets.put(root, ValidatorSet(1 if known is None else known.sessions + 1, rows))
        self.historical_sessions.put(index, (root, len(rows)))
        first, _ = self.stored_range.get() or (index, index)
        self.stored_range.put((first, index + 1))

    def prune(self, oldest: int) -> None:
        """Forget the sessions before `oldest`."""
        first, end = self.stored_range.get() or (oldest, oldest)
        for session in range(first, min(oldest, end)):
            found = self.historical_sessions.take(session)
            if found is not None:
                self._release(found[0])
        self.stored_range.put((max(first, min(oldest, end)), end))

    def _release(self, root: Hash32) -> None:
        known = self.sets.get(root)
        if known is not None and known.sessions > 1:
            self.sets.put(root, ValidatorSet(known.sessions - 1, known.members))
        else:
            self.sets.remove(root)

    def members_of(self, session: int) -> Sequence[Member]:
        """Return the validators of a session, by index; none where it is not known any more, or can be no session."""
        if session > SESSION_MAX:
            return []
        found = self.historical_sessions.get(session)
        known = None if found is None else self.sets.get(found[0])
        return [] if known is None else known.members
