"""The court of Rewards: whether challenged work is a fraud is said by arbiters of Disputes, drawn by chance.

    challenged   the seed that draws is that of an epoch that begins after it, so nobody can time a challenge by it
    seated       by anybody's call, three arbiters; no party, no attester of the campaign
    judged       for two days: sealed, as in Disputes
    unveiled     for a day; who stays silent loses 5 % of its stake
    ruled        more than half of what was said says fraud: it is one; else, or where nothing was said, it is not

Those whose vote is the outcome share half of the bond of a challenge that is not right, or half of the bounty.

Source: payments paper, sections 5.6 and 5.14.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aitoken.pay.seals import COURT, FULL_AWARD, juror_seal
from aitoken.proto.digest import NextEpoch
from aitoken.types import AccountId, Balance, Moment
from chain.pallets.ai.disputes_types import Seat
from chain.pallets.ai.rewards_events import RewardsErrors as Error
from chain.pallets.ai.rewards_events import RewardsEvents as Event
from chain.pallets.ai.rewards_rules import bounty_of
from chain.pallets.ai.rewards_storage import JUDGE_MS, RULING_MS, UNVEIL_MS
from chain.pallets.ai.rewards_types import Attester, Campaign, Challenge, RewardsHoldReason, Submission
from chain.pallets.balances import BurnReason

if TYPE_CHECKING:
    from chain.pallets.ai.arbiters import Arbiters
    from chain.pallets.ai.rewards_storage import RewardsStorage
    from chain.pallets.balances import Balances

JURORS: Final = 3
WAIT_EPOCHS: Final = 2


class Seeds(Protocol):
    """Randomness: the epoch that runs and the seed of its leaders."""

    def get(self) -> NextEpoch:
        """The epoch the next block belongs to."""


class Court:
    """Seats panels, counts what they say, pays and punishes."""

    def __init__(self, store: RewardsStorage, money: Balances, seeds: Seeds, arbiters: Arbiters) -> None:
        self._store = store
        self._money = money
        self._seeds = seeds
        self._arbiters = arbiters

    def epoch(self) -> int:
        """Return the first epoch whose seed may draw a panel on what is challenged now."""
        return self._seeds.get().epoch + WAIT_EPOCHS

    def seat(self, number: int, found: Submission, campaign: Campaign, now: Moment) -> None:
        """Draw the panel on a challenge; changes the challenge of `found`."""
        challenge, epoch = self._challenge(found), self._seeds.get()
        if challenge.seated is not None:
            raise Error.AlreadySeated
        if epoch.epoch < challenge.epoch or now + JUDGE_MS + UNVEIL_MS > challenge.since + RULING_MS:
            raise Error.WrongPhase
        barred = (found.who, challenge.who, campaign.owner, *campaign.attesters)
        drawn = self._arbiters.seat(number, COURT, bytes(epoch.seed), barred, JURORS)
        if not drawn:
            raise Error.NoArbiters
        found.challenge = challenge.copy()
        found.challenge.seated = now
        self._store.emit(Event.PanelSeated(number, drawn))

    def judge(self, who: AccountId, number: int, found: Submission, seal: bytes, now: Moment) -> None:
        """Take a juror's sealed vote."""
        panel, at = self._place(who, number)
        if not self._since(found) <= now < self._since(found) + JUDGE_MS:
            raise Error.WrongPhase
        if panel[at].commitment is not None:
            raise Error.AlreadyVoted
        panel[at] = Seat(who, seal, None)
        self._store.panels.put(number, panel)
        self._store.emit(Event.JurorVoted(number, who))

    def unveil(self, who: AccountId, number: int, found: Submission, salt: bytes, now: Moment, *, fraud: bool) -> None:
        """Take what a juror's vote was."""
        panel, at = self._place(who, number)
        begins = self._since(found) + JUDGE_MS
        if not begins <= now < begins + UNVEIL_MS:
            raise Error.WrongPhase
        seat = panel[at]
        if seat.vote is not None:
            raise Error.AlreadyVoted
        if seat.commitment != juror_seal(number, who, salt, fraud=fraud):
            raise Error.WrongSeal
        panel[at] = Seat(who, seat.commitment, FULL_AWARD * fraud)
        self._store.panels.put(number, panel)
        self._store.emit(Event.JurorUnveiled(number, who, fraud))

    def verdict(self, number: int, challenge: Challenge, now: Moment) -> bool | None:
        """Return what becomes of a challenge, None while that is open; who was silent is punished."""
        if challenge.seated is None:
            return None if now < challenge.since + RULING_MS else False
        if now < challenge.seated + JUDGE_MS + UNVEIL_MS:
            return None
        votes = self._arbiters.punish_silent(number)
        return 2 * sum(vote == FULL_AWARD for vote in votes) > len(votes)

    def dissolve(self, number: int, *, fraud: bool) -> list[AccountId]:
        """End a panel, if one sits; return who said what became of it."""
        panel = self._arbiters.dissolve(number)
        return [seat.arbiter for seat in panel if seat.vote == FULL_AWARD * fraud]

    def pay(self, reason: Any, source: AccountId, amount: Balance, jurors: list[AccountId], to: AccountId) -> None:
        """Pay half of what is held to jurors, the rest to somebody."""
        fee = Balance(amount // 2 // len(jurors)) if jurors else Balance(0)
        for juror in jurors if fee else ():
            self._money.transfer_held(reason, source, juror, fee)
        self._money.transfer_held(reason, source, to, Balance(amount - fee * len(jurors)))

    def slash(self, attester: AccountId, row: Attester, challenger: AccountId, jurors: list[AccountId]) -> None:
        """Take everything an attester has at stake: a part is the bounty, the rest is burned."""
        bounty, reason = bounty_of(row.stake), RewardsHoldReason.Stake
        self._store.attesters.put(attester, Attester(Balance(0), row.bound))
        self.pay(reason, attester, bounty, jurors, challenger)
        self._money.burn_held(reason, attester, Balance(row.stake - bounty), BurnReason.Slash)
        self._store.emit(Event.Slashed(attester, row.stake))

    @staticmethod
    def _challenge(found: Submission) -> Challenge:
        if found.challenge is None:
            raise Error.NotChallenged
        return found.challenge

    def _since(self, found: Submission) -> int:
        return self._challenge(found).seated or 0

    def _place(self, who: AccountId, number: int) -> tuple[list[Seat], int]:
        """Return a copy of a panel and where somebody sits on it."""
        panel = list(self._store.panels.get(number) or [])
        at = next((at for at, seat in enumerate(panel) if seat.arbiter == who), None)
        if at is None:
            raise Error.NotSeated
        return panel, at
