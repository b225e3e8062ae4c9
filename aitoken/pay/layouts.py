"""The bytes that buyer and seller sign (AITP, version 1).

All integers are little-endian and of fixed width unless called compact (SCALE). A signature is ed25519 over exactly
what `encode()` returns. Each layout begins with eight bytes that name it and its version, so nothing signed for one
purpose can stand for another. Decoding is strict: there is one encoding of each value, and everything else (unknown
magic, kind or flag, impossible amounts, bytes left over) is refused. `docs/spec/payments.md` has the tables.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final, Self

from aitoken.codec.base import DecodeError, EncodeError, compact_encode, compact_read
from aitoken.codec.hints import Bytes32, TypeName, codec_of, u16, u32, u64
from aitoken.codec.primitives import FixedBytes
from aitoken.codec.records import Record, record
from aitoken.crypto.hashing import blake2_256
from aitoken.light import light
from aitoken.pay.errors import BadLayout
from aitoken.pay.extension import EXTENSION_BYTES_MAX, decode_extension
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment

SESSION_MAGIC: Final = b"AITPses1"
ACK0_MAGIC: Final = b"AITPack0"
VOUCHER_MAGIC: Final = b"AITPvch1"
RECEIPT_MAGIC: Final = b"AITPrcp1"
OFFER_MAGIC: Final = b"AITPoff1"
CLOSING_MAGIC: Final = b"AITPcls1"
OPENING_MAGIC: Final = b"AITPopn1"
AUTHORIZATION_MAGIC: Final = b"AITPaut1"

OPEN_PARAMS_BYTES: Final = 74
VOUCHER_BYTES: Final = 124
TICK_VOUCHER_BYTES: Final = 176
RECEIPT_BYTES_MIN: Final = 257
OFFER_BYTES: Final = 124
CLOSING_BYTES: Final = 64
OPENING_BYTES: Final = 64
AUTHORIZATION_BYTES: Final = 205

CUMULATIVE: Final = 1
TICKS: Final = 2

FINAL: Final = 1
"""Voucher flag: the payer closes this lane."""

POST_PAID: Final = 2
"""Voucher flag: the request was answered before this voucher."""

USAGE_MAX: Final = 64
"""Most units one receipt counts."""

RECEIPT_BYTES_MAX: Final = 255 + 2 + USAGE_MAX * (2 + 9) + 2 + EXTENSION_BYTES_MAX

TICKS_MAX: Final = 4096
"""Most ticks of one chain: what it costs to check the last of them is bounded."""

_U64: Final = (1 << 64) - 1
_U128: Final = (1 << 128) - 1
_COMPACT_U64: Final = 1 << 64

_VOUCHER = struct.Struct("<8s32sHBBQQQQQQ32s")
_TICK = struct.Struct("<32sQQI")
_RECEIPT = struct.Struct("<8s32sHQBQI32s32s32sQQQQQQQQ32s")
_OFFER = struct.Struct("<8s32sQI32sQQQQQ")
_CLOSING = struct.Struct("<8s32sQQQ")
_AUTHORIZATION = struct.Struct("<8s32s32s32sIQQBQQ32s32s")


def _bytes_sizes(layout: struct.Struct) -> tuple[tuple[int, int], ...]:
    values = enumerate(layout.unpack(bytes(layout.size)))
    return tuple((place, len(value)) for place, value in values if isinstance(value, bytes))


_BYTES_SIZES: Final = {
    layout: _bytes_sizes(layout) for layout in (_VOUCHER, _TICK, _RECEIPT, _OFFER, _CLOSING, _AUTHORIZATION)
}
"""Where a layout has byte strings, and of what length."""


def _pack(layout: struct.Struct, *values: Any) -> bytes:
    try:
        # `struct` pads and cuts byte strings without a word, so their lengths are compared first.
        for place, size in _BYTES_SIZES[layout]:
            if len(values[place]) != size:
                raise BadLayout("a key, hash or id of a wrong length")
        return layout.pack(*values)
    except (struct.error, TypeError) as error:
        raise BadLayout(f"a value does not fit its field: {error}") from None


def _wide(value: int) -> tuple[int, int]:
    """Split a u128 into two u64, the low one first."""
    if not 0 <= value <= _U128:
        raise BadLayout(f"{value} is no u128")
    return value & _U64, value >> 64


def _unpack(layout: struct.Struct, magic: bytes, data: bytes, what: str) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise BadLayout(f"{what} of {len(data)} bytes, {layout.size} wanted")
    values = layout.unpack(data)
    if values[0] != magic:
        raise BadLayout(f"not {what} of a known version")
    return values


# ------------------------------------------------------------------------------------------------- sessions


Bytes16 = Annotated[bytes, FixedBytes(16), TypeName("[u8; 16]")]


@record("aitoken_pay::OpenParams")
class OpenParams(Record):
    """What a payer opens; its SCALE form is the 74 bytes the session id is made of.

    The deposit is not part of it, so topping up keeps the id. `expires_block` is, so an id never comes back.
    """

    provider: u64
    book_version: u32
    session_key: Bytes32
    asset: u32
    expires_block: BlockNumber
    grace_blocks: u32
    max_lanes: u16
    salt: Bytes16

    def encode(self) -> bytes:
        """Return the 74 bytes.

        Raises:
            BadLayout: a value does not fit.
        """
        try:
            return _OPEN_PARAMS.encode(self)
        except EncodeError as error:
            raise BadLayout(f"open parameters: {error}") from None

    @classmethod
    def decode(cls, data: bytes) -> OpenParams:
        """Read the 74 bytes.

        Raises:
            BadLayout: they are not 74.
        """
        try:
            params: OpenParams = _OPEN_PARAMS.decode(data)
        except DecodeError as error:
            raise BadLayout(f"open parameters: {error}") from None
        return params


_OPEN_PARAMS: Final = codec_of(OpenParams)


def session_id(genesis: Hash32, payer: AccountId, params: OpenParams) -> Hash32:
    """Return the id that binds chain, payer, provider, key, book and expiry; known before the chain knows it."""
    return blake2_256(SESSION_MAGIC + genesis + payer + params.encode())


def ack0(session: Hash32, lane: int) -> Hash32:
    """Return what a lane acknowledges before its first receipt."""
    return blake2_256(ACK0_MAGIC + session + lane.to_bytes(2, "little"))


# ------------------------------------------------------------------------------------------------- vouchers


@dataclass(frozen=True, slots=True)
class Tick:
    """A hash chain for very fine payment: each preimage of the last value is worth `value` more."""

    anchor: Hash32
    value: Balance
    max_ticks: int


@light
@dataclass(frozen=True, slots=True)
class Voucher:
    """A payer's promise on one lane: `acked` is owed, up to `ceiling` may be charged for the request in flight.

    Attributes:
        session_id: the session, and with it the chain, payer, provider, key and book.
        lane: an independent counter within the session.
        kind: `CUMULATIVE` or `TICKS`.
        flags: `FINAL`, `POST_PAID`.
        seq: how many receipts of this lane are countersigned.
        acked: total the payer accepts as owed on this lane.
        ceiling: highest total that may be claimed on this lane.
        valid_until: Unix milliseconds until which the ceiling holds; 0 is until the session expires.
        ack: hash of receipt number `seq`, or `ack0`.
        tick: the hash chain, with kind `TICKS` and only then.
    """

    session_id: Hash32
    lane: int
    kind: int
    flags: int
    seq: int
    acked: Balance
    ceiling: Balance
    valid_until: Moment
    ack: Hash32
    tick: Tick | None = None

    def encode(self) -> bytes:
        """Return the 124 bytes that are signed, or 176 with ticks.

        Raises:
            BadLayout: the fields make no voucher.
        """
        self._check()
        head = _pack(
            _VOUCHER, VOUCHER_MAGIC, self.session_id, self.lane, self.kind, self.flags, self.seq,
            *_wide(self.acked), *_wide(self.ceiling), self.valid_until, self.ack,
        )  # fmt: skip
        if self.tick is None:
            return head
        return head + _pack(_TICK, self.tick.anchor, *_wide(self.tick.value), self.tick.max_ticks)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a voucher without its signature.

        Raises:
            BadLayout: the bytes are not the one encoding of a voucher.
        """
        size = len(data)
        if size not in (VOUCHER_BYTES, TICK_VOUCHER_BYTES):
            raise BadLayout(f"voucher of {size} bytes, {VOUCHER_BYTES} or {TICK_VOUCHER_BYTES} wanted")
        (magic, session, lane, kind, flags, seq, acked, acked_high, ceiling, ceiling_high, valid_until, ack) = (
            _VOUCHER.unpack_from(data)
        )
        if magic != VOUCHER_MAGIC:
            raise BadLayout("not a voucher of a known version")
        tick = None
        if size == TICK_VOUCHER_BYTES:
            anchor, value, value_high, max_ticks = _TICK.unpack_from(data, VOUCHER_BYTES)
            tick = Tick(anchor, Balance(value_high << 64 | value), max_ticks)
        voucher = cls(
            session, lane, kind, flags, seq, Balance(acked_high << 64 | acked),
            Balance(ceiling_high << 64 | ceiling), valid_until, ack, tick,
        )  # fmt: skip
        voucher._check()
        return voucher

    def _check(self) -> None:
        if self.kind != (CUMULATIVE if self.tick is None else TICKS):
            raise BadLayout(f"voucher kind {self.kind} is unknown or does not fit its length")
        if self.flags & ~(FINAL | POST_PAID):
            raise BadLayout(f"voucher flags {self.flags}")
        if self.acked > self.ceiling:
            raise BadLayout("voucher with a ceiling below what it acknowledges")
        tick = self.tick
        if tick is not None:
            if not 1 <= tick.max_ticks <= TICKS_MAX or tick.value < 1:
                raise BadLayout(f"{tick.max_ticks} ticks of {tick.value}")
            if self.ceiling != self.acked + tick.value * tick.max_ticks:
                raise BadLayout("the ceiling of a tick voucher is what all its ticks come to")


