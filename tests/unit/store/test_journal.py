"""The journal file: what was flushed is there after any crash, and damage is never taken for a torn tail."""

import asyncio
import struct
from pathlib import Path

import pytest

from aitoken.errors import Bug
from node.store.errors import Damaged, DiskFull, WriteFailed, write_failed
from node.store.files import DiskFiles
from node.store.journal import Journal
from node.store.journal_writer import JournalWriter
from node.store.voting_record import VotingRecordFile
from tests.support.crashing_files import CrashingFiles, PowerCut

OPENING = [b"\x01opening", b"\x03certificate"]


def salt() -> bytes:
    return b"8 bytes."


def journal(files: CrashingFiles) -> Journal:
    return Journal(files, salt)


def written(*records: bytes) -> tuple[str, bytes]:
    """The only file of a journal with these records behind the opening."""
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    for record in records:
        opened.append(record)
    opened.flush()
    (name,) = files.names()
    return name, files.read(name)


def test_records_come_back_in_order_and_the_journal_goes_on() -> None:
    name, data = written(b"\x02vote", b"\x04block" * 50)
    files = CrashingFiles({name: data})

    opened = journal(files)
    assert opened.found == [*OPENING, b"\x02vote", b"\x04block" * 50]
    assert opened.size == len(data)
    opened.append(b"\x02more")
    opened.flush()

    assert journal(files).found == [*OPENING, b"\x02vote", b"\x04block" * 50, b"\x02more"]


def test_where_there_was_none_nothing_is_found_and_nothing_can_be_appended() -> None:
    opened = journal(CrashingFiles())

    assert (opened.found, opened.damage) == (None, None)
    with pytest.raises(Bug):
        opened.append(b"\x02vote")


def test_a_restart_leaves_one_segment_with_the_given_records() -> None:
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    first = files.names()
    opened.append(b"\x02old vote")
    opened.restart([b"\x01new"])
    opened.append(b"\x02vote")

    assert len(files.names()) == 1
    assert files.names() > first
    assert journal(files).found == [b"\x01new", b"\x02vote"]


def script(files: CrashingFiles, durable: list[list[bytes]]) -> None:
    """Do what a node does; `durable[0]` is what must be found after a crash, `durable[1]` what may be there too."""
    opened = journal(files)
    for epoch in range(3):
        opening = [b"\x01epoch %d" % epoch, b"\x03certificate" * 3]
        durable[1] = opening
        opened.restart(opening)
        durable[0] = opening
        for view in range(2):
            records = [b"\x03seen in %d" % view, b"\x02vote %d" % view]
            durable[1] = durable[0] + records
            for record in records:
                opened.append(record)
            opened.flush()
            durable[0] = durable[1]


def steps_of_script() -> int:
    files = CrashingFiles()
    script(files, [[], []])
    return files._steps


@pytest.mark.parametrize("cut_at", range(1, steps_of_script() + 1))
def test_after_a_power_cut_at_any_step_and_byte_what_was_flushed_is_found(cut_at: int) -> None:
    files = CrashingFiles(cut_at=cut_at)
    durable: list[list[bytes]] = [[], []]
    with pytest.raises(PowerCut):
        script(files, durable)
    sure, perhaps = durable
    allowed = [sure, perhaps]
    if perhaps[: len(sure)] == sure:
        allowed += [perhaps[:count] for count in range(len(sure), len(perhaps))]

    outcomes = list(files.after_power_cut())

    assert outcomes
    for content in outcomes:
        survivor = journal(CrashingFiles(content))
        assert survivor.damage is None
        assert (survivor.found or []) in allowed


def test_every_cut_of_the_file_gives_the_records_before_it_or_says_damaged() -> None:
    name, data = written(b"\x02vote one", b"\x02vote two")
    opening_end = len(written()[1])

    for size in range(len(data)):
        opened = journal(CrashingFiles({name: data[:size]}))
        if size < opening_end:
            assert opened.found is None
            assert opened.damage is not None
        else:
            assert opened.damage is None
            assert opened.found == [*OPENING, b"\x02vote one", b"\x02vote two"][: len(opened.found or [])]
            assert opened.size <= size


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_before_the_last_record_is_damage(bit: int) -> None:
    name, data = written(b"\x02vote one", b"\x02vote two")
    last = len(written(b"\x02vote one")[1])

    for at in range(last):
        flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        files = CrashingFiles({name: flipped})
        opened = journal(files)
        assert opened.found is None
        assert opened.damage is not None
        assert files.read(name) == flipped  # nothing was cut off


def test_a_damaged_segment_is_kept_aside_when_a_new_one_begins() -> None:
    name, data = written(b"\x02vote one", b"\x02vote two")
    flipped = data[:-30] + b"?" + data[-29:]
    files = CrashingFiles({name: flipped})
    opened = journal(files)
    assert opened.damage is not None

    opened.restart([b"\x01anew"])

    assert files.read(name + ".damaged") == flipped
    assert journal(files).found == [b"\x01anew"]


