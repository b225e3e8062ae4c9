"""The sign-state on disk: written before a signature exists, never older, never a copy, never two users."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from aitoken.crypto import ed25519
from aitoken.errors import Unavailable
from aitoken.keystore.files import KeyFileExists, KeyFileExposed
from aitoken.proto.votes import FINALIZE, NO_BLOCK, NOTARIZE, NULLIFY, sign_bytes
from consensus.signed import VIEWS_MAX, VoteRefused
from node.signer.errors import KeyInUse, NoSignState, SignerLost, SignStateDamaged, SignStateElsewhere
from node.signer.local import Key, LocalSigner
from node.signer.place import KeyLock, Place
from node.signer.state_file import Owner, SignState, create, path_of
from node.store.errors import WriteFailed

GENESIS = bytes(range(32))
PAIR = ed25519.Pair(bytes([7]) * 32)
OWNER = Owner(GENESIS, PAIR.public)
A, B = bytes([1]) * 32, bytes([2]) * 32
SYNCED_SLOT = slice(4096 + 8192, 4096 + 2 * 8192)
"""Where the second state of a file lies: the first was written when it was made."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = path_of(tmp_path / "node", PAIR.public)
    create(path, OWNER)
    return path


def reopened(path: Path) -> SignState:
    state = SignState(path, OWNER)
    state.close()
    return state


def test_what_was_entered_is_found_again(path: Path) -> None:
    state = SignState(path, OWNER)
    state.enter(NOTARIZE, 3, 9, A)
    state.enter(FINALIZE, 3, 8, B)
    state.close()

    assert reopened(path).votes.votes() == ((8, FINALIZE, B), (9, NOTARIZE, A))
    again = SignState(path, OWNER)
    with pytest.raises(VoteRefused):
        again.enter(NOTARIZE, 3, 9, B)
    again.close()


def test_final_views_become_the_floor_but_never_swallow_the_vote_itself(path: Path) -> None:
    state = SignState(path, OWNER)
    state.enter(NOTARIZE, 0, 5, A)
    state.enter(NOTARIZE, 0, 9, A, 7)
    state.enter(NULLIFY, 0, 10, NO_BLOCK, 50)
    state.close()

    votes = reopened(path).votes
    assert (votes.floor, votes.votes()) == (9, ((10, NULLIFY, NO_BLOCK),))


def test_nothing_is_signed_before_the_sync_and_nothing_after_a_failed_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException] = []
    signer = LocalSigner(GENESIS, [Key(PAIR, SignState(path, OWNER))], failures.append)
    signer.sign_vote(NOTARIZE, 0, 1, A)

    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(SignerLost):
        signer.sign_vote(NOTARIZE, 0, 2, A)
    monkeypatch.undo()
    with pytest.raises(SignerLost):
        signer.sign_vote(NOTARIZE, 0, 3, A)
    assert isinstance(failures[0], WriteFailed)
    signer.close()


def test_a_signature_is_over_the_vote_and_made_once_synced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync
    signer = LocalSigner(GENESIS, [Key(PAIR, SignState(path, OWNER))])
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (synced.append(descriptor), real(descriptor))[1])

    signature = signer.sign_vote(NOTARIZE, 2, 4, A)
    assert len(synced) == 1
    assert ed25519.verify(signature, sign_bytes(GENESIS, NOTARIZE, 2, 4, A), PAIR.public)
    assert signer.sign_vote(NOTARIZE, 2, 4, A) == signature
    assert len(synced) == 1
    signer.close()


