"""What commands ask of a node, answered by the whole runtime in memory: real metadata, real blocks, no processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

from click.testing import CliRunner, Result

from aitoken.client.answers import Head, Receipt, receipt_of
from aitoken.client.chain import Call, Chain, DispatchProblem
from aitoken.client.metadata import parse
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AccountId
from cli.main import main
from node.rpc.dry_run import dry_run
from node.rpc.errors import RpcError
from tests.support.pay_chain import PayChain


@cache
def _metadata(runtime: Any) -> Any:
    return parse(runtime.metadata(15))


class MemoryNode:
    """A client of a chain that makes a block for each transaction, and for each head that is waited for."""

    def __init__(self, chain: PayChain) -> None:
        self.blocks = chain
        version = chain.schema.version
        self.chain = Chain(
            _metadata(chain.runtime), chain.genesis_hash, version.spec_version, version.transaction_version
        )

    async def query(self, pallet: str, item: str, *keys: Any) -> Any:
        raw = self.blocks.state.get(self.chain.storage_key(pallet, item, *keys))
        return self.chain.decode_value(pallet, item, raw)

    async def query_map(
        self, pallet: str, item: str, *keys: Any, wanted: Callable[[tuple[Any, ...]], bool] = lambda _: True
    ) -> AsyncIterator[tuple[tuple[Any, ...], Any]]:
        for key, raw in self.blocks.state.iterate(self.chain.storage_key(pallet, item, *keys)):
            names = self.chain.decode_keys(pallet, item, key)
            if wanted(names):
                yield names, self.chain.decode_value(pallet, item, raw)

    async def runtime_call(self, api: str, method: str, *arguments: Any) -> Any:
        found, coders = self.chain.metadata.apis[api][method], self.chain.coders
        data = b"".join(coders.encode(each.type, value) for each, value in zip(found.inputs, arguments, strict=True))
        return coders.decode(found.output, self.blocks.runtime.call(self.blocks.state, f"{api}_{method}", data))

    async def account(self, address: str) -> Any:
        return await self.query("System", "Account", address)

    def constant(self, pallet: str, name: str) -> Any:
        return self.chain.constant(pallet, name)

    def call(self, pallet: str, name: str, /, **arguments: Any) -> Call:
        return self.chain.call(pallet, name, **arguments)

    async def rehearse(self, call: Call, pair: Any) -> DispatchProblem | None:
        raw, blocks = self.chain.sign(call, pair, nonce=await self.nonce(pair)), self.blocks
        try:
            return self.chain.problem_in(dry_run(blocks.runtime, blocks.header, blocks.state, raw))
        except RpcError:
            return None

    async def nonce(self, pair: Any) -> int:
        return int(self.blocks.system.account.get(AccountId(pair.public)).nonce)

    async def submit(
        self, call: Call, pair: Any, wait: str = "none", tip: int = 0, *, nonce: int | None = None
    ) -> Receipt:
        own = await self.nonce(pair)
        assert nonce in (None, own)
        return await self.send(self.chain.sign(call, pair, nonce=own, tip=tip))

    async def send(self, raw: bytes, wait: str = "final") -> Receipt:
        assert wait in ("in_block", "final")
        extrinsic = Extrinsic(raw)
        self.blocks.block(extrinsic)
        events = self.chain.events(self.blocks.state.get(self.chain.storage_key("System", "Events")))
        return receipt_of(self.chain, "0x" + extrinsic.hash.hex(), self._head(), 1, events)

    async def subscribe_heads(self, *, final: bool = True) -> AsyncIterator[Head]:
        while True:
            yield self._head()
            self.blocks.block()

    async def close(self) -> None:
        """Nothing is open."""

    def _head(self) -> Head:
        header = self.blocks.header
        return Head(header.number, "0x" + header.hash.hex(), "", "", "", ())


def command_line(node: MemoryNode) -> Callable[..., Result]:
    """Return what runs `aitoken ...` against the node."""

    async def connect(_: str) -> MemoryNode:
        return node

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), obj=connect, env={"HOME": "/nonexistent", "AITOKEN_URL": None})

    return run
