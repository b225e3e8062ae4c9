"""The composition root: every part of a node is made and wired here, and nowhere else.

    genesis file, data directory -> database, chain
    chain  <- executor <- driver (consensus) <- network <- peers
    chain  -> JSON-RPC, then pool            (listeners hear in this order)
    pool   <- JSON-RPC, network              (one door for transactions)
    driver -> reports -> pool                (evidence of misbehaviour)

`assemble` stores and wires; `Node.start` opens sockets and begins to vote; `run` is the whole life of a process.
A failure that must stop a node (disk, an invariant, a critical task) ends `run` with an exit code of its own.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Final

from aitoken.collector import collect_rarely
from aitoken.crypto import ed25519, noise
from aitoken.errors import Unavailable
from chain.params import Params
from consensus.types import Pace
from node.bodies import Bodies
from node.chain.ahead import Ahead
from node.chain.executor import Executor
from node.chain.jobs import JobRunner
from node.chain.opening import OpenChain, load_spec, open_chain
from node.chain.states import States
from node.clock import SystemClock
from node.config import NodeConfig
from node.driver.driver import Driver, Ports, StartPoint
from node.faces import ConsensusFace, Narrator, NetworkFace, Work
from node.net.network import Network, NetworkConfig
from node.pool.pool import Pool
from node.pool.rules import Rules
from node.pool.verify import Verifier, WorkerVerifier, usable_cores, verifier_for
from node.reports import Reports, RuntimeCourt
from node.rpc.assemble import Rpc, RpcSettings
from node.rpc.limits import Limits
from node.rpc.ports import ChainInfo
from node.signer.local import LocalSigner
from node.signer.opening import Evidence, open_signer, watch_ms
from node.signer.remote import RemoteSigner
from node.signer.rotation import Rotation
from node.store.background import Background
from node.store.evidence_file import EvidenceFile
from node.store.files import DiskFiles
from node.store.journal import Journal
from node.store.journal_writer import JournalWriter
from node.store.voting_record import VotingRecordFile
from node.tasks import cancel, spawn
from node.telemetry.metrics import Metrics, ProcessMetrics
from node.telemetry.operator import OperatorMetrics
from node.trust import trust
from node.warp import warp_until

EXIT_STOPPED: Final = 0
EXIT_FAILED: Final = 70
"""Something that must not go on: EX_SOFTWARE of BSD sysexits."""
BUILD_SHARE: Final = 4
"""A leader takes transactions for a quarter of the block time; verifying costs everybody else as much."""
BUILD_MS_MIN: Final = 150
"""But for so long at least, where so much waits: what a block costs, however full, would else be most of the work."""
BUSY_MS: Final = 100
"""Blocks come no faster than this where they are full, or agreement on them takes more than two thirds of it."""
DELTA_MS_MAX: Final = 1000

log = logging.getLogger(__name__)


class Node:
    """A wired node: `start` it, wait for `failed`, `stop` it."""

    def __init__(
        self,
        opened: OpenChain,
        driver: Driver,
        network: Network,
        pool: Pool,
        rpc: Rpc,
        journal: JournalWriter,
        disk: Background,
        process: ProcessMetrics,
        operator: OperatorMetrics,
        failed: asyncio.Future[BaseException],
        reports: Reports,
        signer: LocalSigner | RemoteSigner | None = None,
    ) -> None:
        self.opened = opened
        self.driver = driver
        self.network = network
        self.pool = pool
        self.rpc = rpc
        self.failed = failed
        self._journal = journal
        self._disk = disk
        self._process = process
        self._operator = operator
        self._sampling: asyncio.Task[None] | None = None
        self._reports = reports
        self._signer = signer
        self._states = States(opened.database)
        network.states.attach(self._states)

    async def start(self) -> None:
        """Open sockets and take part."""
        chain = self.opened.chain
        chain.subscribe(self.rpc.feed)
        chain.subscribe(self.pool)
        chain.subscribe(Narrator())
        chain.subscribe(self._operator)
        self._operator.begin(chain.best.number, chain.finalized.number)
        self.pool.start()
        self.pool.on_ready(lambda _: self.driver.set_work(available=True))
        chain.subscribe(Work(self.pool, self.driver))
        chain.subscribe(self._reports)
        await self.network.start()
        if isinstance(self._signer, RemoteSigner):
            self._signer.start()
        self.driver.start()
        await self.rpc.start()
        self._process.watch_pauses()
        self._sampling = spawn(self._operator.run(), "telemetry: sample")

    async def stop(self) -> None:
        """Stop in the reverse order; nothing final is lost, whatever is cut short."""
        self.driver.stop()
        await cancel([] if self._sampling is None else [self._sampling])
        await self.rpc.close()
        await self.network.stop()
        await self.pool.close()
        self._states.close()
        self._journal.close()
        if isinstance(self._signer, RemoteSigner):
            await self._signer.stop()
        elif self._signer is not None:
            self._signer.close()
        self._disk.close()
        await asyncio.sleep(0)  # what was written is settled before the database closes
        self._process.close()
        self.opened.database.close()


def assemble(config: NodeConfig) -> Node:
    """Make and wire a node; call it on a running event loop.

    Raises:
        Rejected: configuration, genesis file or data directory cannot be used.
        Unavailable: another process uses the directory, or the disk refuses.
    """
    loop = asyncio.get_running_loop()
    failed: asyncio.Future[BaseException] = loop.create_future()

    def fail(failure: BaseException) -> None:
        if not failed.done():
            failed.set_result(failure)

    clock = SystemClock()
    opened = _open(config, clock, fail)
    spec, runtime, chain = opened.spec, opened.runtime, opened.chain
    metrics = Metrics()
    bodies = Bodies()
    committing = metrics.histogram("store_commit_ms", "What writing final blocks to the database took.")
    disk = Background("final blocks", fail, committing.observe)
    chain.write_behind(disk.run)
    journal = Journal(DiskFiles(config.data_dir / "journal"))
    if journal.damage is not None:
        log.error("the journal of votes is damaged: %s", journal.damage)
    record = VotingRecordFile(config.data_dir / "voting.json")
    signer = open_signer(
        config.validator, config.data_dir, opened.genesis_hash, _evidence(opened, journal, record), fail
    )
    network = Network(_network_config(config, spec.id), noise.generate_private(), chain, signer, bodies)
    rules = runtime.new_instance()
    verifier = verifier_for(config.workers)
    pool = Pool(Rules(rules.executive, rules.system), chain, clock, verifier=verifier, metrics=metrics)
    ahead = _ahead(config, opened, verifier)
    network.sync.attach_ahead(ahead)
    jobs = JobRunner(loop.call_soon, fail)
    build_ms = max(spec.params.block_time_ms // BUILD_SHARE, BUILD_MS_MIN)
    executor = Executor(chain, opened.database, runtime, pool, jobs, build_ms, bodies, ahead)
    reports = _reports(config, opened, pool, network)
    rotation = Rotation(signer, config.data_dir, opened.genesis_hash)
    consensus = ConsensusFace(chain, network, rotation, fail, reports.take)
    journaling = metrics.histogram("store_journal_ms", "What writing own votes to the journal took, sync included.")
    settle = signer.beside_the_journal() if isinstance(signer, LocalSigner) else None
    writer = JournalWriter(journal, fail, journaling.observe, settle)
    driver = Driver(
        Ports(clock, writer, record, network, executor, executor, signer, ed25519.verify, consensus),
        _pace(spec.params),
        _start_point(config, opened, journal),
    )
    consensus.driver = driver
    if isinstance(signer, RemoteSigner):
        signer.on_back = (network.mesh.prove_anew, driver.signer_is_back)
    network.attach_consensus(driver)
    network.attach_pool(pool)
    rpc = Rpc(
        _rpc_settings(config),
        chain=chain,
        pool=pool,
        network=NetworkFace(network, chain),
        consensus=consensus,
        runtime=runtime,
        info=ChainInfo(chain=spec.name, chain_type=spec.chain_type, properties=spec.properties),
        metrics=metrics,
    )
    operator = OperatorMetrics(metrics, config.data_dir, driver.round_state, lambda: len(list(network.open_peers())))
    process = ProcessMetrics(metrics)
    return Node(opened, driver, network, pool, rpc, writer, disk, process, operator, failed, reports, signer)


def _open(config: NodeConfig, clock: SystemClock, fail: Callable[[BaseException], None]) -> OpenChain:
    """Open the chain, unless it is too old to be believed."""
    history = None if config.storage.archive else config.storage.history_blocks
    opened = open_chain(config.chain, config.data_dir, history_blocks=history)
    trust(opened, config.sync, clock.now_ms(), fail)
    return opened


def _ahead(config: NodeConfig, opened: OpenChain, verifier: Verifier) -> Ahead:
    """What checks signatures while the node catches up: its worker, or one for that time where a core may be free."""
    only_for_sync = config.workers is None and usable_cores() > 1
    return Ahead(
        WorkerVerifier() if only_for_sync else verifier,
        opened.runtime.schema,
        opened.chain.hash_of,
        shared=not only_for_sync,
    )


def _start_point(config: NodeConfig, opened: OpenChain, journal: Journal) -> StartPoint:
    """Where agreement wakes up."""
    return StartPoint(
        genesis_hash=opened.genesis_hash,
        committed=opened.committed,
        certificate=opened.certificate,
        epoch=opened.epoch,
        journal=journal.found,
        force_sign=config.validator.force_sign,
        watch_ms=watch_ms(config.validator),
    )


def _reports(config: NodeConfig, opened: OpenChain, pool: Pool, network: Network) -> Reports:
    """What carries evidence to the chain."""
    shelf = EvidenceFile(config.data_dir / "evidence.json")
    return Reports(opened.chain, RuntimeCourt(opened.runtime), pool, shelf, network.is_syncing)


def _network_config(config: NodeConfig, chain_id: str) -> NetworkConfig:
    p2p = config.p2p
    return NetworkConfig(
        host=p2p.host,
        port=p2p.port,
        chain_id=chain_id,
        reserved=p2p.bootnodes,
        public_addresses=p2p.public_addresses,
        inbound_max=p2p.peers_max,
        reserved_only=p2p.reserved_only,
        book_path=config.data_dir / "peers",
    )


def _rpc_settings(config: NodeConfig) -> RpcSettings:
    rpc = config.rpc
    limits = Limits(connections=rpc.connections_max)
    return RpcSettings(host=rpc.host, port=rpc.port, origins=rpc.cors, unsafe=rpc.unsafe, limits=limits)


def run(config: NodeConfig) -> int:
    """Run a node until it is told to stop or must; return the exit code of the process."""
    return asyncio.run(_run(config))


async def _run(config: NodeConfig) -> int:
    loop = asyncio.get_running_loop()
    stop, over = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if config.sync.mode == "warp":
        spec, _ = load_spec(config.chain)
        await warp_until(stop, config, _network_config(config, spec.id), noise.generate_private())
        if stop.is_set():
            return EXIT_STOPPED
    node = assemble(config)
    collect_rarely()
    try:
        await node.start()
        log.info("node is up", extra={"rpc": config.rpc.port, "p2p": node.network.port, "node": config.name})
        stopping = spawn(stop.wait(), "wait for a signal")
        stopping.add_done_callback(lambda _: over.set())
        node.failed.add_done_callback(lambda _: over.set())
        await over.wait()
        await cancel([stopping])
        if node.failed.done():
            failure = node.failed.result()
            log.critical("the node must stop: %r", failure)
            return EXIT_FAILED
    finally:
        try:
            await node.stop()
        except (OSError, Unavailable) as late:  # a disk that fails may refuse the last writes as well
            log.error("not everything was closed in order: %r", late)
    log.info("stopped")
    return EXIT_STOPPED


def _evidence(opened: OpenChain, journal: Journal, record: VotingRecordFile) -> Evidence:
    """What this folder shows of earlier votes."""
    certificate = opened.certificate
    return Evidence(
        untouched=opened.committed.number == 0
        and journal.found is None
        and journal.damage is None
        and record.epoch is None,
        certificate=certificate if certificate is not None and certificate.epoch == opened.epoch.index else None,
        validators=tuple(opened.epoch.validators.keys),
    )


def _pace(params: Params) -> Pace:
    return Pace(
        block_time_ms=params.block_time_ms,
        idle_interval_ms=params.idle_interval_ms,
        delta_ms=min(max(params.block_time_ms, 300), DELTA_MS_MAX),
        busy_interval_ms=BUSY_MS,
    )
