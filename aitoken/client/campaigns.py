"""Campaigns through a node: what they ask for, the work in them, and what can be done about it now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aitoken.client.client import Client
from aitoken.errors import Rejected
from aitoken.types import Moment


class NoSuchCampaign(Rejected):
    """The chain has no campaign of this number: it was never made, or everything of it was given back."""

    code = "campaign.unknown"


class Phase(Enum):
    """What can be done about work now."""

    DISCLOSE = "disclose"
    VOTE = "vote"
    REVEAL = "reveal"
    CHALLENGE = "challenge"
    SETTLE = "settle"
    VESTING = "vesting"
    CHALLENGED = "challenged"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as the chain has it.

    Attributes:
        facts: `Rewards.Campaigns`, as the chain writes it.
        now: the time of the block it was read at.
    """

    number: int
    facts: Mapping[str, Any]
    now: Moment

    @property
    def terms(self) -> Mapping[str, Any]:
        """What it asks for and pays."""
        found: Mapping[str, Any] = self.facts["terms"]
        return found

    @property
    def missing(self) -> list[str]:
        """The attesters that have not joined."""
        return [who for at, who in enumerate(self.facts["attesters"]) if not self.facts["joined"] >> at & 1]

    @property
    def is_open(self) -> bool:
        """Whether work can be submitted, as far as time and attesters go."""
        return not self.facts["ended"] and not self.missing and self.now < self.terms["until"]


@dataclass(frozen=True, slots=True)
class Work:
    """A submission.

    Attributes:
        facts: `Rewards.Submissions`, as the chain writes it.
    """

    number: int
    facts: Mapping[str, Any]

    def phase(self, terms: Mapping[str, Any], now: Moment) -> Phase:
        """Return what can be done about it at a time."""
        stage = self.facts["stage"]
        if self.is_over:
            return Phase.OVER
        if self.facts["challenge"] is not None:
            return Phase.CHALLENGED
        if stage != "Open":
            return Phase.VESTING
        step = (now - self.facts["since"]) // terms["step_ms"]
        return (Phase.DISCLOSE, Phase.VOTE, Phase.REVEAL, Phase.CHALLENGE, Phase.SETTLE)[min(step, 4)]

    @property
    def is_over(self) -> bool:
        """Whether nothing of it can be paid any more."""
        return "Over" in self.facts["stage"]

    @property
    def paid(self) -> int:
        """What was paid for it so far."""
        stage = self.facts["stage"]
        return 0 if stage == "Open" else int(next(iter(stage.values()))["paid"])

    def due(self, terms: Mapping[str, Any], now: Moment, ruling_ms: int, sitting_ms: int) -> bool:
        """Whether `settle` would do something, as far as time goes: what a panel calls a fraud is for `rule`.

        Args:
            terms: the campaign's.
            now: the time of the chain.
            ruling_ms: how long a challenge waits for its panel.
            sitting_ms: how long a panel that sits has, in all.
        """
        phase = self.phase(terms, now)
        if phase is Phase.CHALLENGED:
            is_ripe = self.facts["stage"] != "Open" or now >= self.facts["since"] + 4 * terms["step_ms"]
            since, seated = self.facts["challenge"]["since"], self.facts["challenge"]["seated"]
            return bool(is_ripe and now >= (since + ruling_ms if seated is None else seated + sitting_ms))
        if phase is not Phase.VESTING:
            return phase is Phase.SETTLE
        passed, whole = now - self.facts["stage"]["Vesting"]["since"], terms["vesting_ms"]
        earned = self.facts["reward"] if passed >= whole else self.facts["reward"] * passed // whole
        return bool(earned > self.paid)

    def verdict(self, attester: str) -> Mapping[str, Any] | None:
        """Return the vote of an attester, None if there is none."""
        votes: Sequence[Mapping[str, Any]] = self.facts["votes"]
        return next((vote for vote in votes if vote["attester"] == attester), None)


async def campaign_of(client: Client, number: int, *, at: str | None = None) -> Campaign:
    """Return a campaign.

    Raises:
        NoSuchCampaign: there is none of this number.
    """
    block = at or await client.request("chain_getBlockHash")
    facts = await client.query("Rewards", "Campaigns", number, at=block)
    if facts is None:
        raise NoSuchCampaign(f"there is no campaign {number}: it was never made, or all of it was given back")
    return Campaign(number, facts, await client.query("Timestamp", "Now", at=block))


async def works_of(client: Client, campaign: int, *, at: str | None = None) -> AsyncIterator[Work]:
    """Go through the work of a campaign."""
    async for keys, facts in client.query_map("Rewards", "Submissions", at=at):
        if facts["campaign"] == campaign:
            yield Work(int(keys[0]), facts)


async def all_works(client: Client, campaign: int, *, at: str | None = None) -> list[Work]:
    """Return the work of a campaign in the order it was submitted."""
    return sorted([work async for work in works_of(client, campaign, at=at)], key=lambda work: work.number)


class Following:
    """Looks at the work of a campaign, or of all, again and again, and reads only what may still change.

    Submissions of all campaigns lie in one map. Which campaign one is of never changes, nor does one that is over, so
    each of those is read once.
    """

    def __init__(self, client: Client, campaign: int | None = None) -> None:
        self._client = client
        self._campaign = campaign
        self._settled: set[int] = set()

    async def look(self) -> list[Work]:
        """Return what may still change of the campaign's work, in the order it was submitted."""
        found: list[Work] = []
        fresh = self._client.query_map("Rewards", "Submissions", wanted=lambda keys: keys[0] not in self._settled)
        async for keys, facts in fresh:
            work = Work(int(keys[0]), facts)
            if self._campaign in (None, facts["campaign"]) and not work.is_over:
                found.append(work)
            else:
                self._settled.add(work.number)
        return sorted(found, key=lambda work: work.number)


async def shares_of(client: Client, campaign: int, *, at: str | None = None) -> dict[str, list[tuple[int, int]]]:
    """Return what each sponsor has put into a campaign and not settled: how much, after how much of others."""
    found = client.query_map("Rewards", "Shares", campaign, at=at)
    return {keys[1]: [(part["start"], part["amount"]) for part in parts] async for keys, parts in found}
