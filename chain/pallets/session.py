"""Session: the validators of a fixed number of blocks, and the keys they sign with.

A session ends in its last block (number divisible by the session's length): the queued validators take over, and a set
is queued for the session after. So new keys or validators work one whole session after they were queued, and a block's
author counts in `Validators` of its parent's state.

Upon the last block of session i  -> Validators, keys := Queued; queue the set of i + 2 with the keys set by then;
                                     tell Consensus, Historical and Babe; event NewSession(i + 1).

Who validates is decided elsewhere; here whoever has no keys is left out, and a set without anybody is never queued: the
old one goes on. Validators keep their place as long as they stay, newcomers stand behind them by account.

Keys prove that their owner holds them: both sign `"POP_" | account`. One key has one owner.

Source: `pallet_session`, with rotation at the end of the last block instead of the start of the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Final, Protocol

from aitoken.codec.base import Codec, DecodeError
from aitoken.codec.hints import TypeName, codec_of, u32
from aitoken.codec.primitives import Bytes, FixedBytes, newtype
from aitoken.codec.records import Record, plain_enum, record
from aitoken.crypto import ed25519
from aitoken.types import AIT, AccountId, Balance, BlockNumber
from chain.frame.calls import call
from chain.frame.errors import Unavailable
from chain.frame.origin import Origin, ensure_signed
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, constant, runtime_api
from chain.frame.storage import TWOX_64_CONCAT, OptionMap, Value, storage_map, value
from chain.frame.types import Perbill
from chain.pallets.staking.election import capped

if TYPE_CHECKING:
    from chain.frame.machine import Machine

KEY_DEPOSIT: Final = Balance(3 * AIT // 10)
"""Held while an account has session keys."""
POSSESSION_PREFIX: Final = b"POP_"
WEIGHT_UNIT: Final = 10**6
"""Stake per unit of voting weight: keeps the whole issuance far below 2^63."""

ED25519_PUBLIC: Final = newtype("sp_core::ed25519::Public", FixedBytes(32), type_name="[u8; 32]")
KEY_TYPE_ID: Final = newtype("sp_core::crypto::KeyTypeId", FixedBytes(4), type_name="[u8; 4]")

Ed25519Public = Annotated[bytes, ED25519_PUBLIC, TypeName("ed25519::Public")]
KeyTypeId = Annotated[bytes, KEY_TYPE_ID, TypeName("KeyTypeId")]
SessionIndex = Annotated[int, u32, TypeName("SessionIndex")]


@record("aitoken_runtime::SessionKeys")
class SessionKeys(Record):
    """The keys of a validator: one votes, one names its network peer."""

    bft: Ed25519Public
    net: Ed25519Public


SESSION_KEYS: Final[Codec[SessionKeys]] = codec_of(SessionKeys)
KEY_TYPES: Final = ((b"bft_", "bft"), (b"net_", "net"))


@plain_enum("pallet_session::pallet::HoldReason")
class SessionHoldReason(IntEnum):
    """Why Session holds money."""

    Keys = 0


class HeldMoney(Protocol):
    """Deposits."""

    def hold(self, reason: IntEnum, who: AccountId, amount: Balance) -> None:
        """Set money of `who` aside."""

    def release(self, reason: IntEnum, who: AccountId) -> Balance:
        """Give all of it back."""


class References(Protocol):
    """Accounts that must not disappear."""

    def increase_consumers(self, who: AccountId) -> None:
        """Something needs the account."""

    def decrease_consumers(self, who: AccountId) -> None:
        """It no longer does."""


class StakedValidators(Protocol):
    """Who validates, decided elsewhere."""

    def end_session(self, index: int) -> None:
        """Session `index` is over."""

    def start_session(self, index: int) -> int | None:
        """Session `index` starts; returns the oldest session whose validators can still be punished, if that moved."""

    def new_session(
        self, index: int, ready: Callable[[AccountId], bool], offline: Sequence[AccountId]
    ) -> Sequence[AccountId]:
        """The validators to queue for session `index`, given who has keys and who was absent, worst first."""

    def stake_of(self, who: AccountId) -> Balance:
        """The stake that backs a validator."""

    def weight_of_rotation(self, index: int) -> int:
        """What `start_session(index)` and `new_session(index + 1)` are going to weigh."""


class EpochListener(Protocol):
    """Told when validators change hands."""

    def on_new_session(self, index: int, authorities: Sequence[tuple[bytes, int]]) -> bytes:
        """Session `index` starts after this block with these voting keys and weights; return its leaders' seed."""


class Attendance(Protocol):
    """Who did its work."""

    def end_session(self, index: int, validators: Sequence[AccountId]) -> Sequence[AccountId]:
        """Those of the validators that were absent in the session that ends, worst first."""


