"""Storage items: typed, cached for one block, rolled back by a journal.

A pallet declares `locks: Map[AccountId, list[BalanceLock]] = storage_map(BLAKE2_128_CONCAT, doc="...")`; the annotation
is the type, the attribute name in PascalCase the storage name. When a pallet is made, each declaration becomes a bound
item on the *instance*: an attribute access, not a descriptor call.

* A value is read and decoded on first touch and encoded once, when the block is sealed.
* A value that came out of storage is never changed in place: copy it, change the copy, put the copy.
* `put` notes (item, key, old) in the journal of the `Store`; a transactional layer is a mark in that journal, rolling
  back undoes to the mark, committing costs nothing. Events are cut back by the same marks.
* Iteration is in the order of raw keys, whatever was written in which order; only hooks and queries iterate.

Source: `frame_support::storage`; the layout of keys is Substrate's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, get_args, get_origin

from aitoken.codec.base import Codec
from aitoken.crypto.hashing import blake2_128_concat, identity, twox_64_concat, twox_128

if TYPE_CHECKING:
    from chain.state.base import KeyValue

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Hasher(Enum):
    """How a map key becomes part of a raw key: metadata byte, function, bytes before the key itself."""

    BLAKE2_128_CONCAT = (2, blake2_128_concat, 16)
    TWOX_64_CONCAT = (5, twox_64_concat, 8)
    IDENTITY = (6, identity, 0)

    def __init__(self, number: int, digest: Callable[[bytes], bytes], prefix_size: int) -> None:
        self.number = number
        self.digest = digest
        self.prefix_size = prefix_size


BLAKE2_128_CONCAT: Final = Hasher.BLAKE2_128_CONCAT
TWOX_64_CONCAT: Final = Hasher.TWOX_64_CONCAT
IDENTITY: Final = Hasher.IDENTITY


CACHE_MAX: Final = 100_000
"""Decoded values kept from block to block, some 300 bytes each."""
PREFIX_SIZE: Final = 32
"""Bytes of a raw key that name pallet and item."""


# ------------------------------------------------------------------------------------------------- declarations


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a pallet's class body says about a storage item, besides its annotation."""

    hashers: tuple[Hasher, ...]
    default: Callable[[], Any] | None
    doc: str
    name: str | None


def value(*, default: Callable[[], Any] | None = None, doc: str = "", name: str | None = None) -> Any:
    """Declare a single value: annotate with `Value[T]` (has a default) or `OptionValue[T]` (may be absent)."""
    return Declaration((), default, doc, name)


def storage_map(
    *hashers: Hasher, default: Callable[[], Any] | None = None, doc: str = "", name: str | None = None
) -> Any:
    """Declare a map: annotate with `Map[K, V]` or `OptionMap[K, V]`; several hashers mean K is a tuple."""
    if not hashers:
        raise TypeError("a map needs a hasher: BLAKE2_128_CONCAT where users choose keys")
    return Declaration(hashers, default, doc, name)


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """A storage item of one runtime: resolved types, raw prefix, what metadata shows."""

    attribute: str
    name: str
    bound_class: type[Item[Any, Any]]
    hashers: tuple[Hasher, ...]
    keys: tuple[Codec[Any], ...]
    key: Codec[Any] | None
    value: Codec[Any]
    optional: bool
    default: Callable[[], Any]
    prefix: bytes
    doc: str
    raw_keys: dict[Any, bytes] = field(default_factory=dict, repr=False, compare=False)
    """Logical to raw key, for items of which all stores of a runtime keep them together."""


def type_arguments(annotation: Any) -> tuple[type[Item[Any, Any]], tuple[Any, ...]]:
    """Return the item class and type arguments of an annotation such as `Map[K, V]` or a subclass of one."""
    origin = get_origin(annotation)
    if origin is not None:
        return origin, get_args(annotation)
    return annotation, get_args(annotation.__orig_bases__[0])


def storage_prefix(pallet: str, item: str) -> bytes:
    """Return the 32 bytes every key of an item starts with."""
    return twox_128(pallet.encode()) + twox_128(item.encode())


# ------------------------------------------------------------------------------------------------- the store


