"""Where a key is in use: which folder of which machine, and that nobody else there uses it.

A copy of a validator's folder is the usual way in which stake is lost (a server image started twice; a folder restored
beside the running one). So the sign-state remembers its folder, by machine id, file system and inode: a copy of the
folder, or of the disk's files on another machine, is recognised. A clone of a whole machine is not: for that there is
the silent watch before the first vote (`node.driver.watch`).
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitoken.crypto.hashing import blake2_256
from node.signer.errors import KeyInUse

MACHINE_ID: Final = Path("/etc/machine-id")
_PEER_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of a machine.

    Attributes:
        machine: digest of the machine's id; of nothing where it has none (containers).
        device: number of the disk, which may change when the machine boots.
        filesystem: id of the file system; 0 where it has none.
        inode: of the folder.
    """

    machine: bytes
    device: int
    filesystem: int
    inode: int

    @classmethod
    def of(cls, folder: Path, machine_id: Path = MACHINE_ID) -> Place:
        """Return the place of a folder that exists."""
        found = folder.stat()
        try:
            machine = machine_id.read_bytes().strip()
        except OSError:
            machine = b""
        filesystem = os.statvfs(folder).f_fsid & (2**64 - 1)
        return cls(blake2_256(b"aitoken place" + machine), found.st_dev, filesystem, found.st_ino)

    def is_same(self, other: Place) -> bool:
        """Whether both are one folder; a disk may get another number, or the file system another id, but not both."""
        return (
            self.machine == other.machine
            and self.inode == other.inode
            and (self.device == other.device or (self.filesystem == other.filesystem != 0))
        )


class KeyLock:
    """One process of this machine for each validator key and chain, held from construction to `release`.

    A listening socket in Linux' abstract namespace: nothing lies on disk, it ends with the process, and who holds it
    can be asked for its process id. Containers with a network of their own have namespaces of their own.
    """

    def __init__(self, genesis_hash: bytes, public: bytes) -> None:
        """Take the lock.

        Raises:
            KeyInUse: another process, or this one, has it.
        """
        name = b"\0aitoken/key/" + blake2_256(genesis_hash + public).hex().encode()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(name)
            self._socket.listen(1)
        except OSError:
            self._socket.close()
            raise KeyInUse(
                f"process {_holder(name)} of this machine signs with the key 0x{public.hex()}: "
                "one of the two must stop; two that sign with one key lose the validator's stake"
            ) from None

    def release(self) -> None:
        """Let go of it; once more does nothing."""
        self._socket.close()


def _holder(name: bytes) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(0.5)
        try:
            caller.connect(name)
            credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        except OSError:
            return "?"
    return str(_PEER_CREDENTIALS.unpack(credentials)[0])
