"""`aitoken name` and `aitoken transfer @name` against the whole runtime: people see whom they pay, or pay nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from click.testing import Result

from aitoken.crypto import ss58
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AIT
from chain.pallets.ai import attest_types as t
from chain.pallets.ai.attest import uid_of
from cli.exits import Exit
from tests.support.memory_node import MemoryNode, command_line
from tests.support.pay_chain import PayChain, account

Run = Callable[..., Result]
BY_PAYER = ("--from", "//payer", "--type", "ed25519")
BY_OTHER = ("--from", "//other", "--type", "ed25519")
BY_ROOT = ("--from", "//root", "--type", "ed25519")
PROOF = "0x" + "ab" * 32


@pytest.fixture
def chain() -> PayChain:
    return PayChain()


@pytest.fixture
def aitoken(chain: PayChain) -> Run:
    return command_line(MemoryNode(chain))


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return msgspec.json.decode(result.stdout)


def address(who: str) -> str:
    return ss58.encode(account(who))


def pay(aitoken: Run, to: str, *options: str) -> Result:
    return aitoken("transfer", "//other", to, "5", "--type", "ed25519", *options)


def test_a_name_is_registered_shown_and_paid(aitoken: Run, chain: PayChain) -> None:
    assert "is nobody's" in aitoken("name", "show", "golden").stdout
    assert aitoken("name", "register", "Golden", "--years", "2", *BY_PAYER).exit_code == 0
    told = answer(aitoken("name", "show", "@golden", "--output", "json"))
    assert (told["owner"], told["state"], told["target"]) == (address("payer"), "in use", ["Account", address("payer")])
    before = chain.free("payer")

    result = pay(aitoken, "@golden")

    assert result.exit_code == 0, result.output
    assert "@golden: not verified" in result.stderr
    assert chain.free("payer") == before + 5 * AIT
    assert answer(aitoken("balance", "@golden", "--output", "json"))["free"] == chain.free("payer")
    assert aitoken("balance", "@golden", "--light", "--checkpoint", "0x" + "00" * 32).exit_code == Exit.USAGE
    assert "cannot be registered: @golden looks like it" in aitoken("name", "show", "g0lden").stdout
    before = chain.header.number
    for name, said in (("g0lden", "@golden looks like it"), ("golden", "is somebody's")):
        refused = aitoken("name", "register", name, *BY_OTHER)
        assert (refused.exit_code, said in refused.stderr) == (Exit.REFUSED, True)
    assert chain.header.number == before, "nothing was sent"


def test_a_name_means_what_its_owner_says_and_goes_to_whom_it_is_given(aitoken: Run, chain: PayChain) -> None:
    aitoken("name", "register", "golden", *BY_PAYER)
    for means, shown in ((address("owner"), f"account {address('owner')}"), ("provider:7", "provider 7"),
                         ("split:3", "split 3")):  # fmt: skip
        assert aitoken("name", "target", "golden", means, *BY_PAYER).exit_code == 0
        assert f"means   {shown}" in aitoken("name", "show", "golden").stdout
    assert pay(aitoken, "@golden").exit_code == Exit.USAGE, "a split is no account"
    refused = aitoken("name", "transfer", "golden", "//other", *BY_OTHER)
    assert (refused.exit_code, "Names.NotOwner" in refused.stderr) == (Exit.REFUSED, True)
    assert aitoken("name", "transfer", "golden", address("other"), *BY_PAYER).exit_code == 0
    assert aitoken("name", "renew", "golden", *BY_PAYER).exit_code == 0
    assert f"owner   {address('other')}" in aitoken("name", "show", "golden").stdout
    assert aitoken("name", "release", "golden", *BY_OTHER).exit_code == 0
    assert "is nobody's" in aitoken("name", "show", "golden").stdout


@pytest.mark.parametrize("subject", ["@golden", "payer", "owner"])
def test_who_is_warned_of_is_paid_only_by_who_insists(aitoken: Run, chain: PayChain, subject: str) -> None:
    aitoken("name", "register", "golden", *BY_PAYER)
    aitoken("name", "target", "golden", address("owner"), *BY_PAYER)
    about = subject if subject.startswith("@") else address(subject)
    warned = aitoken("name", "warn", about, "--danger", "Phishing", "--evidence", PROOF, *BY_ROOT)
    assert warned.exit_code == 0, warned.output
    assert "Phishing" in aitoken("name", "show", "golden").stdout
    before = chain.free("owner")

    refused = pay(aitoken, "@golden")

    assert refused.exit_code == Exit.REFUSED
    assert "Phishing" in refused.stderr
    assert chain.free("owner") == before
    assert pay(aitoken, "@golden", "--despite-warning").exit_code == 0
    assert chain.free("owner") == before + 5 * AIT
    assert aitoken("name", "warn", about, *BY_ROOT).exit_code == 0
    assert pay(aitoken, "@golden").exit_code == 0


def test_only_root_warns_and_a_refused_warning_is_no_success(aitoken: Run) -> None:
    aitoken("name", "register", "golden", *BY_PAYER)
    assert aitoken("name", "warn", "@golden", "--evidence", PROOF, *BY_OTHER).exit_code == Exit.REFUSED
    nothing = aitoken("name", "warn", "@silver", "--evidence", PROOF, *BY_ROOT)
    assert (nothing.exit_code, "Names.NoName" in nothing.stderr) == (Exit.REFUSED, True)


def test_an_impersonator_loses_its_name_to_whose_it_is(aitoken: Run, chain: PayChain) -> None:
    aitoken("name", "register", "golden", *BY_OTHER)
    aitoken("name", "challenge", "golden", "--evidence", PROOF, *BY_PAYER)
    assert aitoken("name", "rule", "golden", "--right", *BY_OTHER).exit_code == Exit.REFUSED
    assert aitoken("name", "rule", "golden", "--right", *BY_ROOT).exit_code == 0
    assert "@golden: frozen" in aitoken("name", "show", "golden").stdout
    assert pay(aitoken, "@golden").exit_code == Exit.REFUSED
    assert aitoken("name", "reserve", "golden", "--for", address("payer"), *BY_ROOT).exit_code == 0
    before = chain.header.number
    refused = aitoken("name", "register", "golden", *BY_OTHER)
    assert (refused.exit_code, "is reserved" in refused.stderr) == (Exit.REFUSED, True)
    refused = aitoken("name", "register", "g0lden", *BY_PAYER)
    assert (refused.exit_code, "is reserved" in refused.stderr) == (Exit.REFUSED, True)
    assert chain.header.number == before, "nothing was sent"
    assert aitoken("name", "register", "golden", *BY_PAYER).exit_code == 0
    assert aitoken("name", "reserve", "golden", "silver", "--lift", *BY_ROOT).exit_code == 0


def vouch(chain: PayChain, subject: Any) -> list[str]:
    """Have two issuers attest a domain; the identities of what they said."""
    chain.run("owner", "Attest.register_schema", b"domain", bytes(32), t.Class.Domain)
    said = t.Statement(0, subject, blake2_256(b"golden.example"), chain.time_ms + 10**9, None)
    for who in ("owner", "operator"):
        chain.run(who, "Attest.register_issuer", t.Class.Domain, 100 * AIT, bytes(32))
        verdict = chain.schema.make_call("Attest.judge_issuer", account(who), t.Class.Domain, t.Accept(1), bytes(32))
        chain.run("root", "Sudo.sudo", verdict)
        chain.run(who, "Attest.attest", [said], None)
    return ["0x" + uid_of(account(who), said).hex() for who in ("owner", "operator")]


def test_a_domain_that_two_issuers_attest_is_shown_until_an_issuer_loses_its_word(
    aitoken: Run, chain: PayChain
) -> None:
    aitoken("name", "register", "golden", *BY_PAYER)
    uids = [part for uid in vouch(chain, t.OfAccount(account("payer"))) for part in ("--attestation", uid)]
    assert aitoken("name", "verify", "golden", "Other.example", *uids, *BY_OTHER).exit_code == Exit.REFUSED
    shown = aitoken("name", "verify", "golden", "Golden.Example.", *uids, *BY_OTHER)
    assert shown.exit_code == 0, shown.output
    assert "verified: golden.example" in aitoken("name", "show", "golden").stdout
    assert "verified, golden.example" in pay(aitoken, "@golden").stderr
    assert aitoken("name", "verify", "golden", *BY_OTHER).exit_code == Exit.REFUSED
    chain.run("operator", "Attest.leave", t.Class.Domain)
    assert "not verified" in pay(aitoken, "@golden").stderr
    assert aitoken("name", "verify", "golden", *BY_OTHER).exit_code == 0
    assert "not verified" in aitoken("name", "show", "golden").stdout


def test_a_challenge_and_an_appeal(aitoken: Run, chain: PayChain, tmp_path: Any) -> None:
    aitoken("name", "register", "golden", *BY_PAYER)
    file = tmp_path / "proof.txt"
    file.write_text("the trade mark is ours")
    assert aitoken("name", "challenge", "golden", "--evidence", str(file), *BY_OTHER).exit_code == 0
    assert "@golden: disputed" in aitoken("name", "show", "golden").stdout
    assert "disputed" in pay(aitoken, "@golden").stderr
    aitoken("name", "warn", "@golden", "--evidence", PROOF, *BY_ROOT)
    appeal = ("name", "challenge", "warning:@golden", "--evidence", PROOF)
    assert aitoken(*appeal, *BY_OTHER).exit_code == Exit.REFUSED
    assert aitoken(*appeal, *BY_PAYER).exit_code == 0
    assert "under appeal" in aitoken("name", "show", "golden").stdout
    assert aitoken("name", "challenge", "golden", "--evidence", "/nowhere", *BY_OTHER).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [
        ("@gοlden", Exit.USAGE, "this is not @golden but looks like it"),
        ("@g0lden", Exit.REFUSED, "there is no @g0lden; @golden looks like it"),
        ("@silver", Exit.REFUSED, "there is no @silver"),
        ("@a", Exit.USAGE, "is no name"),
    ],
)
def test_a_look_alike_gets_nothing(aitoken: Run, chain: PayChain, to: str, code: Exit, said: str) -> None:
    aitoken("name", "register", "golden", *BY_PAYER)
    before = chain.free("other")

    result = pay(aitoken, to)

    assert result.exit_code == code
    assert said in result.stderr
    assert chain.free("other") == before
