"""Noise XX against public transcripts (cacophony) and against a man in the middle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aitoken.crypto.noise import BadNoiseMessage, generate_private, public_of
from aitoken.errors import Rejected
from node.net.noise import PROTOCOL_NAME, Handshake

REPOSITORY = Path(__file__).parents[3]
PUBLIC = Path(os.environ.get("AITOKEN_VECTORS", REPOSITORY.parent / "shared" / "vectors" / "public"))
TRANSCRIPTS = PUBLIC / "noise" / "cacophony_25519_chachapoly.json"


def transcripts() -> list[Any]:
    if not TRANSCRIPTS.exists():
        return [pytest.param(None, id="none", marks=pytest.mark.skip(f"no test data at {PUBLIC}"))]
    vectors = json.loads(TRANSCRIPTS.read_text())["vectors"]
    ours = PROTOCOL_NAME.decode()
    return [
        pytest.param(
            vector,
            id=vector["protocol_name"],
            marks=[] if vector["protocol_name"] == ours else pytest.mark.skip("another Noise protocol than ours"),
        )
        for vector in vectors
    ]


@pytest.mark.parametrize("vector", transcripts())
def test_the_public_transcript_comes_out_byte_by_byte(vector: dict[str, Any]) -> None:
    sides = [
        Handshake(
            initiator=role == "init",
            static=bytes.fromhex(vector[f"{role}_static"]),
            prologue=bytes.fromhex(vector[f"{role}_prologue"]),
            ephemeral=bytes.fromhex(vector[f"{role}_ephemeral"]),
        )
        for role in ("init", "resp")
    ]
    messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]

    for turn, (payload, expected) in enumerate(messages[:3]):
        writer, reader = sides[turn % 2], sides[1 - turn % 2]
        written = writer.write(payload)
        assert written == expected
        assert reader.read(written) == payload

    assert {side.hash.hex() for side in sides} == {vector["handshake_hash"]}
    ciphers = [side.split() for side in sides]
    for turn, (payload, expected) in enumerate(messages[3:], start=3):
        sealed = ciphers[turn % 2][0].encrypt(payload)
        assert sealed == expected
        assert ciphers[1 - turn % 2][1].decrypt(sealed) == payload


def pair(prologue: bytes = b"a", other: bytes = b"a") -> tuple[Handshake, Handshake]:
    return (
        Handshake(initiator=True, static=generate_private(), prologue=prologue),
        Handshake(initiator=False, static=generate_private(), prologue=other),
    )


def test_both_sides_learn_the_others_key() -> None:
    first, second = generate_private(), generate_private()
    left = Handshake(initiator=True, static=first, prologue=b"")
    right = Handshake(initiator=False, static=second, prologue=b"")

    right.read(left.write(b""))
    left.read(right.write(b""))
    right.read(left.write(b""))

    assert left.done
    assert right.done
    assert left.remote_static == public_of(second)
    assert right.remote_static == public_of(first)


def test_another_prologue_fails_at_the_first_encrypted_message() -> None:
    left, right = pair(b"a", b"b")
    right.read(left.write(b""))

    with pytest.raises(BadNoiseMessage):
        left.read(right.write(b"payload"))


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("position", [0, 31, 32, 60, -1])
def test_any_changed_byte_is_noticed_at_the_latest_in_the_next_message(turn: int, position: int) -> None:
    left, right = pair()

    def run() -> None:
        for step in range(3):
            writer, reader = (left, right) if step % 2 == 0 else (right, left)
            message = bytearray(writer.write(b"payload"))
            if step == turn:
                message[position if position < len(message) else -1] ^= 1
            reader.read(bytes(message))

    with pytest.raises(Rejected):
        run()


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_cut_first_message_is_refused(size: int) -> None:
    left, right = pair()

    with pytest.raises(Rejected):
        right.read(left.write(b"")[:size])


def test_an_all_zero_key_is_refused() -> None:
    left, right = pair()
    left.write(b"")
    right.read(bytes(32))

    with pytest.raises(Rejected):
        right.write(b"")
