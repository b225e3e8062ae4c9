"""Metadata of real chains reads and writes back; calls, transactions and storage keys come out as in polkadot-js."""

from functools import cache

import msgspec
import pytest

from aitoken.client import metadata
from aitoken.client.chain import Chain
from aitoken.crypto import ed25519, sr25519, ss58
from aitoken.crypto.hashing import blake2_256
from aitoken.proto.era import ERA
from tests.support.vectors import own_hex, own_json, public_bytes, public_hex, public_json, unhex

NAMES = (
    "node_template_v14",
    "polkadot_v14",
    "polkadot_v15",
    "substrate_contracts_node_v14",
    "substrate_solo_v14",
    "substrate_solo_v15",
    "refnode_v14",
    "refnode_v15",
)


@cache
def blob(name: str) -> bytes:
    chain, version = name.rsplit("_v", 1)
    if chain == "refnode":
        return own_hex(f"rpc/refnode_metadata_v{version}.hex")
    if chain == "substrate_solo":  # as the runtime answers: Option<Vec<u8>>
        answer = public_hex(f"rpc/substrate_solo_metadata_at_version_{version}.hex")
        return answer[answer.index(b"meta") :]
    return public_bytes(f"metadata/{name}.scale.gz")


@cache
def chain_of(name: str) -> Chain:
    return Chain(metadata.parse(blob(name)), bytes(32), 1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_all_types_constants_and_defaults_read_and_write_back(name: str) -> None:
    chain = chain_of(name)
    coders = chain.coders
    checked = 0

    for type_id in range(len(chain.metadata.types)):
        coders.codec(type_id)
    for pallet in chain.metadata.pallets.values():
        for constant in pallet.constants.values():
            value = coders.decode(constant.type, constant.value)
            assert coders.encode(constant.type, value) == constant.value, (pallet.name, constant.name)
            checked += 1
        for item in pallet.storage.values():
            if item.modifier == 1:
                kind = item.kind
                value = coders.decode(kind.value, item.default)  # type: ignore[attr-defined]
                assert coders.encode(kind.value, value) == item.default, (pallet.name, item.name)  # type: ignore[attr-defined]
                checked += 1

    assert checked > 20


@pytest.mark.parametrize("name", ["polkadot_v14", "polkadot_v15"])
def test_names_agree_with_the_decoded_form_of_polkadot_js(name: str) -> None:
    body = public_json(f"metadata/{name}.decoded.json.gz")["metadata"][name.split("_")[1]]

    ours = metadata.parse(blob(name))

    theirs = {pallet["name"]: pallet for pallet in body["pallets"]}
    assert list(ours.pallets) == list(theirs)
    for pallet in ours.pallets.values():
        other = theirs[pallet.name]
        assert pallet.index == int(other["index"])
        assert list(pallet.constants) == [constant["name"] for constant in other["constants"]]
        items = other["storage"]["items"] if other["storage"] else []
        assert list(pallet.storage) == [item["name"] for item in items]
        assert [item.default for item in pallet.storage.values()] == [unhex(item["fallback"]) for item in items]


EXTRINSICS = [v for v in own_json("polkadot_js/extrinsics_v4.json") if v["metadata"] in NAMES]


def snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


@pytest.mark.parametrize("vector", EXTRINSICS, ids=lambda v: f"{v['metadata']}-{v['call_method']}-{v['nonce']}")
def test_calls_and_transactions_of_polkadot_js(vector: dict[str, object]) -> None:
    v = msgspec.convert(vector, dict[str, object])
    data = {key: unhex(str(value)) for key, value in v.items() if isinstance(value, str) and value.startswith("0x")}
    chain = Chain(
        chain_of(str(v["metadata"])).metadata,
        data["genesisHash"],
        int(str(v["specVersion"])),
        int(str(v["transactionVersion"])),
    )
    pallet = str(v["call_section"]).capitalize()
    name = snake(str(v["call_method"]))

    tree = chain.decode_call(data["call"])
    call = chain.call(pallet, name, **tree[pallet][name])
    assert call.call_bytes == data["call"]
    arguments = [unhex(argument) for argument in v.get("args", [])]  # type: ignore[attr-defined]
    if name == "remark":
        assert len(data["call"]) - len(tree[pallet][name]["remark"]) in (3, 4)
    else:
        assert ss58.decode(tree[pallet][name]["dest"]["Id"])[0] == arguments[0][-32:]
        assert tree[pallet][name]["value"] == int.from_bytes(arguments[1], "big")

    signed: list[bytes] = []

    class Remembered:
        """Gives the known signature, so that the random one of sr25519 compares."""

        kind = data["signature"][0]
        public = data["signer_public"]

        def sign(self, message: bytes) -> bytes:
            signed.append(message)
            return data["signature"][1:]

    raw = chain.sign(
        call,
        Remembered(),
        nonce=int(str(v["nonce"])),
        tip=int(str(v["tip"])),
        era=ERA.decode(data["era"]),
        birth_hash=data["blockHash"],
    )

    payload = data["sign_payload"]
    assert signed == [blake2_256(payload) if len(payload) > 256 else payload]
    assert raw == data["extrinsic"]
    assert blake2_256(raw) == data["extrinsic_hash"]
    verify = (ed25519 if v["scheme"] == "ed25519" else sr25519).verify
    assert verify(data["signature"][1:], signed[0], data["signer_public"])


@pytest.mark.parametrize("version", [14, 15])
def test_storage_keys_of_polkadot_js(version: int) -> None:
    vectors = own_json(f"polkadot_js/storage_keys_polkadot_v{version}.json")
    chain = chain_of(f"polkadot_v{version}")
    assert len(vectors) > 10

    for vector in vectors:
        pallet, item = vector["entry"].split(".")
        key = chain.storage_key(pallet, item, *vector["args"])
        prefixed = unhex(vector["scale_prefixed_key"])
        assert prefixed.endswith(key)
        assert len(prefixed) - len(key) <= 2
        found = chain.decode_keys(pallet, item, key)
        given = tuple(ss58.encode(unhex(a)) if isinstance(a, str) and a.startswith("0x") else a for a in vector["args"])
        assert found == given


def test_known_storage_keys() -> None:
    chain = chain_of("refnode_v15")

    assert chain.storage_key("System", "Account", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY").hex() == (
        "26aa394eea5630e07c48ae0c9558cef7b99d880ec681799c0cf30e8886371da9de1e86a9a8c739864cf3cc5ec2bea59f"
        "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
    )
    assert chain.storage_key("System", "Number").hex().startswith("26aa394eea5630e07c48ae0c9558cef702a5c1b1")
