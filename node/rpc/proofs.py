"""Proofs under states that are no longer at the tip.

The tip keeps its trie in memory; older states answer reads only. For a chain of moderate size the trie of an older
state is built anew from its pairs (3 us a key); the last one built is kept, since a caller usually asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from aitoken.types import Hash32
from chain.state.base import State, StateDiscarded
from chain.state.layer import FinalState

KEYS_MAX: Final = 50_000
"""Largest state that is built anew: 150 ms."""


class Prover:
    """Makes read proofs at any block whose state can be read."""

    def __init__(self) -> None:
        self._block: Hash32 | None = None
        self._state: FinalState | None = None

    def prove(self, block: Hash32, state: State, keys: Sequence[bytes]) -> list[bytes]:
        """Return the trie nodes that show `keys` under the state of `block`.

        Raises:
            StateDiscarded: the state cannot be read, or is too large to be built anew.
        """
        try:
            return state.prove(keys)
        except StateDiscarded:
            pass
        if self._block != block or self._state is None:
            pairs = list(islice(state.iterate(b""), KEYS_MAX + 1))
            if len(pairs) > KEYS_MAX:
                raise StateDiscarded("too large for a proof")
            self._block, self._state = block, FinalState.in_memory(dict(pairs))
        return self._state.prove(keys)
