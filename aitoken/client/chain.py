"""What follows from a chain's description without asking it: calls, transactions, storage keys, events and errors.

No I/O; `aitoken.client.client` adds the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aitoken.client.dynamic import Coders, account_of
from aitoken.client.errors import BadMetadata, BadValue, UnknownName, UnsupportedChain
from aitoken.client.metadata import ExtensionInfo, MapKind, Metadata, StorageInfo, VariantDef, VariantInfo, closest
from aitoken.codec.base import compact_encode
from aitoken.crypto import hashing
from aitoken.crypto.signature import Signer
from aitoken.proto.era import IMMORTAL, Era
from aitoken.proto.extrinsic import signing_payload

EXTRINSIC_VERSION: Final = 4
SIGNED: Final = bytes((0x80 | EXTRINSIC_VERSION,))
SIGNATURE_NAMES: Final = ("Ed25519", "Sr25519", "Ecdsa")
"""The alternatives of MultiSignature by `Signer.kind`."""

_HASHERS: Final[tuple[tuple[Callable[[bytes], bytes], int | None], ...]] = (
    (hashing.blake2_128, None),
    (hashing.blake2_256, None),
    (hashing.blake2_128_concat, 16),
    (hashing.twox_128, None),
    (hashing.twox_256, None),
    (hashing.twox_64_concat, 8),
    (hashing.identity, 0),
)
"""By their number in metadata: the function, and how many bytes to skip to find the key again."""


def _shown(value: Any) -> str:
    """A value for people: bytes as hex, wherever they are."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_shown(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value) if isinstance(value, Call) else repr(value)


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does: `pallet.name(arguments)`.

    Attributes:
        call_bytes: SCALE: pallet index, call index, arguments.
    """

    pallet: str
    name: str
    arguments: dict[str, Any]
    call_bytes: bytes

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        return f"{self.pallet}.{self.name}({shown})"


@dataclass(frozen=True, slots=True)
class Event:
    """Something the chain reports in a block.

    Attributes:
        fields: by name; a tuple or bare value where they have no names; {} where there are none.
        extrinsic: position in the block of the transaction that caused it; None outside transactions.
    """

    pallet: str
    name: str
    fields: Any
    extrinsic: int | None

    def __str__(self) -> str:
        return f"{self.pallet}.{self.name}({self.fields})"


@dataclass(frozen=True, slots=True)
class DispatchProblem:
    """Why a call failed: `name` such as `Balances.InsufficientBalance` or `Token.FundsUnavailable`."""

    name: str
    docs: str = ""


@dataclass(slots=True)
class Chain:
    """A chain's description: everything a transaction is built from and values are read with.

    Attributes:
        metadata: of the runtime `spec_version`.
        genesis_hash: 32 bytes.
        spec_version: of the runtime; signed in every transaction.
        transaction_version: of the transaction format; signed as well.
        prefix: the SS58 network its accounts are shown in.
    """

    metadata: Metadata
    genesis_hash: bytes
    spec_version: int
    transaction_version: int
    prefix: int = 42
    coders: Coders = field(init=False)

    def __post_init__(self) -> None:
        self.coders = Coders(self.metadata, self.prefix)

    # calls and transactions

    def call(self, pallet: str, name: str, /, **arguments: Any) -> Call:
        """Make a call; values as `aitoken.client.dynamic` accepts them.

        Raises:
            UnknownName: there is no such pallet or call.
            BadValue: an argument is missing, unknown, or does not fit.
        """
        owner = self.metadata.pallet(pallet)
        calls = self.metadata.variants(owner.calls)
        if owner.calls is None or name not in calls:
            raise UnknownName(f"{pallet} has no call {name!r}{closest(name, calls)}")
        has_fields = bool(calls[name].fields)
        if arguments and not has_fields:
            raise BadValue(f"{pallet}.{name} takes no arguments")
        encoded = self.coders.encode(owner.calls, {name: arguments} if has_fields else name)
        return Call(pallet, name, arguments, bytes((owner.index,)) + encoded)

    def decode_call(self, call_bytes: bytes) -> Any:
        """Return the bytes of a call as {pallet: {call: {argument: value}}}."""
        return self.coders.decode(self.metadata.extrinsic.call, call_bytes)

    def sign(
        self,
        call: Call,
        signer: Signer,
        *,
        nonce: int,
        tip: int = 0,
        era: Era = IMMORTAL,
        birth_hash: bytes | None = None,
    ) -> bytes:
        """Return a signed transaction, length prefix included.

        Args:
            call: what it does.
            signer: a pair of the sending account.
            nonce: how many transactions the account has sent.
            tip: paid on top of the fee, in the smallest unit.
            era: how long it is valid.
            birth_hash: 32-byte hash of the era's birth block; may be left out when immortal.

        Raises:
            UnsupportedChain: the chain's transactions need what this library cannot give.
        """
        if birth_hash is None:
            if not era.is_immortal:
                raise BadValue("a mortal transaction needs the hash of its era's birth block")
            birth_hash = self.genesis_hash
        extra, additional = self._extensions(nonce, tip, era, birth_hash)
        signature = signer.sign(signing_payload(call.call_bytes, extra, additional))
        return self._envelope(call, signer.public, signer.kind, signature, extra)

    def draft(self, call: Call, account: bytes, *, nonce: int = 0, tip: int = 0) -> bytes:
        """Return a transaction of the right length with an empty signature, for asking what it would cost."""
        extra, _ = self._extensions(nonce, tip, Era.mortal(64, 0), self.genesis_hash)
        return self._envelope(call, account, 1, bytes(64), extra)

    def _envelope(self, call: Call, account: bytes, kind: int, signature: bytes, extra: bytes) -> bytes:
        parts = self.metadata.extrinsic
        body = (
            SIGNED
            + self.coders.encode(parts.address, account)
            + self.coders.encode(parts.signature, {SIGNATURE_NAMES[kind]: signature})
            + extra
            + call.call_bytes
        )
        return compact_encode(len(body)) + body

    def _extensions(self, nonce: int, tip: int, era: Era, birth_hash: bytes) -> tuple[bytes, bytes]:
        """Return what all transaction extensions add to the transaction, and what is signed besides."""
        if self.metadata.extrinsic.version != EXTRINSIC_VERSION:
            raise UnsupportedChain(f"the chain uses extrinsic version {self.metadata.extrinsic.version}, not 4")
        given: dict[str, Any] = {
            "CheckNonce": nonce,
            "ChargeTransactionPayment": tip,
            "ChargeAssetTxPayment": {"tip": tip, "asset_id": None},
            "CheckMetadataHash": {"mode": "Disabled"},
        }
        signed: dict[str, Any] = {
            "CheckSpecVersion": self.spec_version,
            "CheckTxVersion": self.transaction_version,
            "CheckGenesis": self.genesis_hash,
            "CheckMortality": birth_hash,
            "CheckEra": birth_hash,
        }
        extra, additional = [], []
        for extension in self.metadata.extrinsic.extensions:
            if extension.identifier in ("CheckMortality", "CheckEra"):
                extra.append(era.encode())
            else:
                extra.append(self._extension_value(extension, extension.type, given))
            additional.append(self._extension_value(extension, extension.additional, signed))
        return b"".join(extra), b"".join(additional)

    def _extension_value(self, extension: ExtensionInfo, type_id: int, given: Mapping[str, Any]) -> bytes:
        if self.coders.is_empty(type_id):
            return b""
        if extension.identifier in given:
            return self.coders.encode(type_id, given[extension.identifier])
        if self.metadata.type_info(type_id).path == ["Option"]:
            return b"\x00"
        raise UnsupportedChain(f"transactions of this chain carry {extension.identifier}, which is not known here")

    # storage

    def storage_key(self, pallet: str, item: str, *keys: Any) -> bytes:
        """Return the storage key of an item, of an entry of a map, or the prefix of the entries that start with `keys`.

        Raises:
            UnknownName: there is no such item.
            BadValue: more keys than the map has, or one that does not fit.
        """
        owner, info = self.metadata.storage(pallet, item)
        hashers, types = self._key_parts(info)
        if len(keys) > len(types):
            raise BadValue(f"{pallet}.{item} has {len(types)} keys, {len(keys)} were given")
        parts = [hashing.twox_128(owner.prefix.encode()), hashing.twox_128(item.encode())]
        for key, hasher, type_id in zip(keys, hashers, types, strict=False):
            parts.append(_HASHERS[hasher][0](self.coders.encode(type_id, key)))
        return b"".join(parts)

    def key_count(self, pallet: str, item: str) -> int:
        """Return how many keys an item has; 0 when it is one value."""
        return len(self._key_parts(self.metadata.storage(pallet, item)[1])[1])

    def decode_value(self, pallet: str, item: str, raw: bytes | None) -> Any:
        """Decode a stored value; an absent one is the item's default, or None."""
        info = self.metadata.storage(pallet, item)[1]
        if raw is None:
            if info.modifier == 0:
                return None
            raw = info.default
        return self.coders.decode(info.kind.value, raw)  # type: ignore[attr-defined]  # both kinds have it

    def decode_keys(self, pallet: str, item: str, storage_key: bytes) -> tuple[Any, ...]:
        """Return the keys behind a full storage key; None for one whose hasher does not keep it."""
        info = self.metadata.storage(pallet, item)[1]
        hashers, types = self._key_parts(info)
        keys: list[Any] = []
        at = 32
        for hasher, type_id in zip(hashers, types, strict=True):
            function, skip = _HASHERS[hasher]
            if skip is None:
                at += len(function(b""))
                keys.append(None)
                continue
            key, at = self.coders.codec(type_id).read(storage_key, at + skip)
            keys.append(key)
        return tuple(keys)

    def _key_parts(self, info: StorageInfo) -> tuple[list[int], list[int]]:
        """Return the hashers and key types of a map, one each per key."""
        kind = info.kind
        if not isinstance(kind, MapKind):
            return [], []
        if any(hasher >= len(_HASHERS) for hasher in kind.hashers):
            raise BadMetadata(f"{info.name} uses an unknown hasher")
        if len(kind.hashers) == 1:
            return kind.hashers, [kind.key]
        items = getattr(self.metadata.type_info(kind.key).definition, "items", [])
        if len(items) != len(kind.hashers):
            raise BadMetadata(f"{info.name} has {len(kind.hashers)} hashers for {len(items)} keys")
        return kind.hashers, items

    def constant(self, pallet: str, name: str) -> Any:
        """Return a constant of a pallet, decoded."""
        info = self.metadata.constant(pallet, name)
        return self.coders.decode(info.type, info.value)

    # events and errors

    def events(self, raw: bytes | None) -> list[Event]:
        """Decode the value of `System.Events` of a block."""
        return [_event(record) for record in self.decode_value("System", "Events", raw)]

    def problem(self, dispatch_error: Any) -> DispatchProblem:
        """Name a decoded `DispatchError`, looking module errors up in their pallet."""
        if not isinstance(dispatch_error, Mapping):
            return DispatchProblem(str(dispatch_error))
        ((kind, detail),) = dispatch_error.items()
        if kind != "Module":
            return DispatchProblem(f"{kind}.{detail}" if isinstance(detail, str) else str(kind))
        pallet_index, error = detail["index"], detail["error"]
        index = error[0] if isinstance(error, bytes) else error
        for pallet in self.metadata.pallets.values():
            if pallet.index == pallet_index and pallet.error is not None:
                found = self._variant_at(pallet.error, index)
                if found is not None:
                    return DispatchProblem(f"{pallet.name}.{found.name}", " ".join(found.docs).strip())
        return DispatchProblem(f"Module({pallet_index}).{index}")

    def problem_in(self, applied: bytes) -> DispatchProblem | None:
        """Read an `ApplyExtrinsicResult`: why its call failed; None where it did not, or was not reached."""
        if applied[:2] != b"\x00\x01":
            return None
        for number, info in enumerate(self.metadata.types):
            if list(info.path[-1:]) == ["DispatchError"]:
                return self.problem(self.coders.decode(number, applied[2:]))
        return None

    def _variant_at(self, type_id: int, index: int) -> VariantInfo | None:
        definition = self.metadata.type_info(type_id).definition
        variants = definition.variants if isinstance(definition, VariantDef) else []
        return next((variant for variant in variants if variant.index == index), None)

    # accounts

    def account_id(self, account: Any) -> bytes:
        """Return the 32 bytes of an account given as SS58 text, 0x-hex text, bytes or a pair."""
        return account_of(getattr(account, "public", account))


def _event(record: Mapping[str, Any]) -> Event:
    phase = record["phase"]
    extrinsic = phase.get("ApplyExtrinsic") if isinstance(phase, Mapping) else None
    ((pallet, inner),) = record["event"].items()
    if isinstance(inner, str):
        return Event(pallet, inner, {}, extrinsic)
    ((name, fields),) = inner.items()
    return Event(pallet, name, fields, extrinsic)
