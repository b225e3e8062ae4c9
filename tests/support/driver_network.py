"""The driver among three others in the simulator, all its messages caught."""

from __future__ import annotations

from aitoken.proto.votes import NO_BLOCK, Certificate, Vote, bitmap_of
from aitoken.types import Hash32
from consensus.messages import Message
from consensus.types import Pace
from node.driver.driver import Driver
from simulation.node import Node
from simulation.scenario import Scenario
from simulation.world import World

ODD = Hash32(b"?" * 32)


class Network:
    """Four honest nodes that have made some blocks; from then on what node 0 sends is caught."""

    def __init__(self, height: int = 4, epoch_length: int = 1000) -> None:
        self.world = World(Scenario(pace=Pace(100, 300, 200), epoch_length=epoch_length))
        self.world._schedule()
        self.world.loop.run(60_000, lambda: all(n.disk.committed.number >= height for n in self.world.honest))
        self.sent: list[tuple[int, Message]] = []
        self.blamed: list[tuple[int, str]] = []
        self.world.network.loses = self._catch
        self.node.misbehaved = lambda peer, code: self.blamed.append((peer, code))  # type: ignore[method-assign]

    def _catch(self, source: int, target: int, message: Message) -> bool:
        if source == 0:
            self.sent.append((target, message))
        return True

    @property
    def node(self) -> Node:
        return self.world.nodes[0]

    @property
    def driver(self) -> Driver:
        assert self.node.driver is not None
        return self.node.driver

    def receive(self, message: Message, peer: int = 1) -> list[Message]:
        """Hand a message of a peer to node 0 and return what it sends back."""
        self.sent.clear()
        self.blamed.clear()
        self.driver.receive(peer, message)
        return [said for target, said in self.sent if target == peer]

    def vote(self, kind: int, view: int, signer: int | None = None, block_hash: Hash32 = NO_BLOCK) -> Vote:
        """A vote of another validator, made by its owner."""
        index = next(i for i in range(4) if i != self.node.index) if signer is None else signer
        key = self.driver.core.epoch.validators.keys[index]
        vote = Vote(kind, self.driver.core.epoch.index, view, block_hash, index, key * 2)
        self.world.registry.make(key, vote, honest=False)
        return vote

    def certificate(self, kind: int, view: int, block_hash: Hash32 = NO_BLOCK) -> Certificate:
        others = [i for i in range(4) if i != self.node.index]
        votes = [self.vote(kind, view, signer, block_hash) for signer in others]
        signatures = tuple(vote.signature for vote in votes)
        return Certificate(kind, votes[0].epoch, view, block_hash, bitmap_of(others, 4), signatures)
