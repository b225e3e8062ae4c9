"""The file in which a key's signer writes down each vote before its signature exists.

    head     magic 8 | genesis hash 32 | public key 32 | machine 32 | device u64 | file system u64 | inode u64 |
             blake2-256 of these 32
    2 slots  sequence u64 | length u32 | blake2-256 of both and of what follows 32 | epoch u64 | floor u64 |
             votes: view u64, kind u8, block hash 32

All little-endian. The file has its full size from the start and the slots are written in turn, in place: a write torn
by a power cut leaves the other slot, and what was torn had not been synced, so its signature was never made. A sync
writes no metadata then, which makes it cheap (0.5 ms where an appending one takes 0.3 to 4).

A vote that leaves only after another sync anyway need not wait for this one alone: `write_down` has a thread sync it,
`settle` waits for that. The other slot is not touched before.

Mode 0600 in a folder of mode 0700: whoever could change it could make the key sign twice.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from struct import Struct
from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.keystore.files import private_directory, write_private
from consensus.signed import SignedVotes
from node.signer.errors import KeyInUse, NoSignState, SignStateDamaged, SignStateElsewhere
from node.signer.place import Place
from node.store.errors import WriteFailed, write_failed

FOLDER: Final = "sign-state"
"""Where a node keeps the files, below its data folder."""

_MAGIC: Final = b"AITSIGN\x01"
_HEAD: Final = Struct("<8s32s32s32sQQQ")
_DIGEST: Final = 32
_SLOT: Final = Struct("<QI")
_MARKS: Final = Struct("<QQ")
_VOTE: Final = Struct("<QB32s")
_SLOT_BYTES: Final = 8192
_SLOTS_AT: Final = (4096, 4096 + _SLOT_BYTES)
_FILE_BYTES: Final = 4096 + 2 * _SLOT_BYTES


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose signatures a file is about."""

    genesis_hash: bytes
    public: bytes


def path_of(data_dir: Path, public: bytes) -> Path:
    """Return where a node keeps the sign-state of a key."""
    return data_dir / FOLDER / f"{public.hex()}.state"


def create(path: Path, owner: Owner, votes: SignedVotes | None = None) -> None:
    """Make the file of a key that signed nothing but `votes`, durable when this returns.

    Raises:
        KeyFileExists: there is one; it is never replaced.
    """
    private_directory(path.parent)
    data = bytearray(_FILE_BYTES)
    head = _head(owner, Place.of(path.parent))
    slot = _slot(1, votes or SignedVotes())
    data[: len(head)] = head
    data[_SLOTS_AT[0] : _SLOTS_AT[0] + len(slot)] = slot
    write_private(path, bytes(data))


