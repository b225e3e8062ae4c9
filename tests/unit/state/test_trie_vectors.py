"""The trie against roots that other implementations computed."""

import gzip
from functools import cache
from pathlib import Path

import msgspec
import pytest

from aitoken.crypto.hashing import blake2_256
from chain.state import reference
from chain.state.base import StateVersion
from chain.state.layer import FinalState

VECTORS = Path(__file__).parents[2] / "vectors"


@cache
def random_states() -> list[dict[str, object]]:
    return msgspec.json.decode(gzip.decompress((VECTORS / "trie/random_states.json.gz").read_bytes()))


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.mark.parametrize("index", range(192))
def test_root_of_a_random_state_is_the_one_smoldot_computes(index: int) -> None:
    case = random_states()[index]
    pairs = {unhex(key): unhex(value) for key, value in case["entries"].items()}

    root = reference.root(pairs, StateVersion(case["state_version"]))
    fast = FinalState.in_memory(pairs, StateVersion(case["state_version"])).root

    assert root == unhex(case["state_root"])
    assert fast == root


def test_there_are_as_many_random_states_as_tested() -> None:
    assert len(random_states()) == 192


@pytest.mark.parametrize("index", range(14))
def test_root_is_the_one_the_rust_trie_computes(index: int) -> None:
    case = msgspec.json.decode((VECTORS / "rpc/trie.json").read_bytes())["roots"][index]
    pairs = {unhex(key): unhex(value) for key, value in case["kv"]}

    assert reference.root(pairs, StateVersion(case["v"])) == unhex(case["root"])
    assert FinalState.in_memory(pairs, StateVersion(case["v"])).root == unhex(case["root"])


def test_the_empty_trie_has_the_published_root() -> None:
    assert reference.root({}, StateVersion.V1) == blake2_256(b"\x00")
    assert blake2_256(b"\x00").hex() == "03170a2e7597b7b7e3d84c05391d139a62b157e78786d8c082f29dcf4c111314"
