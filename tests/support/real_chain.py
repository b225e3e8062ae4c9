"""A real chain on a real database in a folder of the test: blocks are built by hand, without consensus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from aitoken.types import Hash32
from node.chain.opening import OpenChain, open_chain
from node.ports import Block
from tests.support import leading

GENESIS = Path(__file__).resolve().parents[2] / "genesis.json"
ALICE = pair_from_uri("//Alice", "ed25519")


def write_genesis(folder: Path, **params: int) -> Path:
    """The devnet's genesis with //Alice's ed25519 account funded and other parameters."""
    spec = msgspec.json.decode(GENESIS.read_bytes())
    spec["params"] |= params
    spec["genesis"]["balances"]["0x" + ALICE.public.hex()] = "1_000 AIT"
    file = folder / "genesis.json"
    file.write_bytes(msgspec.json.encode(spec))
    return file


def open_in(folder: Path, *, history_blocks: int | None = 256, **params: int) -> OpenChain:
    """Open (or reopen) the chain of a test folder."""
    file = folder / "genesis.json"
    if not file.exists():
        file = write_genesis(folder, **params)
    return open_chain(file, folder / "node", history_blocks=history_blocks)


def remark(opened: OpenChain, nonce: int, text: bytes = b"hello") -> Extrinsic:
    """A signed remark of //Alice's ed25519 account."""
    schema = opened.runtime.schema
    call = schema.make_call("System.remark", text).encode()
    additional = additional_signed(
        schema.version.spec_version, schema.version.transaction_version, opened.genesis_hash, opened.genesis_hash
    )
    return sign_extrinsic(call, ALICE, additional, nonce=nonce)


def build(opened: OpenChain, parent: Block, extrinsics: Sequence[Extrinsic] = (), view: int | None = None) -> Block:
    """Build and insert a block."""
    number = parent.number + 1
    builder = opened.runtime.open_block(
        parent.state,
        parent.header,
        leading.items(
            opened.runtime,
            parent.state,
            opened.genesis_hash,
            view=view or number,
            parent_view=0,
            timestamp_ms=1_767_225_600_000 + 1_000 * number + (view or 0),
        ),
    )
    for xt in extrinsics:
        builder.apply(xt)
    executed = builder.seal()
    block = Block(Hash32(executed.header.hash), executed.header, tuple(executed.body), executed.state)
    opened.chain.insert(block)
    return block
