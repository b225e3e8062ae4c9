"""Where the gateway has a short way for what is usual, it comes to what the plain way comes to."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from aitoken.crypto import ed25519
from aitoken.pay.headers import encode_signed
from aitoken.types import Moment
from gateway import store_sqlite as stored
from gateway.headers import read_all_headers, read_headers
from gateway.refusals import BadPaymentHeader
from gateway.store import Change
from gateway.store_sqlite import KnownKeys
from tests.support.gateways import OPERATOR, Buyer, FakeChain, shop

HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hello paid world"}]}

# ------------------------------------------------------------------------------------------------- headers

SIGNED = encode_signed(b"statement", bytes(64))
VALUES = st.sampled_from(("", SIGNED, SIGNED + "=", "AAAA", "7", "0.5 AIT", "Payment e30", "Bearer x", "e30=", "ü"))
NAMES = st.sampled_from(
    ("AI-Voucher", "ai-voucher", "AI-Max-Cost", "AI-Quote", "AI-Window", "Idempotency-Key", "Authorization",
     "PAYMENT-SIGNATURE", "payment-signature", "Accept")
)  # fmt: skip


@given(st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_payment_headers_are_read_alike(fields: list[tuple[str, str]]) -> None:
    headers = CIMultiDictProxy(CIMultiDict(fields))

    def told(read: Any) -> Any:
        try:
            return read(headers)
        except BadPaymentHeader as error:
            return str(error)

    assert told(read_headers) == told(read_all_headers)


# ------------------------------------------------------------------------------------------------- groups of changes

BYTES = st.binary(min_size=1, max_size=2)
PLACES = st.tuples(st.sampled_from((b"a", b"b")), st.integers(0, 1))


@st.composite
def changes(draw: st.DrawFn) -> list[Change]:
    found, seqs = [], {}
    for _ in range(draw(st.integers(0, 12))):
        place = draw(PLACES)
        kind = draw(st.sampled_from(("voucher", "voucher", "receipt", "receipt", "claimed", "answer")))
        if kind == "voucher":
            found.append(Change(stored.PUT_VOUCHER, (*place, draw(BYTES), draw(BYTES), draw(st.integers(0, 1)))))
        elif kind == "receipt":
            seqs[place] = seqs.get(place, 0) + 1
            found.append(Change(stored.PUT_RECEIPT, (*place, seqs[place], 7, draw(BYTES), draw(BYTES))))
        elif kind == "claimed" and any(change.values[:2] == place for change in found):
            sql = "UPDATE lanes SET claimed = ? WHERE session = ? AND lane = ?"
            found.append(Change(sql, (draw(st.sampled_from(("1", "2"))), *place)))
        elif kind == "answer":
            found.append(Change("INSERT OR IGNORE INTO closings VALUES (?)", (place[0],)))
    return found


def content(connection: sqlite3.Connection) -> list[Any]:
    tables = ("SELECT * FROM lanes ORDER BY session, lane", "SELECT * FROM receipts ORDER BY session, lane, seq",
              "SELECT * FROM closings ORDER BY session")  # fmt: skip
    return [connection.execute(table).fetchall() for table in tables]


@given(changes(), st.lists(st.integers(1, 4), max_size=4))
def test_a_group_writes_what_its_changes_write_one_by_one(wanted: list[Change], sizes: list[int]) -> None:
    ends = []
    for write in (stored.write_gathered, stored.write_one_by_one):
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(stored.SCHEMA)
        left = list(wanted)
        for size in [*sizes, len(left)]:
            write(connection, left[:size])
            left = left[size:]
        ends.append(content(connection))
        connection.close()
    assert ends[0] == ends[1]


# ------------------------------------------------------------------------------------------------- keys


def test_a_key_is_known_for_as_long_as_its_answer_is_kept() -> None:
    keys = KnownKeys([(b"s" * 32, b"before" * 6)], 100)
    hour, kept = 3_600_000, 24 * 3_600_000
    added: dict[bytes, int] = {b"before" * 6: 0}
    for now in range(0, 80 * hour, hour):
        keys.turn(Moment(now - kept), Moment(now))
        key = now.to_bytes(16, "big") * 2
        assert not keys.may_have(b"s" * 32, key)
        keys.add(b"s" * 32, key)
        added[key] = now
        for known, at in added.items():
            assert keys.may_have(b"s" * 32, known) or at < now - kept
    assert sum(keys.may_have(b"s" * 32, key) for key in added) < 60
    assert not keys.may_have(b"t" * 32, key)


def test_too_many_keys_are_asked_for_on_disk() -> None:
    keys = KnownKeys([], 3)
    for number in range(4):
        keys.add(b"s" * 32, number.to_bytes(32, "little"))
    assert keys.may_have(b"s" * 32, b"x" * 32)


async def test_a_repetition_is_known_after_a_restart(tmp_path: Path) -> None:
    chain = FakeChain()
    async with shop(tmp_path, chain=chain) as here:
        first = await here.buyer(seed=5).ask(HELLO, Idempotency_Key="once")
        assert first.status == 200
    async with shop(tmp_path, chain=chain) as here:
        buyer = here.buyer(seed=5)
        assert first.signed is not None
        buyer.session.adopt(first.signed)
        again = await buyer.ask(HELLO, Idempotency_Key="once")
        assert (again.status, again.headers.get("AI-Repeated"), again.body) == (200, "1", first.body)


# ------------------------------------------------------------------------------------------------- signatures


async def test_a_signature_is_checked_once_and_again_only_with_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        await buyer.ask(HELLO)
        checks: list[bytes] = []
        verify = ed25519.verify

        def counted(signature: bytes, message: bytes, public: bytes) -> bool:
            if public != OPERATOR.public:
                checks.append(public)
                if len(checks) == 1 and changing:
                    buyer.seller.key = bytes(32)  # the chain has another key from now on
            return verify(signature, message, public)

        monkeypatch.setattr(ed25519, "verify", counted)
        changing = False
        assert (await buyer.ask(HELLO, Idempotency_Key="one")).status == 200
        assert checks == [buyer.key.public]
        assert here.gateway.front is not None
        here.gateway.front.line = ""
        checks.clear()
        assert (await buyer.ask(HELLO, Idempotency_Key="half")).status == 200
        assert checks == [buyer.key.public]
        checks.clear()
        changing = True
        refused = await buyer.ask(HELLO, Idempotency_Key="two")
        assert (refused.status, refused.json["code"]) == (402, "pay.bad_signature")
        assert checks == [buyer.key.public, bytes(32)]


# ------------------------------------------------------------------------------------------------- groups


async def test_a_group_waits_for_more_unless_somebody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.GROUP_S", 3600.0)
    async with shop(tmp_path) as here:
        buyer = here.buyer()
        first = await asyncio.wait_for(buyer.ask(HELLO), 60)  # it may not leave before the disk knows its lane
        before = (await here.get("/metrics")).body
        second = await buyer.ask(HELLO)
        assert (first.status, second.status) == (200, 200)
        assert commits(before) == commits((await here.get("/metrics")).body) > 0
        headers = {"AI-Voucher": encode_signed(*told(buyer))}
        asked = here.get("/.well-known/aitp/receipts?lane=0&seq=2", headers)
        assert (await asyncio.wait_for(asked, 60)).status == 200


def commits(metrics: bytes) -> float:
    lines = metrics.decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("aitoken_gateway_store_commits "))


def told(buyer: Buyer) -> tuple[bytes, bytes]:
    signed = buyer.session.acknowledgement(buyer.session.lanes[0])
    return signed.statement, signed.signature
