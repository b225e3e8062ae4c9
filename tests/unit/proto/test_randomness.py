"""Seeds of epochs: frozen bytes, and what moves them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.proto import randomness
from aitoken.proto.leaders import leader

GENESIS, SEED = b"g" * 32, b"s" * 32
PAIR = Pair(bytes([7]) * 32)
OUTPUTS = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8)


def seed_of(outputs: list[bytes]) -> bytes:
    mix = randomness.NO_MIX
    for output in outputs:
        mix = randomness.mixed(mix, output)
    return randomness.seed_after(SEED, 4, mix)


def test_the_message_of_a_view_is_88_bytes_in_the_fixed_order() -> None:
    message = randomness.message_of(GENESIS, SEED, 3, 258)

    assert message == b"SMPX-vrf" + GENESIS + SEED + b"\3" + bytes(7) + b"\2\1" + bytes(6)
    assert len(message) == 88


def test_the_seed_is_frozen() -> None:
    first, second = b"a" * 32, b"b" * 32

    mix = blake2_256(blake2_256(bytes(32) + first) + second)
    assert seed_of([first, second]) == blake2_256(b"SMPX-seed" + SEED + b"\4" + bytes(7) + mix)


def test_output_and_proof_of_a_view_are_checked_together() -> None:
    proof = randomness.prove(PAIR, GENESIS, SEED, 3, 7)
    output = randomness.output_of(proof)
    message = randomness.message_of(GENESIS, SEED, 3, 7)

    assert len(output) == 32
    assert randomness.verify(output, proof, message, PAIR.public)
    assert not randomness.verify(output[:-1] + bytes([output[-1] ^ 1]), proof, message, PAIR.public)
    assert not randomness.verify(*randomness.UNPROVEN, message, PAIR.public)


def test_a_proof_is_for_one_chain_one_seed_one_epoch_and_one_view() -> None:
    proof = randomness.prove(PAIR, GENESIS, SEED, 3, 7)
    output = randomness.output_of(proof)

    others = ((SEED, SEED, 3, 7), (GENESIS, GENESIS, 3, 7), (GENESIS, SEED, 4, 7), (GENESIS, SEED, 3, 8))
    for other in others:
        assert not randomness.verify(output, proof, randomness.message_of(*other), PAIR.public)


@given(OUTPUTS, st.data())
def test_the_seed_differs_when_one_output_does_or_one_is_missing_or_two_change_places(
    outputs: list[bytes], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(outputs) - 1))
    other = bytes(byte ^ 1 for byte in outputs[at])

    assert seed_of([*outputs[:at], other, *outputs[at + 1 :]]) != seed_of(outputs)
    assert seed_of([*outputs[:at], *outputs[at + 1 :]]) != seed_of(outputs)
    swapped = [outputs[-1], *outputs[1:-1], outputs[0]] if len(outputs) > 1 else outputs
    assert (seed_of(swapped) == seed_of(outputs)) == (swapped == outputs)


def test_over_many_epochs_a_view_is_led_in_proportion_to_stake() -> None:
    weights = (1, 2, 3, 4)
    seed, counts = SEED, Counter[int]()
    for epoch in range(2_000):
        output = randomness.output_of(randomness.prove(PAIR, GENESIS, seed, epoch, 1)) if epoch < 50 else seed
        seed = randomness.seed_after(seed, epoch + 1, randomness.mixed(randomness.NO_MIX, output))
        counts[leader(seed, epoch + 1, weights, 5)] += 1

    for index, weight in enumerate(weights):
        expected = 2_000 * weight / 10
        assert abs(counts[index] - expected) < 4 * (expected * (1 - weight / 10)) ** 0.5
