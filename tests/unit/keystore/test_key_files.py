"""Who may read a key file, and that it is there whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from aitoken.crypto import ed25519
from aitoken.keystore import files, node_keys
from aitoken.keystore.files import (
    KeyFileExists,
    KeyFileExposed,
    KeyFileMissing,
    KeyFileUnreadable,
    private_directory,
    read_private,
    write_private,
)
from aitoken.keystore.node_keys import BadNodeKey


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_written_files_are_the_owners_alone_whatever_the_umask(keys: Path) -> None:
    before = os.umask(0)
    try:
        write_private(keys / "a", b"secret")
    finally:
        os.umask(before)

    assert mode(keys) == 0o700
    assert mode(keys / "a") == 0o600
    assert read_private(keys / "a") == b"secret"


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o610, 0o660, 0o700])
def test_a_file_others_can_use_is_refused(keys: Path, wide: int) -> None:
    write_private(keys / "a", b"secret")
    (keys / "a").chmod(wide)

    with pytest.raises(KeyFileExposed):
        read_private(keys / "a")


@pytest.mark.parametrize("wide", [0o750, 0o701, 0o777])
def test_a_directory_others_can_enter_is_refused(keys: Path, wide: int) -> None:
    write_private(keys / "a", b"secret")
    keys.chmod(wide)

    with pytest.raises(KeyFileExposed):
        read_private(keys / "a")
    with pytest.raises(KeyFileExposed):
        write_private(keys / "b", b"secret")
    assert [path.name for path in keys.iterdir()] == ["a"]


def test_a_stricter_mode_is_fine(keys: Path) -> None:
    write_private(keys / "a", b"secret")
    (keys / "a").chmod(0o400)

    assert read_private(keys / "a") == b"secret"


def test_a_file_of_another_user_is_refused(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_private(keys / "a", b"secret")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)

    with pytest.raises(KeyFileExposed, match="another user"):
        read_private(keys / "a")


def test_links_and_directories_are_no_key_files(keys: Path) -> None:
    write_private(keys / "a", b"secret")
    (keys / "link").symlink_to(keys / "a")
    (keys / "dir").mkdir(mode=0o700)
    os.mkfifo(keys / "pipe", 0o600)

    with pytest.raises(KeyFileExposed, match="symbolic link"):
        read_private(keys / "link")
    for name in ("dir", "pipe"):
        with pytest.raises(KeyFileExposed, match="regular"):
            read_private(keys / name)


def test_a_missing_file_says_so(keys: Path) -> None:
    with pytest.raises(KeyFileMissing):
        read_private(keys / "a")


def test_a_key_is_not_overwritten_by_accident(keys: Path) -> None:
    write_private(keys / "a", b"one")

    with pytest.raises(KeyFileExists):
        write_private(keys / "a", b"two")
    assert read_private(keys / "a") == b"one"
    write_private(keys / "a", b"three", replace=True)
    assert read_private(keys / "a") == b"three"
    assert [path.name for path in keys.iterdir()] == ["a"]


def test_a_failed_write_leaves_nothing(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    private_directory(keys)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(KeyFileUnreadable, match="No space"):
            write_private(keys / "a", b"secret")

    assert list(keys.iterdir()) == []


def test_everything_is_synced_file_before_directory(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))

    write_private(keys / "a", b"secret")

    assert synced == [False, True]


def test_a_huge_file_is_refused(keys: Path) -> None:
    write_private(keys / "a", bytes(files.FILE_SIZE_MAX + 1))

    with pytest.raises(KeyFileExposed, match="larger"):
        read_private(keys / "a")


def test_a_file_in_the_way_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"")

    with pytest.raises(KeyFileExposed, match="not a directory"):
        write_private(tmp_path / "keys" / "a", b"secret")
    with pytest.raises(KeyFileUnreadable):
        write_private(tmp_path / "keys" / "below" / "a", b"secret")


def test_an_unreadable_name_is_unavailable(keys: Path) -> None:
    with pytest.raises(KeyFileUnreadable):
        read_private(keys / ("x" * 300))


def test_the_session_key_is_never_made_by_looking_nor_replaced(keys: Path) -> None:
    pair = ed25519.Pair.generate()

    with pytest.raises(KeyFileMissing):
        node_keys.session_key(keys)
    node_keys.write_session_key(keys, pair)
    assert node_keys.session_key(keys).public == pair.public
    with pytest.raises(KeyFileExists):
        node_keys.write_session_key(keys, ed25519.Pair.generate())
    assert node_keys.session_key(keys).public == pair.public


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"GG" * 32, b"00" * 32 + b"\n\n", b"AA" * 32])
def test_a_damaged_node_key_is_refused_without_repeating_it(keys: Path, content: bytes) -> None:
    write_private(keys / node_keys.SESSION_FILE, content)

    with pytest.raises(BadNodeKey) as caught:
        node_keys.session_key(keys)
    assert "AAAA" not in str(caught.value)
