"""`aitoken dispute` and `arbiter` against the whole runtime: cases from the complaint to the money."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from aitoken.crypto.hashing import blake2_256
from aitoken.types import AIT
from chain.pallets.ai import arbiters, rewards
from chain.pallets.ai.sessions_types import SessionClaims
from cli.commands import arbiter, campaign_attest
from cli.exits import Exit
from tests.support.memory_node import MemoryNode, command_line
from tests.support.pay_chain import PayChain, account, book, pair, terms
from tests.support.pay_session import PaySession

Run = Callable[..., Result]
MINUTE = 60_000
JUDGES = ("judge-1", "judge-2", "judge-3")
PAID = 40 * AIT
EVIDENCE, ANSWER = b"it answered nothing but blanks", b"blanks were asked for"


def by(who: str) -> tuple[str, ...]:
    return ("--from", f"//{who}", "--type", "ed25519")


class Court:
    """A session that has paid, three arbiters, and commands about it."""

    def __init__(self, folder: Path) -> None:
        self.chain = chain = PayChain(others=dict.fromkeys(JUDGES, 500))
        chain.run("owner", "Providers.register", account("operator"), account("payout"), b"http://x", 5_000 * AIT)
        chain.run("owner", "Providers.publish_service", 1, None, terms())
        chain.run("operator", "Providers.publish_book", 1, [1], book(), 0)
        session = PaySession(chain, 1, opened=False, expires=chain.header.number + 500)
        chain.run("payer", "Sessions.open", session.params, 100 * AIT)
        chain.run(
            "operator", "Sessions.claim", [SessionClaims(session.id, [session.item(session.voucher(0, 0, PAID))])]
        )
        self.session = session.id.hex()
        self.run = command_line(MemoryNode(chain))
        self.folder = folder
        self.works = str(folder / "works")
        for name, text in (("evidence", EVIDENCE), ("answer", ANSWER)):
            (folder / name).write_bytes(text)

    def told(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--output", "json")
        assert result.exit_code == 0, (result.output, result.stderr)
        return msgspec.json.decode(result.stdout)

    def open(self, *more: str) -> Any:
        file = str(self.folder / "evidence")
        return self.told("dispute", "open", self.session, file, "--publish", self.works, *more, *by("payer"))

    def answer(self, case: int) -> Any:
        file = str(self.folder / "answer")
        return self.told("dispute", "answer", str(case), file, "--publish", self.works, *by("operator"))

    def seat(self, case: int) -> None:
        """Let epochs pass until the panel is drawn."""
        for who in JUDGES:
            self.told("arbiter", "stake", "100", *by(who))
        self.answer(case)
        epoch = self.told("dispute", "show", str(case))["epoch"]
        while int(self.chain.epoch().epoch) < epoch:
            self.chain.block()
        self.told("dispute", "advance", str(case), *by("other"))

    def judge(self, who: str, *more: str) -> Any:
        seed = str(self.folder / who)
        return self.told("arbiter", "judge", "--seed-file", seed, *more, *by(who))["disputes"]

    def pass_time(self, ms: int) -> None:
        self.chain.block(step_ms=ms)
        self.chain.block()

    def stake(self, who: str) -> int:
        return int(self.chain.disputes.arbiters.get(account(who)).stake)


@pytest.fixture
def court(tmp_path: Path) -> Court:
    return Court(tmp_path)


def test_a_buyer_complains_arbiters_judge_and_the_money_moves(court: Court) -> None:
    before = court.chain.free("payer")
    opened = court.open("--receipt", "ab" * 32)
    case = opened["case"]
    assert (opened["amount"], opened["bond"], opened["evidence"]) == (PAID, AIT, "0x" + blake2_256(EVIDENCE).hex())
    assert "silence gives the buyer everything" in opened["stand"]
    court.seat(case)
    (waiting,) = court.told("arbiter", "cases")
    assert (waiting["dispute"], "the panel judges until" in waiting["stand"]) == (case, True)
    assert set(waiting["panel"].split(", ")) == {
        seat["arbiter"] for seat in court.told("dispute", "show", str(case))["panel"]
    }
    assert court.judge("judge-1", "--award", str(case), "87.5") == {"judged": [case], "unveiled": [], "silent": []}
    assert court.judge("judge-2", "--works", court.works, "--check", "false", "--check-disputes", "grep -q sense") == {
        "judged": [case], "unveiled": [], "silent": [],
    }  # fmt: skip
    assert court.judge("judge-3")["silent"] == [case]
    court.pass_time(2 * MINUTE)
    court.told("dispute", "advance", str(case), *by("other"))
    assert [court.judge(who)["unveiled"] for who in JUDGES] == [[case], [case], []]
    shown = court.told("dispute", "show", str(case))
    assert (shown["phase"], shown["award"]) == ("ruled", 9_375)
    assert [court.stake(who) for who in JUDGES] == [100 * AIT, 100 * AIT, 95 * AIT]
    court.pass_time(2 * MINUTE)
    ended = court.told("dispute", "advance", str(case), *by("other"))

    assert (ended["phase"], ended["paid"]) == ("ended", PAID * 9_375 // 10_000)
    # Of the seller's bond of one, half goes to those who were near, half to the winner.
    fees = before + ended["paid"] + AIT // 2 - opened["deposit"] - court.chain.free("payer")
    assert 0 < fees < AIT // 10
    assert court.told("dispute", "list") == []
    assert [row["case"] for row in court.told("dispute", "list", "--all", "--provider", "1")] == [case]


def test_a_seller_who_is_silent_loses(court: Court) -> None:
    opened = court.open("--amount", "30")
    case = str(opened["case"])
    early = court.run("dispute", "advance", case, *by("other"))
    assert (early.exit_code, "nothing was sent: Disputes.NotYet" in early.stderr) == (Exit.REFUSED, True)
    court.pass_time(2 * MINUTE)
    file = str(court.folder / "answer")
    late = court.run("dispute", "answer", case, file, *by("operator"))
    assert (late.exit_code, "Disputes.TooLate" in late.stderr) == (Exit.REFUSED, True)
    assert "the seller was silent" in court.run("dispute", "show", case).stdout
    before = court.chain.free("payer")
    assert court.told("dispute", "advance", case, *by("other"))["paid"] == 30 * AIT
    assert court.chain.free("payer") == before + 30 * AIT + AIT


def test_a_case_is_settled_withdrawn_or_appealed(court: Court) -> None:
    case = str(court.open()["case"])
    assert court.told("dispute", "offer", case, "5", *by("owner"))["offer"] == 5 * AIT
    assert "offered   5 AIT" in court.run("dispute", "show", case).stdout
    assert court.told("dispute", "offer", case, "7", *by("operator"))["offer"] == 7 * AIT
    assert court.told("dispute", "accept", case, *by("payer"))["paid"] == 7 * AIT
    again = court.run("dispute", "open", court.session, str(court.folder / "evidence"), *by("payer"))
    assert (again.exit_code, "Disputes.CaseExists" in again.stderr) == (Exit.REFUSED, True)
    needed = court.run("dispute", "forget", case, *by("other"))
    assert (needed.exit_code, "Disputes.StillNeeded" in needed.stderr) == (Exit.REFUSED, True)


def test_a_buyer_withdraws(court: Court) -> None:
    case = str(court.open()["case"])
    assert court.told("dispute", "withdraw", case, *by("payer"))["paid"] == 0


def test_a_loser_appeals_and_a_panel_that_cannot_be_drawn_leaves_the_ruling(court: Court) -> None:
    case = court.open()["case"]
    court.seat(case)
    for who in JUDGES:
        court.judge(who, "--award", str(case), "0")
    for who in JUDGES:
        court.judge(who)
    appealed = court.told("dispute", "appeal", str(case), *by("payer"))
    assert (appealed["phase"], appealed["appeal"], appealed["ruling"]) == ("drawing", 3 * AIT, 0)
    while int(court.chain.epoch().epoch) < appealed["epoch"]:
        court.chain.block()
    assert court.told("dispute", "advance", str(case), *by("other"))["paid"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("open", "{session}", "{file}", *by("other")), "only who paid may complain"),
        (("open", "{session}", "{file}", "--amount", "41", *by("payer")), "the seller has 40 AIT of it"),
        (("open", "xyz", "{file}", *by("payer")), "neither a session"),
        (("open", "{session}", "{file}", *(("--receipt", "ab" * 32) * 17), *by("payer")), "16 receipts"),
    ],
)
def test_wrong_input_sends_nothing(court: Court, arguments: tuple[str, ...], words: str) -> None:
    before = court.chain.header
    file = str(court.folder / "evidence")
    result = court.run("dispute", *(part.format(session=court.session, file=file) for part in arguments))
    assert (result.exit_code, words in result.stderr) == (Exit.USAGE, True), result.stderr
    assert court.chain.header is before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("dispute", "show", "7"), "there is no case 7"),
        (("dispute", "accept", "7", *by("payer")), "there is no case 7"),
        (("dispute", "open", "ab" * 32, "{file}", *by("payer")), "is not there"),
        (("dispute", "open", "5", "{file}", *by("payer")), "subscription 5 is not there"),
        (("arbiter", "stake", "99", *by("payer")), "100 AIT at stake are the least"),
        (("campaign", "stake", "9", *by("payer")), "10 AIT at stake are the least"),
        (("arbiter", "stake", "1000000", *by("payer")), "nothing was sent"),
    ],
)
def test_what_the_chain_would_refuse_is_not_sent_and_costs_nothing(
    court: Court, arguments: tuple[str, ...], words: str
) -> None:
    before = court.chain.free("payer")
    result = court.run(*(part.format(file=court.folder / "evidence") for part in arguments))
    assert (result.exit_code, words in result.stderr) == (Exit.REFUSED, True), result.stderr
    assert court.chain.free("payer") == before


def test_the_least_stakes_that_commands_tell_are_those_of_the_chain() -> None:
    assert (arbiter.LEAST, campaign_attest.LEAST) == (arbiters.STAKE_MIN, rewards.STAKE_MIN)


def test_a_name_that_is_no_key_is_said_to_be_none(court: Court) -> None:
    result = court.run("dispute", "list", "--buyer", "till")
    assert (result.exit_code, "no key is kept under that name" in result.stderr) == (Exit.USAGE, True)


def test_an_award_is_a_part(court: Court) -> None:
    for part in ("-1", "100.01", "0.001", "nan"):
        seed = str(court.folder / "seed")
        result = court.run("arbiter", "judge", "--seed-file", seed, "--award", "1", part, *by("judge-1"))
        assert result.exit_code == Exit.USAGE, result.output


def test_keys_are_known_to_the_chain() -> None:
    assert {account(who) for who in JUDGES} == {pair(who).public for who in JUDGES}
