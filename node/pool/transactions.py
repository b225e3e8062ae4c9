"""The pool as the chain sees it: what is examined and taken in, what blocks do to it, who is told.

Rules
- Upon bytes: known ones are refused (1013, 1012), the rest is parsed, checked against the rules of the next block,
  and only then worth a signature check (done by `node.pool.pool`).
- A sender has to be able to pay the fees and tips of all that waits of it; what calls move counts once it happened.
- Upon a new head: what its blocks include leaves; what left the chain comes back; senders the blocks touched are
  rebased at once and their first waiting transaction is checked again, a few at a time (`work`), never all of them.
  Unsigned ones have no sender to be touched: of them, which are bounded by themselves, a few are checked again in
  turn; what is not valid leaves, then or when a builder comes to it.
- Upon finality: watchers are told, the rest about these blocks is forgotten.
- Upon a verdict of the block builder (`reject`): what is wrong for good leaves and is banned for a while.

A transaction keeps the decoded form and the mark of its signature check from first sight to finality, so importing a
block checks nothing twice. Everything is synchronous and bounded by `Limits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from aitoken.types import Nonce
from chain.frame.errors import BadProof, CannotPay, InvalidTransaction
from node.pool.errors import (
    PASSING,
    AlreadyImported,
    ImmediatelyDropped,
    Invalid,
    PoolRejected,
    TemporarilyBanned,
    refusal,
)
from node.pool.status import Stage, Status, Watcher
from node.pool.waiting import READY, Waiting

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from aitoken.types import AccountId, Hash32
    from node.pool.limits import Limits
    from node.pool.pooled import Pooled
    from node.pool.ports import TransactionRuntime
    from node.pool.walk import Walk
    from node.ports import Block, ChainView, Clock

UNSIGNED_A_BLOCK: Final = 128
"""Unsigned transactions checked again after a block, some 100 us each."""
NOT_BANNED: Final = (*PASSING, CannotPay)
"""Kinds after which the same bytes may be good a moment later, and that are cheap to see."""


class TransactionPool:
    """Waiting transactions, kept in step with the chain. Implements `node.ports.ChainListener`."""

    def __init__(self, runtime: TransactionRuntime, chain: ChainView, clock: Clock, limits: Limits) -> None:
        """Start empty at the chain's head; subscribe it to the chain, after those who serve blocks to watchers."""
        self._runtime = runtime
        self._clock = clock
        self.limits = limits
        self._waiting = Waiting(limits, self._on_change)
        self._best = chain.best
        self._blocks: dict[Hash32, Block] = {block.hash: block for block in (*chain.unfinalized(), chain.best)}
        self._included: dict[Hash32, Extrinsic] = {}
        """In a block of the best chain that is not final yet."""
        self._returning: dict[Hash32, Extrinsic] = {}
        self._suspects: dict[bytes, None] = {}
        self._unsigned: dict[bytes, int] = {}
        """What stands for the senders of unsigned ones that wait, with their priority; longest unchecked first."""
        self._unsigned_counts: Counter[int] = Counter()
        """Those of one priority: of one kind, since nobody chooses it."""
        self._banned: dict[Hash32, tuple[int, PoolRejected]] = {}
        self._watchers: dict[Hash32, list[Watcher]] = {}
        self._on_ready: list[Callable[[Sequence[Pooled]], None]] = []
        self._became_ready: list[Pooled] = []

    # Looking

    def lookup(self, tx_hash: Hash32) -> Extrinsic | None:
        """A transaction that waits or is in a block not yet final; its signature has been checked."""
        by_hash = self._waiting.by_hash
        if tx_hash in by_hash:
            return by_hash[tx_hash].xt
        if tx_hash in self._included:
            return self._included[tx_hash]
        return self._returning.get(tx_hash) if self._returning else None

    def hashes(self) -> Iterator[Hash32]:
        """Hashes of everything `lookup` finds, for short ids of compact blocks."""
        yield from self._waiting.by_hash
        yield from self._included
        yield from self._returning

    def ready(self) -> list[bytes]:
        """What could be in the next block as submitted, best first."""
        return [xt.raw for xt in self._waiting.walk()]

    def iter_ready(self) -> Walk:
        """For the block builder: best first, nonces in order; call its `skip()` after one that was not built."""
        return self._waiting.walk()

    def next_nonce(self, account: AccountId, on_chain: Nonce) -> Nonce:
        """The nonce a wallet should use next: `on_chain` plus the run of waiting ones that starts there."""
        return Nonce(self._waiting.next_nonce(account, on_chain))

    @property
    def ready_count(self) -> int:
        """How many transactions could be in the next block."""
        return self._waiting.ready_count

    @property
    def future_count(self) -> int:
        """How many wait for an earlier nonce."""
        return self._waiting.future_count

    @property
    def byte_count(self) -> int:
        """Bytes of all that wait."""
        return self._waiting.bytes

    # Coming in

    def refuse_known(self, tx_hash: Hash32) -> None:
        """Raise at once for bytes that need no look.

        Raises:
            AlreadyImported: they wait already.
            PoolRejected: they were found bad a short while ago.
        """
        if tx_hash in self._waiting.by_hash or tx_hash in self._returning:
            raise AlreadyImported(tx_hash)
        if tx_hash in self._banned:
            until, error = self._banned[tx_hash]
            if self._clock.now_ms() < until:
                raise error.with_traceback(None)
            del self._banned[tx_hash]

    def examine(self, xt: Extrinsic) -> Pooled:
        """Check everything but the signature, pool room included.

        Raises:
            PoolRejected: why it is not wanted.
        """
        best = self._best
        tx = self._runtime.check(best, xt)
        tx.at = best.hash
        if xt.signer is None and tx.sender not in self._unsigned and self._has_enough_of(tx.priority):
            raise ImmediatelyDropped
        self._waiting.check(tx)
        return tx

    def settle(self, tx: Pooled, watcher: Watcher | None = None) -> None:
        """Take in one that was examined a while ago and whose signature is good; see `take_in`.

        Raises:
            PoolRejected: things changed since it was examined, or it meets another of its place.
        """
        if tx.at != self._best.hash:
            tx = self.examine(tx.xt)
            if tx.needs_signature:
                raise Invalid(BadProof())  # it signed a block that has left the chain
        else:  # others may have come in
            tx.is_next = False
            if tx.cost:
                self._waiting.check_funds(tx.sender, tx.nonce, tx.cost, tx.funds)
        self.take_in(tx, watcher)

    def take_in(self, tx: Pooled, watcher: Watcher | None = None) -> None:
        """Take in one whose signature is good, with nothing having happened since it was examined.

        `watcher` is told of everything from the first status on, which comes before this returns.

        Raises:
            PoolRejected: there is no room for it after all.
        """
        if watcher is not None:
            self.watch(tx.hash, watcher)
        try:
            self._waiting.insert(tx, tx.base)
        except PoolRejected:
            if watcher is not None:
                self.unwatch(tx.hash, watcher)
            raise
        if tx.xt.signer is None:
            self._forget_unsigned(tx.sender)
            self._unsigned[tx.sender] = tx.priority
            self._unsigned_counts[tx.priority] += 1

    def _has_enough_of(self, priority: int) -> bool:
        """Whether as many unsigned ones of this priority wait as may."""
        return self._unsigned_counts[priority] >= self.limits.unsigned_per_priority

    def _forget_unsigned(self, sender: bytes) -> None:
        priority = self._unsigned.pop(sender, None)
        if priority is not None:
            self._unsigned_counts[priority] -= 1
            if not self._unsigned_counts[priority]:
                del self._unsigned_counts[priority]

    def ban(self, tx_hash: Hash32, error: PoolRejected) -> None:
        """Answer `error` to the same bytes for a while."""
        self._banned.pop(tx_hash, None)
        self._banned[tx_hash] = (self._clock.now_ms() + self.limits.ban_ms, error)
        if len(self._banned) > self.limits.bans:
            del self._banned[next(iter(self._banned))]

    # Watching

    def watch(self, tx_hash: Hash32, watcher: Watcher) -> None:
        """Tell `watcher` what happens to a transaction from now on, until a status that ends it."""
        self._watchers.setdefault(tx_hash, []).append(watcher)

    def unwatch(self, tx_hash: Hash32, watcher: Watcher) -> None:
        """Stop telling; the transaction itself stays."""
        watchers = self._watchers.get(tx_hash)
        if watchers is not None and watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self._watchers[tx_hash]

    def on_ready(self, call: Callable[[Sequence[Pooled]], None]) -> None:
        """Call with those that became ready, after each piece of work: gossip announces them, the proposer wakes up."""
        self._on_ready.append(call)

    def tell_ready(self) -> None:
        """Call those who are told of what became ready."""
        if self._became_ready:
            some, self._became_ready = self._became_ready, []
            for call in self._on_ready:
                call(some)

    def note_broadcast(self, tx_hash: Hash32, peers: Iterable[str]) -> None:
        """Peers were sent this transaction."""
        if tx_hash in self._watchers:
            self._tell(tx_hash, Status(Stage.BROADCAST, peers=tuple(peers)))

    def _tell(self, tx_hash: Hash32, status: Status) -> None:
        watchers = self._watchers.get(tx_hash)
        if watchers is None:
            return
        if status.ends:
            del self._watchers[tx_hash]
        for watcher in tuple(watchers):
            watcher(status)

    def _on_change(self, tx: Pooled, status: Status) -> None:
        if tx.xt.signer is None and status.ends:
            self._forget_unsigned(tx.sender)
        if self._watchers:
            self._tell(tx.hash, status)
        if status is READY:
            self._became_ready.append(tx)

    # Verdicts of the builder, and of an operator

    def reject(self, tx_hash: Hash32, cause: InvalidTransaction, parent: Hash32 | None = None) -> None:
        """Take note that the builder could not apply a transaction on top of block `parent`, by default the head.

        What the state of another block says is ignored. Call the walk's `skip()` too.
        """
        pooled = self._waiting.by_hash.get(tx_hash)
        if pooled is None or parent not in {None, self._best.hash}:
            return
        if isinstance(cause, PASSING):
            self._suspects[pooled.sender] = None
            return
        if not isinstance(cause, NOT_BANNED):
            self.ban(tx_hash, TemporarilyBanned())
        self._waiting.discard(tx_hash, refusal(cause), with_later=isinstance(cause, CannotPay))

    def remove(self, tx_hash: Hash32) -> bool:
        """Forget a waiting transaction; whether it was there."""
        known = tx_hash in self._waiting.by_hash
        self._waiting.discard(tx_hash, TemporarilyBanned(), with_later=False)
        return known

    # The chain

    def on_block(self, block: Block) -> None:
        """Remember a block until it is final or pruned."""
        self._blocks[block.hash] = block

    def on_best(self, block: Block) -> None:
        """Follow the head."""
        old, self._best = self._best, block
        self._blocks.setdefault(block.hash, block)
        retracted, enacted = self._route(old, block)
        touched: dict[bytes, None] = {}
        news: list[tuple[Hash32, Status]] = []
        for gone in retracted:
            self._retract(gone, touched, news)
        for new in enacted:
            self._enact(new, touched, news)
        for tx_hash, status in news:
            self._tell(tx_hash, status)
        lanes = self._waiting.lanes
        for sender in touched:
            if sender in lanes:
                self._waiting.rebase(sender, self._runtime.nonce(block, sender))
                self._suspects[sender] = None
        for sender in tuple(islice(self._unsigned, UNSIGNED_A_BLOCK)):
            self._unsigned[sender] = self._unsigned.pop(sender)
            self._suspects[sender] = None
        self._waiting.expire(block.number + 1)
        self.tell_ready()

    def _route(self, old: Block, new: Block) -> tuple[list[Block], list[Block]]:
        """Blocks that left the best chain, latest first, and blocks that joined it, earliest first."""
        retracted: list[Block] = []
        enacted: list[Block] = []
        a: Block | None = old
        b: Block | None = new
        while b is not None and a is not None and a.hash != b.hash:
            if a.number >= b.number:
                retracted.append(a)
                a = self._blocks.get(a.header.parent_hash)
            else:
                enacted.append(b)
                b = self._blocks.get(b.header.parent_hash)
        enacted.reverse()
        return (retracted if a is not None else [], enacted)

    def _retract(self, block: Block, touched: dict[bytes, None], news: list[tuple[Hash32, Status]]) -> None:
        status = Status(Stage.RETRACTED, hash=block.hash)
        for xt in block.body:
            known = self._included.pop(xt.hash, None) is not None
            if xt.signer is None and not known:
                continue  # inherents belong to their block
            if xt.signer is not None:
                touched[xt.signer] = None
            self._returning[xt.hash] = xt
            news.append((xt.hash, status))

    def _enact(self, block: Block, touched: dict[bytes, None], news: list[tuple[Hash32, Status]]) -> None:
        by_hash, take, returning = self._waiting.by_hash, self._waiting.take, self._returning
        if not by_hash and not returning:
            return  # nothing of it was here
        included, watchers = self._included, self._watchers
        for index, xt in enumerate(block.body):
            tx_hash = xt.hash
            if xt.signer is not None:
                touched[xt.signer] = None
            if tx_hash in by_hash:
                pooled = by_hash[tx_hash]
                take(pooled)
                if xt.signer is None:
                    self._forget_unsigned(pooled.sender)
            elif tx_hash not in returning:
                continue
            if returning:
                returning.pop(tx_hash, None)
            included[tx_hash] = xt
            if tx_hash in watchers:
                news.append((tx_hash, Status(Stage.IN_BLOCK, hash=block.hash, index=index)))

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Tell watchers of finality and forget these blocks."""
        forget, watchers = self._included.pop, self._watchers
        for block in blocks if self._included else ():
            for index, xt in enumerate(block.body):
                tx_hash = xt.hash
                if forget(tx_hash, None) is not None and tx_hash in watchers:
                    self._tell(tx_hash, Status(Stage.FINALIZED, hash=block.hash, index=index))
        for block_hash in pruned:
            self._blocks.pop(block_hash, None)
        if blocks:
            height = blocks[-1].number
            self._blocks = {h: block for h, block in self._blocks.items() if block.number >= height}

    # Work left over from blocks, in slices

    @property
    def has_work(self) -> bool:
        """Whether `work` has something to do."""
        return bool(self._returning or self._suspects)

    def work(self, count: int) -> None:
        """Do up to `count` of the checks a block made necessary: returning transactions, then touched senders."""
        while self._returning and count > 0:
            self._take_back(next(iter(self._returning)))
            count -= 1
        while self._suspects and count > 0:
            for sender in tuple(islice(self._suspects, count)):
                del self._suspects[sender]
                self._recheck(sender)
                count -= 1
        self.tell_ready()

    def _take_back(self, tx_hash: Hash32) -> None:
        xt = self._returning.pop(tx_hash)
        try:
            tx = self.examine(xt)
            if tx.needs_signature:
                # It signed a birth block that left the chain with it.
                raise Invalid(BadProof())
            self.take_in(tx)
        except PoolRejected as error:
            self._tell(tx_hash, Status(Stage.INVALID, error=error))

    def _recheck(self, sender: bytes) -> None:
        head = self._waiting.head(sender)
        if head is None:
            self._forget_unsigned(sender)
            return
        try:
            seen = self._runtime.check(self._best, head.xt)
            if seen.cost and head.lane.cost > seen.funds:
                self._waiting.trim(sender, seen.funds)
        except Invalid as error:
            if isinstance(error.cause, PASSING) and head.xt.signer is not None:
                self._waiting.rebase(sender, self._runtime.nonce(self._best, sender))
                return
            self._waiting.discard(head.hash, error, with_later=isinstance(error.cause, CannotPay))
            self._suspects[sender] = None
        except PoolRejected as error:
            self._waiting.discard(head.hash, error, with_later=False)
