"""Disks that lose power: real file systems on loop devices, whose unwritten data goes as in a power cut. Needs root.

`shut_down` ends the file system by ioctl (FS_IOC_SHUTDOWN, no flush of its journal), `come_back` mounts it again. What
is there then had been brought to the image: everything that was synced, and of the rest what the kernel happened to
have written. The image itself loses nothing and tears no sector; torn records are what the journal's
unit tests are about.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHUTDOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2
_UNMOUNT_S: Final = 10.0


class NoDisk(Exception):
    """Such disks cannot be had here; says why."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to make and mount a file system."""

    name: str
    type: str
    options: str
    bytes: int
    """Of the image, which takes only as much of the disk as was written."""

    @property
    def maker(self) -> str:
        """The command that makes it."""
        return f"mkfs.{self.type}"

    @property
    def is_here(self) -> bool:
        """Whether it can be made."""
        return shutil.which(self.maker) is not None


EXT4: Final = Kind("ext4", "ext4", "data=ordered", 96 << 20)
LAX_EXT4: Final = Kind("ext4, lax", "ext4", "data=writeback,noauto_da_alloc", 96 << 20)
"""Nothing is written before its time out of kindness: who forgets a sync finds old, empty or garbled files."""
XFS: Final = Kind("xfs", "xfs", "defaults", 400 << 20)


class Disk:
    """One file system in one file."""

    def __init__(self, folder: Path, kind: Kind = EXT4) -> None:
        """Make it and mount it at `folder`/disk.

        Raises:
            NoDisk: this takes root, loop devices and the command that makes the file system.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "disk"
        self.path.mkdir()
        self.kind = kind
        self._image = folder / "image"
        self._device = ""
        if os.getuid() != 0 or not kind.is_here:
            raise NoDisk(f"a disk that can lose power needs root and {kind.maker}")
        with self._image.open("wb") as image:
            image.truncate(kind.bytes)
        _run(kind.maker, "-q", str(self._image))
        self._device = _run("losetup", "--find", "--show", str(self._image)).strip()
        try:
            self._mount()
        except NoDisk:
            self.remove()
            raise

    def shut_down(self) -> None:
        """Lose the power: nothing more reaches the disk. Who writes to it must stand still by now."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def come_back(self) -> None:
        """Mount what is left; nobody may have files open in it.

        Raises:
            NoDisk: the file system did not end: another mount namespace, begun meanwhile, holds it as well.
        """
        self._unmount()
        self._mount()
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_TMPFILE, 0o600))
        except OSError as error:
            raise NoDisk(f"{self.path} is still shut down ({error.strerror}): who else has it mounted?") from None

    def remove(self) -> None:
        """Unmount it and delete the image."""
        if self.path.is_mount():
            self._unmount()
        if self._device:
            _run("losetup", "--detach", self._device)
            self._device = ""
        self._image.unlink(missing_ok=True)

    def _mount(self) -> None:
        _run("mount", "-t", self.kind.type, "-o", self.kind.options, self._device, str(self.path))

    def _unmount(self) -> None:
        deadline = time.monotonic() + _UNMOUNT_S
        while True:
            try:
                _run("umount", str(self.path))
            except NoDisk:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # a killed process lets go of its files a little later
            else:
                return


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        raise NoDisk(f"{command[0]}: {done.stderr.strip() or done.returncode}")
    return done.stdout
