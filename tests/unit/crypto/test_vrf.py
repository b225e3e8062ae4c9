"""The VRF against RFC 9381's own examples, and what must not pass for a proof."""

from __future__ import annotations

from hashlib import sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)

from aitoken.crypto import vrf
from aitoken.crypto.ed25519 import Pair
from tests.support import reference_vrf

# RFC 9381, appendix B.4, examples 19 to 21: secret key, public key, alpha, H, pi, beta
EXAMPLES = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "b8066ebbb706c72b64390324e4a3276f129569eab100c26b9f05011200c1bad9",
        "7d9c633ffeee27349264cf5c667579fc583b4bda63ab71d001f89c10003ab46f"
        "14adf9a3cd8b8412d9038531e865c341cafa73589b023d14311c331a9ad15ff2fb37831e00f0acaa6d73bc9997b06501",
        "9d574bf9b8302ec0fc1e21c3ec5368269527b87b462ce36dab2d14ccf80c53cc"
        "cf6758f058c5b1c856b116388152bbe509ee3b9ecfe63d93c3b4346c1fbc6c54",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "76ac3ccb86158a9104dff819b1ca293426d305fd76b39b13c9356d9b58c08e57",
        "47b327393ff2dd81336f8a2ef10339112401253b3c714eeda879f12c509072ef"
        "055b48372bb82efbdce8e10c8cb9a2f9d60e93908f93df1623ad78a86a028d6bc064dbfc75a6a57379ef855dc6733801",
        "38561d6b77b71d30eb97a062168ae12b667ce5c28caccdf76bc88e093e463598"
        "7cd96814ce55b4689b3dd2947f80e59aac7b7675f8083865b46c89b2ce9cc735",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "13d2a8b5ca32db7e98094a61f656a08c6c964344e058879a386a947a4e189ed1",
        "926e895d308f5e328e7aa159c06eddbe56d06846abf5d98c2512235eaa57fdce"
        "35b46edfc655bc828d44ad09d1150f31374e7ef73027e14760d42e77341fe05467bb286cc2c9d7fde29120a0b2320d04",
        "121b7f9b9aaaa29099fc04a94ba52784d44eac976dd1a3cca458733be5cd090a"
        "7b5fbd148444f17f8daf1fb55cb04b1ae85a626e30a54b4b0f8abf4a43314a58",
    ),
]
PAIR = Pair(bytes.fromhex(EXAMPLES[0][0]))
MESSAGE = b"view 7"
PROOF = vrf.prove(PAIR, MESSAGE)
ORDER = 2**252 + 27742317777372353535851937790883648493

# The points of order 1, 2, 4 and 8, and encodings of them and others that are not canonical (y of 2^255 - 19 and more).
ODD_POINTS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0200000000000000000000000000000000000000000000000000000000000000",
]
TORSION = [bytes.fromhex(each) for each in ODD_POINTS[1:8]]


def proof_with(pair: Pair, message: bytes, nonce: int, torsion: bytes | None = None) -> tuple[bytes, int]:
    """A proof with a nonce of one's choice, and its challenge; the point moved out of the prime-order subgroup."""
    stretched = bytearray(sha512(pair.seed).digest()[:32])
    stretched[0] &= 0xF8
    stretched[31] = stretched[31] & 0x7F | 0x40
    secret, random = bytes(stretched), nonce.to_bytes(32, "little")
    point = vrf._encode_to_curve(pair.public, message)
    gamma = crypto_scalarmult_ed25519_noclamp(secret, point)
    if torsion is not None:
        gamma = crypto_core_ed25519_add(gamma, torsion)
    first = crypto_scalarmult_ed25519_base_noclamp(random)
    second = crypto_scalarmult_ed25519_noclamp(random, point)
    challenge = vrf._challenge(pair.public, point, gamma, first, second)
    response = crypto_core_ed25519_scalar_add(random, crypto_core_ed25519_scalar_mul(challenge + bytes(16), secret))
    return gamma + challenge + response, int.from_bytes(challenge, "little")


@pytest.mark.parametrize(("secret", "public", "alpha", "point", "proof", "output"), EXAMPLES)
def test_the_examples_of_rfc_9381(secret: str, public: str, alpha: str, point: str, proof: str, output: str) -> None:
    pair, message = Pair(bytes.fromhex(secret)), bytes.fromhex(alpha)

    assert pair.public.hex() == public
    assert vrf._encode_to_curve(pair.public, message).hex() == point
    assert vrf.prove(pair, message).hex() == proof
    found = vrf.verify(bytes.fromhex(proof), message, pair.public)
    assert found is not None
    assert found.hex() == output
    assert vrf.output_of(bytes.fromhex(proof)) == found


