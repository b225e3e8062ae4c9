"""Brings what is owed to the chain: when it is enough, when it is old, and always before it is too late.

countersigned    when a session has more than `threshold` unclaimed, or something unclaimed for `age`
tails            what is not countersigned, shortly before its ceiling ends, if it is worth a claim
closing          everything, at once

A provider ends a session at once, and what it has not claimed is the payer's; so `wind_up` ends none before the chain
has taken everything the session owes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aitoken.pay.rules import Claim
from aitoken.types import AIT, Balance, Hash32, Moment
from gateway.metrics import Metrics
from gateway.ports import ChainDown, ChainSide, ClaimItem, Clock
from gateway.sessions import Known, Sessions
from gateway.store import Store, StoreFailed

log = logging.getLogger(__name__)

BATCH_MAX: Final = 256
END_MAX: Final = 32
"""Sessions that are ended in one transaction at most."""

TAIL_MARGIN_MS: Final = 120_000
"""How long before a ceiling ends its tail is claimed."""


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """When to claim.

    Attributes:
        threshold: unclaimed base units of a session that are worth a transaction.
        age_ms: how long anything waits at most.
        tail_least: the least tail that is claimed without a countersignature.
        every_s: how often to look.
    """

    threshold: Balance = Balance(AIT // 10)  # noqa: RUF009 - a number
    age_ms: int = 24 * 3_600_000
    tail_least: Balance = Balance(AIT // 1000)  # noqa: RUF009 - a number
    every_s: float = 5.0


class Claimer:
    """Looks through the sessions from time to time."""

    def __init__(
        self, sessions: Sessions, store: Store, chain: ChainSide, clock: Clock, policy: ClaimPolicy, metrics: Metrics
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._chain = chain
        self._clock = clock
        self._policy = policy
        self._metrics = metrics
        self._since: dict[Hash32, Moment] = {}
        self._refused: dict[tuple[Hash32, int], tuple[Balance, int]] = {}

    async def run(self) -> None:
        """Claim until cancelled."""
        while True:
            await asyncio.sleep(self._policy.every_s)
            try:
                await self.claim_due()
            except (ChainDown, StoreFailed) as error:
                log.warning("claims have to wait", extra={"reason": str(error)})

    async def claim_due(self, *, everything: bool = False) -> int:
        """Claim what is due now; return how many claims were accepted.

        Raises:
            ChainDown: the chain does not answer; nothing is lost.
        """
        if not await self._store.may_claim():
            return 0
        await self._sessions.gather()
        due: list[tuple[Known, ClaimItem]] = []
        for known in self._sessions.all():
            due += [(known, item) for item in self._due_of(known, everything=everything)]
        accepted = 0
        for start in range(0, len(due), BATCH_MAX):
            accepted += await self._submit(due[start : start + BATCH_MAX])
        return accepted

    async def wind_up(self) -> int:
        """Serve nothing more, claim everything, and end the sessions that owe nothing then; return how many are left.

        Left are those with a request in flight or a claim the chain has not taken; ask again.

        Raises:
            ChainDown: the chain does not answer; nothing is lost.
        """
        for session in await self._store.sessions():
            known = await self._sessions.find(session)
            if known is not None:
                async with self._sessions.turn(known, None) as turn:
                    known.ended = known.seller.closing = True
                    turn.close(session)
        await self._store.synced()
        await self.claim_due(everything=True)
        open_ones = [known for known in self._sessions.all() if not known.gone]
        for known in open_ones:
            # What it owes may never be taken: somebody ended it before the last claim came.
            known.gone = not known.busy and self._owes(known) and await self._chain.is_over(known.seller.id)
        open_ones = [known for known in open_ones if not known.gone]
        done = [known for known in open_ones if not self._owes(known)]
        ended = 0
        for start in range(0, len(done), END_MAX):
            batch = done[start : start + END_MAX]
            outcomes = await self._chain.end([known.seller.id for known in batch])
            for known, good in zip(batch, outcomes, strict=True):
                known.gone = good
                ended += good
        return len(open_ones) - ended

    def _owes(self, known: Known) -> bool:
        """Whether a session may still owe something that can be claimed."""
        if known.busy or known.away:
            return True
        now = self._clock.now()
        claims = (lane.claim(now) for lane in known.seller.lanes.values())
        return any(
            best is not None and best.total > known.claimed.get(best.voucher.lane, 0) for best in claims
        )  # fmt: skip

    def _due_of(self, known: Known, *, everything: bool) -> list[ClaimItem]:
        now = self._clock.now()
        session = known.seller.id
        unclaimed = known.unclaimed
        if not unclaimed:
            self._since.pop(session, None)
            return []
        since = self._since.setdefault(session, now)
        whole = (
            everything
            or known.facts.closing
            or known.urgent
            or unclaimed >= self._policy.threshold
            or now - since >= self._policy.age_ms
        )
        items = []
        for lane in known.seller.lanes.values():
            best = lane.claim(now)
            if best is None or lane.signed_voucher is None:
                continue
            tail = best.receipt_hash is not None
            if lane.busy or lane.number in known.away or self._was_refused(best):
                continue
            if best.total <= known.claimed.get(lane.number, 0):
                continue
            late = tail and self._ends_soon(best, now) and best.total - best.voucher.acked >= self._policy.tail_least
            if whole or late:
                if tail and not (late or known.facts.closing or everything):
                    best = Claim(best.voucher, best.voucher.acked, best.voucher.seq)
                    if best.total <= known.claimed.get(lane.number, 0):
                        continue
                receipt = lane.last_receipt if best.receipt_hash is not None else None
                items.append(ClaimItem(best, lane.signed_voucher, receipt))
        return items

    def _was_refused(self, claim: Claim) -> bool:
        """Whether the chain has refused this very claim; it would again."""
        return self._refused.get((claim.voucher.session_id, claim.voucher.lane)) == (claim.total, claim.receipt_seq)

    def _ends_soon(self, claim: Claim, now: Moment) -> bool:
        until = claim.voucher.valid_until
        return until != 0 and now >= until - TAIL_MARGIN_MS

    async def _submit(self, due: Sequence[tuple[Known, ClaimItem]]) -> int:
        outcomes = await self._chain.claim([item for _, item in due])
        accepted = 0
        for (known, item), good in zip(due, outcomes, strict=True):
            self._metrics.claims.add("accepted" if good else "refused")
            if good:
                accepted += 1
                lane = item.claim.voucher.lane
                known.claimed[lane] = item.claim.total
                self._store.put_claimed(known.seller.id, lane, item.claim.total)
                self._since.pop(known.seller.id, None)
            else:
                place = (known.seller.id, item.claim.voucher.lane)
                self._refused[place] = (item.claim.total, item.claim.receipt_seq)
                log.warning("a claim was refused", extra={"lane": place[1], "total": item.claim.total})
            known.urgent = False
        return accepted
