"""Ed25519 against libsodium's own table (rows of RFC 8032 first) and the edge cases of speccheck."""

import pytest

from aitoken.crypto import ed25519
from aitoken.crypto.ed25519 import BadSeed, Pair, verify
from tests.support.vectors import public_json

# RFC 8032, 7.1, test 2
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_rfc_8032_example() -> None:
    pair = Pair(SEED)

    assert pair.public == PUBLIC
    assert pair.seed == SEED
    assert pair.sign(b"\x72") == SIGNATURE
    assert verify(SIGNATURE, b"\x72", PUBLIC)


@pytest.mark.parametrize("index", range(0, 64, 5))
def test_a_changed_signature_is_invalid(index: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[index] ^= 1

    assert not verify(bytes(changed), b"\x72", PUBLIC)


def test_another_message_or_key_is_invalid() -> None:
    assert not verify(SIGNATURE, b"\x73", PUBLIC)
    assert not verify(SIGNATURE, b"", PUBLIC)
    assert not verify(SIGNATURE, b"\x72", Pair(bytes(32)).public)


@pytest.mark.parametrize(
    ("signature", "public"),
    [
        (SIGNATURE[:-1], PUBLIC),
        (SIGNATURE + b"\0", PUBLIC),
        (b"", PUBLIC),
        (SIGNATURE, PUBLIC[:-1]),
        (SIGNATURE, PUBLIC + b"\0"),
        (SIGNATURE, b""),
    ],
)
def test_wrong_lengths_are_invalid_and_do_not_raise(signature: bytes, public: bytes) -> None:
    assert not verify(signature, b"\x72", public)


def test_a_shifted_boundary_of_signature_and_message_is_invalid() -> None:
    pair = Pair(SEED)
    signature = pair.sign(b"abc")

    assert not verify(signature + b"a", b"bc", pair.public)
    assert not verify(signature[:-1], signature[-1:] + b"abc", pair.public)


def test_libsodium_table() -> None:
    rows = public_json("crypto/ed25519_sign_1024.json.gz")
    assert len(rows) > 400

    for row in rows:
        pair = Pair(bytes.fromhex(row["seed"]))
        message, signature = bytes.fromhex(row["msg"]), bytes.fromhex(row["sig"])
        assert pair.public.hex() == row["pk"]
        assert pair.sign(message) == signature
        assert verify(signature, message, pair.public)


def test_speccheck_edge_cases_are_answered_as_libsodium_does() -> None:
    cases = public_json("crypto/ed25519_speccheck.json")["cases"]
    assert len(cases) == 12

    accepted = [
        verify(bytes.fromhex(c["signature"]), bytes.fromhex(c["message"]), bytes.fromhex(c["pub_key"])) for c in cases
    ]

    assert accepted == [c["libsodium_accepts"] for c in cases]
    assert accepted.count(True) == 1


def test_the_all_zero_key_is_invalid() -> None:
    assert not verify(bytes(64), b"", bytes(32))
    assert not verify(bytes(32) + bytes([1]) + bytes(31), b"", bytes(32))


def test_seed_of_wrong_length_is_refused() -> None:
    for size in (0, 31, 33, 64):
        with pytest.raises(BadSeed):
            Pair(bytes(size))


def test_generated_pairs_differ_and_sign() -> None:
    one, two = Pair.generate(), Pair.generate()

    assert one.public != two.public
    assert verify(one.sign(b"m"), b"m", one.public)


def test_repr_shows_no_secret() -> None:
    pair = Pair(SEED)

    assert PUBLIC.hex() in repr(pair)
    assert SEED.hex() not in repr(pair)
    assert ed25519.Pair.scheme == "ed25519"
