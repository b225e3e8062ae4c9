"""Snapshot sync: begin at the end of the newest epoch, with its state, instead of executing the chain from genesis.

    1  peers tell the ends of epochs; each is followed from what we trust (genesis, a checkpoint) and checked
    2  the state after the last one is fetched piece by piece from whoever has it; pieces prove themselves
    3  its block is fetched, the database is finished; block sync goes on from there

A wrong piece is a lie and costs the connection. Epochs that cannot be followed might also mean that *we* start from the
wrong place, so nobody is blamed for them; where three peers fail alike, that is what is reported.

What was fetched stays on disk: after an interruption the same state is gone on with while a peer serves it.
Whatever makes this impossible ends in `CannotWarp`, and the caller falls back to block sync.

Source: section 11 of the consensus paper.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from aitoken.errors import Rejected, Unavailable
from aitoken.proto.finality import Anchor, follow
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from node.net.messages import StateLeaves
from node.net.peer import Peer
from node.net.pieces import Pairs, check_leaves, check_node
from node.net.ports import Neighbours
from node.net.score import Deed
from node.net.state_sync import StateSync
from node.net.sync import BlockSync
from node.store.restore import FinalBlock, Restoring
from node.tasks import cancel, spawn

PEERS_WANTED: Final = 3
PEERS_WAIT_S: Final = 10.0
POLL_S: Final = 0.05
ASKED_AT_ONCE: Final = 4
"""Pieces asked of one peer at a time."""
TIMEOUTS_MAX: Final = 3
"""A peer that left so many questions unanswered is not asked any more."""
FAILING_ALIKE: Final = 3

log = logging.getLogger(__name__)


class CannotWarp(Unavailable):
    """Snapshot sync is not possible; the sentence says why."""

    code = "net.cannot_warp"


class WrongStart(CannotWarp):
    """What several peers show does not follow from what is trusted here."""

    code = "net.wrong_start"


class ConflictingEpochs(Rejected):
    """Two different blocks that end one epoch, both certified: a third of the weight is dishonest."""

    code = "net.conflicting_epochs"


@dataclass(frozen=True, slots=True)
class Link:
    """The proven end of an epoch."""

    header: Header
    certificate: bytes
    anchor: Anchor


class Begin(Protocol):
    """Makes the unfinished database."""

    def __call__(self, header: Header) -> Restoring:
        """Start anew with the state of this block."""


class Warp:
    """One snapshot sync.

    Args:
        neighbours: the connections.
        states: asks for epochs and pieces.
        blocks: asks for the block itself.
        start: what is trusted.
        required: the hash of a block the chain must contain: a checkpoint above `start`.
        begin: makes an unfinished database.
        resumed: one that was left unfinished.
        check_trust: refuses the trusted block where it is too old, by raising.
    """

    def __init__(
        self,
        neighbours: Neighbours,
        states: StateSync,
        blocks: BlockSync,
        start: Anchor,
        *,
        begin: Begin,
        required: Hash32 | None = None,
        resumed: Restoring | None = None,
        check_trust: Callable[[Anchor], None] = lambda _: None,
    ) -> None:
        self._neighbours = neighbours
        self._states = states
        self._blocks = blocks
        self._start = start
        self._required = None if required == start.hash else required
        self._begin = begin
        self._resumed = resumed
        self._check_trust = check_trust
        self._wanted = PEERS_WANTED if self._required is None else 1
        self._timeouts: dict[bytes, int] = {}
        self._without: set[bytes] = set()
        """Who lied or has nothing, by name: a bootnode that is cut off is dialled again."""
        self.pieces = 0

    async def run(self) -> tuple[Restoring, list[FinalBlock]]:
        """Fetch the state; return the unfinished database, complete, and the blocks to finish it with.

        Raises:
            CannotWarp: it is not possible (now); what was fetched stays for another time.
            ConflictingEpochs: two chains are final; do not choose one by yourself.
        """
        self._check_trust_in_start()
        links = await self._epochs(await self._peers())
        while True:
            restoring, link = self._choose(links)
            log.info("fetching the state of block %d", link.header.number, extra={"epoch": link.anchor.epoch})
            try:
                await self._fetch(restoring, link)
                body = await self._body(link)
            except BaseException as failure:
                restoring.close()
                if restoring is not self._resumed or not isinstance(failure, CannotWarp):
                    raise
                self._resumed = None  # nobody serves that state any more: the newest one instead
                self._without.clear()
                self._timeouts.clear()
                continue
            known = [each for each in links if each.header.number < link.header.number]
            blocks = [FinalBlock(each.header, each.certificate, None) for each in known]
            return restoring, [*blocks, FinalBlock(link.header, link.certificate, body)]

    def _check_trust_in_start(self) -> None:
        if self._required is None:
            self._check_trust(self._start)

    # -- epochs

    async def _peers(self) -> list[Peer]:
        """Wait for some peers, not for ever."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PEERS_WAIT_S
        found = self._neighbours.open_peers()
        while len(found) < self._wanted and loop.time() < end:
            await asyncio.sleep(POLL_S)
            found = self._neighbours.open_peers()
        if not found:
            raise CannotWarp("no peer is connected")
        return list(found)[:PEERS_WANTED]

    async def _epochs(self, peers: list[Peer]) -> list[Link]:
        """Return the longest line of epochs that a peer proves."""
        best: list[Link] = []
        problems: list[str] = []
        for peer in peers:
            try:
                links = await self._follow(peer, best)
            except ConflictingEpochs:
                raise
            except Rejected as bad:
                log.warning("a peer's epochs do not follow from what is trusted", extra={"peer": repr(peer)})
                problems.append(f"{bad.code}: {bad}")
                continue
            best = links if len(links) > len(best) else best
        if best:
            for link in best:
                if link.header.hash == self._required:
                    self._check_trust(link.anchor)
            return best
        if len(problems) >= min(FAILING_ALIKE, len(peers)):
            raise WrongStart(
                f"{len(problems)} peers show epochs that do not follow from what is trusted here ({problems[-1]}): "
                "either the genesis file or the checkpoint is not of their chain, or this program is wrong"
            )
        raise CannotWarp("no peer proves that an epoch has ended yet")

    async def _follow(self, peer: Peer, known: list[Link]) -> list[Link]:
        """Follow the epochs a peer shows; what another peer has proven already is only compared at its end."""
        links = list(known)
        anchor = links[-1].anchor if links else self._start
        if links:
            again = await self._states.ask_epochs(peer, links[-1].anchor.epoch - 1)
            if again is None or not again.links:
                return []
            self._compare(links[-1], Header.decode(again.links[0][0]), again.links[0][1], links)
        while (answer := await self._states.ask_epochs(peer, anchor.epoch)) is not None and answer.links:
            for header_bytes, certificate in answer.links:
                header = Header.decode(header_bytes)
                anchor = follow(anchor, header, Certificate.decode(certificate))
                links.append(Link(header, certificate, anchor))
                await asyncio.sleep(0)
        if self._required is not None and all(each.header.hash != self._required for each in links):
            raise CheckpointMissing(f"the chain of this peer does not contain the checkpoint {self._required.hex()}")
        return links

    def _compare(self, own: Link, header: Header, certificate: bytes, links: list[Link]) -> None:
        if header.hash == own.header.hash:
            return
        before = links[-2].anchor if len(links) > 1 else self._start
        follow(before, header, Certificate.decode(certificate))
        raise ConflictingEpochs(
            f"blocks {own.header.hash.hex()} and {header.hash.hex()} both end epoch {before.epoch} with valid "
            "certificates: more than a third of the validators cheat. Ask people you trust for a checkpoint."
        )

    def _choose(self, links: list[Link]) -> tuple[Restoring, Link]:
        """Go on with what was begun where that is part of the proven line, else begin with the newest end."""
        resumed = self._resumed
        if resumed is not None:
            for link in links:
                if link.header.hash == resumed.header.hash:
                    log.info("going on with what was fetched before")
                    return resumed, link
            resumed.close()
            self._resumed = None
        return self._begin(links[-1].header), links[-1]

    # -- state

    async def _fetch(self, restoring: Restoring, link: Link) -> None:
        """Fetch all pieces that are missing, from all peers at once."""
        todo = restoring.pending()
        doing: dict[asyncio.Task[None], Peer] = {}
        try:
            while todo or doing:
                for peer in self._askable():
                    for _ in range(ASKED_AT_ONCE - sum(each is peer for each in doing.values())):
                        if not todo:
                            break
                        path, expected = todo.popitem()
                        work = self._piece(restoring, link.header.hash, peer, path, expected, todo)
                        doing[spawn(work, "net: fetch state")] = peer
                if not doing:
                    raise CannotWarp(f"no peer serves the state of block {link.header.number}")
                done, _ = await asyncio.wait(doing, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del doing[task]
                    task.result()
        finally:
            await cancel(list(doing))
        log.info("the state is here", extra={"pieces": self.pieces})

    def _askable(self) -> list[Peer]:
        return [
            peer
            for peer in self._neighbours.open_peers()
            if peer.identity not in self._without and self._timeouts.get(peer.identity, 0) < TIMEOUTS_MAX
        ]

    async def _piece(
        self,
        restoring: Restoring,
        block_hash: Hash32,
        peer: Peer,
        path: str,
        expected: bytes,
        todo: dict[str, bytes],
    ) -> None:
        """Fetch one piece; where the peer does not give it, it is to be done again."""
        answer = await self._states.ask_state(peer, block_hash, path)
        pairs: Pairs
        places: dict[str, bytes]
        if answer is None:
            self._timeouts[peer.identity] = self._timeouts.get(peer.identity, 0) + 1
            todo[path] = expected
            return
        try:
            if isinstance(answer, StateLeaves):
                check_leaves(path, expected, answer.leaves)
                pairs, places = list(answer.leaves), {}
            elif not answer.node:
                self._without.add(peer.identity)
                todo[path] = expected
                return
            else:
                pairs, places = check_node(path, expected, answer.node, answer.value)
        except Rejected as bad:
            todo[path] = expected
            self._without.add(peer.identity)
            log.warning("a peer sent a wrong piece of state", extra={"peer": repr(peer), "why": str(bad)})
            self._neighbours.punish(peer, Deed.BROKE_PROTOCOL, f"{bad.code}: {bad}")
            return
        restoring.store(path, pairs, places)
        self._timeouts.pop(peer.identity, None)
        self.pieces += 1
        todo.update(places)

    async def _body(self, link: Link) -> tuple[bytes, ...]:
        """Fetch the block whose state it is."""
        for peer in self._neighbours.open_peers():
            found = await self._blocks.ask(peer, link.header.number)
            if found is not None and found.blocks[0].hash == link.header.hash:
                return found.blocks[0].extrinsics
        raise CannotWarp(f"no peer has block {link.header.number}")


class CheckpointMissing(Rejected):
    """A chain without the block that is trusted."""

    code = "net.checkpoint_missing"
