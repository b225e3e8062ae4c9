"""System: accounts, block data, events. The one pallet the framework itself needs.

An account exists while something provides for it (its balance does, from the existential deposit up). A new account
starts with the current block number as its nonce, so that old immortal transactions of a reaped account can never be
replayed; genesis accounts start at 0.

Source: `frame_system`. `set_code` and its kin are left out: code is the node release.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

from aitoken.codec.base import compact_encode
from aitoken.codec.hints import MaxLen, TypeName, codec_of, u16, u32, u64
from aitoken.crypto.hashing import blake2_256, twox_128
from aitoken.proto.digest import DIGEST, Digest, DigestItem
from aitoken.types import AccountId, BlockNumber, Hash32
from chain.frame.accounts import AccountMap
from chain.frame.calls import call
from chain.frame.errors import ConsumerRemaining, DispatchError, NoProviders, TooManyConsumers
from chain.frame.origin import Origin, ensure_root, ensure_signed
from chain.frame.outer import EventRecords, Phase
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, constant, runtime_api
from chain.frame.storage import (
    BLAKE2_128_CONCAT,
    TWOX_64_CONCAT,
    Map,
    OptionValue,
    Value,
    storage_map,
    value,
)
from chain.frame.types import (
    NEW_LOGIC,
    ZERO_HASH,
    AccountInfo,
    BlockLength,
    BlockWeights,
    DispatchClass,
    DispatchEventInfo,
    LastRuntimeUpgradeInfo,
    PerClassLimits,
    PerClassU32,
    PerClassWeight,
    RuntimeDbWeight,
    RuntimeVersion,
    Weight,
    WeightsPerClass,
)
from chain.frame.weights import PS_PER_MS, Weights
from chain.params import Params

if TYPE_CHECKING:
    from chain.frame.machine import Machine

CODE_KEY: Final = b":code"
HEAP_PAGES_KEY: Final = b":heappages"
CONSUMERS_MAX: Final = 128
RAW_MAX: Final = 1000
"""Storage items one root call may touch."""
NORMAL_PERCENT: Final = 75
KeyValuePair = Annotated[tuple[bytes, bytes], TypeName("KeyValue")]
Key = Annotated[bytes, TypeName("Key")]
KeyValuePairs = Annotated[list[KeyValuePair], MaxLen(RAW_MAX), TypeName("Vec<KeyValue>")]
Keys = Annotated[list[Key], MaxLen(RAW_MAX), TypeName("Vec<Key>")]


def block_weights(params: Params, weights: Weights) -> BlockWeights:
    """Return the weight limits of a block."""
    total = params.block_weight_ms * PS_PER_MS
    block = weights.of("block")
    extrinsic = block.unit
    normal, base = Weight(total * NORMAL_PERCENT // 100, 0), Weight(extrinsic, 0)
    limits = PerClassLimits(
        WeightsPerClass(base, Weight(normal.ref_time - extrinsic, 0), normal, Weight(0, 0)),
        WeightsPerClass(base, Weight(total - extrinsic, 0), Weight(total, 0), Weight(total - normal.ref_time, 0)),
        WeightsPerClass(base, None, None, None),
    )
    return BlockWeights(Weight(block.base, 0), Weight(total, 0), limits)


def block_length(params: Params) -> BlockLength:
    """Return the length limits of a block."""
    total = params.block_length_max
    return BlockLength(PerClassU32(total * NORMAL_PERCENT // 100, total, total))


class System(Pallet, index=0, crate="frame_system"):
    """Accounts, block data and events."""

    account: AccountMap = storage_map(
        BLAKE2_128_CONCAT, doc="The full account information for a particular account ID."
    )
    extrinsic_count: OptionValue[u32] = value(doc="Total extrinsics count for the current block.")
    block_weight: Value[PerClassWeight] = value(doc="The current weight for the block.")
    all_extrinsics_len: OptionValue[u32] = value(
        doc="Total length (in bytes) for all extrinsics put together, for the current block."
    )
    block_hash: Map[BlockNumber, Hash32] = storage_map(TWOX_64_CONCAT, doc="Map of block numbers to block hashes.")
    extrinsic_data: Map[u32, bytes] = storage_map(
        TWOX_64_CONCAT, doc="Extrinsics data for the current block (not kept by this chain)."
    )
    number: Value[BlockNumber] = value(doc="The current block number being processed.")
    parent_hash: Value[Hash32] = value(doc="Hash of the previous block.")
    digest: Value[Annotated[Digest, DIGEST]] = value(doc="Digest of the current block, also part of the block header.")
    events: Value[EventRecords] = value(doc="Events deposited for the current block.")
    event_count: Value[Annotated[int, codec_of(u32), TypeName("EventIndex")]] = value(
        doc="The number of events in the `Events<T>` list."
    )
    event_topics: Map[Hash32, list[tuple[u32, u32]]] = storage_map(
        BLAKE2_128_CONCAT, doc="Mapping between a topic and the events in the current block (not used by this chain)."
    )
    last_runtime_upgrade: OptionValue[LastRuntimeUpgradeInfo] = value(
        doc="Stores the `spec_version` and `spec_name` of when the last runtime upgrade happened."
    )
    execution_phase: OptionValue[Phase] = value(doc="The execution phase of the block.")

    block_weights: BlockWeights = constant(
        lambda env: block_weights(env.params, env.weights), doc="Block & extrinsics weights: base values and limits."
    )
    block_length: BlockLength = constant(
        lambda env: block_length(env.params), doc="The maximum length of a block (in bytes)."
    )
    block_hash_count: BlockNumber = constant(
        lambda env: env.params.block_hash_count,
        doc="Maximum number of block number to block hash mappings to keep (oldest pruned first).",
    )
    db_weight: RuntimeDbWeight = constant(
        lambda env: RuntimeDbWeight(env.weights.read, env.weights.write),
        doc="The weight of runtime database operations the runtime can invoke.",
    )
    version: RuntimeVersion = constant(lambda env: env.version, doc="Get the chain's in-code version.")
    ss58_prefix: u16 = constant(
        lambda env: env.params.ss58_prefix, name="SS58Prefix", doc="The designated SS58 prefix of this chain."
    )

    class Event(Events):
        """What System tells."""

        class ExtrinsicSuccess(Ev, index=0):
            """An extrinsic completed successfully."""

            dispatch_info: DispatchEventInfo

        class ExtrinsicFailed(Ev, index=1):
            """An extrinsic failed."""

            dispatch_error: DispatchError
            dispatch_info: DispatchEventInfo

        class CodeUpdated(Ev, index=2):
            """`:code` was updated."""

        class NewAccount(Ev, index=3):
            """A new account was created."""

            account: AccountId

        class KilledAccount(Ev, index=4):
            """An account was reaped."""

            account: AccountId

        class Remarked(Ev, index=5):
            """On on-chain remark happened."""

            sender: AccountId
            hash: Hash32

    class Error(Errors):
        """How System fails."""

        class InvalidSpecName(Err, index=0):
            """The name of specification does not match between the current runtime and the new runtime."""

        class SpecVersionNeedsToIncrease(Err, index=1):
            """The specification version is not allowed to decrease between the current runtime and the new runtime."""

        class FailedToExtractRuntimeVersion(Err, index=2):
            """Failed to extract the runtime version from the new runtime."""

        class NonDefaultComposite(Err, index=3):
            """Suicide called when the account has non-default composite data."""

        class NonZeroRefCount(Err, index=4):
            """There is a non-zero reference count preventing the account from being purged."""

        class CallFiltered(Err, index=5):
            """The origin filter prevent the call to be dispatched."""

        class MultiBlockMigrationsOngoing(Err, index=6):
            """A multi-block migration is ongoing and prevents the current code from being replaced."""

        class NothingAuthorized(Err, index=7):
            """No upgrade authorized."""

        class Unauthorized(Err, index=8):
            """The submitted code is not authorized."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._new_digest = Digest()
        # Not even root changes balances or their books behind the back of the supply checks.
        self._guarded = (self.account.info.prefix, twox_128(b"Balances"), twox_128(b"Supply"))

    # --------------------------------------------------------------------------------------------- calls

    @call(0, units=len)
    def remark(self, origin: Origin, remark: bytes) -> None:
        """Make some on-chain remark. Can be executed by every `origin`."""

    @call(1, dispatch_class=DispatchClass.Operational)
    def set_heap_pages(self, origin: Origin, pages: u64) -> None:
        """Set the number of pages in the WebAssembly environment's heap; kept for clients, nothing here reads it."""
        ensure_root(origin)
        self._raw_write(HEAP_PAGES_KEY, pages.to_bytes(8, "little"))

    @call(4, units=len, dispatch_class=DispatchClass.Operational)
    def set_storage(
        self, origin: Origin, items: Annotated[list[KeyValuePair], MaxLen(RAW_MAX), TypeName("Vec<KeyValue>")]
    ) -> None:
        """Set some items of storage."""
        ensure_root(origin)
        for key, raw in items:
            self._raw_write(key, raw)

    @call(5, units=len, dispatch_class=DispatchClass.Operational)
    def kill_storage(self, origin: Origin, keys: Keys) -> None:
        """Kill some items from storage."""
        ensure_root(origin)
        for key in keys:
            self._raw_write(key, None)

    @call(6, units=lambda _, subkeys: min(subkeys, RAW_MAX), dispatch_class=DispatchClass.Operational)
    def kill_prefix(self, origin: Origin, prefix: Key, subkeys: u32) -> None:
        """Kill all storage items with a key that starts with the given prefix."""
        ensure_root(origin)
        found = islice(self._store.state.iterate(prefix), min(subkeys, RAW_MAX))
        for key in [key for key, _ in found]:
            self._raw_write(key, None)

    @call(7, units=len)
    def remark_with_event(self, origin: Origin, remark: bytes) -> None:
        """Make some on-chain remark and emit event."""
        who = ensure_signed(origin)
        self.emit(self.Event.Remarked(who, blake2_256(remark)))

    def _raw_write(self, key: bytes, raw: bytes | None) -> None:
        if key.startswith(self._guarded):
            raise self.Error.Unauthorized
        self._store.raw.write(key, raw)

    # --------------------------------------------------------------------------------------------- accounts

    def fresh_account(self) -> AccountInfo:
        """Return what a new account starts as; see the module for its nonce."""
        return AccountInfo(self.number.get(), 0, 0, 0, 0, 0, 0, NEW_LOGIC)

    def increase_consumers(self, who: AccountId) -> None:
        """Note that something needs the account: it cannot be reaped until that is over.

        Raises:
            NoProviders: the account does not exist.
            TooManyConsumers: too many need it already.
        """
        account = self.account.find(who)
        if account is None or account.providers == 0:
            raise NoProviders
        if account.consumers >= CONSUMERS_MAX:
            raise TooManyConsumers
        account = account.copy()
        account.consumers += 1
        self.account.put(who, account)

    def decrease_consumers(self, who: AccountId) -> None:
        """Note that something no longer needs the account."""
        account = self.account.find(who)
        if account is not None and account.consumers > 0:
            account = account.copy()
            account.consumers -= 1
            self.account.put(who, account)

    def increase_sufficients(self, who: AccountId) -> None:
        """Let an account exist, with its nonce, whatever it owns; makes it where there is none."""
        account = self.account.find(who)
        if account is None:
            self.emit(self.Event.NewAccount(who))
        account = self.fresh_account() if account is None else account.copy()
        account.sufficients += 1
        self.account.put(who, account)

    def decrease_sufficients(self, who: AccountId) -> None:
        """Note that one thing less lets the account exist; if it was the last, the account goes."""
        account = self.account.find(who)
        if account is None or account.sufficients == 0:
            return
        if account.sufficients == 1 and account.providers == 0:
            self.account.remove(who)
            self.emit(self.Event.KilledAccount(who))
            return
        account = account.copy()
        account.sufficients -= 1
        self.account.put(who, account)

    def kill_account(self, who: AccountId) -> None:
        """Remove an account that nothing needs.

        Raises:
            ConsumerRemaining: something needs it.
        """
        account = self.account.find(who)
        if account is None:
            return
        if account.consumers > 0:
            raise ConsumerRemaining
        self.account.remove(who)
        self.emit(self.Event.KilledAccount(who))

    @runtime_api("AccountNonceApi", 1)
    def account_nonce(self, account: AccountId) -> u32:
        """Get current account nonce of given `AccountId`."""
        found = self.account.find(account)
        return 0 if found is None else found.nonce

    # --------------------------------------------------------------------------------------------- the block

    def initialize(self, number: BlockNumber, parent_hash: Hash32, digest: Digest) -> None:
        """Start block `number`."""
        self.number.put(number)
        self.parent_hash.put(parent_hash)
        self.block_hash.put(BlockNumber(number - 1), parent_hash)
        forgotten = number - self.block_hash_count - 1
        if forgotten > 0:  # the hash of genesis is part of every signed payload and stays
            self.block_hash.remove(BlockNumber(forgotten))
        self._new_digest = digest

    def current_number(self) -> BlockNumber:
        """Return the number of the block being executed."""
        return self.number.get()

    def current_parent(self) -> Hash32:
        """Return the hash of its parent."""
        return self.parent_hash.get()

    def current_digest(self) -> Digest:
        """Return the digest of the block so far."""
        return self._new_digest

    def deposit_log(self, item: DigestItem) -> None:
        """Add an item to the digest of the block."""
        self._new_digest = self._new_digest.with_item(item)

    def finish(self, used: PerClassWeight) -> Digest:
        """Close the block: store digest, weight and events; return the digest of the header."""
        digest = self._new_digest
        self.digest.put(digest)
        self.block_weight.put(used)
        store = self._store
        count = len(store.events) + store.events_joined
        self.event_count.put(count)
        store.events_value = self.events.raw_key(None), compact_encode(count) + b"".join(store.events)
        return digest

    def hash_of(self, number: int) -> Hash32 | None:
        """Return the hash of a recent block, None where it is not (or no longer) known."""
        found = self.block_hash.find(BlockNumber(number))
        return None if found is None or found == ZERO_HASH else found