class Store:
    """The storage of one runtime instance while it works on one block.

    Attributes:
        events: encoded event records of the block so far; an entry may hold several.
        events_joined: how many records there are beyond the number of entries.
        phase: the encoded phase events are recorded under.
        events_value: raw key and value of `System.Events`, once the block is closed.
        raw: any key as bytes.
        touched: the items something was written to since `load`, in the order of their first write.
        imbalance: sum of all changes of account balances minus the change of the total issuance. Fees that are taken
            and not yet given out are the only legitimate difference; the executive checks it after every extrinsic.
    """

    __slots__ = (
        "_always", "_by_prefix", "_items", "_maps",
        "events", "events_joined", "events_value", "imbalance", "journal", "phase", "raw", "state", "touched",
    )  # fmt: skip

    def __init__(self, state: KeyValue) -> None:
        self.state = state
        self.journal: list[tuple[Item[Any, Any], Any, Any]] = []
        self.events: list[bytes] = []
        self.events_joined = 0
        self.raw = Raw(self)
        self.events_value: tuple[bytes, bytes] | None = None
        self.phase = b"\x02"
        self.imbalance = 0
        self._items: list[Item[Any, Any]] = []
        self._by_prefix: dict[bytes, Item[Any, Any]] = {}
        self._maps: list[Mapping[Any, Any]] = []
        """What maps hold; plain values are no more than there are items."""
        self._always: list[Item[Any, Any]] = []
        self.touched: dict[Item[Any, Any], None] = {}

    def bind(self, info: StorageInfo) -> Item[Any, Any]:
        """Return the bound item of a storage item; there is one, however often it is asked for."""
        known = next((item for item in self._items if item.info is info), None)
        if known is not None:
            return known
        item = info.bound_class(self, info)
        self._items.append(item)
        self._by_prefix[info.prefix] = item
        if info.hashers:
            self._maps += item.held()
        if item.is_always_looked_at:
            self._always.append(item)
        return item

    def load(self, state: KeyValue) -> None:
        """Start anew on top of `state`, forgetting everything."""
        self.state = state
        self._forget_block()
        self.touched.clear()
        for item in (*self._items, self.raw):
            item.forget_all()

    def settle(self, state: KeyValue) -> None:
        """Go on from `state`, which is the present one with all changes made: what is decoded stays decoded.

        Raw writes may have gone behind typed items, so after them everything is forgotten.
        """
        if self.raw.original or self._is_full():
            self.load(state)
            return
        self.state = state
        self._forget_block()
        self._forget_written()

    def follow(self, state: KeyValue, changes: Mapping[bytes, bytes | None]) -> None:
        """Go on from `state`, which differs from the present one by `changes`; what was written here is forgotten."""
        if self._is_full():
            self.load(state)
            return
        self.rollback((0, 0, 0))
        self.state = state
        self._forget_block()
        by_prefix = self._by_prefix
        for raw in changes:
            item = by_prefix.get(raw[:PREFIX_SIZE])
            if item is not None:
                item.forget(raw)
        self._forget_written()

    def _is_full(self) -> bool:
        return sum(map(len, self._maps)) > CACHE_MAX

    def _forget_written(self) -> None:
        for item in self.touched:
            item.original.clear()
        for item in self._always:
            item.forget_written()
        self.touched.clear()

    def _forget_block(self) -> None:
        self.journal.clear()
        self.events.clear()
        self.events_joined = 0
        self.events_value = None
        self.phase = b"\x02"
        self.imbalance = 0

    def mark(self) -> tuple[int, int, int]:
        """Open a transactional layer."""
        return len(self.journal), len(self.events), self.imbalance

    def rollback(self, mark: tuple[int, int, int]) -> None:
        """Undo every write and event since `mark`."""
        journal = self.journal
        for item, key, old in reversed(journal[mark[0] :]):
            item.cache[key] = old
        del journal[mark[0] :]
        del self.events[mark[1] :]
        self.imbalance = mark[2]

    def check_encodable(self, mark: int) -> None:
        """Make sure that everything written since journal position `mark` can be encoded.

        Raises:
            EncodeError: a value does not fit its type, for example a negative balance.
        """
        for item, key, _ in self.journal[mark:]:
            if item.checked:
                written = item.cache[key]
                if written is not None:
                    item.encode(written)

    def changes(self) -> dict[bytes, bytes | None]:
        """Encode what changed since `load`: raw key to new value, None for removed."""
        changed: dict[bytes, bytes | None] = {}
        for item in (*self.touched, *self._always, self.raw):
            item.collect(changed)
        if self.events_value is not None:
            changed[self.events_value[0]] = self.events_value[1]
        return changed


# ------------------------------------------------------------------------------------------------- bound items


