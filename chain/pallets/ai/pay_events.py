"""What Pay tells and how it fails."""

from __future__ import annotations

from aitoken.codec.hints import Bytes32, u64, u128
from aitoken.types import AccountId, Balance, Hash32, Moment
from chain.frame.pallet import Err, Errors, Ev, Events
from chain.pallets.ai.pay_types import Currency, Payee, Reference


class PayEvents(Events):
    """What Pay tells."""

    class Paid(Ev, index=0):
        """A payment was made."""

        payer: AccountId
        to: Payee
        amount: Balance
        memo_hash: Hash32
        reference: Reference

    class AuthorizationUsed(Ev, index=1):
        """A signed authorisation was carried out; it cannot be again."""

        payer: AccountId
        payee: AccountId
        amount: Balance
        nonce: Bytes32
        memo_hash: Hash32
        relayer: AccountId

    class NonceCancelled(Ev, index=2):
        """No authorisation of this payer with this nonce can be carried out any more."""

        payer: AccountId
        nonce: Bytes32

    class SplitCreated(Ev, index=3):
        """A split was made."""

        split: u64
        owner: AccountId

    class SplitPaid(Ev, index=4):
        """A payment was divided among the recipients of a split."""

        split: u64
        payer: AccountId
        amount: Balance

    class SplitRemoved(Ev, index=5):
        """A split is gone; nobody can pay it any more."""

        split: u64

    class InvoiceCreated(Ev, index=6):
        """An invoice was written."""

        invoice: u64
        issuer: AccountId
        currency: Currency
        amount: Balance
        due: Moment

    class InvoicePaid(Ev, index=7):
        """An invoice was paid, at this rate (0 where it was in the token)."""

        invoice: u64
        payer: AccountId
        to: Payee
        amount: Balance
        rate: u128

    class InvoiceVoided(Ev, index=8):
        """An invoice was withdrawn, or its time had passed."""

        invoice: u64

    class Locked(Ev, index=9):
        """Money waits for the preimage of a hash."""

        lock: u64
        payer: AccountId
        payee: AccountId
        amount: Balance
        secret_hash: Hash32
        deadline: Moment
        reference: Reference

    class Revealed(Ev, index=10):
        """The preimage was shown and the money paid."""

        lock: u64
        preimage: Bytes32

    class Reclaimed(Ev, index=11):
        """The money of a lock is its payer's again."""

        lock: u64


class PayErrors(Errors):
    """How Pay fails."""

    class NothingToPay(Err, index=0):
        """The amount is zero."""

    class NotYetValid(Err, index=1):
        """The authorisation is not valid yet."""

    class Expired(Err, index=2):
        """Its time has passed."""

    class LivesTooLong(Err, index=3):
        """It would be valid for too long."""

    class NonceUsed(Err, index=4):
        """An authorisation with this nonce was used or cancelled."""

    class OverMaximum(Err, index=5):
        """More than the authorisation allows; an exact authorisation is for its whole sum."""

    class UnknownAsset(Err, index=6):
        """There is no such asset: 0 is the token."""

    class BadSignature(Err, index=7):
        """The payer did not sign this."""

    class NoSplit(Err, index=8):
        """There is no such split."""

    class BadShares(Err, index=9):
        """The shares do not add up to 10,000, or one is zero, or a recipient is named twice."""

    class NoRecipient(Err, index=10):
        """A recipient of the split does not exist."""

    class NotOwner(Err, index=11):
        """Only who made it may do that."""

    class NoInvoice(Err, index=12):
        """There is no such invoice, or it was paid already."""

    class Slippage(Err, index=13):
        """It would cost more than the payer allows."""

    class NoRate(Err, index=14):
        """There is no fresh price for this currency."""

    class NoLock(Err, index=15):
        """There is no such lock."""

    class WrongPreimage(Err, index=16):
        """The preimage does not fit the hash."""

    class TooEarly(Err, index=17):
        """The deadline has not passed."""

    class NoProvider(Err, index=18):
        """There is no such provider."""

    class BadDeadline(Err, index=19):
        """The deadline has passed already, or is too far away."""

    class OwnInvoice(Err, index=20):
        """Who wrote an invoice cannot pay it."""
