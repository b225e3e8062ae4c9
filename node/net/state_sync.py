"""State in pieces, both ways: what a node needs to begin at the end of an epoch instead of at genesis.

    GetEpochs(epoch)               -> Epochs: header and certificate of the blocks that ended that epoch and later ones
    GetState(block, path, budget)  -> StateLeaves: all pairs below the path, where they fit
                                   or StateNode: the trie node there, whose children are asked for next

Every answer is checked against what is known already (a certificate, the hash in the parent node), so any peer can
answer any question and a wrong answer names its sender. A server that does not have the state, or is busy with others,
says so by an empty node.

Serving runs in one thread beside the event loop, one piece at a time; a peer has at most `WAITING_MAX` questions there.
Source: section 11 of the consensus paper.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Final, Protocol, TypeAlias

from aitoken.types import Hash32
from node.net.channels import KIB, MIB, Channel
from node.net.messages import Epochs, GetEpochs, GetState, StateLeaves, StateNode
from node.net.peer import Peer
from node.net.ports import Neighbours
from node.net.score import Deed
from node.ports import ChainView
from node.tasks import spawn

LINKS_MAX: Final = 32
LINKS_SIZE_MAX: Final = 512 * KIB
BUDGET_MAX: Final = 512 * KIB
REQUEST_DEADLINE_S: Final = 10.0
WAITING_MAX: Final = 16
"""Questions of one peer that wait for the thread."""
UNREAD_SIZE_MAX: Final = 2 * MIB

Answer: TypeAlias = Epochs | StateLeaves | StateNode

log = logging.getLogger(__name__)


class NodePiece(Protocol):
    """A trie node, and the value it holds by hash."""

    @property
    def node(self) -> bytes:
        """As encoded."""

    @property
    def value(self) -> bytes:
        """Empty where there is none."""


class PieceSource(Protocol):
    """States that are held still (`node.chain.states`)."""

    async def piece(
        self, block_hash: Hash32, path: str, budget: int
    ) -> tuple[tuple[bytes, bytes], ...] | NodePiece | None:
        """All pairs below `path` where they fit, else the node there; None where that state is not served."""


class StateSync:
    """Asks for epochs and pieces of state, and answers."""

    def __init__(self, chain: ChainView, neighbours: Neighbours) -> None:
        self._chain = chain
        self._neighbours = neighbours
        self._source: PieceSource | None = None
        self._request = 0
        self._asked: dict[int, tuple[Peer, asyncio.Future[Answer | None]]] = {}
        self._waiting: Counter[Peer] = Counter()

    def attach(self, source: PieceSource) -> None:
        """Set where states come from; without one, none is served."""
        self._source = source

    def closed(self, peer: Peer) -> None:
        """Forget a peer."""
        for asked, answer in self._asked.values():
            if asked is peer and not answer.done():
                answer.set_result(None)

    # -- asking

    async def ask_epochs(self, peer: Peer, epoch: int) -> Epochs | None:
        """Ask for the ends of epochs from `epoch` on; None when no answer came."""
        answer = await self._ask(peer, GetEpochs(self._next(), epoch))
        return answer if isinstance(answer, Epochs) else None

    async def ask_state(
        self, peer: Peer, block_hash: Hash32, path: str, budget: int = BUDGET_MAX
    ) -> StateLeaves | StateNode | None:
        """Ask for a piece of the state after a block; None when no answer came."""
        answer = await self._ask(peer, GetState(self._next(), block_hash, path, budget))
        return None if isinstance(answer, Epochs) else answer

    def _next(self) -> int:
        self._request = (self._request + 1) % 2**32
        return self._request

    async def _ask(self, peer: Peer, question: GetEpochs | GetState) -> Answer | None:
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._asked[question.request] = (peer, answer)
        peer.allow_full(Channel.STATE)
        try:
            if not peer.send(question):
                return None
            async with asyncio.timeout(REQUEST_DEADLINE_S):
                return await answer
        except TimeoutError:
            self._neighbours.punish(peer, Deed.TIMED_OUT)
            return None
        finally:
            del self._asked[question.request]

    def on_answer(self, peer: Peer, message: Answer) -> None:
        """Take an answer."""
        asked = self._asked.get(message.request)
        if asked is None or asked[0] is not peer:
            self._neighbours.punish(peer, Deed.UNASKED)
        elif not asked[1].done():
            asked[1].set_result(message)

    # -- serving

    def on_get_epochs(self, peer: Peer, message: GetEpochs) -> None:
        """Send headers and certificates of ends of epochs."""
        if peer.waiting_bytes > UNREAD_SIZE_MAX:
            return
        links: list[tuple[bytes, bytes]] = []
        size = 0
        while len(links) < LINKS_MAX and size < LINKS_SIZE_MAX:
            found = self._chain.epoch_end(message.epoch + len(links))
            if found is None:
                break
            links.append((found[0].encode(), found[1]))
            size += len(links[-1][0]) + len(links[-1][1])
        peer.send(Epochs(message.request, tuple(links)))

    def on_get_state(self, peer: Peer, message: GetState) -> None:
        """Send a piece of state, as soon as the thread has it."""
        if peer.waiting_bytes > UNREAD_SIZE_MAX:
            return
        if self._source is None or self._waiting[peer] >= WAITING_MAX:
            peer.send(StateNode(message.request, b"", b""))
            return
        self._waiting[peer] += 1
        spawn(self._serve(self._source, peer, message), "net: serve state")

    async def _serve(self, source: PieceSource, peer: Peer, message: GetState) -> None:
        try:
            found = await source.piece(Hash32(message.block_hash), message.path, min(message.budget, BUDGET_MAX))
        finally:
            self._waiting[peer] -= 1
            if not self._waiting[peer]:
                del self._waiting[peer]
        if found is None:
            peer.send(StateNode(message.request, b"", b""))
        elif isinstance(found, tuple):
            peer.send(StateLeaves(message.request, found))
        else:
            peer.send(StateNode(message.request, found.node, found.value))
