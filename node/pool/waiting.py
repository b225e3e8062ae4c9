"""The transactions that wait and their order: nonces per sender, priority between senders, bounds on everything.

Rules
- A sender's transactions from its on-chain nonce on without a gap are *ready*; those after a gap are *future*.
- Upon a transaction whose (sender, nonce) is taken: it replaces the old one if its priority is higher by the bump.
- Upon lack of room: future ones go first, then ready ones by their *rank*: the lowest priority on the way to them
  (a sender's later transaction is worth no more than the earlier ones it waits for), then the longest way, then the
  youngest. What ranks no higher than the victim is refused. So many transactions of one sender never keep out the
  first of another that pays the same.
- What a sender's transactions are charged together, it must have; upon less, its last ones go.
- Upon a block: `take` what it included, then `rebase` every sender it touched.
- Only the last ready transaction of a sender is ever evicted, so no eviction opens a gap.

Pure: no input or output, no clock; the runtime's verdicts come in as numbers. Every transaction that comes in leaves
with exactly one event that ends it, or through `take`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from chain.frame.errors import AncientBirthBlock, CannotPay, Stale
from node.pool.errors import AlreadyImported, ImmediatelyDropped, Invalid, PoolRejected, PriorityTooLow
from node.pool.lazyheap import LazyHeap
from node.pool.status import Stage, Status

if TYPE_CHECKING:
    from aitoken.proto.extrinsic import Extrinsic
    from aitoken.types import Hash32
    from node.pool.limits import Limits

FUTURE = Status(Stage.FUTURE)
READY = Status(Stage.READY)
DROPPED = Status(Stage.DROPPED)
IMMORTAL = 2**63
CROWDED = 0.5
"""How full the pool is when its worst transactions begin to be looked for."""


class Pooled:
    """One transaction in the pool."""

    __slots__ = (
        "cost", "death", "floor", "hash", "nonce", "priority", "propagate", "ready", "sender", "size", "turn", "xt",
    )  # fmt: skip

    def __init__(
        self,
        xt: Extrinsic,
        sender: bytes,
        nonce: int,
        priority: int,
        death: int,
        *,
        propagate: bool = True,
        cost: int = 0,
    ) -> None:
        """Describe a validated transaction.

        Args:
            xt: the transaction.
            sender: whose nonces order it; for unsigned ones a name of what it provides.
            nonce: its place in that order.
            priority: the runtime's; higher is built first.
            death: first block number it can no longer be in; `IMMORTAL` for never.
            propagate: whether peers are told.
            cost: what is charged for it, whatever becomes of its call.
        """
        self.xt = xt
        self.hash: Hash32 = xt.hash
        self.sender = sender
        self.nonce = nonce
        self.priority = priority
        self.floor = priority
        self.death = death
        self.size = len(xt.raw)
        self.turn = 0
        self.ready = False
        self.propagate = propagate
        self.cost = cost


class _Lane:
    """The transactions of one sender: ready ones are base <= nonce < end; `cost` is what all are charged."""

    __slots__ = ("base", "by_nonce", "cost", "end")

    def __init__(self, base: int) -> None:
        self.base = base
        self.cost = 0
        self.end = base
        self.by_nonce: dict[int, Pooled] = {}


Emit = Callable[[Pooled, Status], None]
_Head = tuple[int, int, Pooled]
_Rank = tuple[int, int, int, Pooled]


class Waiting:
    """All waiting transactions. See the module for the rules."""

    def __init__(self, limits: Limits, emit: Emit) -> None:
        """`emit(transaction, status)` is told of every change but `take`, after it was made."""
        self._limits = limits
        self._emit = emit
        self._turn = 0
        self.by_hash: dict[Hash32, Pooled] = {}
        self._lanes: dict[bytes, _Lane] = {}
        self.bytes = 0
        self.future_count = 0
        self.future_bytes = 0
        self._heads: LazyHeap[_Head] = LazyHeap(self.is_head)
        self._worst: LazyHeap[_Rank] = LazyHeap(self._is_worst)
        self._ranking = False
        """Whether `_worst` is kept: only while the pool is crowded, because nothing is evicted before."""
        self._far: LazyHeap[_Rank] = LazyHeap(self._is_far)
        self._first_death = IMMORTAL
        """No transaction dies before this block number; a lower bound, so that most blocks need no look at all."""

    # What is alive in the heaps

    def is_head(self, entry: _Head) -> bool:
        """Whether an entry's transaction is the first of its sender to be built."""
        tx = entry[2]
        return tx.ready and self.by_hash.get(tx.hash) is tx and self._lanes[tx.sender].base == tx.nonce

    def _is_worst(self, entry: _Rank) -> bool:
        floor, depth, _, tx = entry
        if not tx.ready or floor != tx.floor or self.by_hash.get(tx.hash) is not tx:
            return False
        return depth == self._lanes[tx.sender].base - tx.nonce

    def _is_far(self, entry: _Rank) -> bool:
        tx = entry[3]
        return not tx.ready and self.by_hash.get(tx.hash) is tx

    # Looking

    @property
    def ready_count(self) -> int:
        """How many could be built on now."""
        return len(self.by_hash) - self.future_count

    def has_sender(self, sender: bytes) -> bool:
        """Whether anything of this sender waits."""
        return sender in self._lanes

    def head(self, sender: bytes) -> Pooled | None:
        """The first ready transaction of a sender."""
        lane = self._lanes.get(sender)
        return lane.by_nonce.get(lane.base) if lane is not None else None

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The first nonce from `nonce` on that no waiting transaction of the sender has."""
        lane = self._lanes.get(sender)
        if lane is None:
            return nonce
        if lane.base <= nonce < lane.end:
            nonce = lane.end
        while nonce in lane.by_nonce:
            nonce += 1
        return nonce

    def walk(self) -> Walk:
        """Start to go through the ready ones, best first."""
        return Walk(self, self._heads.copy())

    def is_ready(self, tx: Pooled) -> bool:
        """Whether exactly this one waits and could be built after its sender's earlier ones."""
        return tx.ready and self.by_hash.get(tx.hash) is tx

    def following(self, tx: Pooled) -> Pooled | None:
        """The sender's next ready transaction."""
        lane = self._lanes.get(tx.sender)
        after = lane.by_nonce.get(tx.nonce + 1) if lane is not None else None
        return after if after is not None and after.ready else None

    # Coming in

    def check_room(self, sender: bytes, nonce: int, base: int, priority: int, size: int) -> None:
        """Raise what `insert` would raise, without changing anything and (but for exotic cases) as surely.

        Raises:
            PriorityTooLow: the place is taken by one that pays as much.
            ImmediatelyDropped: there is no room for one like this.
        """
        lane = self._lanes.get(sender)
        if lane is None and nonce == base and self._fits(size):
            return
        old = lane.by_nonce.get(nonce) if lane is not None else None
        if old is not None:
            if priority < self._replacement_price(old):
                raise PriorityTooLow(old.priority, priority)
            growth = size - old.size
            if self.bytes + growth > self._limits.bytes:
                raise ImmediatelyDropped
            if not old.ready and self.future_bytes + growth > self._limits.future_bytes:
                raise ImmediatelyDropped
            return
        if lane is not None and len(lane.by_nonce) >= self._limits.per_sender and nonce > max(lane.by_nonce):
            raise ImmediatelyDropped
        ready = nonce == (lane.end if lane is not None and lane.base == base else base)
        if ready and self._fits(size):
            return
        if ready:
            if not self.future_count and not self._outranks(sender, nonce, priority):
                raise ImmediatelyDropped
        elif nonce - base > self._limits.per_sender or size > self._limits.future_bytes:
            raise ImmediatelyDropped

    def check_funds(self, sender: bytes, nonce: int, cost: int, funds: int) -> None:
        """Make sure that a sender can pay for one more as well, or for it in the place of another.

        Raises:
            Invalid: it cannot.
        """
        lane = self._lanes.get(sender)
        if lane is None:
            return
        old = lane.by_nonce.get(nonce)
        if lane.cost + cost - (0 if old is None else old.cost) > funds:
            raise Invalid(CannotPay())

    def trim(self, sender: bytes, funds: int) -> None:
        """Drop a sender's last ones until it can pay for what is left; the first is judged by the rules."""
        lane = self._lanes.get(sender)
        while lane is not None and lane.cost > funds and len(lane.by_nonce) > 1:
            last = lane.by_nonce[max(lane.by_nonce)]
            self._remove(last)
            self._emit(last, Status(Stage.INVALID, error=Invalid(CannotPay())))
            lane = self._lanes.get(sender)

    def insert(self, tx: Pooled, base: int) -> None:
        """Take in a validated transaction; `base` is its sender's on-chain nonce.

        Raises:
            AlreadyImported: the same bytes wait.
            Invalid: its nonce has passed.
            PriorityTooLow: its place is taken by one that pays as much.
            ImmediatelyDropped: no room for it.
        """
        if tx.hash in self.by_hash:
            raise AlreadyImported(tx.hash)
        if tx.nonce < base:
            raise Invalid(Stale())
        lane = self._lanes.get(tx.sender)
        if self._append(lane, tx, base):
            return
        if lane is not None and lane.base != base:
            self.rebase(tx.sender, base)
            lane = self._lanes.get(tx.sender)
        self.check_room(tx.sender, tx.nonce, base, tx.priority, tx.size)
        self._watch_crowding()
        self._turn += 1
        tx.turn = self._turn
        old = lane.by_nonce.get(tx.nonce) if lane is not None else None
        if old is not None:
            self._replace(old, tx)
            return
        ready = tx.nonce == (lane.end if lane is not None else base)
        if lane is not None and len(lane.by_nonce) >= self._limits.per_sender:
            self._drop(lane.by_nonce[max(lane.by_nonce)])
        self._make_room(tx, ready=ready)
        lane = self._lanes.get(tx.sender)  # making room may have emptied it
        if lane is None:
            lane = self._lanes[tx.sender] = _Lane(base)
        lane.by_nonce[tx.nonce] = tx
        lane.cost += tx.cost
        self.by_hash[tx.hash] = tx
        self.bytes += tx.size
        self.future_count += 1
        self.future_bytes += tx.size
        self._first_death = min(self._first_death, tx.death)
        if ready:
            self._promote(lane)
        else:
            self._far.push(self._far_rank(lane, tx))
            self._emit(tx, FUTURE)

    def _append(self, lane: _Lane | None, tx: Pooled, base: int) -> bool:
        """Do all of `insert` for the next transaction of a sender in a pool with room; else do nothing, return False.

        The usual case in a straight line; `tests/unit/pool` inserts everything both ways and compares.
        """
        limits, by_hash, nonce = self._limits, self.by_hash, tx.nonce
        if self._ranking or 2 * (len(by_hash) + 1) > limits.count or 2 * (self.bytes + tx.size) > limits.bytes:
            return False
        if lane is None:
            if nonce != base:
                return False
            lane = self._lanes[tx.sender] = _Lane(base)
        else:
            depth = nonce - base
            if lane.base != base or nonce != lane.end or depth >= limits.per_sender or len(lane.by_nonce) != depth:
                return False
            if depth:
                tx.floor = min(lane.by_nonce[nonce - 1].floor, tx.priority)
        self._turn += 1
        tx.turn = self._turn
        lane.by_nonce[nonce] = tx
        lane.cost += tx.cost
        lane.end = nonce + 1
        by_hash[tx.hash] = tx
        self.bytes += tx.size
        if tx.death < self._first_death:
            self._first_death = tx.death
        tx.ready = True
        if nonce == base:
            self._heads.push((-tx.priority, tx.turn, tx))
        self._emit(tx, READY)
        return True

    def _replacement_price(self, old: Pooled) -> int:
        return old.priority + max(1, old.priority * self._limits.bump_percent // 100)

    def _replace(self, old: Pooled, new: Pooled) -> None:
        lane = self._lanes[old.sender]
        lane.by_nonce[new.nonce] = new
        lane.cost += new.cost - old.cost
        del self.by_hash[old.hash]
        self.by_hash[new.hash] = new
        self.bytes += new.size - old.size
        new.ready = old.ready
        self._first_death = min(self._first_death, new.death)
        if new.ready:
            self._refloor(lane, new.nonce)
            if lane.base == new.nonce:
                self._heads.push((-new.priority, new.turn, new))
        else:
            self.future_bytes += new.size - old.size
            self._far.push(self._far_rank(lane, new))
        self._emit(old, Status(Stage.USURPED, hash=new.hash))
        self._emit(new, READY if new.ready else FUTURE)

    # Room

    def _fits(self, size: int) -> bool:
        return len(self.by_hash) < self._limits.count and self.bytes + size <= self._limits.bytes

    def _future_fits(self, size: int) -> bool:
        limits = self._limits
        return self.future_count < limits.future_count and self.future_bytes + size <= limits.future_bytes

    def _watch_crowding(self) -> None:
        """Rank the ready ones once the pool is more than half full, until it is down to a quarter."""
        limits = self._limits
        fill = max(len(self.by_hash) / limits.count, self.bytes / limits.bytes)
        if not self._ranking and fill > CROWDED:
            self._ranking = True
            for lane in self._lanes.values():
                self._refloor(lane, lane.base)
        elif self._ranking and fill < CROWDED / 2:
            self._ranking = False
            self._worst = LazyHeap(self._is_worst)

    @staticmethod
    def _far_rank(lane: _Lane, tx: Pooled) -> _Rank:
        return (tx.priority, lane.base - tx.nonce, -tx.turn, tx)

    def _rank_of(self, sender: bytes, nonce: int, priority: int) -> tuple[int, int]:
        """The rank a ready transaction would have: (floor, minus its distance from the head)."""
        lane = self._lanes.get(sender)
        if lane is None:
            return (priority, 0)
        before = lane.by_nonce.get(nonce - 1)
        floor = min(priority, before.floor) if before is not None and before.ready else priority
        return (floor, lane.base - nonce)

    def _outranks(self, sender: bytes, nonce: int, priority: int) -> bool:
        worst = self._worst.peek()
        return worst is not None and self._rank_of(sender, nonce, priority) > worst[:2]

    def _make_room(self, tx: Pooled, *, ready: bool) -> None:
        """Evict until `tx` fits.

        Raises:
            ImmediatelyDropped: only what ranks at least as high could go; some of lower rank may be gone already.
        """
        if not ready:
            while not (self._future_fits(tx.size) and self._fits(tx.size)):
                far = self._far.peek()
                lane = self._lanes.get(tx.sender)
                if far is None or far[:2] >= (tx.priority, (lane.base if lane is not None else 0) - tx.nonce):
                    raise ImmediatelyDropped
                self._drop(far[3])
            return
        while not self._fits(tx.size):
            far = self._far.peek()
            if far is not None:
                self._drop(far[3])
            elif self._outranks(tx.sender, tx.nonce, tx.priority):
                self._evict_worst()
            else:
                raise ImmediatelyDropped

    def _evict_worst(self) -> None:
        worst = self._worst.peek()
        if worst is not None:
            lane = self._lanes[worst[3].sender]
            self._drop(lane.by_nonce[lane.end - 1])

    def _drop(self, tx: Pooled) -> None:
        self._remove(tx)
        self._emit(tx, DROPPED)

    # Order within a lane

    def _promote(self, lane: _Lane) -> None:
        """Make ready what follows without a gap."""
        floor = lane.by_nonce[lane.end - 1].floor if lane.end > lane.base else None
        while (tx := lane.by_nonce.get(lane.end)) is not None:
            floor = tx.floor = tx.priority if floor is None else min(floor, tx.priority)
            tx.ready = True
            self.future_count -= 1
            self.future_bytes -= tx.size
            if self._ranking:
                self._worst.push((floor, lane.base - tx.nonce, -tx.turn, tx))
            if tx.nonce == lane.base:
                self._heads.push((-tx.priority, tx.turn, tx))
            lane.end += 1
            self._emit(tx, READY)

    def _refloor(self, lane: _Lane, start: int) -> None:
        """Work out the floors anew from nonce `start` on."""
        floor = lane.by_nonce[start - 1].floor if start > lane.base else None
        for nonce in range(start, lane.end):
            tx = lane.by_nonce[nonce]
            floor = tx.priority if floor is None else min(floor, tx.priority)
            tx.floor = floor
            if self._ranking:
                self._worst.push((floor, lane.base - nonce, -tx.turn, tx))

    def _unready(self, lane: _Lane, tx: Pooled) -> None:
        tx.ready = False
        self.future_count += 1
        self.future_bytes += tx.size
        self._far.push(self._far_rank(lane, tx))

    # Going out

    def _forget(self, lane: _Lane, tx: Pooled) -> None:
        """Strike `tx` from the books; the caller sees to the rest of the lane."""
        del lane.by_nonce[tx.nonce]
        lane.cost -= tx.cost
        del self.by_hash[tx.hash]
        self.bytes -= tx.size
        if not tx.ready:
            self.future_count -= 1
            self.future_bytes -= tx.size
        if not lane.by_nonce:
            del self._lanes[tx.sender]

    def _remove(self, tx: Pooled) -> None:
        """Forget `tx`; ready ones after it become future, without an event."""
        lane = self._lanes[tx.sender]
        self._forget(lane, tx)
        if tx.ready:
            for nonce in range(tx.nonce + 1, lane.end):
                self._unready(lane, lane.by_nonce[nonce])
            lane.end = tx.nonce

    def take(self, included: Hash32) -> Pooled | None:
        """Remove what a block included, without an event. Its sender's order is wrong until `rebase`."""
        tx = self.by_hash.get(included)
        if tx is not None:
            self._forget(self._lanes[tx.sender], tx)
        return tx

    def rebase(self, sender: bytes, base: int) -> None:
        """Take note of a sender's on-chain nonce: drop what has passed, promote what follows, demote what cannot."""
        lane = self._lanes.get(sender)
        if lane is None:
            return
        if self._move_on(lane, base):
            return
        stale = [tx for nonce, tx in lane.by_nonce.items() if nonce < base]
        for tx in stale:
            self._forget(lane, tx)
        end = base
        while (at := lane.by_nonce.get(end)) is not None and at.ready:
            end += 1
        demoted = [tx for nonce, tx in lane.by_nonce.items() if nonce > end and tx.ready]
        lane.base, lane.end = base, end
        for tx in demoted:
            self._unready(lane, tx)
        self._refloor(lane, base)
        if end > base:
            head = lane.by_nonce[base]
            self._heads.push((-head.priority, head.turn, head))
        self._promote(lane)
        for tx in stale:
            self._emit(tx, Status(Stage.INVALID, error=Invalid(Stale())))
        for tx in demoted:
            if not tx.ready:
                self._emit(tx, FUTURE)
        self._trim_future()

    def _move_on(self, lane: _Lane, base: int) -> bool:
        """Do all of `rebase` where what waits is just the ready ones from `base` on; else do nothing, return False."""
        by_nonce, end = lane.by_nonce, lane.end
        if not lane.base <= base < end or len(by_nonce) != end - base:
            return False
        for nonce in range(base, end):
            tx = by_nonce.get(nonce)
            if tx is None or not tx.ready:
                return False
        lane.base = base
        self._refloor(lane, base)
        head = by_nonce[base]
        self._heads.push((-head.priority, head.turn, head))
        return True

    def _trim_future(self) -> None:
        limits = self._limits
        while self.future_count > limits.future_count or self.future_bytes > limits.future_bytes:
            if (far := self._far.pop()) is None:
                return
            self._drop(far[3])

    def discard(self, gone: Hash32, error: PoolRejected, *, with_later: bool) -> None:
        """Remove one that turned out invalid; the sender's later ones go too or wait for another in its place."""
        tx = self.by_hash.get(gone)
        if tx is None:
            return
        lane = self._lanes[tx.sender]
        later = [after for nonce, after in sorted(lane.by_nonce.items()) if nonce > tx.nonce]
        demoted = [after for after in later if after.ready]
        if with_later:
            for after in reversed(later):
                self._remove(after)
        self._remove(tx)
        self._emit(tx, Status(Stage.INVALID, error=error))
        for after in later if with_later else demoted:
            self._emit(after, Status(Stage.INVALID, error=error) if with_later else FUTURE)
        self._trim_future()

    def expire(self, number: int) -> None:
        """Drop what cannot be in block `number` or later because its era is over."""
        if number < self._first_death:
            return
        for tx in [tx for tx in self.by_hash.values() if tx.death <= number]:
            self.discard(tx.hash, Invalid(AncientBirthBlock()), with_later=False)
        self._first_death = min((tx.death for tx in self.by_hash.values()), default=IMMORTAL)


class Walk:
    """Goes through the ready transactions, best first, each sender's in nonce order.

    The pool may change between two steps: what has left is not given out, what came in since may be missing.
    """

    __slots__ = ("_due", "_heap", "_last", "_pool")

    def __init__(self, pool: Waiting, heap: list[_Head]) -> None:
        """Walk over `heap`, a copy of the heads of `pool`."""
        self._pool = pool
        self._heap = heap
        self._last: Pooled | None = None
        self._due: dict[bytes, Pooled | None] = {}
        """Of senders already begun: the one that may come next."""

    def __iter__(self) -> Iterator[Extrinsic]:
        return self

    def __next__(self) -> Extrinsic:
        last, self._last = self._last, None
        if last is not None and (after := self._pool.following(last)) is not None:
            self._due[last.sender] = after
            heapq.heappush(self._heap, (-after.priority, after.turn, after))
        while self._heap:
            entry = heapq.heappop(self._heap)
            tx = entry[2]
            if tx.sender in self._due:
                wanted = self._due[tx.sender] is tx and self._pool.is_ready(tx)
            else:
                wanted = self._pool.is_head(entry)
            if wanted:
                self._due[tx.sender] = None
                self._last = tx
                return tx.xt
        raise StopIteration

    def skip(self) -> None:
        """Give out no more of the sender whose transaction came last: it was not built."""
        self._last = None
