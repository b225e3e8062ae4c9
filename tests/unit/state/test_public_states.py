"""The trie against public chains: their genesis blocks, first blocks and proofs."""

import pytest

from aitoken.proto.trie import BadProof, IncompleteProof, verify
from chain.state import reference
from chain.state.base import StateVersion
from chain.state.genesis_hash import genesis_hash
from chain.state.ordered import ordered_root
from tests.support.vectors import own_json, public_json, unhex


@pytest.mark.parametrize("chain", ["westend", "mythos"])
def test_genesis_hash_of_a_public_chain_is_the_published_one(chain: str) -> None:
    spec = public_json(f"genesis/{chain}.json.gz")

    found = genesis_hash(spec["top"], StateVersion(spec["state_version"]))

    assert found == unhex(spec["known_genesis_hash"])


@pytest.mark.parametrize("index", range(10))
def test_extrinsics_root_of_a_real_block_is_the_one_in_its_header(index: int) -> None:
    block = public_json("blocks/westend_1_10.json")[index]

    assert ordered_root([unhex(extrinsic) for extrinsic in block["extrinsics"]]) == unhex(block["extrinsics_root"])


@pytest.mark.parametrize("index", range(3))
def test_a_real_proof_shows_what_it_should(index: int) -> None:
    case = public_json("proofs/read_proofs.json")[index]
    root, proof = unhex(case["state_root"]), [unhex(node) for node in case["proof_nodes"]]

    present = {unhex(key): unhex(value) for key, value in case["present"].items()}
    absent = {unhex(key): None for key in case["absent"]}

    assert verify(root, proof, [*present, *absent]) == {**present, **absent}
    for key in case["incomplete"]:
        with pytest.raises(IncompleteProof):
            verify(root, proof, [unhex(key)])


@pytest.mark.parametrize("index", range(7))
def test_a_proof_the_rust_decoder_accepts_shows_its_values(index: int) -> None:
    case = own_json("rpc/trie.json")["proofs"][index]
    want = {unhex(key): None if value is None else unhex(value) for key, value in case["want"]}

    assert verify(unhex(case["root"]), [unhex(node) for node in case["proof"]], want) == want


@pytest.mark.parametrize(
    ("node", "what"),
    [
        ("", "too early"),
        ("0000", "after its end"),
        ("01", "no known kind"),
        ("41", "too early"),
        ("41f004ff", "begin with 0"),
        ("400801", "too early"),
        ("40010000", "shortest form"),
        ("4003", "too great"),
        ("800000", "no children"),
        ("80010000", "neither a node nor a hash"),
        ("80010084" + "00" * 33, "neither a node nor a hash"),
    ],
)
def test_a_malformed_node_is_refused(node: str, what: str) -> None:
    data = unhex(node)
    root = reference._hash(data)

    with pytest.raises(BadProof, match=what):
        verify(root, [data], [b"\x01"])
