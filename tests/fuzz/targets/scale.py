"""SCALE: calls, events, storage values, arguments of runtime APIs, what clients read by metadata; headers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aitoken.client.dynamic import Coders
from aitoken.client.metadata import parse
from aitoken.codec.base import DecodeError, EncodeError
from aitoken.proto.digest import next_epoch_of, smpx_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from chain.frame.calls import Call
from chain.frame.metadata import write_metadata
from chain.frame.origin import Signed
from chain.params import PRESETS
from tests.fuzz.engine import Target
from tests.support.proven_chain import ProvenChain
from tests.support.small_runtime import small_schema
from tests.support.staking_chain import StakingChain, account, hexed


def targets() -> Iterator[Target]:
    """All of them, with seeds from a chain that has run for some blocks."""
    chain = _lived()
    schema = chain.schema
    calls = [call.encode() for call in _calls(chain)]
    yield Target("scale.call", calls, schema.decode_call, again=_call_again)
    extrinsics = [chain.signed("A", "Utility.batch_all", _calls(chain)[:3]).raw, chain.blocks[0].body[0].raw]
    yield Target("proto.extrinsic", extrinsics, lambda raw: _extrinsic(chain, raw), again=lambda xt: xt.raw)
    events = [bytes(raw) for block in chain.blocks if (raw := block.state.get(chain.system.events.raw_key(None)))]
    yield Target("scale.events", events[-8:], schema.decode_events, again=schema.event_records.encode)
    yield _storage(chain)
    yield _arguments(chain)
    headers = [block.header.encode() for block in chain.blocks[-6:]] + [ProvenChain(4).headers[4].encode()]
    yield Target("proto.header", headers, _header, again=lambda header: header.encode())
    blobs = [write_metadata(small_schema(PRESETS["devnet"]), version) for version in (14, 15)]
    yield Target("client.metadata", blobs, parse, gate=6)
    metadata = parse(write_metadata(schema, 15))
    coders, call_type = Coders(metadata), metadata.extrinsic.call
    yield Target("client.value", calls, lambda data: coders.decode(call_type, data))


def _lived() -> StakingChain:
    chain = StakingChain(nominators={"N": (500, ["A", "B"])}, others={"P": 10_000})
    for index in range(6):
        chain.block(chain.signed("P", "Balances.transfer_keep_alive", account("root"), 10**12 + index))
    return chain


def _calls(chain: StakingChain) -> list[Any]:
    make = chain.schema.make_call
    pay = make("Balances.transfer_keep_alive", account("A"), 10**12)
    return [
        pay,
        make("System.remark", b"hello"),
        make("Utility.batch", [pay, make("Utility.as_derivative", 3, pay)]),
        make("Utility.dispatch_as", Signed(account("A")), pay),
        make("Staking.nominate", [account("A"), account("B")]),
        make("Sudo.sudo", make("System.set_storage", [(b"k", b"v")])),
    ]


def _call_again(call: Call) -> bytes | None:
    """The bytes of a call; an address that is no account reads, so that the call can fail, and is not kept."""
    try:
        return call.encode()
    except EncodeError as error:
        if "32-byte account" in str(error):
            return None
        raise


def _extrinsic(chain: StakingChain, raw: bytes) -> Extrinsic:
    extrinsic = Extrinsic(raw)
    extrinsic.payload(bytes(72))
    extrinsic.era.birth(1000)
    chain.schema.decode_call(extrinsic.call_bytes)
    return extrinsic


def _header(data: bytes) -> Header:
    """A header as one and what is read from it, which may be refused where the header itself reads."""
    header = Header.decode(data)
    for look in (smpx_of, next_epoch_of):
        with suppress(DecodeError):
            look(header.digest)
    return header


def _storage(chain: StakingChain) -> Target:
    """Every value of the state; the first two bytes of an input choose the item."""
    items = [info for infos in chain.schema.storage.values() for info in infos]
    by_prefix = {info.prefix: index for index, info in enumerate(items)}
    seeds = {}
    for key, raw in chain.state.iterate(b""):
        index = by_prefix.get(key[:32])
        if index is not None and len(raw) < 5_000:
            seeds[index] = index.to_bytes(2, "big") + raw

    def read(data: bytes) -> Any:
        index = int.from_bytes(data[:2], "big") % len(items)
        return data[:2], index, items[index].value.decode(data[2:])

    def again(found: tuple[bytes, int, Any]) -> bytes:
        return found[0] + items[found[1]].value.encode(found[2])

    return Target("scale.storage", list(seeds.values()), read, again=again)


def _arguments(chain: StakingChain) -> Target:
    methods = sorted(chain.schema.api_methods.items())
    seeds = [
        bytes([index]) + bytes.fromhex(hexed("A")[2:]) + (b"\x20\x00\x00\x00" if "query" in name else b"")
        for index, (name, method) in enumerate(methods)
        if name == "AccountNonceApi_account_nonce"
    ]

    def read(data: bytes) -> Any:
        return methods[data[0] % len(methods)][1].decode_arguments(data[1:]) if data else None

    return Target("scale.api", seeds, read)
