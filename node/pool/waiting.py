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

from collections.abc import Callable
from typing import TYPE_CHECKING

from chain.frame.errors import AncientBirthBlock, CannotPay, Stale
from node.pool.errors import AlreadyImported, ImmediatelyDropped, Invalid, PoolRejected, PriorityTooLow
from node.pool.lazyheap import LazyHeap
from node.pool.pooled import IMMORTAL, Lane, Pooled
from node.pool.status import Stage, Status
from node.pool.walk import Walk

if TYPE_CHECKING:
    from aitoken.types import Hash32
    from node.pool.limits import Limits

FUTURE = Status(Stage.FUTURE)
READY = Status(Stage.READY)
DROPPED = Status(Stage.DROPPED)
CROWDED = 0.5
"""How full the pool is when its worst transactions begin to be looked for."""


Emit = Callable[[Pooled, Status], None]
_Rank = tuple[int, int, int, Pooled]


class Waiting:
    """All waiting transactions. See the module for the rules."""

    def __init__(self, limits: Limits, emit: Emit) -> None:
        """`emit(transaction, status)` is told of every change but `take`, after it was made."""
        self._limits = limits
        self._half_count, self._half_bytes = limits.count // 2, limits.bytes // 2
        self._emit = emit
        self._turn = 0
        self.by_hash: dict[Hash32, Pooled] = {}
        self.lanes: dict[bytes, Lane] = {}
        """Of every sender of which something waits."""
        self.bytes = 0
        self.future_count = 0
        self.future_bytes = 0
        self._worst: LazyHeap[_Rank] = LazyHeap(self._is_worst)
        self._ranking = False
        """Whether `_worst` is kept: only while the pool is crowded, because nothing is evicted before."""
        self._far: LazyHeap[_Rank] = LazyHeap(self._is_far)
        self._first_death = IMMORTAL
        """No transaction dies before this block number; a lower bound, so that most blocks need no look at all."""

    # What is alive in the heaps

    def _is_worst(self, entry: _Rank) -> bool:
        floor, depth, _, tx = entry
        return tx.ready and floor == tx.floor and depth == tx.lane.base - tx.nonce

    def _is_far(self, entry: _Rank) -> bool:
        tx = entry[3]
        return not tx.ready and self.by_hash.get(tx.hash) is tx

    # Looking

    @property
    def ready_count(self) -> int:
        """How many could be built on now."""
        return len(self.by_hash) - self.future_count

    def head(self, sender: bytes) -> Pooled | None:
        """The first ready transaction of a sender."""
        lane = self.lanes.get(sender)
        return lane.by_nonce.get(lane.base) if lane is not None else None

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The first nonce from `nonce` on that no waiting transaction of the sender has."""
        lane = self.lanes.get(sender)
        if lane is None:
            return nonce
        if lane.base <= nonce < lane.end:
            nonce = lane.end
        while nonce in lane.by_nonce:
            nonce += 1
        return nonce

    def walk(self) -> Walk:
        """Start to go through the ready ones, best first."""
        return Walk(self.lanes.values())

    # Coming in

    def check(self, tx: Pooled) -> None:
        """Raise what `insert` would raise, and where its sender cannot pay for it as well; `insert` may follow at once.

        Raises:
            PriorityTooLow, ImmediatelyDropped: as `check_room` has it.
            Invalid: as `check_funds` has it.
        """
        if self._finds_next(tx, tx.base):
            tx.is_next = True
            lane = tx.lane
            if tx.cost and lane.by_nonce and lane.cost + tx.cost > tx.funds:
                raise Invalid(CannotPay())
            return
        self.check_room(tx.sender, tx.nonce, tx.base, tx.priority, tx.size)
        if tx.cost:
            self.check_funds(tx.sender, tx.nonce, tx.cost, tx.funds)

    def check_room(self, sender: bytes, nonce: int, base: int, priority: int, size: int) -> None:
        """Raise what `insert` would raise, without changing anything and (but for exotic cases) as surely.

        Raises:
            PriorityTooLow: the place is taken by one that pays as much.
            ImmediatelyDropped: there is no room for one like this.
        """
        lane = self.lanes.get(sender)
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
        lane = self.lanes.get(sender)
        if lane is None:
            return
        old = lane.by_nonce.get(nonce)
        if lane.cost + cost - (0 if old is None else old.cost) > funds:
            raise Invalid(CannotPay())

    def trim(self, sender: bytes, funds: int) -> None:
        """Drop a sender's last ones until it can pay for what is left; the first is judged by the rules."""
        lane = self.lanes.get(sender)
        while lane is not None and lane.cost > funds and len(lane.by_nonce) > 1:
            last = lane.by_nonce[max(lane.by_nonce)]
            self._remove(last)
            self._emit(last, Status(Stage.INVALID, error=Invalid(CannotPay())))
            lane = self.lanes.get(sender)

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
        if not tx.is_next and not self._finds_next(tx, base):
            self._insert_plainly(tx, base)
            return
        lane, nonce = tx.lane, tx.nonce
        if nonce > lane.base:
            floor = lane.by_nonce[nonce - 1].floor
            if floor < tx.floor:
                tx.floor = floor
        else:
            self.lanes[tx.sender] = lane
        self._turn += 1
        tx.turn = self._turn
        lane.by_nonce[nonce] = tx
        lane.cost += tx.cost
        lane.end = nonce + 1
        self.by_hash[tx.hash] = tx
        self.bytes += tx.size
        if tx.death < self._first_death:
            self._first_death = tx.death
        tx.ready = True
        self._emit(tx, READY)

    def _insert_plainly(self, tx: Pooled, base: int) -> None:
        lane = self.lanes.get(tx.sender)
        if lane is not None and lane.base != base:
            self.rebase(tx.sender, base)
            lane = self.lanes.get(tx.sender)
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
        lane = self.lanes.get(tx.sender)  # making room may have emptied it
        if lane is None:
            lane = self.lanes[tx.sender] = Lane(base)
        tx.lane = lane
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

    def _finds_next(self, tx: Pooled, base: int) -> bool:
        """Whether `tx` is just the next one of its sender, with nothing after it, in a pool with room.

        That is the usual case: its lane is known then, and `insert` takes it in in a straight line; `tests/unit/pool`
        inserts everything both ways and compares.
        """
        by_hash = self.by_hash
        if self._ranking or len(by_hash) >= self._half_count or self.bytes + tx.size > self._half_bytes:
            return False
        nonce, lane = tx.nonce, self.lanes.get(tx.sender)
        if lane is None:
            if nonce != base:
                return False
            tx.lane = Lane(base)
            return True
        depth = nonce - base
        if lane.base != base or nonce != lane.end or depth >= self._limits.per_sender or len(lane.by_nonce) != depth:
            return False
        tx.lane = lane
        return True

    def _replacement_price(self, old: Pooled) -> int:
        return old.priority + max(1, old.priority * self._limits.bump_percent // 100)

    def _replace(self, old: Pooled, new: Pooled) -> None:
        lane = new.lane = old.lane
        lane.by_nonce[new.nonce] = new
        lane.cost += new.cost - old.cost
        del self.by_hash[old.hash]
        self.by_hash[new.hash] = new
        self.bytes += new.size - old.size
        new.ready, old.ready = old.ready, False
        new.floor = old.floor
        self._first_death = min(self._first_death, new.death)
        if new.ready:
            self._refloor(lane, new.nonce)
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
            for lane in self.lanes.values():
                self._refloor(lane, lane.base)
        elif self._ranking and fill < CROWDED / 2:
            self._ranking = False
            self._worst = LazyHeap(self._is_worst)

    @staticmethod
    def _far_rank(lane: Lane, tx: Pooled) -> _Rank:
        return (tx.priority, lane.base - tx.nonce, -tx.turn, tx)

    def _rank_of(self, sender: bytes, nonce: int, priority: int) -> tuple[int, int]:
        """The rank a ready transaction would have: (floor, minus its distance from the head)."""
        lane = self.lanes.get(sender)
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
                lane = self.lanes.get(tx.sender)
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
            lane = worst[3].lane
            self._drop(lane.by_nonce[lane.end - 1])

    def _drop(self, tx: Pooled) -> None:
        self._remove(tx)
        self._emit(tx, DROPPED)

    # Order within a lane

    def _promote(self, lane: Lane) -> None:
        """Make ready what follows without a gap."""
        floor = lane.by_nonce[lane.end - 1].floor if lane.end > lane.base else None
        while (tx := lane.by_nonce.get(lane.end)) is not None:
            floor = tx.floor = tx.priority if floor is None else min(floor, tx.priority)
            tx.ready = True
            self.future_count -= 1
            self.future_bytes -= tx.size
            if self._ranking:
                self._worst.push((floor, lane.base - tx.nonce, -tx.turn, tx))
            lane.end += 1
            self._emit(tx, READY)

    def _refloor(self, lane: Lane, start: int) -> None:
        """Work out the floors anew from nonce `start` on as far as they change; all of them while ranks are kept."""
        ranking = self._ranking
        floor = lane.by_nonce[start - 1].floor if start > lane.base else None
        for nonce in range(start, lane.end):
            tx = lane.by_nonce[nonce]
            if floor is None or tx.priority < floor:
                floor = tx.priority
            if ranking:
                self._worst.push((floor, lane.base - nonce, -tx.turn, tx))
            elif floor == tx.floor:
                return
            tx.floor = floor

    def _unready(self, lane: Lane, tx: Pooled) -> None:
        tx.ready = False
        self.future_count += 1
        self.future_bytes += tx.size
        self._far.push(self._far_rank(lane, tx))

    # Going out

    def take(self, tx: Pooled) -> None:
        """Strike `tx` from the books without an event, as when a block included it.

        Its sender's order is wrong until `rebase`, or until the caller has seen to the rest of the lane.
        """
        lane = tx.lane
        del lane.by_nonce[tx.nonce]
        lane.cost -= tx.cost
        del self.by_hash[tx.hash]
        self.bytes -= tx.size
        if tx.ready:
            tx.ready = False
        else:
            self.future_count -= 1
            self.future_bytes -= tx.size
        if not lane.by_nonce:
            del self.lanes[tx.sender]

    def _remove(self, tx: Pooled) -> None:
        """Take `tx` out; ready ones after it become future, without an event."""
        lane, was_ready = tx.lane, tx.ready
        self.take(tx)
        if was_ready:
            for nonce in range(tx.nonce + 1, lane.end):
                self._unready(lane, lane.by_nonce[nonce])
            lane.end = tx.nonce

    def rebase(self, sender: bytes, base: int) -> None:
        """Take note of a sender's on-chain nonce: drop what has passed, promote what follows, demote what cannot."""
        lane = self.lanes.get(sender)
        if lane is None:
            return
        if self._move_on(lane, base):
            return
        stale = [tx for nonce, tx in lane.by_nonce.items() if nonce < base]
        for tx in stale:
            self.take(tx)
        end = base
        while (at := lane.by_nonce.get(end)) is not None and at.ready:
            end += 1
        demoted = [tx for nonce, tx in lane.by_nonce.items() if nonce > end and tx.ready]
        lane.base, lane.end = base, end
        for tx in demoted:
            self._unready(lane, tx)
        self._refloor(lane, base)
        self._promote(lane)
        for tx in stale:
            self._emit(tx, Status(Stage.INVALID, error=Invalid(Stale())))
        for tx in demoted:
            if not tx.ready:
                self._emit(tx, FUTURE)
        self._trim_future()

    def _move_on(self, lane: Lane, base: int) -> bool:
        """Do all of `rebase` where what waits is just the ready ones from `base` on; else do nothing, return False."""
        by_nonce, end = lane.by_nonce, lane.end
        if not lane.base <= base < end or len(by_nonce) != end - base:
            return False
        for nonce in range(base, end):
            if nonce not in by_nonce:
                return False
        lane.base = base
        head = by_nonce[base]
        if self._ranking or head.floor < head.priority:
            self._refloor(lane, base)
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
        lane = tx.lane
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
