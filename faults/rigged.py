"""The `aitoken` command with strings attached: a real node of which only the surroundings are played with.

    python -P -m faults.rigged FOLDER ARGUMENTS...

`FOLDER/rig.json` is a `Rig`, read at the start and again upon SIGUSR1.

A *sync point* is an `os.fsync` or `os.fdatasync` (journal, sign-state, voting record, folders) or a batch of LevelDB.
What LevelDB syncs by itself, when it opens or compacts, is not counted.

`FOLDER/votes`: the node appends 116 bytes when a vote that was signed is on disk in the sign-state (`s` and the vote),
and when it is about to leave (`l` and the vote). `FOLDER/lies`: a byte for each lie. The folder lies on another disk
than the node.
"""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from aitoken.proto.votes import Vote
from aitoken.types import Hash32
from consensus.messages import Message, Proposal
from node.chain.states import States
from node.driver.driver import Driver
from node.signer.local import LocalSigner
from node.store.leveldb import LevelDb

RIG: Final = "rig.json"
VOTES: Final = "votes"
LIES: Final = "lies"
SIGNED: Final = b"s"
LEAVES: Final = b"l"


class Rig(msgspec.Struct, frozen=True):
    """What is to happen to a node; nothing, unless told.

    Attributes:
        stop_at: the process stops at this sync point from now on, as by SIGSTOP with all its threads: the power can go.
        is_after: it stops when the sync is done, not before.
        fail_at: from this `fsync` or `fdatasync` on, all of them fail with EIO.
        slow_ms: every sync point takes so much longer.
        clock_ms: the wall clock is so far off.
        lies: one value in every piece of state that is served is another; only as read at the start.
    """

    stop_at: int = 0
    is_after: bool = False
    fail_at: int = 0
    slow_ms: int = 0
    clock_ms: int = 0
    lies: bool = False


class Strings:
    """The rig of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rig = Rig()
        self._numbers = itertools.count(1)
        self._votes = os.open(folder / VOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._made: set[bytes] = set()
        self._signed: list[bytes] = []

    def read(self) -> None:
        """Do as the file says from now on."""
        file = self._folder / RIG
        self._rig = msgspec.json.decode(file.read_bytes(), type=Rig) if file.exists() else Rig()
        self._numbers = itertools.count(1)

    def attach(self) -> None:
        """Put the strings on."""
        _replace(os, "fsync", lambda sync: self._synced(sync, fails=True))
        _replace(os, "fdatasync", lambda sync: self._synced(sync, fails=True))
        _replace(LevelDb, "write", lambda sync: self._synced(sync, fails=False))
        _replace(time, "time_ns", lambda real: lambda: real() + self._rig.clock_ms * 1_000_000)
        _replace(time, "time", lambda real: lambda: real() + self._rig.clock_ms / 1_000)
        _replace(LocalSigner, "sign_vote", self._signing)
        _replace(LocalSigner, "settle", self._settling)
        _replace(Driver, "broadcast", lambda send: lambda driver, message: send(driver, self._leaving(message)))
        _replace(Driver, "send", lambda send: lambda driver, peer, message: send(driver, peer, self._leaving(message)))
        if self._rig.lies:
            _replace(States, "piece", self._lying)

    def _synced(self, sync: Callable[..., Any], *, fails: bool) -> Callable[..., Any]:
        def synced(*arguments: Any) -> Any:
            rig, number = self._rig, next(self._numbers)
            if number == rig.stop_at and not rig.is_after:
                _stand_still()
            if rig.slow_ms:
                time.sleep(rig.slow_ms / 1000)
            if fails and 0 < rig.fail_at <= number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            result = sync(*arguments)
            if number == rig.stop_at and rig.is_after:
                _stand_still()
            return result

        return synced

    def _signing(self, sign: Callable[..., bytes]) -> Callable[..., bytes]:
        def signed(
            signer: LocalSigner, kind: int, epoch: int, view: int, block_hash: Hash32, final_view: int = 0
        ) -> bytes:
            signature = sign(signer, kind, epoch, view, block_hash, final_view)
            self._made.add(signature)
            self._signed.append(SIGNED + Vote(kind, epoch, view, block_hash, 0, signature).encode())
            return signature

        return signed

    def _settling(self, settle: Callable[[LocalSigner], None]) -> Callable[[LocalSigner], None]:
        def settled(signer: LocalSigner) -> None:
            notes, self._signed = self._signed, []
            settle(signer)
            os.write(self._votes, b"".join(notes))

        return settled

    def _leaving(self, message: Message) -> Message:
        vote = message.vote if isinstance(message, Proposal) else message
        if isinstance(vote, Vote) and vote.signature in self._made:
            os.write(self._votes, LEAVES + vote.encode())
        return message

    def _lying(self, honest: Callable[..., Any]) -> Callable[..., Any]:
        async def piece(states: States, block_hash: Hash32, path: str, budget: int) -> Any:
            found = await honest(states, block_hash, path, budget)
            if isinstance(found, tuple) and found:
                *others, (key, value) = found
                found = (*others, (key, value + b"\x01"))
                with (self._folder / LIES).open("ab") as noted:
                    noted.write(b"!")
            return found

        return piece


def _replace(owner: Any, name: str, made_of: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, made_of(getattr(owner, name)))


def _stand_still() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # of this thread, so that it does not go on a little


def main() -> None:
    """Rig the node, then run it as `aitoken` would."""
    strings = Strings(Path(sys.argv.pop(1)))
    strings.read()
    strings.attach()
    signal.signal(signal.SIGUSR1, lambda *_: strings.read())
    from cli.main import main as aitoken

    aitoken()


if __name__ == "__main__":
    main()
