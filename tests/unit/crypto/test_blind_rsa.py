"""Blind signatures against RFC 9474's own examples and against plain integers, and what must not pass for one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.crypto import blind_rsa as b

VECTORS: dict[str, Any] = msgspec.json.decode(
    (Path(__file__).parents[2] / "vectors" / "crypto" / "blind_rsa_rfc9474.json").read_bytes()
)
VARIANTS: list[dict[str, str]] = VECTORS["variants"]
MODULUS = bytes.fromhex(VECTORS["n"])


@cache
def key() -> b.IssuerKey:
    return b.IssuerKey.generate()


@cache
def token(message: bytes) -> bytes:
    blinded, secret = b.blind(message, key().modulus)
    return b.finalize(message, key().sign_blind(blinded), secret, key().modulus)


def by_integers(signature: bytes, message: bytes, modulus: bytes) -> bool:
    """EMSA-PSS-VERIFY (RFC 8017, 9.1.2) by making what was signed anew, with the salt that is found in it."""
    n = int.from_bytes(modulus)
    number = pow(int.from_bytes(signature), b.EXPONENT, n)
    bits = n.bit_length() - 1
    if int.from_bytes(signature) >= n or number.bit_length() > bits:
        return False
    encoded = number.to_bytes(-(-bits // 8))
    masked, digest = encoded[: -b.SALT_SIZE - 1], encoded[-b.SALT_SIZE - 1 : -1]
    salt = bytes(x ^ y for x, y in zip(masked, b._mask(digest, len(masked)), strict=True))[-b.SALT_SIZE :]
    return b._encode(message, bits, salt) == number


@pytest.mark.parametrize("variant", VARIANTS, ids=[each["name"] for each in VARIANTS])
def test_every_step_is_that_of_the_standard(variant: dict[str, str]) -> None:
    """Appendix A; the prefix of the randomised variants is part of `input_msg`."""
    message, salt, blinded, blind_signature, signature = (
        bytes.fromhex(variant[name]) for name in ("input_msg", "salt", "blinded_msg", "blind_sig", "sig")
    )
    secret = int(variant["inv"], 16)
    issuer = b.IssuerKey(int(VECTORS["p"], 16), int(VECTORS["q"], 16))
    assert issuer.modulus == MODULUS
    assert b.blind_with(message, MODULUS, salt, secret) == blinded
    assert issuer.sign_blind(blinded) == blind_signature
    assert b.finalize(message, blind_signature, secret, MODULUS, salt_size=len(salt)) == signature
    assert b.verify(signature, message, MODULUS, salt_size=len(salt))
    assert not b.verify(signature, message, MODULUS, salt_size=48 - len(salt))


def test_what_was_signed_blindly_is_a_signature_like_any_other_and_shows_nothing_of_the_blinding() -> None:
    message = b"a fresh public key"
    modulus = key().modulus
    one, first = b.blind(message, modulus)
    two, second = b.blind(message, modulus)
    assert one != two
    assert first != second
    signature = b.finalize(message, key().sign_blind(one), first, modulus)
    assert b.verify(signature, message, modulus)
    assert by_integers(signature, message, modulus)
    with pytest.raises(b.BadBlindSignature):
        b.finalize(message, key().sign_blind(two), first, modulus)
    with pytest.raises(b.BadBlindSignature):
        b.finalize(message, b"", first, modulus)


@settings(max_examples=60)
@given(st.integers(0, b.SIZE * 8 - 1), st.sampled_from(["signature", "message", "modulus"]))
def test_a_bit_more_or_less_is_no_signature_and_integers_agree(bit: int, where: str) -> None:
    message = bytes(b.SIZE)
    fields = {"signature": token(message), "message": message, "modulus": key().modulus}
    fields[where] = (int.from_bytes(fields[where]) ^ 1 << bit).to_bytes(b.SIZE)
    assert not b.verify(fields["signature"], fields["message"], fields["modulus"])
    assert not by_integers(**fields)


def test_numbers_out_of_range_are_no_signatures() -> None:
    message, modulus = b"m", key().modulus
    good = token(message)
    n = int.from_bytes(modulus)
    for bad in (b"", good[1:], good + b"\x00", b"\x00" + good, bytes(b.SIZE), modulus, b"\xff" * b.SIZE):
        assert not b.verify(bad, message, modulus)
    assert not b.verify((n - 1).to_bytes(b.SIZE), message, modulus)
    for odd in (b"", b"\x00", b"\x01", b"\x03", b"\xff" * 64):
        assert not b.verify(bytes(len(odd)), message, odd)
        assert not b.verify(good, message, odd)
    for bad in (b"", bytes(b.SIZE), modulus[:-1], b"\x00" + modulus[1:], modulus[:-1] + b"\x02"):
        with pytest.raises(b.BadIssuerKey):
            b.blind(message, bad)
        with pytest.raises(b.BadIssuerKey):
            b.finalize(message, good, 5, bad)


def test_a_modulus_has_exactly_its_bits() -> None:
    good = key().modulus
    assert b.is_modulus(good)
    for bad in (good[:-1], good + b"\x01", b"\x7f" + good[1:], good[:-1] + b"\x02", b""):
        assert not b.is_modulus(bad)


def test_the_issuer_signs_numbers_below_its_modulus_and_its_key_shows_nowhere() -> None:
    for bad in (b"", bytes(b.SIZE - 1), key().modulus, b"\xff" * b.SIZE):
        with pytest.raises(b.BadBlinded):
            key().sign_blind(bad)
    assert repr(key()) == "<issuer key>"


def test_a_key_is_kept_and_read_again() -> None:
    assert b.IssuerKey.from_pem(key().pem()) == key()
    assert b.IssuerKey.from_pem(key().pem(b"word"), b"word") == key()
    for pem, password in ((b"", None), (key().pem(b"word"), None), (key().pem(b"word"), b"no"), (key().pem(), b"x")):
        with pytest.raises(b.BadIssuerKey):
            b.IssuerKey.from_pem(pem, password)
