"""Sr25519 against polkadot-js and schnorrkel, and what must be refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto import ed25519
from aitoken.crypto.ed25519 import BadSeed
from aitoken.crypto.signature import SignatureKind, verify_multi
from aitoken.crypto.sr25519 import BadSecret, Pair, verify
from tests.support.vectors import own_json, public_json, unhex

VECTORS = own_json("polkadot_js/sr25519_signatures.json")
SEED = unhex("0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")


def test_signatures_of_polkadot_js() -> None:
    assert len(VECTORS) == 192

    for vector in VECTORS:
        public, message, signature = unhex(vector["public"]), unhex(vector["message"]), unhex(vector["signature"])
        assert verify(signature, message, public) == vector["valid"]


def test_seed_to_secret_and_public_as_polkadot_js() -> None:
    for vector in VECTORS:
        if "seed" not in vector:
            continue
        pair = Pair(unhex(vector["seed"]))
        assert pair.public == unhex(vector["public"])
        assert pair.ed25519_bytes == unhex(vector["secret_ed25519_bytes"])
        again = Pair.from_ed25519_bytes(pair.ed25519_bytes)
        assert (again.public, again.secret) == (pair.public, pair.secret)


def test_known_signatures_and_edges() -> None:
    cases = public_json("crypto/sr25519_known_and_edge.json")["signatures"]
    assert len(cases) == 5

    for case in cases:
        message = unhex(case["message"]) if "message" in case else case["message_utf8"].encode()
        answer = verify(unhex(case["signature"]), message, unhex(case["public"]))
        assert answer == (case["our_chain_must"] == "accept"), case


def test_the_identity_key_signs_nothing() -> None:
    assert not verify(bytes(63) + b"\x80", b"any message", bytes(32))
    assert not verify_multi(SignatureKind.SR25519, bytes(63) + b"\x80", b"any message", bytes(32))


def test_sign_and_verify() -> None:
    pair = Pair(SEED)
    one, two = pair.sign(b"m"), pair.sign(b"m")

    assert one != two
    assert verify(one, b"m", pair.public)
    assert verify(two, b"m", pair.public)
    assert not verify(one, b"n", pair.public)
    assert not verify(one, b"m", Pair.generate().public)


@pytest.mark.parametrize("size", [0, 63, 65, 128])
def test_wrong_lengths_are_invalid_and_do_not_raise(size: int) -> None:
    pair = Pair(SEED)

    assert not verify(pair.sign(b"m").ljust(size, b"\0")[:size], b"m", pair.public)
    assert not verify(pair.sign(b"m"), b"m", pair.public.ljust(size, b"\0")[:size])


@given(st.binary(min_size=64, max_size=64), st.binary(max_size=40), st.binary(min_size=32, max_size=32))
def test_garbage_is_invalid_and_does_not_raise(signature: bytes, message: bytes, public: bytes) -> None:
    assert not verify(signature, message, public)
    assert not ed25519.verify(signature, message, public)


def test_wrong_seeds_and_secrets_are_refused() -> None:
    for size in (0, 31, 33):
        with pytest.raises(BadSeed):
            Pair(bytes(size))
    for make in (Pair.from_secret, Pair.from_ed25519_bytes):
        with pytest.raises(BadSecret):
            make(bytes(63))
        with pytest.raises(BadSecret):
            make(b"\xff" * 64)
        with pytest.raises(BadSecret, match="zero"):
            make(bytes(64))


def test_repr_shows_no_secret() -> None:
    pair = Pair(SEED)

    assert pair.public.hex() in repr(pair)
    assert pair.secret.hex()[:16] not in repr(pair)


def test_verify_multi_keeps_the_schemes_apart() -> None:
    schnorr, edwards = Pair(SEED), ed25519.Pair(SEED)

    assert verify_multi(SignatureKind.SR25519, schnorr.sign(b"m"), b"m", schnorr.public)
    assert verify_multi(SignatureKind.ED25519, edwards.sign(b"m"), b"m", edwards.public)
    assert not verify_multi(SignatureKind.ED25519, schnorr.sign(b"m"), b"m", schnorr.public)
    assert not verify_multi(SignatureKind.SR25519, edwards.sign(b"m"), b"m", edwards.public)
    for kind in (SignatureKind.ECDSA, 3, 255, -1):
        assert not verify_multi(kind, edwards.sign(b"m"), b"m", edwards.public)
    assert (edwards.kind, schnorr.kind) == (SignatureKind.ED25519, SignatureKind.SR25519)
