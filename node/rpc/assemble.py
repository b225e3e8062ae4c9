"""Puts JSON-RPC together: services, methods, dispatcher, server. What `node.service` calls."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Final

from node.ports import ChainView
from node.rpc.claim_page import claim_pages
from node.rpc.dispatch import Dispatcher, OnCall
from node.rpc.feed import Feed
from node.rpc.limits import Limits
from node.rpc.methods import (
    archive,
    author,
    catalogue,
    chain,
    chain_head,
    chain_spec,
    payment,
    rewards,
    smpx,
    state,
    system,
    transaction,
)
from node.rpc.origins import Origins, hosts_for, is_loopback
from node.rpc.outbox import Outbox
from node.rpc.ports import ChainInfo, ConsensusView, NetworkView, PoolView, RuntimeApi
from node.rpc.proofs import Prover
from node.rpc.query import Query
from node.rpc.registry import Registry
from node.rpc.render import to_json
from node.rpc.server import RpcServer
from node.rpc.services import Catalogue, Services
from node.rpc.session import Exchange, Session, Sink, Source
from node.rpc.version import VersionView
from node.telemetry.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

PUBLIC_TOKENS_PER_S: Final = 500
"""What one address outside may spend: 100 runtime calls or 250 transactions a second, once its burst is used up."""
PUBLIC_CONNECTIONS_PER_ADDRESS: Final = 32

MODULES = (
    archive,
    author,
    catalogue,
    chain,
    chain_head,
    chain_spec,
    payment,
    rewards,
    smpx,
    state,
    system,
    transaction,
)


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """What the operator decides."""

    host: str = "127.0.0.1"
    port: int = 9944
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    unsafe: bool = False
    limits: Limits = field(default_factory=Limits)


def exposed(settings: RpcSettings) -> RpcSettings:
    """Return the settings as they are in force: a node that strangers reach is careful whatever else is asked.

    On an address other than loopback unsafe methods stay off, expensive calls draw on a bucket per address, and one
    address gets fewer connections.
    """
    if is_loopback(settings.host):
        return settings
    asked = settings.limits
    limits = replace(
        asked,
        tokens_per_s=asked.tokens_per_s or PUBLIC_TOKENS_PER_S,
        connections_per_address=min(asked.connections_per_address, PUBLIC_CONNECTIONS_PER_ADDRESS),
    )
    return replace(settings, unsafe=False, limits=limits)


def make_registry() -> Registry:
    """Return every method of every namespace."""
    registry = Registry([*Services.types(), Exchange, Session, Sink, Source])
    for module in MODULES:
        registry.add_module(module)
    return registry


class Rpc:
    """The JSON-RPC room of a node.

    `feed` must be subscribed to the chain by whoever wires the node (`chain.subscribe(rpc.feed)`), before the pool is:
    then heads are told before what became of transactions in them. `start` and `close` on the event loop.
    """

    def __init__(
        self,
        settings: RpcSettings,
        *,
        chain: ChainView,
        pool: PoolView,
        network: NetworkView,
        consensus: ConsensusView,
        runtime: RuntimeApi,
        info: ChainInfo,
        metrics: Metrics | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        if settings.unsafe and not is_loopback(settings.host):
            log.warning("unsafe methods stay off: %s is reachable from outside", settings.host)
        self._settings = settings = exposed(settings)
        self._metrics = metrics
        query = Query(chain, runtime)
        versions = VersionView(query)
        outbox = Outbox(loop)
        self.feed = Feed(chain, loop.call_soon, settings.limits, outbox)
        self.feed.version_json = lambda: versions.legacy_json(self.feed.head.state)
        names = Catalogue()
        self.services = Services(
            chain=chain,
            query=query,
            versions=versions,
            prover=Prover(),
            pool=pool,
            network=network,
            consensus=consensus,
            info=info,
            feed=self.feed,
            limits=settings.limits,
            catalogue=names,
            loop=loop,
        )
        registry = make_registry()
        names.names = registry.names(unsafe=settings.unsafe)
        dispatcher = Dispatcher(registry, self.services, unsafe=settings.unsafe, on_call=self._count_calls())
        self.server = RpcServer(
            dispatcher,
            settings.limits,
            outbox,
            Origins(settings.origins),
            hosts_for(settings.host, settings.hosts),
            {"/health": self._health, "/metrics": self._render_metrics, **claim_pages()},
        )

    async def start(self) -> None:
        """Listen."""
        await self.server.start(self._settings.host, self._settings.port)
        self._measure()
        if not is_loopback(self._settings.host):
            log.warning("strangers can reach JSON-RPC: safe methods only, with rate limits; put TLS in front of it")

    async def close(self) -> None:
        """Stop listening and close every connection."""
        await self.server.close()

    def _health(self) -> tuple[int, str, bytes]:
        health = system.health(self.services.network, self.services.info)
        return 503 if health["isSyncing"] else 200, "application/json", to_json(health)

    def _render_metrics(self) -> tuple[int, str, bytes]:
        if self._metrics is None:
            return 404, "text/plain", b"no metrics are kept\n"
        return 200, CONTENT_TYPE, self._metrics.render()

    def _count_calls(self) -> OnCall | None:
        if self._metrics is None:
            return None
        calls = self._metrics.counter("rpc_calls", "JSON-RPC calls by method and outcome.", ["method", "outcome"])
        since: dict[tuple[str, bool], int] = {}

        def count(name: str, good: bool) -> None:  # noqa: FBT001 - a callback
            key = (name, good)
            since[key] = since.get(key, 0) + 1

        def tell() -> None:
            for (name, good), times in since.items():
                calls.labels(name, "ok" if good else "error").inc(times)
            since.clear()

        self._metrics.before_render(tell)
        return count

    def _measure(self) -> None:
        metrics, server = self._metrics, self.server
        if metrics is None or server.door is None:
            return
        door = server.door
        metrics.gauge("rpc_connections", "Open connections, HTTP and WebSocket.").set_function(lambda: len(door))
        metrics.gauge("rpc_websockets", "Open WebSockets.").set_function(lambda: server.sockets)
        metrics.gauge("rpc_subscriptions", "Live subscriptions.").set_function(lambda: server.subscriptions)
        metrics.gauge("rpc_turned_away", "Connections refused for being too many.").set_function(
            lambda: door.turned_away
        )
        metrics.gauge("rpc_cut", "Connections cut for reading too slowly.").set_function(lambda: server.cut_count)
