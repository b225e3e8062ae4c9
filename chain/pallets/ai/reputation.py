"""Reputation: what those say of a service who have paid it.

Feedback needs a session the author has paid, still stored (until a day after its end, on a public network), and a
receipt of it that the provider signed and that names the service. One session, one feedback, for ever; nobody rates
what it runs itself.

What it counts grows with the logarithm of the protocol fees the author has burned at this service in all rated sessions
together, so many small sessions count no more than a large one, and loses half in 90 days. Whoever rates itself from
other accounts still burns fees for each; the tally of persons counts only authors that are persons
(`chain.pallets.ai.attest`).

    weights of an author's feedback on a service, as given  <=  bits(fees burned / what the least spending burns)
    held(Deposit) == deposits of its feedback

Source: payments paper, sections 5.18 and 10.4; `docs/spec/reputation.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from aitoken.codec.hints import Bytes32, u8, u32, u64
from aitoken.credentials import EVERYWHERE
from aitoken.types import AIT, AccountId, Balance, Hash32, Moment
from chain.frame.calls import call
from chain.frame.origin import Origin, ensure_signed
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, constant, runtime_api
from chain.frame.storage import BLAKE2_128_CONCAT, TWOX_64_CONCAT, OptionMap, storage_map
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.providers_types import ProviderId, ServiceId
from chain.pallets.ai.reputation_types import (
    SCORE_MAX,
    Burned,
    Feedback,
    ReputationHoldReason,
    Summary,
    Tags,
    Tally,
)
from chain.pallets.ai.sessions_storage import FEE_DEFAULT, FEE_ONE
from chain.pallets.ai.sessions_types import LaneNumber, SessionId, SignedReceipt
from chain.params import DAY_MS

if TYPE_CHECKING:
    from aitoken.pay.layouts import Receipt
    from chain.frame.machine import Machine
    from chain.pallets.ai.providers_types import Service
    from chain.pallets.ai.sessions_types import Session
    from chain.pallets.balances import Balances

MIN_SPEND: Final = Balance(AIT)
LEAST_BURNED: Final = MIN_SPEND * FEE_DEFAULT // FEE_ONE // 2
"""What the least spending burns with the default fee: one unit of weight."""
MICRO: Final = 1_000_000
FEEDBACK_BYTES: Final = 380
FEEDBACK_DEPOSIT: Final = deposit(FEEDBACK_BYTES)
DEPOSIT: Final = ReputationHoldReason.Deposit
HALF_LIFE_DAYS: Final = 90
FADED_DAYS: Final = 64 * HALF_LIFE_DAYS
"""After so long nothing is left of any weight."""
_ONE: Final = 1 << 32
_A_DAY: Final = 4_262_016_076
"""What is left after a day, of `_ONE`: two to the power of -1/90."""


class Paid(Protocol):
    """What was paid; the Sessions pallet."""

    def shown(self, session: Hash32, lane: int, receipt: SignedReceipt) -> tuple[Session, Receipt]:
        """A session and a receipt of it, which the provider has signed."""

    def burned_by(self, found: Session) -> int:
        """How much of what a session has paid is burned."""

    def parties_of(self, session: Hash32) -> tuple[AccountId, int] | None:
        """Payer and provider of a session, None where it is over and forgotten."""


class Sellers(Protocol):
    """Who sells what; the Providers pallet."""

    services: OptionMap[int, Service]

    def people_of(self, number: int) -> tuple[AccountId, ...]:
        """Owner, operator and payout of a provider."""

    def is_run_by(self, provider: int, who: AccountId) -> bool:
        """Whether an account is the owner or the operator of a provider."""


class Persons(Protocol):
    """Who is a person; the Attest pallet."""

    def is_person(self, account: AccountId, scope: bytes, issuers: int = 1) -> bool:
        """Whether so many issuers vouch for that."""


class Now(Protocol):
    """The time of the block."""

    def current_time(self) -> Moment:
        """Unix milliseconds."""


class Reputation(Pallet, index=51, crate="pallet_reputation"):
    """What those say of a service who have paid it."""

    HoldReason = ReputationHoldReason

    feedbacks: OptionMap[tuple[ProviderId, SessionId], Feedback] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="Feedback on the services of a provider, by the session that was paid."
    )
    burned: OptionMap[tuple[ServiceId, AccountId], Burned] = storage_map(
        TWOX_64_CONCAT, BLAKE2_128_CONCAT, doc="What authors have burned at a service in sessions they rated."
    )
    summaries: OptionMap[ServiceId, Summary] = storage_map(
        TWOX_64_CONCAT, doc="Feedback of a service added up; fades from its day on."
    )

    min_spend: Balance = constant(MIN_SPEND, doc="What a session must have paid, less refunds, for feedback.")
    feedback_deposit: Balance = constant(FEEDBACK_DEPOSIT, doc="What is held for feedback.")
    half_life: u32 = constant(HALF_LIFE_DAYS, doc="After so many days feedback counts half.")

    class Event(Events):
        """What Reputation tells."""

        class Rated(Ev, index=0):
            """A payer has rated a service."""

            service: u64
            session: SessionId
            author: AccountId
            score: u8
            weight: u32
            person: bool

        class Responded(Ev, index=1):
            """The provider has answered feedback."""

            provider: u64
            session: SessionId
            text: Bytes32

        class Revoked(Ev, index=2):
            """An author has taken feedback back: it counts no more."""

            provider: u64
            session: SessionId

        class Removed(Ev, index=3):
            """Revoked feedback is gone, and its deposit is free."""

            provider: u64
            session: SessionId

    class Error(Errors):
        """How Reputation fails."""

        class NotPayer(Err, index=0):
            """Only who paid a session may rate it."""

        class SelfDealing(Err, index=1):
            """Who runs a provider, or is paid by it, does not rate it."""

        class BadScore(Err, index=2):
            """A score is 0 to 100."""

        class NoService(Err, index=3):
            """The provider has no such service now."""

        class SpentTooLittle(Err, index=4):
            """The session has paid less than the least, or less than its receipt comes to."""

        class AlreadyRated(Err, index=5):
            """This session was rated."""

        class NoFeedback(Err, index=6):
            """There is no such feedback."""

        class NotAuthor(Err, index=7):
            """It is somebody else's feedback."""

        class NotProvider(Err, index=8):
            """Only owner and operator answer for a provider."""

        class StillNeeded(Err, index=9):
            """Revoked feedback stays as long as its session could be rated again."""

    def __init__(
        self, machine: Machine, balances: Balances, clock: Now, sessions: Paid, providers: Sellers, persons: Persons
    ) -> None:
        super().__init__(machine)
        self._balances = balances
        self._clock = clock
        self._sessions = sessions
        self._providers = providers
        self._persons = persons

    # --------------------------------------------------------------------------------------------- calls

    @call(0)
    def feedback(
        self,
        origin: Origin,
        session: SessionId,
        lane: LaneNumber,
        receipt: SignedReceipt,
        score: u8,
        tags: Tags,
        text: Bytes32,
    ) -> None:
        """Rate the service that a receipt of a paid session names."""
        author, now = ensure_signed(origin), self._clock.current_time()
        if score > SCORE_MAX:
            raise self.Error.BadScore
        found, proof = self._sessions.shown(session, lane, receipt)
        if author != found.payer:
            raise self.Error.NotPayer
        if author in self._providers.people_of(found.provider):
            raise self.Error.SelfDealing
        service = self._providers.services.get(proof.service)
        if service is None or service.provider != found.provider:
            raise self.Error.NoService
        if found.claimed - found.refunded < max(MIN_SPEND, proof.lane_total):
            raise self.Error.SpentTooLittle
        if self.feedbacks.contains((found.provider, session)):
            raise self.Error.AlreadyRated
        self._balances.hold(DEPOSIT, author, FEEDBACK_DEPOSIT)
        weight = self._weigh(proof.service, author, self._sessions.burned_by(found))
        person, day = self._persons.is_person(author, EVERYWHERE), now // DAY_MS
        row = Feedback(proof.service, author, score, tags, text, None, weight, person, now, day, False)
        self.feedbacks.put((found.provider, session), row)
        self._count(row, day, 1)
        self.emit(self.Event.Rated(proof.service, session, author, score, weight, person))

    @call(1)
    def respond(self, origin: Origin, provider: ProviderId, session: SessionId, text: Bytes32) -> None:
        """Answer feedback, as the provider's owner or operator; a second answer replaces the first."""
        if not self._providers.is_run_by(provider, ensure_signed(origin)):
            raise self.Error.NotProvider
        found = self._find(provider, session).copy()
        found.response = text
        self.feedbacks.put((provider, session), found)
        self.emit(self.Event.Responded(provider, session, text))

    @call(2)
    def revoke(self, origin: Origin, provider: ProviderId, session: SessionId) -> None:
        """Take feedback back, as its author; once its session is forgotten it goes, and the deposit is free."""
        author = ensure_signed(origin)
        found = self._find(provider, session)
        if found.author != author:
            raise self.Error.NotAuthor
        is_over = self._sessions.parties_of(session) is None
        if not found.revoked:
            self._count(found, self._clock.current_time() // DAY_MS, -1)
            self.emit(self.Event.Revoked(provider, session))
        elif not is_over:
            raise self.Error.StillNeeded
        if not is_over:
            found = found.copy()
            found.revoked = True
            self.feedbacks.put((provider, session), found)
            return
        self.feedbacks.remove((provider, session))
        self._forget(found.service, author)
        self._balances.release(DEPOSIT, author, FEEDBACK_DEPOSIT)
        self.emit(self.Event.Removed(provider, session))

    # --------------------------------------------------------------------------------------------- questions

    @runtime_api("ReputationApi", 1)
    def summary(self, service: ServiceId) -> Summary:
        """Return the feedback of a service added up, as it counts today."""
        day = self._clock.current_time() // DAY_MS
        return self._today(self.summaries.get(service) or Summary(day, 0, Tally(0, 0), Tally(0, 0)), day)

    # --------------------------------------------------------------------------------------------- inside

    def _find(self, provider: int, session: Hash32) -> Feedback:
        found = self.feedbacks.get((provider, session))
        if found is None:
            raise self.Error.NoFeedback
        return found

    def _weigh(self, service: int, author: AccountId, burned: int) -> int:
        """Add what a session has burned to the rest of its author's; return by how much that counts more."""
        before = self.burned.get((service, author)) or Burned(Balance(0), 0)
        after = Burned(Balance(before.amount + burned), before.feedbacks + 1)
        self.burned.put((service, author), after)
        return weight_of(after.amount) - weight_of(before.amount)

    def _forget(self, service: int, author: AccountId) -> None:
        found = self.burned.get((service, author))
        if found is None or found.feedbacks <= 1:
            self.burned.remove((service, author))
        else:
            self.burned.put((service, author), Burned(found.amount, found.feedbacks - 1))

    def _count(self, row: Feedback, day: int, sign: int) -> None:
        """Add feedback to its service's summary, or take away what is left of it."""
        found = self.summary(row.service)
        weight = sign * faded(row.weight * MICRO, day - row.day)
        found.count += sign
        for tally in (found.everybody, found.persons)[: 1 + row.person]:
            tally.weight = max(0, tally.weight + weight)
            tally.scores = max(0, tally.scores + weight * row.score)
        self.summaries.put(row.service, found)

    def _today(self, found: Summary, day: int) -> Summary:
        days = day - found.day
        tallies = [
            Tally(faded(each.weight, days), faded(each.scores, days)) for each in (found.everybody, found.persons)
        ]
        return Summary(day, found.count, *tallies)


def weight_of(burned: int) -> int:
    """Return what burned fees count: the logarithm to the base of two, 1 for what the least spending burns."""
    return (burned // LEAST_BURNED).bit_length()


def faded(value: int, days: int) -> int:
    """Return what is left of a value after so many days."""
    if days >= FADED_DAYS:
        return 0
    left, factor = _ONE, _A_DAY
    while days > 0:
        if days & 1:
            left = left * factor >> 32
        factor = factor * factor >> 32
        days >>= 1
    return value * left >> 32
