"""Tries that were updated block by block, kept in files and resumed, against the readable trie and whole ones."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.proto.trie import verify
from aitoken.types import BlockNumber
from chain.state import reference
from chain.state.base import StateDamaged, StateVersion
from chain.state.layer import FinalState, Layer
from chain.state.memory import MemoryKeyValue
from chain.state.nodes import layout, partial_of
from chain.state.tree import Node, below_of, bytes_of, find, regrown, walk
from node.store.database import TRUNK, Database
from tests.support.chains import genesis, next_block

# Keys of few different bytes, in numbers that make trees several branches high.
KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x02, 0x10, 0x11, 0x22, 0xFF]), max_size=5).map(bytes)
VALUES = st.sampled_from([b"", b"a", b"b" * 31, b"d" * 33, b"e" * 80])
PAIRS = st.dictionaries(KEYS, VALUES, max_size=80)
V1 = StateVersion.V1


@st.composite
def batches(draw: Callable, state: dict[bytes, bytes]) -> dict[bytes, bytes | None]:
    """Changes that meet keys that are there as well as new ones; now and then whole regions go."""
    present = st.sampled_from(sorted(state)) if state else KEYS
    changes: dict[bytes, bytes | None] = draw(st.dictionaries(present | KEYS, st.none() | VALUES, max_size=15))
    if draw(st.integers(0, 4)) == 0:
        region = draw(KEYS.map(lambda key: key[:1]))
        changes |= {key: None for key in state if key.startswith(region)}
    return changes


def applied(state: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    merged = {**state, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def whole(pairs: dict[bytes, bytes]) -> Node | None:
    return FinalState.in_memory(pairs).top


def paths_of(node: Node, path: str = "") -> dict[str, Node]:
    """All branches by the path at which they hang."""
    held = bytes_of(node)
    full = path + partial_of(held, layout(held))
    found = {path: node}
    for nibble, below in enumerate(below_of(node)):
        if below is not None:
            found |= paths_of(below, f"{full}{nibble:x}")
    return found


@given(st.data(), PAIRS)
@settings(max_examples=70)
def test_a_trie_that_was_updated_or_resumed_is_the_whole_one(data, state) -> None:
    flat = MemoryKeyValue(state)
    final = FinalState(flat)
    saved, root, since = final.top, final.root, dict[bytes, bytes | None]()
    for _ in range(data.draw(st.integers(1, 8), label="blocks")):
        changes = data.draw(batches(state), label="changes")
        layer = final.child(changes)
        above = layer.child({b"\x22": b"above", b"\x10\x11": None})
        flat.apply(layer.changes)
        final.absorb(layer)
        since = {**layer.before, **since}
        state = applied(state, changes)

        assert final.root == reference.root(state, V1)
        assert above.root == reference.root(applied(state, {b"\x22": b"above", b"\x10\x11": None}), V1)
        assert above.child({b"\x01": b"x"}).root == reference.root(
            applied(state, {b"\x22": b"above", b"\x10\x11": None, b"\x01": b"x"}), V1
        )
        assert final.top == whole(state)
        keys = data.draw(st.lists(KEYS, max_size=2), label="proven")
        assert verify(final.root, final.prove(keys), keys) == {key: state.get(key) for key in keys}
        match data.draw(st.sampled_from(["go on", "save", "resume"]), label="then"):
            case "save":
                saved, root, since = final.top, final.root, {}
            case "resume":
                final = FinalState.resumed(flat, saved, since, root)
                assert final.root == reference.root(state, V1)


@given(PAIRS, st.dictionaries(KEYS, st.none() | VALUES, max_size=15))
@settings(max_examples=50)
def test_the_trie_before_a_block_stays_as_it_was_and_shares_what_is_the_same(state, changes) -> None:
    final = FinalState.in_memory(state)
    before = list(walk(final.top))

    after = final.child(changes).top

    assert list(walk(final.top)) == before
    if final.top is None or after is None:
        return
    touched = [key.hex() for key in state.keys() | changes.keys() if state.get(key) != changes.get(key, state.get(key))]
    old = paths_of(final.top)
    for path, node in paths_of(after).items():
        if path in old and not any(key.startswith(path) for key in touched):
            assert node is old[path]


@given(PAIRS)
@settings(max_examples=50)
def test_a_branch_is_found_at_its_path_and_nowhere_else(state) -> None:
    top = whole(state)
    there = {} if top is None else paths_of(top)

    for path, node in there.items():
        assert find(top, path) is node
    keys = [key.hex() for key in state]
    for path in {key[:end] for key in keys for end in range(len(key) + 1)} - there.keys():
        assert find(top, path) is None


@given(st.data(), PAIRS)
@settings(max_examples=70)
def test_branches_that_are_not_all_or_not_right_are_noticed(data, state) -> None:
    branches = list(walk(whole(state)))
    assert regrown(branches) == whole(state)
    if not branches:
        return
    at = data.draw(st.integers(0, len(branches) - 1), label="at")
    match data.draw(st.sampled_from(["gone", "changed", "twice", "other order"]), label="how"):
        case "gone":
            wrong = branches[:at] + branches[at + 1 :]
        case "changed":
            wrong = [*branches[:at], branches[at][:-1] + bytes([branches[at][-1] ^ 1]), *branches[at + 1 :]]
        case "twice":
            wrong = branches[: at + 1] + branches[at:]
        case _:
            wrong = data.draw(st.permutations(branches), label="order")

    try:
        top = regrown(wrong)
    except StateDamaged:
        return
    assert top is None or wrong == branches or bytes_of(top) != branches[-1][2:]


@given(st.data(), st.dictionaries(KEYS, VALUES, min_size=1, max_size=40))
@settings(max_examples=15)
def test_a_database_opens_with_the_right_root_whenever_it_was_cut_off(data, state) -> None:
    header = genesis(state)
    first = header.hash
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.store.database._CHANGES_PER_TRUNK", (10, 20))
        path = Path(folder) / "db"
        Database.create(path, first, header.encode(), state.items())
        database = Database.open(path, first, history_blocks=2)
        for _ in range(data.draw(st.integers(1, 6), label="blocks")):
            changes = data.draw(batches(state), label="changes")
            block, new_header, layer = next_block(header, database.state, changes)
            pending = database.prepare([block], {})
            end = data.draw(
                st.sampled_from(["go on", "stop", "before", "after", "no trunk", "torn trunk"]), label="end"
            )
            if end != "before":
                database.write(pending)
                header, state = new_header, applied(state, changes)
            if end in ("go on", "stop"):
                database.settle(pending)
                database.state.absorb(layer, database.view_at(BlockNumber(block.number - 1)))
                if (write := database.trunk_to_write()) is not None:
                    write()
            if end == "go on":
                continue
            left = (path / TRUNK).read_bytes() if (path / TRUNK).exists() else b""
            database.close()
            if end != "stop":
                (path / TRUNK).write_bytes(left)  # a crash writes none
            if end == "no trunk":
                (path / TRUNK).unlink()
            elif end == "torn trunk":
                (path / TRUNK).write_bytes(left[:-1])
            database = Database.open(path, first, history_blocks=2)
            assert database.state.root == header.state_root == reference.root(state, V1)
            assert database.state.top == whole(state)
        database.close()


def test_thousands_of_small_blocks_that_mostly_remove_give_the_right_trees() -> None:
    rng = random.Random(1)
    keys = [bytes(rng.choice(b"\x00\x01\x10\x11\xff") for _ in range(rng.randrange(5))) for _ in range(200)]
    values = (b"", b"a", b"b" * 31, b"c" * 32, b"d" * 33, b"e" * 80)
    for version in StateVersion:
        for _ in range(500):
            state = {rng.choice(keys): rng.choice(values) for _ in range(rng.randrange(40))}
            tip: FinalState | Layer = FinalState.in_memory(state, version)
            for _ in range(3):
                picked = rng.choices(keys, k=rng.randrange(12)) + rng.sample(sorted(state), min(len(state), 4))
                changes = {key: rng.choice((None, *values)) if rng.random() < 0.7 else None for key in picked}
                tip, state = tip.child(changes), applied(state, changes)
                whole_one = FinalState.in_memory(state, version)
                assert (tip.root, tip.top) == (whole_one.root, whole_one.top), (state, changes)


def test_one_change_makes_the_branches_on_its_way_anew_and_no_other() -> None:
    state = {bytes((high, middle, low)): b"v" * 40 for high in range(4) for middle in (0, 16) for low in (0, 1)}
    final = FinalState.in_memory(state)
    changed = b"\x02\x10\x01"

    after = final.child({changed: b"w" * 40}).top

    assert final.top is not None
    assert after is not None
    old, new = paths_of(final.top), paths_of(after)
    assert old.keys() == new.keys()
    assert {path for path in new if new[path] is not old[path]} == {
        path for path in new if changed.hex().startswith(path)
    }


def test_the_trie_of_another_state_is_not_resumed() -> None:
    kept = FinalState.in_memory({b"a" * 2: b"1", b"b": b"2", b"c": b"3"})
    other = FinalState.in_memory({b"a": b"1", b"b": b"other"})

    with pytest.raises(StateDamaged):
        FinalState.resumed(MemoryKeyValue({b"a": b"9"}), kept.top, {b"a": b"1"}, other.root)
