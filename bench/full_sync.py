"""A new node executes a chain of full blocks from one peer: signatures, execution, roots and disk, nothing believed.

The chain is made here, without agreement but with the certificates of its one validator; a node without a key serves
it, and another one begins with nothing. The rate is taken between the first block it has and the last one, so that
start-up does not count; "of raw" is that rate over the signatures all cores of this machine check together in the
same run. The serving node works on the same cores.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto import randomness
from aitoken.proto.digest import NEXT_EPOCH, SmpxDigest, leading_items_of, next_epoch_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.votes import FINALIZE, Certificate, bitmap_of
from bench.accounts import Terms, transfer, with_accounts
from bench.network import GENESIS, START_SECONDS, cpu_seconds_of, cpu_seconds_of_children
from bench.node_client import WsClient
from bench.raw import rate_of_all_cores
from bench.row import Row
from cli.devnet.plan import LOOPBACK, NodePlan, Plan
from cli.devnet.processes import NodeProcess, start, stop, wait_until_serving
from cli.specs import read_spec, with_validators, write_spec
from node.chain.opening import OpenChain, open_chain
from node.chain.tree import terminal_key
from node.ports import Block

TRANSFERS = 500
"""In a block."""
SYNC_SECONDS = 600
RPC_PORT, P2P_PORT = 19_844, 19_854


@dataclass(frozen=True)
class SyncPlan(Plan):
    """One node that has the chain and one that has nothing; neither votes."""

    def arguments(self, node: NodePlan) -> list[str]:
        """Run without a key; the new one knows the server."""
        arguments = ["node", "run", "--chain", str(self.genesis), "--data-dir", str(node.folder), "--name", node.name]
        arguments += ["--rpc-port", str(node.rpc_port), "--p2p-port", str(node.p2p_port), "--p2p-host", LOOPBACK]
        if node.index:
            arguments += ["--bootnode", f"{LOOPBACK}:{self.nodes[0].p2p_port}"]
        return arguments


def run(quick: bool) -> list[Row]:
    blocks, accounts = (40, 5_000) if quick else (200, 20_000)
    print(f"full_sync: making {blocks} blocks of {TRANSFERS:,} transfers", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="aitoken-bench-") as name:
        plan = _plan(Path(name))
        make_chain(plan, blocks, accounts)
        return asyncio.run(_measure(plan, blocks))


def _plan(folder: Path) -> SyncPlan:
    nodes = tuple(
        NodePlan(index, name, "", RPC_PORT + index, P2P_PORT + index, folder / name, folder / f"{name}.log")
        for index, name in enumerate(("server", "new"))
    )
    return SyncPlan(folder, folder / "genesis.json", {}, None, nodes)


def make_chain(plan: Plan, blocks: int, accounts: int) -> None:
    """Write a genesis and the database of the server."""
    spec = with_validators(read_spec(GENESIS), 1)
    spec["genesis"]["timestampMs"] = int(time.time() * 1000) - 3_600_000
    plan.genesis.write_text(write_spec(with_accounts(spec, accounts)), encoding="utf-8")
    opened = open_chain(plan.genesis, plan.nodes[0].folder, history_blocks=4_096)
    nonces = [0] * accounts
    for number in range(blocks):
        senders = [(number * TRANSFERS + index) % accounts for index in range(TRANSFERS)]
        _grow(opened, senders, nonces)
    opened.database.close()


def _grow(opened: OpenChain, senders: Sequence[int], nonces: list[int]) -> None:
    """Make one final block of transfers, born at its parent, with its certificate."""
    chain, runtime, genesis = opened.chain, opened.runtime, opened.genesis_hash
    parent = chain.finalized
    leader = pair_from_uri("//Alice", "ed25519")
    epoch = NEXT_EPOCH.decode(runtime.call(parent.state, "ConsensusApi_epoch", b""))
    view = parent.number + 1 - epoch.first_block
    proof = randomness.prove(leader, genesis, bytes(epoch.seed), epoch.epoch, view)
    moment = opened.spec.timestamp_ms + 250 * (parent.number + 1)
    digest = SmpxDigest(1, epoch.epoch, view, view - 1, 0, moment, randomness.output_of(proof), proof)
    builder = runtime.open_block(parent.state, parent.header, leading_items_of(digest))
    version = runtime.version
    terms = Terms(version.spec_version, version.transaction_version, genesis, parent.number, parent.hash)
    for sender in senders:
        xt = Extrinsic(transfer(terms, sender, (sender * 7919 + 1) % len(nonces), nonces[sender]))
        xt.verified_for = terms.additional
        nonces[sender] += 1
        builder.apply(xt)
    executed = builder.seal()
    header = executed.header
    chain.insert(Block(header.hash, header, tuple(executed.body), executed.state))
    draft = Certificate(FINALIZE, epoch.epoch, view, header.hash, bitmap_of(range(1), 1), ())
    encoded = replace(draft, signatures=(leader.sign(draft.sign_bytes(genesis)),)).encode()
    ends = next_epoch_of(header.digest) is not None
    chain.finalize(header.hash, encoded, {terminal_key(epoch.epoch): encoded} if ends else {})


async def _measure(plan: Plan, blocks: int) -> list[Row]:
    raw = rate_of_all_cores(10_000)
    running: list[NodeProcess] = []
    try:
        began = time.perf_counter()
        for node in plan.nodes:
            began = time.perf_counter()
            running.append(await start(plan, node))
            if not await wait_until_serving(running[-1], START_SECONDS):
                raise RuntimeError(running[-1].obituary())
        before = cpu_seconds_of(running[0].process.pid)
        first, seconds = await _follow(plan.nodes[1].url, blocks)
        whole = time.perf_counter() - began
        server = cpu_seconds_of(running[0].process.pid) - before
        own, workers = cpu_seconds_of(running[1].process.pid), cpu_seconds_of_children(running[1].process.pid)
    finally:
        await stop(running)
    raw = (raw + rate_of_all_cores(10_000)) / 2
    subject = f"full sync, {TRANSFERS:,} a block"
    total = blocks * TRANSFERS
    tps = (total - first * TRANSFERS) / seconds
    return [
        Row(subject, "ed25519 verifications, all cores together, before and after", raw, "per second"),
        Row(subject, "transfers", tps, "per second"),
        Row(subject, "of raw signature checks on all cores", tps / raw, "ratio"),
        Row(subject, "from start to head", whole, "s"),
        Row(subject, "processor, the new node, start-up included", (own - workers) / total * 1e6, "us/transfer"),
        Row(subject, "processor, its worker", workers / total * 1e6, "us/transfer"),
        Row(subject, "processor, the serving node", server / total * 1e6, "us/transfer"),
    ]


async def _follow(url: str, blocks: int) -> tuple[int, float]:
    """Wait until a node has all blocks; the first height that was seen above 0, and the time from it to the end."""
    client = await WsClient.connect(url)
    first, began = 0, 0.0
    try:
        async with asyncio.timeout(SYNC_SECONDS):
            while True:
                header = await client.call("chain_getHeader", await client.call("chain_getFinalizedHead"))
                number = int(header["number"], 16)
                if number and not first:
                    first, began = number, time.perf_counter()
                if number >= blocks:
                    return first, time.perf_counter() - began
                await asyncio.sleep(0.05)
    finally:
        await client.close()
