"""Blocks: opened, filled, sealed; checked on arrival. Transactions: validated for the pool, applied to a block.

Order of checks of a transaction (it decides which error a client sees): decode, not an inherent, address, metadata-hash
mode, birth block known, signature over call, extra and the additional bytes, nonce, fee and tip payable, room in the
block. Nothing is written before all have passed.

Order of events of a transaction: fee withdrawn, what the call emits, refund, `TransactionFeePaid`, then
`ExtrinsicSuccess` or `ExtrinsicFailed` last. A failed call loses its writes and events; nonce and fee stay.

A signature is verified once in the life of a node: the `Extrinsic` remembers for which additional bytes.

Source: `frame_executive`; the nine extensions in `chain.frame.extensions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aitoken.codec.base import EncodeError
from aitoken.crypto.signature import verify_multi
from aitoken.errors import Bug
from aitoken.proto.digest import Digest
from aitoken.proto.extrinsic import HASHES_METADATA, Extrinsic, additional_signed, bare_extrinsic
from aitoken.proto.header import Header
from aitoken.types import AccountId, BlockNumber, Hash32
from chain.frame.calls import Call, CallInfo, PostInfo
from chain.frame.charging import Fees, Shortcut, Sponsor
from chain.frame.errors import (
    AncientBirthBlock,
    BadMandatory,
    BadProof,
    BadSigner,
    DispatchError,
    ExhaustsResources,
    Future,
    InvalidTransaction,
    MandatoryValidation,
    NoUnsignedValidator,
    Stale,
    UnknownLookup,
)
from chain.frame.origin import NONE, Signed
from chain.frame.system import System
from chain.frame.types import (
    AccountInfo,
    DispatchClass,
    Pays,
    PerClassWeight,
    Weight,
)
from chain.state.ordered import ordered_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from chain.frame.machine import Machine
    from chain.state.base import State

ZERO_ACCOUNT: Final = AccountId(bytes(32))
NORMAL: Final = int(DispatchClass.Normal)
OPERATIONAL: Final = int(DispatchClass.Operational)
MANDATORY: Final = int(DispatchClass.Mandatory)
_U64_MAX: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ValidTransaction:
    """Answer of validation: order and lifetime of a transaction in the pool.

    `requires` and `provides` are tags `account | nonce u32`; `longevity` counts blocks. `cost` is what the payer is
    charged at least while it is in a block, `funds` what the payer has for that now.
    """

    priority: int
    requires: tuple[bytes, ...]
    provides: tuple[bytes, ...]
    longevity: int
    propagate: bool = True
    cost: int = 0
    funds: int = 0


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block and the state after it."""

    header: Header
    body: tuple[Extrinsic, ...]
    state: State


