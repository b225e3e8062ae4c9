"""The usual beginning of an extrinsic, taken in one piece, reads as it does byte by byte."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from aitoken.codec.base import DecodeError, compact_encode
from aitoken.crypto.ed25519 import Pair
from aitoken.proto import extrinsic as module
from aitoken.proto.era import Era
from aitoken.proto.extrinsic import Extrinsic, bare_extrinsic, sign_extrinsic

NEVER = 1 << 30
ERAS = (Era(), Era.mortal(64, 7))
SOURCES = st.builds(
    lambda call, nonce, tip, era: sign_extrinsic(call, Pair(bytes(32)), b"", nonce=nonce, tip=tip, era=ERAS[era]).raw,
    st.binary(min_size=1, max_size=60),
    st.sampled_from([0, 63, 64, 70_000]),
    st.sampled_from([0, 1, 10**12]),
    st.integers(0, 1),
) | st.builds(lambda call: bare_extrinsic(call).raw, st.binary(min_size=1, max_size=150))


def damaged(raw: bytes, at: int, byte: int, cut: int, *, fitted: bool) -> bytes:
    """Set one byte near the beginning and cut the end off; with `fitted` the length prefix says so."""
    body = bytearray(raw[2:])
    body[at % len(body)] = byte
    rest = bytes(body[: max(1, len(body) - cut)])
    return (compact_encode(len(rest)) if fitted else raw[:2]) + rest


def read(raw: bytes) -> object:
    """Return all that is read, or the error."""
    try:
        found = Extrinsic(raw)
    except DecodeError as error:
        return str(error)
    return [getattr(found, name) for name in Extrinsic.__slots__]


@given(SOURCES, st.sampled_from([0, 1, 34, 35, 99, 100, 101]), st.integers(0, 255), st.integers(0, 120), st.booleans())
def test_one_piece_reads_like_byte_by_byte(raw: bytes, at: int, byte: int, cut: int, fitted: bool) -> None:
    cut = cut if cut % 3 == 0 else 0
    for given_bytes in (raw, damaged(raw, at, byte, cut, fitted=fitted)):
        fast = read(given_bytes)
        with patch.object(module, "_HEAD_SIZE", NEVER):
            assert read(given_bytes) == fast
