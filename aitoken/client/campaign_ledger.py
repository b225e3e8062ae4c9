"""The ledger of a campaign: who paid in, who earned what, for which evidence; from what the chain stores, or told.

Two ways lead to it that have nothing in common but the chain: what the pallet stores now, and the events of all blocks
since. `differences` holds one against the other, and both against what was put in:

    paid in == left + earned + taken out            to the unit
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aitoken.client.campaigns import all_works, campaign_of, shares_of
from aitoken.client.chain import Event
from aitoken.client.client import Client

BLOCKS_AT_ONCE: Final = 32


@dataclass(slots=True)
class Earned:
    """Work, what it was promised, what it was paid, and what that rests on.

    Attributes:
        content: hash of the work, None while it is not disclosed.
        accepted, rejected: the attesters that said so.
        state: of the submission, in a word.
    """

    submission: int
    who: str
    reward: int
    content: bytes | None = None
    accepted: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    paid: int = 0
    state: str = "open"


@dataclass(slots=True)
class Ledger:
    """All money of a campaign at a block.

    Attributes:
        block: the hash it was read at.
        paid_in: what each sponsor put in; known from events alone once sponsors have taken something out.
        taken_out: what went back to sponsors.
        left: what is still held.
    """

    campaign: int
    block: str
    paid_in: Counter[str]
    taken_out: Counter[str]
    left: int
    works: dict[int, Earned]

    @property
    def earned(self) -> int:
        """What was paid for work."""
        return sum(work.paid for work in self.works.values())

    def by_person(self) -> Counter[str]:
        """Return what each person earned."""
        found: Counter[str] = Counter()
        for work in self.works.values():
            if work.paid:
                found[work.who] += work.paid
        return found


async def stored(client: Client, number: int, *, at: str | None = None) -> Ledger:
    """Return the ledger from what the pallet stores.

    Raises:
        NoSuchCampaign: all of it was given back; its events still tell.
    """
    block = at or await client.request("chain_getFinalizedHead")
    campaign = await campaign_of(client, number, at=block)
    works = {}
    for work in await all_works(client, number, at=block):
        facts, stage = work.facts, work.facts["stage"]
        row = works[work.number] = Earned(
            work.number, facts["who"], facts["reward"], facts["content"], paid=work.paid,
            state="open" if stage == "Open" else next(iter(stage)).lower(),
        )  # fmt: skip
        for vote in facts["votes"]:
            if vote["accepts"] is not None:
                (row.accepted if vote["accepts"] else row.rejected).append(vote["attester"])
    shares = Counter(await shares_of(client, number, at=block))
    return Ledger(number, block, shares, Counter(), campaign.facts["left"], works)


async def told(client: Client, number: int, *, first: int = 1, at: str | None = None) -> Ledger:
    """Return the ledger from the events of the blocks from `first` on.

    The node has to know the state of these blocks: an archive node does, others know the last ones.
    """
    block = at or await client.request("chain_getFinalizedHead")
    last = int((await client.request("chain_getHeader", [block]))["number"], 16)
    ledger = Ledger(number, block, Counter(), Counter(), 0, {})
    for start in range(first, last + 1, BLOCKS_AT_ONCE):
        numbers = list(range(start, min(start + BLOCKS_AT_ONCE, last + 1)))
        hashes = await client.request("chain_getBlockHash", [numbers])
        for events in await asyncio.gather(*(client.events(each) for each in hashes)):
            for event in events:
                if event.pallet == "Rewards":
                    _apply(ledger, event)
    ledger.left = sum(ledger.paid_in.values()) - sum(ledger.taken_out.values()) - ledger.earned
    return ledger


def _apply(ledger: Ledger, event: Event) -> None:
    """Let an event change a ledger."""
    fields: Any = event.fields
    if "campaign" in fields and fields["campaign"] != ledger.campaign:
        return
    match event.name:
        case "Funded":
            ledger.paid_in[fields["sponsor"]] += fields["amount"]
        case "Withdrawn":
            ledger.taken_out[fields["sponsor"]] += fields["amount"]
        case "Submitted":
            number = fields["submission"]
            ledger.works[number] = Earned(number, fields["who"], fields["reward"])
        case _ if fields.get("submission") in ledger.works:
            _change(ledger.works[fields["submission"]], event.name, fields)


def _change(work: Earned, name: str, fields: Any) -> None:
    match name:
        case "Disclosed":
            work.content = fields["content"]
        case "Displaced":
            work.content = None
        case "Revealed":
            (work.accepted if fields["accepts"] else work.rejected).append(fields["attester"])
        case "Accepted":
            work.state = "vesting"
        case "Paid":
            work.paid += fields["amount"]
            work.state = "over" if work.paid == work.reward else "vesting"
        case "Refused" | "Clawed":
            work.state = "over"


def differences(one: Ledger, other: Ledger) -> Iterator[str]:
    """Return in what a stored and a told ledger of the same block differ, and where money is missing."""
    if one.left != other.left:
        yield f"left: {one.left} stored, {other.left} told"
    for who in sorted(one.paid_in.keys() | other.paid_in.keys()):
        if not other.taken_out[who] and one.paid_in[who] != other.paid_in[who]:
            yield f"{who} paid in {one.paid_in[who]} as stored, {other.paid_in[who]} as told"
    for number in sorted(one.works.keys() | other.works.keys()):
        mine, theirs = one.works.get(number), other.works.get(number)
        if mine is None or theirs is None or _facts(mine) != _facts(theirs):
            yield f"submission {number}: stored {mine}, told {theirs}"
    spent = other.left + other.earned + sum(other.taken_out.values())
    if sum(other.paid_in.values()) != spent:
        yield f"{sum(other.paid_in.values())} was paid in, {spent} is accounted for"


def _facts(work: Earned) -> Sequence[object]:
    verdicts = sorted(work.accepted), sorted(work.rejected)
    return work.who, work.reward, work.content, verdicts, work.paid, work.state
