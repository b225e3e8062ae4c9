"""Proposals without the bytes that everybody has: header, hashes of extrinsics, and the few nobody can have yet.

The receiver takes what it knows from its pool, asks the sender for the rest, and after a time-out or a wrong answer for
the block in full, once. Consensus only ever sees full proposals.

An extrinsic is named by its whole hash. Short keyed ids would be a quarter of the size, but the receiver would have to
compute that of its whole pool for every proposal instead of looking up those of the block: docs/adr/0046.

Whatever comes with a header - in a proposal, as an answer, from sync - must have the header's extrinsics root before
anything else sees it: two bodies under one block hash would make honest nodes disagree about a block for ever.

Source: section 15.4 and pitfall P12 of the consensus paper.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.proto.header import Header
from aitoken.types import Hash32
from chain.state.ordered import ordered_root
from consensus.messages import BlockReply, Extrinsics, Full, GetBlock, GetExtrinsics, NotHave, Proposal
from node.bodies import Bodies
from node.net.channels import KIB, Channel
from node.net.messages import CompactProposal
from node.net.peer import Peer
from node.net.wire import HASH_SIZE

COMPACT_FROM: Final = 8 * KIB
"""Bodies below this are sent in full: a round trip for a gap would cost more than the bytes."""
SERVED_MAX: Final = 8
PARTIAL_MAX: Final = 16
ANSWER_DEADLINE_S: Final = 0.5


class WrongBody(Rejected):
    """The extrinsics are not those of the header."""

    code = "net.wrong_body"


class WrongExtrinsics(Rejected):
    """An answer contains other extrinsics than were asked for."""

    code = "net.wrong_extrinsics"


class Lookup(Protocol):
    """Where extrinsics are found by hash (`node.net.gossip`)."""

    def find(self, tx_hash: Hash32) -> bytes | None:
        """Return an extrinsic we hold."""

    def is_fresh(self, tx_hash: Hash32) -> bool:
        """Whether peers may not have it yet."""


class NothingKnown:
    """The lookup of a node without a pool."""

    def find(self, tx_hash: Hash32) -> bytes | None:
        """Return nothing."""
        del tx_hash
        return None

    def is_fresh(self, tx_hash: Hash32) -> bool:
        """Say no."""
        del tx_hash
        return False


@dataclass(slots=True)
class _Partial:
    peer: Peer
    proposal: CompactProposal
    hashes: list[Hash32]
    extrinsics: list[bytes | None]
    gaps: list[int]
    wants_full: bool = False
    timer: asyncio.TimerHandle | None = None


def check_body(header: bytes, extrinsics: tuple[bytes, ...], bodies: Bodies | None = None) -> Header:
    """Return the header if `extrinsics` are the ones it names; `bodies` remembers what was computed for that.

    Raises:
        WrongBody: they are not.
        DecodeError: the header does not read.
    """
    parsed = Header.decode(header)
    root = ordered_root(extrinsics) if bodies is None else bodies.root(extrinsics)
    if root != parsed.extrinsics_root:
        raise WrongBody(f"block {parsed.number}")
    return parsed


class Proposals:
    """Makes proposals compact on the way out and full on the way in."""

    def __init__(
        self,
        lookup: Lookup,
        deliver: Callable[[Peer, Proposal], None],
        counts: Counter[str] | None = None,
        bodies: Bodies | None = None,
    ) -> None:
        """Store what it is made of.

        Args:
            lookup: extrinsics by hash.
            deliver: gets proposals from peers with their block in full.
            counts: where to count what happens.
            bodies: shared with whoever builds and executes blocks.
        """
        self._counts = Counter() if counts is None else counts
        self._bodies = bodies if bodies is not None else Bodies()
        self._lookup = lookup
        self._deliver = deliver
        self._served: OrderedDict[Hash32, tuple[bytes, ...]] = OrderedDict()
        self._partial: OrderedDict[Hash32, _Partial] = OrderedDict()

    def stop(self) -> None:
        """Forget what is under way."""
        for partial in self._partial.values():
            if partial.timer is not None:
                partial.timer.cancel()
        self._partial.clear()

    # -- out

    def shrink(self, proposal: Proposal) -> Proposal | CompactProposal:
        """Return the form in which to broadcast a proposal."""
        body = proposal.body
        if not isinstance(body, Full) or sum(map(len, body.extrinsics)) < COMPACT_FROM:
            return proposal
        self._served[Hash32(blake2_256(body.header))] = body.extrinsics
        if len(self._served) > SERVED_MAX:
            self._served.popitem(last=False)
        hashes = self._bodies.hashes(body.extrinsics)
        prefilled = []
        for index, (tx_hash, raw) in enumerate(zip(hashes, body.extrinsics, strict=True)):
            if self._lookup.find(tx_hash) is None or self._lookup.is_fresh(tx_hash):
                prefilled.append((index, raw))
        return CompactProposal(
            proposal.epoch,
            proposal.view,
            proposal.parent_view,
            proposal.vote,
            body.header,
            b"".join(hashes),
            tuple(prefilled),
            proposal.justification,
        )

    def on_get(self, peer: Peer, message: GetExtrinsics) -> None:
        """Send the extrinsics of a block we proposed."""
        extrinsics = self._served.get(message.block_hash)
        if extrinsics is None:
            peer.send(NotHave(message.block_hash))
            return
        items = tuple((index, extrinsics[index]) for index in dict.fromkeys(message.indices) if index < len(extrinsics))
        peer.send(Extrinsics(message.block_hash, items))

    # -- in

    def on_full(self, peer: Peer, proposal: Proposal) -> None:
        """Take a proposal that came in full, or again.

        Raises:
            Rejected: the body is not the header's.
        """
        if isinstance(proposal.body, Full):
            check_body(proposal.body.header, proposal.body.extrinsics, self._bodies)
        self._deliver(peer, proposal)

    def on_compact(self, peer: Peer, proposal: CompactProposal) -> None:
        """Complete a compact proposal, or ask for what is missing.

        Raises:
            Rejected: the body is not the header's.
        """
        hashes = proposal.hashes
        extrinsics: list[bytes | None] = [None] * (len(hashes) // HASH_SIZE)
        for index, raw in proposal.prefilled:
            if index >= len(extrinsics) or blake2_256(raw) != hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE]:
                raise WrongExtrinsics(f"prefilled extrinsic {index}")
            extrinsics[index] = raw
        gaps = []
        find = self._lookup.find
        split = [Hash32(hashes[at : at + HASH_SIZE]) for at in range(0, len(hashes), HASH_SIZE)]
        for index, held in enumerate(extrinsics):
            if held is None:
                found = extrinsics[index] = find(split[index])
                if found is None:
                    gaps.append(index)
        partial = _Partial(peer, proposal, split, extrinsics, gaps)
        self._counts["proposals_compact"] += 1
        self._counts["proposals_extrinsics"] += len(extrinsics)
        self._counts["proposals_gaps"] += len(gaps)
        if not gaps:
            self._complete(partial)
            return
        block_hash = Hash32(blake2_256(proposal.header))
        if block_hash in self._partial:
            return
        self._partial[block_hash] = partial
        if len(self._partial) > PARTIAL_MAX:
            self._end(next(iter(self._partial)))
        peer.allow_full(Channel.PROPOSALS)
        peer.send(GetExtrinsics(block_hash, tuple(gaps)))
        self._await_answer(block_hash, partial)

    def on_extrinsics(self, peer: Peer, message: Extrinsics) -> None:
        """Fill the gaps.

        Raises:
            Rejected: other extrinsics than were asked for.
        """
        partial = self._partial.get(message.block_hash)
        if partial is None or partial.peer is not peer:
            return
        hashes = partial.proposal.hashes
        gaps = set(partial.gaps)
        for index, raw in message.items:
            if index not in gaps or blake2_256(raw) != hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE]:
                raise WrongExtrinsics(f"extrinsic {index}")
            partial.extrinsics[index] = raw
        partial.gaps = [index for index in partial.gaps if partial.extrinsics[index] is None]
        if partial.gaps:
            self._ask_in_full(message.block_hash)
        else:
            self._end(message.block_hash)
            self._complete(partial)

    def on_block(self, peer: Peer, reply: BlockReply) -> bool:
        """Take a block in full if we asked for it here; False when consensus may have.

        Raises:
            Rejected: the body is not the header's.
        """
        block_hash = check_body(reply.header, reply.extrinsics, self._bodies).hash
        partial = self._partial.get(block_hash)
        if partial is None or partial.peer is not peer or not partial.wants_full:
            return False
        self._end(block_hash)
        partial.extrinsics = list(reply.extrinsics)
        self._complete(partial)
        return True

    def on_not_have(self, peer: Peer, block_hash: Hash32) -> bool:
        """The sender of a compact proposal cannot fill it; False when consensus asked."""
        partial = self._partial.get(block_hash)
        if partial is None or partial.peer is not peer:
            return False
        if partial.wants_full:
            self._end(block_hash)
        else:
            self._ask_in_full(block_hash)
        return True

    def _complete(self, partial: _Partial) -> None:
        proposal = partial.proposal
        extrinsics = tuple([raw for raw in partial.extrinsics if raw is not None])
        check_body(proposal.header, extrinsics, self._bodies)
        if not partial.wants_full:  # then each was found or checked by its hash
            self._bodies.note(extrinsics, hashes=partial.hashes)
        self._deliver(
            partial.peer,
            Proposal(
                proposal.epoch,
                proposal.view,
                proposal.parent_view,
                proposal.vote,
                Full(proposal.header, extrinsics),
                proposal.justification,
            ),
        )

    def _ask_in_full(self, block_hash: Hash32) -> None:
        partial = self._partial[block_hash]
        if partial.wants_full or not partial.peer.is_open:
            self._end(block_hash)  # consensus will ask around once others vote for it
            return
        partial.wants_full = True
        self._counts["proposals_asked_in_full"] += 1
        partial.peer.send(GetBlock(block_hash))
        self._await_answer(block_hash, partial)

    def _await_answer(self, block_hash: Hash32, partial: _Partial) -> None:
        if partial.timer is not None:
            partial.timer.cancel()
        partial.timer = asyncio.get_running_loop().call_later(ANSWER_DEADLINE_S, self._ask_in_full, block_hash)

    def _end(self, block_hash: Hash32) -> None:
        partial = self._partial.pop(block_hash)
        if partial.timer is not None:
            partial.timer.cancel()
