"""SCALE types of Pay."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import Bytes32, MaxLen, TypeName, u16, u32, u64
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.types import AccountId, Balance, Hash32, Moment

RECIPIENTS_MAX: Final = 32
"""Most recipients of a split."""
REFERENCE_MAX: Final = 32
"""Most bytes of a reference."""
BPS: Final = 10_000

Reference = Annotated[bytes, MaxLen(REFERENCE_MAX), TypeName("BoundedVec<u8>")]
Currency = Annotated[int, u16, TypeName("Currency")]
"""0 for the token itself, else an ISO 4217 number."""


@plain_enum("pallet_pay::pallet::HoldReason")
class PayHoldReason(IntEnum):
    """Why Pay holds money."""

    Deposit = 0
    Locked = 1


class Payee(Union, path="pallet_pay::Payee"):
    """Whom a payment reaches."""


class ToAccount(Payee, index=0, name="Account", unnamed=True):
    """An account."""

    who: AccountId


class ToSplit(Payee, index=1, name="Split", unnamed=True):
    """The recipients of a split."""

    split: u64


class ToProvider(Payee, index=2, name="Provider", unnamed=True):
    """Where a provider is paid."""

    provider: u64


@record("pallet_pay::Share")
class Share(Record):
    """One recipient of a split and its part in hundredths of a percent."""

    who: AccountId
    bps: u16


Shares = Annotated[list[Share], MaxLen(RECIPIENTS_MAX), TypeName("BoundedVec<Share, MaxRecipients>")]


@record("pallet_pay::Split")
class Split(Record):
    """Recipients among whom payments are divided; never changed, so that payers know whom they pay.

    Attributes:
        owner: who made it, has the deposit in it, and receives the share of a recipient that no longer exists.
        shares: who gets what; they add up to 10,000.
    """

    owner: AccountId
    deposit: Balance
    shares: Shares


@record("pallet_pay::Invoice")
class Invoice(Record):
    """A request to be paid once.

    Attributes:
        amount: in units of 10^-12 of the currency.
        due: until when it can be paid, Unix milliseconds.
    """

    issuer: AccountId
    deposit: Balance
    to: Payee
    currency: Currency
    amount: Balance
    due: Moment
    terms_hash: Hash32


@record("pallet_pay::Lock")
class Lock(Record):
    """Money for whoever shows the preimage of a hash until the deadline; afterwards it is its owner's again."""

    payer: AccountId
    deposit: Balance
    payee: AccountId
    amount: Balance
    secret_hash: Hash32
    deadline: Moment
    reference: Reference


@record("pallet_pay::UsedNonce")
class UsedNonce(Record):
    """That a payer's nonce was used or cancelled, kept until nothing signed with it can be valid any more."""

    until: Moment
    depositor: AccountId


@record("pallet_pay::Authorization")
class AuthorizationTerms(Record):
    """A payment its payer signed and anybody may submit once: `AITPaut1` without the genesis hash.

    Attributes:
        asset: 0, the token.
        maximum: what is paid if `exact`, else the most.
        valid_after, valid_before: Unix milliseconds.
        nonce: whatever the payer chose; of all its authorisations with one nonce, one can be used.
    """

    payer: AccountId
    payee: AccountId
    asset: u32
    maximum: Balance
    exact: bool
    valid_after: Moment
    valid_before: Moment
    nonce: Bytes32
    memo_hash: Hash32
