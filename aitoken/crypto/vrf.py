"""A verifiable random function: ECVRF-EDWARDS25519-SHA512-ELL2 (suite 0x04) of RFC 9381, with ed25519 keys.

For each key and input there is one output, which looks random to everybody but the owner of the key, and a proof of it.
A signature is no such function: its owner can make many valid ones over the same message and choose.

Curve arithmetic is libsodium's. `crypto_core_ed25519_from_uniform` is Elligator 2 and the clearing of the cofactor, but
takes the sign of the point from the top bit of its input, where RFC 9380 (6.7.1, 6.8.2) derives it from which of two
candidates has a square root; so the sign is computed here and handed over in that bit.

Decoding is strict. A key or point that is not canonical, of small order or outside the prime-order subgroup is refused
(`crypto_scalarmult_ed25519_noclamp` does that), likewise a response that is not reduced. The RFC lets points outside
the subgroup pass; they never change an output, and no honest prover makes one.

Nonces of RFC 8032 signatures and of these proofs come from the same secret prefix: who could have any 32 bytes signed
with a key could learn it from a proof. Whatever signs with such a key must never sign 32 bytes chosen by others.

Cost, where an ed25519 verification takes 61 us: prove 380 us, verify 570 us, 160 of them for the map of the input.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Final

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_from_uniform,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import CryptoError

from aitoken.crypto.ed25519 import PUBLIC_SIZE, Pair

PROOF_SIZE: Final = 80
OUTPUT_SIZE: Final = 64

_SUITE: Final = b"\x04"
_DST: Final = b"ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_" + _SUITE
_DST_PRIME: Final = _DST + bytes((len(_DST),))
_PAD: Final = bytes(128)  # one input block of SHA-512
_FIELD_BYTES: Final = 48
_CHALLENGE_BYTES: Final = 16

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_J: Final = 486662
"""Of curve25519, v^2 = u^3 + J u^2 + u, which edwards25519 is birationally equivalent to."""


def _even_root(square: int) -> int:
    root = pow(square, (_P + 3) // 8, _P)
    if root * root % _P != square % _P:
        root = root * pow(2, (_P - 1) // 4, _P) % _P
    return root if root % 2 == 0 else _P - root


_I: Final = _even_root(-1)
_TO_EDWARDS: Final = -_J * _even_root(-_J - 2) % _P
_ROOTS: Final = {1: 1, _P - 1: _I, _I: 1 - _I, _P - _I: 1 + _I}
"""By q^2 t, a fourth root of one: what makes q a root of 1 / t if that is 1 or -1, of 2 / t if it is neither."""


def prove(pair: Pair, message: bytes) -> bytes:
    """Return the proof (80 bytes) of the output for `message`; the same each time (RFC 9381, 5.1)."""
    stretched = sha512(pair.seed).digest()
    secret = bytes((stretched[0] & 0xF8, *stretched[1:31], stretched[31] & 0x7F | 0x40))
    point = _encode_to_curve(pair.public, message)
    gamma = crypto_scalarmult_ed25519_noclamp(secret, point)
    nonce = crypto_core_ed25519_scalar_reduce(sha512(stretched[32:] + point).digest())
    challenge = _challenge(
        pair.public,
        point,
        gamma,
        crypto_scalarmult_ed25519_base_noclamp(nonce),
        crypto_scalarmult_ed25519_noclamp(nonce, point),
    )
    response = crypto_core_ed25519_scalar_add(nonce, crypto_core_ed25519_scalar_mul(_scalar(challenge), secret))
    return gamma + challenge + response


def verify(proof: bytes, message: bytes, public: bytes) -> bytes | None:
    """Return the output (64 bytes) for `message` of the key `public` (32 bytes); None unless `proof` shows it.

    Wrong lengths, malformed points and wrong proofs all answer None; nothing raises (RFC 9381, 5.3).
    """
    if len(proof) != PROOF_SIZE or len(public) != PUBLIC_SIZE:
        return None
    gamma, challenge, response = proof[:32], proof[32:48], proof[48:]
    if int.from_bytes(response, "little") >= _ORDER:
        return None
    point = _encode_to_curve(public, message)
    scalar = _scalar(challenge)
    try:
        first = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_base_noclamp(response), crypto_scalarmult_ed25519_noclamp(scalar, public)
        )
        second = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_noclamp(response, point), crypto_scalarmult_ed25519_noclamp(scalar, gamma)
        )
        if _challenge(public, point, gamma, first, second) != challenge:
            return None
        return output_of(proof)
    except CryptoError:  # a point that is none, or a multiple that is zero
        return None


def output_of(proof: bytes) -> bytes:
    """Return the output (64 bytes) of a proof that one made or verified (RFC 9381, 5.2)."""
    point = proof[:32]
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return sha512(_SUITE + b"\x03" + point + b"\x00").digest()


def _challenge(*points: bytes) -> bytes:
    return sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00").digest()[:_CHALLENGE_BYTES]


def _scalar(challenge: bytes) -> bytes:
    return challenge + bytes(32 - _CHALLENGE_BYTES)


def _encode_to_curve(public: bytes, message: bytes) -> bytes:
    """Return the point an input stands for: `edwards25519_XMD:SHA-512_ELL2_NU_`, salted with the public key."""
    size = _FIELD_BYTES.to_bytes(2, "big") + b"\x00"
    first = sha512(_PAD + public + message + size + _DST_PRIME).digest()
    stream = sha512(first + b"\x01" + _DST_PRIME).digest()
    element = int.from_bytes(stream[:_FIELD_BYTES], "big") % _P
    return crypto_core_ed25519_from_uniform((element | _x_sign(element) << 255).to_bytes(32, "little"))


def _x_sign(element: int) -> int:
    """Return the sign of x of the point that Elligator 2 of RFC 9380 maps a field element r to.

    Of the candidates u1 = -J / d with d = 1 + 2 r^2, and u2 = -u1 - J the first is taken where u1^3 + J u1^2 + u1 is a
    square, and the odd root v of it; otherwise the second, whose value is 2 r^2 times the first one's, and the even
    root. Then x = sqrt(-J - 2) u / v. No input is known for which the map has exceptions (element 0).

    With n = -J (J^2 - J^2 d + d^2) the first value is n / d^3, so of t = n d^3 the power (p - 5) / 8 gives all without
    a division: a root s of 1 / t makes v = n s and u1 / v = -J d^2 s; a root s of 2 / t makes v = n r s and
    u2 / v = -J d^2 r s.
    """
    d = (1 + 2 * element * element) % _P
    square = d * d % _P
    n = -_J * (_J * _J * (1 - d) + square) % _P
    t = n * square % _P * d % _P
    power = pow(t, (_P - 5) // 8, _P)
    unity = power * power % _P * t % _P
    is_first = unity in (1, _P - 1)
    root = power * _ROOTS[unity] % _P
    if not is_first:
        root = root * element % _P
    x = _TO_EDWARDS * square % _P * root % _P
    v = n * root % _P
    return (x if v % 2 == is_first else -x) % _P % 2
