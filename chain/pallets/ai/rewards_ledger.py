"""The ledger of a campaign as a question to the chain: who paid in, who earned what, for which evidence.

It is read page by page, sponsors first, then disclosed work; work that was never disclosed cannot be paid. A page
looks at as many rows as it may have and no more, however large the campaign is. On all pages of one block together:

    paid_in == left + earned        and the rows add up to these
    (once sponsors have taken something out: without what was theirs)

Source: payments paper, section 5.14; `docs/spec/rewards.md`.
"""

from __future__ import annotations

from typing import Annotated, Final

from aitoken.codec.hints import TypeName, u16, u32, u64
from aitoken.codec.records import Record, Union, record
from aitoken.types import AccountId, Balance, Hash32
from chain.frame.pallet import runtime_api
from chain.pallets.ai.rewards_events import RewardsErrors as Error
from chain.pallets.ai.rewards_rules import left_of
from chain.pallets.ai.rewards_storage import RewardsStorage
from chain.pallets.ai.rewards_types import Stage

PAGE_ROWS_MAX: Final = 100


class LedgerPlace(Union, path="pallet_rewards::LedgerPlace"):
    """Where a page ends."""


class AfterSponsor(LedgerPlace, index=0):
    """After this sponsor."""

    who: AccountId


class AfterWork(LedgerPlace, index=1):
    """After the work of this hash."""

    content: Hash32


@record("pallet_rewards::LedgerSponsor")
class LedgerSponsor(Record):
    """Who put money in, and what of it is left; what was put in first is paid out first."""

    who: AccountId
    paid_in: Balance
    left: Balance


@record("pallet_rewards::LedgerWork")
class LedgerWork(Record):
    """Disclosed work: what it was promised, where it stands with what was paid, and what that rests on.

    Attributes:
        content: hash of the work.
        accepted, rejected: the attesters that said so.
    """

    submission: u64
    who: AccountId
    content: Hash32
    reward: Balance
    stage: Stage
    accepted: Annotated[list[AccountId], TypeName("Vec<T::AccountId>")]
    rejected: Annotated[list[AccountId], TypeName("Vec<T::AccountId>")]
    challenged: bool


@record("pallet_rewards::LedgerPage")
class LedgerPage(Record):
    """A part of a campaign's ledger, with its totals.

    Attributes:
        paid_in: by those sponsors that have not taken out what was left of it.
        earned: what was paid for work.
        promised: what of `left` belongs to work that may still be paid.
        submitted: how many submissions there were; `pending` of them may still be paid.
        next: what to ask for next; none: this was the last page.
    """

    owner: AccountId
    paid_in: Balance
    earned: Balance
    left: Balance
    promised: Balance
    submitted: u32
    pending: u32
    ended: bool
    sponsors: Annotated[list[LedgerSponsor], TypeName("Vec<LedgerSponsor>")]
    works: Annotated[list[LedgerWork], TypeName("Vec<LedgerWork>")]
    next: LedgerPlace | None


class RewardsLedger(RewardsStorage):
    """Answers for the ledger; a part of the pallet."""

    @runtime_api("RewardsApi", 2)
    def ledger(
        self, campaign: u64, after: LedgerPlace | None, limit: u16
    ) -> Annotated[LedgerPage | None, TypeName("Option<LedgerPage>")]:
        """Return a page of a campaign's ledger, None where there is no campaign; at most 100 rows."""
        found, room = self.campaigns.get(campaign), min(max(1, limit), PAGE_ROWS_MAX)
        if found is None:
            return None
        sponsors: list[LedgerSponsor] = []
        if not isinstance(after, AfterWork):
            since = (campaign, after.who) if isinstance(after, AfterSponsor) else None
            for (_, who), parts in self.shares.page(campaign, after=since, limit=room):
                put_in = Balance(sum(part.amount for part in parts))
                sponsors.append(LedgerSponsor(who, put_in, left_of(parts, found.paid)))
        last: LedgerPlace | None = AfterSponsor(sponsors[-1].who) if sponsors else after
        room -= len(sponsors)
        works: list[LedgerWork] = []
        if room:
            begin = (campaign, after.content) if isinstance(after, AfterWork) else None
            for (_, content), number in self.works.page(campaign, after=begin, limit=room):
                works.append(self._row(number, Hash32(content)))
            last = AfterWork(works[-1].content) if len(works) == room else None
        return LedgerPage(
            found.owner, found.shares, found.paid, found.left, found.promised, found.submitted, found.pending,
            found.ended, sponsors, works, last,
        )  # fmt: skip

    def _row(self, number: int, content: Hash32) -> LedgerWork:
        work = self.submissions.get(number)
        if work is None:
            raise Error.NoSubmission
        said = {verdict: [vote.attester for vote in work.votes if vote.accepts is verdict] for verdict in (True, False)}
        return LedgerWork(
            number, work.who, content, work.reward, work.stage, said[True], said[False], work.challenge is not None
        )
