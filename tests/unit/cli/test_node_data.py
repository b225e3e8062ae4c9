"""`aitoken node verify`, `export` and `import` on a stopped node's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import plyvel
import pytest
from click.testing import Result

from cli.exits import Exit
from tests.support.real_chain import open_in
from tests.unit.node_chain.test_chain_exchange import LENGTH, grow

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("stopped")
    opened = open_in(folder, sessionBlocks=LENGTH)
    grow(opened, 7)
    opened.database.close()
    return folder


def place(folder: Path, data: str = "node") -> tuple[str, ...]:
    return ("--chain", str(folder / "genesis.json"), "--data-dir", str(folder / data), "--output", "json")


def test_a_sound_folder_is_verified_exported_and_imported(aitoken: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "blocks"

    verified = aitoken("node", "verify", *place(folder))
    written = aitoken("node", "export", str(file), *place(folder))
    read = aitoken("node", "import", str(file), *place(folder, "other"))
    again = aitoken("node", "import", str(file), *place(folder, "other"))

    assert msgspec.json.decode(verified.stdout) == {"firstBlock": 0, "lastBlock": 7, "oldestState": 0, "findings": []}
    assert msgspec.json.decode(written.stdout) == {"file": str(file), "from": 1, "to": 7}
    assert msgspec.json.decode(read.stdout) == {"imported": 7, "known": 0, "lastBlock": 7}
    assert msgspec.json.decode(again.stdout) == {"imported": 0, "known": 7, "lastBlock": 7}
    assert aitoken("node", "verify", *place(folder, "other")).exit_code == 0


def test_a_part_is_exported_up_to_its_last_certified_block(aitoken: Run, folder: Path, tmp_path: Path) -> None:
    written = aitoken("node", "export", str(tmp_path / "b"), "--from", "1", "--to", "3", *place(folder))

    assert msgspec.json.decode(written.stdout)["to"] == 1  # 2 and 3 have no certificate of their own
    assert aitoken("node", "export", str(tmp_path / "b"), "--to", "8", *place(folder)).exit_code == Exit.REFUSED
    assert aitoken("node", "import", str(folder / "genesis.json"), *place(folder)).exit_code == Exit.REFUSED


def test_what_is_wrong_is_named_and_told_by_the_exit_code(aitoken: Run, tmp_path: Path) -> None:
    opened = open_in(tmp_path, sessionBlocks=LENGTH)
    grow(opened, 7)
    opened.database.close()
    raw = plyvel.DB(str(tmp_path / "node" / "db" / "leveldb"))
    raw.delete(b"b" + (2).to_bytes(4))
    raw.close()

    result = aitoken("node", "verify", *place(tmp_path))

    assert result.exit_code == Exit.UNHEALTHY
    assert msgspec.json.decode(result.stdout)["findings"][0]["block"] == 2


def test_without_a_database_or_with_one_in_use_nothing_is_done(aitoken: Run, folder: Path) -> None:
    assert aitoken("node", "verify", *place(folder, "nothing")).exit_code == Exit.UNUSABLE
    assert not (folder / "nothing").exists()
    opened = open_in(folder)

    result = aitoken("node", "verify", *place(folder))

    assert result.exit_code == Exit.UNUSABLE
    opened.database.close()
