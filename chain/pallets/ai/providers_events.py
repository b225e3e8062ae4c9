"""What Providers tells and how it fails."""

from __future__ import annotations

from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.providers_types import ProviderId, ServiceId, Version
from chain.pallets.session import Ed25519Public


class ProvidersEvents(Events):
    """What Providers tells."""

    class ProviderRegistered(Ev, index=0):
        """Somebody sells from now on."""

        provider: ProviderId
        owner: AccountId
        operator: Ed25519Public
        payout: AccountId

    class ProviderUpdated(Ev, index=1):
        """Operator key, endpoint or pause of a provider are now these."""

        provider: ProviderId
        operator: Ed25519Public
        paused: bool

    class PayoutChangeScheduled(Ev, index=2):
        """From then on the money goes to another account."""

        provider: ProviderId
        payout: AccountId
        effective_from: Moment

    class Bonded(Ev, index=3):
        """The bond grew."""

        provider: ProviderId
        who: AccountId
        amount: Balance

    class Unbonded(Ev, index=4):
        """A part of the bond is on its way out."""

        provider: ProviderId
        amount: Balance
        free_at: Moment

    class Withdrawn(Ev, index=5):
        """A part of the bond went back to the owner."""

        provider: ProviderId
        amount: Balance

    class ServicePublished(Ev, index=6):
        """A service is offered, or its terms changed."""

        service: ServiceId
        provider: ProviderId

    class BookPublished(Ev, index=7):
        """A price book was published for services; it never changes."""

        provider: ProviderId
        version: Version
        hash: Hash32
        effective_from: Moment

    class ServiceRetiring(Ev, index=8):
        """A service takes no new sessions from then on."""

        service: ServiceId
        at: Moment

    class ServiceRetired(Ev, index=9):
        """A service is gone."""

        service: ServiceId

    class BookRetired(Ev, index=10):
        """A price book is gone."""

        provider: ProviderId
        version: Version

    class ProviderRetired(Ev, index=11):
        """A provider is gone."""

        provider: ProviderId

    class Slashed(Ev, index=12):
        """A provider lost a part of its bond: to whom it damaged, to who showed it, and burned."""

        provider: ProviderId
        amount: Balance
        to_victim: Balance
        to_reporter: Balance


class ProvidersErrors(Errors):
    """How Providers fails."""

    class NoProvider(Err, index=0):
        """There is no such provider."""

    class NotOwner(Err, index=1):
        """Only the owner, or for daily calls the operator, may do this."""

    class BondTooLow(Err, index=2):
        """The bond is, or would be, less than the least."""

    class NoticeTooShort(Err, index=3):
        """A book that may cost somebody more has to be announced earlier."""

    class BadBook(Err, index=4):
        """The book breaks a limit or has two meanings."""

    class NoService(Err, index=5):
        """There is no such service of this provider."""

    class NoBook(Err, index=6):
        """There is no such book."""

    class BookMismatch(Err, index=7):
        """The book is not in force for any service that is offered."""

    class Paused(Err, index=8):
        """The provider takes no new sessions."""

    class StillNeeded(Err, index=9):
        """It is in force, announced, bound by sessions, or its notice is not over."""

    class TooMany(Err, index=10):
        """There are as many of these as there can be."""

    class NothingToWithdraw(Err, index=11):
        """No part of the bond is free."""

    class TooLong(Err, index=12):
        """A text or list is longer than allowed."""

    class BadMoment(Err, index=13):
        """The time lies too far ahead."""
