"""Rewards: payouts a second of one core, and blocks full of the dearest calls against what they were weighed.

    python -m bench rewards           blocks as full as transactions may make them on a public network
    python -m bench --quick rewards   a tenth of that

Works have eight attesters who have all voted. `pay` settles them as most are, unchallenged; the others meet what makes
them dearest: challenges whose panel has spoken, campaigns, attesters and jurors that are no other's. Blocks are of the
real runtime, by signed transactions, on a state in memory: signatures, calls, roots. A weight is time of the reference
machine, so what is measured is scaled to it by the signatures this one checks just before and after each block; memory
is looked through as rarely as in a node. A weight also has the database, which is not measured here: the ratio has to
be below one.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

from aitoken.collector import collect_rarely
from aitoken.pay.seals import FULL_AWARD
from aitoken.proto.extrinsic import Extrinsic, sign_extrinsic
from aitoken.types import AccountId, Balance, Hash32, Moment
from bench import accounts
from bench.row import Row
from bench.weights.measure import Signatures
from bench.weights.world import World, ait
from chain.frame.weights import PS_PER_MS, REFERENCE_RATE
from chain.pallets.ai.arbiters import STAKE_MIN
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.disputes_types import Arbiter, Seat
from chain.pallets.ai.rewards import CAMPAIGN_BYTES, SUBMISSION_BYTES
from chain.pallets.ai.rewards_court import JURORS
from chain.pallets.ai.rewards_types import (
    ATTESTERS_MAX,
    Attester,
    Campaign,
    Challenge,
    Decay,
    Kind,
    Open,
    Part,
    RewardsHoldReason,
    Submission,
    Terms,
    Vote,
)
from chain.params import PRESETS

BLOCKS: Final = 5
STEP_MS: Final = 60_000
LONG_AGO: Final = Moment(1)
HASH: Final = Hash32(b"h" * 32)
OWNERS, WORKERS, OTHERS, SENDERS, JUDGES, ATTESTERS = 0, 1_500, 3_000, 4_500, 6_000, 10_000
"""Accounts from these numbers on."""
SHARE_PERCENT: Final = 75
"""How much of a block transactions may fill."""


class Scene:
    """A chain on which a call is due as often as it goes into a block."""

    def __init__(self, name: str, prepare: Callable[[Scene, int], None], part: int) -> None:
        self.name = name
        self.world = World()
        base = self.world.schema.weights.of("block")
        call = self.world.rewards.cost_of("settle").base if name == "pay" else self.call(0).weight
        self._empty, self._each = base.base, base.unit + call
        room = PRESETS["main"].block_weight_ms * PS_PER_MS * SHARE_PERCENT // 100
        self.count = room // self._each // part
        for number in range(self.count):
            prepare(self, number)
        self.world.settle()

    @property
    def weight(self) -> int:
        """What the block is weighed, in picoseconds."""
        return self._empty + self.count * self._each

    def person(self, index: int) -> AccountId:
        """One of the accounts with money."""
        return self.world.person(index)

    def call(self, number: int) -> Any:
        """The call that is due with this number."""
        made = self.world.make
        if self.name in ("pay", "settle"):
            return made("Rewards.settle", number)
        if self.name == "withdraw":
            return made("Rewards.withdraw", number, self.person(OTHERS + number))
        return made("Rewards.rule", number, True)

    def signed(self) -> list[bytes]:
        """The transactions of the block, each by somebody else."""
        terms = accounts.Terms(
            self.world.runtime.version.spec_version, self.world.runtime.version.transaction_version,
            self.world.genesis_hash,
        )  # fmt: skip
        found = []
        for number in range(self.count):
            key = accounts.pair(SENDERS + number)
            found.append(sign_extrinsic(self.call(number).encode(), key, terms.additional, nonce=0).raw)
        return found

    def seconds(self, body: list[bytes]) -> float:
        """Processor seconds for the block."""
        world = self.world
        start = time.process_time()
        builder = world.runtime.open_block(world.state, world.header, world.items(2, 1))
        for raw in body:
            builder.apply(Extrinsic(raw))
        block = builder.seal()
        spent = time.process_time() - start
        self._check(block)
        return spent

    def _check(self, block: Any) -> None:
        rows = self.world.schema.decode_events(block.state.get(self.world.system.events.raw_key(None)))
        told = [type(row.event).__name__ for row in rows]
        wanted = {"pay": "Paid", "settle": "Paid", "withdraw": "Withdrawn", "rule": "Clawed"}[self.name]
        if told.count(wanted) != self.count:
            raise RuntimeError(f"{told.count(wanted)} of {self.count} {self.name} did what they should")

    # ---------------------------------------------------------------------------------------------- what is there

    def attesters(self, number: int) -> list[AccountId]:
        """Those of a campaign; only where they change they have to be no other's."""
        first = ATTESTERS + (0 if self.name in ("pay", "settle") else ATTESTERS_MAX * number)
        return [self.person(first + index) for index in range(ATTESTERS_MAX)]

    def campaign(self, number: int, *, ended: bool) -> None:
        """A campaign with its budget, whose second sponsor put in as much as its owner."""
        world, owner, pending = self.world, self.person(OWNERS + number), 0 if ended else 1
        held, judges = deposit(CAMPAIGN_BYTES), self.attesters(number)
        world.balances.hold(RewardsHoldReason.Deposit, owner, held)
        world.balances.hold(RewardsHoldReason.Budget, owner, ait(20))
        terms = Terms(
            Kind.Tool, HASH, ait(2), Decay(0, 0, 0), 1, 1, ait(1), ATTESTERS_MAX // 2 + 1, STEP_MS, 0, Moment(2**60),
            None,
        )  # fmt: skip
        world.rewards.campaigns.put(
            number,
            Campaign(
                owner, held, terms, judges, 2**ATTESTERS_MAX - 1, ait(20), Balance(pending * ait(2)), ait(0), ait(20),
                1, 0, 0, pending, ended,
            ),
        )  # fmt: skip
        for at, who in enumerate((owner, self.person(OTHERS + number))):
            world.rewards.shares.put((number, who), [Part(ait(10 * at), ait(10))])
        for who in judges if self.name in ("withdraw", "rule") else ():
            world.balances.hold(RewardsHoldReason.Stake, who, ait(50))
            world.rewards.attesters.put(who, Attester(ait(50), ait(50)))

    def panel(self, number: int, *, fraud: bool) -> None:
        """Jurors who all said the same."""
        world = self.world
        jurors = [self.person(JUDGES + number * JURORS + index) for index in range(JURORS)]
        for who in jurors:
            world.balances.hold(world.disputes.HoldReason.Stake, who, Balance(STAKE_MIN))
            world.disputes.arbiters.put(who, Arbiter(Balance(STAKE_MIN), 1))
        world.rewards.panels.put(number, [Seat(who, HASH, FULL_AWARD * fraud) for who in jurors])

    def work(self, number: int) -> None:
        """Work that all attesters have accepted, and that somebody has challenged."""
        world, who, other = self.world, self.person(WORKERS + number), self.person(OTHERS + number)
        held = deposit(SUBMISSION_BYTES)
        world.balances.hold(RewardsHoldReason.Deposit, who, held)
        world.balances.hold(RewardsHoldReason.Stake, who, ait(1))
        votes = [Vote(each, HASH, accepts=True) for each in self.attesters(number)]
        challenge = None
        if self.name != "pay":
            challenge = Challenge(other, world.rewards.bond, LONG_AGO, 0, LONG_AGO, HASH)
            world.balances.hold(RewardsHoldReason.Bond, other, world.rewards.bond)
            self.panel(number, fraud=self.name == "rule")
        world.rewards.submissions.put(
            number, Submission(number, who, held, HASH, LONG_AGO, HASH, ait(2), votes, challenge, Open())
        )