def test_bytes_that_look_like_a_record_inside_a_torn_one_are_not_taken_for_damage() -> None:
    name, data = written(b"\x02vote")
    inner = data[-13:]  # a right record at its own place, carried in a block
    files = CrashingFiles({name: data})
    opened = journal(files)
    opened.append(b"\x04" + inner * 20)
    torn = files.read(name)[:-5]

    again = journal(CrashingFiles({name: torn}))

    assert again.damage is None
    assert again.found == [*OPENING, b"\x02vote"]


def test_a_torn_tail_made_of_many_lengths_is_judged_in_bounded_time() -> None:
    name, data = written(b"\x02vote")
    tail = struct.pack("<I", 1 << 20) * (1 << 19)

    assert journal(CrashingFiles({name: data + tail})).damage is not None


def test_an_old_segment_beside_a_new_one_is_removed() -> None:
    name, data = written(b"\x02old")
    files = CrashingFiles({name: data})
    again = journal(files)
    again.restart([b"\x01new"])
    (newer,) = files.names()
    both = CrashingFiles({name: data, newer: files.read(newer)})

    assert journal(both).found == [b"\x01new"]
    assert both.names() == [newer]


def test_after_a_failed_sync_nothing_is_written_any_more() -> None:
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    opened.append(b"\x02vote")
    files.sync_fails = True
    with pytest.raises(WriteFailed):
        opened.flush()
    files.sync_fails = False

    for attempt in (opened.flush, lambda: opened.append(b"\x02vote"), lambda: opened.restart(OPENING)):
        with pytest.raises(WriteFailed):
            attempt()


def test_a_full_disk_has_its_own_code() -> None:
    assert write_failed("x", OSError(28, "No space left on device")).code == DiskFull.code
    assert write_failed("x", OSError(5, "Input/output error")).code == WriteFailed.code


def test_on_a_real_disk_it_is_the_same(tmp_path: Path) -> None:
    opened = Journal(DiskFiles(tmp_path / "consensus"))
    opened.restart(OPENING)
    opened.append(b"\x02vote")
    opened.flush()
    opened.close()
    (segment,) = (tmp_path / "consensus").iterdir()
    with segment.open("ab") as file:
        file.write(b"\x10\x00\x00\x00torn")

    again = Journal(DiskFiles(tmp_path / "consensus"))

    assert again.found == [*OPENING, b"\x02vote"]
    again.append(b"\x02next")
    again.restart([b"\x01epoch"])
    again.close()
    assert Journal(DiskFiles(tmp_path / "consensus")).found == [b"\x01epoch"]


async def test_the_writer_calls_back_when_all_is_on_disk_with_one_write() -> None:
    files = CrashingFiles()
    failures: list[BaseException] = []
    writer = JournalWriter(journal(files), failures.append)
    calls: list[str] = []

    writer.restart(OPENING, lambda: calls.append("restarted"))
    writer.append(b"\x02vote")
    writer.append(b"\x04block")
    before = len(next(iter(files.directory.values())).data)

    def on_disk() -> None:
        (inode,) = files.directory.values()
        calls.append("synced" if before < inode.synced == len(inode.data) else "not synced")

    writer.barrier(on_disk)
    calls.append("returned")
    writer.append(b"\x03left over")
    writer.close()

    assert calls == ["restarted", "synced", "returned"]
    assert failures == []
    assert journal(files).found == [*OPENING, b"\x02vote", b"\x04block", b"\x03left over"]


async def test_a_failure_of_the_writer_is_told_once_and_nothing_calls_back() -> None:
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    failures: list[BaseException] = []
    writer = JournalWriter(opened, failures.append)
    files.sync_fails = True
    called: list[str] = []
    writer.append(b"\x02vote")
    writer.barrier(lambda: called.append("first"))
    writer.barrier(lambda: called.append("second"))
    writer.close()
    await asyncio.sleep(0)

    assert called == []
    assert [type(failure) for failure in failures] == [WriteFailed]


def test_the_voting_record_is_raised_and_survives(tmp_path: Path) -> None:
    record = VotingRecordFile(tmp_path / "signer.json")
    assert record.epoch is None
    record.raise_to(7)
    record.raise_to(3)

    assert record.epoch == 7
    assert VotingRecordFile(tmp_path / "signer.json").epoch == 7
    assert [file.name for file in tmp_path.iterdir()] == ["signer.json"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": 1, "epoch": "7"}', b'{"version": 2, "epoch": 7}'])
def test_a_damaged_voting_record_is_not_taken_for_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "signer.json").write_bytes(content)

    with pytest.raises(Damaged):
        VotingRecordFile(tmp_path / "signer.json")
