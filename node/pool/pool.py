"""The door of the pool: bytes from wallets and peers come in here, and no signature is checked twice.

Rules
- Every source (a connection, a peer) has a lane; lanes are served in turn, in slices of `SLICE_SECONDS`, so neither a
  flood nor a block's worth of transactions delays anybody by more than a slice.
- Of one source those go first that promise to pay most for the room they take; when its lane is full, those that
  promise least are refused and told what tip would do. Who breaks promises is served in order of arrival.
- Cheap checks come first (`TransactionPool.examine`), the signature only after them.
- The same bytes arriving again while they are being checked wait for that one check.
- All is bounded: where there is no room the answer is "immediately dropped" (1016).
- Bad signatures are remembered for a while and answered without another check.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final

from aitoken.crypto.checks import Check
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import verify_multi
from aitoken.types import Hash32
from chain.frame.errors import BadProof, Stale
from node.pool.errors import AlreadyImported, ImmediatelyDropped, Invalid, PoolRejected, Shed, TooLarge
from node.pool.fairqueue import FairQueue
from node.pool.limits import Limits
from node.pool.status import Watcher
from node.pool.transactions import TransactionPool
from node.pool.verify import SLICE_SECONDS, InlineVerifier, Verifier
from node.tasks import cancel, spawn
from node.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from prometheus_client import Counter

    from aitoken.proto.extrinsic import Extrinsic
    from node.pool.pooled import Pooled
    from node.pool.ports import TransactionRuntime
    from node.ports import Block, ChainView, Clock

BATCH: Final = 128
"""Signatures handed to a worker process at once: about 5 ms of its time."""
BATCHES_UNDER_WAY: Final = 3
"""Enough to keep the worker busy while answers are settled."""
WORK_A_SLICE: Final = 32
"""Rechecks after a block that are done at once, about 20 us each."""

Outcome = Hash32 | PoolRejected

Waiter = Callable[[Outcome], None]
"""Told what became of a transaction; must neither wait nor raise."""


class _Job:
    """A transaction at the door and who waits for what becomes of it."""

    __slots__ = ("hash", "later", "source", "waiter", "watcher", "xt")

    def __init__(self, xt: Extrinsic, tx_hash: Hash32, source: str, watcher: Watcher | None, waiter: Waiter) -> None:
        self.xt = xt
        self.hash = tx_hash
        self.source = source
        self.watcher = watcher
        self.waiter = waiter
        self.later: list[Waiter] = []
        """Of those who brought the same bytes while they were here."""


class _Batch:
    """The outcomes of several jobs, waited for together."""

    __slots__ = ("_left", "done", "outcomes")

    def __init__(self, count: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = count

    def put(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self._left -= 1
        if not self._left and not self.done.done():
            self.done.set_result(None)


class Pool(TransactionPool):
    """The pool of a running node. `start` it on the event loop, subscribe it to the chain, `close` it at the end."""

    def __init__(
        self,
        runtime: TransactionRuntime,
        chain: ChainView,
        clock: Clock,
        *,
        verifier: Verifier | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        seconds: Callable[[], float] = perf_counter,
    ) -> None:
        """Wire it up.

        Args:
            runtime: the rules.
            chain: what they are applied to.
            clock: time for bans.
            verifier: where signatures are checked; on the event loop by default.
            limits: bounds.
            metrics: where counts go.
            seconds: monotonic clock that measures slices.
        """
        super().__init__(runtime, chain, clock, limits or Limits())
        self._verifier = verifier or InlineVerifier()
        self._seconds = seconds
        self._queue: FairQueue[_Job] = FairQueue(
            self.limits.queue, self.limits.queue_bytes, self.limits.queue_per_source
        )
        self._in_flight: dict[Hash32, _Job] = {}
        self._wake = asyncio.Event()
        self._awake = False
        self._under_way = asyncio.Semaphore(BATCHES_UNDER_WAY)
        self._tasks: set[asyncio.Task[None]] = set()
        metrics = metrics or Metrics()
        metrics.gauge("pool_ready", "Transactions that could be in the next block.").set_function(
            lambda: self.ready_count
        )
        metrics.gauge("pool_future", "Transactions that wait for an earlier nonce.").set_function(
            lambda: self.future_count
        )
        metrics.gauge("pool_bytes", "Bytes of waiting transactions.").set_function(lambda: self.byte_count)
        metrics.gauge("pool_at_the_door", "Transactions not yet checked.").set_function(lambda: len(self._in_flight))
        self._accepted = metrics.counter("pool_accepted", "Transactions taken in.")
        self._accepted_now = 0
        """Counted but not yet in `_accepted`, which is told once a slice."""
        self._refused = metrics.counter("pool_refused", "Transactions refused.", ["code"])
        self._refused_by: dict[str, Counter] = {}
        """Looking a label up costs as much as the refusal; under load a block often comes before the door is served."""

    def start(self) -> None:
        """Begin to serve the door."""
        self._keep(spawn(self._serve(), "pool", critical=True))

    async def close(self) -> None:
        """Stop; what is at the door stays unanswered."""
        await cancel(tuple(self._tasks))
        await self._verifier.close()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # The door

    async def submit(self, raw: bytes, watch: Watcher | None = None, *, source: str = "local") -> Hash32:
        """Take a transaction with its length prefix and return its hash once it is in the pool.

        Args:
            raw: as a wallet signed it.
            watch: told of every status; the first ones come before this returns.
            source: who brings it, for fairness: a connection or a peer.

        Raises:
            PoolRejected: why it is not in the pool.
        """
        outcome = await self._outcome(raw, watch, source)
        if not isinstance(outcome, PoolRejected):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # or the frame would hold what holds the frame

    async def _outcome(self, raw: bytes, watch: Watcher | None, source: str) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._enter(raw, source, watch, lambda outcome: None if answer.done() else answer.set_result(outcome))
        return await answer

    def submit_then(self, raw: bytes, source: str, done: Waiter) -> None:
        """Take a transaction; `done` is called once with its hash, or with why it is not in the pool, maybe at once."""
        try:
            self._enter(raw, source, None, done)
        except PoolRejected as error:
            done(_bare(error))

    async def submit_many(
        self, raws: Sequence[bytes], source: str, hashes: Sequence[Hash32] | None = None
    ) -> list[Outcome]:
        """Take a batch from a peer; the outcome of each, in order. Waiting for it is the peer's back-pressure.

        `hashes` are those of `raws`, where they are known already.
        """
        if not raws:
            return []
        batch = _Batch(len(raws))
        for index, raw in enumerate(raws):
            waiter = partial(batch.put, index)
            try:
                self._enter(raw, source, None, waiter, None if hashes is None else hashes[index])
            except PoolRejected as error:
                waiter(_bare(error))
        await batch.done
        return [outcome for outcome in batch.outcomes if outcome is not None]

    def _enter(
        self, raw: bytes, source: str, watcher: Watcher | None, waiter: Waiter, known_hash: Hash32 | None = None
    ) -> None:
        size = len(raw)
        if size > self.limits.size:
            raise TooLarge(size, self.limits.size)
        tx_hash = known_hash or blake2_256(raw)
        self.refuse_known(tx_hash)
        job = self._in_flight.get(tx_hash)
        if job is not None:
            job.later.append(waiter)
            return
        try:
            xt = self._runtime.parse(raw, tx_hash)
        except PoolRejected as error:
            self._count(error)
            raise
        job = _Job(xt, tx_hash, source, watcher, waiter)
        for shed in self._queue.push(source, job, size, self._runtime.worth(xt)):
            refusal = self._shed(shed)
            if shed is job:
                self._count(refusal)
                raise refusal
            # Later, for whoever is answered may come back with the next one at once.
            asyncio.get_running_loop().call_soon(self._refuse, shed, refusal)
        self._in_flight[tx_hash] = job
        if not self._awake:
            self._awake = True
            self._wake.set()

    def _shed(self, job: _Job) -> Shed:
        """What is told to one for which there is no room, because others promise more."""
        least = self._queue.least(job.source)
        return Shed(None if least is None else self._runtime.tip_for(job.xt, least + 1))

    def get(self, tx_hash: Hash32) -> Extrinsic | None:
        """The one object of a transaction this node has, also when it still waits at the door for its check.

        For execution: whoever checks its signature first marks it, and the other one need not.
        """
        xt = self.lookup(tx_hash)
        job = self._in_flight.get(tx_hash) if xt is None else None
        return xt if job is None else job.xt

    # Serving

    async def _serve(self) -> None:
        while True:
            if not self._queue and not self.has_work:
                self._wake.clear()
                self._awake = False
                await self._wake.wait()
                self._awake = True
            self.work(WORK_A_SLICE)
            if self._verifier.inline:
                self._inline_slice()
                self.tell_ready()
                self._tell_metrics()
                await asyncio.sleep(0)
            else:
                await self._worker_slice()

    def on_best(self, block: Block) -> None:
        """Follow the head."""
        super().on_best(block)
        if self.has_work:
            self._wake.set()

    def _inline_slice(self) -> None:
        end = self._seconds() + SLICE_SECONDS
        while (job := self._queue.pop()) is not None:
            xt = job.xt
            try:
                tx = self.examine(xt)
                additional = tx.additional
                good = (
                    additional is None
                    or xt.verified_for == additional
                    or verify_multi(xt.signature_kind, xt.signature, xt.payload(additional), xt.signer or b"")
                )
                if good:
                    xt.verified_for = additional
                    self.take_in(tx, job.watcher)
            except PoolRejected as error:
                self._judge_and_refuse(job, error)
            else:
                if good:
                    self._accept(job)
                else:
                    self._refuse_forged(job)
            if self._seconds() >= end:
                return

    async def _worker_slice(self) -> None:
        end = self._seconds() + SLICE_SECONDS
        batch: list[tuple[_Job, Pooled]] = []
        while len(batch) < BATCH and self._seconds() < end and (job := self._queue.pop()) is not None:
            try:
                tx = self.examine(job.xt)
                needs_signature = tx.needs_signature
                if not needs_signature:
                    self.take_in(tx, job.watcher)
            except PoolRejected as error:
                self._judge_and_refuse(job, error)
            else:
                if needs_signature:
                    batch.append((job, tx))
                else:
                    self._accept(job)
        self.tell_ready()
        if not batch:
            await asyncio.sleep(0)
            return
        await self._under_way.acquire()
        self._keep(spawn(self._verify_batch(batch), "pool signatures", critical=True))

    async def _verify_batch(self, batch: list[tuple[_Job, Pooled]]) -> None:
        try:
            verdicts = await self._verifier.verify([_check_of(tx) for _, tx in batch])
        finally:
            self._under_way.release()
        for (job, tx), good in zip(batch, verdicts, strict=True):
            if not good:
                self._refuse_forged(job)
                continue
            tx.xt.verified_for = tx.additional
            try:
                self.settle(tx, job.watcher)
            except PoolRejected as error:
                self._judge_and_refuse(job, error)
            else:
                self._accept(job)
        self.tell_ready()
        self._tell_metrics()

    def _tell_metrics(self) -> None:
        self._accepted.inc(self._accepted_now)
        self._accepted_now = 0

    # How it ends: whether a promise was kept is noted, but where there was no room for it or it was built before

    def _accept(self, job: _Job) -> None:
        if job.source in self._queue.doubts:
            self._queue.judge(job.source, kept=True)
        del self._in_flight[job.hash]
        self._accepted_now += 1
        job.waiter(job.hash)
        for waiter in job.later:
            waiter(AlreadyImported(job.hash))

    def _refuse_forged(self, job: _Job) -> None:
        error = Invalid(BadProof())
        self.ban(job.hash, error)
        self._judge_and_refuse(job, error)

    def _judge_and_refuse(self, job: _Job, error: PoolRejected) -> None:
        if not isinstance(error, ImmediatelyDropped) and not _came_too_late(job, error):
            self._queue.judge(job.source, kept=False)
        self._refuse(job, error)

    def _refuse(self, job: _Job, error: PoolRejected) -> None:
        del self._in_flight[job.hash]
        self._count(_bare(error))
        job.waiter(error)
        for waiter in job.later:
            waiter(error)

    def _count(self, refusal: PoolRejected) -> None:
        refused = self._refused_by.get(refusal.code)
        if refused is None:
            refused = self._refused_by[refusal.code] = self._refused.labels(refusal.code)
        refused.inc()


def _came_too_late(job: _Job, error: PoolRejected) -> bool:
    """Whether a block had it while it waited here: execution checked its signature, and it paid what it promised."""
    return isinstance(error, Invalid) and isinstance(error.cause, Stale) and job.xt.verified_for is not None


def _bare(refusal: PoolRejected) -> PoolRejected:
    """Return a refusal without the frames it came through.

    They hold the job, that holds who waits, and who waits keeps the refusal: thousands of such circles a second would
    be left to the collector, and to its pauses.
    """
    each: BaseException | None = refusal
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return refusal


def _check_of(tx: Pooled) -> Check:
    xt = tx.xt
    return Check(xt.signature_kind, xt.signature, xt.payload(tx.additional or b""), xt.signer or b"")