class SignState:
    """The file of one key, open for signing; one process at a time."""

    def __init__(self, path: Path, owner: Owner, *, adopt: bool = False) -> None:
        """Open the file.

        Args:
            path: the file.
            owner: key and chain it must be of.
            adopt: a person says that the folder it was made in will never sign again: take its place.

        Raises:
            NoSignState: there is none.
            SignStateElsewhere: it was made in another folder or on another machine.
            SignStateDamaged: it does not read, or is another key's or chain's.
            KeyInUse: another process has it open.
            KeyFileExposed: others could change it.
        """
        private_directory(path.parent)
        self.path = path
        self._owner = owner
        self._lock = threading.Lock()
        self._failed = False
        self._beside: _Beside | None = None
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NoSignState(_no_state(path, owner)) from None
        except OSError as error:
            raise write_failed(path, error) from error
        try:
            self._take(adopt=adopt)
        except BaseException:
            self.close()
            raise

    @property
    def votes(self) -> SignedVotes:
        """What the key has signed; for reading."""
        return self._votes

    def enter(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int = 0) -> None:
        """Return when the vote is on disk and may be signed. Any thread may call it.

        Nothing is signed up to `final_view` of the epoch from now on.

        Raises:
            VoteRefused: it, or one that excludes it, may have been signed.
            WriteFailed: the disk refuses, now or before; nothing is signed any more.
        """
        with self._lock:
            if self._enter(kind, epoch, view, block_hash, final_view):
                self._sync()

    def write_down(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int = 0) -> None:
        """Do what `enter` does, but return before the disk is done: the signature must not leave before `settle`.

        Raises:
            VoteRefused: it, or one that excludes it, may have been signed.
            WriteFailed: the disk refuses, now or before; nothing is signed any more.
        """
        with self._lock:
            if self._enter(kind, epoch, view, block_hash, final_view):
                if self._beside is None:
                    self._beside = _Beside(self._sync)
                self._beside.begin()

    def settle(self) -> None:
        """Return when all that was written down is on disk. Any thread may call it.

        Raises:
            WriteFailed: the disk refuses, now or before; nothing is signed any more.
        """
        with self._lock:
            self._settle()

    def raise_to(self, epoch: int, view: int) -> None:
        """Sign nothing up to this view of this epoch any more; never lowers anything. On disk on return."""
        with self._lock:
            self._settle()
            self._votes.settle(epoch, view)
            self._write()
            self._sync()

    def close(self) -> None:
        """Close the file; once more does nothing."""
        if self._beside is not None:
            self._beside.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, *, adopt: bool) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise KeyInUse(f"another process signs with {self.path}: stop it first") from None
        data = os.pread(self._descriptor, _FILE_BYTES, 0)
        place = Place.of(self.path.parent)
        found = _read_head(self.path, data, self._owner)
        slots = [slot for at in _SLOTS_AT if (slot := _read_slot(data, at)) is not None]
        if not slots:
            raise SignStateDamaged(
                f"{self.path} is damaged: what the key signed is not known any more. Set new session keys "
                "(aitoken validator rotate-keys), or import a newer export of its signing history"
            )
        self._sequence, self._votes = max(slots, key=lambda slot: slot[0])
        if not found.is_same(place):
            if not adopt:
                raise SignStateElsewhere(_elsewhere(self.path))
            self._pwrite(_head(self._owner, place), 0)
        self._sync()  # a process that was killed may have left what it wrote in memory only

    def _enter(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bool:
        self._settle()
        if final_view and epoch == self._votes.epoch:
            self._votes.settle(epoch, min(final_view, view - 1))
        is_new = self._votes.enter(kind, epoch, view, block_hash)
        if is_new:
            self._write()
        return is_new

    def _settle(self) -> None:
        if self._beside is not None:
            self._beside.end()
        if self._failed:
            raise WriteFailed(f"writing to {self.path} failed before: restart")

    def _write(self) -> None:
        self._sequence += 1
        self._pwrite(_slot(self._sequence, self._votes), _SLOTS_AT[(self._sequence - 1) % 2])

    def _pwrite(self, data: bytes, at: int) -> None:
        try:
            written = os.pwrite(self._descriptor, data, at)
            if written != len(data):
                raise OSError(5, "wrote a part only")
        except OSError as error:
            self._failed = True
            raise write_failed(self.path, error) from error

    def _sync(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failed = True
            raise write_failed(self.path, error) from error


class _Beside:
    """A thread that does one thing whenever it is told to; the one who tells it waits for it later."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        self._under_way = False
        self._thread = threading.Thread(target=self._run, name="sign-state", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Have the thread do it; `end` comes before the next time."""
        self._under_way = True
        self._orders.put(True)

    def end(self) -> None:
        """Return when it is done, at once where it was not begun; raises what it raised."""
        if self._under_way:
            self._under_way = False
            failure = self._outcomes.get()
            if failure is not None:
                raise failure

    def close(self) -> None:
        """End the thread, after what it was told; once more does nothing."""
        self._orders.put(False)
        self._thread.join()

    def _run(self) -> None:
        while self._orders.get():
            failure: BaseException | None = None
            try:
                self._work()
            except BaseException as raised:  # noqa: BLE001 - raised where it is waited for
                failure = raised
            self._outcomes.put(failure)


def _head(owner: Owner, place: Place) -> bytes:
    head = _HEAD.pack(
        _MAGIC, owner.genesis_hash, owner.public, place.machine, place.device, place.filesystem, place.inode
    )
    return head + blake2_256(head)


def _read_head(path: Path, data: bytes, owner: Owner) -> Place:
    head = data[: _HEAD.size]
    if len(data) != _FILE_BYTES or blake2_256(head) != data[_HEAD.size : _HEAD.size + _DIGEST]:
        raise SignStateDamaged(f"the head of {path} is damaged, or it is no sign-state")
    magic, genesis_hash, public, machine, device, filesystem, inode = _HEAD.unpack(head)
    if magic != _MAGIC:
        raise SignStateDamaged(f"{path} was written by another version of this program")
    if (genesis_hash, public) != (owner.genesis_hash, owner.public):
        raise SignStateDamaged(f"{path} is of another key or chain")
    return Place(machine, device, filesystem, inode)


def _slot(sequence: int, votes: SignedVotes) -> bytes:
    body = _MARKS.pack(votes.epoch, votes.floor) + b"".join([_VOTE.pack(*vote) for vote in votes.votes()])
    head = _SLOT.pack(sequence, len(body))
    return head + blake2_256(head + body) + body


def _read_slot(data: bytes, at: int) -> tuple[int, SignedVotes] | None:
    head = data[at : at + _SLOT.size]
    sequence, length = _SLOT.unpack(head)
    start = at + _SLOT.size + _DIGEST
    body = data[start : start + length]
    if (
        start + length > at + _SLOT_BYTES
        or length < _MARKS.size
        or blake2_256(head + body) != data[at + _SLOT.size : start]
    ):
        return None
    epoch, floor = _MARKS.unpack_from(body)
    return sequence, SignedVotes(epoch, floor, tuple(_VOTE.iter_unpack(body[_MARKS.size :])))


def _no_state(path: Path, owner: Owner) -> str:
    return (
        f"there is the key 0x{owner.public.hex()} and no record of what it signed ({path}). A key that never signed "
        "anywhere: aitoken validator init. One that was moved here: bring its history (aitoken validator export-state "
        "on the old machine, import-state here). Otherwise set new keys: aitoken validator rotate-keys"
    )


def _elsewhere(path: Path) -> str:
    return (
        f"{path} was made in another folder or on another machine: this is a copy, and two copies that run lose the "
        "validator's stake. To move a validator: stop it, see that it cannot start again (remove its key file), then "
        "run 'aitoken validator init --moved' here. Never do that while the old one may come back"
    )
