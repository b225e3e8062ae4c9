"""The `aitoken` command, rigged: it stands still at an exact sync of its disk, and notes every vote it makes.

    python -P -m faults.rigged FOLDER ARGUMENTS...

The node is the real one; only what surrounds a sync, a signature and a message is watched.

`FOLDER/stop`: `K before` or `K after`, read at the start and upon SIGUSR1. At the K-th sync point from then on the
process stops itself as by SIGSTOP, with all its threads, before or after the sync is done: whoever watches takes the
power away. A *sync point* is an `os.fsync` or `os.fdatasync` (journal, sign-state, voting record, folders) or a batch
of LevelDB. What LevelDB syncs by itself, when it opens or compacts, is not counted: other moments meet it.

`FOLDER/votes`: the node appends 116 bytes when a vote was signed (`s` and the vote) and when it is about to leave (`l`
and the vote). The folder lies on another disk than the node.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from aitoken.proto.votes import Vote
from consensus.messages import Message, Proposal
from node.driver.driver import Driver
from node.signer.local import LocalSigner
from node.store.leveldb import LevelDb

STOP: Final = "stop"
VOTES: Final = "votes"
SIGNED: Final = b"s"
LEAVES: Final = b"l"


class Stop:
    """Where the process is to stop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self._is_after = False
        self._numbers: Iterator[int] = itertools.count(1)

    def read(self) -> None:
        """Count anew, to what the file says now; without a file, to nothing."""
        words = self._file.read_text().split() if self._file.exists() else ["0", "before"]
        self._at, self._is_after, self._numbers = int(words[0]), words[1] == "after", itertools.count(1)

    def watch(self, owner: Any, name: str) -> None:
        """Make a function a sync point."""
        sync: Callable[..., Any] = getattr(owner, name)

        def synced(*arguments: Any) -> Any:
            is_it = next(self._numbers) == self._at
            if is_it and not self._is_after:
                _stand_still()
            result = sync(*arguments)
            if is_it and self._is_after:
                _stand_still()
            return result

        setattr(owner, name, synced)


def note_votes(file: Path) -> None:
    """Append every vote to a file, when it is signed and when it leaves."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    made: set[bytes] = set()
    sign, broadcast, send = LocalSigner.sign_vote, Driver.broadcast, Driver.send

    def signed(self: LocalSigner, kind: int, epoch: int, view: int, block_hash: Any, final_view: int = 0) -> bytes:
        signature = sign(self, kind, epoch, view, block_hash, final_view)
        made.add(signature)
        os.write(descriptor, SIGNED + Vote(kind, epoch, view, block_hash, 0, signature).encode())
        return signature

    def leaves(message: Message) -> None:
        vote = message.vote if isinstance(message, Proposal) else message
        if isinstance(vote, Vote) and vote.signature in made:
            os.write(descriptor, LEAVES + vote.encode())

    def broadcasted(self: Driver, message: Message) -> None:
        leaves(message)
        broadcast(self, message)

    def sent(self: Driver, peer: Any, message: Message) -> None:
        leaves(message)
        send(self, peer, message)

    for owner, name, rigged in (
        (LocalSigner, "sign_vote", signed),
        (Driver, "broadcast", broadcasted),
        (Driver, "send", sent),
    ):
        setattr(owner, name, rigged)


def _stand_still() -> None:
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # of this thread, so that it does not go on a little


def main() -> None:
    """Rig the node, then run it as `aitoken` would."""
    folder = Path(sys.argv.pop(1))
    stop = Stop(folder / STOP)
    for owner, name in ((os, "fsync"), (os, "fdatasync"), (LevelDb, "write")):
        stop.watch(owner, name)
    stop.read()
    signal.signal(signal.SIGUSR1, lambda *_: stop.read())
    note_votes(folder / VOTES)
    from cli.main import main as aitoken

    aitoken()


if __name__ == "__main__":
    main()
