"""`aitoken rating` against the whole runtime: who has paid by a purse rates, others read, providers answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from aitoken.client.pay.purse import OPEN, Kept, open_purse
from aitoken.pay.seller import Signed
from aitoken.types import AIT, Balance, Hash32
from chain.pallets.ai.sessions_types import SessionClaims
from cli.exits import Exit
from tests.support.memory_node import MemoryNode, command_line
from tests.support.pay_chain import PayChain, account, book, pair, terms
from tests.support.pay_session import PaySession

Run = Callable[..., Result]


def by(who: str) -> tuple[str, ...]:
    return ("--from", f"//{who}", "--type", "ed25519")


@pytest.fixture
def chain() -> PayChain:
    found = PayChain()
    found.run("owner", "Providers.register", account("operator"), account("payout"), b"http://x", 5_000 * AIT)
    found.run("owner", "Providers.publish_service", 1, None, terms())
    found.run("operator", "Providers.publish_book", 1, [1], book(), 0)
    return found


@pytest.fixture
def aitoken(chain: PayChain) -> Run:
    return command_line(MemoryNode(chain))


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def paid(chain: PayChain, folder: Path, amount: int) -> Hash32:
    """A session of the payer that has paid, with its receipts in a purse: the last one was never paid."""
    session = PaySession(chain, 1, opened=False, expires=chain.header.number + 500)
    chain.run("payer", "Sessions.open", session.params, 100 * AIT)
    first = session.receipt(0, 1, amount)
    item = session.item(session.voucher(0, 1, amount, ack=first.hash))
    chain.run("operator", "Sessions.claim", [SessionClaims(session.id, [item])])
    kept = Kept(
        session.id, chain.genesis_hash, account("payer"), 1, pair("operator").public, "http://x", 1, b"",
        pair("key").seed, Balance(100 * AIT), 64, 500, OPEN,
    )  # fmt: skip
    with open_purse(folder) as purse:
        purse.put(kept)
        for receipt in (first, session.receipt(0, 2, 5 * AIT, first)):
            signed = session.signed(receipt)
            purse.put_receipt(receipt, Signed(signed.statement, signed.signature))
    return session.id


def test_who_has_paid_rates_the_provider_answers_and_it_is_taken_back(
    aitoken: Run, chain: PayChain, tmp_path: Path
) -> None:
    purse = ("--purse", str(tmp_path / "purse"))
    nothing = aitoken("rating", "give", "1", "90", *purse, *by("payer"))
    assert (nothing.exit_code, "rating.nothing" in nothing.stderr) == (Exit.REFUSED, True)
    session = paid(chain, tmp_path / "purse", 2 * AIT)
    assert "nothing counts" in good(aitoken("rating", "show", "1"))
    told = good(aitoken("rating", "give", "1", "90", "--text", "quick", "--tag", "7", *purse, *by("payer")))
    assert "service 1 is rated 90; it counts 2" in told
    again = aitoken("rating", "give", "1", "10", *purse, *by("payer"))
    assert (again.exit_code, "rating.nothing" in again.stderr) == (Exit.REFUSED, True)
    good(aitoken("rating", "answer", "1", session.hex(), "thank you", *by("owner")))
    shown: Any = msgspec.json.decode(good(aitoken("rating", "show", "1", "--output", "json")))
    assert (shown["score"], shown["persons"], shown["count"], shown["weight"]) == (90, None, 1, 2)
    assert ", answered" in good(aitoken("rating", "show", "1"))
    assert "does not count any more" in good(aitoken("rating", "take-back", "1", session.hex(), *by("payer")))
    assert "(taken back)" in good(aitoken("rating", "show", "1"))
    refused = aitoken("rating", "take-back", "1", session.hex(), *by("payer"))
    assert (refused.exit_code, "Reputation.StillNeeded" in refused.stderr) == (Exit.REFUSED, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("give", "1", "101", *by("payer")),
        ("give", "1", "50", *(("--tag", "1") * 5), *by("payer")),
        ("answer", "1", "0x12", "text", *by("owner")),
        ("take-back", "1", "zz" * 32, *by("payer")),
    ],
)
def test_wrong_input_sends_nothing(aitoken: Run, chain: PayChain, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    before = chain.header
    purse = ("--purse", str(tmp_path)) if arguments[0] == "give" else ()
    result = aitoken("rating", *arguments, *purse)
    assert result.exit_code == Exit.USAGE, result.output
    assert chain.header is before


def test_there_is_nothing_to_say_of_a_service_that_is_none(aitoken: Run) -> None:
    assert aitoken("rating", "show", "9").exit_code == Exit.REFUSED
