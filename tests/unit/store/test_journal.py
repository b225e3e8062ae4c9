"""The journal file: what was flushed is there after any crash, and damage is never taken for a torn tail."""

import asyncio
from pathlib import Path
from zlib import crc32

import pytest

from aitoken.errors import Bug
from node.store.errors import Damaged, DiskFull, WriteFailed, WrongSchema, write_failed
from node.store.files import DiskFiles
from node.store.journal import NAME, PAGE, STEP, Journal
from node.store.journal_writer import JournalWriter
from node.store.voting_record import VotingRecordFile
from tests.support.crashing_files import CrashingFiles, PowerCut

OPENING = [b"\x01opening", b"\x03certificate"]


def salt() -> bytes:
    return b"8 bytes."


def journal(files: CrashingFiles) -> Journal:
    return Journal(files, salt)


def written(*records: bytes) -> tuple[str, bytes]:
    """The only file of a journal with these records behind the opening, each of them flushed."""
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    for record in records:
        opened.append(record)
        opened.flush()
    (name,) = files.names()
    return name, files.read(name)


def used_of(data: bytes) -> bytes:
    """A file without the zeros at its end."""
    return data.rstrip(b"\0")


def test_records_come_back_in_order_and_the_journal_goes_on() -> None:
    name, data = written(b"\x02vote", b"\x04block" * 50)
    files = CrashingFiles({name: data})

    opened = journal(files)
    assert opened.found == [*OPENING, b"\x02vote", b"\x04block" * 50]
    assert opened.size == 3 * PAGE
    opened.append(b"\x02more")
    opened.flush()

    assert journal(files).found == [*OPENING, b"\x02vote", b"\x04block" * 50, b"\x02more"]


def test_where_there_was_none_nothing_is_found_and_nothing_can_be_appended() -> None:
    opened = journal(CrashingFiles())

    assert (opened.found, opened.damage) == (None, None)
    with pytest.raises(Bug):
        opened.append(b"\x02vote")


def test_a_restart_leaves_the_given_records_in_the_same_file() -> None:
    files = CrashingFiles()
    opened = journal(files)
    for epoch in range(20):
        opened.restart([b"\x01epoch %d" % epoch])
        for view in range(10):
            opened.append(b"\x02vote %d" % view)
            opened.flush()

    assert files.names() == [NAME]
    assert len(files.read(NAME)) <= (1 + 2 * 11 + STEP) * PAGE, "room for two segments, and what it grows by"
    assert journal(files).found == [b"\x01epoch 19", *(b"\x02vote %d" % view for view in range(10))]


def test_once_it_has_its_size_a_write_does_not_make_the_file_longer() -> None:
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    size = len(files.read(NAME))
    for view in range(STEP):
        opened.append(b"\x02vote %d" % view)
        opened.flush()

    assert len(files.read(NAME)) == size
    opened.append(b"\x04block" * 2_000)
    assert len(files.read(NAME)) > size


def script(files: CrashingFiles, durable: list[list[bytes]]) -> None:
    """Do what a node does; `durable[0]` is what must be found after a crash, `durable[1]` what may be there too."""
    opened = journal(files)
    for epoch in range(3):
        opening = [b"\x01epoch %d" % epoch, b"\x03certificate %d" % epoch * 700]
        durable[1] = opening
        opened.restart(opening)
        durable[0] = opening
        for view in range(2):
            block, votes = b"\x04block in %d" % view * 900, [b"\x03seen in %d" % view, b"\x02vote %d" % view]
            durable[1] = [*durable[0], block, *votes]
            opened.append(block)
            opened.append_all(votes)
            opened.flush()
            durable[0] = durable[1]


def steps_of_script() -> int:
    files = CrashingFiles()
    script(files, [[], []])
    return files.steps


@pytest.mark.parametrize("cut_at", range(1, steps_of_script() + 1))
def test_after_a_power_cut_at_any_step_and_with_pages_in_any_order_what_was_flushed_is_found(cut_at: int) -> None:
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