# ------------------------------------------------------------------------------------------------- receipts


class Status(IntEnum):
    """How a paid request ended."""

    OK = 0
    PARTIAL = 1
    CLIENT_ABORT = 2
    PROVIDER_ERROR = 3
    REFUSED = 4
    CACHED = 5


_STATUS_MAX: Final = max(Status)


@light
@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider states about one request, signed by its operator key; each holds the hash of the one before.

    Attributes:
        session_id: the session.
        lane: the lane.
        seq: 1, 2, 3 ... on the lane, without gaps.
        status: a `Status`.
        service: the provider's service that answered.
        book_version: the price book that counts.
        model: blake2b-256 of `name@revision` and quantisation.
        request: hash of the request (`aitoken.pay.headers.request_hash`).
        response: blake2b-256 of the delivered bytes in order.
        started: Unix milliseconds.
        finished: Unix milliseconds.
        charge: what this request costs, in base units of the asset.
        lane_total: what the lane comes to with it.
        rate: base units per quote unit of the book; 0 if the book is in the asset.
        prev_ack: hash of receipt `seq - 1`, or `ack0`.
        usage: (unit, quantity) in ascending order of units, no quantity 0.
        extension: further fields (`aitoken.pay.extension`).
    """

    session_id: Hash32
    lane: int
    seq: int
    status: int
    service: int
    book_version: int
    model: Hash32
    request: Hash32
    response: Hash32
    started: Moment
    finished: Moment
    charge: Balance
    lane_total: Balance
    rate: int
    prev_ack: Hash32
    usage: tuple[tuple[int, int], ...] = ()
    extension: bytes = b""

    def encode(self) -> bytes:
        """Return the bytes that are signed: 255 fixed ones, the usage, the extension.

        Raises:
            BadLayout: the fields make no receipt.
        """
        self._check()
        last, parts = 0, [compact_encode(len(self.usage))]
        for unit, quantity in self.usage:
            if not last < unit <= 0xFFFF or not 1 <= quantity < _COMPACT_U64:
                raise BadLayout(f"{quantity} of unit {unit}: out of range or out of order")
            last = unit
            parts.append(unit.to_bytes(2, "little") + compact_encode(quantity))
        if self.extension:
            decode_extension(self.extension)
        head = _pack(
            _RECEIPT, RECEIPT_MAGIC, self.session_id, self.lane, self.seq, self.status, self.service,
            self.book_version, self.model, self.request, self.response, self.started, self.finished,
            *_wide(self.charge), *_wide(self.lane_total), *_wide(self.rate), self.prev_ack,
        )  # fmt: skip
        return b"".join((head, *parts, compact_encode(len(self.extension)), self.extension))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a receipt without its signature.

        Raises:
            BadLayout: the bytes are not the one encoding of a receipt.
        """
        if not RECEIPT_BYTES_MIN <= len(data) <= RECEIPT_BYTES_MAX:
            raise BadLayout(f"receipt of {len(data)} bytes")
        v = _RECEIPT.unpack_from(data)
        if v[0] != RECEIPT_MAGIC:
            raise BadLayout("not a receipt of a known version")
        try:
            usage, offset = _read_usage(data, _RECEIPT.size)
            length, offset = compact_read(data, offset)
        except DecodeError as error:
            raise BadLayout(f"receipt: {error}") from None
        extension = data[offset:]
        if len(extension) != length:
            raise BadLayout(f"receipt with an extension of {len(extension)} bytes that says {length}")
        if extension:
            decode_extension(extension)
        receipt = cls(
            v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], Balance(v[13] << 64 | v[12]),
            Balance(v[15] << 64 | v[14]), v[17] << 64 | v[16], v[18], usage, extension,
        )  # fmt: skip
        receipt._check()
        return receipt

    @property
    def hash(self) -> Hash32:
        """What the payer countersigns in its next voucher: blake2b-256 of `encode()`."""
        return blake2_256(self.encode())

    def _check(self) -> None:
        if self.seq < 1:
            raise BadLayout("receipts are counted from 1")
        if self.status > _STATUS_MAX:
            raise BadLayout(f"receipt status {self.status}")
        if self.finished < self.started:
            raise BadLayout("receipt that finished before it started")
        if self.charge > self.lane_total:
            raise BadLayout("receipt whose lane comes to less than its charge")
        if len(self.usage) > USAGE_MAX:
            raise BadLayout(f"{len(self.usage)} units in a receipt, at most {USAGE_MAX}")


