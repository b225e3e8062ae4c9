"""Where farmers are let loose: the whole runtime, people that farm together, and honest people they farm from.

Calls cost farmers nothing here but what pallets take, so a profit could not hide behind fees. What depends on chance
(whether an attester errs, on which day a fraud is found) is not drawn but played in every way it can go, each from the
same state, and counted by its probability: an expected profit is exact, and the same in every run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import count
from math import comb
from typing import Any

from aitoken.pay.seals import seal_of, vote_of
from aitoken.types import AIT, AccountId, Balance, Hash32, Moment
from chain.frame.errors import DispatchError
from chain.pallets.ai.rewards_rules import stake_for, work_stake_for
from chain.pallets.ai.rewards_storage import AUDIT_PERCENT, ERROR_PERCENT, WRONG_PERCENT
from chain.pallets.ai.rewards_types import Decay, Kind, Terms
from chain.pallets.ai.sessions_types import SessionClaims
from chain.pallets.staking.eras import REWARDS_POT
from chain.params import DAY_MS
from tests.support.pay_chain import PayChain, account
from tests.support.pay_session import PaySession

HOUR = 3_600_000
FOUND = Fraction(AUDIT_PERCENT, 100)
"""How likely a day's fraud is found, in truth, whatever the chain takes it for."""
ERRS = Fraction(ERROR_PERCENT, 100)
"""How likely an honest attester accepts bad work, in truth."""
WRONG = Fraction(WRONG_PERCENT, 100)
"""How likely a ruling is wrong, in truth."""
SALT = b"z" * 32
MONEY = 100_000
PROVIDER = ("owner", "operator", "payout")
CROWD = tuple(f"c{index}" for index in range(12))
FARMERS = (*PROVIDER, "friend", "A", *CROWD)
"""They run a provider and a validator and have accounts enough."""
HONEST = ("sponsor", "worker", *(f"h{index}" for index in range(8)))


def binomial(tries: int, hits: int, chance: Fraction) -> Fraction:
    """How likely so many of independent tries succeed."""
    return comb(tries, hits) * chance**hits * (1 - chance) ** (tries - hits)


def text(what: str) -> Hash32:
    return Hash32(what.encode().ljust(32, b"."))


class Farm:
    """A chain that is put back before every run, and one seed's choices."""

    def __init__(self) -> None:
        people = dict.fromkeys((*CROWD, "friend", *HONEST, *PROVIDER), MONEY)
        self.chain = PayChain(others=people, maxIssuance="2_000_000_000 AIT")
        self.chain.begin()
        self.provider = self.chain.sell()
        self.chain.call("ROOT", "Balances.force_set_balance", REWARDS_POT, MONEY * AIT)
        self.chain.authorship.author.put(account("A"))
        self.chain.state = self.chain.state.child(self.chain.machine.store.changes())
        self.random = random.Random(0)
        self.errs = ERRS
        self.loose: set[str] = set()
        """What the chain has forgotten to check."""

    def begin(self, seed: int) -> None:
        self.chain.look()
        self.random = random.Random(seed)
        self.errs, self.loose = ERRS, set()

    # ---------------------------------------------------------------------------------------------- acting

    def do(self, who: str, name: str, *args: Any) -> list[Any]:
        before = len(self.chain.machine.store.events)
        self.chain.call(who, name, *args)
        return self.chain.machine.store.events[before:]

    def tries(self, who: str, name: str, *args: Any) -> bool:
        store = self.chain.machine.store
        mark = store.mark()
        try:
            self.chain.call(who, name, *args)
        except DispatchError:
            store.rollback(mark)
            return False
        return True

    @property
    def now(self) -> int:
        return int(self.chain.now)

    def at(self, moment: int) -> None:
        self.chain.timestamp.now.put(Moment(moment))

    def wealth(self) -> int:
        rows = [self.chain.system.account.get(account(who)) for who in FARMERS]
        return sum(row.free + row.reserved for row in rows)

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Play something and undo it."""
        mark = self.chain.machine.store.mark()
        try:
            yield
        finally:
            self.chain.machine.store.rollback(mark)

    def gain(self, play: Callable[[], object]) -> int:
        """What farmers have more after something is played; it is undone."""
        before = self.wealth()
        with self.branch():
            play()
            return self.wealth() - before

    # ---------------------------------------------------------------------------------------------- buying

    def buy(self, who: str, amount: int, salt: int) -> None:
        """Buy from the farmers' provider."""
        session = PaySession(self.chain, self.provider, payer=who, salt=salt, amount=amount, lanes=1)
        item = session.item(session.voucher(0, 1, amount))
        self.chain.call("operator", "Sessions.claim", [SessionClaims(session.id, [item])])

    # ---------------------------------------------------------------------------------------------- chances

    def errors(self, honest: int) -> list[Fraction]:
        """How likely so many of the honest attesters accept bad work, for 0, 1, 2, ..."""
        return [binomial(honest, bad, self.errs) for bad in range(honest + 1)]


