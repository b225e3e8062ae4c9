"""Signing history as a file: marks travel, never sink, and never cross chains."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from aitoken.proto.votes import FINALIZE, NOTARIZE
from consensus.signed import SignedVotes
from node.signer.errors import BadExchange
from node.signer.exchange import decode, encode

GENESIS = bytes(range(32))
KEY, OTHER = bytes([7]) * 32, bytes([8]) * 32
A = bytes([1]) * 32


def history() -> SignedVotes:
    votes = SignedVotes(7, 20)
    votes.enter(NOTARIZE, 7, 31, A)
    votes.enter(FINALIZE, 7, 30, A)
    return votes


def test_the_highest_view_becomes_the_mark() -> None:
    assert decode(encode(GENESIS, {KEY: history(), OTHER: SignedVotes(3, 4)}), GENESIS) == {KEY: (7, 31), OTHER: (3, 4)}


def test_the_file_is_readable_and_numbers_are_text() -> None:
    file = msgspec.json.decode(encode(GENESIS, {KEY: history()}))

    assert file["metadata"] == {"interchange_format_version": "1", "genesis_hash": "0x" + GENESIS.hex()}
    assert file["keys"][0]["max_epoch"] == "7"
    assert file["keys"][0]["votes"][-1] == {"epoch": "7", "view": "31", "kind": "notarize", "hash": "0x" + A.hex()}


def test_a_vote_above_its_own_mark_counts_and_the_higher_of_two_entries_does() -> None:
    file = msgspec.json.decode(encode(GENESIS, {KEY: history()}))
    file["keys"][0]["max_view"] = "2"
    file["keys"].append(file["keys"][0] | {"max_epoch": "6", "votes": []})

    assert decode(msgspec.json.encode(file), GENESIS) == {KEY: (7, 31)}


def test_another_chain_is_refused() -> None:
    with pytest.raises(BadExchange, match="another chain"):
        decode(encode(GENESIS, {KEY: history()}), bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        {"keys": None},
        {"extra": 1},
        {"metadata": {"interchange_format_version": "2", "genesis_hash": "0x" + GENESIS.hex()}},
        {"keys": [{"pubkey": "0x12", "max_epoch": "1", "max_view": "1"}]},
        {"keys": [{"pubkey": "0x" + KEY.hex(), "max_epoch": "-1", "max_view": "1"}]},
        {"keys": [{"pubkey": "0x" + KEY.hex(), "max_epoch": 1, "max_view": "1"}]},
        {"keys": [{"pubkey": "0x" + KEY.hex(), "max_epoch": "99999999999999999999", "max_view": "1"}]},
        {"keys": [{"pubkey": "0x" + KEY.hex(), "max_epoch": "01", "max_view": "1"}]},
    ],
)
def test_what_is_no_history_is_refused(change: dict[str, object]) -> None:
    file = msgspec.json.decode(encode(GENESIS, {KEY: history()}))

    with pytest.raises(BadExchange):
        decode(msgspec.json.encode(file | change), GENESIS)


def test_garbage_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"{}", b"[" * 100_000, b"\xff" * 10, b" " * ((1 << 20) + 1)):
        with pytest.raises(BadExchange):
            decode(data, GENESIS)
