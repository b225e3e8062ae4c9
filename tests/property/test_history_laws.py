"""Past values, stored by what their keys begin with and key by key, against the states as they were."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.types import BlockNumber
from chain.state.base import Changes
from node.store.database import Database
from node.store.schema import NAME_SIZE
from tests.support.chains import genesis, next_block

# Keys shorter than a name, as long, and longer, of bytes that are escaped and that end ranges.
HEADS = [b"h" * (NAME_SIZE - 2), b"h" * (NAME_SIZE - 1), b"h" * (NAME_SIZE - 2) + b"\x00", b"i" * NAME_SIZE, b""]
TAILS = st.lists(st.sampled_from([0x00, 0xFF]), max_size=3).map(bytes)
KEYS = st.builds(bytes.__add__, st.sampled_from(HEADS), TAILS)
CHANGES = st.dictionaries(KEYS, st.none() | st.sampled_from([b"", b"1", b"2" * 40]), max_size=20)
ARCHIVES = [False, True, False, True]


def expected(state: dict[bytes, bytes], prefix: bytes, after: bytes | None) -> list[tuple[bytes, bytes]]:
    pairs = sorted(state.items())
    return [(k, v) for k, v in pairs if k.startswith(prefix) and (after is None or k > after)]


@given(st.data(), st.lists(CHANGES, min_size=1, max_size=6), st.sampled_from([1, 2, 3]))
@settings(max_examples=40, deadline=None)
def test_a_past_state_reads_as_it_was_however_its_values_are_stored(
    data: st.DataObject, runs: list[Changes], period: int
) -> None:
    draw: Callable = data.draw
    start = {key: value for key, value in draw(CHANGES).items() if value is not None}
    head = genesis(start)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        Database.create(path, head.hash, head.encode(), start.items())
        states = [start]
        for number, changes in enumerate(runs, 1):  # an archive for a while, then none, and again
            archive = ARCHIVES[number // period % len(ARCHIVES)]
            database = Database.open(path, genesis(start).hash, history_blocks=None if archive else 9)
            block, head, layer = next_block(head, database.state, changes)
            database.commit([block], {})
            database.state.absorb(layer, database.view_at(BlockNumber(number - 1)))
            merged = {**states[-1], **changes}
            states.append({key: value for key, value in merged.items() if value is not None})
            if number < len(runs):
                database.close()

        keys = sorted({key for changes in runs for key in changes} | start.keys())
        for number, state in enumerate(states):
            view = database.view_at(BlockNumber(number))
            assert [view.get(key) for key in keys] == [state.get(key) for key in keys]
            for _ in range(4):
                prefix, after = (
                    draw(KEYS | st.sampled_from(HEADS)),
                    draw(st.none() | KEYS | st.sampled_from(keys or [b""])),
                )
                assert list(view.iterate(prefix, after)) == expected(state, prefix, after)
            assert list(view.iterate(b"")) == sorted(state.items())
            undone = {**states[-1], **database.undo(number, 1_000)}
            assert {key: value for key, value in undone.items() if value is not None} == state
        database.close()
