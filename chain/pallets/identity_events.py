"""What Identity tells and how it fails; numbers and names are Substrate's."""

from __future__ import annotations

from typing import Annotated

from aitoken.codec.hints import TypeName, u32
from aitoken.types import AccountId, Balance
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.identity_types import RegistrarIndex

Money = Annotated[Balance, TypeName("BalanceOf<T>")]


class IdentityEvents(Events):
    """What Identity tells."""

    class IdentitySet(Ev, index=0):
        """A name was set or reset (which will remove all judgements)."""

        who: AccountId

    class IdentityCleared(Ev, index=1):
        """A name was cleared, and the given balance returned."""

        who: AccountId
        deposit: Money

    class IdentityKilled(Ev, index=2):
        """A name was removed and the given balance slashed."""

        who: AccountId
        deposit: Money

    class JudgementRequested(Ev, index=3):
        """A judgement was asked from a registrar."""

        who: AccountId
        registrar_index: RegistrarIndex

    class JudgementUnrequested(Ev, index=4):
        """A judgement request was retracted."""

        who: AccountId
        registrar_index: RegistrarIndex

    class JudgementGiven(Ev, index=5):
        """A judgement was given by a registrar."""

        target: AccountId
        registrar_index: RegistrarIndex

    class RegistrarAdded(Ev, index=6):
        """A registrar was added."""

        registrar_index: RegistrarIndex

    class SubIdentityAdded(Ev, index=7):
        """A sub-identity was added to an identity and the deposit paid."""

        sub: AccountId
        main: AccountId
        deposit: Money

    class SubIdentitiesSet(Ev, index=8):
        """An account's sub-identities were set (in bulk)."""

        main: AccountId
        number_of_subs: u32
        new_deposit: Money

    class SubIdentityRenamed(Ev, index=9):
        """A given sub-account's associated name was changed by its super-identity."""

        sub: AccountId
        main: AccountId

    class SubIdentityRemoved(Ev, index=10):
        """A sub-identity was removed from an identity and the deposit freed."""

        sub: AccountId
        main: AccountId
        deposit: Money

    class SubIdentityRevoked(Ev, index=11):
        """A sub-identity was cleared, and the given deposit given to the sub-account."""

        sub: AccountId
        main: AccountId
        deposit: Money


class IdentityErrors(Errors):
    """How Identity fails."""

    class TooManySubAccounts(Err, index=0):
        """Too many subs-accounts."""

    class NotFound(Err, index=1):
        """Account isn't found."""

    class NotNamed(Err, index=2):
        """Account isn't named."""

    class EmptyIndex(Err, index=3):
        """Empty index."""

    class FeeChanged(Err, index=4):
        """Fee is changed."""

    class NoIdentity(Err, index=5):
        """No identity found."""

    class StickyJudgement(Err, index=6):
        """Sticky judgement."""

    class JudgementGiven(Err, index=7):
        """Judgement given."""

    class InvalidJudgement(Err, index=8):
        """Invalid judgement."""

    class InvalidIndex(Err, index=9):
        """The index is invalid."""

    class InvalidTarget(Err, index=10):
        """The target is invalid."""

    class TooManyRegistrars(Err, index=11):
        """Maximum amount of registrars reached. Cannot add any more."""

    class AlreadyClaimed(Err, index=12):
        """Account ID is already named."""

    class NotSub(Err, index=13):
        """Sender is not a sub-account."""

    class NotOwned(Err, index=14):
        """Sub-account isn't owned by sender."""

    class JudgementForDifferentIdentity(Err, index=15):
        """The provided judgement was for a different identity."""

    class JudgementPaymentFailed(Err, index=16):
        """Error that occurs when there is an issue paying for judgement."""
