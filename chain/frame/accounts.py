"""The accounts: the item that changes most, in two forms.

*As objects* (`AccountInfo`) accounts are read and changed by everybody. *Plain*, as the tuple of their fields that one
`struct` call reads and writes, they are what a straight line for usual transactions works on
(`chain.pallets.fast_transfer`): no objects are made. An account is in the cache in one form only, and changes over when
it is asked for in the other; nobody who does not know of the plain form can see a difference.

Every change of a balance passes through here, or says itself what it does to the imbalance of the store. That is what
makes conservation checkable.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class
from typing import Any, Final, TypeAlias

from aitoken.crypto.hashing import blake2_128_concat
from aitoken.types import AccountId
from chain.frame.errors import Underflow
from chain.frame.storage import CACHE_MAX, Map, StorageInfo, Store
from chain.frame.types import NEW_LOGIC, AccountInfo, StoredAccount

LOW: Final = (1 << 64) - 1
_FIELDS: Final = Struct("<4I2Q48s")
USUAL: Final = bytes(32) + NEW_LOGIC.to_bytes(16, "little")
"""The end of an account of which nothing is reserved or frozen."""

PlainAccount: TypeAlias = tuple[int, int, int, int, int, int, bytes]
"""Nonce, consumers, providers, sufficients, free money (low and high 64 bits), and the rest as it is stored."""


class _Moved:
    """The mark for "changed in this block while it was plain"."""


_MOVED: Final = _Moved()


class AccountMap(Map[AccountId, StoredAccount]):
    """The accounts.

    Attributes:
        plain: accounts in the plain form, by raw key; those in `cache` are objects.
        moved: the plain ones that changed in this block, as they are now.
        raw_keys: account to raw key, shared by all stores of a runtime: whoever looked at an account spares the
            others the hash, and what is looked up by a raw key is found by the same object.
    """

    __slots__ = ("moved", "plain", "raw_keys")

    is_always_looked_at = True
    checked = False  # balances are checked here; the other fields are small counters

    def __init__(self, store: Store, info: StorageInfo) -> None:
        super().__init__(store, info)
        self.plain: dict[bytes, PlainAccount] = {}
        self.moved: dict[bytes, PlainAccount] = {}
        self.raw_keys = info.raw_keys

    def raw_key(self, key: AccountId) -> bytes:
        """Return the key in the state."""
        raw_keys = self.raw_keys
        raw = raw_keys.get(key)
        if raw is None:
            if len(raw_keys) >= CACHE_MAX:
                raw_keys.clear()
            raw = raw_keys[key] = self.info.prefix + blake2_128_concat(key)
        return raw

    def load_plain(self, key: AccountId, raw_key: bytes) -> PlainAccount | None:
        """Return an account that is not among the plain ones in the plain form, None where there is none.

        Between transactions only: what was written before cannot be rolled back any more.
        """
        cache = self.cache
        if key not in cache:
            raw = self.store.state.get(raw_key)
            if raw is None:
                cache[key] = None
                return None
            found: PlainAccount = _FIELDS.unpack(raw)
        else:
            account = cache[key]
            if account is None:
                return None
            found = _plain(account)
            del cache[key]
            if key in self.original:
                del self.original[key]
                self.moved[raw_key] = found
        self.plain[raw_key] = found
        return found

    def load(self, key: AccountId) -> AccountInfo | None:
        """Read an account that is not in the cache as an object."""
        raw_key = self.raw_key(key)
        plain = self.plain.get(raw_key) or self.load_plain(key, raw_key)
        if plain is None:
            return None
        account = self.cache[key] = _account(plain)
        del self.plain[raw_key]
        if raw_key in self.moved:
            del self.moved[raw_key]
            self.original[key] = _MOVED
        return account

    def write(self, key: AccountId, new: AccountInfo | None) -> None:
        """Set or remove an account and add its change of balance to the imbalance of the store.

        Raises:
            Underflow: a balance or the number of references would be negative.
        """
        cache = self.cache
        old = cache[key] if key in cache else self.load(key)
        change = 0
        if new is not None:
            if new.free < 0 or new.reserved < 0 or new.consumers < 0:
                raise Underflow
            change = new.free + new.reserved
        if old is not None:
            change -= old.free + old.reserved
        store = self.store
        if key not in self.original:
            self.original[key] = old
        store.imbalance += change
        store.journal.append((self, key, old))
        cache[key] = new

    put = write

    def items(self, *leading: Any) -> Iterator[tuple[AccountId, AccountInfo]]:
        """Yield (key, value) in the order of raw keys."""
        for raw in list(self.moved):
            self.load(AccountId(raw[-32:]))
        yield from super().items(*leading)

    def collect(self, changed: dict[bytes, bytes | None]) -> None:
        """Add the raw changes of this block to `changed`."""
        cache, pack = self.cache, _FIELDS.pack
        for key, old in self.original.items():
            new = cache[key]
            if new is not old:
                changed[self.raw_key(key)] = None if new is None else self._encoded(new)
        try:
            changed.update([(raw_key, pack(*plain)) for raw_key, plain in self.moved.items()])
        except StructError:
            for plain in self.moved.values():
                self.encode(_account(plain))  # which says what does not fit
            raise

    def _encoded(self, account: AccountInfo) -> bytes:
        try:
            return _FIELDS.pack(*_plain(account))
        except (StructError, OverflowError):
            return self.encode(account)  # which says what does not fit

    def forget(self, raw: bytes) -> None:
        """Drop one account from the cache."""
        self.cache.pop(AccountId(raw[-32:]), None)
        self.plain.pop(raw, None)

    def forget_all(self) -> None:
        """Drop everything that is known."""
        super().forget_all()
        self.plain.clear()
        self.moved.clear()

    def held(self) -> tuple[dict[Any, Any], ...]:
        """Return where accounts are held, in either form."""
        return self.cache, self.plain

    def forget_written(self) -> None:
        """Take what was written, in either form, as what is there."""
        self.original.clear()
        self.moved.clear()


def _plain(account: AccountInfo) -> PlainAccount:
    rest = USUAL
    if account.reserved or account.frozen or account.flags != NEW_LOGIC:
        amounts = (account.reserved, account.frozen, account.flags)
        rest = b"".join([amount.to_bytes(16, "little") for amount in amounts])
    free = account.free
    return (
        account.nonce, account.consumers, account.providers, account.sufficients, free & LOW, free >> 64, rest
    )  # fmt: skip


def _account(plain: PlainAccount) -> AccountInfo:
    nonce, consumers, providers, sufficients, low, high, rest = plain
    reserved, frozen, flags = 0, 0, NEW_LOGIC
    if rest != USUAL:
        reserved, frozen, flags = (int.from_bytes(rest[at : at + 16], "little") for at in (0, 16, 32))
    return AccountInfo(nonce, consumers, providers, sufficients, low | high << 64, reserved, frozen, flags)
