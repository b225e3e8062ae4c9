"""Votes and certificates: one layout, read strictly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.proto import votes
from aitoken.proto.votes import FINALIZE, NOTARIZE, NULLIFY, Certificate, Vote

HASH = bytes(range(32))
SIGNATURE = b"s" * 64


def certificate(signers: list[int], count: int = 4, kind: int = NOTARIZE) -> Certificate:
    block = votes.NO_BLOCK if kind == NULLIFY else HASH
    return Certificate(
        kind, 3, 7, block, votes.bitmap_of(signers, count), tuple(bytes([s % 256]) * 64 for s in sorted(signers))
    )


def test_sign_bytes_are_93_bytes_in_the_fixed_order() -> None:
    data = votes.sign_bytes(b"g" * 32, FINALIZE, 2, 258, HASH)

    assert len(data) == 93
    assert data == b"SMPX-vote-1\x00" + b"g" * 32 + b"\x03" + b"\x02" + bytes(7) + b"\x02\x01" + bytes(6) + HASH


def test_vote_layout_is_fixed_and_reads_back() -> None:
    vote = Vote(NOTARIZE, 1, 2, HASH, 515, SIGNATURE)

    data = vote.encode()

    assert data.hex() == "01" + "0100000000000000" + "0200000000000000" + HASH.hex() + "0302" + SIGNATURE.hex()
    assert Vote.decode(data) == vote


@pytest.mark.parametrize(
    "vote",
    [
        Vote(0, 1, 2, HASH, 0, SIGNATURE),
        Vote(4, 1, 2, HASH, 0, SIGNATURE),
        Vote(NULLIFY, 1, 2, HASH, 0, SIGNATURE),
        Vote(NOTARIZE, 1, 2, votes.NO_BLOCK, 0, SIGNATURE),
        Vote(FINALIZE, 1, 2, votes.NO_BLOCK, 0, SIGNATURE),
        Vote(NOTARIZE, 1, 0, HASH, 0, SIGNATURE),
        Vote(NOTARIZE, 1, 2, HASH, votes.VALIDATORS_MAX, SIGNATURE),
    ],
)
def test_statements_that_cannot_be_are_refused(vote: Vote) -> None:
    assert not vote.is_well_formed()
    with pytest.raises(votes.MalformedVote):
        Vote.decode(vote.encode())


@pytest.mark.parametrize(("total", "needed"), [(4, 3), (5, 4), (6, 5), (7, 5), (9, 7), (10, 7), (3, 3), (1, 1)])
def test_quorum_is_the_least_weight_above_two_thirds(total: int, needed: int) -> None:
    assert votes.quorum(total) == needed
    assert 3 * needed > 2 * total >= 3 * (needed - 1)


@given(st.integers(1, 2**63))
def test_two_quorums_share_more_than_a_third(total: int) -> None:
    assert 3 * (2 * votes.quorum(total) - total) > total
    assert votes.third(total) <= votes.quorum(total)


@pytest.mark.parametrize("count", [4, 7, 8, 9, 64, 100, 600])
def test_certificates_read_back_at_every_size(count: int) -> None:
    cert = certificate(list(range(0, count, 2)), count)

    assert Certificate.decode(cert.encode()) == cert
    assert [vote.signer for vote in cert.votes()] == list(range(0, count, 2))


def test_certificate_layout_is_fixed() -> None:
    data = certificate([0, 2, 3]).encode()

    assert data.hex() == (
        "01"
        + "0300000000000000"
        + "0700000000000000"
        + HASH.hex()
        + "04"
        + "0d"
        + "0c"
        + "00" * 64
        + "02" * 64
        + "03" * 64
    )


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_canonical(data: bytes) -> None:
    for kind in (Vote, Certificate):
        try:
            value = kind.decode(data)
        except (votes.MalformedVote, votes.MalformedCertificate):
            continue
        assert value.encode() == data


@given(st.sets(st.integers(0, 70), max_size=70), st.binary(max_size=4), st.integers(0, 400), st.integers(0, 255))
def test_a_changed_certificate_is_refused_or_canonical(signers: set[int], tail: bytes, at: int, byte: int) -> None:
    data = bytearray(certificate(sorted(signers), 71).encode())
    data[at % len(data)] = byte
    try:
        value = Certificate.decode(bytes(data) + tail)
    except votes.MalformedCertificate:
        return
    assert value.encode() == bytes(data) + tail


def test_check_weight_wants_a_quorum_of_this_set() -> None:
    weights = [1, 1, 1, 1]

    assert certificate([0, 2, 3]).check_weight(weights) == [0, 2, 3]
    with pytest.raises(votes.TooLittleWeight):
        certificate([0, 2]).check_weight(weights)
    with pytest.raises(votes.TooLittleWeight):
        certificate([0, 2, 3]).check_weight([1, 5, 1, 1])
    with pytest.raises(votes.MalformedCertificate):
        certificate([0, 1, 5], 8).check_weight(weights)
    with pytest.raises(votes.MalformedCertificate):
        certificate([0, 1, 2, 3, 9], 12).check_weight(weights)
    short = Certificate(NOTARIZE, 3, 7, HASH, b"\x0f", (SIGNATURE,) * 3)
    with pytest.raises(votes.MalformedCertificate):
        short.check_weight(weights)
