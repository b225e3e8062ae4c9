"""From where on a key may vote: it may have voted in a life that this node knows nothing of.

Upon a start with an intact journal      -> whatever the journal says (normally: everywhere).
Without one, with the signer's record    -> from the epoch after the recorded one, and after the present one.
Without either                           -> the key is new, or its disk was lost, and nobody here can tell which: hold.
With the operator's word, or by a signer
that remembers all it signed (force)     -> everywhere: what must not be signed, the signer refuses.

Holding at genesis (no certificate seen) ends when a quorum, the own key included, says that it stands there too, or a
while after the first says anything. Whoever says that the chain has moved, or that our key has voted, is given much
more time to show it: certificates and votes come with the answer to our status, and an own vote among them silences the
core for the epoch. On a running chain it ends when others that are a quorum without the own key all stand in the
running epoch, at view V at most, and this node can see from its own certificates that no view below V ended it.

    In this epoch: to vote in view w, the former life needed a certificate of view w - 1; two quorums share an honest
    validator, which is not the own key; so one of those others stood at w - 1 or later, and its disk kept that. Hence
    the key is safe above view V + 1.
    In a later one: the former life needed the finalization of the last block, in some view v. One of those others voted
    for it, hence knew it notarized, hence stood at v + 1 or later: v < V. Our tip at V or later is no last block, and
    all views since are nullified; a view is not final and nullified, and what is notarized after a final last block is
    that block. So there was no such v, and the key is safe. That the others stand in this epoch would not be enough:
    the validators of the next may be other people, and have voted for long while these do not know it yet.

A liar can make a key wait for the next epoch, not longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aitoken.types import Hash32
from consensus.journal import Opening, Replay
from consensus.messages import Status
from consensus.types import Peer
from consensus.validators import Validators

UNKNOWN: Final = 2**64 - 1
"""`votes_from` of a key that holds."""
PEERS_MAX: Final = 1024

PeerOf = Callable[[bytes], Peer | None]


class Permission:
    """Where one key may vote.

    Args:
        key: the own key.
        epoch: in which the node wakes up.
        found: the journal, None where there is none that is intact.
        recorded: the highest epoch of the signer's record; None without one.
        force: no copy of this key ever voted elsewhere, by the operator's word or the signer's memory.
    """

    def __init__(self, key: bytes, epoch: int, found: Replay | None, recorded: int | None, *, force: bool) -> None:
        self._key = key
        self._floors: dict[int, int] = {}
        self._told: dict[Peer, tuple[int, int]] = {}
        self._moved: set[Peer] = set()
        if force:
            self.votes_from = 0
        elif found is not None:
            self.votes_from = found.opening.votes_from
            if found.opening.floor:
                self._floors = {found.opening.epoch: found.opening.floor}
        elif recorded is not None:
            self.votes_from = max(recorded, epoch) + 1
        else:
            self.votes_from = UNKNOWN

    @property
    def holds(self) -> bool:
        """Whether it is not known yet."""
        return self.votes_from == UNKNOWN

    @property
    def heard_nobody(self) -> bool:
        """Whether no peer told anything yet."""
        return not self._told

    @property
    def heard_of_movement(self) -> bool:
        """Whether anybody says that the chain has left genesis, or that our key has voted."""
        return bool(self._moved)

    def may_vote(self, epoch: int) -> bool:
        """Whether the key may vote in some view of this epoch."""
        return epoch >= self.votes_from

    def floor(self, epoch: int) -> int:
        """Return the view up to which the key must stay silent in this epoch."""
        return self._floors.get(epoch, 0)

    def opening(self, genesis_hash: Hash32, epoch: int) -> Opening:
        """Return the journal record that keeps this."""
        return Opening(genesis_hash, self._key, epoch, self.votes_from, self.floor(epoch))

    def hear(self, peer: Peer, status: Status, index: int | None) -> None:
        """Note where a peer says it stands; what it said before counts where it was further. `index` is our own."""
        if peer not in self._told and len(self._told) >= PEERS_MAX:
            return
        self._told[peer] = max(self._told.get(peer, (0, 0)), (status.epoch, status.view))
        seen = [status.nullify_seen, *(bitmap for _, bitmap in status.notarize_seen)]
        ours = index is not None and any(int.from_bytes(bitmap, "little") >> index & 1 for bitmap in seen)
        if ours or status.epoch > 0 or status.view > 1 or status.final_number > 0:
            self._moved.add(peer)

    def end_at_genesis(self) -> None:
        """Nobody has voted for anything that lasted: vote everywhere."""
        self.votes_from = 0

    def knows_enough_at_genesis(self, validators: Validators, peer_of: PeerOf) -> bool:
        """Whether those that told something, and the own key, are a quorum, and nobody says that the chain moved."""
        if self._moved:
            return False
        own = validators.index_of(self._key)
        weight = 0 if own is None else validators.weights[own]
        return weight + sum(weight for weight, _ in self._claims(validators, peer_of)) >= validators.quorum

    def end_if_known(self, epoch: int, validators: Validators, peer_of: PeerOf, open_view: int) -> bool:
        """On a running chain: end holding if the others of this epoch are a quorum by themselves.

        No view below `open_view` ended the epoch, as this node knows by proof.
        """
        claims = [(weight, view) for weight, (at, view) in self._claims(validators, peer_of) if at == epoch]
        highest = max((view for _, view in claims), default=0)
        if sum(weight for weight, _ in claims) < validators.quorum or highest > open_view:
            return False
        self.votes_from = epoch
        self._floors = {epoch: highest + 1}
        return True

    def _claims(self, validators: Validators, peer_of: PeerOf) -> list[tuple[int, tuple[int, int]]]:
        claims = []
        for key, weight in zip(validators.keys, validators.weights, strict=True):
            peer = None if key == self._key else peer_of(key)
            if peer is not None and peer in self._told:
                claims.append((weight, self._told[peer]))
        return claims
