"""Wallets' libraries read everything of codes, rewards, attestations, names and reputation, and send it."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from aitoken.codec.base import AnyCodec, DecodeError
from chain.frame.pallet import Err, members_of
from tests.fuzz.values import Pools, draw
from tests.interop.test_wallet_libraries import CLIENT_SECONDS, devnet, javascript, run
from tests.support.pay_chain import PayChain, account

pytestmark = [pytest.mark.interop, pytest.mark.slow]

__all__ = ["devnet", "javascript"]

PALLETS = ("Codes", "Rewards", "Attest", "Names", "Reputation")
SAMPLES = 4
"""Of each call, event and stored value, drawn by type."""


def drawn(rng: Random, codec: AnyCodec, pools: Pools) -> bytes:
    """Some value's bytes, of any but with lists within their bounds."""
    while True:
        raw = draw(rng, codec, pools)
        try:
            codec.decode(raw)
        except DecodeError:
            continue
        return raw


def given() -> dict[str, Any]:
    """All kinds of calls, events, errors and stored values of the pallets, as we write them."""
    chain, rng = PayChain(), Random("earning in wallets")
    schema = chain.schema
    pools = Pools([account("payer"), account("other")], lambda _: schema.make_call("System.remark", b"x").encode())
    calls, events, errors, values = [], [], [], []
    for info in schema.all_calls():
        if info.pallet_name in PALLETS:
            for _ in range(SAMPLES):
                raw = info.key + b"".join(drawn(rng, codec, pools) for _, codec, _ in info.fields)
                calls.append((f"{info.pallet_name}.{info.name}", "0x" + raw.hex()))
    for pallet in schema.pallets:
        if pallet.name not in PALLETS:
            continue
        codec, names = schema.event_codecs[pallet.name], set()
        while len(names) < len(codec.shape().definition.variants) or len(events) % SAMPLES:
            raw = drawn(rng, codec, pools)
            name = f"{pallet.name}.{type(codec.decode(raw)).__name__}"
            names.add(name)
            events.append((name, "0x" + (bytes((pallet.index,)) + raw).hex()))
        errors += [(pallet.index, error.index, error.code) for error in members_of(pallet, "Error", Err)]
        values += [
            (pallet.name.lower(), info.name[0].lower() + info.name[1:], "0x" + drawn(rng, info.value, pools).hex())
            for info in schema.storage[pallet]
            for _ in range(SAMPLES)
        ]
    return {
        "metadata": "0x" + chain.runtime.metadata(14).hex(), "calls": calls, "events": events, "errors": errors,
        "values": values,
    }  # fmt: skip


def test_polkadot_js_reads_every_call_event_error_and_value_of_earning(tmp_path: Path, javascript: Path) -> None:
    file = tmp_path / "given.json"
    file.write_bytes(msgspec.json.encode(given()))

    run(["node", "polkadot_js_sessions.mjs", str(file)], CLIENT_SECONDS, javascript)


def test_polkadot_js_earns(devnet: str, javascript: Path) -> None:
    run(["node", "polkadot_js_earn.mjs", devnet], CLIENT_SECONDS, javascript)
