"""`chainHead_v1_follow`: one client following the tip, with every announced block pinned for it.

Rules (the JSON-RPC interface specification, and what clients were seen to need):

- `initialized` first, with the latest final blocks, oldest first; then every known unfinalised block, parents first;
  then the head.
- A block is announced once, after its parent; the head is only ever an announced block.
- `finalized` names blocks in order, without a gap; before it the head is moved on to the last of them when it is
  behind it or on another branch.
- An announced block stays pinned, its header, body and state readable, until it is unpinned.
- Too many pins, or a gap in the chain, and the subscription says `stop` and is dead; clients follow again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aitoken.types import Hash32
from chain.state.base import State, StateDiscarded
from node.ports import Block, ChainView
from node.rpc import errors
from node.rpc.errors import RpcError
from node.rpc.feed import Feed
from node.rpc.query import Query
from node.rpc.render import NULL, json_hex, to_json
from node.rpc.session import Sink
from node.rpc.storage_query import Hit
from node.rpc.version import VersionView

PINS_MAX: Final = 512
OPERATIONS_MAX: Final = 64
FINAL_AT_START: Final = 8
"""Final blocks of `initialized`; dedot waits for a second one before it sends a transaction."""
ITEMS_BEFORE_CONTINUE: Final = 1_024
"""Storage items sent before the client has to ask for more."""
SLICE_ITEMS: Final = 64


@dataclass(slots=True)
class Operation:
    """A body, call or storage question in progress."""

    id: str
    hits: Iterator[Hit | None] | None = None
    sent: int = 0
    waits: bool = False


@dataclass(slots=True)
class Pin:
    """A block the client may read; the block itself while it is not final."""

    hash: Hash32
    block: Block | None = None


@dataclass(slots=True)
class Follow:
    """One `chainHead_v1_follow` subscription; a `node.ports.ChainListener`."""

    sink: Sink
    chain: ChainView
    feed: Feed
    query: Query
    versions: VersionView
    loop: asyncio.AbstractEventLoop
    with_runtime: bool
    pins: dict[Hash32, Pin] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    _announced: dict[Hash32, int] = field(default_factory=dict)
    _best: Hash32 | None = None
    _operation_count: int = 0

    def begin(self) -> None:
        """Tell where the chain is and listen from now on."""
        self.sink.on_release(self.feed.follow(self))
        self.sink.on_release(self._drop_everything)
        final = self.chain.finalized
        hashes = self._latest_final(final)
        for block_hash in hashes:
            self.pins[block_hash] = Pin(block_hash)
        self._announced[final.hash] = final.number
        event: dict[str, Any] = {"event": "initialized", "finalizedBlockHashes": hashes}
        told = to_json(event)
        if self.with_runtime:
            told = b'%b,"finalizedBlockRuntime":%b}' % (told[:-1], self.versions.spec_json(final.state))
        self.sink.send(told)
        for block in self.chain.unfinalized():
            self.on_block(block)
        head = self.feed.head.hash
        self._set_best(head if head in self._announced else final.hash)

    def _latest_final(self, final: Block) -> list[Hash32]:
        hashes = [final.hash]
        parent = final.header.parent_hash
        while len(hashes) < FINAL_AT_START:
            header = self.chain.header(parent)
            if header is None or not self._is_readable(parent):
                break
            hashes.append(parent)
            parent = header.parent_hash
        hashes.reverse()
        return hashes

    def _is_readable(self, block_hash: Hash32) -> bool:
        try:
            self.chain.state_at(block_hash)
        except StateDiscarded:
            return False
        return True

    # What the chain tells.

    def on_block(self, block: Block) -> None:
        """Announce a block."""
        if self.sink.is_closed or block.hash in self._announced:
            return
        parent = block.header.parent_hash
        if parent not in self._announced:
            self.stop()
            return
        self._announced[block.hash] = block.number
        self.pins[block.hash] = Pin(block.hash, block)
        event = b'{"event":"newBlock","blockHash":%b,"parentBlockHash":%b' % (json_hex(block.hash), json_hex(parent))
        if self.with_runtime:
            event += b',"newRuntime":' + self._new_runtime(block)
        self.sink.send(event + b"}")
        if len(self.pins) > PINS_MAX:
            self.stop()

    def _new_runtime(self, block: Block) -> bytes:
        """The runtime object where it differs from the parent's; a change is marked by a digest item (contract 13)."""
        if not any(item.encode() == b"\x08" for item in block.header.digest.logs):
            return NULL
        return self.versions.spec_json(block.state)

    def on_best(self, block: Block) -> None:
        """Move the head."""
        if not self.sink.is_closed:
            self.on_block(block)
            self._set_best(block.hash)

    def _set_best(self, block_hash: Hash32) -> None:
        if not self.sink.is_closed and block_hash != self._best:
            self._best = block_hash
            self.sink.send(b'{"event":"bestBlockChanged","bestBlockHash":%b}' % json_hex(block_hash))

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Tell that blocks became final."""
        for block in blocks:
            self.on_block(block)
        if self.sink.is_closed or not blocks:
            return
        last = blocks[-1]
        if not self._best_descends_from(last):
            self._set_best(last.hash)
        gone = [block_hash for block_hash in pruned if block_hash in self._announced]
        event = {"event": "finalized", "finalizedBlockHashes": [b.hash for b in blocks], "prunedBlockHashes": gone}
        self.sink.send(to_json(event))
        for block in blocks:
            pin = self.pins.get(block.hash)
            if pin is not None:
                pin.block = block
        dropped = set(gone)
        self._announced = {
            block_hash: number
            for block_hash, number in self._announced.items()
            if number >= last.number and block_hash not in dropped
        }

    def _best_descends_from(self, last: Block) -> bool:
        at = self._best
        while at != last.hash:
            header = None if at is None else self.chain.header(at)
            if header is None or header.number <= last.number:
                return False
            at = header.parent_hash
        return True

    def stop(self) -> None:
        """Say that the subscription is dead."""
        self.sink.send(b'{"event":"stop"}')
        self.sink.end()

    def _drop_everything(self) -> None:
        self.pins.clear()
        self.operations.clear()
        self._announced.clear()

    # What the client asks.

    def pin(self, block_hash: Hash32) -> Pin:
        """The pinned block.

        Raises:
            RpcError: it was not announced or is unpinned.
        """
        found = self.pins.get(block_hash)
        if found is None:
            raise RpcError(errors.CHAIN_HEAD_BLOCK, "Invalid block hash")
        return found

    def unpin(self, hashes: Sequence[Hash32]) -> None:
        """Let go of blocks, of all or none.

        Raises:
            RpcError: one of them is not pinned, or is given twice.
        """
        if len(set(hashes)) != len(hashes):
            raise RpcError(errors.CHAIN_HEAD_DUPLICATE, "Received duplicate block hashes for the unpin")
        for block_hash in hashes:
            self.pin(block_hash)
        for block_hash in hashes:
            del self.pins[block_hash]

    def header(self, block_hash: Hash32) -> bytes | None:
        """The SCALE header of a pinned block."""
        pin = self.pin(block_hash)
        header = pin.block.header if pin.block is not None else self.chain.header(block_hash)
        return None if header is None else header.encode()

    def body(self, pin: Pin) -> Sequence[bytes] | None:
        """The extrinsics of a pinned block."""
        body = self.chain.body(pin.hash)
        if body is None and pin.block is not None:
            return [extrinsic.raw for extrinsic in pin.block.body]
        return body

    def state(self, pin: Pin) -> State | None:
        """The state of a pinned block; None when it cannot be read just now."""
        try:
            if self.chain.number_of(pin.hash) is not None:
                return self.chain.state_at(pin.hash)
        except StateDiscarded:
            pass
        return pin.block.state if pin.block is not None else None

    # Operations.

    def start(self) -> Operation | None:
        """Begin an operation; None when too many are going on."""
        if self.sink.is_closed or len(self.operations) >= OPERATIONS_MAX:
            return None
        self._operation_count += 1
        operation = Operation(str(self._operation_count))
        self.operations[operation.id] = operation
        return operation

    def finish(self, operation: Operation, event: str, **facts: Any) -> None:
        """Tell the last event of an operation."""
        if self.operations.pop(operation.id, None) is not None:
            self._tell(operation, event, **facts)

    def _tell(self, operation: Operation, event: str, **facts: Any) -> None:
        self.sink.send(to_json({"event": event, "operationId": operation.id, **facts}))

    def run_storage(self, operation: Operation, hits: Iterator[Hit | None]) -> None:
        """Send what a search finds, slice by slice."""
        operation.hits = hits
        self._step(operation)

    def resume(self, operation: Operation) -> None:
        """Go on after `operationWaitingForContinue`."""
        operation.waits = False
        self._step(operation)

    def _step(self, operation: Operation) -> None:
        if operation.id not in self.operations or operation.hits is None:
            return
        items: list[Hit] = []
        try:
            done = _collect(operation.hits, items)
        except StateDiscarded:
            self.finish(operation, "operationInaccessible")
            return
        if items:
            self._tell(operation, "operationStorageItems", items=items)
        if done:
            self.finish(operation, "operationStorageDone")
            return
        before, operation.sent = operation.sent, operation.sent + len(items)
        if before // ITEMS_BEFORE_CONTINUE != operation.sent // ITEMS_BEFORE_CONTINUE:
            operation.waits = True
            self._tell(operation, "operationWaitingForContinue")
            return
        self.loop.call_soon(self._step, operation)


def _collect(hits: Iterator[Hit | None], items: list[Hit]) -> bool:
    """Move one slice of a search into `items`; whether the search is over."""
    for steps, hit in enumerate(hits, 1):
        if hit is not None:
            items.append(hit)
        if steps >= SLICE_ITEMS:
            return False
    return True
