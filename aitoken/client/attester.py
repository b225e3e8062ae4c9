"""An attester at work: looks at a campaign, judges disclosed work, seals verdicts, opens them when it is time.

It keeps nothing but a secret: a salt follows from the secret and the submission, and which verdict is behind a seal
on chain is found by trying both. So it may be killed and started again at any moment, and two of them with the same
secret do no harm: the second vote is refused.

What judges is a function of the work; None is no verdict, and then there is no vote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aitoken.client.batches import CALLS_A_TRANSACTION, packed, send_in_order
from aitoken.client.campaigns import Campaign, Following, Phase, Work, campaign_of
from aitoken.client.chain import Call
from aitoken.client.client import Client
from aitoken.crypto import ss58
from aitoken.crypto.signature import Signer
from aitoken.pay.seals import vote_of, vote_salt
from aitoken.types import AccountId

Judge = Callable[[Campaign, Work], Awaitable[bool | None]]

JUDGED_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Grant:
    """A spend key's permission: the account that attests, and the number of its grant to our key."""

    owner: AccountId
    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """What a look at a campaign came to."""

    voted: Sequence[int]
    revealed: Sequence[int]
    silent: Sequence[int]


class Attester:
    """An attester of one campaign.

    Args:
        client: a node.
        pair: who signs: the attester, or the key of `grant`.
        secret: 32 bytes that nobody else knows; the same for votes and for opening them.
        campaign: its number.
        judge: says whether work is accepted.
        grant: lets the key vote for the account that attests, without that account's own key.
    """

    def __init__(
        self, client: Client, pair: Signer, secret: bytes, campaign: int, judge: Judge, grant: Grant | None = None
    ) -> None:
        self._client = client
        self._pair = pair
        self._secret = secret
        self._number = campaign
        self._following = Following(client, campaign)
        self._judge = judge
        self._grant = grant
        self.account = AccountId(bytes(pair.public)) if grant is None else grant.owner
        self.address = ss58.encode(self.account, client.chain.prefix)

    async def step(self) -> Done:
        """Look once, and do all that can be done now; it is in a block when this returns."""
        campaign = await campaign_of(self._client, self._number)
        works = await self._following.look()
        mine = [(work, work.phase(campaign.terms, campaign.now), work.verdict(self.address)) for work in works]
        waiting = [work for work, phase, vote in mine if phase is Phase.VOTE and vote is None and work.facts["content"]]
        sealed = [
            (work, vote) for work, phase, vote in mine
            if phase is Phase.REVEAL and vote is not None and vote["accepts"] is None
        ]  # fmt: skip
        opened = {work.number: verdict for work, vote in sealed if (verdict := self._behind(work, vote)) is not None}
        await self._send([self._reveal(number, accepts=verdict) for number, verdict in opened.items()])
        voted: list[int] = []
        silent: list[int] = []
        for start in range(0, len(waiting), CALLS_A_TRANSACTION):
            part = waiting[start : start + CALLS_A_TRANSACTION]
            verdicts = await self._judge_all(campaign, part)
            await self._send([self._vote(number, accepts=verdict) for number, verdict in verdicts.items()])
            voted += verdicts
            silent += [work.number for work in part if work.number not in verdicts]
        return Done(voted, list(opened), silent)

    async def _judge_all(self, campaign: Campaign, works: Sequence[Work]) -> dict[int, bool]:
        """Judge some works, a few at a time; those without a verdict are left out."""
        slots = asyncio.Semaphore(JUDGED_AT_ONCE)

        async def judge(work: Work) -> bool | None:
            async with slots:
                return await self._judge(campaign, work)

        verdicts = await asyncio.gather(*map(judge, works))
        return {work.number: said for work, said in zip(works, verdicts, strict=True) if said is not None}

    def _behind(self, work: Work, vote: Any) -> bool | None:
        """Return the verdict behind an own seal, None if it was not made with this secret."""
        salt = vote_salt(self._secret, work.number)
        for accepts in (True, False):
            if vote_of(work.number, self.account, salt, accepts=accepts) == vote["seal"]:
                return accepts
        return None

    def _vote(self, submission: int, *, accepts: bool) -> Call:
        seal = vote_of(submission, self.account, vote_salt(self._secret, submission), accepts=accepts)
        return self._client.call("Rewards", "vote", submission=submission, seal=seal)

    def _reveal(self, submission: int, *, accepts: bool) -> Call:
        salt = vote_salt(self._secret, submission)
        return self._client.call("Rewards", "reveal", submission=submission, accepts=accepts, salt=salt)

    async def _send(self, calls: Sequence[Call]) -> None:
        """Send calls, each of which may fail for itself, and wait until the last is in a block."""
        if self._grant is None:
            ready = packed(self._client, calls)
        else:  # a spend key's permission carries one call at a time
            ready = [
                self._client.call("Allowances", "spend", owner=self._grant.owner, grant=self._grant.number, call=each)
                for each in calls
            ]
        await send_in_order(self._client, self._pair, ready)
