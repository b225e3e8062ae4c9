"""Hashes against polkadot-js."""

from collections.abc import Callable

import pytest

from aitoken.crypto import hashing
from tests.support.vectors import own_json, unhex

VECTORS = own_json("polkadot_js/hashers.json")

FUNCTIONS: dict[str, Callable[[bytes], bytes]] = {
    "twox64": hashing.twox_64,
    "twox128": hashing.twox_128,
    "twox256": hashing.twox_256,
    "blake2_128": hashing.blake2_128,
    "blake2_256": hashing.blake2_256,
    "blake2_512": hashing.blake2_512,
    "twox64_concat": hashing.twox_64_concat,
    "blake2_128_concat": hashing.blake2_128_concat,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hash_agrees_with_polkadot_js(name: str) -> None:
    assert len(VECTORS) > 10

    for vector in VECTORS:
        assert FUNCTIONS[name](unhex(vector["input"])) == unhex(vector[name])


def test_a_hash_leaves_no_trace_in_the_next_one() -> None:
    first = hashing.blake2_256(b"a")
    hashing.blake2_256(b"b")

    assert hashing.blake2_256(b"a") == first


def test_identity_is_the_input() -> None:
    assert hashing.identity(b"key") == b"key"


def test_known_storage_prefix() -> None:
    assert hashing.twox_128(b"System").hex() == "26aa394eea5630e07c48ae0c9558cef7"
