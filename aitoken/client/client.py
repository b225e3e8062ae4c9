"""A node as seen by a program: query, call, submit, subscribe.

    async with await Client.connect("ws://127.0.0.1:9944") as client:
        account = await client.account(alice.public)
        call = client.call("Balances", "transfer_keep_alive", dest=bob, value=5 * 10**12)
        receipt = await client.submit(call, alice, wait="final")

Works with any Substrate chain of extrinsic version 4, because everything is read from its metadata. How Python values
and chain types correspond is in `aitoken.client.dynamic`. Blocks and transactions are named by 0x-hex text, as in
JSON-RPC; amounts are integers of the smallest unit.

Transactions are mortal: valid for about five minutes from the last final block, so that a lost one cannot come back
later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Literal, Self

from aitoken.client import answers
from aitoken.client.answers import Head, Receipt, RuntimeVersion, SignedBlock, Token, convert, unhex
from aitoken.client.chain import Call, Chain, DispatchProblem, Event
from aitoken.client.connection import TIMEOUT_SECONDS, Connection
from aitoken.client.connection import connect as open_connection
from aitoken.client.dynamic import Coders
from aitoken.client.errors import (
    BadMetadata,
    BadValue,
    FateUnknown,
    NodeRefused,
    NodeUnavailable,
    SubscriptionLagged,
    TransactionDropped,
    TransactionRefused,
    UnknownName,
)
from aitoken.client.metadata import parse
from aitoken.codec.containers import Option, Vec
from aitoken.codec.primitives import U32, Bytes
from aitoken.crypto import ss58
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import Signer
from aitoken.errors import Rejected
from aitoken.proto.era import IMMORTAL, Era

Wait = Literal["none", "in_block", "final"]

WATCH_SECONDS: Final = 180
"""How long `submit` waits for a transaction to be included or final."""

LIFETIME_MS: Final = 300_000
PERIOD_MIN: Final = 64
PERIOD_MAX: Final = 4096
"""Longer periods quantise their phase, and the birth block would no longer be the last final one."""

PAGE: Final = 500
"""Entries of a map asked for at a time."""


class Client:
    """A connection to a node and the description of its chain.

    Attributes:
        chain: builds and reads everything that needs no asking; replaced when the runtime is upgraded.
        token: symbol and decimals, for showing amounts.
    """

    def __init__(self, connection: Connection, chain: Chain, token: Token) -> None:
        self._connection = connection
        self.chain = chain
        self.token = token

    @classmethod
    async def connect(cls, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Self:
        """Connect to a node and read its chain's description.

        Args:
            url: ws:// or wss://; http:// and https:// work for everything that needs no subscription.
            timeout_seconds: for connecting, and for each request later.

        Raises:
            BadUrl: the address is none of these.
            NodeUnavailable: nobody answers, or not in time, or not as a Substrate node does.
            BadMetadata: the chain's description cannot be read.
        """
        connection = await open_connection(url, timeout_seconds=timeout_seconds)
        try:
            chain = await _load_chain(connection)
            token = answers.token_of(await connection.request("system_properties"))
        except BaseException:
            await connection.close()
            raise
        return cls(connection, chain, token)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(self, method: str, params: Sequence[Any] | None = None) -> Any:
        """Call a JSON-RPC method and return its result.

        Raises:
            NodeRefused: the node answers with an error.
            NodeUnavailable: it does not answer.
        """
        return await self._connection.request(method, params or ())

    async def refresh(self) -> None:
        """Read the chain's description again; `sign` and `submit` do it by themselves after a runtime upgrade."""
        self.chain = await _load_chain(self._connection)

    # reading

    def constant(self, pallet: str, name: str) -> Any:
        """Return a constant of a pallet, decoded."""
        return self.chain.constant(pallet, name)

    async def query(self, pallet: str, item: str, *keys: Any, at: str | None = None) -> Any:
        """Return a storage value, decoded; the default, or None, where there is none.

        Args:
            pallet: as the metadata spells it, such as "System".
            item: such as "Account".
            keys: as many as the item has; accounts as SS58 text, 0x-hex or 32 bytes.
            at: hash of a block; the best block when None.

        Raises:
            UnknownName: there is no such item.
            BadValue: the keys do not fit.
        """
        wanted = self.chain.key_count(pallet, item)
        if len(keys) != wanted:
            raise BadValue(f"{pallet}.{item} has {wanted} keys, {len(keys)} were given")
        key = self.chain.storage_key(pallet, item, *keys)
        return self.chain.decode_value(pallet, item, await self._stored(key, at))

    async def query_map(
        self,
        pallet: str,
        item: str,
        *keys: Any,
        at: str | None = None,
        wanted: Callable[[tuple[Any, ...]], bool] | None = None,
    ) -> AsyncIterator[tuple[tuple[Any, ...], Any]]:
        """Go through the entries of a map: (keys, value), in the order of their storage keys.

        Args:
            pallet: as the metadata spells it.
            item: a map.
            keys: the first keys of a map with several; only entries with them are given.
            at: hash of a block; the best block of this moment when None, for all pages alike.
            wanted: only entries whose keys it likes are read.
        """
        block = at or await self.request("chain_getBlockHash")
        prefix = "0x" + self.chain.storage_key(pallet, item, *keys).hex()
        last: str | None = None
        while True:
            found = await self.request("state_getKeysPaged", [prefix, PAGE, last, block])
            page = convert(found, list[str], "state_getKeysPaged")
            names = {key: self.chain.decode_keys(pallet, item, unhex(key, "state_getKeysPaged")) for key in page}
            read = [key for key in page if wanted is None or wanted(names[key])]
            change_sets = await self.request("state_queryStorageAt", [read, block]) if read else []
            pairs = convert(change_sets, list[dict[str, Any]], "state_queryStorageAt")
            values = {key: value for part in pairs for key, value in part.get("changes", [])}
            for key in read:
                raw = values.get(key)
                if raw is not None:
                    yield names[key], self.chain.decode_value(pallet, item, unhex(raw, "state_queryStorageAt"))
            if len(page) < PAGE:
                return
            last = page[-1]

    async def account(self, address: Any, *, at: str | None = None) -> Any:
        """Return `System.Account` of an account: {"nonce", ..., "data": {"free", "reserved", "frozen", ...}}.

        Args:
            address: SS58 text, 0x-hex, 32 bytes, or a pair.
            at: hash of a block; the best block when None.
        """
        return await self.query("System", "Account", self.chain.account_id(address), at=at)

    async def nonce(self, address: Any) -> int:
        """Return the nonce of an account's next transaction, those waiting in the node's pool counted."""
        return convert(await self.request("system_accountNextIndex", [self._ss58(address)]), int, "next index")

    async def runtime_call(self, api: str, method: str, *arguments: Any, at: str | None = None) -> Any:
        """Call a runtime API by name, such as ("AccountNonceApi", "account_nonce", address); needs metadata 15.

        Raises:
            UnknownName: the runtime has no such API or method.
            BadValue: the arguments do not fit.
        """
        found = self.chain.metadata.apis.get(api, {}).get(method)
        if found is None:
            raise UnknownName(f"the chain describes no runtime API {api}.{method}")
        if len(arguments) != len(found.inputs):
            raise BadValue(f"{api}.{method} takes {', '.join(i.name for i in found.inputs) or 'no arguments'}")
        coders = self.chain.coders
        data = b"".join(coders.encode(i.type, value) for i, value in zip(found.inputs, arguments, strict=True))
        return coders.decode(found.output, await self._state_call(f"{api}_{method}", data, at))

    async def head(self, *, final: bool = True) -> Head:
        """Return the last final head, or the best one."""
        block = await self.request("chain_getFinalizedHead" if final else "chain_getBlockHash")
        return answers.head_of(await self.request("chain_getHeader", [block]))

    async def events(self, block_hash: str) -> list[Event]:
        """Return the events of a block."""
        key = self.chain.storage_key("System", "Events")
        return self.chain.events(await self._stored(key, block_hash))

    # following

    async def subscribe_heads(self, *, final: bool = True) -> AsyncIterator[Head]:
        """Go through heads as they come, the present one first: final ones in order without gaps, or best ones."""
        name = "FinalizedHeads" if final else "NewHeads"
        stream = await self._connection.subscribe(f"chain_subscribe{name}", (), f"chain_unsubscribe{name}")
        async with stream:
            async for header in stream:
                yield answers.head_of(header)

    async def subscribe_storage(self, pallet: str, item: str, *keys: Any) -> AsyncIterator[Any]:
        """Go through the values of one storage item, the present one first, then each one that differs."""
        key = "0x" + self.chain.storage_key(pallet, item, *keys).hex()
        stream = await self._connection.subscribe("state_subscribeStorage", [[key]], "state_unsubscribeStorage")
        async with stream:
            async for change_set in stream:
                changes = convert(change_set, dict[str, Any], "state_subscribeStorage").get("changes", [])
                for _, raw in changes:
                    data = None if raw is None else unhex(raw, "state_subscribeStorage")
                    yield self.chain.decode_value(pallet, item, data)

    # sending

    def call(self, pallet: str, name: str, /, **arguments: Any) -> Call:
        """Make a call; see `aitoken.client.dynamic` for the values. Nothing is sent.

        Raises:
            UnknownName: there is no such call.
            BadValue: an argument is missing, unknown, or does not fit.
        """
        return self.chain.call(pallet, name, **arguments)

    async def fee(self, call: Call, address: Any, *, tip: int = 0) -> int:
        """Return what a transaction would cost now, tip not included, in the smallest unit."""
        draft = self.chain.draft(call, self.chain.account_id(address), tip=tip)
        data = draft + len(draft).to_bytes(4, "little")
        info = await self._state_call("TransactionPaymentApi_query_info", data, None)
        # RuntimeDispatchInfo: weight and class, whose form changed over the years, and then the fee as u128.
        return int.from_bytes(info[-16:], "little")

    async def sign(
        self, call: Call, pair: Signer, *, tip: int = 0, nonce: int | None = None, mortal: bool = True
    ) -> bytes:
        """Return a signed transaction, length prefix included, without sending it.

        Args:
            call: what it does.
            pair: who signs and pays.
            tip: on top of the fee, in the smallest unit.
            nonce: the account's next one, asked of the node, when None.
            mortal: valid for about five minutes; otherwise until the nonce is used.
        """
        address = self._ss58(pair)
        next_index, final, version = await self._connection.batch(
            [("system_accountNextIndex", [address]), ("chain_getFinalizedHead", []), ("state_getRuntimeVersion", [])]
        )
        runtime = convert(version, RuntimeVersion, "state_getRuntimeVersion")
        if (runtime.spec_version, runtime.transaction_version) != (
            self.chain.spec_version,
            self.chain.transaction_version,
        ):
            await self.refresh()
            call = self.chain.call(call.pallet, call.name, **call.arguments)
        era, birth_hash = IMMORTAL, None
        if mortal:
            head = answers.head_of(await self.request("chain_getHeader", [final]))
            era, birth_hash = Era.mortal(self._period(), head.number), unhex(head.hash, "chain_getHeader")
        own_nonce = convert(next_index, int, "system_accountNextIndex") if nonce is None else nonce
        return self.chain.sign(call, pair, nonce=own_nonce, tip=tip, era=era, birth_hash=birth_hash)

    async def rehearse(self, call: Call, pair: Signer) -> DispatchProblem | None:
        """Return why a call would fail in the next block; None if it would not, or the node does not say."""
        raw = await self.sign(call, pair)
        try:
            answer = await self.request("system_dryRun", ["0x" + raw.hex()])
        except NodeRefused:
            return None
        return self.chain.problem_in(unhex(answer, "system_dryRun"))

    async def submit(
        self,
        call: Call,
        pair: Signer,
        wait: Wait = "none",
        tip: int = 0,
        *,
        nonce: int | None = None,
        timeout_seconds: float = WATCH_SECONDS,
    ) -> Receipt:
        """Sign a call and send it.

        Args:
            call: what it does.
            pair: who signs and pays.
            wait: return when the node has taken it ("none"), when a block holds it, or when that block is final.
            tip: on top of the fee, in the smallest unit.
            nonce: the account's next one, asked of the node, when None; count yourself to send many at once.
            timeout_seconds: for the waiting.

        Returns:
            A receipt. A call that failed is no exception: look at `success` and `error`.

        Raises:
            TransactionRefused: the node does not take it; nothing was spent.
            TransactionDropped: it was taken, but will not be included.
            FateUnknown: it was sent, and what became of it was not seen.
        """
        raw = await self.sign(call, pair, tip=tip, nonce=nonce)
        return await self.send(raw, wait, timeout_seconds=timeout_seconds)

    async def send(self, raw: bytes, wait: Wait = "none", *, timeout_seconds: float = WATCH_SECONDS) -> Receipt:
        """Send a signed transaction (length prefix included); see `submit`."""
        text, transaction_hash = "0x" + raw.hex(), "0x" + blake2_256(raw).hex()
        try:
            if wait == "none":
                await self.request("author_submitExtrinsic", [text])
                return Receipt(transaction_hash)
            async with asyncio.timeout(timeout_seconds):
                block_hash = await self._watch(text, transaction_hash, wait)
                return await self._receipt(text, transaction_hash, block_hash)
        except TimeoutError:
            raise FateUnknown(transaction_hash, f"not {wait} within {timeout_seconds:g} s") from None
        except (NodeUnavailable, SubscriptionLagged) as bad:
            raise FateUnknown(transaction_hash, str(bad)) from bad

    async def _watch(self, text: str, transaction_hash: str, wait: Wait) -> str:
        """Return the hash of the block a transaction is included, or final, in.

        `transactionWatch_v1` tells finality at once; `author_submitAndWatchExtrinsic` makes a pause before it.
        """
        good = ("finalized",) if wait == "final" else ("bestChainBlockIncluded", "finalized")
        watch = ("transactionWatch_v1_submitAndWatch", [text], "transactionWatch_v1_unwatch")
        async with await self._connection.subscribe(*watch) as updates:
            async for update in updates:
                told = update if isinstance(update, dict) else {}
                kind, block = told.get("event"), told.get("block")
                if kind in good and isinstance(block, dict) and isinstance(block.get("hash"), str):
                    return str(block["hash"])
                if kind == "invalid" and isinstance(told.get("code"), int):
                    raise TransactionRefused(told["code"], str(told.get("message", "")), told.get("data"))
                if kind in ("invalid", "dropped"):
                    raise TransactionDropped(
                        f"transaction {transaction_hash} will not be included: {kind}: {told.get('error')}"
                    )
                if kind == "error":
                    break
        raise FateUnknown(transaction_hash, "the node stopped watching it")

    async def _receipt(self, text: str, transaction_hash: str, block_hash: str) -> Receipt:
        key = "0x" + self.chain.storage_key("System", "Events").hex()
        block, raw_events = await self._connection.batch(
            [("chain_getBlock", [block_hash]), ("state_getStorage", [key, block_hash])]
        )
        signed = convert(block, SignedBlock, "chain_getBlock")
        if text not in signed.block.extrinsics:
            raise FateUnknown(transaction_hash, f"block {block_hash}, said to hold it, does not")
        index = signed.block.extrinsics.index(text)
        events = self.chain.events(None if raw_events is None else unhex(raw_events, "state_getStorage"))
        return answers.receipt_of(self.chain, transaction_hash, answers.head_of_block(signed), index, events)

    # below

    def _ss58(self, account: Any) -> str:
        return ss58.encode(self.chain.account_id(account), self.chain.prefix)

    def _period(self) -> int:
        """Return how many blocks five minutes are, within what the chain remembers."""
        pallets = self.chain.metadata.pallets
        step_ms, remembered = 0, PERIOD_MAX
        if "Timestamp" in pallets and "MinimumPeriod" in pallets["Timestamp"].constants:
            step_ms = 2 * self.constant("Timestamp", "MinimumPeriod")
        if "BlockHashCount" in pallets["System"].constants:
            remembered = self.constant("System", "BlockHashCount")
        wanted = LIFETIME_MS // step_ms if step_ms else PERIOD_MIN
        most = min(PERIOD_MAX, 1 << (max(remembered, 4).bit_length() - 1))
        return min(max(wanted, PERIOD_MIN), most)

    async def _stored(self, key: bytes, at: str | None) -> bytes | None:
        raw = await self.request("state_getStorage", ["0x" + key.hex(), *([at] if at else [])])
        return None if raw is None else unhex(raw, "state_getStorage")

    async def _state_call(self, method: str, data: bytes, at: str | None) -> bytes:
        return await _state_call(self._connection, method, data, at)


