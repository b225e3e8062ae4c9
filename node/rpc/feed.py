"""News of the chain, encoded once and fanned out to every subscriber.

Order for each change of the chain, whoever else listens to it:

    on_block      chain_allHead, then followers of chainHead_v1
    on_best       chain_newHead (no height left out on the way up), state_runtimeVersion, state_storage, followers
    on_finalized  chain_finalizedHead for every block, followers

Heads and storage of a crowd of connections leave together with the finality of the block (`node.rpc.outbox`).

What a method wants to tell after all of these (the status of a transaction in that block) goes through `soon`:
the chain tells all its listeners within one callback of the event loop, `soon` runs after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from aitoken.proto.header import Header
from aitoken.types import Hash32
from chain.state.base import Changes
from chain.state.layer import Layer
from node.ports import Block, ChainListener, ChainView
from node.rpc import errors
from node.rpc.limits import Limits
from node.rpc.outbox import Outbox
from node.rpc.render import NULL, header_json, json_hex
from node.rpc.session import Notice, Sink

log = logging.getLogger(__name__)

CATCH_UP_MAX: Final = 64
"""Heads announced one by one when the head moved by several blocks at once."""


class Topic:
    """Subscribers that all get the same bytes."""

    def __init__(self) -> None:
        self._sinks: dict[str, Sink] = {}

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def add(self, sink: Sink) -> None:
        """Subscribe until the sink is closed."""
        key = f"{id(sink.session)} {sink.id}"
        self._sinks[key] = sink
        sink.on_release(lambda: self._sinks.pop(key, None))

    def publish(self, result: bytes, *, patient: bool = False) -> None:
        """Send one result to all, at once or together with what is told next."""
        notice: Notice | None = None
        for sink in list(self._sinks.values()):
            notice = notice or Notice(sink.method.notifies or "", result)
            sink.tell(notice, patient=patient)


class _Watched:
    """One storage key somebody watches."""

    __slots__ = ("name", "sinks", "value")

    def __init__(self, key: bytes, value: bytes | None) -> None:
        self.name = json_hex(key)
        self.value = value
        self.sinks: dict[int, Sink] = {}

    def change(self) -> bytes:
        return b"[%b,%b]" % (self.name, NULL if self.value is None else json_hex(self.value))


class StorageTopic:
    """Subscribers of single storage keys; what a block changed is looked up among them, and encoded once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._watched: dict[bytes, _Watched] = {}
        self._counts: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, sink: Sink, keys: Sequence[bytes], head: Block) -> None:
        """Subscribe to keys and send all their values now, null where there is none.

        Raises:
            RpcError: the connection, or all of them together, watch too many.
        """
        keys = list(dict.fromkeys(keys))
        self._count(sink, keys)
        changes = []
        for key in keys:
            watched = self._watched.get(key)
            if watched is None:
                watched = self._watched[key] = _Watched(key, head.state.get(key))
            watched.sinks[id(sink)] = sink
            changes.append(watched.change())
        sink.on_release(lambda: self._leave(sink, keys))
        sink.send(_change_set(head.hash, changes))

    def _count(self, sink: Sink, keys: Sequence[bytes]) -> None:
        mine = self._counts.get(id(sink.session), 0) + len(keys)
        if mine > self._limits.watched_keys:
            raise errors.invalid_params(f"a connection may watch {self._limits.watched_keys} keys")
        if len(self._watched) + len(keys) > self._limits.watched_keys_together:
            raise errors.server_busy()
        self._counts[id(sink.session)] = mine

    def publish(self, head: Block, touched: Changes | None = None) -> None:
        """Send the keys whose value changed.

        Args:
            head: the new head.
            touched: every key in which its state differs from that of the head told last, with its value there;
                None where that is not known, and all watched keys are read.
        """
        mine = self._watched
        if touched is None:
            read = head.state.get
            news = [(watched, read(key)) for key, watched in mine.items()]
        elif len(touched) < len(mine):
            news = [(mine[key], value) for key, value in touched.items() if key in mine]
        else:
            news = [(watched, touched[key]) for key, watched in mine.items() if key in touched]
        changed: dict[int, list[bytes]] = {}
        sinks: dict[int, Sink] = {}
        for watched, value in news:
            if value != watched.value:
                watched.value = value
                change = watched.change()
                for identity, sink in watched.sinks.items():
                    changed.setdefault(identity, []).append(change)
                    sinks[identity] = sink
        for identity, changes in changed.items():
            sink = sinks[identity]
            sink.tell(Notice(sink.method.notifies or "", _change_set(head.hash, changes)), patient=True)

    def _leave(self, sink: Sink, keys: Sequence[bytes]) -> None:
        left = self._counts.pop(id(sink.session), 0) - len(keys)
        if left > 0:
            self._counts[id(sink.session)] = left
        for key in keys:
            watched = self._watched.get(key)
            if watched is not None:
                watched.sinks.pop(id(sink), None)
                if not watched.sinks:
                    del self._watched[key]