@given(st.integers(1, reference_vrf.P - 1))
def test_libsodiums_map_with_our_sign_is_that_of_rfc_9380(element: int) -> None:
    given_sign = element | vrf._x_sign(element) << 255

    found = vrf.crypto_core_ed25519_from_uniform(given_sign.to_bytes(32, "little"))

    assert found == reference_vrf.from_field(element)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_what_one_proves_everybody_can_check_and_it_is_always_the_same(seed: bytes, message: bytes) -> None:
    pair = Pair(seed)

    proof = vrf.prove(pair, message)

    assert len(proof) == vrf.PROOF_SIZE
    assert proof == vrf.prove(pair, message)
    output = vrf.verify(proof, message, pair.public)
    assert output == vrf.output_of(proof)
    assert output is not None
    assert len(output) == vrf.OUTPUT_SIZE


@given(st.binary(max_size=20), st.binary(min_size=32, max_size=32))
def test_another_message_or_key_is_refused(message: bytes, seed: bytes) -> None:
    if message != MESSAGE:
        assert vrf.verify(PROOF, message, PAIR.public) is None
    if seed != PAIR.seed:
        assert vrf.verify(PROOF, MESSAGE, Pair(seed).public) is None


def test_every_flipped_bit_is_refused() -> None:
    for bit in range(8 * vrf.PROOF_SIZE):
        changed = bytearray(PROOF)
        changed[bit // 8] ^= 1 << bit % 8
        assert vrf.verify(bytes(changed), MESSAGE, PAIR.public) is None, bit
    for bit in range(256):
        key = bytearray(PAIR.public)
        key[bit // 8] ^= 1 << bit % 8
        assert vrf.verify(PROOF, MESSAGE, bytes(key)) is None, bit
    assert vrf.verify(PROOF, MESSAGE, PAIR.public) is not None


@given(st.binary(max_size=100), st.binary(max_size=40))
def test_garbage_is_refused_and_does_not_raise(proof: bytes, public: bytes) -> None:
    assert vrf.verify(proof, MESSAGE, public) is None
    assert vrf.verify(proof.ljust(80, b"\1")[:80], MESSAGE, PAIR.public) is None
    assert vrf.verify(PROOF, MESSAGE, public.ljust(32, b"\1")[:32]) is None


@pytest.mark.parametrize("point", ODD_POINTS)
def test_points_of_small_order_and_odd_encodings_are_refused(point: str) -> None:
    odd = bytes.fromhex(point)

    for challenge in (bytes(16), bytes(15) + b"\1", PROOF[32:48]):
        for response in (bytes(32), b"\1" + bytes(31), PROOF[48:]):
            assert vrf.verify(odd + challenge + response, MESSAGE, PAIR.public) is None
            assert vrf.verify(PROOF[:32] + challenge + response, MESSAGE, odd) is None


def test_a_response_that_is_not_reduced_is_refused() -> None:
    response = int.from_bytes(PROOF[48:], "little") + ORDER

    assert vrf.verify(PROOF[:48] + response.to_bytes(32, "little"), MESSAGE, PAIR.public) is None


def test_the_owner_can_make_many_proofs_but_only_one_output() -> None:
    proofs = {proof_with(PAIR, MESSAGE, nonce)[0] for nonce in range(1, 5)}

    assert len(proofs) == 4
    assert {vrf.verify(proof, MESSAGE, PAIR.public) for proof in proofs} == {vrf.output_of(PROOF)}


@pytest.mark.parametrize("torsion", TORSION)
def test_a_point_outside_the_prime_order_subgroup_is_refused_even_where_the_equations_hold(torsion: bytes) -> None:
    for nonce in range(1, 500):
        proof, challenge = proof_with(PAIR, MESSAGE, nonce, torsion)
        if challenge % 8 == 0:  # the challenge makes the small part vanish
            break

    scalar, response, point = proof[32:48] + bytes(16), proof[48:], vrf._encode_to_curve(PAIR.public, MESSAGE)
    first = crypto_core_ed25519_sub(
        crypto_scalarmult_ed25519_base_noclamp(response), crypto_scalarmult_ed25519_noclamp(scalar, PAIR.public)
    )
    second = crypto_core_ed25519_sub(
        crypto_scalarmult_ed25519_noclamp(response, point), crypto_scalarmult_ed25519_noclamp(scalar, PROOF[:32])
    )
    assert vrf._challenge(PAIR.public, point, proof[:32], first, second) == proof[32:48]
    assert vrf.output_of(proof) == vrf.output_of(PROOF)
    assert vrf.verify(proof, MESSAGE, PAIR.public) is None
