"""What a data folder holds after its disk lost power, looked at before the node starts again and asks its peers.

    every block the node told final is in the database, with the hash it told, and the database opens without repair
    every vote that left is in the journal, unless a later block or the end of its epoch is final
    every vote that was signed is in the sign-state

Reading is done in a copy, with the node's own code, so that the node finds everything as the power cut left it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from aitoken.errors import AiTokenError
from aitoken.proto.digest import next_epoch_of, smpx_of
from aitoken.proto.header import Header
from aitoken.proto.offences import offence_of
from aitoken.proto.votes import KIND_NAMES, VOTE_BYTES, Vote
from aitoken.types import BlockNumber, Hash32
from consensus.journal import decode_record
from faults.rigged import LEAVES
from node.chain.opening import DATABASE
from node.signer.state_file import FOLDER, Owner, SignState
from node.store.database import Database
from node.store.files import DiskFiles
from node.store.journal import Journal

_NOTE: Final = 1 + VOTE_BYTES


def notes_of(path: Path) -> tuple[list[Vote], list[Vote]]:
    """The votes a node signed and those that left, in order (`faults.rigged`)."""
    data = path.read_bytes() if path.exists() else b""
    signed: list[Vote] = []
    left: list[Vote] = []
    for at in range(0, len(data) - _NOTE + 1, _NOTE):
        notes = left if data[at : at + 1] == LEAVES else signed
        notes.append(Vote.decode(data[at + 1 : at + _NOTE]))
    return signed, left


def conflicts(votes: Iterable[Vote]) -> list[str]:
    """Pairs of one key's votes that exclude each other."""
    by_view: dict[tuple[int, int], list[Vote]] = {}
    found = []
    for vote in votes:
        others = by_view.setdefault((vote.epoch, vote.view), [])
        found += [
            f"{_named(other)} and {_named(vote)} exclude each other" for other in others if offence_of(other, vote)
        ]
        others.append(vote)
    return found


def look(
    data_dir: Path,
    copy: Path,
    genesis_hash: Hash32,
    told: Mapping[int, str],
    signed: Iterable[Vote],
    left: Iterable[Vote],
) -> list[str]:
    """What of a node's promises its folder does not keep; `copy` is a path of which nothing exists.

    Args:
        data_dir: the folder of a node that does not run.
        copy: where its copy is opened; removed afterwards.
        genesis_hash: of its chain.
        told: final hashes by height, as the node told them.
        signed: the votes it ever signed.
        left: those that ever left it, or were about to.
    """
    shutil.copytree(data_dir, copy)
    try:
        return [
            *_lost_blocks(copy, genesis_hash, told),
            *_lost_votes(copy, genesis_hash, left),
            *_forgotten(copy, genesis_hash, signed),
        ]
    except AiTokenError as error:
        return [f"does not open: {error}"]
    finally:
        shutil.rmtree(copy)


def _lost_blocks(folder: Path, genesis_hash: Hash32, told: Mapping[int, str]) -> list[str]:
    database = Database.open(folder / DATABASE, genesis_hash)
    try:
        found = ((number, block_hash, database.hash_of(BlockNumber(number))) for number, block_hash in told.items())
        return [
            f"told final: {block_hash} at {number}; there is {held.hex() if held else 'nothing'}"
            for number, block_hash, held in found
            if held is None or "0x" + held.hex() != block_hash
        ]
    finally:
        database.close()


def _lost_votes(folder: Path, genesis_hash: Hash32, left: Iterable[Vote]) -> list[str]:
    journal = Journal(DiskFiles(folder / "journal"))
    journal.close()
    if journal.damage is not None:
        return [f"the journal: {journal.damage}"]
    kept = {record for record in map(decode_record, journal.found or ()) if isinstance(record, Vote)}
    final = _final_view(folder, genesis_hash)
    return [
        f"left, but not in the journal: {_named(vote)}"
        for vote in left
        if (vote.epoch, vote.view) > final and vote not in kept
    ]


def _final_view(folder: Path, genesis_hash: Hash32) -> tuple[int, int]:
    """Epoch and view up to which no vote counts any more: all of an epoch whose last block is final."""
    database = Database.open(folder / DATABASE, genesis_hash)
    try:
        number, _ = database.finalized()
        if number == 0:
            return 0, 0
        digest = Header.decode(database.header(number) or b"").digest
        smpx = smpx_of(digest)
        return (smpx.epoch + 1, 0) if next_epoch_of(digest) is not None else (smpx.epoch, smpx.view)
    finally:
        database.close()


def _forgotten(folder: Path, genesis_hash: Hash32, signed: Iterable[Vote]) -> list[str]:
    [file] = (folder / FOLDER).glob("*.state")
    state = SignState(file, Owner(genesis_hash, bytes.fromhex(file.stem)), adopt=True)
    try:
        return [
            f"signed, but not in the sign-state: {_named(vote)}"
            for vote in signed
            if not state.votes.knows(vote.kind, vote.epoch, vote.view, vote.hash)
        ]
    finally:
        state.close()


def _named(vote: Vote) -> str:
    return f"{KIND_NAMES[vote.kind]} {vote.hash.hex()[:12]} in view {vote.view} of epoch {vote.epoch}"
