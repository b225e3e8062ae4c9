"""A process that holds the validator's keys, so that the node, which talks to the whole world, does not.

It listens on a Unix socket that only its own user can open (mode 0600), serves one node at a time, and asks the kernel
who is at the other end. Upon a request it checks every argument, has the vote written down, and signs; upon anything
that is no request it hangs up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aitoken.errors import Rejected, Unavailable
from node.net.address_record import SIGNATURE_SIZE, AddressRecord
from node.signer import wire
from node.signer.errors import KeyInUse
from node.signer.local import LocalSigner

_CREDENTIALS: Final = struct.Struct("3i")
_U64_MAX: Final = 2**64 - 1

log = logging.getLogger(__name__)


class SignerServer:
    """Serves the keys of a `LocalSigner` on a socket."""

    def __init__(self, signer: LocalSigner, genesis_hash: bytes, path: Path) -> None:
        self._signer = signer
        self._genesis_hash = genesis_hash
        self._path = path
        self._server: asyncio.Server | None = None
        self._client: asyncio.StreamWriter | None = None
        self._methods: dict[str, Callable[..., Any]] = {
            "hello": self._hello,
            "vote": self._vote,
            "view": self._view,
            "knows": self._knows,
            "peer": self._peer,
            "address": self._address,
        }

    async def start(self) -> None:
        """Listen.

        Raises:
            KeyInUse: another signer listens there.
        """
        remove_stale(self._path)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Stop listening and hang up."""
        if self._client is not None:
            self._client.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._client is not None or not _is_own_user(writer):
            log.warning("a second node, or one of another user, was turned away")
            writer.close()
            return
        self._client = writer
        log.info("a node is connected")
        try:
            while True:
                head = await reader.readexactly(wire.LENGTH_BYTES)
                request = wire.unpack(await reader.readexactly(wire.length_of(head)))
                writer.write(wire.pack(self._answer(request)))
                await writer.drain()
        except wire.BadFrame as error:
            log.warning("the node was cut off: %s", error)
        except (asyncio.IncompleteReadError, ConnectionError):
            log.info("the node is gone")
        finally:
            self._client = None
            writer.close()

    def _answer(self, request: list[Any]) -> list[Any]:
        method = self._methods.get(request[0]) if isinstance(request[0], str) else None
        if method is None:
            raise wire.BadFrame("an unknown method")
        try:
            return [wire.OK, method(*request[1:])]
        except TypeError:
            raise wire.BadFrame(f"wrong arguments for {request[0]}") from None
        except wire.BadFrame:
            raise
        except Rejected as error:
            log.warning("refused: %s", error)
            return [wire.REFUSED, str(error)]
        except Unavailable as error:
            return [wire.FAILED, str(error)]

    def _hello(self, version: int) -> list[Any]:
        if version != wire.VERSION:
            raise wire.BadFrame("another version of this protocol")
        return [wire.VERSION, self._genesis_hash, list(self._signer.publics)]

    def _vote(self, public: bytes, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        _check(public, block_hash, kind, epoch, view, final_view)
        return self._signer.sign_vote_with(self._signer.of(public), kind, epoch, view, block_hash, final_view)

    def _view(self, public: bytes, epoch: int, view: int, seed: bytes) -> bytes:
        _check(public, seed, epoch, view)
        return self._signer.prove_view_with(self._signer.of(public), epoch, view, seed)

    def _knows(self, public: bytes, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        _check(public, block_hash, kind, epoch, view, 0)
        state = self._signer.of(public).state
        return state is None or state.votes.knows(kind, epoch, view, block_hash)

    def _peer(self, public: bytes, handshake_hash: bytes, initiator: bool) -> bytes:  # noqa: FBT001 - of the wire
        _check(public, handshake_hash, int(initiator), 0, 0, 0)
        return self._signer.sign_peer_with(self._signer.of(public), handshake_hash, initiator=bool(initiator))

    def _address(self, public: bytes, data: bytes) -> bytes:
        _check(public, bytes(32), 0, 0, 0, 0)
        if not isinstance(data, bytes):
            raise wire.BadFrame("no address record")
        record = AddressRecord.decode(data + bytes(SIGNATURE_SIZE))
        if record.session != public:
            raise wire.BadFrame("an address record of another key")
        return self._signer.sign_address_with(self._signer.of(public), record)


def remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more.

    Raises:
        KeyInUse: somebody does.
    """
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise KeyInUse(f"another signer listens on {path}: stop it first")


def _is_own_user(writer: asyncio.StreamWriter) -> bool:
    connection = writer.get_extra_info("socket")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1]) == os.geteuid()


def _check(public: object, digest: object, *numbers: object) -> None:
    """Refuse arguments of another type or size than the wire has."""
    fine = all(type(value) is bytes and len(value) == 32 for value in (public, digest))
    if not fine or not all(type(number) is int and 0 <= number <= _U64_MAX for number in numbers):
        raise wire.BadFrame("arguments of a wrong type or size")
