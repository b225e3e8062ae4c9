"""SCALE types of Sessions."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.base import Codec, length_read
from aitoken.codec.containers import Vec
from aitoken.codec.hints import Bytes32, Bytes64, MaxLen, TypeName, codec_of, u8, u16, u32, u64, u128
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.pay.layouts import OFFER_BYTES, RECEIPT_BYTES_MAX
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment
from chain.frame.types import CompactBalance, CompactMoment, CompactU64
from chain.pallets.ai.providers_types import ProviderId, Version

ITEMS_MAX: Final = 256
"""Most claims in one call."""
SESSION_ID_BYTES: Final = 32
LANES_MAX: Final = 1024
LANES_A_PAGE: Final = 64
LOCKS_MAX: Final = 8
PUNISHED_MAX: Final = 64
DEMANDS_MAX: Final = 16

SessionId = Annotated[Hash32, TypeName("SessionId")]
LaneNumber = Annotated[int, u16, TypeName("LaneNumber")]


@plain_enum("pallet_sessions::pallet::HoldReason")
class SessionsHoldReason(IntEnum):
    """Why Sessions holds money."""

    Escrow = 0
    Deposit = 1
    Demand = 2


# ------------------------------------------------------------------------------------------------- a session


class State(Union, path="pallet_sessions::State"):
    """Where a session is in its life."""


class Open(State, index=0):
    """It can be used."""


class Closing(State, index=1):
    """Claims are still accepted for its grace: blocks since then that were not busy. `busy` were until then."""

    since: BlockNumber
    busy: u32


class Closed(State, index=2):
    """The rest went back; tails still wait their time, and lies can still be proved."""

    at: BlockNumber


@record("pallet_sessions::RateLock")
class RateLock(Record):
    """A rate the provider signed for a time: base units for one whole of the book's currency."""

    rate: u128
    since: Moment
    until: Moment


@record("pallet_sessions::FormerKey")
class FormerSessionKey(Record):
    """A key whose vouchers can still be claimed for the session's grace since then."""

    key: Bytes32
    since: BlockNumber
    busy: u32


@record("pallet_sessions::Session")
class Session(Record):
    """Money of a payer for one provider.

    Attributes:
        payer: who paid and gets the rest.
        provider: who is paid.
        key: signs vouchers (ed25519); None while the session is frozen.
        former_key: the one before, as long as its vouchers can be claimed.
        asset: 0, the token.
        book_version: the prices that count, for its whole life.
        deposit: all that was ever put in.
        escrow: what is still held of the payer for it.
        claimed: what the provider has been paid, protocol fee included.
        waiting: what tails that wait come to beyond that.
        refunded: what the provider gave back.
        tails, demands: how many tails wait, and how many receipts are demanded.
        locks: rates that were locked.
        opened: when.
        expires: from this block on it closes by itself.
        grace: how many blocks claims are accepted after that, or after a request to close.
        max_lanes: lanes are numbered below this.
        due: in this block the chain looks after it next.
    """

    payer: AccountId
    provider: ProviderId
    key: Bytes32 | None
    former_key: FormerSessionKey | None
    asset: u32
    book_version: Version
    deposit: Balance
    escrow: Balance
    claimed: Balance
    waiting: Balance
    refunded: Balance
    tails: u16
    demands: u8
    locks: Annotated[list[RateLock], MaxLen(LOCKS_MAX), TypeName("BoundedVec<RateLock, MaxLocks>")]
    opened: Moment
    expires: BlockNumber
    grace: u32
    max_lanes: u16
    state: State
    due: BlockNumber


@record("pallet_sessions::Tombstone")
class Tombstone(Record):
    """The id of a session that is over cannot return before this block, for its vouchers would count again."""

    payer: AccountId
    until: BlockNumber


@record("pallet_sessions::Demand")
class Demand(Record):
    """Somebody wants to see the receipt behind a tail until then; `place` is the demand's in the queue."""

    who: AccountId
    until: Moment
    place: u64


@record("pallet_sessions::LaneTail")
class LaneTail(Record):
    """What was claimed and is not countersigned.

    Attributes:
        total: what the lane comes to with it.
        seq: number of its receipt.
        receipt_hash: hash of that receipt.
        ripe_at, ripe_from: it is paid when both the time and the block have come; blocks stand still with the chain.
        ticket: its place in the queue.
        demand: a demand that is not answered.
        shown: the receipt was shown.
    """

    total: Balance
    seq: u64
    receipt_hash: Bytes32
    ripe_at: Moment
    ripe_from: BlockNumber
    ticket: u64
    demand: Demand | None
    shown: bool


@record("pallet_sessions::Lane")
class LaneState(Record):
    """A lane: paid for good, the last voucher that was (its number and the receipt it countersigns), perhaps a tail."""

    paid: Balance
    seq: u64
    ack: Bytes32
    tail: LaneTail | None


LanePage = Annotated[dict[LaneNumber, LaneState], TypeName("BTreeMap<LaneNumber, Lane>")]
Punished = Annotated[list[tuple[u16, u64, u8]], MaxLen(PUNISHED_MAX), TypeName("BoundedVec<(LaneNumber, u64, u8)>")]


