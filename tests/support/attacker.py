"""A peer that says what it likes: the handshake done by hand, and after it any record, sealed rightly."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aitoken.crypto.noise import CipherState, generate_private
from node.net.channels import FIN, Channel
from node.net.messages import Disconnect, Hello, Message
from node.net.noise import Handshake
from node.net.peer import MAGIC, PROLOGUE
from node.net.records import frame, seal
from node.net.wire import channel_of, decode, decode_hello, encode, encode_hello
from tests.support.network import GENESIS


def hello(**changes: Any) -> Hello:
    """Return what an honest node would say, with some of it changed."""
    values: dict[str, Any] = {
        "genesis": GENESIS,
        "version_min": 1,
        "version_max": 1,
        "roles": 1,
        "chain_id": "devnet",
        "agent": "attacker",
        "listen_port": 0,
        "final_number": 0,
        "final_hash": GENESIS,
    }
    return Hello(**(values | changes))


@dataclass
class Attacker:
    """An authenticated connection under full control."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sending: CipherState
    receiving: CipherState
    session_hash: bytes
    theirs: Hello

    @staticmethod
    async def connect(port: int, static: bytes | None = None, payload: bytes | None = None) -> Attacker:
        """Dial and shake hands, saying `payload` (or an honest hello)."""
        reader, writer = await dial(port)
        shake = Handshake(initiator=True, static=static or generate_private(), prologue=PROLOGUE)
        writer.write(MAGIC + frame(shake.write(b"")))
        theirs = decode_hello(shake.read(await read_frame(reader)))
        writer.write(frame(shake.write(encode_hello(hello()) if payload is None else payload)))
        sending, receiving = shake.split()
        return Attacker(reader, writer, sending, receiving, shake.hash, theirs)

    def record(self, channel: int, chunk: bytes, flags: int = FIN) -> None:
        """Send one record."""
        self.writer.write(seal(self.sending, channel, flags, chunk))

    def say(self, message: Message) -> None:
        """Send a message as it should be."""
        self.record(channel_of(message), encode(message))

    async def hear(self) -> Message | None:
        """Return the next message; None at the end of the connection."""
        try:
            plaintext = self.receiving.decrypt(await read_frame(self.reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        channel = Channel(plaintext[0])
        return decode(channel, plaintext[2:])

    async def last_words(self, seconds: float = 5.0) -> Disconnect | None:
        """Return the reason the other side gives before it closes; None when it just closes."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self.hear()
                if message is None or isinstance(message, Disconnect):
                    return message

    def close(self) -> None:
        """Hang up."""
        self.writer.transport.abort()


_writers: list[asyncio.StreamWriter] = []


async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a plain connection; `hang_up` closes it at the latest."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _writers.append(writer)
    return reader, writer


async def hang_up() -> None:
    """Close every connection made here."""
    for writer in _writers:
        writer.transport.abort()
    _writers.clear()
    await asyncio.sleep(0.01)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Read one length-prefixed frame."""
    size = int.from_bytes(await reader.readexactly(2), "big")
    return await reader.readexactly(size)


async def closed(reader: asyncio.StreamReader, seconds: float = 5.0) -> bool:
    """Whether the other side hangs up in time."""
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(65_536):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True