def _read_usage(data: bytes, offset: int) -> tuple[tuple[tuple[int, int], ...], int]:
    count, offset = compact_read(data, offset)
    if count > USAGE_MAX:
        raise BadLayout(f"{count} units in a receipt, at most {USAGE_MAX}")
    usage, last, end = [], 0, len(data) - 2
    for _ in range(count):
        if offset > end:
            raise BadLayout("receipt that ends inside its usage")
        unit = data[offset] | data[offset + 1] << 8
        if unit <= last:
            raise BadLayout("units of a receipt are not in ascending order")
        quantity, offset = compact_read(data, offset + 2, _COMPACT_U64)
        if quantity == 0:
            raise BadLayout(f"none of unit {unit}")
        usage.append((unit, quantity))
        last = unit
    return tuple(usage), offset


# ------------------------------------------------------------------------------------------------- other statements


@dataclass(frozen=True, slots=True)
class Offer:
    """A provider's binding quote for one request, signed by its operator key."""

    genesis: Hash32
    service: int
    book_version: int
    request: Hash32
    max_charge: Balance
    rate: int
    valid_until: Moment

    def encode(self) -> bytes:
        """Return the 124 bytes that are signed.

        Raises:
            BadLayout: a value does not fit.
        """
        return _pack(
            _OFFER, OFFER_MAGIC, self.genesis, self.service, self.book_version, self.request,
            *_wide(self.max_charge), *_wide(self.rate), self.valid_until,
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an offer without its signature.

        Raises:
            BadLayout: the bytes are no offer.
        """
        v = _unpack(_OFFER, OFFER_MAGIC, data, "an offer")
        return cls(v[1], v[2], v[3], v[4], Balance(v[6] << 64 | v[5]), v[8] << 64 | v[7], v[9])


@dataclass(frozen=True, slots=True)
class Closing:
    """A provider's word that a session comes to `final_total` and the rest may go back at once."""

    session_id: Hash32
    final_total: Balance
    valid_until: Moment

    def encode(self) -> bytes:
        """Return the 64 bytes that are signed.

        Raises:
            BadLayout: a value does not fit.
        """
        return _pack(_CLOSING, CLOSING_MAGIC, self.session_id, *_wide(self.final_total), self.valid_until)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a closing statement without its signature.

        Raises:
            BadLayout: the bytes are no closing statement.
        """
        v = _unpack(_CLOSING, CLOSING_MAGIC, data, "a closing statement")
        return cls(v[1], Balance(v[3] << 64 | v[2]), v[4])


@dataclass(frozen=True, slots=True)
class Opening:
    """A payer's order to open a session with a deposit, which anybody may submit until `valid_before`.

    The session id binds chain, payer and all parameters, and never comes back, so the order is good for once.
    """

    session_id: Hash32
    deposit: Balance
    valid_before: Moment

    def encode(self) -> bytes:
        """Return the 64 bytes that are signed with the payer's account key.

        Raises:
            BadLayout: a value does not fit.
        """
        return _pack(_CLOSING, OPENING_MAGIC, self.session_id, *_wide(self.deposit), self.valid_before)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an opening order without its signature.

        Raises:
            BadLayout: the bytes are no opening order.
        """
        v = _unpack(_CLOSING, OPENING_MAGIC, data, "an opening order")
        return cls(v[1], Balance(v[3] << 64 | v[2]), v[4])


@dataclass(frozen=True, slots=True)
class Authorization:
    """A payer's order for one payment that anybody may submit once: `maximum` exactly, or at most."""

    genesis: Hash32
    payer: AccountId
    payee: AccountId
    asset: int
    maximum: Balance
    exact: bool
    valid_after: Moment
    valid_before: Moment
    nonce: bytes
    memo_hash: Hash32

    def encode(self) -> bytes:
        """Return the 205 bytes that are signed.

        Raises:
            BadLayout: a value does not fit.
        """
        return _pack(
            _AUTHORIZATION, AUTHORIZATION_MAGIC, self.genesis, self.payer, self.payee, self.asset,
            *_wide(self.maximum), int(self.exact), self.valid_after, self.valid_before, self.nonce, self.memo_hash,
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read an authorisation without its signature.

        Raises:
            BadLayout: the bytes are no authorisation.
        """
        v = _unpack(_AUTHORIZATION, AUTHORIZATION_MAGIC, data, "an authorisation")
        if v[7] > 1:
            raise BadLayout(f"authorisation that is {v[7]} exact")
        return cls(v[1], v[2], v[3], v[4], Balance(v[6] << 64 | v[5]), v[7] == 1, v[8], v[9], v[10], v[11])
