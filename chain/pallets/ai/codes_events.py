"""What Codes tells and how it fails."""

from __future__ import annotations

from aitoken.codec.hints import u32, u64
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.codes_types import CodeIndex, Indices, Terms
from chain.pallets.ai.pay_types import Reference


class CodesEvents(Events):
    """What Codes tells."""

    class Created(Ev, index=0):
        """A sponsor has put down the value of codes."""

        batch: u64
        sponsor: AccountId
        root: Hash32
        value: Balance
        count: u32
        expires: Moment
        terms: Terms

    class Claimed(Ev, index=1):
        """The value of a code is its claimant's: tokens, or credit where the batch says so."""

        batch: u64
        index: CodeIndex
        claimant: AccountId
        value: Balance

    class CreditSpent(Ev, index=2):
        """The holder of a credit has had a provider paid; `left` can still be spent."""

        batch: u64
        index: CodeIndex
        holder: AccountId
        provider: u64
        amount: Balance
        left: Balance
        reference: Reference

    class Voided(Ev, index=3):
        """These codes cannot be claimed any more; their value is the sponsor's again."""

        batch: u64
        indices: Indices

    class Closed(Ev, index=4):
        """A batch is gone; everything unclaimed and unspent is the sponsor's again."""

        batch: u64


class CodesErrors(Errors):
    """How Codes fails."""

    class NoBatch(Err, index=0):
        """There is no such batch."""

    class Expired(Err, index=1):
        """The time of the batch, or of its credit, has passed."""

    class AlreadyUsed(Err, index=2):
        """This code was claimed or made void."""

    class BadCode(Err, index=3):
        """The proof does not lead from this key to the root of the batch."""

    class WorkTooWeak(Err, index=4):
        """The nonce does not show the work the batch asks for."""

    class BadSignature(Err, index=5):
        """The key of the code, or the holder of the credit, did not sign this."""

    class NoCredit(Err, index=6):
        """There is no credit of this code."""

    class OverCredit(Err, index=7):
        """The credit does not cover amount and fee."""

    class NotForProvider(Err, index=8):
        """The credit is not for this provider, or it cannot be paid now."""

    class NotSponsor(Err, index=9):
        """Only who put down the money may do that."""

    class BadTerms(Err, index=10):
        """Count, value, work, time or providers are out of their bounds."""

    class NotOver(Err, index=11):
        """Codes can still be claimed, or credit spent."""

    class NotPerson(Err, index=12):
        """The codes are for persons, who claim as such, and enough issuers have to vouch that the account is one's."""

    class HadOne(Err, index=13):
        """The codes are for persons, and this one has had one of the batch."""
