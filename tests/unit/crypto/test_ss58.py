"""SS58 against polkadot-js and the public registry of prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto import ss58
from aitoken.crypto.ss58 import BadAddress, BadPrefix
from tests.support.vectors import own_json, public_json, unhex

VECTORS = own_json("polkadot_js/ss58.json")
ALICE = bytes.fromhex("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d")
ALICE_ADDRESS = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def test_addresses_agree_with_polkadot_js() -> None:
    assert {len(unhex(vector["pubkey"])) for vector in VECTORS["ok"]} == {1, 2, 4, 8, 32, 33}

    for vector in VECTORS["ok"]:
        public, prefix = unhex(vector["pubkey"]), vector["prefix"]
        assert ss58.encode(public, prefix) == vector["address"]
        assert ss58.decode(vector["address"], size=len(public)) == (public, prefix)


@pytest.mark.parametrize("vector", VECTORS["bad"], ids=lambda vector: vector["why"])
def test_bad_addresses_are_refused(vector: dict[str, str]) -> None:
    for size in (1, 2, 4, 8, 32, 33):
        with pytest.raises(BadAddress):
            ss58.decode(vector["address"], size=size)


def test_an_address_of_another_network_is_refused_when_one_is_expected() -> None:
    for vector in VECTORS["wrong_network"]:
        ss58.decode(vector["address"])
        with pytest.raises(BadAddress):
            ss58.decode(vector["address"], prefix=vector["expect_prefix"])


def test_an_account_index_is_no_account() -> None:
    with pytest.raises(BadAddress):
        ss58.decode("1F6W")


def test_every_registered_prefix_round_trips() -> None:
    registry = public_json("ss58/ss58_registry.json")["registry"]
    assert len(registry) > 100

    for entry in registry:
        if entry["prefix"] > ss58.PREFIX_MAX:  # networks with Ethereum-like accounts have no SS58 form
            with pytest.raises(BadPrefix):
                ss58.encode(ALICE, entry["prefix"])
            continue
        assert ss58.decode(ss58.encode(ALICE, entry["prefix"])) == (ALICE, entry["prefix"])


@given(st.binary(min_size=32, max_size=32), st.integers(0, ss58.PREFIX_MAX))
def test_round_trip(public: bytes, prefix: int) -> None:
    assert ss58.decode(ss58.encode(public, prefix), prefix=prefix) == (public, prefix)


@given(st.text(max_size=70))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        public, prefix = ss58.decode(text)
    except BadAddress:
        return
    assert ss58.encode(public, prefix) == text


@pytest.mark.parametrize("index", range(len(ALICE_ADDRESS)))
def test_one_wrong_letter_is_noticed(index: int) -> None:
    wrong = "2" if ALICE_ADDRESS[index] != "2" else "3"

    with pytest.raises(BadAddress):
        ss58.decode(ALICE_ADDRESS[:index] + wrong + ALICE_ADDRESS[index + 1 :])


def test_a_long_form_of_a_short_prefix_is_refused() -> None:
    body = bytes([42 >> 2 | 0x40, (42 & 3) << 6]) + ALICE
    address = ss58._base58_encode(body + ss58._checksum(body, 2))

    with pytest.raises(BadAddress, match="longer form"):
        ss58.decode(address)


def test_first_bytes_from_128_name_no_network() -> None:
    body = bytes([128, 0]) + ALICE

    with pytest.raises(BadAddress, match="any network"):
        ss58.decode(ss58._base58_encode(body + ss58._checksum(body, 2)))


def test_keys_and_prefixes_without_form_are_refused() -> None:
    with pytest.raises(BadAddress):
        ss58.encode(bytes(31))
    for prefix in (-1, 16384):
        with pytest.raises(BadPrefix):
            ss58.encode(ALICE, prefix)
    with pytest.raises(BadAddress):
        ss58.decode(ALICE_ADDRESS, size=31)


def test_long_text_is_refused_before_arithmetic() -> None:
    with pytest.raises(BadAddress, match="at most"):
        ss58.decode("5" * 100_000)
