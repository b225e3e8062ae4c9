"""Indices are for ever: calls, events, errors and storage names are what `metadata_lock.json` says.

Adding is fine once the lock file is extended in the same change; moving or removing needs a new spec version, and a
new transaction version where calls move. Regenerate with `UPDATE_METADATA_LOCK=1` and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from chain.frame.pallet import Err, Ev, Pallet, members_of
from chain.frame.schema import Schema
from chain.params import PRESETS
from chain.runtime import PALLETS, SPEC_VERSION, TRANSACTION_VERSION, build_schema

LOCK = Path(__file__).parent / "metadata_lock.json"


def indices() -> dict[str, Any]:
    schema = build_schema(PRESETS["devnet"])
    found: dict[str, Any] = {"specVersion": SPEC_VERSION, "transactionVersion": TRANSACTION_VERSION, "pallets": {}}
    for pallet in sorted(PALLETS, key=lambda pallet: pallet.index):
        found["pallets"][pallet.name] = {
            "index": pallet.index,
            "calls": {
                str(info.index): f"{info.name}({', '.join(info.arguments)})"
                for info in sorted(schema.call_infos[pallet.name], key=lambda info: info.index)
            },
            "events": {str(event.scale_index): event.__name__ for event in members_of(pallet, "Event", Ev)},
            "errors": {str(error.index): error.__name__ for error in members_of(pallet, "Error", Err)},
            "storage": sorted(
                f"{info.name} {'+'.join(hasher.name for hasher in info.hashers)}".strip()
                for info in schema.storage[pallet]
            ),
            "constants": sorted(item.name for item in schema.constants[pallet]),
            **({"parameters": parameters} if (parameters := parameters_of(schema, pallet)) else {}),
        }
    return found


def parameters_of(schema: Schema, pallet: type[Pallet]) -> dict[str, str]:
    return {str(info.key[1]): f"{info.name} {info.bounds}" for info in schema.parameters[pallet]}


def test_indices_are_those_of_the_lock_file() -> None:
    found = indices()
    if os.environ.get("UPDATE_METADATA_LOCK"):
        LOCK.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")

    assert found == msgspec.json.decode(LOCK.read_bytes())
