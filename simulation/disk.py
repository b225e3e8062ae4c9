"""A disk that loses power: what was synced stays, of the rest a random prefix, memory nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from aitoken.proto.votes import Certificate
from aitoken.types import Hash32
from consensus.journal import OWN_VOTE
from consensus.types import Block


class Disk:
    """What one node owns across crashes: journal segments, the voting record, the committed chain."""

    def __init__(self, genesis: Block) -> None:
        self.journal: list[bytes] | None = None
        self.synced = 0
        self.pending_restart: list[bytes] | None = None
        self.record: int | None = None
        self.durable_votes: set[bytes] = set()
        self._genesis = self.committed = genesis
        self.certificate: Certificate | None = None
        self.blocks: dict[Hash32, Block] = {}
        self.terminal: dict[int, Certificate] = {}
        self._commit: tuple[list[Block], Certificate] | None = None

    # The journal.

    def append(self, record: bytes) -> None:
        """Write without syncing, into the segment being started if there is one."""
        segment = self.journal if self.pending_restart is None else self.pending_restart
        if segment is not None:
            segment.append(record)

    def sync(self, upto: int) -> None:
        """Everything before record `upto` of the segment is on disk."""
        if self.journal is not None:
            self.durable_votes.update(r for r in self.journal[self.synced : upto] if r[0] == OWN_VOTE)
            self.synced = max(self.synced, upto)

    def finish_restart(self, count: int) -> None:
        """The new segment is on disk with its first `count` records; the old one is gone."""
        if self.pending_restart is not None:
            self.journal, self.pending_restart, self.synced = self.pending_restart, None, 0
            self.sync(count)

    # The committed chain.

    def begin_commit(self, path: list[Block], certificate: Certificate) -> None:
        """Write a batch; it becomes durable as a whole or not at all."""
        self._commit = (path, certificate)

    def end_commit(self) -> None:
        """The batch is durable."""
        if self._commit is not None:
            path, certificate = self._commit
            self._commit = None
            self.committed = path[-1]
            self.certificate = certificate
            self.blocks.update((block.hash, block) for block in path)
            self.terminal[certificate.epoch] = certificate

    def base_of(self, epoch: int) -> Block:
        """Return the block that ended the epoch before; genesis for the first."""
        return (
            self._genesis
            if epoch == 0
            else max(
                (block for block in self.blocks.values() if block.epoch == epoch - 1), key=lambda block: block.number
            )
        )

    def lose_power(self, rng: Random) -> list[Block] | None:
        """Keep what was synced and a random prefix of the rest; return the blocks of a batch that made it."""
        landed = None
        if self._commit is not None:
            if rng.random() < 0.5:
                landed = self._commit[0]
                self.end_commit()
            self._commit = None
        if self.pending_restart is not None and rng.random() < 0.5:
            # The new segment was complete and renamed: everything given to `restart` is there, appends may be not.
            self.finish_restart(len(self.pending_restart))
        self.pending_restart = None
        if self.journal is not None:
            keep = rng.randint(self.synced, len(self.journal))
            del self.journal[keep:]
            self.synced = keep
            self.durable_votes.update(r for r in self.journal if r[0] == OWN_VOTE)
        return landed


class Journal:
    """One incarnation's way to the journal (`node.driver.ports.Journal`)."""

    def __init__(
        self,
        disk: Disk,
        tick: Callable[[], None],
        later: Callable[..., None],
        fsync_ms: Callable[[], int],
        *,
        lie: bool = False,
    ) -> None:
        self._disk = disk
        self._tick = tick
        self._later = later
        self._fsync_ms = fsync_ms
        self._lie = lie
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes since the segment began."""
        return self._size

    def append(self, record: bytes) -> None:
        """Write without syncing."""
        self._tick()
        self._size += len(record)
        self._disk.append(record)

    def barrier(self, done: Callable[[], None]) -> None:
        """Sync after a while, a quick disk before this returns; one that lies (a planted bug) only says so."""
        self._tick()
        if self._lie:
            done()
            return
        self._after_sync(self._synced, len(self._disk.journal or ()), done)

    def restart(self, records: Sequence[bytes], done: Callable[[], None]) -> None:
        """Write a new segment, sync it, and drop the old one."""
        self._tick()
        self._size = sum(len(record) for record in records)
        self._disk.pending_restart = list(records)
        self._after_sync(self._restarted, len(records), done)

    def _after_sync(
        self, call: Callable[[int, Callable[[], None]], None], count: int, done: Callable[[], None]
    ) -> None:
        delay_ms = self._fsync_ms()
        if delay_ms:
            self._later(delay_ms, call, count, done)
        else:
            call(count, done)

    def _synced(self, upto: int, done: Callable[[], None]) -> None:
        self._disk.sync(upto)
        self._tick()
        done()

    def _restarted(self, count: int, done: Callable[[], None]) -> None:
        self._disk.finish_restart(count)
        self._tick()
        done()
