"""What Names tells and how it fails."""

from __future__ import annotations

from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.names_types import Case, Danger, Name, NameList, Reservation, Subject, Vouched
from chain.pallets.ai.pay_types import Payee


class NamesEvents(Events):
    """What Names tells."""

    class Committed(Ev, index=0):
        """Somebody will register a name, and has not said which."""

        who: AccountId

    class Registered(Ev, index=1):
        """A name is somebody's until then; the rent is burned."""

        name: Name
        owner: AccountId
        expires: Moment
        rent: Balance

    class Renewed(Ev, index=2):
        """A name is paid for until then; the rent is burned."""

        name: Name
        payer: AccountId
        expires: Moment
        rent: Balance

    class Transferred(Ev, index=3):
        """A name is another's now, and names its new owner."""

        name: Name
        source: AccountId
        dest: AccountId

    class TargetSet(Ev, index=4):
        """A name means this from now on."""

        name: Name
        target: Payee

    class Released(Ev, index=5):
        """A name is nobody's; the deposit is free."""

        name: Name
        owner: AccountId

    class ReservationsSet(Ev, index=6):
        """The list of names that are not for everybody was changed."""

        names: NameList
        terms: Reservation

    class Challenged(Ev, index=7):
        """Somebody says a name is an impersonation, or a warning is wrong; it is decided by then."""

        case: Case
        who: AccountId
        bond: Balance
        evidence: Hash32
        until: Moment

    class Upheld(Ev, index=8):
        """It is right: the name is frozen and its deposit goes to who challenged it; or the warning is gone."""

        case: Case
        who: AccountId

    class Dismissed(Ev, index=9):
        """It is not right, or nobody decided in time: the bond goes to the owner; that of an appeal is burned."""

        case: Case
        who: AccountId

    class Verified(Ev, index=10):
        """A domain in the internet vouches for a name."""

        name: Name
        owner: AccountId
        vouched: Vouched

    class BadgeRemoved(Ev, index=11):
        """Nothing vouches for a name any more."""

        name: Name

    class Warned(Ev, index=12):
        """Wallets show a warning until then."""

        subject: Subject
        danger: Danger
        evidence: Hash32
        until: Moment

    class WarningEnded(Ev, index=13):
        """A warning was taken back, or its time is over."""

        subject: Subject


class NamesErrors(Errors):
    """How Names fails."""

    class BadName(Err, index=0):
        """A name has a-z, 0-9 and single hyphens inside, and begins with a letter."""

    class TooShort(Err, index=1):
        """A name has three characters at least."""

    class Taken(Err, index=2):
        """The name is somebody's."""

    class Confusable(Err, index=3):
        """A name that looks like this one is somebody's."""

    class Reserved(Err, index=4):
        """The name, or one that looks like it, is not for everybody."""

    class NotCommitted(Err, index=5):
        """The caller did not commit to this name with this salt."""

    class TooEarly(Err, index=6):
        """The commitment is too young."""

    class TooLate(Err, index=7):
        """The commitment is too old; or the name is no longer paid for."""

    class BadPeriod(Err, index=8):
        """The name would be paid for too far ahead, or for no time."""

    class NoName(Err, index=9):
        """There is no such name."""

    class NotOwner(Err, index=10):
        """Only the owner may do that, or whom the warning is about."""

    class Frozen(Err, index=11):
        """The name lost a challenge."""

    class UnderChallenge(Err, index=12):
        """A challenge or an appeal is being decided."""

    class NoCase(Err, index=13):
        """There is nothing to decide."""

    class NoWarning(Err, index=14):
        """There is no such warning."""

    class NotYet(Err, index=15):
        """Its time has not come."""

    class NotVouched(Err, index=16):
        """These are not attestations of two issuers that count now, of this domain and this owner or provider."""
