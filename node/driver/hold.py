"""When a key without any record may begin to vote: it is new, or its disk was lost, and nobody here can tell which.

At genesis, with nothing final anywhere, it may vote at once. On a running chain a former life of the key may have
voted. To vote in view w it needed a certificate of view w - 1, signed by a quorum, so among the others that say where
they stand, once they are a quorum together with us, is one that stood at w - 1 or later, and the others' disks kept
that. So the key is safe above the highest view they tell of plus one; and where a third of the weight is in a later
epoch, from the epoch after that one. A liar can make us wait for the next epoch and no longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from consensus.messages import Status
from consensus.types import Peer
from consensus.validators import Validators

PEERS_MAX: Final = 1024


class Hold:
    """What peers told while the own key waits."""

    def __init__(self, own: bytes) -> None:
        self._own = own
        self._told: dict[Peer, tuple[int, int]] = {}

    @property
    def heard_nobody(self) -> bool:
        """Whether no peer told anything yet."""
        return not self._told

    def hear(self, peer: Peer, status: Status) -> None:
        """Note where a peer stands; the furthest counts."""
        if peer in self._told or len(self._told) < PEERS_MAX:
            self._told[peer] = max(self._told.get(peer, (0, 0)), (status.epoch, status.view))

    def is_quorum(self, validators: Validators, peer_of: Callable[[bytes], Peer | None]) -> bool:
        """Whether the validators that told something, and the own key, are a quorum."""
        told = self._claims(validators, peer_of)
        own = validators.index_of(self._own)
        return sum(weight for weight, _ in told) + (0 if own is None else validators.weights[own]) >= validators.quorum

    def epoch(self, validators: Validators, peer_of: Callable[[bytes], Peer | None]) -> int:
        """Return the highest epoch that a third of the weight claims to have reached."""
        weight = 0
        for own, (epoch, _) in sorted(self._claims(validators, peer_of), key=lambda claim: -claim[1][0]):
            weight += own
            if weight >= validators.third:
                return epoch
        return 0

    def view(self, epoch: int) -> int:
        """Return the highest view of an epoch that anybody told of."""
        return max((view for at, view in self._told.values() if at == epoch), default=0)

    def _claims(
        self, validators: Validators, peer_of: Callable[[bytes], Peer | None]
    ) -> list[tuple[int, tuple[int, int]]]:
        peers = zip(map(peer_of, validators.keys), validators.keys, validators.weights, strict=True)
        return [
            (weight, self._told[peer])
            for peer, key, weight in peers
            if key != self._own and peer is not None and peer in self._told
        ]
