"""`transaction_v1_*` and `transactionWatch_v1_*`: handing in transactions without and with news about them.

A broadcast never fails: the bytes are offered to the pool now and again at new heads until the client says stop or
leaves. After a refusal the pause grows, up to `PAUSE_BLOCKS_MAX` heads, so that many hopeless ones cost little.

Source: https://paritytech.github.io/json-rpc-interface-spec/ (transaction, transactionWatch, version 1).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from aitoken.types import Hash32
from node.pool.errors import AlreadyImported, PoolRejected
from node.pool.status import Stage, Status
from node.ports import Block
from node.rpc import errors
from node.rpc.feed import Feed
from node.rpc.params import HexBytes
from node.rpc.ports import PoolView
from node.rpc.registry import rpc, subscription
from node.rpc.render import to_json
from node.rpc.session import Session, Sink, Source
from node.tasks import spawn

BROADCASTS_MAX: Final = 16
"""Per connection."""
PAUSE_BLOCKS_MAX: Final = 16


class Broadcasts(dict[str, Callable[[], object]]):
    """How to stop each running broadcast of one connection."""

    is_tied = False

    def tie_to(self, session: Session) -> None:
        """Stop them all when the connection ends."""
        if not self.is_tied:
            self.is_tied = True
            session.on_close(self._stop_all)

    def _stop_all(self) -> None:
        for stop_one in self.values():
            stop_one()


class Broadcast:
    """One transaction that is offered to the pool until it is stopped; a `node.ports.ChainListener`."""

    def __init__(self, pool: PoolView, raw: bytes, source: str) -> None:
        self._pool = pool
        self._source = source
        self._raw = raw
        self._pause = 1
        self._heads_left = 0
        self._busy = False

    def on_block(self, block: Block) -> None:
        """Blocks alone change nothing."""

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Finality alone changes nothing."""

    def on_best(self, block: Block) -> None:  # noqa: ARG002 - any head will do
        """Offer again when the pause is over."""
        self._heads_left -= 1
        if self._heads_left <= 0:
            self.offer()

    def offer(self) -> None:
        """Hand the bytes to the pool unless it is looking at them."""
        if not self._busy:
            self._busy = True
            spawn(self._submit(), "rpc broadcast")

    async def _submit(self) -> None:
        self._pause = min(2 * self._pause, PAUSE_BLOCKS_MAX)
        try:
            with contextlib.suppress(AlreadyImported):
                await self._pool.submit(self._raw, source=self._source)
            self._pause = 1
        except PoolRejected:
            pass
        finally:
            self._heads_left = self._pause
            self._busy = False


@rpc("transaction_v1_broadcast", cost=4)
def broadcast(pool: PoolView, feed: Feed, session: Session, source: Source, transaction: HexBytes) -> str | None:
    """Offer a transaction until stopped; returns an id, or null when too many are running."""
    running = session.slot(Broadcasts)
    if len(running) >= BROADCASTS_MAX:
        return None
    running.tie_to(session)
    operation = secrets.token_urlsafe(12)
    offered = Broadcast(pool, transaction, source)
    running[operation] = feed.follow(offered)
    offered.offer()
    return operation


@rpc("transaction_v1_stop")
def stop(session: Session, operation: str) -> None:
    """Stop offering a transaction; it stays in the pool if it is there."""
    stop_one = session.slot(Broadcasts).pop(operation, None)
    if stop_one is None:
        raise errors.invalid_params("no broadcast has that id")
    stop_one()


@subscription(
    "transactionWatch_v1_submitAndWatch",
    notifies="transactionWatch_v1_watchEvent",
    unsubscribes=[],
    cost=2,
)
def submit_and_watch(pool: PoolView, feed: Feed, source: Source, sink: Sink, transaction: HexBytes) -> None:
    """Take a transaction and tell what becomes of it; a refusal is told as an event too."""
    watch = Watch(sink, feed)
    spawn(_submit(pool, source, sink, watch, transaction), "rpc watched transaction")


async def _submit(pool: PoolView, source: str, sink: Sink, watch: Watch, transaction: bytes) -> None:
    try:
        tx_hash = await pool.submit(transaction, watch.on_status, source=source)
    except PoolRejected as error:
        watch.refuse(error)
        return
    sink.on_release(lambda: pool.unwatch(tx_hash, watch.on_status))


@rpc("transactionWatch_v1_unwatch")
def unwatch(session: Session, subscription: str) -> None:
    """Stop telling about a transaction; it stays in the pool."""
    sink = session.sink(subscription, "transactionWatch_v1_submitAndWatch")
    if sink is not None:
        sink.close()


class Watch:
    """Turns statuses of the pool into events of `transactionWatch_v1`."""

    def __init__(self, sink: Sink, feed: Feed) -> None:
        self._sink = sink
        self._feed = feed
        self._validated = False

    def on_status(self, status: Status) -> None:
        """Tell a status after the heads of the same block."""
        self._feed.soon(lambda: self._tell(status))

    def refuse(self, error: PoolRejected) -> None:
        """The pool did not take it; the error object of `author_submitExtrinsic` is told beside what is standard."""
        refusal = {"code": error.number, "message": error.message, "data": error.data}
        self._sink.send(to_json({"event": "invalid", "error": str(error)} | refusal))
        self._sink.end()

    def _tell(self, status: Status) -> None:
        event = self._event(status)
        if event is not None:
            self._sink.send(to_json(event))
        if status.ends:
            self._sink.end()

    def _event(self, status: Status) -> dict[str, Any] | None:
        stage = status.stage
        if stage is Stage.READY:
            first, self._validated = not self._validated, True
            return {"event": "validated"} if first else None
        if stage is Stage.IN_BLOCK:
            return {"event": "bestChainBlockIncluded", "block": _place(status)}
        if stage is Stage.RETRACTED:
            return {"event": "bestChainBlockIncluded", "block": None}
        if stage is Stage.FINALIZED:
            return {"event": "finalized", "block": _place(status)}
        if stage is Stage.USURPED:
            return {"event": "invalid", "error": "another transaction of the sender took its nonce"}
        if stage is Stage.INVALID:
            return {"event": "invalid", "error": str(status.error or "the transaction became invalid")}
        if stage is Stage.DROPPED:
            return {"event": "dropped", "error": str(status.error or "the pool is full")}
        return None


def _place(status: Status) -> dict[str, Any]:
    return {"hash": status.hash, "index": status.index}
