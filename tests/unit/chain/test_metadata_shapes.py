"""Metadata as clients need it: our types look like Polkadot's wherever they have the same path."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from aitoken.client.metadata import (
    ArrayDef,
    CompactDef,
    CompositeDef,
    Metadata,
    PrimitiveDef,
    SequenceDef,
    TupleDef,
    VariantDef,
    parse,
)
from chain.frame.extensions import EXTENSIONS
from chain.frame.metadata import write_metadata
from chain.params import PRESETS
from chain.runtime import PALLETS, build_schema
from tests.support.vectors import public_vectors

SCHEMA = build_schema(PRESETS["devnet"])
STRUCTURAL = ("Option", "Result", "BTreeMap", "Cow")
OWN = {
    # The outer enums list this chain's pallets; keys are those of this chain's consensus.
    "_runtime::RuntimeEvent", "_runtime::RuntimeCall", "_runtime::RuntimeError", "_runtime::RuntimeHoldReason",
    "_runtime::OriginCaller", "_runtime::SessionKeys", "_runtime::Runtime",
    # Polkadot 1.7 has one event more in front; ours follow substrate-node 268.
    "pallet_session::pallet::Event",
    # The offender is the account alone: its exposure stands in Staking.
    "sp_staking::offence::OffenceDetails",
}  # fmt: skip


@pytest.fixture(scope="module", params=[14, 15])
def metadata(request: pytest.FixtureRequest) -> Metadata:
    return parse(write_metadata(SCHEMA, request.param))


def path_of(metadata: Metadata, type_id: int) -> str:
    path = list(metadata.types[type_id].path)
    if path and path[0].endswith("_runtime") and path[0] != "sp_runtime":
        path[0] = "_runtime"
    return "::".join(path)


def name_of(metadata: Metadata, type_id: int) -> str:
    """Name a type by its path, or by what it is made of."""
    path, info = path_of(metadata, type_id), metadata.types[type_id]
    if path and path not in STRUCTURAL:
        return path
    if path:
        return f"{path}<{', '.join('-' if p.type is None else name_of(metadata, p.type) for p in info.params)}>"
    match info.definition:
        case SequenceDef() as each:
            return f"Vec<{name_of(metadata, each.item)}>"
        case ArrayDef() as each:
            return f"[{name_of(metadata, each.item)}; {each.length}]"
        case TupleDef() as each:
            return f"({', '.join(name_of(metadata, item) for item in each.items)})"
        case CompactDef() as each:
            return f"Compact<{name_of(metadata, each.item)}>"
        case PrimitiveDef() as each:
            return f"primitive {each.number}"
    return type(info.definition).__name__


def shape_of(metadata: Metadata, type_id: int) -> Any:
    definition = metadata.types[type_id].definition
    if isinstance(definition, CompositeDef):
        return [(field.name, name_of(metadata, field.type)) for field in definition.fields]
    if isinstance(definition, VariantDef):
        return {
            each.index: (each.name, [(field.name, name_of(metadata, field.type)) for field in each.fields])
            for each in definition.variants
        }
    return name_of(metadata, type_id)


def differs(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, dict) and isinstance(theirs, dict):  # we may leave variants out, not change them
        return any(theirs.get(index) != variant for index, variant in ours.items())
    return bool(ours != theirs)


def test_types_look_like_those_of_polkadot(metadata: Metadata) -> None:
    blob = gzip.decompress((public_vectors() / "metadata/polkadot_v15.scale.gz").read_bytes())
    polkadot = parse(blob[blob.index(b"meta") :])
    theirs: dict[str, list[Any]] = {}
    for type_id in range(len(polkadot.types)):
        theirs.setdefault(path_of(polkadot, type_id), []).append(shape_of(polkadot, type_id))
    compared, wrong = 0, []
    for type_id in range(len(metadata.types)):
        path = path_of(metadata, type_id)
        if path in theirs and path and path not in (*OWN, *STRUCTURAL):
            compared += 1
            ours = shape_of(metadata, type_id)
            if all(differs(ours, shape) for shape in theirs[path]):
                wrong.append((path, ours, theirs[path][0]))

    assert wrong == []
    assert compared > 50


def test_what_clients_look_up_by_name_is_there(metadata: Metadata) -> None:
    paths = [path_of(metadata, type_id) for type_id in range(len(metadata.types))]
    for wanted in (
        "sp_core::crypto::AccountId32", "sp_runtime::multiaddress::MultiAddress", "sp_runtime::MultiSignature",
        "sp_runtime::generic::era::Era", "sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic",
        "frame_system::EventRecord", "_runtime::RuntimeCall", "_runtime::RuntimeEvent",
        "sp_runtime::generic::digest::DigestItem", "sp_weights::weight_v2::Weight", "sp_runtime::ModuleError",
        "primitive_types::H256",
    ):  # fmt: skip
        assert paths.count(wanted) == 1, wanted
    era = shape_of(metadata, paths.index("sp_runtime::generic::era::Era"))
    assert (len(era), era[0], era[7]) == (256, ("Immortal", []), ("Mortal7", [(None, "primitive 3")]))
    extrinsic = metadata.types[paths.index("sp_runtime::generic::unchecked_extrinsic::UncheckedExtrinsic")]
    assert [param.name for param in extrinsic.params] == ["Address", "Call", "Signature", "Extra"]


def test_types_of_one_path_have_different_parameters(metadata: Metadata) -> None:
    seen = [
        (tuple(info.path), tuple((param.name, param.type) for param in info.params))
        for info in metadata.types
        if len(info.path) > 1
    ]

    assert [each for each in seen if seen.count(each) > 1] == []


def test_enums_are_as_py_substrate_interface_needs_them(metadata: Metadata) -> None:
    for pallet in metadata.pallets.values():
        for kind, type_id in (("Call", pallet.calls), ("Event", pallet.event), ("Error", pallet.error)):
            if type_id is None:
                continue
            assert path_of(metadata, type_id).endswith(f"::pallet::{kind}")
            variants = list(metadata.variants(type_id).values())
            assert len({variant.name for variant in variants}) == len(variants)
            if kind == "Error":
                assert [variant.index for variant in variants] == list(range(len(variants)))
            for variant in variants:
                named = {field.name is not None for field in variant.fields}
                assert len(named) <= 1
                assert all(field.type_name for field in variant.fields), (pallet.name, variant.name)


def test_extensions_stand_in_the_order_clients_hard_code(metadata: Metadata) -> None:
    names = [extension.identifier for extension in metadata.extrinsic.extensions]

    assert names == [
        "CheckNonZeroSender", "CheckSpecVersion", "CheckTxVersion", "CheckGenesis", "CheckMortality", "CheckNonce",
        "CheckWeight", "ChargeTransactionPayment", "CheckMetadataHash",
    ]  # fmt: skip
    assert names == [extension.identifier for extension in EXTENSIONS]
    assert metadata.extrinsic.version == 4


def test_every_doc_string_reaches_the_reader(metadata: Metadata) -> None:
    for pallet in metadata.pallets.values():
        for item in pallet.storage.values():
            assert item.docs, (pallet.name, item.name)
        for type_id in (pallet.calls, pallet.event, pallet.error):
            assert all(variant.docs for variant in metadata.variants(type_id).values()), pallet.name


def test_version_15_describes_the_runtime_apis() -> None:
    metadata = parse(write_metadata(SCHEMA, 15))

    assert set(metadata.apis) == set(SCHEMA.api_versions)
    assert {"Core", "Metadata", "AccountNonceApi", "TransactionPaymentApi", "TransactionPaymentCallApi"} <= set(
        metadata.apis
    )
    ids = {
        name: identifier.hex() for name, (identifier, _) in zip(SCHEMA.api_versions, SCHEMA.version.apis, strict=True)
    }
    assert ids["Core"] == "df6acb689907609b"
    assert ids["Metadata"] == "37e397fc7c91f5e4"
    assert ids["BlockBuilder"] == "40fe3ad401f8959a"
    assert ids["TaggedTransactionQueue"] == "d2bc9897eed08f15"
    assert ids["AccountNonceApi"] == "bc9d89904f5b923f"
    assert ids["TransactionPaymentApi"] == "37c8bb1350a9a2a8"
    assert ids["TransactionPaymentCallApi"] == "f3ff14d5ab527059"


def test_pallets_come_in_index_order_with_their_names(metadata: Metadata) -> None:
    expected = sorted((pallet.index, pallet.name) for pallet in PALLETS)

    assert [(pallet.index, pallet.name) for pallet in metadata.pallets.values()] == expected
