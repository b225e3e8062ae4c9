"""`rewards_*`: our own methods, about campaigns.

The runtime computes (`chain.pallets.ai.rewards_ledger`), this renders. A cursor names its block, so the pages of one
ledger fit together whatever happens meanwhile. Shape and limits: `docs/spec/rewards.md`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from aitoken.codec.base import DecodeError
from aitoken.codec.hints import codec_of, u16, u64
from aitoken.crypto import ss58
from aitoken.types import Hash32
from chain.pallets.ai.rewards_ledger import PAGE_ROWS_MAX, LedgerPage, LedgerPlace, LedgerWork
from chain.pallets.ai.rewards_types import Over, Vesting
from node.ports import ChainView
from node.rpc import errors
from node.rpc.params import HexBytes
from node.rpc.ports import ChainInfo
from node.rpc.query import Query
from node.rpc.registry import rpc

HASH_BYTES: Final = 32
_PLACE: Final = codec_of(LedgerPlace)
_MAYBE_PLACE: Final = codec_of(LedgerPlace | None)
_MAYBE_PAGE: Final = codec_of(LedgerPage | None)
_U16: Final = codec_of(u16)
_U64: Final = codec_of(u64)


@rpc("rewards_campaignLedger", cost=20)
def campaign_ledger(
    query: Query, chain: ChainView, info: ChainInfo, campaign: int, cursor: HexBytes | None = None,
    at: Hash32 | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return who paid into a campaign and who earned what for which evidence, at the last final block or `at`.

    At most 100 rows; `next` is the cursor for those that follow, of the same block.
    """
    block, place = chain.finalized.hash if at is None else at, None
    if cursor is not None:
        block, place = _opened(cursor)
        if at not in (None, block):
            raise errors.invalid_params("parameter 2 (cursor): it is of another block")
    data = _U64.encode(campaign) + _MAYBE_PLACE.encode(place) + _U16.encode(PAGE_ROWS_MAX)
    page: LedgerPage | None = _MAYBE_PAGE.decode(query.call(block, "RewardsApi_ledger", data))
    if page is None:
        raise errors.no_campaign(campaign, block)
    return {"campaign": campaign, "block": block} | _shown(page, block, info.properties["ss58Format"])


def _opened(cursor: bytes) -> tuple[Hash32, LedgerPlace]:
    """Return block and place of a cursor."""
    try:
        return Hash32(cursor[:HASH_BYTES]), _PLACE.decode(cursor[HASH_BYTES:])
    except DecodeError:
        raise errors.invalid_params("parameter 2 (cursor): not one of ours") from None


def _shown(page: LedgerPage, block: Hash32, prefix: int) -> dict[str, Any]:
    @cache  # attesters are in every row
    def address(who: bytes) -> str:
        return ss58.encode(who, prefix)

    def work(row: LedgerWork) -> dict[str, Any]:
        return {
            "submission": row.submission, "who": address(row.who), "content": row.content, "reward": str(row.reward),
            "paid": str(_paid(row)), "state": type(row.stage).__name__.lower(), "challenged": row.challenged,
            "accepted": [address(who) for who in row.accepted], "rejected": [address(who) for who in row.rejected],
        }  # fmt: skip

    return {
        "owner": address(page.owner), "ended": page.ended, "submitted": page.submitted, "pending": page.pending,
        "paidIn": str(page.paid_in), "earned": str(page.earned), "left": str(page.left),
        "promised": str(page.promised),
        "sponsors": [
            {"sponsor": address(row.who), "paidIn": str(row.paid_in), "left": str(row.left)} for row in page.sponsors
        ],
        "works": [work(row) for row in page.works],
        "next": None if page.next is None else block + _PLACE.encode(page.next),
    }  # fmt: skip


def _paid(row: LedgerWork) -> int:
    return row.stage.paid if isinstance(row.stage, Vesting | Over) else 0