def _change_set(block: bytes, changes: Sequence[bytes]) -> bytes:
    return b'{"block":%b,"changes":[%b]}' % (json_hex(block), b",".join(changes))


def _touched(head: Block, before: Block) -> Changes | None:
    """What differs between the states of a head and the one before it; None unless it is its child and that is known.

    A key that changed says so in the layer of the block: layers hold nothing that is as it was.
    """
    if head.header.parent_hash != before.hash or not isinstance(head.state, Layer):
        return None
    return head.state.changes


class Feed:
    """The one listener JSON-RPC has on the chain; a `node.ports.ChainListener`."""

    def __init__(
        self, chain: ChainView, call_soon: Callable[[Callable[[], None]], object], limits: Limits, outbox: Outbox
    ) -> None:
        self._chain = chain
        self._call_soon = call_soon
        self._outbox = outbox
        self._told: Block = chain.best
        self._followers: dict[int, ChainListener] = {}
        self.heads = Topic()
        self.all_heads = Topic()
        self.finalized = Topic()
        self.versions = Topic()
        self.storage = StorageTopic(limits)
        self.version_json: Callable[[], bytes] = lambda: NULL
        self._version_told = b""

    def follow(self, follower: ChainListener) -> Callable[[], object]:
        """Tell `follower` after the plain subscriptions; call the result to stop."""
        self._followers[id(follower)] = follower
        return lambda: self._followers.pop(id(follower), None)

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` after everybody has been told of the change at hand."""
        self._call_soon(call)

    @property
    def head(self) -> Block:
        """The head as subscribers know it."""
        return self._told

    def on_block(self, block: Block) -> None:
        """Tell that a block is known."""
        self._guard(self._block, block)

    def on_best(self, block: Block) -> None:
        """Tell of a new head."""
        self._guard(self._best, block)

    def on_finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        """Tell that blocks became final."""
        self._guard(self._finalized, blocks, pruned)

    @staticmethod
    def _guard(tell: Callable[..., None], *news: Any) -> None:
        """A fault in telling wallets must not stop the chain that tells us."""
        try:
            tell(*news)
        except Exception:
            log.exception("telling subscribers failed")

    def _block(self, block: Block) -> None:
        if self.all_heads:
            self.all_heads.publish(header_json(block.header))
        for follower in list(self._followers.values()):
            follower.on_block(block)

    def _best(self, block: Block) -> None:
        if self.heads:
            for header in self._skipped(block):
                self.heads.publish(header_json(header), patient=True)
            self.heads.publish(header_json(block.header), patient=True)
        told, self._told = self._told, block
        if self.versions:
            self._publish_version()
        if len(self.storage):
            self.storage.publish(block, _touched(block, told))
        for follower in list(self._followers.values()):
            follower.on_best(block)

    def _finalized(self, blocks: Sequence[Block], pruned: Sequence[Hash32]) -> None:
        if self.finalized:
            for block in blocks:
                self.finalized.publish(header_json(block.header), patient=True)
        for follower in list(self._followers.values()):
            follower.on_finalized(blocks, pruned)
        self._outbox.release()

    def subscribe_versions(self, sink: Sink) -> None:
        """Send the runtime version now and whenever it changes."""
        self._version_told = self.version_json()
        self.versions.add(sink)
        sink.send(self._version_told)

    def _publish_version(self) -> None:
        version = self.version_json()
        if version != self._version_told:
            self._version_told = version
            self.versions.publish(version)

    def _skipped(self, block: Block) -> list[Header]:
        """Headers between the head told last and `block`, ascending; none when they are on different branches."""
        between: list[Header] = []
        parent = block.header.parent_hash
        while parent != self._told.hash:
            header = self._chain.header(parent)
            if header is None or header.number <= self._told.number or len(between) >= CATCH_UP_MAX:
                return []
            between.append(header)
            parent = header.parent_hash
        between.reverse()
        return between
