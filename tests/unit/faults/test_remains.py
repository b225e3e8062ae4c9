"""What a folder lacks of what its node promised must be seen: blocks told final, votes that left, votes signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitoken.proto.digest import Digest, NextEpoch, SmpxDigest, leading_items_of, next_epoch_item
from aitoken.proto.header import Header
from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, Vote
from aitoken.types import BlockNumber, Hash32
from chain.state.ordered import ordered_root
from consensus.journal import Opening, encode_record
from faults.remains import conflicts, look, notes_of
from faults.rigged import LEAVES, SIGNED
from node.chain.opening import DATABASE
from node.signer.state_file import Owner, SignState, create, path_of
from node.store.database import CommittedBlock, Database
from node.store.files import DiskFiles
from node.store.journal import Journal
from tests.support.chains import genesis

GENESIS = genesis({})
A, B = Hash32(b"a" * 32), Hash32(b"b" * 32)
TOLD = {0: "0x" + GENESIS.hash.hex()}


def vote(kind: int, view: int, block_hash: Hash32 = A) -> Vote:
    return Vote(kind, 0, view, NO_BLOCK if kind == NULLIFY else block_hash, 0, bytes(64))


KEPT = [vote(NOTARIZE, 1), vote(NULLIFY, 1)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder that holds its genesis, and two votes in the journal as in the sign-state."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    Database.create(folder / DATABASE, GENESIS.hash, GENESIS.encode(), ())
    owner = Owner(GENESIS.hash, b"k" * 32)
    journal = Journal(DiskFiles(folder / "journal"))
    journal.restart([encode_record(Opening(GENESIS.hash, owner.public, 0, 0)), *map(encode_record, KEPT)])
    journal.close()
    create(path_of(folder, owner.public), owner)
    state = SignState(path_of(folder, owner.public), owner)
    for each in KEPT:
        state.enter(each.kind, each.epoch, each.view, each.hash)
    state.close()
    return folder


def found(folder: Path, told: dict[int, str] = TOLD, signed: list[Vote] = KEPT, left: list[Vote] = KEPT) -> list[str]:
    before = sorted(folder.rglob("*"))
    wrong = look(folder, folder.with_name("copy"), GENESIS.hash, told, signed, left)
    assert sorted(folder.rglob("*")) == before, "the folder itself is left as it is"
    return wrong


def test_a_folder_that_keeps_every_promise_is_right(folder: Path) -> None:
    assert found(folder) == []


def test_a_block_that_was_told_final_and_is_not_there_is_missed(folder: Path) -> None:
    assert "there is nothing" in found(folder, told={**TOLD, 1: "0x11"})[0]
    assert "told final: 0x22" in found(folder, told={0: "0x22"})[0]


def test_a_vote_that_left_and_is_not_in_the_journal_is_missed(folder: Path) -> None:
    [wrong] = found(folder, left=[*KEPT, vote(NULLIFY, 2)])
    assert "not in the journal: nullify" in wrong


def test_what_is_settled_by_a_final_block_need_not_be_kept(folder: Path) -> None:
    """The last block of an epoch may be voted for in many views: none of them counts any more."""
    database = Database.open(folder / DATABASE, GENESIS.hash)
    announced = next_epoch_item(NextEpoch(1, [(bytes(32), 1)], bytes(32), 2, 5))
    head, state, hashes = GENESIS, database.state, dict(TOLD)
    for view, further in ((3, ()), (5, (announced,))):
        digest = Digest(
            (*leading_items_of(SmpxDigest(1, 0, view, view - 1, 0, 1_000 * view, bytes(32), bytes(80))), *further)
        )
        head = Header(head.hash, BlockNumber(head.number + 1), state.root, ordered_root([]), digest)
        block = CommittedBlock(head.number, head.hash, head.encode(), (), None, {}, {})
        database.commit([block], {})
        hashes[head.number] = "0x" + head.hash.hex()
        database.close()

        settled = [vote(NULLIFY, view), vote(NOTARIZE, 9)] if further else [vote(NULLIFY, view)]
        assert found(folder, told=hashes, left=[*KEPT, *settled]) == []
        assert bool(found(folder, told=hashes, left=[vote(NULLIFY, view + 1)])) == (not further)
        database = Database.open(folder / DATABASE, GENESIS.hash)
    database.close()


def test_a_vote_that_was_signed_and_is_not_in_the_sign_state_is_missed(folder: Path) -> None:
    [wrong] = found(folder, signed=[*KEPT, vote(NOTARIZE, 2, B)])
    assert "not in the sign-state: notarize 6262" in wrong


def test_a_damaged_journal_is_told(folder: Path) -> None:
    [file] = (folder / "journal").iterdir()
    file.write_bytes(b"")

    assert "damaged" in found(folder)[0]


def test_a_database_that_does_not_open_is_told(folder: Path) -> None:
    (folder / DATABASE / "leveldb" / "CURRENT").unlink()

    assert "does not open" in found(folder)[0]


def test_votes_that_exclude_each_other_are_found() -> None:
    legal = [vote(NOTARIZE, 1), vote(NOTARIZE, 1), vote(NULLIFY, 1), vote(FINALIZE, 2), vote(NOTARIZE, 2)]
    assert conflicts(legal) == []

    assert len(conflicts([*legal, vote(NOTARIZE, 1, B)])) == 2, "with each of the two others"
    assert len(conflicts([*legal, vote(NULLIFY, 2)])) == 1
    assert len(conflicts([*legal, vote(FINALIZE, 2, B)])) == 1


def test_notes_are_read_up_to_a_torn_one(tmp_path: Path) -> None:
    file = tmp_path / "votes"
    first, second = KEPT
    file.write_bytes(SIGNED + first.encode() + LEAVES + first.encode() + SIGNED + second.encode() + LEAVES)

    assert notes_of(file) == ([first, second], [first])
    assert notes_of(tmp_path / "none") == ([], [])