# ------------------------------------------------------------------------------------------------- claims


class ClaimEnd(Union, path="pallet_sessions::ClaimEnd"):
    """How far beyond what the voucher acknowledges a claim goes."""


class Acked(ClaimEnd, index=0):
    """No further."""


class Tailed(ClaimEnd, index=1, name="Tail"):
    """To this total, by the next receipt; only the provider may claim that."""

    total: CompactBalance
    receipt_hash: Bytes32


class Ticked(ClaimEnd, index=2, name="Ticks"):
    """To tick `index` of the voucher's hash chain."""

    anchor: Bytes32
    value: CompactBalance
    max_ticks: u32
    index: u32
    preimage: Bytes32


@record("pallet_sessions::ClaimItem")
class ClaimItem(Record):
    """A voucher without its magic, session and kind, which the chain puts back, its signature, and what is claimed."""

    lane: LaneNumber
    flags: u8
    seq: CompactU64
    acked: CompactBalance
    ceiling: CompactBalance
    valid_until: CompactMoment
    ack: Bytes32
    signature: Bytes64
    end: ClaimEnd


@record("pallet_sessions::SessionClaims")
class SessionClaims(Record):
    """Claims on one session."""

    session: SessionId
    items: Annotated[list[ClaimItem], MaxLen(ITEMS_MAX), TypeName("BoundedVec<ClaimItem>")]


_ITEM: Final = codec_of(ClaimItem)
_SESSION_CLAIMS: Final[Codec[SessionClaims]] = codec_of(SessionClaims)
_CLAIMS: Final = Vec(_SESSION_CLAIMS, ITEMS_MAX)


def _read_claims(data: bytes, offset: int) -> tuple[list[SessionClaims], int]:
    """Read claims, `ITEMS_MAX` over all sessions: nobody has paid for reading more."""
    count, offset = length_read(data, offset, _SESSION_CLAIMS.size_min, ITEMS_MAX)
    found, left = [], ITEMS_MAX
    for _ in range(count):
        left -= length_read(data, offset + SESSION_ID_BYTES, _ITEM.size_min, left)[0]
        claims, offset = _SESSION_CLAIMS.read(data, offset)
        found.append(claims)
    return found, offset


Claimed = Annotated[
    list[SessionClaims],
    Codec(_CLAIMS.encode, _read_claims, default=list, size_min=1, shape=_CLAIMS.shape),
    TypeName("BoundedVec<SessionClaims, MaxItems>"),
]


@plain_enum("pallet_sessions::ClaimProblem")
class ClaimProblem(IntEnum):
    """Why a claim was passed over."""

    NoSession = 0
    Ended = 1
    NoLane = 2
    NotByProvider = 3
    BadVoucher = 4
    BadSignature = 5
    BadSequence = 6
    BadTotal = 7
    TotalDecreases = 8
    OverDeposit = 9
    NoReceipt = 10
    CeilingExpired = 11
    TailWaits = 12
    BadTick = 13


# ------------------------------------------------------------------------------------------------- statements


@record("pallet_sessions::SignedReceipt")
class SignedReceipt(Record):
    """A receipt's bytes and the provider's signature over them."""

    statement: Annotated[bytes, MaxLen(RECEIPT_BYTES_MAX), TypeName("BoundedVec<u8>")]
    signature: Bytes64


@record("pallet_sessions::SignedOffer")
class SignedOffer(Record):
    """An offer's bytes and the provider's signature over them."""

    statement: Annotated[bytes, MaxLen(OFFER_BYTES), TypeName("BoundedVec<u8>")]
    signature: Bytes64


@record("pallet_sessions::Agreement")
class Agreement(Record):
    """What the provider signed: all lanes together come to this, and the rest may go back at once."""

    final_total: Balance
    valid_until: Moment
    signature: Bytes64


class Proof(Union, path="pallet_sessions::Proof"):
    """A fraud proof about one lane."""


class OverClaim(Proof, index=0):
    """F1: a receipt with the number of the lane's tail and another hash or total."""

    receipt: SignedReceipt


class Equivocation(Proof, index=1):
    """F2: two different receipts of one number."""

    one: SignedReceipt
    other: SignedReceipt


class Phantom(Proof, index=2):
    """F3: nobody showed the receipt of the lane's tail in time."""


class Mispricing(Proof, index=3):
    """F4: a receipt that charges more than the book or the offer allows."""

    receipt: SignedReceipt
    offer: SignedOffer | None


class BrokenChain(Proof, index=4):
    """F5: a receipt that does not follow from the one before; a first receipt has none before it."""

    receipt: SignedReceipt
    previous: SignedReceipt | None


class Change(Union, path="pallet_sessions::Change"):
    """What a payer changes about its session."""


class ToKey(Change, index=0, name="Key", unnamed=True):
    """Vouchers are signed by this key, or with None by nobody: the session is frozen."""

    key: Bytes32 | None


class ToExpiry(Change, index=1, name="Expiry", unnamed=True):
    """It expires later."""

    expires: BlockNumber


class ToRate(Change, index=2, name="Rate", unnamed=True):
    """A rate is locked: an offer of the provider for this session (its request is the session's id)."""

    offer: SignedOffer
