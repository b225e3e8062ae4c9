"""Nodes with the real pool, the real runtime and the real builder, in one process; agreement is assumed.

Leaders come from the schedule of the chain. A block is executed by every node, is final at once, and every node's pool
is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec

from aitoken.proto.digest import NextEpoch
from aitoken.proto.leaders import leader as leader_of
from aitoken.types import Hash32
from chain.frame.runtime import Runtime
from chain.genesis import Genesis, build_genesis
from chain.runtime import build_runtime
from chain.spec import ChainSpec, parse_spec
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from consensus.types import Block as ConsensusBlock
from consensus.types import Slot
from node.chain.executor import Executor
from node.pool.pool import Pool
from node.pool.rules import Rules
from node.ports import Block
from tests.support import leading

ABSORB_EVERY = 5
"""So many blocks stay layers in memory before they become the final state."""
BUILD_MS = 10_000
"""Blocks end by weight, not by the speed of this machine."""
WORK = 1 << 30
STEP_MS = 250


class VirtualClock:
    """Time as blocks make it."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now


class AtOnce:
    """Runs jobs where they are given."""

    def add(self, job: Any) -> None:
        for _ in job:
            pass


class Ledger:
    """The blocks of one node (`node.chain.tree.Chain`, as much as pool and executor ask of it)."""

    def __init__(self, genesis: Genesis) -> None:
        self._flat = MemoryKeyValue(dict(genesis.pairs))
        self.final = FinalState(self._flat)
        self._layers: list[Any] = []
        self.best = self.finalized = Block(genesis.header.hash, genesis.header, (), self.final)
        self._waiting: dict[Hash32, Block] = {}

    def get(self, block_hash: Hash32) -> Block | None:
        return self.best if block_hash == self.best.hash else self._waiting.get(block_hash)

    def insert(self, block: Block) -> None:
        self._waiting[block.hash] = block

    def unfinalized(self) -> Sequence[Block]:
        return ()

    def read_ahead(self, keys: Iterable[bytes]) -> Iterator[None]:
        del keys
        return iter(())

    def make_final(self, block_hash: Hash32) -> Block:
        """Make a block the head, for good."""
        block = self._waiting.pop(block_hash)
        self._layers.append(block.state)
        if len(self._layers) >= ABSORB_EVERY:
            for layer in self._layers:
                self._flat.apply(layer.changes)
                self.final.absorb(layer)
            self._layers.clear()
            block = replace(block, state=self.final)
        self.best = self.finalized = block
        return block


@cache
def _runtimes(text: bytes, count: int) -> tuple[ChainSpec, list[Runtime], Genesis]:
    """What nodes of one chain need, made once in a process: blocks of one run leave nothing to the next."""
    spec = parse_spec(msgspec.json.decode(text))
    runtimes = [build_runtime(spec) for _ in range(count)]
    return spec, runtimes, build_genesis(spec, runtimes[0])


class Node:
    """One validator."""

    def __init__(self, runtime: Runtime, genesis: Genesis, clock: VirtualClock) -> None:
        self.runtime = runtime
        self.genesis_hash = genesis.header.hash
        self.ledger = Ledger(genesis)
        rules = self.runtime.new_instance()
        self.pool = Pool(Rules(rules.executive, rules.system), self.ledger, clock)  # type: ignore[arg-type]  # parts of a node
        self.executor = Executor(self.ledger, None, self.runtime, self.pool, AtOnce(), BUILD_MS)  # type: ignore[arg-type]  # parts of a node

    def epoch(self) -> NextEpoch:
        return leading.epoch_of(self.runtime, self.ledger.best.state)

    def build(self, slot: Slot) -> ConsensusBlock:
        """Build the next block as its leader."""
        made: list[ConsensusBlock | None] = []
        proof = leading.proof_of(self.epoch(), self.genesis_hash, slot.view, slot.leader)
        self.executor.build(self.ledger.best.hash, slot, proof, made.append)
        assert made[0] is not None
        return made[0]

    def take(self, block: ConsensusBlock) -> None:
        """Execute a block, which must be valid, and make it final."""
        verdicts: list[bool] = []
        self.executor.verify(block, verdicts.append)
        assert verdicts == [True]
        final = self.ledger.make_final(block.hash)
        self.pool.on_block(final)
        self.pool.on_best(final)
        self.pool.on_finalized([final], ())
        self.pool.work(WORK)


class Network:
    """Some nodes and their blocks, one after the other."""

    def __init__(self, chain: dict[str, Any], count: int) -> None:
        spec, runtimes, genesis = _runtimes(msgspec.json.encode(chain), count)
        self.clock = VirtualClock(spec.timestamp_ms)
        self.nodes = [Node(runtime, genesis, self.clock) for runtime in runtimes]
        self.epoch = self.nodes[0].epoch()

    @property
    def height(self) -> int:
        return int(self.nodes[0].ledger.best.number)

    def next_leader(self) -> int:
        """Which node builds the next block; everybody knows."""
        return leader_of(
            self.epoch.seed, self.epoch.epoch, tuple(weight for _, weight in self.epoch.authorities), self.height + 1
        )

    def _slot(self) -> Slot:
        number = self.height + 1
        return Slot(self.epoch.epoch, number, number - 1, self.next_leader(), self.clock.now, number, terminal=False)

    def block(self) -> ConsensusBlock:
        """Have the next block built, executed by all and made final."""
        block = self.proposal()
        for node in self.nodes:
            node.take(block)
        return block

    def proposal(self) -> ConsensusBlock:
        """What the next leader would say."""
        self.clock.now += STEP_MS
        return self.nodes[self.next_leader()].build(self._slot())

    def accepts(self, block: ConsensusBlock) -> bool:
        """Whether nodes other than its leader vote for a block; they agree on that."""
        verdicts: list[bool] = []
        for index, node in enumerate(self.nodes):
            if index != self.next_leader():
                node.executor.verify(block, verdicts.append)
        assert len(set(verdicts)) == 1
        return verdicts[0]

    def start(self) -> None:
        for node in self.nodes:
            node.pool.start()

    async def close(self) -> None:
        for node in self.nodes:
            await node.pool.close()
