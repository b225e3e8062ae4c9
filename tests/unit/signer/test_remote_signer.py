"""A signer in another process: what it signs, whom it serves, and what a node does without it."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from aitoken.crypto import ed25519
from aitoken.proto import randomness
from aitoken.proto.votes import NOTARIZE, NULLIFY, sign_bytes
from consensus.signed import VoteRefused
from node.net.address_record import AddressRecord
from node.net.peer_auth import peer_statement
from node.signer import remote, wire
from node.signer.errors import KeyInUse, SignerLost, SignerRefuses
from node.signer.local import Key, LocalSigner
from node.signer.remote import RemoteSigner, socket_path
from node.signer.server import SignerServer
from node.signer.state_file import Owner, SignState, create

GENESIS = bytes(range(32))
PAIR = ed25519.Pair(bytes([7]) * 32)
A, B = bytes([1]) * 32, bytes([2]) * 32


def make_state(folder: Path) -> Path:
    path = folder / "state" / "key.state"
    if not path.exists():
        create(path, Owner(GENESIS, PAIR.public))
    return path


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Path]:
    """A signer on a socket of the folder."""
    path = folder / "signer.sock"
    signer = LocalSigner(GENESIS, [Key(PAIR, SignState(make_state(folder), Owner(GENESIS, PAIR.public)))])
    server = SignerServer(signer, GENESIS, path)
    await server.start()
    try:
        yield path
    finally:
        await server.stop()
        signer.close()


async def connect(folder: Path, genesis: bytes = GENESIS) -> RemoteSigner:
    return await asyncio.to_thread(RemoteSigner, folder / "signer.sock", genesis, folder / "signer.public")


async def ask(call: Any, *arguments: Any, **named: Any) -> Any:
    """Call from a thread: the server shares our loop here, unlike in life."""
    return await asyncio.to_thread(lambda: call(*arguments, **named))


async def test_it_signs_the_three_statements_and_the_node_knows_its_key(tmp_path: Path) -> None:
    async with serving(tmp_path):
        signer = await connect(tmp_path)
        record = AddressRecord(PAIR.public, bytes(32), 5, (("127.0.0.1", 30333),))

        assert signer.public == PAIR.public
        vote = await ask(signer.sign_vote, NOTARIZE, 2, 4, A, 0)
        assert ed25519.verify(vote, sign_bytes(GENESIS, NOTARIZE, 2, 4, A), PAIR.public)
        peer = await ask(signer.sign_peer, B, initiator=True)
        assert ed25519.verify(peer, peer_statement(GENESIS, B, initiator=True), PAIR.public)
        address = await ask(signer.sign_address, record)
        assert ed25519.verify(address, record.sign_bytes(GENESIS), PAIR.public)
        await signer.stop()


async def test_it_proves_a_view_as_often_as_asked_and_writes_nothing_down(tmp_path: Path) -> None:
    async with serving(tmp_path):
        signer = await connect(tmp_path)
        before = make_state(tmp_path).read_bytes()

        proof = await ask(signer.prove_view, 2, 4, A)

        message = randomness.message_of(GENESIS, A, 2, 4)
        assert randomness.verify(randomness.output_of(proof), proof, message, PAIR.public)
        assert await ask(signer.prove_view, 2, 4, A) == proof
        assert await ask(signer.prove_view, 2, 3, A) != proof
        assert make_state(tmp_path).read_bytes() == before
        await signer.stop()


@pytest.mark.parametrize("arguments", [(-1, 4, A), (2, 4, A[:-1]), (2, 4, A + b"\0"), (2, "4", A), (2, 4, "a" * 32)])
async def test_a_proof_is_made_for_a_view_and_nothing_else(tmp_path: Path, arguments: tuple[Any, ...]) -> None:
    async with serving(tmp_path):
        signer = await connect(tmp_path)
        with pytest.raises(SignerLost):
            await ask(signer.prove_view, *arguments)
        await signer.stop()


def test_nothing_that_is_signed_has_32_bytes_as_what_a_proof_hashes_has() -> None:
    record = AddressRecord(PAIR.public, bytes(32), 5, ())

    for statement in (
        sign_bytes(GENESIS, NOTARIZE, 2, 4, A),
        peer_statement(GENESIS, B, initiator=True),
        record.sign_bytes(GENESIS),
    ):
        assert len(statement) > 32


async def test_it_refuses_by_its_own_memory_and_the_connection_stays(tmp_path: Path) -> None:
    async with serving(tmp_path):
        signer = await connect(tmp_path)
        await ask(signer.sign_vote, NOTARIZE, 2, 4, A, 0)

        with pytest.raises(VoteRefused):
            await ask(signer.sign_vote, NOTARIZE, 2, 4, B, 0)
        assert await ask(signer.knows, NOTARIZE, 2, 4, A)
        assert not await ask(signer.knows, NULLIFY, 2, 5, bytes(32))
        assert await ask(signer.sign_vote, NULLIFY, 2, 5, bytes(32), 4)
        await signer.stop()


async def test_its_socket_is_the_owners_alone_and_a_second_signer_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        server = SignerServer(LocalSigner(GENESIS, [Key(PAIR, None)]), GENESIS, path)
        with pytest.raises(KeyInUse):
            await server.start()
    assert not path.exists()


async def test_a_socket_left_by_a_crash_is_taken_over(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stale.bind(str(tmp_path / "signer.sock"))
    stale.close()

    async with serving(tmp_path):
        signer = await connect(tmp_path)
        await signer.stop()


async def test_it_serves_one_node_at_a_time(tmp_path: Path) -> None:
    async with serving(tmp_path):
        first = await connect(tmp_path)
        with pytest.raises(SignerLost):
            await asyncio.to_thread(RemoteSigner, tmp_path / "signer.sock", GENESIS, tmp_path / "other.public")
        assert await ask(first.sign_vote, NOTARIZE, 0, 1, A, 0)
        await first.stop()


async def test_a_signer_of_another_chain_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path):
        with pytest.raises(SignerRefuses, match="another chain"):
            await connect(tmp_path, bytes(32))


@pytest.mark.parametrize(
    "frame",
    [
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x10\x01" + bytes(4097),
        wire.pack(["raw", b"sign this"]),
        wire.pack([["vote"]]),
        wire.pack(["vote", PAIR.public, 1, 0, 1]),
        wire.pack(["vote", PAIR.public, 1, 0, -1, A, 0]),
        wire.pack(["vote", PAIR.public, True, 0, 1, A, 0]),
        wire.pack(["vote", PAIR.public, 1, 0, 1, A + b"x", 0]),
        wire.pack(["peer", PAIR.public, b"short", True]),
        wire.pack(["address", PAIR.public, "text"]),
        wire.pack(["address", PAIR.public, AddressRecord(A, A, 1, ()).unsigned()]),
        b"\x00\x00\x00\x01\xc1",
    ],
)
async def test_whatever_is_no_request_is_hung_up_on_and_the_next_node_is_served(tmp_path: Path, frame: bytes) -> None:
    async with serving(tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(frame)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()

        signer = await connect(tmp_path)
        assert await ask(signer.sign_vote, NOTARIZE, 0, 1, A, 0)
        await signer.stop()


async def test_without_its_signer_a_node_asks_no_more_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RETRY_S", 0.01)
    back = asyncio.Event()
    async with serving(tmp_path):
        signer = await connect(tmp_path)
        signer.on_back = (back.set,)
        signer.start()
        await ask(signer.sign_vote, NOTARIZE, 0, 1, A, 0)

    with pytest.raises(SignerLost):
        await ask(signer.sign_vote, NOTARIZE, 0, 2, A, 0)
    assert not signer.is_there
    with pytest.raises(SignerLost):
        signer.sign_peer(B, initiator=False)
    assert await ask(signer.knows, NOTARIZE, 0, 9, A)
    async with serving(tmp_path), asyncio.timeout(10):
        await back.wait()
        with pytest.raises(VoteRefused):  # its memory outlived it
            await ask(signer.sign_vote, NOTARIZE, 0, 1, B, 0)
        assert await ask(signer.sign_vote, NOTARIZE, 0, 3, A, 0)
        await signer.stop()


async def test_a_signer_that_hangs_is_lost_after_a_short_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.05)
    async with serving(tmp_path):
        signer = await connect(tmp_path)
        signer.choose([A])  # nobody's key: nothing changes
        with pytest.raises(SignerLost):
            signer.sign_vote(NOTARIZE, 0, 1, A, 0)  # from the loop's own thread: the server cannot answer
        await signer.stop()


async def test_a_node_that_knows_the_key_starts_before_its_signer(tmp_path: Path) -> None:
    with pytest.raises(SignerLost):
        await connect(tmp_path)
    async with serving(tmp_path):
        await (await connect(tmp_path)).stop()

    signer = await connect(tmp_path)
    assert signer.public == PAIR.public
    assert not signer.is_there
    await signer.stop()


def test_only_unix_sockets_are_signers() -> None:
    assert socket_path("unix:/run/x.sock") == Path("/run/x.sock")
    for setting in ("", "unix:", "tcp:127.0.0.1:1", "/run/x.sock"):
        with pytest.raises(SignerRefuses):
            socket_path(setting)
