"""A scripted chain, pool, network and runtime for JSON-RPC: real headers, real states, no rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from aitoken.codec.containers import Tuple, Vec
from aitoken.codec.primitives import U8, U32, FixedBytes, Str
from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.proto.digest import Digest, DigestItem
from aitoken.proto.header import Header
from aitoken.types import AccountId, BlockNumber, Hash32, Nonce
from chain.frame.errors import UnknownApi
from chain.state.base import State, StateDiscarded
from chain.state.layer import FinalState
from node.pool.errors import AlreadyImported, PoolRejected
from node.pool.status import Stage, Status, Watcher
from node.ports import Block, Cancellable, ChainListener
from node.rpc.assemble import Rpc, RpcSettings
from node.rpc.limits import Limits
from node.rpc.ports import ChainInfo, Peer
from node.tasks import spawn

VECTORS = Path(__file__).parents[1] / "vectors" / "rpc"
VERSION = Tuple(Str, Str, U32, U32, U32, Vec(Tuple(FixedBytes(8), U32)), U32, U8)
ZERO = Hash32(bytes(32))

GENESIS_STATE: dict[bytes, bytes | None] = {
    b":code": b"code",
    b"acct/alice": b"\x01" * 40,
    b"acct/bob": b"\x02" * 40,
    b"acct/carol": b"\x03" * 3,
    b"now": b"\x00",
}


class BadArguments(Rejected):
    code = "codec.decode"


class FakeRuntime:
    """Knows the version, metadata and a few runtime APIs."""

    def __init__(self) -> None:
        self.spec_version = 100
        self._metadata = {v: bytes.fromhex(_hex(f"refnode_metadata_v{v}.hex")) for v in (14, 15)}
        self.calls = 0

    def call(self, state: State, name: str, data: bytes) -> bytes:
        self.calls += 1
        if name == "Core_version":
            apis = [(blake2_256(b"Core")[:8], 5), (blake2_256(b"Metadata")[:8], 2)]
            return VERSION.encode(("aitoken", "aitoken-py", 1, self.spec_version, 0, apis, 1, 1))
        if name == "Metadata_metadata_versions":
            return bytes.fromhex("080e0000000f000000")
        if name == "AccountNonceApi_account_nonce":
            if len(data) != 32:
                raise BadArguments("32 bytes are needed")
            return (7).to_bytes(4, "little")
        if name == "TransactionPaymentApi_query_info":
            return bytes.fromhex("1404") + b"\x00" + (2_620_000).to_bytes(16, "little")
        if name == "TransactionPaymentApi_query_fee_details":
            return b"\x01" + b"".join(n.to_bytes(16, "little") for n in (1_000_000, 1_470_000, 150_000)) + bytes(16)
        if name == "read_now":
            return state.get(b"now") or b""
        raise UnknownApi(name)

    def metadata(self, version: int) -> bytes:
        return self._metadata[version]

    def open_block(self, parent_state: State, parent_header: Header, items: Sequence[DigestItem]) -> Any:
        raise NotImplementedError


def _hex(name: str) -> str:
    return (VECTORS / name).read_text(encoding="ascii").strip().removeprefix("0x")


class FakeExtrinsic:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw


class _Off:
    def __init__(self, off: Callable[[], object]) -> None:
        self.cancel = off


class FakeChain:
    """A chain grown by hand: `add` makes blocks known, `set_best` and `finalize` move on."""

    def __init__(self, state: dict[bytes, bytes | None] | None = None) -> None:
        self.listeners: list[ChainListener] = []
        self.blocks: dict[Hash32, Block] = {}
        self.discarded: set[Hash32] = set()
        self.proofs: dict[Hash32, bytes] = {}
        root = FinalState.in_memory(state if state is not None else GENESIS_STATE)
        header = Header(ZERO, BlockNumber(0), root.root, ZERO, Digest())
        genesis = Block(header.hash, header, (), root)
        self.blocks[genesis.hash] = genesis
        self.genesis = self._best = self._final = genesis

    @property
    def genesis_hash(self) -> Hash32:
        return self.genesis.hash

    @property
    def best(self) -> Block:
        return self._best

    @property
    def finalized(self) -> Block:
        return self._final

    def add(
        self,
        parent: Block | None = None,
        changes: dict[bytes, bytes | None] | None = None,
        body: Sequence[bytes] = (),
        digest: Digest | None = None,
    ) -> Block:
        parent = parent or self._best
        number = BlockNumber(parent.number + 1)
        state = parent.state.child({b"now": bytes([number % 256]), **(changes or {})})
        extrinsics_root = blake2_256(b"".join(body) + bytes([len(self.blocks) % 256]))
        header = Header(parent.hash, number, state.root, extrinsics_root, digest or Digest())
        block = Block(header.hash, header, tuple(FakeExtrinsic(raw) for raw in body), state)  # type: ignore[misc]
        self.blocks[block.hash] = block
        for listener in list(self.listeners):
            listener.on_block(block)
        return block

    def set_best(self, block: Block) -> Block:
        self._best = block
        for listener in list(self.listeners):
            listener.on_best(block)
        return block

    def grow(self, count: int = 1, **what: Any) -> Block:
        for _ in range(count):
            self.set_best(self.add(**what))
        return self._best

    def finalize(self, block: Block, pruned: Sequence[Hash32] = ()) -> None:
        blocks = []
        at = block
        while at.hash != self._final.hash:
            blocks.append(at)
            at = self.blocks[at.header.parent_hash]
        self._final = block
        for listener in list(self.listeners):
            listener.on_finalized(blocks[::-1], pruned)

    def hash_of(self, number: int) -> Hash32 | None:
        at = self._best
        while at.number > number:
            at = self.blocks[at.header.parent_hash]
        return at.hash if at.number == number else None

    def certified_from(self, number: int, limit: int) -> BlockNumber | None:
        found = self._final.number
        return found if number <= found < number + limit else None

    def epoch_end(self, epoch: int) -> tuple[Header, bytes] | None:
        return (self._final.header, b"certificate") if epoch == 0 else None

    def genesis_proof(self) -> tuple[Header, list[bytes]] | None:
        return None

    def number_of(self, block_hash: Hash32) -> BlockNumber | None:
        block = self.blocks.get(block_hash)
        return None if block is None else block.number

    def header(self, block_hash: Hash32) -> Header | None:
        block = self.blocks.get(block_hash)
        return None if block is None else block.header

    def body(self, block_hash: Hash32) -> Sequence[bytes] | None:
        block = self.blocks.get(block_hash)
        return None if block is None else [extrinsic.raw for extrinsic in block.body]

    def justification(self, block_hash: Hash32) -> bytes | None:
        return self.proofs.get(block_hash)

    def is_final(self, block_hash: Hash32) -> bool:
        block = self.blocks[block_hash]
        return block.number <= self._final.number and self.hash_of(block.number) == block_hash

    def state_at(self, block_hash: Hash32) -> State:
        if block_hash in self.discarded:
            raise StateDiscarded("gone")
        return self.blocks[block_hash].state

    def unfinalized(self) -> Sequence[Block]:
        return sorted((b for b in self.blocks.values() if b.number > self._final.number), key=lambda b: b.number)

    def subscribe(self, listener: ChainListener) -> Cancellable:
        self.listeners.append(listener)
        return _Off(lambda: self.listeners.remove(listener))


class FakePool:
    """Takes everything but what `refusals` names; statuses are told by hand."""

    def __init__(self) -> None:
        self.refusals: dict[bytes, PoolRejected] = {}
        self.known: dict[Hash32, bytes] = {}
        self.watchers: dict[Hash32, list[Watcher]] = {}
        self.submitted: list[bytes] = []
        self.first = Stage.READY
        self.gate: asyncio.Event | None = None

    async def submit(self, raw: bytes, watch: Watcher | None = None, *, source: str = "local") -> Hash32:
        self.submitted.append(raw)
        if self.gate is not None:
            await self.gate.wait()
        if raw in self.refusals:
            raise self.refusals[raw]
        tx_hash = Hash32(blake2_256(raw))
        if tx_hash in self.known:
            raise AlreadyImported(tx_hash)
        self.known[tx_hash] = raw
        if watch is not None:
            self.watchers.setdefault(tx_hash, []).append(watch)
            watch(Status(self.first))
        return tx_hash

    def submit_then(self, raw: bytes, source: str, done: Callable[[Hash32 | PoolRejected], None]) -> None:
        async def work() -> None:
            try:
                outcome: Hash32 | PoolRejected = await self.submit(raw, source=source)
            except PoolRejected as error:
                outcome = error
            done(outcome)

        spawn(work(), "fake pool")

    def tell(self, raw: bytes, status: Status) -> None:
        for watch in list(self.watchers.get(Hash32(blake2_256(raw)), ())):
            watch(status)

    def unwatch(self, tx_hash: Hash32, watch: Watcher) -> None:
        watchers = self.watchers.get(tx_hash, [])
        if watch in watchers:
            watchers.remove(watch)

    def ready(self) -> Sequence[bytes]:
        return list(self.known.values())

    def next_nonce(self, account: AccountId, on_chain: Nonce) -> Nonce:
        return Nonce(on_chain + 2)

    def remove(self, tx_hash: Hash32) -> bool:
        return self.known.pop(tx_hash, None) is not None


class FakeNetwork:
    peer_id = "12D3KooWfake"

    def __init__(self) -> None:
        self.reserved: list[str] = []
        self.syncing = False

    def peers(self) -> Sequence[Peer]:
        return [Peer("12D3KooWother", Hash32(b"\x05" * 32), 5)]

    def listen_addresses(self) -> Sequence[str]:
        return ["/ip4/127.0.0.1/tcp/30333/p2p/12D3KooWfake"]

    def is_syncing(self) -> bool:
        return self.syncing

    def highest_seen(self) -> int:
        return 5

    def add_reserved(self, address: str) -> None:
        self.reserved.append(address)


class FakeConsensus:
    is_validator = True

    def __init__(self) -> None:
        self.inserted: list[tuple[str, bytes]] = []

    def rotate_keys(self, owner: bytes | None = None) -> tuple[bytes, bytes]:
        return b"k" * 64, b"" if owner is None else b"p" * 128

    def insert_key(self, kind: str, pair: Any) -> None:
        if kind not in ("bft_", "net_"):
            raise BadArguments("no such kind")
        self.inserted.append((kind, pair.public))

    def has_key(self, kind: str, public: bytes) -> bool:
        return (kind, public) in self.inserted

    def has_keys(self, publics: bytes) -> bool:
        return publics == b"k" * 64

    def round_state(self) -> dict[str, Any]:
        return {"epoch": 1, "view": 2}


class RpcBench:
    """A served fake node; `async with RpcBench() as bench` listens on a free port."""

    def __init__(self, limits: Limits | None = None, *, unsafe: bool = False, **settings: Any) -> None:
        self.chain = FakeChain(settings.pop("state", None))
        self.pool = FakePool()
        self.network = FakeNetwork()
        self.runtime = FakeRuntime()
        self.metrics = settings.pop("metrics", None)
        port = settings.pop("port", 0)
        self.consensus = FakeConsensus()
        self.settings = RpcSettings(port=port, limits=limits or Limits(), unsafe=unsafe, **settings)

    async def __aenter__(self) -> RpcBench:
        self.rpc = Rpc(
            self.settings,
            chain=self.chain,
            pool=self.pool,
            network=self.network,
            consensus=self.consensus,
            runtime=self.runtime,
            info=ChainInfo(),
            metrics=self.metrics,
        )
        self.chain.subscribe(self.rpc.feed)
        await self.rpc.start()
        self.port = self.rpc.server.port
        self.http = f"http://127.0.0.1:{self.port}"
        self.ws = f"ws://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.rpc.close()

    @staticmethod
    async def until(holds: Callable[[], object]) -> None:
        """Let the event loop turn until something holds; the caller sets a deadline."""
        turn = asyncio.Event()
        while not holds():
            asyncio.get_running_loop().call_later(0.001, turn.set)
            await turn.wait()
            turn.clear()


class RpcClient:
    """A bare JSON-RPC connection over aiohttp's WebSocket client that keeps the order of what arrives."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self._id = 0

    async def send(self, method: str, *params: Any) -> int:
        self._id += 1
        await self.socket.send_bytes(
            msgspec.json.encode({"jsonrpc": "2.0", "id": self._id, "method": method, "params": list(params)})
        )
        return self._id

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return msgspec.json.decode(await self.socket.receive_str())

    async def call(self, method: str, *params: Any) -> Any:
        """Send, and return the next message, which must be the response."""
        number = await self.send(method, *params)
        reply = await self.next()
        assert reply.get("id") == number, reply
        return reply["result"] if "result" in reply else reply["error"]

    async def call_until_response(self, method: str, *params: Any) -> Any:
        """Send, and return the response, dropping notifications on the way."""
        number = await self.send(method, *params)
        while True:
            reply = await self.next()
            if reply.get("id") == number:
                return reply["result"] if "result" in reply else reply["error"]

    async def note(self, method: str | None = None) -> Any:
        """Return the result of the next message, which must be a notification."""
        message = await self.next()
        assert "id" not in message, message
        assert method is None or message["method"] == method
        return message["params"]["result"]
