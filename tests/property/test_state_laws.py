"""The fast trie, layers and proofs against plain dicts and the readable trie."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aitoken.proto.trie import IncompleteProof, verify
from chain.state import reference
from chain.state.base import StateDiscarded, StateVersion
from chain.state.layer import FinalState, Layer
from chain.state.memory import MemoryKeyValue
from chain.state.ordered import ordered_root, ordered_root_plainly

# Few different bytes and short keys: prefixes of each other, shared nibbles, splits and collapses in plenty.
SHORT = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0xFF]), max_size=4).map(bytes)
# A partial key of 15 nibbles or more needs a second header byte in some kinds of node, of 63 or more in all.
LONG = st.builds(lambda size, tail: b"\x22" * size + tail, st.sampled_from([8, 34]), SHORT)
KEYS = SHORT | LONG | st.binary(min_size=31, max_size=33)
VALUES = st.sampled_from([b"", b"a", b"b" * 31, b"c" * 32, b"d" * 33, b"e" * 80])
PAIRS = st.dictionaries(KEYS, VALUES, max_size=30)
VERSIONS = st.sampled_from(StateVersion)


@st.composite
def batches(draw: Callable, state: dict[bytes, bytes]) -> dict[bytes, bytes | None]:
    """Changes that meet keys that are there as well as new ones."""
    present = st.sampled_from(sorted(state)) if state else KEYS
    return draw(st.dictionaries(present | KEYS, st.none() | VALUES, max_size=12))


def applied(state: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**state, **changes}
    return {key: value for key, value in merged.items() if value is not None}


@given(st.data(), VERSIONS, PAIRS)
@settings(max_examples=200)
def test_roots_values_and_order_agree_with_plain_dicts_on_any_tree_of_layers(data, version, pairs) -> None:
    flat = MemoryKeyValue(pairs)
    final = FinalState(flat, version)
    tips: list[tuple[Layer | None, dict[bytes, bytes]]] = [(None, pairs)]
    for _ in range(data.draw(st.integers(1, 6), label="blocks")):
        parent, state = tips[data.draw(st.integers(0, len(tips) - 1), label="parent")]
        changes = data.draw(batches(state), label="changes")
        child = (parent or final).child(changes)
        expected = applied(state, changes)
        assert child.root == reference.root(expected, version)
        assert list(child.iterate(b"")) == sorted(expected.items())
        tips.append((child, expected))

    # The way down from the last layer becomes final, block by block.
    line = [tips[-1][0]]
    while isinstance(line[0].parent, Layer):
        line.insert(0, line[0].parent)
    expected = {id(layer): state for layer, state in tips if layer}
    for at, layer in enumerate(line):
        flat.apply(layer.changes)
        final.absorb(layer)
        assert final.root == reference.root(expected[id(layer)], version)
        assert final.top == FinalState(flat, version).top
        for above in line[at:]:
            assert list(above.iterate(b"")) == sorted(expected[id(above)].items())
            assert above.child({b"new": b"value"}).root == reference.root(
                {**expected[id(above)], b"new": b"value"}, version
            )


@given(st.data(), VERSIONS, PAIRS, st.sampled_from([0, 5, 20_000]))
@settings(max_examples=60)
def test_roots_are_right_where_layers_follow_each_other_and_the_oldest_become_final(
    data, version, pairs, line_max
) -> None:
    flat = MemoryKeyValue(pairs)
    final = FinalState(flat, version)
    waiting: list[Layer] = []
    expected = pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chain.state.layer.LINE_MAX", line_max)
        for _ in range(data.draw(st.integers(2, 8), label="blocks")):
            changes = data.draw(batches(expected), label="changes")
            parent = waiting[-1] if waiting else final
            expected = applied(expected, changes)
            waiting.append(parent.child(changes))
            assert waiting[-1].root == reference.root(expected, version)
            for layer in waiting[: data.draw(st.integers(0, len(waiting)), label="final")]:
                flat.apply(layer.changes)
                final.absorb(layer)
                waiting.remove(layer)


@given(PAIRS, SHORT.map(lambda key: key[:2]), st.none() | SHORT)
@example({bytes([byte]): b"x" for byte in (0x00, 0x01, 0x10, 0x11, 0x12, 0x13)}, b"\x12", b"\x00")
def test_iterating_a_layer_is_iterating_a_sorted_dict(pairs, prefix, after) -> None:
    items = sorted(pairs.items())
    final = FinalState.in_memory(dict(items[::3]))
    layer = final.child(dict(items[1::3])).child({**dict(items[2::3]), b"gone": b"x"}).child({b"gone": None})

    listed = list(layer.iterate(prefix, after))

    assert listed == [(key, value) for key, value in items if key.startswith(prefix) and (after is None or key > after)]


@given(PAIRS, st.lists(KEYS, max_size=5), VERSIONS)
@settings(max_examples=150)
def test_a_proof_shows_values_and_absence_and_nothing_else_fits(pairs, more, version) -> None:
    items = sorted(pairs.items())
    final = FinalState.in_memory(dict(items[::2]), version)
    layer = final.child(dict(items[1::2]))
    keys = [*more, *(key for key, _ in items[:3])]

    proof = layer.prove(keys)

    assert verify(layer.root, proof, keys) == {key: pairs.get(key) for key in keys}
    assert len(set(proof)) == len(proof)
    for left_out in range(len(proof)):
        shorter = proof[:left_out] + proof[left_out + 1 :]
        with pytest.raises(IncompleteProof):  # nothing is in a proof that is not needed
            verify(layer.root, shorter, keys)


@given(st.lists(st.binary(max_size=40), max_size=200))
@example([b"x" * 40] * 64)
@example([b"x" * 40] * 65)
@example([b"x"] * 4200)
@settings(max_examples=50)
def test_the_root_of_a_list_is_the_root_of_its_compact_positions(values) -> None:
    pairs = {reference.compact(position): value for position, value in enumerate(values)}

    assert ordered_root(values) == reference.root(pairs, StateVersion.V0)


@given(st.integers(60, 1200), st.lists(st.binary(max_size=40) | st.binary(min_size=140, max_size=150), min_size=1))
@example(16 * 64 + 64, [b""])
@example(33 * 64 + 1, [b"x" * 30, b"y" * 29, b"z" * 28])
@example(1 << 14, [b"x" * 30, b""])
@settings(max_examples=40)
def test_the_root_of_a_long_list_is_that_of_any_other_trie(count, values) -> None:
    long = [values[position * position % len(values)] for position in range(count)]

    assert ordered_root(long) == ordered_root_plainly(long)


def test_lists_at_the_edges_of_the_written_out_shape_have_the_right_root() -> None:
    edges = [edge + by for edge in (128, 192, 15 * 64, 16 * 64, 17 * 64, 32 * 64, 33 * 64) for by in (-1, 0, 1)]
    for count in (*range(67), *edges):
        for size in (2, 40):
            values = [position.to_bytes(size) for position in range(count)]
            pairs = {reference.compact(position): value for position, value in enumerate(values)}
            assert ordered_root(values) == reference.root(pairs, StateVersion.V0), count


def test_a_list_longer_than_two_byte_positions_has_the_right_root() -> None:
    values = [position.to_bytes(3) for position in range((1 << 14) + 70)]
    pairs = {reference.compact(position): value for position, value in enumerate(values)}

    assert ordered_root(values) == reference.root(pairs, StateVersion.V0)


def test_what_left_the_final_chain_reads_from_the_past_and_builds_nothing() -> None:
    flat = MemoryKeyValue({b"k": b"0"})
    final = FinalState(flat)
    winner, loser = final.child({b"k": b"1"}), final.child({b"other": b"x"})
    beyond = winner.child({b"more": b"y"})
    past = MemoryKeyValue({b"k": b"0"})

    flat.apply(winner.changes)
    final.absorb(winner, past)

    assert (loser.get(b"k"), loser.get(b"other"), beyond.get(b"k"), final.get(b"k")) == (b"0", b"x", b"1", b"1")
    with pytest.raises(StateDiscarded):
        loser.child({b"a": b"b"})
    with pytest.raises(StateDiscarded):
        loser.prove([b"k"])
    flat.apply(beyond.changes)
    final.absorb(beyond)
    with pytest.raises(StateDiscarded):
        winner.get(b"absent")
    with pytest.raises(StateDiscarded):
        winner.iterate(b"")