class Item(Generic[K, V]):
    """A bound item: what plain values and maps share.

    Attributes:
        cache: logical key to value, None where there is none; a plain value has the key None.
        original: what each key written in this block held before; its keys are what may have changed.
        checked: whether values are test-encoded after each extrinsic; an item whose writers check ranges turns it off.
        is_always_looked_at: whether it may have changed without a `write` that the store knows of.
    """

    __slots__ = ("cache", "encode", "info", "original", "read", "store")

    checked = True
    is_always_looked_at = False

    def __init__(self, store: Store, info: StorageInfo) -> None:
        self.store = store
        self.info = info
        self.cache: dict[Any, Any] = {}
        self.original: dict[Any, Any] = {}
        self.encode = info.value.encode
        self.read = info.value.decode

    def raw_key(self, key: Any) -> bytes:
        """Return the key in the state."""
        info = self.info
        if info.key is None:
            return info.prefix
        if len(info.hashers) == 1:
            return info.prefix + info.hashers[0].digest(info.keys[0].encode(key))
        return self._raw_prefix(key)

    def _raw_prefix(self, parts: tuple[Any, ...]) -> bytes:
        rows = zip(self.info.hashers, self.info.keys, parts, strict=False)
        return self.info.prefix + b"".join([hasher.digest(codec.encode(part)) for hasher, codec, part in rows])

    def load(self, key: Any) -> Any:
        """Read a value that is not in the cache."""
        raw = self.store.state.get(self.raw_key(key))
        found = self.cache[key] = None if raw is None else self.read(raw)
        return found

    def write(self, key: Any, new: Any) -> None:
        """Set (or with None remove) a value, remembering the old one."""
        cache = self.cache
        old = cache[key] if key in cache else self.load(key)
        store = self.store
        if key not in self.original:
            self.original[key] = old
            store.touched[self] = None
        store.journal.append((self, key, old))
        cache[key] = new

    def forget(self, raw: bytes) -> None:  # noqa: ARG002 - a plain item forgets all it knows
        """Drop what is decoded of a raw key from the cache."""
        self.cache.clear()

    def forget_all(self) -> None:
        """Drop everything that is known."""
        if self.cache:
            self.cache.clear()
            self.original.clear()

    def held(self) -> tuple[dict[Any, Any], ...]:
        """Return where values are held; always the same dictionaries."""
        return (self.cache,)

    def forget_written(self) -> None:
        """Take what was written as what is there."""
        self.original.clear()

    def collect(self, changed: dict[bytes, bytes | None]) -> None:
        """Add the raw changes of this block to `changed`."""
        cache, encode = self.cache, self.encode
        for key, old in self.original.items():
            new = cache[key]
            if new is not old:
                changed[self.raw_key(key)] = None if new is None else encode(new)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.info.name}>"


class _AnyValue(Item[None, V]):
    """What plain values with and without a default share."""

    __slots__ = ()

    def put(self, new: V) -> None:
        """Set the value."""
        self.write(None, new)

    def exists(self) -> bool:
        """Whether a value is stored."""
        return (self.cache[None] if None in self.cache else self.load(None)) is not None

    def collect(self, changed: dict[bytes, bytes | None]) -> None:
        """Add the raw change of this block, if there is one, to `changed`."""
        new = self.cache[None]
        if new is not self.original[None]:
            changed[self.info.prefix] = None if new is None else self.encode(new)


class OptionValue(_AnyValue[V]):
    """A value that may be absent."""

    __slots__ = ()

    def get(self) -> V | None:
        """Return the value, or None."""
        cache = self.cache
        found: V | None = cache[None] if None in cache else self.load(None)
        return found

    def kill(self) -> None:
        """Remove the value."""
        if self.exists():
            self.write(None, None)

    def take(self) -> V | None:
        """Return the value and remove it."""
        found = self.get()
        self.kill()
        return found


class Value(_AnyValue[V]):
    """A value that reads as its default while it is absent."""

    __slots__ = ()

    def get(self) -> V:
        """Return the value or its default."""
        cache = self.cache
        found: V | None = cache[None] if None in cache else self.load(None)
        if found is None:
            default: V = self.info.default()
            return default
        return found

    def kill(self) -> None:
        """Remove the value; it then reads as its default."""
        if self.exists():
            self.write(None, None)


