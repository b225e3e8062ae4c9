"""What a state is: an ordered map of byte strings with an authenticated root.

A *state* is what the chain knows after one block. It never changes once made: executing the next block yields a
child. Unfinalised states are layers in memory (`chain.state.layer`), the final one lives on disk (`node.store`).

Keys and values are arbitrary byte strings; an empty value is a value, `None` means that there is none. Order is that
of the bytes of the key.

Source: `sp_state_machine::backend::Backend`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aitoken.errors import Unavailable
from aitoken.types import Hash32

if TYPE_CHECKING:
    from chain.state.layer import Layer

Changes: TypeAlias = Mapping[bytes, bytes | None]
"""What a block did to the state: the new value of each changed key, None where it was removed."""


class StateVersion(IntEnum):
    """How the trie holds values: V0 inline always, V1 by their hash from 33 bytes on.

    Source: `sp_storage::StateVersion`. States of this chain are V1; the trie of extrinsics is V0.
    """

    V0 = 0
    V1 = 1


class StateDiscarded(Unavailable):
    """The state of that block is no longer (or was never) kept."""

    code = "state.discarded"


class StateDamaged(Unavailable):
    """What is stored is not the state that became final."""

    code = "state.damaged"


class KeyValue(Protocol):
    """An ordered map of bytes, to be read."""

    def get(self, key: bytes, /) -> bytes | None:
        """Return the value of `key`, or None."""

    def iterate(self, prefix: bytes, after: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs whose key starts with `prefix`, ascending, those greater than `after` only.

        Use an iterator up before anything else happens to the state.
        """


class State(KeyValue, Protocol):
    """The state after one block."""

    @property
    def root(self) -> Hash32:
        """The trie root over all pairs: what the header of the block says."""

    def child(self, changes: Changes, /) -> Layer:
        """Return the state after `changes`, its root computed.

        Raises:
            StateDiscarded: another branch became final meanwhile, or the state is too old to build on.
        """

    def prove(self, keys: Iterable[bytes], /) -> list[bytes]:
        """Return the trie nodes and hashed values that show the values of `keys`, or their absence, under `root`.

        Raises:
            StateDiscarded: the state is too old for proofs.
        """