def test_pages_of_an_unsynced_write_that_arrive_without_those_before_them_are_no_damage() -> None:
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    before = files.read(NAME)
    opened.append(b"\x04block" * 2_000)
    opened.append(b"\x02vote")
    after = files.read(NAME)
    first = 2 * PAGE
    without_the_first_page = after[:first] + before[first : first + PAGE] + after[first + PAGE :]
    files = CrashingFiles({NAME: without_the_first_page})

    again = journal(files)

    assert (again.damage, again.found) == (None, OPENING)
    again.append(b"\x04other" * 2_000)  # of the same size: what was behind it must not follow it now
    again.flush()
    assert journal(files).found == [*OPENING, b"\x04other" * 2_000]


def test_the_same_hole_in_what_was_flushed_is_damage() -> None:
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    opened.append(b"\x04block" * 2_000)
    opened.flush()
    opened.append(b"\x02vote")
    data = files.read(NAME)

    again = journal(CrashingFiles({NAME: data[: 2 * PAGE] + bytes(PAGE) + data[3 * PAGE :]}))

    assert again.found is None
    assert again.damage is not None
    assert "entry 3 was acted on" not in again.damage
    assert "entry 2 was acted on" in again.damage


def test_what_is_found_is_on_disk_before_it_is_told() -> None:
    """A process that was killed between write and sync leaves what only the next sync brings to the disk."""
    name, data = written(b"\x02vote one")
    files = CrashingFiles({name: data})
    opened = journal(files)
    opened.append(b"\x02vote two")

    assert journal(files).found == [*OPENING, b"\x02vote one", b"\x02vote two"]
    assert files.directory[name].synced


def test_every_cut_of_the_file_gives_the_records_before_it_or_says_damaged() -> None:
    name, data = written(b"\x02vote one", b"\x02vote two")
    opening_end = len(used_of(written()[1]))

    for size in range(len(used_of(data))):
        opened = journal(CrashingFiles({name: data[:size]}))
        if size < opening_end:
            assert opened.found is None
            assert opened.damage is not None
        else:
            assert opened.damage is None
            assert opened.found == [*OPENING, b"\x02vote one", b"\x02vote two"][: len(opened.found or [])]


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_a_flipped_bit_before_the_last_entry_is_damage(bit: int) -> None:
    name, data = written(b"\x02vote one", b"\x02vote two")
    last = len(written(b"\x02vote one")[1].rstrip(b"\0"))

    for at in (at for at in range(last) if data[at]):
        flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        files = CrashingFiles({name: flipped})
        opened = journal(files)
        assert opened.found is None
        assert opened.damage is not None
        assert files.read(name) == flipped  # nothing was changed


def test_what_a_restart_gave_up_is_never_taken_for_what_counts() -> None:
    """Every flipped byte of an opening, with all entries of the segment before it still in the file."""
    files = CrashingFiles()
    opened = journal(files)
    opened.restart(OPENING)
    for view in range(5):
        opened.append(b"\x02old vote %d" % view)
        opened.flush()
    opened.restart([b"\x01new"])
    opened.append(b"\x02new vote")
    opened.flush()
    data = files.read(NAME)
    assert b"old vote 4" in data
    start = data.index(b"\x01new") // PAGE * PAGE
    for at in range(start, data.index(b"\x01new") + 4):
        again = journal(CrashingFiles({NAME: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}))
        assert again.damage is not None


def test_a_damaged_file_is_kept_aside_when_a_new_one_begins() -> None:
    name, data = written(b"\x02vote one", b"\x02vote two")
    flipped = data.replace(b"vote one", b"vote 0ne")
    for cut_at in (0, *range(1, 7)):
        files = CrashingFiles({name: flipped, name + ".damaged-1": b"an older one"}, cut_at)
        opened = journal(files)
        assert opened.damage is not None
        if cut_at:
            with pytest.raises(PowerCut):
                opened.restart([b"\x01anew"])
            for content in files.after_power_cut():
                again = journal(CrashingFiles(content))
                assert again.damage is not None or again.found == [b"\x01anew"]
        else:
            opened.restart([b"\x01anew"])
            assert files.read(name + ".damaged-2") == flipped
            assert journal(files).found == [b"\x01anew"]


