"""The address book, scores, and address records of validators: bounded, and hard to poison."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.errors import Rejected
from node.net.address_record import AddressRecord
from node.net.addresses import BadAddress, group, is_local, multiaddress, parse, wide_group
from node.net.book import NEW_MAX, NEW_PER_SOURCE_MAX, TRIED_MAX, Book
from node.net.score import BAN_S, HALF_LIFE_S, MEMORY_S, REMEMBERED_MAX, SCORE_MAX, Deed, Scores


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4:30333", ("1.2.3.4", 30333)),
        ("[2001:db8::1]:1", ("2001:db8::1", 1)),
        ("node.example:30333", ("node.example", 30333)),
        ("/ip4/127.0.0.1/tcp/30333", ("127.0.0.1", 30333)),
        ("/dns/node.example/tcp/1/p2p/whoever", ("node.example", 1)),
    ],
)
def test_addresses_are_read_in_the_usual_forms(text: str, address: tuple[str, int]) -> None:
    assert parse(text) == address
    assert parse(multiaddress(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":1", "host", "host:", "host:0", "host:65536", "host:-1", "host:١", "/ip4/x/udp/1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        parse(text)


def test_neighbourhoods() -> None:
    assert group("1.2.3.4") == group("1.2.3.9") != group("1.2.4.4")
    assert wide_group("1.2.3.4") == wide_group("1.2.99.4") != wide_group("1.3.3.4")
    assert group("::ffff:1.2.3.4") == group("1.2.3.4")
    assert is_local("127.0.0.9")
    assert is_local("::1")
    assert not is_local("10.0.0.1")


def test_one_source_fills_only_its_own_share_of_the_book() -> None:
    book = Book()
    for number in range(50):
        book.add((f"9.9.{number}.1", 1), "2.2.2.2")
    for number in range(10_000):
        book.add((f"8.{number // 250}.{number % 250}.1", 1), "1.1.1.1")

    assert len(book) <= NEW_PER_SOURCE_MAX + 50
    assert book.pick(0.0, lambda address: address[0].startswith("9.9.")) is not None


def test_any_number_of_sources_is_bounded_and_never_displaces_what_was_reached() -> None:
    book = Book(random=Random(1))
    book.reached(("7.7.7.7", 1))
    for number in range(3000):
        source = f"{number // 250 + 1}.{number % 250}.1.1"
        book.add((source, 1), source)

    assert len(book) <= NEW_MAX + 1
    assert book.pick(0.0, lambda address: address == ("7.7.7.7", 1)) == ("7.7.7.7", 1)


def test_reached_addresses_are_bounded_too() -> None:
    book = Book()
    for number in range(1000):
        book.reached((f"7.{number // 250}.{number % 250}.1", 1))

    assert len(book) <= TRIED_MAX


def test_hearsay_that_fails_twice_is_forgotten_and_failures_wait() -> None:
    book = Book()
    book.add(("1.1.1.1", 1), "2.2.2.2")

    book.failed(("1.1.1.1", 1), now=0.0)
    assert book.pick(1.0, lambda _: True) is None
    assert book.pick(1000.0, lambda _: True) == ("1.1.1.1", 1)
    book.failed(("1.1.1.1", 1), now=1000.0)
    assert len(book) == 0


def test_our_own_address_is_noted_once_and_never_dialled_again() -> None:
    book = Book()
    book.add(("1.1.1.1", 1), "2.2.2.2")
    book.forget(("1.1.1.1", 1), own=True)

    assert not book.add(("1.1.1.1", 1), "2.2.2.2")
    assert book.pick(0.0, lambda _: True) is None


def test_the_book_survives_a_restart_and_a_damaged_file_is_an_empty_book(tmp_path: Path) -> None:
    path = tmp_path / "peers"
    book = Book(path)
    book.reached(("7.7.7.7", 1))
    book.add(("8.8.8.8", 2), "1.1.1.1")
    book.save([("7.7.7.7", 1)])

    again = Book(path)
    again.load()
    assert (len(again), again.anchors) == (2, [("7.7.7.7", 1)])

    path.write_bytes(path.read_bytes()[:-3])
    damaged = Book(path)
    damaged.load()
    assert len(damaged) == 0


@given(st.binary(max_size=200))
def test_any_file_is_read_or_ignored(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("book") / "peers"
    path.write_bytes(data)

    Book(path).load()


def test_scores_halve_with_time_and_end_with_memory() -> None:
    scores = Scores()
    scores.add(b"peer", Deed.BAD_BLOCK, 0.0)

    assert scores.of(b"peer", HALF_LIFE_S) == pytest.approx(-25)
    assert scores.of(b"peer", MEMORY_S + 1) == 0
    assert scores.of(b"other", 0.0) == 0


def test_good_deeds_are_capped_and_do_not_outweigh_a_broken_protocol() -> None:
    scores = Scores()
    for _ in range(1000):
        scores.add(b"peer", Deed.USEFUL, 0.0)
    assert scores.of(b"peer", 0.0) == SCORE_MAX

    assert scores.add(b"peer", Deed.BROKE_PROTOCOL, 0.0) == -100


def test_bans_end_and_memory_is_bounded() -> None:
    scores = Scores()
    scores.ban(b"peer", "1.1.1.1", 0.0)
    assert scores.is_banned(b"peer", BAN_S - 1)
    assert not scores.is_banned(b"peer", BAN_S)
    assert scores.is_address_banned("1.1.1.1", 1.0)

    for number in range(3 * REMEMBERED_MAX):
        scores.add(number.to_bytes(4, "big"), Deed.UNASKED, 0.0)
    assert len(scores._scores) == REMEMBERED_MAX


def test_a_full_disk_costs_the_book_and_nothing_else(tmp_path: Path) -> None:
    book = Book(tmp_path / "missing" / "peers")
    book.reached(("1.2.3.4", 30333))

    book.save([("1.2.3.4", 30333)])

    assert not (tmp_path / "missing").exists()
    assert len(book) == 1


RECORD = AddressRecord(bytes(range(32)), bytes(32), 7, (("1.2.3.4", 30333), ("node.example", 1)), bytes(64))


def test_an_address_record_survives_the_wire() -> None:
    assert AddressRecord.decode(RECORD.encode()) == RECORD


@given(st.binary(max_size=300))
def test_any_bytes_are_an_address_record_or_refused(data: bytes) -> None:
    try:
        assert AddressRecord.decode(data).encode() == data
    except Rejected:
        pass


def test_a_cut_address_record_is_refused() -> None:
    for size in range(len(RECORD.encode())):
        with pytest.raises(Rejected):
            AddressRecord.decode(RECORD.encode()[:size])
