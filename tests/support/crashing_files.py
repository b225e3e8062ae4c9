"""A directory in memory that loses power at a chosen step."""

from __future__ import annotations

from collections.abc import Iterator

from node.store.errors import WriteFailed


class PowerCut(BaseException):
    """The process is gone."""


class Inode:
    """A file: what was written, and how much of it is on disk for certain."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.synced = len(data)


class CrashingFiles:
    """Stands for `node.store.files.Files`; knows everything the disk may hold after a power cut.

    Creating, writing, syncing, renaming and removing are steps. At step `cut_at` the power goes: a write has been done
    by half, anything else not at all.
    """

    def __init__(self, content: dict[str, bytes] | None = None, cut_at: int = 0) -> None:
        self.directory = {name: Inode(data) for name, data in (content or {}).items()}
        self._directories = [dict(self.directory)]  # the synced one, and one after each change since
        self._steps = 0
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

    def append(self, name: str, size: int) -> CrashingFile:
        inode = self.directory[name]
        inode.data = inode.data[:size]
        inode.synced = min(inode.synced, size)
        return CrashingFile(self, inode)

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
        self._steps += 1
        if self._steps == self._cut_at:
            raise PowerCut

    def after_power_cut(self) -> Iterator[dict[str, bytes]]:
        """Yield what may be found: the directory as at any time since its sync, unsynced data cut anywhere or zeros."""
        for directory in self._directories:
            yield {name: inode.data for name, inode in directory.items()}
            for torn, inode in directory.items():
                whole = {name: other.data for name, other in directory.items()}
                for size in range(inode.synced, len(inode.data)):
                    yield {**whole, torn: inode.data[:size]}
                    yield {**whole, torn: inode.data[:size] + bytes(len(inode.data) - size)}


class CrashingFile:
    """A file of `CrashingFiles`, open."""

    def __init__(self, files: CrashingFiles, inode: Inode) -> None:
        self._files = files
        self._inode = inode

    def write(self, data: bytes) -> None:
        try:
            self._files.step()
        except PowerCut:
            self._inode.data += data[: len(data) // 2]
            raise
        self._inode.data += data

    def sync(self) -> None:
        self._files.step()
        if self._files.sync_fails:
            raise WriteFailed("cannot write: Input/output error")
        self._inode.synced = len(self._inode.data)

    def close(self) -> None: ...