class _AnyMap(Item[K, V]):
    """What maps with and without a default share."""

    __slots__ = ()

    def find(self, key: K) -> V | None:
        """Return the stored value, or None."""
        cache = self.cache
        found: V | None = cache[key] if key in cache else self.load(key)
        return found

    def put(self, key: K, new: V) -> None:
        """Set the value of `key`."""
        self.write(key, new)

    def contains(self, key: K) -> bool:
        """Whether `key` has a stored value."""
        return self.find(key) is not None

    def remove(self, key: K) -> None:
        """Remove `key`; harmless when it is not there."""
        if self.find(key) is not None:
            self.write(key, None)

    def items(self, *leading: Any) -> Iterator[tuple[K, V]]:
        """Yield (key, value) in the order of raw keys.

        Args:
            leading: values for the first parts of the key of a multi-key map; only entries under them are yielded.
        """
        prefix = self._raw_prefix(leading)
        rows: dict[bytes, tuple[K, V]] = {}
        for raw, data in self.store.state.iterate(prefix):
            key = self._key_of(raw)
            if key not in self.original:
                rows[raw] = (key, self.cache[key] if key in self.cache else self.read(data))
        for key in self.original:
            new = self.cache[key]
            if new is not None and (raw := self.raw_key(key)).startswith(prefix):
                rows[raw] = (key, new)
        for raw in sorted(rows):
            yield rows[raw]

    def page(self, *leading: Any, after: K | None, limit: int) -> list[tuple[K, V]]:
        """Return the first `limit` of `items` whose keys come after `after`, and read no more than these."""
        prefix = self._raw_prefix(leading)
        start = b"" if after is None else self.raw_key(after)
        rows: dict[bytes, tuple[K, V]] = {}
        for raw, data in self.store.state.iterate(prefix, start or None):
            key = self._key_of(raw)
            if key not in self.original:
                rows[raw] = (key, self.cache[key] if key in self.cache else self.read(data))
                if len(rows) == limit:
                    break
        for key in self.original:
            new = self.cache[key]
            if new is not None and (raw := self.raw_key(key)).startswith(prefix) and raw > start:
                rows[raw] = (key, new)
        return [rows[raw] for raw in sorted(rows)[:limit]]

    def keys(self, *leading: Any) -> Iterator[K]:
        """Yield the keys in the order of raw keys."""
        for key, _ in self.items(*leading):
            yield key

    def clear(self, *leading: Any) -> int:
        """Remove all entries (under `leading`); return how many there were."""
        keys = list(self.keys(*leading))
        for key in keys:
            self.write(key, None)
        return len(keys)

    def _key_of(self, raw: bytes) -> K:
        at = len(self.info.prefix)
        parts = []
        for hasher, codec in zip(self.info.hashers, self.info.keys, strict=True):
            part, at = codec.read(raw, at + hasher.prefix_size)
            parts.append(part)
        return parts[0] if len(parts) == 1 else tuple(parts)  # type: ignore[return-value]  # what was declared


class OptionMap(_AnyMap[K, V]):
    """A map whose entries may be absent."""

    __slots__ = ()

    def get(self, key: K) -> V | None:
        """Return the value of `key`, or None."""
        cache = self.cache
        found: V | None = cache[key] if key in cache else self.load(key)
        return found

    def take(self, key: K) -> V | None:
        """Return the value of `key` and remove it."""
        found = self.find(key)
        if found is not None:
            self.write(key, None)
        return found


class Map(_AnyMap[K, V]):
    """A map that reads as its default where it has no entry."""

    __slots__ = ()

    def get(self, key: K) -> V:
        """Return the value of `key` or the default."""
        cache = self.cache
        found: V | None = cache[key] if key in cache else self.load(key)
        if found is None:
            default: V = self.info.default()
            return default
        return found

    def take(self, key: K) -> V:
        """Return the value of `key` or the default, and remove it."""
        found = self.get(key)
        self.remove(key)
        return found


class Raw(Item[bytes, bytes]):
    """Any key as bytes, for the root calls of System; what it writes wins over typed items at the end of the block."""

    __slots__ = ()

    checked = False

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cache = {}
        self.original = {}

    def load(self, key: bytes) -> bytes | None:
        """Read a key of the state."""
        found = self.cache[key] = self.store.state.get(key)
        return found

    def collect(self, changed: dict[bytes, bytes | None]) -> None:
        """Add what was written."""
        for key, old in self.original.items():
            if self.cache[key] is not old:
                changed[key] = self.cache[key]