class History(Protocol):
    """Who validated when."""

    def note_session(self, index: int, members: Sequence[tuple[AccountId, bytes, int]]) -> None:
        """Session `index` has these validators: account, voting key, weight."""

    def prune(self, oldest: int) -> None:
        """Sessions before `oldest` may be forgotten."""


class ProgressListener(Protocol):
    """Told that a session begins."""

    def on_new_session(self, index: int, seed: bytes) -> None:
        """Session `index` starts after this block, its leaders drawn from this seed."""


class Session(Pallet, index=7, crate="pallet_session"):
    """The validators of a session and the keys they sign with."""

    HoldReason = SessionHoldReason

    validators: Value[list[AccountId]] = value(doc="The current set of validators.")
    current_index: Value[SessionIndex] = value(doc="Current index of the session.")
    queued_changed: Value[bool] = value(
        doc="True if the underlying economic identities or weighting behind the validators has changed in the queued "
        "validator set."
    )
    queued_keys: Value[list[tuple[AccountId, SessionKeys]]] = value(
        doc="The queued keys for the next session. When the next session begins, these keys will be used to determine "
        "the validator's session keys."
    )
    disabled_validators: Value[list[tuple[u32, Perbill]]] = value(doc="Indices of disabled validators.")
    next_keys: OptionMap[AccountId, SessionKeys] = storage_map(TWOX_64_CONCAT, doc="The next session keys.")
    key_owner: OptionMap[tuple[KeyTypeId, Annotated[bytes, Bytes]], AccountId] = storage_map(
        TWOX_64_CONCAT, doc="The owner of a key. The key is the `KeyTypeId` + the encoded key."
    )

    session_blocks: u32 = constant(
        lambda env: env.params.session_blocks, name="SessionLength", doc="Blocks in a session."
    )

    class Event(Events):
        """What Session tells."""

        class NewSession(Ev, index=0):
            """New session has happened: the index of the session, not the block number."""

            session_index: SessionIndex

        class ValidatorDisabled(Ev, index=1):
            """Validator has been disabled."""

            validator: AccountId

        class ValidatorReenabled(Ev, index=2):
            """Validator has been re-enabled."""

            validator: AccountId

    class Error(Errors):
        """How Session fails."""

        class InvalidProof(Err, index=0):
            """Invalid ownership proof."""

        class NoAssociatedValidatorId(Err, index=1):
            """No associated validator ID for account."""

        class DuplicatedKey(Err, index=2):
            """Registered duplicate key."""

        class NoKeys(Err, index=3):
            """No keys are associated with this account."""

        class NoAccount(Err, index=4):
            """Key setting account is not live, so it's impossible to associate keys."""

    def __init__(
        self,
        machine: Machine,
        system: References,
        balances: HeldMoney,
        stake: StakedValidators,
        consensus: EpochListener,
        progress: ProgressListener,
        attendance: Attendance,
        history: History,
    ) -> None:
        super().__init__(machine)
        self._system = system
        self._balances = balances
        self._stake = stake
        self._consensus = consensus
        self._progress = progress
        self._attendance = attendance
        self._history = history

    # --------------------------------------------------------------------------------------------- calls

    @call(0)
    def set_keys(
        self,
        origin: Origin,
        keys: Annotated[SessionKeys, TypeName("T::Keys")],
        proof: Annotated[bytes, Bytes, TypeName("Vec<u8>")],
    ) -> None:
        """Set the session keys of the sender; they work from the session after next.

        `proof` is the 64-byte signature of each key over `"POP_" | account`, in the order of the keys.
        """
        who = ensure_signed(origin)
        self._check_possession(who, keys, proof)
        for kind, name in KEY_TYPES:
            if self.key_owner.get((kind, getattr(keys, name))) not in (None, who):
                raise self.Error.DuplicatedKey
        old = self.next_keys.get(who)
        if old is None:
            self._system.increase_consumers(who)
            self._balances.hold(SessionHoldReason.Keys, who, KEY_DEPOSIT)
        else:
            self._forget_owner(old)
        self._own(who, keys)

    @call(1)
    def purge_keys(self, origin: Origin) -> None:
        """Remove the session keys of the sender and give back the deposit."""
        who = ensure_signed(origin)
        old = self.next_keys.take(who)
        if old is None:
            raise self.Error.NoKeys
        self._forget_owner(old)
        self._balances.release(SessionHoldReason.Keys, who)
        self._system.decrease_consumers(who)

    # --------------------------------------------------------------------------------------------- rotation

    def on_initialize(self, number: BlockNumber) -> int:
        """Reserve, in the last block of a session, what ending it is going to weigh."""
        if number % self.session_blocks:
            return 0
        members = self.cost_of("rotate").at(len(self.queued_keys.get()))
        return members + self._stake.weight_of_rotation(self.current_index.get() + 1)

    def on_finalize(self, number: BlockNumber) -> None:
        """End the session in its last block."""
        if number % self.session_blocks == 0:
            self._rotate()

    def _rotate(self) -> None:
        queued = self.queued_keys.get()
        index = self.current_index.get() + 1
        offline = self._attendance.end_session(index - 1, self.validators.get())
        self._stake.end_session(index - 1)
        self.validators.put([who for who, _ in queued])
        self.current_index.put(index)
        self.disabled_validators.put([])
        oldest = self._stake.start_session(index)
        following = self._stake.new_session(index + 1, self.next_keys.contains, offline)
        self._queue(following, queued)
        authorities = self._authorities(queued)
        seed = self._consensus.on_new_session(index, authorities)
        self._remember(index, queued, authorities)
        if oldest is not None:
            self._history.prune(oldest)
        self._progress.on_new_session(index, seed)
        self.emit(self.Event.NewSession(index))

    def _queue(self, following: Sequence[AccountId], queued: Sequence[tuple[AccountId, SessionKeys]]) -> None:
        places = {who: place for place, (who, _) in enumerate(queued)}
        ordered = sorted(following, key=lambda who: (places.get(who, len(places)), who))
        with_keys = [(who, keys) for who in ordered if (keys := self.next_keys.get(who)) is not None]
        self.queued_changed.put(bool(with_keys) and with_keys != queued)
        if with_keys:
            self.queued_keys.put(with_keys)

    def _authorities(self, queued: Sequence[tuple[AccountId, SessionKeys]]) -> list[tuple[bytes, int]]:
        weights = capped([max(1, self._stake.stake_of(who) // WEIGHT_UNIT) for who, _ in queued])
        return [(keys.bft, weight) for (_, keys), weight in zip(queued, weights, strict=True)]

    def _remember(
        self,
        index: int,
        queued: Sequence[tuple[AccountId, SessionKeys]],
        authorities: Sequence[tuple[bytes, int]],
    ) -> None:
        members = [(who, key, weight) for (who, _), (key, weight) in zip(queued, authorities, strict=True)]
        self._history.note_session(index, members)

    @runtime_api("SessionKeys", 1)
    def generate_session_keys(self, seed: bytes | None) -> bytes:  # noqa: ARG002
        """Generate a set of session keys with optionally using the given seed."""
        raise Unavailable("a node makes and keeps its keys itself; the chain sees none of it")

    @runtime_api("SessionKeys", 1)
    def decode_session_keys(self, encoded: bytes) -> list[tuple[bytes, KeyTypeId]] | None:
        """Decode the given public session keys."""
        try:
            keys = SESSION_KEYS.decode(encoded)
        except DecodeError:
            return None
        return [(getattr(keys, name), kind) for kind, name in KEY_TYPES]

    # --------------------------------------------------------------------------------------------- for others

    def current_validators(self) -> Sequence[AccountId]:
        """Return the validators of the current session, by index."""
        return self.validators.get()

    def start(self, validators: Sequence[tuple[AccountId, SessionKeys]]) -> list[tuple[bytes, int]]:
        """Set the validators of genesis; return their keys and weights."""
        for who, keys in validators:
            self._system.increase_consumers(who)
            self._own(who, keys)
        self.validators.put([who for who, _ in validators])
        self.queued_keys.put(list(validators))
        authorities = self._authorities(validators)
        self._remember(0, validators, authorities)
        return authorities

    def disable(self, who: AccountId, severity: int) -> None:
        """Mark a validator of the running session as punished; clients show it, its votes count until the session ends.

        Args:
            who: the validator.
            severity: how much of its stake was slashed, in billionths.
        """
        validators = self.validators.get()
        if who not in validators:
            return
        index = validators.index(who)
        before = self.disabled_validators.get()
        if all(index != other for other, _ in before):
            self.disabled_validators.put(sorted([*before, (index, severity)]))
            self.emit(self.Event.ValidatorDisabled(who))

    def _own(self, who: AccountId, keys: SessionKeys) -> None:
        self.next_keys.put(who, keys)
        for kind, name in KEY_TYPES:
            self.key_owner.put((kind, getattr(keys, name)), who)

    def _forget_owner(self, keys: SessionKeys) -> None:
        for kind, name in KEY_TYPES:
            self.key_owner.remove((kind, getattr(keys, name)))

    def _check_possession(self, who: AccountId, keys: SessionKeys, proof: bytes) -> None:
        if len(proof) != 64 * len(KEY_TYPES):
            raise self.Error.InvalidProof
        for position, (_, name) in enumerate(KEY_TYPES):
            signature = proof[64 * position : 64 * position + 64]
            if not ed25519.verify(signature, POSSESSION_PREFIX + who, getattr(keys, name)):
                raise self.Error.InvalidProof
