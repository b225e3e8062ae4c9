"""Links that delay, lose, repeat and reorder; cuts between groups, also one-way; graphs thinner than a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from consensus.messages import Message
from simulation.invariants import MESSAGES_BLOCKS, MESSAGES_MAX

if TYPE_CHECKING:
    from simulation.world import World


class Network:
    """All links of a run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.rng
        self.sent = 0
        self.lost = 0
        self.repeated = 0
        self.loses: Callable[[int, int, Message], bool] | None = None
        """Directed tests lose messages of their choice: (source, target, message) -> lose it."""

    def transmit(self, source: int, target: int, message: Message) -> None:
        """Put a message on its way, or lose it."""
        world = self._world
        scenario = world.scenario
        rng = self._rng
        self.sent += 1
        if self.sent > MESSAGES_MAX * max(1, scenario.nodes // 12) ** 2 * (
            1 + world.invariants.height // MESSAGES_BLOCKS
        ):
            world.fail("I7", f"{self.sent} messages among {scenario.nodes} nodes")
            return
        delay = scenario.latency_ms
        if scenario.jitter_ms:
            delay += int(rng.random() * scenario.jitter_ms)
        now = world.loop.now
        if self.loses is not None and self.loses(source, target, message):
            self.lost += 1
            return
        if now < scenario.gst_ms:
            if (scenario.drop and rng.random() < scenario.drop) or self._is_cut(source, target, now):
                self.lost += 1
                return
            if scenario.duplicate and rng.random() < scenario.duplicate:
                self.repeated += 1
                world.loop.at(delay + rng.randint(1, 1000), world.nodes[target].receive, source, message)
        world.loop.at(delay, world.nodes[target].receive, source, message)

    def works(self, source: int, target: int) -> bool:
        """Whether a request and its answer would come through now."""
        scenario = self._world.scenario
        now = self._world.loop.now
        if now >= scenario.gst_ms:
            return True
        cut = self._is_cut(source, target, now) or self._is_cut(target, source, now)
        return not cut and self._rng.random() >= scenario.drop

    def _is_cut(self, source: int, target: int, now: int) -> bool:
        for start, end, group, one_way in self._world.scenario.cuts:
            if start <= now < end and (source in group) != (target in group) and (not one_way or source in group):
                return True
        return False


def neighbours(graph: str, honest: list[int], liars: list[int]) -> dict[int, tuple[int, ...]]:
    """Return who is connected to whom. Liars reach everybody; the honest nodes form the graph."""
    count = len(honest)
    edges: set[tuple[int, int]] = set()
    if graph == "ring" and count > 3:
        edges = {(honest[i], honest[(i + 1) % count]) for i in range(count)}
    elif graph == "star" and count > 3:
        edges = {(centre, other) for centre in honest[:2] for other in honest if centre != other}
    elif graph == "cliques" and count > 3:
        middle = count // 2
        for group in (honest[: middle + 1], honest[middle:]):
            edges |= {(a, b) for a in group for b in group if a < b}
    else:
        edges = {(a, b) for a in honest for b in honest if a < b}
    edges |= {(liar, other) for liar in liars for other in (*honest, *liars) if liar != other}
    linked: dict[int, set[int]] = {name: set() for name in (*honest, *liars)}
    for a, b in edges:
        linked[a].add(b)
        linked[b].add(a)
    return {name: tuple(sorted(others)) for name, others in linked.items()}