async def _state_call(connection: Connection, method: str, data: bytes, at: str | None = None) -> bytes:
    result = await connection.request("state_call", [method, "0x" + data.hex(), *([at] if at else [])])
    return unhex(result, method)


async def _load_chain(connection: Connection) -> Chain:
    genesis, version = await connection.batch([("chain_getBlockHash", [0]), ("state_getRuntimeVersion", [])])
    runtime = convert(version, RuntimeVersion, "state_getRuntimeVersion")
    metadata = parse(await _load_metadata(connection))
    prefix = metadata.pallet("System").constants.get("SS58Prefix")
    return Chain(
        metadata=metadata,
        genesis_hash=unhex(genesis, "chain_getBlockHash"),
        spec_version=runtime.spec_version,
        transaction_version=runtime.transaction_version,
        prefix=ss58.DEFAULT_PREFIX if prefix is None else Coders(metadata).decode(prefix.type, prefix.value),
    )


async def _load_metadata(connection: Connection) -> bytes:
    """Return metadata 15 where the runtime offers it, 14 otherwise."""
    try:
        versions = Vec(U32).decode(await _state_call(connection, "Metadata_metadata_versions", b""))
        if 15 in versions:
            blob = await _state_call(connection, "Metadata_metadata_at_version", U32.encode(15))
            found: bytes | None = Option(Bytes).decode(blob)
            if found is not None:
                return found
    except NodeRefused:
        pass  # an older runtime
    except Rejected as bad:
        raise BadMetadata(f"the node's list of metadata versions cannot be read: {bad}") from bad
    return unhex(await connection.request("state_getMetadata"), "state_getMetadata")
