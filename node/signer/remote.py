"""The signer in another process, as the node sees it: a question, a short wait, an answer.

A signature is needed in the middle of a step of consensus, so the question blocks; the answer comes from the same
machine and takes about as long as a sync of the disk. Who does not answer within `TIMEOUT_S` is lost: nothing is asked
any more, the node follows without voting, and a task tries to come back every second.

The public keys are kept in a file, so that a node whose signer is not up yet starts as the validator it is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from aitoken.crypto.ed25519 import SIGNATURE_SIZE
from aitoken.errors import Rejected
from aitoken.proto.randomness import PROOF_SIZE
from consensus.signed import VoteRefused
from node.net.address_record import AddressRecord
from node.signer import wire
from node.signer.errors import SignerLost, SignerRefuses
from node.store.files import write_whole
from node.tasks import cancel, spawn

TIMEOUT_S: Final = 0.5
RETRY_S: Final = 1.0
SCHEME: Final = "unix:"
KNOWN_FILE: Final = "signer.public"
"""Public keys of the signer, one a line in hex."""

log = logging.getLogger(__name__)


class RemoteSigner:
    """The keys of a signer process; one of them is the present one."""

    def __init__(self, path: Path, genesis_hash: bytes, known_file: Path) -> None:
        """Connect.

        Args:
            path: the signer's socket.
            genesis_hash: the chain it must be for.
            known_file: where its public keys are kept.

        Raises:
            SignerLost: it does not answer, and its keys are not known from before.
            SignerRefuses: it is for another chain.
        """
        self._path = path
        self._genesis_hash = genesis_hash
        self._known_file = known_file
        self._connection: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self.on_back: tuple[Callable[[], None], ...] = ()
        known = _read_known(known_file)
        try:
            self._connection, self.publics = self._connect()
        except SignerLost:
            if not known:
                raise
            log.error("the signer does not answer: this node follows without voting", extra={"socket": str(path)})
            self.publics = known
        if self.publics != known:
            write_whole(known_file, b"".join(key.hex().encode() + b"\n" for key in self.publics))
        self._public = self.publics[0]

    @property
    def public(self) -> bytes:
        """The present key."""
        return self._public

    @property
    def remembers(self) -> bool:
        """A signer process starts with the records of all its keys or not at all."""
        return True

    @property
    def is_there(self) -> bool:
        """Whether the signer answers, as far as is known."""
        return self._connection is not None

    def start(self) -> None:
        """Look after the connection from now on."""
        self._task = spawn(self._look_after(), "signer: look after the connection")

    async def stop(self) -> None:
        """Hang up."""
        if self._task is not None:
            await cancel([self._task])
        self._hang_up()

    def choose(self, validators: Sequence[bytes]) -> None:
        """Make the key present that is among the validators of an epoch; without one, nothing changes."""
        self._public = next((public for public in validators if public in self.publics), self._public)

    def sign_vote(self, kind: int, epoch: int, view: int, block_hash: bytes, final_view: int) -> bytes:
        """Return the signature of a vote.

        Raises:
            VoteRefused: it, or one that excludes it, may have been signed.
            SignerLost: the signer does not answer.
        """
        return self._signature("vote", self._public, kind, epoch, view, block_hash, final_view)

    def prove_view(self, epoch: int, view: int, seed: bytes) -> bytes:
        """Return the VRF proof for a view of the epoch with this seed.

        Raises:
            SignerLost: the signer does not answer.
        """
        return self._bytes(PROOF_SIZE, "view", self._public, epoch, view, seed)

    def knows(self, kind: int, epoch: int, view: int, block_hash: bytes) -> bool:
        """Whether the signer's memory can have seen a vote that was made; True where it cannot be asked."""
        try:
            return bool(self._ask("knows", self._public, kind, epoch, view, block_hash))
        except SignerLost:
            return True

    def sign_peer(self, handshake_hash: bytes, *, initiator: bool) -> bytes:
        """Return the signature that binds the present key to one end of a connection."""
        return self._signature("peer", self._public, handshake_hash, initiator)

    def sign_address(self, record: AddressRecord) -> bytes:
        """Return the signature of an address record of the present key."""
        return self._signature("address", self._public, record.unsigned())

    def _signature(self, *request: Any) -> bytes:
        return self._bytes(SIGNATURE_SIZE, *request)

    def _bytes(self, size: int, *request: Any) -> bytes:
        answer = self._ask(*request)
        if not isinstance(answer, bytes) or len(answer) != size:
            raise self._lost("it answers with no signature")
        return answer

    def _ask(self, *request: Any) -> Any:
        connection = self._connection
        if connection is None:
            raise SignerLost(f"the signer at {self._path} does not answer")
        try:
            status, value = _exchange(connection, list(request))
        except (OSError, Rejected, ValueError) as error:
            raise self._lost(str(error) or "it hung up") from None
        if status == wire.REFUSED:
            raise VoteRefused(str(value))
        if status != wire.OK:
            raise self._lost(str(value))
        return value

    def _lost(self, why: str) -> SignerLost:
        self._hang_up()
        log.error("the signer is lost: this node follows without voting until it is back", extra={"why": why})
        return SignerLost(f"the signer at {self._path} is lost: {why}")

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            if self._connection is not None:
                continue
            try:
                connection, publics = await asyncio.to_thread(self._connect)
            except SignerLost:
                continue
            except SignerRefuses as error:
                log.error("%s", error)
                continue
            if publics != self.publics:
                connection.close()
                log.error("the signer came back with other keys: restart this node to use them")
                continue
            self._connection = connection
            log.warning("the signer is back: this node votes again")
            for call in self.on_back:
                call()

    def _connect(self) -> tuple[socket.socket, tuple[bytes, ...]]:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect(str(self._path))
            status, value = _exchange(connection, ["hello", wire.VERSION])
            version, genesis_hash, publics = value
            if status != wire.OK or version != wire.VERSION or not publics:
                raise wire.BadFrame("an unknown greeting")
        except (OSError, Rejected, ValueError, TypeError) as error:
            connection.close()
            raise SignerLost(f"no signer answers at {self._path}: {error}") from None
        if genesis_hash != self._genesis_hash:
            connection.close()
            raise SignerRefuses(f"the signer at {self._path} is for another chain (genesis 0x{genesis_hash.hex()})")
        return connection, tuple(publics)


def socket_path(setting: str) -> Path:
    """Return the path of a setting such as `unix:/run/aitoken/signer.sock`.

    Raises:
        SignerRefuses: it names no Unix socket.
    """
    if not setting.startswith(SCHEME) or len(setting) == len(SCHEME):
        raise SignerRefuses(f"{setting!r} is no signer: it must be unix:PATH")
    return Path(setting.removeprefix(SCHEME)).expanduser()


def _exchange(connection: socket.socket, request: list[Any]) -> tuple[Any, Any]:
    connection.sendall(wire.pack(request))
    length = wire.length_of(_receive(connection, wire.LENGTH_BYTES))
    status, value = wire.unpack(_receive(connection, length))
    return status, value


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("it hung up")
        data += part
    return data


def _read_known(file: Path) -> tuple[bytes, ...]:
    try:
        return tuple(bytes.fromhex(line) for line in file.read_text(encoding="ascii").split())
    except FileNotFoundError:
        return ()
    except ValueError:
        raise SignerRefuses(f"{file} does not read: remove it while the signer is up") from None
