"""A directory in memory that loses power at a chosen step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from random import Random

from node.store.errors import WriteFailed

PAGE = 4096
SECTOR = 512
_OUTCOMES = 200


class PowerCut(BaseException):
    """The process is gone."""


class Inode:
    """A file: what a process reads of it, what is on disk for certain, and what each page was since."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.on_disk = data
        self._versions: dict[int, list[bytes]] = {}

    def write(self, data: bytes, at: int) -> None:
        """As a process sees it at once."""
        end = at + len(data)
        self.data = self.data[:at].ljust(at, b"\0") + data + self.data[end:]
        for page in range(at // PAGE, -(-end // PAGE)):
            version = self.data[page * PAGE : (page + 1) * PAGE].ljust(PAGE, b"\0")
            before = self.versions_of(page)
            if version != before[-1]:
                self._versions[page] = [*before[1:], version]

    def sync(self) -> None:
        """All of it is on disk."""
        self.on_disk, self._versions = self.data, {}

    @property
    def synced(self) -> bool:
        return self.on_disk == self.data

    def versions_of(self, page: int) -> list[bytes]:
        """What may be found of a page: what was synced, then what was written since."""
        return [self.on_disk[page * PAGE : (page + 1) * PAGE].ljust(PAGE, b"\0"), *self._versions.get(page, [])]

    def after_power_cut(self) -> Iterator[bytes]:
        """Yield what may be found: every page as at any time since the sync, or torn; the file short or long.

        Where there are too many ways, as many as `_OUTCOMES` of them, always the same.
        """
        pages = sorted(self._versions)
        choices = [_with_torn(self.versions_of(page)) for page in pages]
        count = 1
        for each in choices:
            count *= len(each)
        random = Random(count)
        ways = (
            product(*choices)
            if count <= _OUTCOMES
            else ([random.choice(each) for each in choices] for _ in range(_OUTCOMES))
        )
        for way in islice(ways, _OUTCOMES):
            found = bytearray(self.on_disk.ljust(len(self.data), b"\0"))
            for page, content in zip(pages, way, strict=True):
                found[page * PAGE : (page + 1) * PAGE] = content
            yield bytes(found)
            if len(found) > len(self.on_disk):
                yield bytes(found[: len(self.on_disk)])


def _with_torn(versions: list[bytes]) -> list[bytes]:
    """The versions of a page, and mixtures of the last two: sectors from the front, or from the back, are the newer."""
    old, new = versions[-2:]
    used = range(SECTOR, len(new.rstrip(b"\0")) + 1, SECTOR)
    cuts = sorted({*list(used)[:2], *list(used)[-2:]})
    torn = [part for cut in cuts for part in (new[:cut] + old[cut:], old[:cut] + new[cut:])]
    return list(dict.fromkeys([*versions, *torn]))


class CrashingFiles:
    """Stands for `node.store.files.Files`; knows everything the disk may hold after a power cut.

    Creating, writing, syncing, renaming and removing are steps. At step `cut_at` the power goes: a write has been done
    by half, anything else not at all.
    """

    def __init__(self, content: dict[str, bytes] | None = None, cut_at: int = 0) -> None:
        self.directory = {name: Inode(data) for name, data in (content or {}).items()}
        self._directories = [dict(self.directory)]  # the synced one, and one after each change since
        self.steps = 0
        self._cut_at = cut_at
        self.sync_fails = False

    def names(self) -> list[str]:
        return sorted(self.directory)

    def read(self, name: str) -> bytes:
        return self.directory[name].data

    def create(self, name: str) -> CrashingFile:
        self.step()
        self.directory[name] = Inode()
        self._directories.append(dict(self.directory))
        return CrashingFile(self, self.directory[name])

    def open(self, name: str) -> CrashingFile:
        return CrashingFile(self, self.directory[name])

    def rename(self, old: str, new: str) -> None:
        self.step()
        self.directory[new] = self.directory.pop(old)
        self._directories.append(dict(self.directory))

    def remove(self, name: str) -> None:
        self.step()
        del self.directory[name]
        self._directories.append(dict(self.directory))

    def sync_directory(self) -> None:
        self.step()
        self._directories = [dict(self.directory)]

    def step(self) -> None:
        """Count one; at the last one cut the power."""
        self.steps += 1
        if self.steps == self._cut_at:
            raise PowerCut

    def after_power_cut(self) -> Iterator[dict[str, bytes]]:
        """Yield what may be found: the directory as at any time since its sync, the pages of a file in any state."""
        for directory in self._directories:
            whole = {name: inode.data for name, inode in directory.items()}
            yield whole
            for name, inode in directory.items():
                if not inode.synced:
                    for found in inode.after_power_cut():
                        yield {**whole, name: found}


class CrashingFile:
    """A file of `CrashingFiles`, open."""

    def __init__(self, files: CrashingFiles, inode: Inode) -> None:
        self._files = files
        self._inode = inode

    def write(self, data: bytes, at: int) -> None:
        try:
            self._files.step()
        except PowerCut:
            self._inode.write(data[: len(data) // 2], at)
            raise
        self._inode.write(data, at)

    def sync(self) -> None:
        self._files.step()
        if self._files.sync_fails:
            raise WriteFailed("cannot write: Input/output error")
        self._inode.sync()

    def close(self) -> None: ...
