"""Tries whose boughs are packed and taken out, and that are resumed, against the readable trie and whole ones."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.proto.trie import verify
from aitoken.types import BlockNumber
from chain.state import held, reference
from chain.state.base import StateDamaged, StateVersion
from chain.state.build import Nodes, build
from chain.state.held import Branches
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from chain.state.nodes import HASHED_FROM
from node.store.database import TRUNK, Database
from tests.support.chains import genesis, next_block

# Keys of few different bytes, in numbers that make trunks several branches high.
KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x02, 0x10, 0x11, 0x22, 0xFF]), max_size=5).map(bytes)
VALUES = st.sampled_from([b"", b"a", b"b" * 31, b"d" * 33, b"e" * 80])
PAIRS = st.dictionaries(KEYS, VALUES, max_size=80)
V1 = StateVersion.V1


@pytest.fixture(autouse=True)
def few_loose_boughs() -> Iterator[None]:
    """Nearly all boughs are packed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "LOOSE_MAX", 3)
        yield


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


def everything(branches: Branches) -> dict[str, bytes]:
    """All branches by path, each of which must be in one place."""
    found = dict(branches.nodes)
    for above, packed in branches.packed.items():
        assert packed
        for digit, node in held.unpacked(packed):
            assert above + digit not in found
            found[above + digit] = node
    return found


def whole(pairs: dict[bytes, bytes]) -> Nodes:
    nodes: Nodes = {}
    build(iter(sorted(pairs.items())), 0, HASHED_FROM[V1], nodes)
    return nodes


@given(st.data(), PAIRS)
@settings(max_examples=70)
def test_a_trie_that_is_held_in_part_or_resumed_is_the_whole_one(data, state) -> None:
    flat = MemoryKeyValue(state)
    final = FinalState(flat)
    saved, since = final.branches(), dict[bytes, bytes | None]()
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
        assert everything(final.branches()) == whole(state)
        keys = data.draw(st.lists(KEYS, max_size=2), label="proven")
        assert verify(final.root, final.prove(keys), keys) == {key: state.get(key) for key in keys}
        match data.draw(st.sampled_from(["go on", "save", "resume"]), label="then"):
            case "save":
                saved, since = final.branches(), {}
            case "resume":
                final = FinalState.resumed(flat, saved, since)
                assert final.root == reference.root(state, V1)
    assert {path: final.nodes[path] for path in whole(state)} == whole(state)


def test_absorbing_a_block_does_not_go_through_all_that_is_held() -> None:
    class Guarded(held.HeldNodes):
        def keys(self):  # type: ignore[override, no-untyped-def]  # it fails whoever asks
            raise AssertionError("what is held was gone through")

        __iter__ = items = values = keys

    flat = MemoryKeyValue({bytes((high, low)): b"v" * 40 for high in range(8) for low in range(8)})
    final = FinalState(flat)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "LOOSE_MAX", 1_000)
        final.nodes.__class__ = Guarded
        for changes in ({b"\x03\x03\x03": b"new"}, {b"\x04\x04": b"other"}, {b"\x05\x05": None}):
            layer = final.child(changes)
            flat.apply(layer.changes)
            final.absorb(layer)

    assert final.root == reference.root(dict(flat.iterate(b"")), V1)


@given(PAIRS)
@settings(max_examples=50)
def test_what_was_built_is_packed_but_for_the_trunk(state) -> None:
    nodes = whole(state)

    branches = FinalState.in_memory(state).branches()

    assert everything(branches) == nodes
    large = {path for path in nodes if not path or sum(other.startswith(path) for other in nodes) > 1}
    assert branches.nodes.keys() == large & nodes.keys()


def test_boughs_are_packed_again_one_for_one() -> None:
    state = {bytes((high, middle, low)): b"v" * 40 for high in range(8) for middle in (0, 16) for low in (0, 1)}
    final = FinalState.in_memory(state)
    trunk = len(final.nodes)
    for key in sorted(state):
        final.prove([key])
        assert len(final.nodes) <= trunk + 3

    assert len(final.nodes) == trunk + 3
    assert everything(final.branches()) == whole(state)


@given(st.data(), PAIRS)
@settings(max_examples=70)
def test_branches_that_are_not_all_or_not_right_are_noticed(data, state) -> None:
    flat = MemoryKeyValue(state)
    branches = FinalState(flat).branches()
    nodes, packed = dict(branches.nodes), dict(branches.packed)
    part, other = data.draw(st.permutations([nodes, packed]), label="part")
    if not part:
        part = other
    if not part:
        return
    at = data.draw(st.sampled_from(sorted(part)), label="at")
    match data.draw(st.sampled_from(["gone", "changed", "twice"]), label="how"):
        case "gone":
            del part[at]
        case "changed":
            part[at] = part[at][:-1] + bytes([part[at][-1] ^ 1])
        case "twice":
            part[at + "0"] = part[at]

    try:
        again = FinalState(flat, V1, Branches(nodes, packed))
    except StateDamaged:
        return
    assert at == ""
    assert again.root != reference.root(state, V1)


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
            assert everything(database.state.branches()) == whole(state)
        database.close()
