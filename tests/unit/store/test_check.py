"""The complete check of a database, and writes that really fail."""

import os
import subprocess
import sys
from pathlib import Path

import plyvel
import pytest

from aitoken.types import BlockNumber, Hash32
from node.store.check import Finding, check
from node.store.database import Database
from node.store.errors import DiskFull
from node.store.files import _DiskFile
from tests.support.chains import genesis, next_block

PAIRS = {b"a": b"1", b"b": b"2"}
GENESIS = genesis(PAIRS)


def chain_of(path: Path, blocks: int) -> list[Hash32]:
    Database.create(path, GENESIS.hash, GENESIS.encode(), PAIRS.items())
    database = Database.open(path, GENESIS.hash, history_blocks=3)
    head = GENESIS
    hashes = [GENESIS.hash]
    for number in range(1, blocks + 1):
        block, head, layer = next_block(head, database.state, {b"a": b"%d" % number}, (b"xt%d" % number,))
        database.commit([block], {})
        database.state.absorb(layer, database.view_at(BlockNumber(number - 1)))
        hashes.append(head.hash)
    database.close()
    return hashes


def findings(path: Path) -> list[Finding]:
    database = Database.open(path, GENESIS.hash)
    found = [item for item in check(database) if isinstance(item, Finding)]
    database.close()
    return found


def test_a_sound_database_has_no_findings(tmp_path: Path) -> None:
    chain_of(tmp_path / "db", 6)

    assert findings(tmp_path / "db") == []


@pytest.mark.parametrize(
    ("key", "value", "number", "what"),
    [
        (b"b" + (2).to_bytes(4), b"\x91\xc4\x03xt9", 2, "body"),
        (b"d" + (3).to_bytes(4), None, 3, "missing"),
        (b"d" + (3).to_bytes(4), b"\x00" * 120, 3, "left over"),
        (b"h" + (4).to_bytes(4), b"\x11" * 32, 4, "header"),
        (b"ta\x00\x01" + (5).to_bytes(4), b"\x92\xc4\x00\xc4\x06forged", 3, ""),
        (b"ta\x00\x01" + (4).to_bytes(4), b"\x92\xc4\x00\xc4\x06forged", 3, "past values"),
        (b"ta\x00\x01" + (5).to_bytes(4), b"\x92\xc4\x00\xc4\x06forge", 3, "no past values"),
        (b"ta\x00\x01" + (5).to_bytes(4), b"\x91\xc4\x00", 3, "no past values"),
        (b"ta\x00\x01" + (5).to_bytes(4), b"\x92\x01\xc4\x00", 3, "no past values"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, key: bytes, value: bytes | None, number: int, what: str) -> None:
    chain_of(tmp_path / "db", 6)
    raw = plyvel.DB(str(tmp_path / "db" / "leveldb"))
    assert raw.get(key) is not None
    if value is None:
        raw.delete(key)
    else:
        raw.put(key, value)
    raw.close()

    found = findings(tmp_path / "db")

    if what:
        assert (found[0].number, what in found[0].what) == (number, True), found
    else:
        assert found == []  # only the value the oldest state needs is looked at


def test_a_write_that_the_system_refuses_is_named_and_the_chain_before_it_stays(tmp_path: Path) -> None:
    chain_of(tmp_path / "db", 2)
    program = """
import resource, signal, sys
from pathlib import Path
from node.store.database import Database
from node.store.errors import WriteFailed
from tests.support.chains import next_block
from tests.unit.store.test_check import GENESIS
from aitoken.proto.header import Header
database = Database.open(Path(sys.argv[1]), GENESIS.hash)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
head = Header.decode(database.header(2))
state = database.state
for number in range(3, 100):
    block, head, state = next_block(head, state, {b"big": bytes([number]) * 50_000})
    try:
        database.commit([block], {})
    except WriteFailed as error:
        print(error.code, database.finalized()[0], number - 1)
        break
"""
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "db")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ).stdout.split()

    assert said[0] == "store.write_failed"
    assert said[1] == said[2]
    assert int(said[1]) >= 3
    database = Database.open(tmp_path / "db", GENESIS.hash)
    assert database.finalized()[0] in (int(said[1]), int(said[1]) + 1)  # the refused one may be there
    database.close()


def test_a_full_device_is_named() -> None:
    file = _DiskFile(Path("/dev/full"), 0)

    with pytest.raises(DiskFull):
        file.write(b"x", 0)
    file.close()