def settled(scene: Scene, number: int) -> None:
    scene.campaign(number, ended=False)
    scene.work(number)


def withdrawn(scene: Scene, number: int) -> None:
    scene.campaign(number, ended=True)


def run(quick: bool) -> list[Row]:
    rows, signatures = [], Signatures()
    for name, prepare in (("pay", settled), ("settle", settled), ("withdraw", withdrawn), ("rule", settled)):
        scene = Scene(name, prepare, 10 if quick else 1)
        spent, unit = _medians(scene, signatures)
        title = f"a block of Rewards.{name}"
        rows += [
            Row(title, "calls", scene.count, ""),
            Row(title, "time on this machine", spent * 1e3, "ms"),
            Row(title, "time over weight", spent / unit / REFERENCE_RATE * PS_PER_MS * 1e3 / scene.weight, "ratio"),
        ]
        if name == "pay":
            rows.append(Row(title, "payouts", scene.count / spent, "per second and core"))
    return rows


def _medians(scene: Scene, signatures: Signatures) -> tuple[float, float]:
    """Seconds for a block, and for a signature meanwhile."""
    body = scene.signed()
    thresholds = gc.get_threshold()
    collect_rarely()
    spent, units = [], [signatures.seconds()]
    for _ in range(BLOCKS):
        spent.append(scene.seconds(body))
        units.append(signatures.seconds())
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    return statistics.median(spent), statistics.median(units)
