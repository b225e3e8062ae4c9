"""The court of campaigns through a node: what is challenged, where that stands, and a juror at work.

A challenge waits for a seed nobody knew, then a panel of arbiters is drawn, seals what it thinks, and opens that.
A juror keeps nothing but a secret, as an attester does (`aitoken.client.attester`); whatever anybody may do about a
challenge (draw the panel, end it as the panel has said) it does too, so that no case waits for somebody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aitoken.client.batches import packed, send_in_order
from aitoken.client.campaigns import Following, Work
from aitoken.client.chain import Call
from aitoken.client.client import Client
from aitoken.crypto import ss58
from aitoken.crypto.signature import Signer
from aitoken.errors import Rejected
from aitoken.pay.seals import FULL_AWARD, juror_salt, juror_seal
from aitoken.types import AccountId, Moment

Opinion = Callable[["Trial"], Awaitable[bool | None]]
"""Says whether challenged work is a fraud; None is no opinion, and then nothing is said."""


class NoSuchWork(Rejected):
    """The chain has no submission of this number."""

    code = "campaign.no_work"


class Stand(Enum):
    """What can be done about a challenge now."""

    WAIT = "waits for the seed that draws the panel"
    LATE = "nobody drew the panel in time: the work will count as good"
    SEAT = "the panel can be drawn"
    JUDGE = "the panel judges"
    UNVEIL = "the panel opens what it said"
    RULE = "the ruling can be carried out"


@dataclass(frozen=True, slots=True)
class Clock:
    """The time of the chain, and how long the parts of a trial last."""

    now: Moment
    epoch: int
    ruling_ms: int
    judging_ms: int
    unveiling_ms: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A challenge of work.

    Attributes:
        work: the submission.
        panel: its seats, as the chain writes them.
        clock: the time it was read at.
    """

    work: Work
    panel: Sequence[Mapping[str, Any]]
    clock: Clock

    @property
    def challenge(self) -> Mapping[str, Any]:
        """Who challenges, since when, with which evidence."""
        found: Mapping[str, Any] = self.work.facts["challenge"]
        return found

    @property
    def stand(self) -> Stand:
        """Where it stands."""
        clock, seated = self.clock, self.challenge["seated"]
        if seated is not None:
            if clock.now < seated + clock.judging_ms:
                return Stand.JUDGE
            return Stand.UNVEIL if clock.now < seated + clock.judging_ms + clock.unveiling_ms else Stand.RULE
        ends = int(self.challenge["since"]) + clock.ruling_ms
        if clock.now >= ends:
            return Stand.RULE
        if clock.now + clock.judging_ms + clock.unveiling_ms > ends:
            return Stand.LATE
        return Stand.WAIT if clock.epoch < self.challenge["epoch"] else Stand.SEAT

    @property
    def is_fraud(self) -> bool:
        """What the panel has said so far: more than half of those who said something call it a fraud."""
        votes = [seat["vote"] for seat in self.panel if seat["vote"] is not None]
        return bool(2 * sum(vote == FULL_AWARD for vote in votes) > len(votes))

    def seat(self, juror: str) -> Mapping[str, Any] | None:
        """The seat of somebody, None if it does not sit."""
        return next((seat for seat in self.panel if seat["arbiter"] == juror), None)


async def trials(client: Client, following: Following) -> list[Trial]:
    """Return all challenges that are open, in the order of the submissions."""
    challenged = [work for work in await following.look() if work.facts["challenge"] is not None]
    if not challenged:
        return []
    clock = Clock(
        await client.query("Timestamp", "Now"), (await client.query("Consensus", "CurrentEpoch"))["epoch"],
        *(client.constant("Rewards", name) for name in ("Ruling", "Judging", "Unveiling")),
    )  # fmt: skip
    panels = {keys[0]: seats async for keys, seats in client.query_map("Rewards", "Panels")}
    return [Trial(work, panels.get(work.number, ()), clock) for work in challenged]


async def bond_for(client: Client, submission: int) -> int:
    """Return what a challenge of some work would put at risk now.

    Raises:
        NoSuchWork: there is none of this number.
    """
    facts = await client.query("Rewards", "Submissions", submission)
    if facts is None:
        raise NoSuchWork(f"there is no submission {submission}")
    least, bounty_percent, wrong = (
        client.constant("Rewards", name) for name in ("Bond", "BountyPercent", "WrongPercent")
    )
    bounty = 0
    for vote in facts["votes"]:
        if vote["accepts"]:
            bounty += (await client.query("Rewards", "Attesters", vote["attester"]))["stake"] * bounty_percent // 100
    return int(max(least, -(-bounty * wrong // (100 - wrong))))


@dataclass(frozen=True, slots=True)
class Sat:
    """What a look came to: submissions by what was done about them."""

    seated: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    unveiled: list[int] = field(default_factory=list)
    ruled: list[int] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)


class Juror:
    """An arbiter in the court of campaigns.

    Args:
        client: a node.
        pair: the arbiter's.
        secret: 32 bytes that nobody else knows; the same for sealing and opening.
        opinion: says whether work is a fraud.
    """

    def __init__(self, client: Client, pair: Signer, secret: bytes, opinion: Opinion) -> None:
        self._client = client
        self._pair = pair
        self._secret = secret
        self._opinion = opinion
        self._following = Following(client)
        self._account = AccountId(bytes(pair.public))
        self._address = ss58.encode(self._account, client.chain.prefix)

    async def step(self) -> Sat:
        """Look once, and do all that can be done now; it is in a block when this returns."""
        done, calls = Sat(), []
        for trial in await trials(self._client, self._following):
            call = await self._next(trial, done)
            if call is not None:
                calls.append(call)
        await send_in_order(self._client, self._pair, packed(self._client, calls))
        return done

    async def _next(self, trial: Trial, done: Sat) -> Call | None:
        """Return what is to be done about a challenge, None for nothing, and note it."""
        number, seat = trial.work.number, trial.seat(self._address)
        match trial.stand:
            case Stand.SEAT:
                done.seated.append(number)
                return self._call("seat", trial)
            case Stand.RULE:
                done.ruled.append(number)
                return self._call("rule", trial, fraud=trial.is_fraud)
            case Stand.JUDGE if seat is not None and seat["commitment"] is None:
                fraud = await self._opinion(trial)
                (done.silent if fraud is None else done.judged).append(number)
                return None if fraud is None else self._call("judge", trial, seal=self._seal(trial, fraud=fraud))
            case Stand.UNVEIL if seat is not None and seat["vote"] is None:
                for fraud in (True, False):
                    if self._seal(trial, fraud=fraud) == seat["commitment"]:
                        done.unveiled.append(number)
                        return self._call("unveil", trial, fraud=fraud, salt=self._salt(trial))
        return None

    def _salt(self, trial: Trial) -> bytes:
        return juror_salt(self._secret, trial.work.number, trial.challenge["since"])

    def _seal(self, trial: Trial, *, fraud: bool) -> bytes:
        return juror_seal(trial.work.number, self._account, self._salt(trial), fraud=fraud)

    def _call(self, name: str, trial: Trial, **arguments: Any) -> Call:
        return self._client.call("Rewards", name, submission=trial.work.number, **arguments)
