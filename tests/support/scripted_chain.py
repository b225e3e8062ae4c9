"""A node that answers as a Substrate node of the reference runtime does, and whose every answer a test may change."""

from __future__ import annotations

from typing import Any

from aitoken.client.chain import Chain
from aitoken.client.metadata import parse
from aitoken.codec.base import compact_encode
from aitoken.crypto import ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.hashing import blake2_256
from tests.support.fake_node import Refusal, Stream
from tests.support.vectors import own_hex, unhex

ALICE = pair_from_uri("//Alice")
BOB = pair_from_uri("//Bob", "ed25519")
BOB_ADDRESS = ss58.encode(BOB.public)
GENESIS = bytes(range(32))
V14, V15 = own_hex("rpc/refnode_metadata_v14.hex"), own_hex("rpc/refnode_metadata_v15.hex")
FINAL_NUMBER = 42


def header(number: int) -> dict[str, Any]:
    zero = "0x" + "00" * 32
    return {
        "parentHash": zero,
        "number": hex(number),
        "stateRoot": zero,
        "extrinsicsRoot": zero,
        "digest": {"logs": ["0x0608"]},
    }


class Scripted:
    """A chain whose answers a test may change."""

    def __init__(self) -> None:
        self.chain = Chain(parse(V15), GENESIS, 100, 1)
        self.storage: dict[str, str | None] = {}
        self.spec_version = 100
        self.updates: list[Any] = [{"event": "validated"}, included("0xb1"), final("0xb2")]
        self.hang_up = False
        self.events: list[dict[str, Any]] = []
        self.sent: list[str] = []
        self.extra_extrinsics: list[str] = ["0x04"]
        self.next_index = 5
        self.methods: dict[str, Any] = {
            "chain_getBlockHash": lambda p: "0x" + GENESIS.hex() if p == [0] else "0xbe57",
            "state_getRuntimeVersion": lambda p: {
                "specName": "x",
                "specVersion": self.spec_version,
                "transactionVersion": 1,
                "apis": [],
            },
            "system_properties": lambda p: {"ss58Format": 42, "tokenDecimals": 12, "tokenSymbol": "AIT"},
            "state_getMetadata": lambda p: "0x" + V14.hex(),
            "state_call": self.state_call,
            "state_getStorage": self.get_storage,
            "system_accountNextIndex": lambda p: self.next_index,
            "chain_getFinalizedHead": lambda p: "0xf1",
            "chain_getHeader": lambda p: header(FINAL_NUMBER),
            "chain_getBlock": lambda p: {
                "block": {"header": header(50), "extrinsics": [*self.extra_extrinsics, *self.sent]},
                "justifications": None,
            },
            "author_submitExtrinsic": self.submit,
            "transactionWatch_v1_submitAndWatch": self.watch,
            "transactionWatch_v1_unwatch": lambda p: None,
            "chain_subscribeFinalizedHeads": lambda p: Stream("h", [header(1), header(2)]),
            "chain_unsubscribeFinalizedHeads": lambda p: True,
            "chain_subscribeNewHeads": lambda p: Stream("n", [header(3)]),
            "chain_unsubscribeNewHeads": lambda p: True,
        }
        self.calls: dict[str, Any] = {
            "Metadata_metadata_versions": lambda data: bytes.fromhex("080e0000000f000000"),
            "Metadata_metadata_at_version": lambda data: b"\x01" + compact_encode(len(V15)) + V15,
            "TransactionPaymentApi_query_info": lambda data: b"\x04\x08\x00" + (777).to_bytes(16, "little"),
            "AccountNonceApi_account_nonce": lambda data: (9).to_bytes(4, "little"),
        }

    def state_call(self, params: list[Any]) -> str:
        if params[0] not in self.calls:
            raise Refusal(4003, "Client error: Execution failed: Other: Exported method is not found")
        return "0x" + bytes(self.calls[params[0]](unhex(params[1]))).hex()

    def get_storage(self, params: list[Any]) -> str | None:
        if params[0] == "0x" + self.chain.storage_key("System", "Events").hex():
            return "0x" + self.chain.coders.encode(self._type_of("System", "Events"), self.events).hex()
        return self.storage.get(params[0])

    def submit(self, params: list[Any]) -> str:
        self.sent.append(params[0])
        return "0x" + blake2_256(unhex(params[0])).hex()

    def watch(self, params: list[Any]) -> Stream:
        self.sent.append(params[0])
        return Stream("w", self.updates, hang_up=self.hang_up)

    def put(self, pallet: str, item: str, keys: tuple[Any, ...], value: Any) -> None:
        key = "0x" + self.chain.storage_key(pallet, item, *keys).hex()
        self.storage[key] = "0x" + self.chain.coders.encode(self._type_of(pallet, item), value).hex()

    def _type_of(self, pallet: str, item: str) -> Any:
        kind: Any = self.chain.metadata.pallets[pallet].storage[item].kind
        return kind.value

    def record(self, index: int | None, pallet: str, name: str, fields: Any) -> None:
        phase = "Finalization" if index is None else {"ApplyExtrinsic": index}
        self.events.append({"phase": phase, "event": {pallet: {name: fields}}, "topics": []})


def included(block_hash: str | None) -> dict[str, Any]:
    """The event of a transaction that is in a best block, or in none any more."""
    return {"event": "bestChainBlockIncluded", "block": block_hash and {"hash": block_hash, "index": 1}}


def final(block_hash: str) -> dict[str, Any]:
    """The event of a transaction that is in a final block."""
    return {"event": "finalized", "block": {"hash": block_hash, "index": 1}}


INFO = {"weight": {"ref_time": 1, "proof_size": 2}, "class": "Normal", "pays_fee": "Yes"}
