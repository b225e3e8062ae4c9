"""Three ways to the ledger of a campaign: the node is asked, the stored rows are read, or the events of all blocks are.

They have nothing in common but the chain, so each is the check of the others (`aitoken.pay.campaign_ledger`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

from aitoken.client.campaigns import NoSuchCampaign, all_works, campaign_of, shares_of
from aitoken.client.chain import Event
from aitoken.client.client import Client
from aitoken.client.errors import NodeRefused
from aitoken.pay.campaign_ledger import NO_CAMPAIGN, Earned, Ledger, from_pages, remains_of, told_wrong

METHOD: Final = "rewards_campaignLedger"
BLOCKS_AT_ONCE: Final = 32


async def asked(client: Client, number: int, *, at: str | None = None) -> tuple[Ledger, list[str]]:
    """Return the ledger as the node tells it, without work that was never disclosed, and in what it contradicts itself.

    Raises:
        NoSuchCampaign: there is none at this block; its events still tell.
    """
    block = at or await client.request("chain_getFinalizedHead")
    try:
        pages = [await client.request(METHOD, [number, None, block])]
        while (cursor := pages[-1]["next"]) is not None:
            pages.append(await client.request(METHOD, [number, cursor]))
    except NodeRefused as error:
        if error.rpc_code == NO_CAMPAIGN:
            raise NoSuchCampaign(f"there is no campaign {number} in that block: was it given back?") from None
        raise
    return from_pages(pages), list(told_wrong(pages))


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
            challenged=facts["challenge"] is not None,
        )  # fmt: skip
        for vote in facts["votes"]:
            if vote["accepts"] is not None:
                (row.accepted if vote["accepts"] else row.rejected).append(vote["attester"])
    shares, paid = await shares_of(client, number, at=block), campaign.facts["paid"]
    put_in = Counter({who: sum(amount for _, amount in parts) for who, parts in shares.items()})
    remains = Counter({who: remains_of(parts, paid) for who, parts in shares.items()})
    return Ledger(number, block, put_in, remains, Counter(), campaign.facts["left"], works)


async def told(client: Client, number: int, *, first: int = 1, at: str | None = None) -> Ledger:
    """Return the ledger from the events of the blocks from `first` on.

    The node has to know the state of these blocks: an archive node does, others know the last ones.
    """
    block = at or await client.request("chain_getFinalizedHead")
    last = int((await client.request("chain_getHeader", [block]))["number"], 16)
    ledger = Ledger(number, block, Counter(), Counter(), Counter(), 0, {})
    parts: dict[str, list[tuple[int, int]]] = {}
    for start in range(first, last + 1, BLOCKS_AT_ONCE):
        numbers = list(range(start, min(start + BLOCKS_AT_ONCE, last + 1)))
        hashes = await client.request("chain_getBlockHash", [numbers])
        for events in await asyncio.gather(*(client.events(each) for each in hashes)):
            for event in events:
                if event.pallet == "Rewards":
                    _apply(ledger, parts, event)
    for who, put_in in parts.items():
        ledger.remains[who] = 0 if who in ledger.taken_out else remains_of(put_in, ledger.earned)
    ledger.left = sum(ledger.paid_in.values()) - sum(ledger.taken_out.values()) - ledger.earned
    return ledger


def _apply(ledger: Ledger, parts: dict[str, list[tuple[int, int]]], event: Event) -> None:
    """Let an event change a ledger, and what its sponsors put in, after how much of others."""
    fields: Any = event.fields
    if "campaign" in fields and fields["campaign"] != ledger.campaign:
        return
    match event.name:
        case "Funded":
            parts.setdefault(fields["sponsor"], []).append((sum(ledger.paid_in.values()), fields["amount"]))
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
            work.content, work.state = None, "over"
        case "Revealed":
            (work.accepted if fields["accepts"] else work.rejected).append(fields["attester"])
        case "Accepted":
            work.state = "vesting"
        case "Paid":
            work.paid += fields["amount"]
            work.state = "over" if work.paid == work.reward else "vesting"
        case "Refused":
            work.state = "over"
        case "Challenged":
            work.challenged = True
        case "Dismissed":
            work.challenged = False
        case "Clawed":
            work.state, work.challenged = "over", False
