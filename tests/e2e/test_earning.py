"""Coupons and campaigns as people use them, on one running chain whose clock the tests put forward.

A campaign in full size: `make campaign PEOPLE=1000`.
"""

from __future__ import annotations

import asyncio
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from aitoken.client.campaigns import all_works
from aitoken.client.client import Client
from aitoken.crypto.derive import pair_from_uri
from aitoken.crypto.ss58 import encode
from aitoken.types import AIT
from cli.exits import Exit
from cli.main import main
from faults.campaign import run as play
from faults.campaign import skipping
from tests.support.devnet import AITOKEN, Net, environment, quick_chain, wait_final

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e"), pytest.mark.timeout(300)]

HOUR_MS = 3_600_000
NOBODY = encode(pair_from_uri("//Nobody").public)


@dataclass
class Place:
    """A node, and commands to it."""

    net: Net
    put_forward: Callable[[int], None]
    home: Path
    ahead: list[int] = field(default_factory=lambda: [0])
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *arguments: str) -> Result:
        given = [*arguments, "--url", self.net.url(0), "--output", "json"]
        return CliRunner().invoke(main, given, env={"HOME": str(self.home)})

    def told(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.exit_code == 0, (done.stderr, done.exception)
        return msgspec.json.decode(done.stdout)

    def alone(self, *arguments: str) -> Any:
        """What a command says that asks no node."""
        done = CliRunner().invoke(main, [*arguments, "--output", "json"], env={"HOME": str(self.home)})
        assert done.exit_code == 0, (done.stderr, done.exception)
        return msgspec.json.decode(done.stdout)

    def call(self, uri: str, pallet: str, name: str, *, root: bool = False, **arguments: Any) -> None:
        """Make a call for which there is no command, perhaps as root."""

        async def send() -> None:
            async with await Client.connect(self.net.url(0)) as client:
                made = client.call(pallet, name, **arguments)
                if root:
                    made = client.call("Sudo", "sudo", call=made)
                receipt = await client.submit(made, pair_from_uri(uri), wait="final")
                assert receipt.success, receipt
                assert not root or any(event.fields.get("sudo_result") == {"Ok": ()} for event in receipt.events)

        asyncio.run(send())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on; it ends with the test at the latest."""
        command = [*AITOKEN, *arguments, "--url", self.net.url(0)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment() | {"HOME": str(self.home)},
        )  # fmt: skip
        self.started.append(process)
        return process

    def wait_for_votes(self, campaign: int, count: int, good: Callable[[Any], bool]) -> None:
        """Wait until so many votes of a campaign are as they should be."""

        async def wait() -> None:
            async with await Client.connect(self.net.url(0)) as client:
                async for _ in client.subscribe_heads(final=False):
                    works = await all_works(client, campaign)
                    if sum(good(vote) for work in works for vote in work.facts["votes"]) == count:
                        return

        asyncio.run(wait())

    def wait_until_seated(self, submission: int, *judge: str) -> None:
        """Let an arbiter look at every head until it has drawn the panel on a challenge."""

        async def wait() -> None:
            async with await Client.connect(self.net.url(0)) as client:
                async for _ in client.subscribe_heads(final=False):
                    done = await asyncio.to_thread(self.told, *judge)
                    if submission in done["seated"]:
                        return

        asyncio.run(wait())

    def skip(self, ms: int) -> None:
        self.ahead[0] += ms
        self.put_forward(self.ahead[0])

    def skip_until(self, moment: int) -> None:
        """Put the clock forward so that the chain's is at least this."""

        async def wait() -> None:
            async with await Client.connect(self.net.url(0)) as client:
                self.skip(max(0, moment - await client.query("Timestamp", "Now")))
                while await client.query("Timestamp", "Now") < moment:
                    await asyncio.sleep(0.05)

        asyncio.run(wait())

    def pass_time(self, ms: int) -> None:
        """Put the clock forward so that the chain's is this much later than it is now."""

        async def now() -> int:
            async with await Client.connect(self.net.url(0)) as client:
                return int(await client.query("Timestamp", "Now"))

        self.skip_until(asyncio.run(now()) + ms)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("earning")
    net = Net.make(folder / "net", 1, quick_chain(folder, sessionBlocks=8))
    try:
        put_forward = net.start_rigged(0)
        asyncio.run(wait_final(net.url(0), 1))
        place = Place(net, put_forward, folder)
        yield place
        for process in place.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
    finally:
        net.close()


def test_coupons_are_printed_claimed_without_a_fee_once_and_taken_back(place: Place, tmp_path: Path) -> None:
    run, told = place.run, place.told
    file, by_alice = tmp_path / "summer.codes", ("--from", "//Alice")
    before = told("balance", "//Alice")
    made = told("coupon", "make", "5", "2", str(file), *by_alice)
    printed = told("coupon", "print", str(file), "--page", "https://example.org/claim")
    again = run("coupon", "make", "5", "2", str(file), *by_alice)
    code = tmp_path / "code"
    code.write_text(printed[3]["link"])
    code.chmod(0o600)
    claim = ("coupon", "claim", "--code-file", str(code), "--to", NOBODY)
    claimed, twice = told(*claim), run(*claim)
    helped = told("coupon", "claim", printed[1]["link"], "--to", NOBODY, "--from", "//Bob")
    standing = told("coupon", "status", str(file))
    gone = told("coupon", "cancel", str(file), *by_alice)
    after = told("balance", "//Alice")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [row["number"] for row in printed] == [1, 2, 3, 4, 5]
    assert (again.exit_code, "never overwritten" in again.stderr) == (Exit.USAGE, True)
    assert (claimed["index"], claimed["value"], "fee" in claimed) == (3, 2 * AIT, False)
    assert (helped["index"], helped["value"], helped["fee"] > 0) == (1, 2 * AIT, True)
    assert told("balance", NOBODY)["free"] == 4 * AIT
    assert (twice.exit_code, "[coupon.refused]" in twice.stderr) == (Exit.REFUSED, True)
    assert (standing["batch"], standing["used"], standing["unused"]) == (made["batch"], 2, 3)
    assert gone == {"batch": made["batch"], "void": 3, "closed": True}
    assert after["reserved"] == before["reserved"]
    paid = before["free"] - after["free"] - 4 * AIT
    assert 0 < paid < AIT // 10, "fees, and nothing but fees beside what was claimed"


def test_an_empty_account_is_shown_to_be_a_person_and_has_a_coupon_for_persons(place: Place, tmp_path: Path) -> None:
    told, alone, bob, method = place.told, place.alone, pair_from_uri("//Bob").public, bytes(32)
    rsa, request, codes = (str(tmp_path / name) for name in ("rsa.pem", "request", "codes"))
    newcomer = encode(pair_from_uri("//Newcomer").public)
    place.call("//Bob", "Attest", "register_issuer", **{"class": "Personhood", "stake": 100 * AIT, "method": method})
    verdict = {"issuer": bob, "class": "Personhood", "verdict": {"Accept": {"cap": 3}}, "evidence": method}
    place.call("//Alice", "Attest", "judge_issuer", root=True, **verdict)
    alone("person", "key", "--rsa-key", rsa)
    key = told("person", "publish", "--rsa-key", rsa, "--persons", "3", "--from", "//Bob")["key"]
    told("coupon", "make", "1", "2", codes, "--persons", "1", "--from", "//Alice")
    link = told("coupon", "print", codes, "--page", "https://example.org/claim")[0]["link"]

    too_early = place.run("coupon", "claim", link, "--to", newcomer)
    blinded = told("person", "ask", str(key), "--request", request)["blinded"]
    answer = alone("person", "sign", blinded, "--rsa-key", rsa)["answer"]
    told("person", "claim", answer, "--request", request, "--to", newcomer)
    told("coupon", "claim", link, "--to", newcomer)
    told("identity", "set", "--display", "New here", "--from", "//Newcomer")
    shown = told("identity", "show", newcomer)

    assert (too_early.exit_code, "Codes.NotPerson" in too_early.stderr) == (Exit.REFUSED, True)
    assert (shown["texts"], shown["person"]) == ({"display": "New here"}, 1)
    assert told("balance", newcomer)["reserved"] > 0


def test_who_is_invited_has_the_gift_and_becomes_a_member_brought_here_by_who_invites(place: Place) -> None:
    told = place.told
    alice, guest = (encode(pair_from_uri(uri).public) for uri in ("//Alice", "//Guest"))
    invitation = told("invite", "link", "1", "--page", "https://example.org/claim", "--from", "//Alice")["link"]
    claimed = told("coupon", "claim", invitation, "--to", guest)
    told("invite", "accept", invitation, "--from", "//Guest")
    mine, theirs = told("invite", "status", "//Alice"), told("invite", "status", "//Guest")
    collected = told("invite", "collect", "--from", "//Alice")

    assert invitation.endswith(f"~{alice}")
    assert claimed["value"] == AIT
    assert mine == {"address": alice, "member": False, "inviter": None, "invited": {guest: 0}}
    assert theirs == {"address": guest, "member": True, "inviter": alice, "invited": {}}
    assert collected == {"members": 0, "amount": 0}, "nothing was burned yet"


def test_a_campaign_is_made_worked_for_judged_by_a_check_paid_and_accounted_for(place: Place, tmp_path: Path) -> None:
    run, told = place.run, place.told
    task, works = tmp_path / "task.txt", tmp_path / "works"
    task.write_text("Write a line that contains the word good.")
    (good := tmp_path / "good.txt").write_text("a good line")
    (bad := tmp_path / "bad.txt").write_text("a line")
    create = (
        "campaign", "create", str(task), "--reward", "3", "--budget", "10", "--per-day", "3", "--step", "1h",
        "--from", "//Alice",
    )  # fmt: skip
    poor = run(*create, "--attester", "//Ferdie")
    told("campaign", "stake", "280", "--from", "//Eve")
    number = told(*create, "--attester", "//Eve")["campaign"]
    told("campaign", "join", str(number), "--from", "//Eve")
    grant = told("campaign", "hire", "//Eve//service", "--from", "//Eve")
    shown = told("campaign", "task", str(number), "--file", str(task))
    sent = [
        told("campaign", "submit", str(number), str(file), "--publish", str(works), "--from", who)
        for file, who in ((good, "//Bob"), (bad, "//Charlie"))
    ]
    again = told("campaign", "submit", str(number), str(good), "--publish", str(works), "--from", "//Bob")
    last = max(row["since"] for row in told("campaign", "report", str(number)))
    attest = (
        "campaign", "attest", str(number), "--works", str(works), "--check", "grep -q good", "--from",
        "//Eve//service", "--for", encode(pair_from_uri("//Eve").public), "--grant", str(grant["grant"]),
    )  # fmt: skip
    service = place.start(*attest, "--service", "--every", "0.1")
    place.skip_until(last + HOUR_MS)
    place.wait_for_votes(number, 2, lambda vote: True)
    place.skip_until(last + 2 * HOUR_MS)
    place.wait_for_votes(number, 2, lambda vote: vote["accepts"] is not None)
    service.send_signal(signal.SIGTERM)
    said = service.communicate(timeout=60)[1]
    once_more = told(*attest)
    early = told("campaign", "pay", str(number), "--from", "//Dave")
    place.skip_until(last + 4 * HOUR_MS)
    paid = told("campaign", "pay", str(number), "--from", "//Dave")
    ledger = told("campaign", "ledger", str(number), "--check")
    picture = tmp_path / "picture.svg"
    told("campaign", "report", str(number), "--plot", str(picture))
    ended = told("campaign", "end", str(number), "--from", "//Alice")

    assert (poor.exit_code, "[campaign.stakes_too_low]" in poor.stderr) == (Exit.REFUSED, True)
    assert "has 0 AIT at stake, and needs 280 AIT" in poor.stderr
    assert (shown["reward"], shown["left"], shown["open"]) == (3 * AIT, 10 * AIT, True)
    assert again == sent[0], "the same work is the same submission"
    numbers = [row["submission"] for row in sent]
    assert service.returncode == 0, said
    assert f"submission {numbers[0]}: accepted" in said
    assert f"submission {numbers[1]}: rejected" in said
    assert once_more == {"voted": [], "revealed": [], "silent": []}
    assert early["settled"] == 0
    assert paid == {"campaign": number, "settled": 2, "paid": 3 * AIT}
    assert (ledger["checked"], ledger["wrong"], ledger["left"], ledger["earned"]) == (True, [], 7 * AIT, 3 * AIT)
    bob = encode(pair_from_uri("//Bob").public)
    assert ledger["by_person"] == {bob: 3 * AIT}
    evidence = {row["who"]: (row["content"], row["yes"], row["no"]) for row in ledger["works"]}
    assert evidence[bob] == (sent[0]["content"], 1, 0)
    assert picture.read_text().startswith("<svg")
    assert (ended["pending"], ended["returned"]) == (0, 7 * AIT)


def test_a_fraud_that_a_bribed_attester_accepted_is_challenged_ruled_on_and_not_paid(
    place: Place, tmp_path: Path
) -> None:
    run, told, works = place.run, place.told, str(tmp_path / "works")
    judges, day = ("//Alice//stash", "//Bob", "//Ferdie"), 24 * HOUR_MS
    (task := tmp_path / "task.txt").write_text("Write a line that contains the word good.")
    (bad := tmp_path / "bad.txt").write_text("a line")
    (evidence := tmp_path / "evidence.txt").write_text("It does not contain the word.")
    told("transfer", "//Alice", "//Alice//stash", "150")
    for who in judges:
        told("arbiter", "stake", "100", "--from", who)
    told("transfer", "//Alice", "//Mallory", "500")
    create = (
        "campaign", "create", str(task), "--reward", "10", "--budget", "20", "--per-day", "1", "--step", "1h",
        "--vesting", "10d", "--attester", "//Mallory", "--from", "//Alice",
    )  # fmt: skip
    told("campaign", "stake", "350", "--from", "//Mallory")
    number = str(told(*create)["campaign"])
    told("campaign", "join", number, "--from", "//Mallory")
    fraud = told("campaign", "submit", number, str(bad), "--publish", works, "--from", "//Charlie")["submission"]
    since = told("campaign", "report", number)[0]["since"]
    accept = ("campaign", "attest", number, "--accept", str(fraud), "--from", "//Mallory")
    for hour in (1, 2):
        place.skip_until(since + hour * HOUR_MS)
        told(*accept)
    # The reward vests from the block that settled it, a little after the hour: one more hour makes two whole days sure.
    for time, due in ((since + 4 * HOUR_MS, 0), (since + 5 * HOUR_MS + 2 * day, 2 * AIT)):
        place.skip_until(time)
        assert told("campaign", "pay", number, "--from", "//Dave")["paid"] in range(due, due + AIT // 10)
    before = told("balance", "//Dave")["free"]

    challenged = told("campaign", "challenge", str(fraud), str(evidence), "--publish", works, "--from", "//Dave")
    meanwhile = told("campaign", "ledger", number, "--check")
    again = run("campaign", "challenge", str(fraud), str(evidence), "--from", "//Eve")
    check = ("arbiter", "judge", "--works", works, "--check", "grep -q good", "--from")
    place.wait_until_seated(fraud, *check, judges[0])
    (case,) = told("arbiter", "cases")
    judged = [told(*check, who)["judged"] for who in judges]
    place.pass_time(2 * day)
    opened = [told(*check, who)["unveiled"] for who in judges]
    place.pass_time(day)
    ruled = told("arbiter", "judge", "--from", "//Eve")["ruled"]
    after, standing = told("balance", "//Dave")["free"], told("campaign", "report", number)[0]
    ledger = told("campaign", "ledger", number, "--check")
    poor = told("campaign", "stake", "10", "--from", "//Mallory")["stake"]

    assert (challenged["bond"], again.exit_code) == (10 * AIT, Exit.REFUSED)
    assert (meanwhile["works"][0]["challenged"], meanwhile["wrong"]) == (True, [])
    assert set(case["panel"].split(", ")) == {encode(pair_from_uri(who).public) for who in judges}
    assert (case["submission"], case["stand"]) == (fraud, "the panel judges")
    assert (judged, opened, ruled) == ([[fraud]] * 3, [[fraud]] * 3, [fraud])
    assert (standing["state"], ledger["wrong"]) == ("over", [])
    assert ledger["earned"] in range(2 * AIT, 2 * AIT + AIT // 10)
    assert poor == 10 * AIT, "the attester has lost all it had at stake"
    assert after > before + 15 * AIT, "the challenger has half of a tenth of that"
    assert told("campaign", "pay", number, "--from", "//Dave")["settled"] == 0


def test_of_many_people_the_honest_are_paid_once_and_the_ledger_is_the_chain_to_the_unit(place: Place) -> None:
    async def campaign() -> Any:
        async with await Client.connect(place.net.url(0)) as client:
            start = place.ahead[0]
            until = skipping(client, lambda ms: place.put_forward(start + ms))
            return await play(client, 14, HOUR_MS, until)

    _, outcome = asyncio.run(campaign())

    # Of 14: two copy, one bungles, one hides, one repeats, one nags, and for the last there is no money left.
    assert len(outcome.ledger.works) == 13
    assert (outcome.ledger.earned, outcome.ledger.left) == (9 * AIT, 4 * AIT)
    assert outcome.refused == {
        "Rewards.Duplicate": 2, "Rewards.PersonCapReached": 1, "Rewards.BudgetExhausted": 1, "Rewards.NothingDue": 2,
    }  # fmt: skip
