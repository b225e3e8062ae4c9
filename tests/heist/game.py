"""The game: holders without money claim codes one by one, the adversary does what it can, and the end is counted."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.codes import claim_bytes, proofs_of, root_of
from aitoken.proto.extrinsic import additional_signed, bare_extrinsic, sign_extrinsic
from aitoken.types import AIT, AccountId, Hash32
from chain.frame.pallet import Err, members_of
from chain.frame.storage import storage_prefix
from chain.pallets.ai.codes import FEE
from chain.pallets.ai.codes_types import Tokens
from node.pool.errors import Invalid, PoolRejected
from node.pool.status import Stage, Status
from tests.heist.adversary import LOOT, Claim, Thief
from tests.heist.nodes import Network
from tests.support.staking_chain import START_MS, account, pair, spec_of

NODES = 4
THIEVES = 8
VALUE = AIT // 50
ARRIVALS = (4, 24)
"""Claims between two blocks, least and most: the chain takes 19 of a block without a fee."""
FAR_AHEAD_MS = 30 * 86_400_000
EVENTS = storage_prefix("System", "Events")


@dataclass
class Outcome:
    """What became of everything."""

    codes: int
    blocks: int = 0
    within: Counter[int] = field(default_factory=Counter)
    """Claims by the number of blocks until they were final."""
    refused: Counter[str] = field(default_factory=Counter)
    """What the adversary sent, by trick and by what it was refused as."""
    bought: Counter[str] = field(default_factory=Counter)
    """What it paid to have in a block, by trick and how that ended."""
    copies: int = 0
    stolen: int = 0
    lost: int = 0
    seconds: float = 0.0
    paid: int = 0
    """Fees of the adversary."""

    @property
    def is_good(self) -> bool:
        """Whether every code paid whom it should, in time."""
        return not self.stolen and not self.lost and sum(self.within.values()) == self.codes and max(self.within) <= 2

    def report(self) -> str:
        """In words."""
        within = self.within.items()
        lines = [
            f"{self.codes:,} codes in {self.blocks:,} blocks: {self.stolen} stolen, {self.lost} lost",
            "final after " + ", ".join(f"{n} block{'s'[: n > 1]}: {count:,}" for n, count in sorted(within)),
            f"copies of claims as they are, to nodes that had them or not: {self.copies:,}",
            *(f"refused  {count:7,}  {what}" for what, count in sorted(self.refused.items())),
            *(f"in block {count:7,}  {what}" for what, count in sorted(self.bought.items())),
            f"the adversary paid {self.paid / AIT:.3f} AIT of fees; {self.seconds:.1f} s of processor time",
        ]  # fmt: skip
        return "\n".join(lines)


class Game:
    """One run, which follows from its seed."""

    def __init__(self, codes: int, seed: int) -> None:
        self.rng = Random(f"heist {seed}")
        self.thieves = [pair(f"thief {index}") for index in range(THIEVES)]
        purses = {f"thief {index}": 100 for index in range(THIEVES)}
        chain = spec_of(others={"sponsor": 50_000} | purses, sessionBlocks=1_000_000)
        self.network = Network(chain, NODES)
        self.first = self.network.nodes[0]
        self.outcome = Outcome(codes)
        self.claims: list[Claim] = []
        self.late: list[tuple[int, int, Claim]] = []
        """Claims held back: the block before which a node gets it, which node, and the claim."""
        self.submitted: dict[int, int] = {}
        self.finals: dict[int, int] = {}
        self.claimed: set[int] = set()
        self._codes = codes
        schema = self.first.runtime.schema
        self._names = {
            error.scale: error.code for pallet in schema.pallets for error in members_of(pallet, "Error", Err)
        }

    # ---------------------------------------------------------------------------------------------- the setting

    async def set_up(self) -> None:
        """Have the codes made, and a batch the adversary may try them on."""
        self.network.start()
        keys = [Pair(blake2_256(b"code" + index.to_bytes(4, "little"))) for index in range(self._codes)]
        public = [key.public for key in keys]
        expires = START_MS + FAR_AHEAD_MS
        make = self.first.runtime.schema.make_call
        root, other = root_of(public), Hash32(bytes(32))
        calls = [
            make("Codes.create", each, count, VALUE, expires, 0, Tokens())
            for each, count in ((root, self._codes), (other, self._codes))
        ]
        version, genesis = self.first.runtime.schema.version, self.first.genesis_hash
        additional = additional_signed(version.spec_version, version.transaction_version, genesis, genesis)
        for nonce, call in enumerate(calls):
            raw = sign_extrinsic(call.encode(), pair("sponsor"), additional, nonce=nonce).raw
            for node in self.network.nodes:
                await node.pool.submit(raw)
        self.network.block()
        proofs = proofs_of(public)
        for index, key in enumerate(keys):
            who = AccountId(blake2_256(b"holder" + index.to_bytes(4, "little")))
            claim = Claim(0, index, public[index], tuple(proofs[index]), who,
                          key.sign(claim_bytes(genesis, 0, index, who)))  # fmt: skip
            raw = bare_extrinsic(make("Codes.claim", *claim.changed()).encode()).raw
            self.claims.append(Claim(0, index, claim.key, claim.proof, who, claim.signature, raw))
        self.rng.shuffle(self.claims)
        self.thief = Thief(self.first.runtime.schema, genesis, self.rng, self.thieves, 1)

    # ---------------------------------------------------------------------------------------------- the game

    async def play(self) -> Outcome:
        """Play until every code was claimed."""
        await self.set_up()
        started, waiting = time.process_time(), list(self.claims)
        while waiting or len(self.finals) < self._codes:
            arriving = [waiting.pop() for _ in range(min(len(waiting), self.rng.randint(*ARRIVALS)))]
            await self._deliver_late()
            for claim in arriving:
                await self._arrive(claim)
            await self._pay(arriving)
            await self._copy()
            self._count(self.network.block())
            self.outcome.blocks += 1
            assert self.outcome.blocks <= 10 + 4 * self._codes, "claims are not made"
        self.outcome.seconds = time.process_time() - started
        await self.network.close()
        self._settle()
        return self.outcome

    async def _arrive(self, claim: Claim) -> None:
        """A holder gives its claim to one node; the adversary has been everywhere before, and holds it back."""
        rng, nodes, height = self.rng, self.network.nodes, self.network.height
        entry, leader = rng.randrange(NODES), self.network.next_leader()
        for raw in self.thief.forgeries(claim):
            await self._try(raw, rng.randrange(NODES))
            if rng.random() < 0.2:
                await self._try(raw, leader)
        self.submitted[claim.index] = height
        await nodes[entry].pool.submit(claim.raw, lambda status: self._watched(claim.index, status), source="holder")
        others = [index for index in range(NODES) if index != entry]
        rng.shuffle(others)
        for index in others:
            if index == leader or rng.random() < 0.5:
                self.late.append((height + 1, index, claim))
            else:
                await nodes[index].pool.submit_many([claim.raw], "peer")

    async def _deliver_late(self) -> None:
        """What was held back long enough arrives, in any order."""
        due = [row for row in self.late if row[0] <= self.network.height]
        self.late = [row for row in self.late if row[0] > self.network.height]
        self.rng.shuffle(due)
        for _, index, claim in due:
            await self.network.nodes[index].pool.submit_many([claim.raw], "peer")

    async def _pay(self, arriving: list[Claim]) -> None:
        """Buy places before the claims that arrive."""
        for which, claim in enumerate(arriving[:THIEVES]):
            raw = self.thief.paid_for(claim, which)
            for node in self.network.nodes:
                await node.pool.submit(raw, source="adversary")

    async def _copy(self) -> None:
        """Send claims that were seen before once more, as they are, made or not."""
        for _ in range(self.rng.randrange(6)):
            claim = self.rng.choice(self.claims)
            if claim.index in self.submitted:
                self.outcome.copies += 1
                await self.network.nodes[self.rng.randrange(NODES)].pool.submit_many([claim.raw], "adversary")

    async def _try(self, raw: bytes, node: int) -> None:
        trick = self.thief.sent[raw]
        try:
            await self.network.nodes[node].pool.submit(raw, source="adversary")
        except PoolRejected as error:
            self.outcome.refused[f"{trick}: {_named(error)}"] += 1
        else:
            raise AssertionError(f"a pool took a forged claim: {trick}")

    # ---------------------------------------------------------------------------------------------- counting

    def _watched(self, index: int, status: Status) -> None:
        """The node of the holder tells it what became of its claim; one the adversary paid for ends otherwise."""
        if status.stage is Stage.FINALIZED:
            self._final(index)

    def _final(self, index: int) -> None:
        if index not in self.finals:
            self.finals[index] = self.network.height
            self.outcome.within[self.network.height - self.submitted[index]] += 1

    def _count(self, block: Any) -> None:
        """Look at a block: who got the value of which code, and what the adversary bought."""
        schema, extrinsics = self.first.runtime.schema, block.extrinsics
        holders = {claim.index: claim.claimant for claim in self.claims}
        for row in schema.decode_events(self.first.ledger.best.state.get(EVENTS)):
            index, name = getattr(row.phase, "index", None), type(row.event).__name__
            if name == "Claimed":
                assert row.event.index not in self.claimed, "a code pays twice"
                self.claimed.add(row.event.index)
                self.outcome.stolen += holders[row.event.index] != row.event.claimant
                self._final(row.event.index)
            trick = None if index is None else self.thief.sent.get(extrinsics[index])
            if trick is not None and name in ("ExtrinsicFailed", "ExtrinsicSuccess"):
                ended = self._names.get(row.event.dispatch_error.scale) if name == "ExtrinsicFailed" else "made"
                self.outcome.bought[f"{trick}: {ended}"] += 1

    def _settle(self) -> None:
        """Whose is the money?"""
        instance = self.first.runtime.new_instance()
        instance.machine.store.load(self.first.ledger.best.state)
        accounts = dict(instance.system.account.items())
        holders = {claim.claimant for claim in self.claims}
        for who in holders:
            found = accounts.get(who)
            self.outcome.lost += found is None or found.free != VALUE
        before = {account(f"thief {index}"): 100 * AIT for index in range(THIEVES)}
        assert LOOT not in accounts
        assert all(accounts[who].free <= money for who, money in before.items())
        self.outcome.paid = sum(before.values()) - sum(accounts[who].free for who in before)
        assert accounts[account("sponsor")].reserved >= self._codes * (VALUE + FEE), "nobody claimed of the other batch"


def _named(error: PoolRejected) -> str:
    """What a pool refuses something as, with the name of the pallet's error where there is one."""
    cause = error.cause if isinstance(error, Invalid) else None
    return error.code if cause is None or not str(cause) else f"{error.code} {cause}"
