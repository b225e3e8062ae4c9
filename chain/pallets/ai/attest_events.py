"""What Attest tells and how it fails."""

from __future__ import annotations

from aitoken.codec.hints import Bytes32, u32
from aitoken.types import AccountId, Balance, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.attest_types import Class, KeyId, Nullifier, SchemaId, SchemaName, Scope, Subject, Uid, Verdict


class AttestEvents(Events):
    """What Attest tells."""

    class SchemaRegistered(Ev, index=0):
        """There is a new kind of attestation."""

        schema: SchemaId
        owner: AccountId
        name: SchemaName
        fields: Bytes32
        class_: Class | None

    class SchemaRemoved(Ev, index=1):
        """A kind of attestation is gone."""

        schema: SchemaId

    class IssuerRegistered(Ev, index=2):
        """An issuer has put down a stake for a class; this is all of it."""

        issuer: AccountId
        class_: Class
        stake: Balance
        method: Bytes32

    class IssuerJudged(Ev, index=3):
        """Root has accepted, suspended or slashed an issuer; `burned` is what was taken of its stake."""

        issuer: AccountId
        class_: Class
        verdict: Verdict
        burned: Balance
        evidence: Bytes32

    class IssuerLeaves(Ev, index=4):
        """An issuer's word counts no more; it may take its stake from then on."""

        issuer: AccountId
        class_: Class
        until: Moment

    class IssuerLeft(Ev, index=5):
        """An issuer has its stake back."""

        issuer: AccountId
        class_: Class
        stake: Balance

    class Attested(Ev, index=6):
        """An issuer has said something about a subject."""

        subject: Subject
        uid: Uid
        schema: SchemaId
        issuer: AccountId
        data: Bytes32
        expires: Moment

    class Revoked(Ev, index=7):
        """An issuer has taken back what it said."""

        subject: Subject
        uid: Uid

    class KeyPublished(Ev, index=8):
        """An issuer lets in persons with this key."""

        key: KeyId
        issuer: AccountId
        scope: Scope
        since: Moment
        until: Moment
        cap: u32

    class KeyStopped(Ev, index=9):
        """No token of this key is taken any more, and nobody counts as a person by it."""

        key: KeyId

    class KeyRemoved(Ev, index=10):
        """A key and all its nullifiers are forgotten."""

        key: KeyId

    class NullifierUsed(Ev, index=11):
        """An account is a person in a scope, once for each nullifier."""

        key: KeyId
        nullifier: Nullifier
        account: AccountId


class AttestErrors(Errors):
    """How Attest fails."""

    class UnknownSchema(Err, index=0):
        """There is no such schema."""

    class BadSchema(Err, index=1):
        """A schema has a name."""

    class SchemaInUse(Err, index=2):
        """There are attestations of this schema."""

    class NoIssuer(Err, index=3):
        """There is no such issuer of this class."""

    class NotAccepted(Err, index=4):
        """This issuer's word does not count for this class: it waits, is suspended, or leaves."""

    class StakeTooLow(Err, index=5):
        """The stake is below the least."""

    class IsLeaving(Err, index=6):
        """The issuer leaves."""

    class NotYet(Err, index=7):
        """The time for it has not come."""

    class BadTime(Err, index=8):
        """It must end later than now, begin before it ends, and not last too long."""

    class AlreadyAttested(Err, index=9):
        """The issuer has said just that before."""

    class NoAttestation(Err, index=10):
        """There is no such attestation."""

    class NotIssuer(Err, index=11):
        """It is not this account's to change."""

    class AlreadyRevoked(Err, index=12):
        """It was revoked before."""

    class BadSignature(Err, index=13):
        """It was not signed by whom it names."""

    class BadKey(Err, index=14):
        """A key is an odd modulus of 2,048 bits, for one person at least and as many as the issuer may let in."""

    class KeysOverlap(Err, index=15):
        """The issuer has a key for this scope at that time; a person would count twice."""

    class NoKey(Err, index=16):
        """There is no such key."""

    class KeyNotValid(Err, index=17):
        """The time of this key has not begun or is over."""

    class CapReached(Err, index=18):
        """The key has let in as many persons as it may."""

    class NullifierUsed(Err, index=19):
        """This nullifier was used."""

    class AlreadyPerson(Err, index=20):
        """This issuer vouches for the account in this scope already, or as many issuers as may."""

    class BadToken(Err, index=21):
        """The issuer has not signed this nullifier with this key."""

    class NotOver(Err, index=22):
        """It still counts."""

    class NoNullifier(Err, index=23):
        """There is no such nullifier of this key."""

    class MethodChanged(Err, index=24):
        """The issuer works in another way than what is accepted."""
