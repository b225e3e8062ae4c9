"""The strings of a rigged node pull when they are told to, and not before."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from faults import rigged
from faults.rigged import RIG, Rig, Strings


class Sync:
    """A sync that is counted, and by it what happened around it."""

    def __init__(self, strings: Strings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.happened: list[str] = []
        monkeypatch.setattr(rigged, "_stand_still", lambda: self.happened.append("still"))
        self.call = strings._synced(lambda: self.happened.append("sync"), fails=True)


@pytest.fixture
def strings(tmp_path: Path) -> Strings:
    return Strings(tmp_path)


def told(strings: Strings, rig: Rig) -> None:
    (strings._folder / RIG).write_bytes(msgspec.json.encode(rig))
    strings.read()


def test_without_a_rig_nothing_happens(strings: Strings, monkeypatch: pytest.MonkeyPatch) -> None:
    strings.read()
    sync = Sync(strings, monkeypatch)
    sync.call()
    assert sync.happened == ["sync"]


def test_it_stops_before_or_after_the_sync_that_was_named(strings: Strings, monkeypatch: pytest.MonkeyPatch) -> None:
    for is_after, order in ((False, ["still", "sync"]), (True, ["sync", "still"])):
        told(strings, Rig(stop_at=2, is_after=is_after))
        sync = Sync(strings, monkeypatch)
        for _ in range(3):
            sync.call()
        assert sync.happened == ["sync", *order, "sync"]


def test_from_a_sync_on_all_fail_until_told_otherwise(strings: Strings, monkeypatch: pytest.MonkeyPatch) -> None:
    told(strings, Rig(fail_at=2))
    sync = Sync(strings, monkeypatch)
    sync.call()
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            sync.call()

    told(strings, Rig())
    sync.call()
    assert sync.happened == ["sync", "sync"]


def test_a_batch_of_the_database_is_late_and_does_not_fail(strings: Strings, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(rigged.time, "sleep", slept.append)
    told(strings, Rig(fail_at=1, slow_ms=100))
    strings._synced(lambda: None, fails=False)()
    assert slept == [0.1]
