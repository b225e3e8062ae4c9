"""The state on disk as blocks read it: through a cache and one cursor, whatever is written meanwhile."""

import tempfile
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.state.memory import MemoryKeyValue
from node.store import flat as store_flat
from node.store import schema
from node.store.flat import FlatState
from node.store.leveldb import LevelDb

KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0xFF]), max_size=4).map(bytes)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=40)


def write(db: LevelDb, changes: dict[bytes, bytes | None]) -> None:
    batch = db.batch(sync=False)
    for key, value in changes.items():
        if value is None:
            batch.delete(schema.STATE + key)
        else:
            batch.put(schema.STATE + key, value)
    db.write(batch)


@given(st.data(), CHANGES)
@settings(max_examples=40)
def test_reads_are_those_of_the_last_block_until_the_next_one_is_written(data, first) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_flat, "_SAMPLE", 2)
        patch.setattr(store_flat, "_READ_AT_ONCE", 2)
        db = LevelDb.create(Path(folder) / "db")
        batch = db.batch(sync=False)
        batch.put(schema.STATE_END, b"the pair after the state")
        db.write(batch)
        write(db, first)
        flat, model = FlatState(db, cached_values=4), MemoryKeyValue()
        model.apply(first)
        for _ in range(data.draw(st.integers(1, 4), label="blocks")):
            changes = data.draw(CHANGES, label="changes")
            for written in (False, True):
                for key in data.draw(st.lists(KEYS, max_size=4), label="read"):
                    assert flat.get(key) == model.get(key)
                for _ in flat.read_ahead(data.draw(st.lists(KEYS, max_size=4), label="ahead")):
                    pass
                prefix, after = data.draw(KEYS), data.draw(st.none() | KEYS)
                found = flat.iterate(prefix, after)
                some = list(islice(found, 2))
                flat.get(data.draw(KEYS))  # moves the cursor
                assert some + list(found) == list(model.iterate(prefix, after))
                if not written:
                    flat.hold()
                    write(db, changes)
            flat.changed(changes)
            model.apply(changes)
        flat.let_go()
        db.close()


def test_what_is_read_ahead_is_read_in_the_order_of_the_keys_unless_most_is_known(tmp_path: Path) -> None:
    db = LevelDb.create(tmp_path / "db")
    pairs = {bytes([number * 7 % 256]): b"%d" % number for number in range(200)}
    write(db, pairs)
    flat = FlatState(db)

    steps = list(flat.read_ahead([*pairs, *pairs]))

    assert list(flat._young) == sorted(pairs)
    assert [flat.get(key) for key in pairs] == list(pairs.values())
    assert len(steps) == 5  # one to look for them in the cache
    assert list(flat.read_ahead([*pairs, b"unknown"])) == []
    assert b"unknown" not in flat._young
    flat.let_go()
    db.close()