class Campaign:
    """A campaign on the farm; its budget is the honest sponsor's, unless it is said otherwise."""

    def __init__(
        self, farm: Farm, attesters: Sequence[str], *, owner: str = "sponsor", budget: int = 5_000 * AIT,
        stake: bool = True, **changes: Any,
    ) -> None:  # fmt: skip
        self.farm, self.attesters, self.owner = farm, list(attesters), owner
        fields: dict[str, Any] = {
            "kind": Kind.BugReport, "task_hash": text("task"), "reward": Balance(AIT), "decay": Decay(0, 0, 0),
            "per_person": 1_000, "per_day": 4, "stake": Balance(0), "threshold": len(attesters), "step_ms": HOUR,
            "vesting_ms": 0, "until": Moment(farm.now + 300 * DAY_MS), "persons": None,
        }  # fmt: skip
        self.terms = Terms(**(fields | changes))
        self.terms.stake = work_stake_for(self.terms)
        for who in attesters if stake else ():
            farm.do(who, "Rewards.stake", max(10 * AIT, stake_for(self.terms)))
        self.number = int(farm.chain.rewards.next_id.get())
        accounts = [account(who) for who in attesters]
        self.exists = farm.tries(owner, "Rewards.create", self.terms, accounts, budget)
        for who in attesters if self.exists else ():
            farm.do(who, "Rewards.join", self.number)
            if "bound" in farm.loose:
                row = farm.chain.rewards.attesters.get(account(who)).copy()
                row.bound = Balance(0)
                farm.chain.rewards.attesters.put(account(who), row)

    def submit(self, who: str, content: str, seal: Hash32 | None = None) -> int | None:
        """Submit work; its number, none where it is refused."""
        number = int(self.farm.chain.rewards.next_id.get())
        sealed = seal or seal_of(self.number, account(who), text(content), SALT)
        return number if self.farm.tries(who, "Rewards.submit", self.number, sealed) else None

    def disclose(self, who: str, number: int, content: str) -> bool:
        return self.farm.tries(who, "Rewards.disclose", number, text(content), SALT)

    def vote(self, number: int, verdicts: dict[str, bool]) -> None:
        for who, accepts in verdicts.items():
            seal = vote_of(number, AccountId(account(who)), SALT, accepts=accepts)
            self.farm.tries(who, "Rewards.vote", number, seal)

    def reveal(self, number: int, verdicts: dict[str, bool]) -> None:
        for who, accepts in verdicts.items():
            self.farm.tries(who, "Rewards.reveal", number, accepts, SALT)

    def judged(self, number: int, verdicts: dict[str, bool], since: int) -> None:
        """Let time pass to the step of challenges, with these verdicts."""
        step = self.terms.step_ms
        self.farm.at(since + step)
        self.vote(number, verdicts)
        self.farm.at(since + 2 * step)
        self.reveal(number, verdicts)
        self.farm.at(since + 3 * step)

    def settle(self, number: int, since: int) -> None:
        self.farm.at(since + 4 * self.terms.step_ms)
        self.farm.tries("friend", "Rewards.settle", number)
        if self.terms.vesting_ms:
            self.farm.at(since + 4 * self.terms.step_ms + self.terms.vesting_ms)
            self.farm.tries("friend", "Rewards.settle", number)

    def verdicts(self, accepting: int) -> dict[str, bool]:
        """The first so many attesters accept, the others do not."""
        return {who: at < accepting for at, who in enumerate(self.attesters)}

    def close(self) -> None:
        """End it and give everybody what is left, if that can be."""
        self.farm.tries(self.owner, "Rewards.end", self.number)
        for who in (self.owner, "sponsor"):
            self.farm.tries("friend", "Rewards.withdraw", self.number, account(who))


class Timeline:
    """What is done when; actions may add others."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._ticket = count()
        self._queue: list[tuple[int, int, Callable[[], object]]] = []

    def add(self, moment: int, action: Callable[[], object]) -> None:
        heapq.heappush(self._queue, (moment, next(self._ticket), action))

    def run(self) -> None:
        while self._queue:
            moment, _, action = heapq.heappop(self._queue)
            self._farm.at(moment)
            action()