def test_bytes_that_look_like_an_entry_inside_a_torn_one_are_not_taken_for_damage() -> None:
    """A block that carries an entry of a longer journal with the same salt, as far as anybody could know it."""
    name, data = written(b"\x02vote", b"\x02another")
    longer = written(*(b"\x02vote %d" % view for view in range(8)))[1]
    files = CrashingFiles({name: data})
    opened = journal(files)
    opened.append(bytes(PAGE - 44) + longer[8 * PAGE : 9 * PAGE] * 3)  # the record begins 44 bytes into the entry
    torn = files.read(name)
    at = 4 * PAGE
    torn = torn[:at] + bytes(8) + torn[at + 8 :]
    assert torn[at + PAGE : at + PAGE + 8] == salt()

    again = journal(CrashingFiles({name: torn}))

    assert again.damage is None
    assert again.found == [*OPENING, b"\x02vote", b"\x02another"]


def test_the_journal_of_an_older_version_is_refused_and_left() -> None:
    files = CrashingFiles({"wal-0000000007.log": b"AITWAL\x01\n..."})

    with pytest.raises(WrongSchema, match="older version"):
        journal(files)
    assert files.names() == ["wal-0000000007.log"]


def test_the_journal_of_another_layout_is_refused() -> None:
    name, data = written()
    head = b"AITLOG\x07\n" + data[8:16]

    with pytest.raises(WrongSchema):
        journal(CrashingFiles({name: head + crc32(head).to_bytes(4, "little") + data[20:]}))


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
    (file,) = (tmp_path / "consensus").iterdir()
    size = file.stat().st_size

    again = Journal(DiskFiles(tmp_path / "consensus"))

    assert again.found == [*OPENING, b"\x02vote"]
    again.append(b"\x02next")
    again.restart([b"\x01epoch"])
    again.close()
    assert Journal(DiskFiles(tmp_path / "consensus")).found == [b"\x01epoch"]
    assert file.stat().st_size == size


async def test_the_writer_calls_back_when_all_is_on_disk_with_one_write() -> None:
    files = CrashingFiles()
    failures: list[BaseException] = []
    writer = JournalWriter(journal(files), failures.append)
    calls: list[str] = []

    writer.restart(OPENING, lambda: calls.append("restarted"))
    writer.append(b"\x02vote")
    writer.append(b"\x04block")
    steps = files.steps

    def on_disk() -> None:
        (inode,) = files.directory.values()
        calls.append("synced" if b"vote" in inode.on_disk and inode.synced else "not synced")
        assert files.steps == steps + 2, "one write, one sync"

    writer.barrier(on_disk)
    calls.append("returned")
    writer.append(b"\x03left over")
    writer.close()

    assert calls == ["restarted", "synced", "returned"]
    assert failures == []
    assert journal(files).found == [*OPENING, b"\x02vote", b"\x04block", b"\x03left over"]


async def test_a_barrier_ends_after_the_other_file_that_is_synced_at_the_same_time() -> None:
    files = CrashingFiles()
    failures: list[BaseException] = []
    calls: list[str] = []

    def settle() -> None:
        (inode,) = files.directory.values()
        calls.append("synced" if inode.synced and b"vote" in inode.on_disk else "not synced")
        if len(calls) > 2:
            raise WriteFailed("the other file")

    writer = JournalWriter(journal(files), failures.append, settle=settle)
    writer.restart(OPENING, lambda: None)
    for _ in range(2):
        writer.append(b"\x02vote")
        writer.barrier(lambda: calls.append("done"))
    writer.close()

    assert calls == ["synced", "done", "synced"]
    assert [type(failure) for failure in failures] == [WriteFailed]


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
