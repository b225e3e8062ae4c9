"""Final blocks and states on disk."""

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgpack
import plyvel
import pytest

from aitoken.errors import Bug
from aitoken.proto.trie import verify
from aitoken.types import BlockNumber, Hash32
from chain.state.base import StateDamaged, StateDiscarded
from chain.state.layer import FinalState
from node.store import trunk
from node.store.check import Finding, check
from node.store.database import TRUNK, Database
from node.store.errors import (
    Damaged,
    DiskFull,
    Exists,
    InUse,
    Missing,
    RolledBack,
    WriteFailed,
    WrongGenesis,
    WrongSchema,
)
from tests.support.chains import genesis, next_block

PAIRS = {b"a": b"1", b"a\x00": b"2", b"a\x00\xff": b"3", b"b": b"", b"c" * 40: b"4" * 40}
GENESIS = genesis(PAIRS)
NO_CHANGE: dict[bytes, bytes | None] = {}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Database.create(tmp_path / "db", GENESIS.hash, GENESIS.encode(), PAIRS.items())
    return tmp_path / "db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database.open(path, GENESIS.hash, history_blocks=3)
    yield opened
    opened.close()


class Chain:
    """Commits blocks and remembers every state."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.head = GENESIS
        self.states: list[dict[bytes, bytes]] = [dict(PAIRS)]

    def add(self, *runs: dict[bytes, bytes | None], meta: dict[bytes, bytes | None] | None = None) -> None:
        """Commit the blocks that make these changes in one go."""
        blocks, layers = [], []
        state = self.database.state
        for changes in runs:
            block, self.head, state = next_block(self.head, state, changes, body=(b"xt%d" % self.head.number,))
            blocks.append(block)
            layers.append(state)
            merged = {**self.states[-1], **changes}
            self.states.append({key: value for key, value in merged.items() if value is not None})
        self.database.commit(blocks, meta or {})
        for block, layer in zip(blocks, layers, strict=True):
            self.database.state.absorb(layer, self.database.view_at(BlockNumber(block.number - 1)))


def run_of_changes(number: int) -> dict[bytes, bytes | None]:
    """Changes that touch the same keys again and again, in different ways."""
    return {
        b"a": b"%d" % number,
        b"a\x00": None if number % 2 else b"back",
        b"new%d" % number: b"n" * 50,
        b"new%d" % (number - 1): None,
        b"": b"empty key" if number % 3 == 0 else None,
    }


def test_a_new_database_holds_the_genesis_block_and_state(database: Database) -> None:
    assert database.finalized() == (0, GENESIS.hash)
    assert (database.hash_of(0), database.number_of(GENESIS.hash)) == (GENESIS.hash, 0)
    assert (database.header(BlockNumber(0)), database.body(BlockNumber(0))) == (GENESIS.encode(), [])
    assert database.justification(BlockNumber(0)) is None
    assert list(database.state.iterate(b"")) == sorted(PAIRS.items())
    assert database.state.root == GENESIS.state_root


def test_what_was_committed_is_there_after_reopening(path: Path) -> None:
    database = Database.open(path, GENESIS.hash)
    chain = Chain(database)
    chain.add(run_of_changes(1))
    chain.add(run_of_changes(2), run_of_changes(3), meta={b"epoch": b"7", b"gone": b"x"})
    chain.add(NO_CHANGE, meta={b"gone": None})
    database.close()

    again = Database.open(path, GENESIS.hash)

    assert again.finalized() == (4, chain.head.hash)
    assert again.header(BlockNumber(4)) == chain.head.encode()
    assert again.body(BlockNumber(2)) == [b"xt1"]
    assert again.justification(BlockNumber(3)) == b"certificate of 3"
    assert again.hash_of(5) is None
    assert again.number_of(Hash32(bytes(32))) is None
    assert (again.consensus_meta(b"epoch"), again.consensus_meta(b"gone")) == (b"7", None)
    assert dict(again.state.iterate(b"")) == chain.states[-1]
    assert again.state.root == chain.head.state_root
    again.close()


def test_states_of_kept_blocks_read_as_they_were_and_older_ones_say_so(database: Database) -> None:
    chain = Chain(database)
    for number in range(1, 8):
        chain.add(run_of_changes(number))

    assert database.oldest == 4
    for number in range(4, 8):
        view = database.view_at(BlockNumber(number))
        expected = chain.states[number]
        keys = {key for state in chain.states for key in state}
        assert {key: view.get(key) for key in keys} == {key: expected.get(key) for key in keys}
        for prefix in (b"", b"a", b"a\x00", b"new", b"c"):
            for after in (None, b"", b"a", b"a\x00", b"b", b"new3", b"zz"):
                listed = [(k, v) for k, v in sorted(expected.items()) if k.startswith(prefix)]
                assert list(view.iterate(prefix, after)) == [(k, v) for k, v in listed if after is None or k > after]
    for number in range(4):
        with pytest.raises(StateDiscarded):
            database.view_at(BlockNumber(number)).get(b"a")
        with pytest.raises(StateDiscarded):
            list(database.view_at(BlockNumber(number)).iterate(b""))
        with pytest.raises(StateDiscarded):
            database.state_at(BlockNumber(number))


def test_a_state_that_a_batch_drops_is_read_no_more_while_it_is_written(path: Path) -> None:
    database = Database.open(path, GENESIS.hash, history_blocks=2)
    chain = Chain(database)
    for number in range(1, 5):
        chain.add(run_of_changes(number))
    oldest, next_oldest = (database.state_at(BlockNumber(database.oldest + more)) for more in (0, 1))
    kept = next_oldest.get(b"a")

    pending = database.prepare([next_block(chain.head, database.state, run_of_changes(5))[0]], {})
    database.write(pending)

    with pytest.raises(StateDiscarded):
        oldest.get(b"a")
    assert next_oldest.get(b"a") == kept == b"3"
    database.settle(pending)
    database.close()


def test_nothing_of_pruned_history_stays_on_disk(path: Path) -> None:
    database = Database.open(path, GENESIS.hash, history_blocks=1)
    chain = Chain(database)
    chain.add(*(run_of_changes(number) for number in range(1, 6)))
    for number in range(6, 12):
        chain.add(run_of_changes(number))
    database.close()

    raw = plyvel.DB(str(path / "leveldb"))

    numbers = {int.from_bytes(key[-4:], "big") for key in raw.iterator(prefix=b"t", include_value=False)}
    assert numbers == {11}
    assert list(raw.iterator(prefix=b"k", include_value=False)) == [b"k" + (11).to_bytes(4)]
    raw.close()


def test_an_archive_keeps_every_state(path: Path) -> None:
    database = Database.open(path, GENESIS.hash, history_blocks=None)
    chain = Chain(database)
    for number in range(1, 12):
        chain.add(run_of_changes(number))

    for number, expected in enumerate(chain.states):
        assert dict(database.view_at(BlockNumber(number)).iterate(b"")) == expected
    database.close()


def test_an_old_state_proves_and_can_be_built_on(database: Database) -> None:
    chain = Chain(database)
    for number in range(1, 6):
        chain.add(run_of_changes(number))

    old = database.state_at(BlockNumber(3))

    assert old.root == FinalState.in_memory(chain.states[3]).root
    assert verify(old.root, old.prove([b"a", b"new3", b"new5"]), [b"a", b"new3", b"new5"]) == {
        b"a": b"3",
        b"new3": b"n" * 50,
        b"new5": None,
    }
    assert old.child({b"x": b"y"}).root == FinalState.in_memory({**chain.states[3], b"x": b"y"}).root
    assert database.state_at(BlockNumber(5)) is database.state
    with pytest.raises(StateDiscarded):
        database.state_at(BlockNumber(6))
    with pytest.raises(StateDiscarded, match="too much changed"):
        database.undo(3, 7)


def test_a_layer_whose_block_is_final_reads_as_of_its_block_for_ever(database: Database) -> None:
    block, head, layer = next_block(GENESIS, database.state, {b"a": b"x"})
    database.commit([block], {})
    database.state.absorb(layer, database.view_at(BlockNumber(0)))
    after, _, child = next_block(head, layer, {b"b": b"y", b"a": b"z"})
    database.commit([after], {})
    database.state.absorb(child, database.view_at(BlockNumber(1)))

    assert (layer.get(b"a"), layer.get(b"b")) == (b"x", b"")
    assert (child.get(b"a"), child.get(b"b")) == (b"z", b"y")
    assert dict(layer.iterate(b"")) == {**PAIRS, b"a": b"x"}


def test_a_block_that_does_not_follow_is_a_bug(database: Database) -> None:
    _block, head, layer = next_block(GENESIS, database.state, {b"a": b"x"})
    skipping, _, _ = next_block(head, layer, {b"a": b"y"})

    with pytest.raises(Bug):
        database.commit([skipping], {})

    assert database.finalized() == (0, GENESIS.hash)


def test_creating_over_something_is_refused(path: Path) -> None:
    with pytest.raises(Exists):
        Database.create(path, GENESIS.hash, GENESIS.encode(), PAIRS.items())


def test_an_interrupted_creation_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "db.unfinished" / "leveldb").mkdir(parents=True)
    (tmp_path / "db.unfinished" / "leveldb" / "CURRENT").write_bytes(b"rubbish")

    with pytest.raises(Missing):
        Database.open(tmp_path / "db", GENESIS.hash)
    Database.create(tmp_path / "db", GENESIS.hash, GENESIS.encode(), PAIRS.items())

    Database.open(tmp_path / "db", GENESIS.hash).close()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["db"]


def test_another_genesis_is_refused_and_named(path: Path) -> None:
    other = genesis({b"other": b"chain"})

    with pytest.raises(WrongGenesis, match=GENESIS.hash.hex()):
        Database.open(path, other.hash)

    Database.open(path, GENESIS.hash).close()  # and nothing is left locked


def test_a_database_of_another_schema_is_refused(path: Path) -> None:
    raw = plyvel.DB(str(path / "leveldb"))
    raw.put(b"mschema", (99).to_bytes(4))
    raw.close()

    with pytest.raises(WrongSchema, match="99"):
        Database.open(path, GENESIS.hash)


def test_a_second_opening_in_the_same_process_is_refused(path: Path, database: Database) -> None:
    with pytest.raises(InUse):
        Database.open(path, GENESIS.hash)

    Chain(database).add({b"a": b"still writes"})


def test_a_second_process_is_refused_and_told_who_works_there(path: Path, database: Database) -> None:
    with pytest.raises(InUse):
        Database.open(path, GENESIS.hash)
    program = (
        "import sys; from pathlib import Path; from node.store.database import Database\n"
        "try: Database.open(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))\n"
        "except Exception as error: print(error.code, error)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, str(path), GENESIS.hash.hex()], capture_output=True, text=True, check=True
    ).stdout

    assert said.startswith(f"store.in_use process {os.getpid()} ")


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="aitoken init"):
        Database.open(tmp_path / "db", GENESIS.hash)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-000002"])
def test_a_lost_file_is_noticed(path: Path, name: str) -> None:
    (path / "leveldb" / name).unlink()

    with pytest.raises(Damaged, match="synchronise"):
        Database.open(path, GENESIS.hash)


def test_a_lost_log_is_noticed_by_the_floor(path: Path) -> None:
    database = Database.open(path, GENESIS.hash)
    Chain(database).add({b"a": b"9"})
    database.close()
    for log in (path / "leveldb").glob("*.log"):
        log.unlink()

    with pytest.raises(Damaged) as caught:
        Database.open(path, GENESIS.hash)

    assert isinstance(caught.value, RolledBack) or "lacks the record" in str(caught.value)


def test_a_changed_value_is_noticed_by_the_root(path: Path) -> None:
    raw = plyvel.DB(str(path / "leveldb"))
    raw.put(b"sb", b"forged")
    raw.close()

    with pytest.raises(Damaged, match="root"):
        Database.open(path, GENESIS.hash)


def test_a_changed_value_behind_a_right_trunk_is_noticed_by_a_check(path: Path) -> None:
    Database.open(path, GENESIS.hash).close()
    raw = plyvel.DB(str(path / "leveldb"))
    raw.put(b"sa\x00", b"forged")
    raw.close()
    database = Database.open(path, GENESIS.hash)

    found = list(check(database))

    assert any("not the one" in each.what for each in found if isinstance(each, Finding))
    database.close()


def test_a_large_trunk_is_written_when_a_key_for_each_thousand_bytes_has_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.store.database._CHANGES_PER_TRUNK", (1, 1))
    keys = [bytes((first, second)) for first in range(9) for second in (0, 9)]
    monkeypatch.setattr("node.store.trunk.size", lambda _: 1_000 * len(keys))
    database = Database.open(path, GENESIS.hash)
    chain = Chain(database)
    chain.add(dict.fromkeys(keys, b"1"))
    write = database.trunk_to_write()
    assert write is not None
    write()
    chain.add({b"x": b"1"})
    assert database.trunk_to_write() is None
    chain.add(dict.fromkeys(keys, b"2"))
    assert database.trunk_to_write() is not None
    database.close()


def test_a_database_made_with_its_trunk_does_not_build_the_trie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FinalState.in_memory(PAIRS)
    Database.create(tmp_path / "new", GENESIS.hash, GENESIS.encode(), PAIRS.items(), top=whole.top)
    monkeypatch.setattr("chain.state.layer.build", lambda *_: pytest.fail("it was built"))

    database = Database.open(tmp_path / "new", GENESIS.hash)

    assert database.state.root == whole.root
    database.close()


def test_the_trunk_is_written_when_enough_has_changed_and_when_the_database_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.store.database._CHANGES_PER_TRUNK", (4, 4))
    database = Database.open(path, GENESIS.hash)
    write = database.trunk_to_write()
    assert write is not None  # there was none
    write()
    chain = Chain(database)
    chain.add({b"x": b"1"})
    assert database.trunk_to_write() is None
    chain.add(run_of_changes(2))
    write = database.trunk_to_write()
    assert write is not None
    write()
    saved = trunk.read(path / TRUNK)
    assert saved is not None
    assert (saved.number, saved.hash) == database.finalized()
    chain.add(run_of_changes(3))
    database.close()

    again = trunk.read(path / TRUNK)

    assert again is not None
    assert again.number == 3


def test_every_flipped_bit_of_a_trunk_costs_no_more_than_a_build(path: Path) -> None:
    Database.open(path, GENESIS.hash).close()
    data = (path / TRUNK).read_bytes()
    for at in range(0, len(data), 7):
        (path / TRUNK).write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        assert trunk.read(path / TRUNK) is None
        database = Database.open(path, GENESIS.hash)
        assert database.state.root == GENESIS.state_root
        database.close()


@pytest.mark.parametrize(
    "content", [[], [1], [[0, b"hash"], 7], [[0, b"hash"], [b"\x01\x00\x80\x01"]], [[0, b"hash"], [3]]]
)
def test_a_whole_trunk_without_sense_costs_no_more_than_a_build(path: Path, content: list[Any]) -> None:
    packed = b"".join(map(msgpack.packb, content))
    (path / TRUNK).write_bytes(trunk.MAGIC + packed + blake2b(packed, digest_size=32).digest())
    with pytest.raises(StateDamaged):
        trunk.read(path / TRUNK)

    database = Database.open(path, GENESIS.hash)

    assert database.state.root == GENESIS.state_root
    database.close()


def test_a_trunk_of_another_state_is_of_no_use(path: Path) -> None:
    database = Database.open(path, GENESIS.hash)
    other = FinalState.in_memory({**PAIRS, b"a": b"other"}).top
    trunk.write(path / TRUNK, trunk.Trunk(*database.finalized(), other))
    database._changed_since_trunk = 0
    database.close()

    database = Database.open(path, GENESIS.hash)

    assert database.state.root == GENESIS.state_root
    database.close()


def test_every_flipped_bit_of_a_table_or_log_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "db"
    Database.create(path, GENESIS.hash, GENESIS.encode(), PAIRS.items())
    database = Database.open(path, GENESIS.hash)
    chain = Chain(database)
    chain.add(run_of_changes(1))
    database.close()
    Database.open(path, GENESIS.hash).close()  # the log becomes a table
    files = [file for file in sorted((path / "leveldb").iterdir()) if file.suffix in (".ldb", ".log")]
    copies = {file: file.read_bytes() for file in (path / "leveldb").iterdir()}
    noticed = 0
    for file in files:
        data = copies[file]
        for at in range(0, len(data), max(1, len(data) // 40)):
            for name, content in copies.items():
                name.write_bytes(content)
            for extra in set((path / "leveldb").iterdir()) - set(copies):
                extra.unlink()
            file.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
            try:
                opened = Database.open(path, GENESIS.hash)
            except Damaged:
                noticed += 1
                continue
            try:
                assert dict(opened.state.iterate(b"")) == chain.states[-1]
                assert opened.finalized() == (1, chain.head.hash)
                for number in (0, 1):
                    opened.header(BlockNumber(number))
                    opened.body(BlockNumber(number))
                assert dict(opened.view_at(BlockNumber(0)).iterate(b"")) == PAIRS
            except Damaged:
                noticed += 1
            finally:
                opened.close()
    assert noticed > 10


class FullDisk:
    """Stands for a batch that LevelDB refuses to write."""

    def __init__(self, message: bytes) -> None:
        self.message = message

    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...

    def write(self) -> None:
        raise plyvel.IOError(self.message)


@pytest.mark.parametrize(
    ("message", "kind"),
    [(b"IO error: x.log: No space left on device", DiskFull), (b"IO error: x.log: Input/output error", WriteFailed)],
)
def test_a_failed_write_is_named_and_the_last_one_for_ever(
    database: Database, message: bytes, kind: type[WriteFailed], monkeypatch: pytest.MonkeyPatch
) -> None:
    block, _, _ = next_block(GENESIS, database.state, {b"a": b"x"})
    monkeypatch.setattr(database._db, "batch", lambda: FullDisk(message))
    with pytest.raises(WriteFailed) as caught:
        database.commit([block], {})
    assert type(caught.value) is kind
    monkeypatch.undo()

    with pytest.raises(WriteFailed, match="restart"):
        database.commit([block], {})

    assert database.finalized() == (0, GENESIS.hash)
    assert database.state.get(b"a") == b"1"
