"""What Sessions tells and how it fails."""

from __future__ import annotations

from aitoken.codec.hints import Bytes32, u8, u128
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.providers_types import ProviderId
from chain.pallets.ai.sessions_types import ClaimProblem, LaneNumber, SessionId


class SessionsEvents(Events):
    """What Sessions tells."""

    class Opened(Ev, index=0):
        """Money of a payer waits for a provider."""

        session: SessionId
        payer: AccountId
        provider: ProviderId
        deposit: Balance
        expires: BlockNumber

    class ToppedUp(Ev, index=1):
        """Somebody added money."""

        session: SessionId
        who: AccountId
        amount: Balance

    class Claimed(Ev, index=2):
        """A lane was paid so much for good, and so much waits to be countersigned."""

        session: SessionId
        lane: LaneNumber
        paid: Balance
        waiting: Balance

    class ClaimRefused(Ev, index=3):
        """A claim was passed over."""

        session: SessionId
        lane: LaneNumber
        problem: ClaimProblem

    class TailPaid(Ev, index=4):
        """A tail waited its time and was paid."""

        session: SessionId
        lane: LaneNumber
        amount: Balance

    class TailReturned(Ev, index=5):
        """A tail was proved wrong, or its receipt was not shown: it is the payer's again."""

        session: SessionId
        lane: LaneNumber
        amount: Balance

    class Demanded(Ev, index=6):
        """The receipt behind a tail has to be shown until then."""

        session: SessionId
        lane: LaneNumber
        who: AccountId
        until: Moment

    class Shown(Ev, index=7):
        """The receipt behind a tail was shown."""

        session: SessionId
        lane: LaneNumber
        receipt_hash: Hash32

    class Challenged(Ev, index=8):
        """A lie of the provider was proved: proof F1 to F5, the damage, and what the provider lost."""

        session: SessionId
        lane: LaneNumber
        proof: u8
        damage: Balance
        slashed: Balance
        who: AccountId

    class CloseRequested(Ev, index=9):
        """The session ends after its grace: the payer asked for it, or it expired."""

        session: SessionId
        grace: BlockNumber

    class Closed(Ev, index=10):
        """The session is over: what was paid in all, and what went back to the payer now."""

        session: SessionId
        paid: Balance
        returned: Balance

    class Refunded(Ev, index=11):
        """The provider gave back a part of what it was paid."""

        session: SessionId
        amount: Balance
        receipt_hash: Hash32

    class RateLocked(Ev, index=12):
        """The provider's rate counts until then: base units for one whole of the book's currency."""

        session: SessionId
        rate: u128
        until: Moment

    class KeyChanged(Ev, index=13):
        """Vouchers are signed by another key, or by nobody while the session is frozen."""

        session: SessionId
        key: Bytes32 | None

    class Extended(Ev, index=14):
        """The session expires later."""

        session: SessionId
        expires: BlockNumber

    class Forgotten(Ev, index=15):
        """Nothing of the session is stored any more, and its deposit is back."""

        session: SessionId

    class FeePaid(Ev, index=16):
        """The protocol fee of what was paid in a call, and where it went."""

        burned: Balance
        validators: Balance
        treasury: Balance


class SessionsErrors(Errors):
    """How Sessions fails."""

    class NoSession(Err, index=0):
        """There is no such session."""

    class SessionExists(Err, index=1):
        """This id is taken, or was not long ago."""

    class Ended(Err, index=2):
        """The session is closing or closed."""

    class BadSignature(Err, index=3):
        """A signature is not that of the key it must be of."""

    class UnknownAsset(Err, index=4):
        """Sessions are in the token, asset 0."""

    class DepositTooLow(Err, index=5):
        """Less than the least deposit."""

    class BadLanes(Err, index=6):
        """The number of lanes is out of bounds."""

    class BadGrace(Err, index=7):
        """The grace is out of bounds."""

    class BadExpiry(Err, index=8):
        """The session would expire too soon or too late."""

    class Expired(Err, index=9):
        """The statement is not valid any more."""

    class NotPayer(Err, index=10):
        """Only the payer may do this."""

    class NotProvider(Err, index=11):
        """Only the provider may do this."""

    class TooMany(Err, index=12):
        """There are as many of these as there can be."""

    class NoTail(Err, index=13):
        """Nothing waits on this lane."""

    class WindowOpen(Err, index=14):
        """The time for this has not come."""

    class NotFraud(Err, index=15):
        """This proves no lie."""

    class BadReceipt(Err, index=16):
        """The statement is malformed or about something else."""

    class AlreadyPunished(Err, index=17):
        """The provider has been punished for this."""

    class AlreadyDemanded(Err, index=18):
        """The receipt has been demanded or shown."""

    class NotDemanded(Err, index=19):
        """Nobody demands this receipt, or the time to show it is over."""

    class OverDeposit(Err, index=20):
        """More than there is."""

    class BelowClaimed(Err, index=21):
        """Less than was claimed already."""

    class NothingToDo(Err, index=22):
        """Nothing of this session is due."""

    class BadOffer(Err, index=23):
        """The offer is malformed, for something else, or not valid any more."""

    class NoChange(Err, index=24):
        """It is like that already."""

    class TooLate(Err, index=25):
        """The time for this is over."""
