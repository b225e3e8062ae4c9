"""The envelope of an extrinsic, format version 4: who signed, under which conditions, and the bytes of the call.

    compact length | 0x84 | address | signature | extra | call      signed
    compact length | 0x04 or 0x05 | call                            bare (inherents)
    extra = era | nonce compact u32 | tip compact u128 | metadata-hash mode u8

What was received is kept: hashing, signing and storing never go over a re-encoding. The signature covers
call | extra | additional, or blake2-256 of that when it is longer than 256 bytes; the additional bytes are what signer
and chain both know (versions, genesis hash, hash of the era's birth block, no metadata hash).

The parser is written out by hand: it runs for every transaction of every node (0.6 us). The call is decoded by
the runtime, which knows its types.

Source: `sp_runtime::generic::unchecked_extrinsic`, transaction extensions of a FRAME solo chain.
Vectors: extrinsics_v4.json, rpc/scale.json.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from aitoken.codec.base import DecodeError, compact_encode, compact_read, truncated
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import Signer
from aitoken.proto.era import IMMORTAL, Era, era_of
from aitoken.types import AccountId, Balance, Hash32, Nonce

SIGNED_V4: Final = 0x84
BARE_VERSIONS: Final = (0x04, 0x05)
PAYLOAD_PLAIN_MAX: Final = 256
_U32_LIMIT: Final = 2**32
_HEAD: Final = Struct("<HH 32s B64s")
"""How most begin: length, version and kind of address, account, kind and bytes of the signature."""
_HEAD_SIZE: Final = _HEAD.size
_read_head: Final = _HEAD.unpack_from
HASHES_METADATA: Final = 1 << 16
"""In `Extrinsic.terms`: the signature covers the hash of the metadata."""
_ADDRESS_NAMES: Final = {1: "Index", 2: "Raw", 3: "Address32", 4: "Address20"}


class Extrinsic:
    """A parsed envelope around received bytes.

    Attributes:
        raw: all bytes, with the length prefix.
        signer: the account; None in a bare extrinsic and where the address is not of kind `Id`.
        address_kind: 0 `Id`, else a kind this chain cannot look up (see `is_signed`, `signer`).
        signature_kind: 0 ed25519, 1 sr25519, 2 ECDSA.
        signature: 64 bytes (65 for ECDSA).
        terms: what the additional-signed bytes follow from: the era as u16, 0 when immortal, and `HASHES_METADATA`.
        nonce, tip: as signed.
        extra: the bytes era to mode, as signed.
        call_bytes: the encoded call.
        call: the decoded call, set by the runtime that decoded it.
        verified_for: the additional-signed bytes under which the signature has been verified, else None.
    """

    __slots__ = (
        "_hash",
        "address_kind",
        "call",
        "call_bytes",
        "extra",
        "is_signed",
        "nonce",
        "raw",
        "signature",
        "signature_kind",
        "signer",
        "terms",
        "tip",
        "verified_for",
    )

    raw: bytes
    _hash: Hash32 | None
    is_signed: bool
    signer: AccountId | None
    address_kind: int
    signature_kind: int
    signature: bytes
    terms: int
    nonce: Nonce
    tip: Balance
    extra: bytes
    call_bytes: bytes
    call: Any
    verified_for: bytes | None

    def __init__(self, raw: bytes, known_hash: Hash32 | None = None) -> None:
        """Parse `raw`.

        Args:
            raw: all bytes.
            known_hash: their blake2-256, where it was computed already.

        Raises:
            DecodeError: it is not exactly one well-formed extrinsic.
        """
        end = len(raw)
        self.raw = raw
        self._hash = known_hash
        self.call = self.verified_for = None
        start = 0
        if end > _HEAD_SIZE:
            length, kinds, signer, kind, signature = _read_head(raw)
            if length == (end - 2 << 2 | 1) and kinds == SIGNED_V4 and kind < 2:
                self.is_signed = True
                self.address_kind = 0
                self.signer = signer
                self.signature_kind = kind
                self.signature = signature
                start = _HEAD_SIZE
        if not start:
            start = self._parse_head(raw)
            if not self.is_signed:
                return
        at = start
        try:
            code = raw[at]
            if code:
                code |= raw[at + 1] << 8
                era_of(code)
                at += 2
            else:
                at += 1
            first = raw[at]
            if first & 3:
                self.nonce, at = compact_read(raw, at, _U32_LIMIT)  # type: ignore[assignment]  # unwrapped: hot path
            else:
                self.nonce, at = first >> 2, at + 1  # type: ignore[assignment]  # unwrapped: hot path
            first = raw[at]
            if first & 3:
                self.tip, at = compact_read(raw, at)  # type: ignore[assignment]  # unwrapped: hot path
            else:
                self.tip, at = first >> 2, at + 1  # type: ignore[assignment]  # unwrapped: hot path
            mode = raw[at]
        except IndexError:
            raise truncated(1, raw, at) from None
        if mode > 1:
            raise DecodeError(f"no metadata-hash mode {mode}")
        self.terms = code | mode << 16
        at += 1
        if at >= end:
            raise DecodeError("the call is missing")
        self.extra = raw[start:at]
        self.call_bytes = raw[at:]

    def _parse_head(self, raw: bytes) -> int:
        """Parse a bare extrinsic, or a signed one up to the signature; return where that ends."""
        length, at = compact_read(raw, 0)
        if at + length != len(raw) or length == 0:
            raise DecodeError(f"length prefix {length}, but {len(raw) - at} bytes follow")
        version = raw[at]
        if version != SIGNED_V4:
            self._parse_bare(raw, at, version)
            return len(raw)
        self.is_signed = True
        try:
            self.address_kind = raw[at + 1]
            self.signer = None
            if self.address_kind == 0:
                self.signer = AccountId(raw[at + 2 : at + 34])
                at += 34
            else:
                at = _skip_address(raw, at + 1)
            kind = self.signature_kind = raw[at]
        except IndexError:
            raise truncated(1, raw, at) from None
        if kind > 2:
            raise DecodeError(f"no signature kind {kind}")
        start = at + (66 if kind == 2 else 65)
        self.signature = raw[at + 1 : start]
        return start

    def _parse_bare(self, raw: bytes, at: int, version: int) -> None:
        if version not in BARE_VERSIONS:
            raise DecodeError(f"extrinsic version byte {version:#04x}")
        if at + 1 >= len(raw):
            raise DecodeError("the call is missing")
        self.is_signed = False
        self.signer = None
        self.address_kind = self.signature_kind = self.terms = 0
        self.signature = self.extra = b""
        self.nonce, self.tip = Nonce(0), Balance(0)
        self.call_bytes = raw[at + 1 :]

    @property
    def hash(self) -> Hash32:
        """The blake2-256 of `raw`; computed when it is first asked for, which a node that only executes never does."""
        found = self._hash
        if found is None:
            found = self._hash = blake2_256(self.raw)
        return found

    @property
    def era(self) -> Era:
        """The validity period."""
        return era_of(self.terms & 0xFFFF)

    def payload(self, additional: bytes) -> bytes:
        """Return the bytes the signature covers, given what signer and chain both know."""
        return signing_payload(self.call_bytes, self.extra, additional)

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Extrinsic) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"<Extrinsic {self.hash.hex()[:12]}>"


def _skip_address(raw: bytes, at: int) -> int:
    """Return the offset behind a well-formed address of another kind than `Id`."""
    kind = raw[at]
    if kind not in _ADDRESS_NAMES:
        raise DecodeError(f"no address kind {kind}")
    at += 1
    size = {1: 0, 3: 32, 4: 20}.get(kind)
    if size is None:
        size, at = compact_read(raw, at)
    if at + size >= len(raw):
        raise truncated(size, raw, at)
    return at + size


def signing_payload(call: bytes, extra: bytes, additional: bytes) -> bytes:
    """Return what is signed: the three together, hashed when longer than 256 bytes."""
    payload = call + extra + additional
    return blake2_256(payload) if len(payload) > PAYLOAD_PLAIN_MAX else payload


def additional_signed(
    spec_version: int,
    transaction_version: int,
    genesis_hash: bytes,
    birth_hash: bytes,
    metadata_hash: bytes | None = None,
) -> bytes:
    """Return the bytes signer and chain both know.

    `birth_hash` is the genesis hash when the era is immortal; `metadata_hash` is there in metadata-hash mode 1.
    """
    return b"".join(
        (
            spec_version.to_bytes(4, "little"),
            transaction_version.to_bytes(4, "little"),
            genesis_hash,
            birth_hash,
            b"\x00" if metadata_hash is None else b"\x01" + metadata_hash,
        )
    )


def encode_extra(era: Era, nonce: int, tip: int) -> bytes:
    """Return the explicit data of the nine extensions, metadata-hash mode off."""
    return era.encode() + compact_encode(nonce) + compact_encode(tip) + b"\x00"


def bare_extrinsic(call: bytes) -> Extrinsic:
    """Wrap an encoded call without a signature: an inherent."""
    body = bytes((BARE_VERSIONS[0],)) + call
    return Extrinsic(compact_encode(len(body)) + body)


def with_signature(
    signer: bytes, signature_kind: int, signature: bytes, extra: bytes, call: bytes, *, version: int = SIGNED_V4
) -> Extrinsic:
    """Put a signed extrinsic together from its parts."""
    body = b"".join((bytes((version, 0)), signer, bytes((signature_kind,)), signature, extra, call))
    return Extrinsic(compact_encode(len(body)) + body)


def sign_extrinsic(
    call: bytes, signer: Signer, additional: bytes, *, nonce: int, tip: int = 0, era: Era = IMMORTAL
) -> Extrinsic:
    """Sign an encoded call.

    Args:
        call: pallet index, call index, arguments.
        signer: who signs; its public key is the account.
        additional: see `additional_signed`; of the same era's birth block.
        nonce: how many transactions the account has sent.
        tip: paid to the author on top of the fee.
        era: until when the transaction is valid.
    """
    extra = encode_extra(era, nonce, tip)
    signature = signer.sign(signing_payload(call, extra, additional))
    return with_signature(signer.public, int(signer.kind), signature, extra, call)