class Executive:
    """Works on one block at a time on one machine."""

    def __init__(self, machine: Machine, system: System, fees: Fees) -> None:
        schema = machine.schema
        self._machine = machine
        self._schema = schema
        self._store = machine.store
        self._decode_call = schema.decode_call
        self.info_of = schema.info_of
        self._system = system
        self._accounts = system.account
        self._fees = fees
        self._version = (schema.version.spec_version, schema.version.transaction_version)
        empty = schema.weights.of("block")
        self._base_block, self._base_extrinsic = empty.base, empty.unit
        limits = schema.params
        total = limits.block_weight_ms * 1_000_000_000
        share = total * 75 // 100
        self._weight_max = (share, total, total * 2)
        length = limits.block_length_max
        self._length_max = (length * 75 // 100, length, length)
        self._number = BlockNumber(0)
        self._weight = [0, 0, 0]
        self._total_weight = 0
        self._length = 0
        self._body: list[Extrinsic] = []
        self.additional_known: dict[int, bytes] = {}
        self._parent: tuple[Header, State] | None = None
        self._settled: State | None = None
        self._seen: Hash32 | None = None
        self._parent_hash_key = system.parent_hash.raw_key(None)
        self._shortcut: Shortcut | None = None
        self._sponsors: dict[CallInfo, Sponsor] = {}
        self._on_initialize = machine.hooks("on_initialize")
        self._on_idle = machine.hooks("on_idle")
        self._on_finalize = machine.hooks("on_finalize")
        self._inherents = machine.hooks("create_inherent")
        self._checks = machine.hooks("check_block")
        self.given_checks = machine.hooks("check_given")
        self._unsigned = {hook.__self__.name: hook for hook in machine.hooks("check_unsigned")}

    def use_shortcut(self, shortcut: Shortcut | None) -> None:
        """Try `shortcut` before the general way."""
        self._shortcut = shortcut

    def use_sponsor(self, info: CallInfo, sponsor: Sponsor) -> None:
        """Let `sponsor` say who pays for transactions that make this call."""
        if info.fixed_weight is not None:
            raise Bug(f"{info!r} has a fixed price, which the pool takes for the signer's")
        self._sponsors[info] = sponsor

    # --------------------------------------------------------------------------------------------- reading

    def load(self, state: State) -> None:
        """Read from `state` from now on; for queries and validation."""
        self._settled = self._seen = None
        self._store.load(state)
        self.additional_known.clear()
        self._parent = None

    def load_for_next(self, state: State, number: int, block_hash: Hash32) -> None:
        """Read from the state after block `number` with the eyes of the block after it.

        Where that is the child of the block looked at before, only what it changed is read anew.
        """
        changes: Mapping[bytes, bytes | None] | None = getattr(state, "changes", None)
        seen = self._seen
        if changes is not None and seen is not None and state.get(self._parent_hash_key) == seen:
            self.additional_known.clear()
            self._store.follow(state, changes)
        else:
            self.load(state)
        self._seen = block_hash
        self._system.block_hash.put(BlockNumber(number), block_hash)

    def enter_next_block(self, block_hash: Hash32) -> BlockNumber:
        """Take the loaded state as that after the block `block_hash`; return the number of the block after it."""
        number = self._system.number.get()
        self._system.block_hash.put(number, block_hash)
        self.additional_known.clear()
        return BlockNumber(number + 1)

    def continues(self, state: State) -> bool:
        """Whether the last block sealed here gave this state, so that the next one starts with warm caches."""
        return state is self._settled

    @property
    def fees(self) -> Fees:
        """What charges fees here."""
        return self._fees

    def decode(self, extrinsic: Extrinsic) -> Call:
        """Return the call of an extrinsic, decoding it once.

        Raises:
            DecodeError: the call is malformed or unknown.
        """
        call: Call | None = extrinsic.call
        if call is None:
            call = extrinsic.call = self._decode_call(extrinsic.call_bytes)
        return call

    def additional(self, extrinsic: Extrinsic, number: int) -> bytes:
        """Return the bytes signer and chain both know, for a transaction in block `number`.

        Raises:
            AncientBirthBlock: the hash of the era's birth block is not stored.
        """
        terms = extrinsic.terms
        known = self.additional_known.get(terms)
        if known is None:
            genesis = self._system.hash_of(0)
            birth = self._system.hash_of(extrinsic.era.birth(number))
            if birth is None or genesis is None:
                raise AncientBirthBlock
            digest = self._schema.metadata_digest if terms & HASHES_METADATA else None
            known = self.additional_known[terms] = additional_signed(*self._version, genesis, birth, digest)
        return known

    # --------------------------------------------------------------------------------------------- transactions

    def check_signature(self, extrinsic: Extrinsic) -> AccountId:
        """Check a signed extrinsic up to its signature, for the open block; return the signer.

        Raises:
            InvalidTransaction: it does not belong into this block.
        """
        return self._check_signature(extrinsic, self._number)

    def _check_signature(self, extrinsic: Extrinsic, number: int) -> AccountId:
        signer = extrinsic.signer
        if signer is None:
            raise UnknownLookup
        if signer == ZERO_ACCOUNT:
            raise BadSigner
        additional = self.additional_known.get(extrinsic.terms)
        if additional is None:
            additional = self.additional(extrinsic, number)
        if extrinsic.verified_for != additional:
            payload = extrinsic.payload(additional)
            if not verify_multi(extrinsic.signature_kind, extrinsic.signature, payload, signer):
                raise BadProof
            extrinsic.verified_for = additional
        return signer

    def _account_of(self, signer: AccountId, nonce: int) -> AccountInfo:
        """Return the account of a signer whose transaction has not been in a block yet."""
        account = self._accounts.get(signer)
        if nonce < account.nonce:
            raise Stale
        return account

    def _check_unsigned(self, call: Call) -> ValidTransaction:
        """Ask the pallet whether its call may come without a signature."""
        if call.info.class_index == MANDATORY:
            raise MandatoryValidation
        check = self._unsigned.get(call.info.pallet_name)
        if check is None:
            raise NoUnsignedValidator
        try:
            valid: ValidTransaction = check(call)
        except EncodeError:  # it asked for something under a key that there cannot be
            raise InvalidTransaction from None
        return valid

    def _sponsored(self, sponsor: Sponsor, signer: AccountId, call: Call, amount: int) -> tuple[AccountId, int]:
        """Return who pays instead of the signer, after making sure that it can, and what it has for that."""
        payer, most = sponsor.payer(signer, call.args, amount)
        purse = self._accounts.get(payer)
        self._fees.check_payable(purse, amount)
        return payer, min(most, self._fees.spendable(purse))

    def _charge(self, signer: AccountId, account: AccountInfo, payer: AccountId, amount: int) -> None:
        """Count the transaction and take fee and tip."""
        account = account.copy()
        account.nonce += 1
        if payer == signer:
            account.free -= amount
        else:
            purse = self._accounts.get(payer).copy()
            purse.free -= amount
            self._accounts.put(payer, purse)
        self._accounts.put(signer, account)
        self._fees.charged(payer, amount)

    def validate(self, extrinsic: Extrinsic, number: int) -> ValidTransaction:
        """Check a transaction for the pool, as if block `number` were being built on the loaded state.

        Raises:
            DecodeError: the call is malformed.
            InvalidTransaction: it can never be, or not now; a nonce above the account's is no error here.
        """
        call = self.decode(extrinsic)
        if not extrinsic.is_signed:
            return self._check_unsigned(call)
        signer = self._check_signature(extrinsic, number)
        account = self._account_of(signer, extrinsic.nonce)
        weight, length = call.weight, len(extrinsic.raw)
        info = call.info
        fee = self._fees.fee(length, weight) if info.charges else 0
        sponsor = self._sponsors.get(info)
        cost = fee + extrinsic.tip
        if sponsor is None:
            self._fees.check_payable(account, cost)
            funds = self._fees.spendable(account)
        else:
            funds = self._sponsored(sponsor, signer, call, cost)[1]
        limit = min(self._weight_max[info.class_index], self._weight_max[OPERATIONAL])
        if weight + self._base_extrinsic > limit or length > self._length_max[info.class_index]:
            raise ExhaustsResources
        nonce = extrinsic.nonce
        requires = () if nonce == account.nonce else (_tag(signer, nonce - 1),)
        return ValidTransaction(
            priority=self._fees.priority(length, weight, info.dispatch_class, extrinsic.tip),
            requires=requires,
            provides=(_tag(signer, nonce),),
            longevity=min(extrinsic.era.death(number) - number, _U64_MAX),
            cost=cost,
            funds=funds,
        )

    def apply(self, extrinsic: Extrinsic) -> None:
        """Apply one transaction; see `apply_all`."""
        self.apply_all(iter((extrinsic,)))

    def apply_all(self, extrinsics: Iterator[Extrinsic]) -> None:
        """Apply transactions to the open block, each before the next one is asked for.

        Raises:
            DecodeError: the call of the one that came last is malformed; it has changed nothing.
            InvalidTransaction: it does not belong into this block; it has changed nothing.
        """
        shortcut = self._shortcut
        while (extrinsic := shortcut(extrinsics, self) if shortcut else next(extrinsics, None)) is not None:
            self._apply_plainly(extrinsic)

    def keys_of(self, extrinsics: Iterable[Extrinsic]) -> Iterator[bytes]:
        """Yield raw keys of accounts that usual transactions will look at; some may come again."""
        if self._shortcut is not None:
            yield from map(self._accounts.raw_key, self._shortcut.accounts(extrinsics, self))

    def _apply_plainly(self, extrinsic: Extrinsic) -> None:
        """Apply a transaction the general way."""
        call: Call = extrinsic.call or self.decode(extrinsic)
        if not extrinsic.is_signed:
            self._apply_unsigned(extrinsic, call)
            return
        signer = self.check_signature(extrinsic)
        nonce = extrinsic.nonce
        info, length, tip, fees = call.info, len(extrinsic.raw), extrinsic.tip, self._fees
        weight = call.weight
        charged = fees.fee(length, weight) + tip if info.charges else tip
        account = self._account_of(signer, nonce)
        if nonce != account.nonce:
            raise Future
        sponsor = self._sponsors.get(info)
        if sponsor is None:
            fees.check_payable(account, charged)
            payer = signer
        else:
            payer = self._sponsored(sponsor, signer, call, charged)[0]
        if not self._has_room(info.class_index, weight, length):
            raise ExhaustsResources
        phase = self._store.phase = b"\x00" + len(self._body).to_bytes(4, "little")
        self._charge(signer, account, payer, charged)
        if sponsor is not None:
            sponsor.charged(call.args, charged)
        used, end, actual = self._dispatch(call, signer, weight, charged, (length, tip))
        actual = fees.settle(payer, charged, actual, tip)
        if sponsor is not None:
            sponsor.settled(call.args, charged, actual)
        store = self._store
        if store.imbalance + fees.pending != 0:
            raise Bug(f"extrinsic {len(self._body)}: balances changed by {store.imbalance + fees.pending}")
        store.events.append(phase + end)
        self.include((extrinsic,), info.class_index, used + self._base_extrinsic, length)

    def _dispatch(
        self, call: Call, signer: AccountId, weight: int, charged: int, size: tuple[int, int]
    ) -> tuple[int, bytes, int]:
        """Make a charged call; return the weight used, the end of the extrinsic's last event, and what it costs.

        `size` is length and tip of the transaction.
        """
        info, used, actual, charges = call.info, weight, charged, call.info.charges
        end = b"\x00\x00"
        try:
            post = self._machine.dispatch(call, Signed(signer))
        except DispatchError as error:
            post, end = None, b"\x00\x01" + error.scale
        if post is not None:
            used = weight if post.weight is None else min(post.weight, weight)
            charges = charges if post.pays is None else post.pays is Pays.Yes
            actual = self._fees.fee(size[0], used) + size[1] if charges else size[1]
        tail = info.tail(used, charges=charges)
        return used, end + tail, actual

    def room(self, class_index: int) -> tuple[int, int]:
        """Return the weight and the length that transactions of a class may still have together."""
        weight = min(
            self._weight_max[class_index] - self._weight[class_index],
            self._weight_max[OPERATIONAL] - self._total_weight,
        )
        return weight, self._length_max[class_index] - self._length

    def include(self, extrinsics: Sequence[Extrinsic], class_index: int, weight: int, length: int) -> None:
        """Add what was applied: transactions of one class, their weight in the block and length together."""
        self._weight[class_index] += weight
        self._total_weight += weight
        self._length += length
        self._body += extrinsics

    def _apply_unsigned(self, extrinsic: Extrinsic, call: Call) -> None:
        """Apply a call its pallet lets in without a signature: no nonce, no fee."""
        self._check_unsigned(call)
        info, store, length, weight = call.info, self._store, len(extrinsic.raw), call.weight
        if not self._has_room(info.class_index, weight, length):
            raise ExhaustsResources
        phase = store.phase = b"\x00" + len(self._body).to_bytes(4, "little")
        end = b"\x00\x00"
        try:
            self._machine.dispatch(call, NONE)
        except DispatchError as error:
            end = b"\x00\x01" + error.scale
        store.events.append(phase + end + info.tail(weight, charges=False))
        self.include((extrinsic,), info.class_index, weight + self._base_extrinsic, length)

    def _has_room(self, class_index: int, weight: int, length: int) -> bool:
        weight_left, length_left = self.room(class_index)
        return weight + self._base_extrinsic <= weight_left and length <= length_left

    # --------------------------------------------------------------------------------------------- blocks

    def open_block(self, parent_state: State, parent_header: Header, digest: Digest) -> None:
        """Start a block on `parent_state`: hooks, then inherents.

        Args:
            parent_state: the state after the parent block.
            parent_header: its header.
            digest: the leading items of the new block.
        """
        self._seen = None
        if parent_state is self._settled:
            self._settled = None
            self.additional_known.clear()
        else:
            self.load(parent_state)
        self._parent = (parent_header, parent_state)
        number = BlockNumber(parent_header.number + 1)
        self._number = number
        self._weight = [0, 0, self._base_block]
        self._total_weight = self._base_block
        self._length = 0
        self._body = []
        self._fees.open_block()
        self._system.initialize(number, parent_header.hash, digest)
        self._use(sum([hook(number) for hook in self._on_initialize]))
        for create in self._inherents:
            call = create(digest)
            if call is not None:
                self._apply_inherent(call)

    def _use(self, weight: int) -> None:
        """Count weight that hooks used."""
        self._weight[MANDATORY] += weight
        self._total_weight += weight

    def _apply_inherent(self, call: Call) -> None:
        extrinsic = bare_extrinsic(call.encode())
        extrinsic.call = call
        store = self._store
        store.phase = b"\x00" + len(self._body).to_bytes(4, "little")
        try:
            post: PostInfo | None = self._machine.dispatch(call, NONE)
        except DispatchError as error:
            raise BadMandatory(f"{call!r}: {error!r}") from error
        weight = call.weight
        used = weight if post is None or post.weight is None else min(post.weight, weight)
        info = call.info
        store.events.append(store.phase + b"\x00\x00" + info.tail(used, charges=info.charges))
        self.include((extrinsic,), info.class_index, used + self._base_extrinsic, len(extrinsic.raw))

    @property
    def extrinsics(self) -> Sequence[Extrinsic]:
        """What the open block contains so far."""
        return self._body

    @property
    def number(self) -> BlockNumber:
        """Height of the open block."""
        return self._number

    def seal(self, extrinsics_root: Hash32 | None = None) -> ExecutedBlock:
        """Close the block: idle work, final hooks, checks, the new state and its header.

        `extrinsics_root` is the root of the extrinsics in it, where that is known.
        """
        if self._parent is None:
            raise Bug("no block is open")
        parent_header, parent_state = self._parent
        number, store = self._number, self._store
        store.phase = b"\x01"
        for hook in self._on_idle:
            left = self._weight_max[OPERATIONAL] - self._total_weight
            if left > 0:
                self._use(hook(number, left))
        self._fees.note_usage(self._weight[NORMAL])
        for hook in self._on_finalize:
            hook(number)
        if store.imbalance != 0 or self._fees.pending != 0:
            raise Bug(f"block {number}: imbalance {store.imbalance}, fees left {self._fees.pending}")
        for check in self._checks:
            check(number)
        digest = self._system.finish(PerClassWeight(*[Weight(used, 0) for used in self._weight]))
        state = parent_state.child(store.changes())
        if extrinsics_root is None:
            extrinsics_root = ordered_root([xt.raw for xt in self._body])
        header = Header(parent_header.hash, number, state.root, extrinsics_root, digest)
        self._parent = None
        self._settled = state
        store.settle(state)
        return ExecutedBlock(header, tuple(self._body), state)


def _tag(who: AccountId, nonce: int) -> bytes:
    return who + nonce.to_bytes(4, "little")