def test_beside_the_journal_a_vote_is_on_disk_when_settled_and_the_slot_before_it_until_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk stands still: what is in the file then may arrive or not, what was synced before must be readable."""
    signer = LocalSigner(GENESIS, [Key(PAIR, SignState(path, OWNER))])
    settle = signer.beside_the_journal()
    signer.sign_vote(NOTARIZE, 2, 4, A)
    settle()
    before = path.read_bytes()
    goes_on, synced = threading.Event(), threading.Event()
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        goes_on.wait()
        real(descriptor)
        synced.set()

    monkeypatch.setattr(os, "fdatasync", slow)
    signature = signer.sign_vote(FINALIZE, 2, 4, A)
    assert ed25519.verify(signature, sign_bytes(GENESIS, FINALIZE, 2, 4, A), PAIR.public)
    assert not synced.is_set()
    with ThreadPoolExecutor(2) as pool:
        next_vote = pool.submit(signer.sign_vote, NOTARIZE, 2, 5, B)
        settled = pool.submit(settle)
        done = wait([next_vote, settled], timeout=0.1).done
        found = path.read_bytes()
        goes_on.set()
    assert not done
    assert found[SYNCED_SLOT] == before[SYNCED_SLOT]
    next_vote.result()
    settled.result()
    settle()
    signer.close()

    assert reopened(path).votes.votes() == ((4, NOTARIZE, A), (4, FINALIZE, A), (5, NOTARIZE, B))


def test_beside_the_journal_a_failed_sync_is_told_when_settled_and_ends_all(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException] = []
    signer = LocalSigner(GENESIS, [Key(PAIR, SignState(path, OWNER))], failures.append)
    settle = signer.beside_the_journal()

    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    signer.sign_vote(NOTARIZE, 0, 1, A)
    with pytest.raises(WriteFailed):
        settle()
    monkeypatch.undo()
    with pytest.raises(WriteFailed):
        settle()
    with pytest.raises(SignerLost):
        signer.sign_vote(NOTARIZE, 0, 2, A)
    assert isinstance(failures[0], WriteFailed)
    signer.close()


def test_what_a_killed_process_left_is_synced_before_it_is_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)

    SignState(path, OWNER).close()

    assert len(synced) == 1


def test_of_ten_parallel_calls_for_one_view_exactly_one_succeeds(path: Path) -> None:
    signer = LocalSigner(GENESIS, [Key(PAIR, SignState(path, OWNER))])

    def ask(number: int) -> bool:
        try:
            signer.sign_vote(NOTARIZE, 0, 1, bytes([number]) * 32)
        except VoteRefused:
            return False
        return True

    for _ in range(3):
        with ThreadPoolExecutor(10) as pool:
            assert sum(pool.map(ask, range(1, 11))) in (0, 1)
    with ThreadPoolExecutor(10) as pool:
        view = 2
        results = list(pool.map(lambda n: _succeeds(signer, n, view), range(1, 11)))
    assert sum(results) == 1
    signer.close()


def _succeeds(signer: LocalSigner, number: int, view: int) -> bool:
    try:
        signer.sign_vote(FINALIZE, 0, view, bytes([number]) * 32)
    except VoteRefused:
        return False
    return True


def test_a_torn_write_leaves_the_state_before_it(path: Path) -> None:
    """Every byte at which the power may go while the second vote is written."""
    state = SignState(path, OWNER)
    state.enter(NOTARIZE, 0, 1, A)
    before = path.read_bytes()
    state.enter(NOTARIZE, 0, 2, B)
    after = path.read_bytes()
    state.close()
    changed = [at for at in range(len(before)) if before[at] != after[at]]
    assert changed

    for cut in range(changed[0], changed[-1] + 1):
        path.write_bytes(after[:cut] + before[cut:])
        votes = reopened(path).votes
        assert votes.votes() in (((1, NOTARIZE, A),), ((1, NOTARIZE, A), (2, NOTARIZE, B)))


def test_every_flipped_bit_is_noticed_or_leaves_one_of_the_last_two_states(path: Path) -> None:
    state = SignState(path, OWNER)
    state.enter(NOTARIZE, 0, 1, A)
    state.enter(NOTARIZE, 0, 2, A)
    state.close()
    whole = path.read_bytes()
    used = [at for at in range(len(whole)) if whole[at]]

    for at in used:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            votes = reopened(path).votes
        except SignStateDamaged:
            continue
        assert [vote[0] for vote in votes.votes()] in ([1], [1, 2])


def test_a_key_without_state_is_refused_and_a_state_is_never_replaced(tmp_path: Path, path: Path) -> None:
    with pytest.raises(NoSignState, match="aitoken validator init"):
        SignState(path_of(tmp_path / "other", PAIR.public), OWNER)
    with pytest.raises(KeyFileExists):
        create(path, OWNER)


def test_a_copied_folder_is_refused_until_a_person_says_that_it_moved(tmp_path: Path, path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "node", copy)
    copied = path_of(copy, PAIR.public)

    with pytest.raises(SignStateElsewhere, match="init --moved"):
        SignState(copied, OWNER)
    SignState(copied, OWNER, adopt=True).close()
    SignState(copied, OWNER).close()


def test_a_folder_that_is_renamed_stays_the_same(tmp_path: Path, path: Path) -> None:
    (tmp_path / "node").rename(tmp_path / "renamed")

    SignState(path_of(tmp_path / "renamed", PAIR.public), OWNER).close()


def test_another_machine_is_another_place(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("one\n")
    here = Place.of(tmp_path, machine)
    machine.write_text("two\n")

    assert not here.is_same(Place.of(tmp_path, machine))
    assert here.is_same(Place(here.machine, here.device + 1, here.filesystem, here.inode))
    assert not here.is_same(Place(here.machine, here.device, here.filesystem, here.inode + 1))
    assert not here.is_same(Place(here.machine, here.device + 1, here.filesystem + 1, here.inode))


def test_another_chain_or_key_is_refused(path: Path) -> None:
    with pytest.raises(SignStateDamaged, match="another key or chain"):
        SignState(path, Owner(bytes(32), PAIR.public))


def test_only_one_process_has_a_state_open(path: Path) -> None:
    state = SignState(path, OWNER)

    with pytest.raises(KeyInUse):
        SignState(path, OWNER)
    state.close()
    SignState(path, OWNER).close()


def test_a_state_others_can_write_is_refused(path: Path) -> None:
    path.parent.chmod(0o755)

    with pytest.raises(KeyFileExposed):
        SignState(path, OWNER)


def test_its_files_are_the_owners_alone(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_one_process_of_a_machine_for_each_key_and_it_is_named() -> None:
    code = (
        "import sys; from node.signer.place import KeyLock; "
        f"lock = KeyLock({GENESIS!r}, {PAIR.public!r}); print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(KeyInUse, match=f"process {other.pid} "):
            KeyLock(GENESIS, PAIR.public)
        KeyLock(bytes(32), PAIR.public).release()  # on another chain it is another matter
        other.communicate(b"")
    KeyLock(GENESIS, PAIR.public).release()


def test_marks_can_be_raised_and_never_lowered(path: Path) -> None:
    state = SignState(path, OWNER)
    state.raise_to(4, 30)
    state.raise_to(4, 20)
    state.raise_to(3, 900)
    state.close()

    votes = reopened(path).votes
    assert (votes.epoch, votes.floor) == (4, 30)


def test_a_full_state_fits_its_slot(path: Path) -> None:
    state = SignState(path, OWNER)
    for view in range(1, VIEWS_MAX + 10):
        state.enter(NOTARIZE, 2**63, 2**62 + view, A)
        state.enter(NULLIFY, 2**63, 2**62 + view, NO_BLOCK)
    state.close()

    assert len(reopened(path).votes.votes()) == 128
    assert path.stat().st_size == 4096 + 2 * 8192


def test_errors_end_a_start_as_unusable() -> None:
    for error in (NoSignState, SignStateElsewhere, SignStateDamaged, KeyInUse):
        assert issubclass(error, Unavailable)
