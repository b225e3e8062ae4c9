"""`aitoken identity` and `aitoken person` against the whole runtime: what people say, see and prove of themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from aitoken.client.identities import keep, kept
from aitoken.credentials import Request
from aitoken.crypto import ss58
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AIT, Hash32
from chain.pallets.ai import attest_types as t
from chain.pallets.identity_types import SUBS_MAX, text
from cli.exits import Exit
from tests.support.identity_chain import KEYS, METHOD
from tests.support.memory_node import MemoryNode, command_line
from tests.support.pay_chain import PayChain, account

Run = Callable[..., Result]
HOLDER = account("nobody at all")


def by(who: str) -> tuple[str, ...]:
    return ("--from", f"//{who}", "--type", "ed25519")


@pytest.fixture
def chain() -> PayChain:
    return PayChain()


@pytest.fixture
def aitoken(chain: PayChain) -> Run:
    return command_line(MemoryNode(chain))


def good(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def shown(aitoken: Run, who: str) -> Any:
    return msgspec.json.decode(good(aitoken("identity", "show", who, "--output", "json")))


def address(who: str) -> str:
    return ss58.encode(account(who))


def test_an_identity_is_set_changed_shown_judged_and_cleared(aitoken: Run, chain: PayChain) -> None:
    payer = address("payer")
    assert "says nothing of itself" in good(aitoken("identity", "show", payer))
    good(aitoken("identity", "set", "--display", "Paying Paul", "--web", "https://paul", *by("payer")))
    good(aitoken("identity", "set", "--web", "", "--github", "paul", "--pgp", "0x" + "ab" * 20, *by("payer")))
    found = shown(aitoken, payer)
    assert found["texts"] == {"display": "Paying Paul", "github": "paul", "pgp_fingerprint": "ab" * 20}
    chain.run("root", "Sudo.sudo", chain.schema.make_call("Identity.add_registrar", account("other")))
    chain.run("other", "Identity.set_fee", 0, AIT)
    good(aitoken("identity", "ask", "0", "--max-fee", "1", *by("payer")))
    assert shown(aitoken, payer)["judgements"] == [[0, "FeePaid"]]
    old = aitoken("identity", "judge", payer, "KnownGood", "--registrar", "0", "--hash", "0x" + "00" * 32, *by("other"))
    assert (old.exit_code, "Identity.JudgementForDifferentIdentity" in old.stderr) == (Exit.REFUSED, True)
    good(aitoken("identity", "judge", payer, "KnownGood", "--registrar", "0", "--hash", found["hash"], *by("other")))
    assert "KnownGood by registrar 0" in good(aitoken("identity", "show", payer))
    good(aitoken("identity", "clear", *by("payer")))
    assert "says nothing of itself" in good(aitoken("identity", "show", payer))


def test_accounts_below_another_show_whose_they_are(aitoken: Run, chain: PayChain) -> None:
    good(aitoken("identity", "set", "--display", "Owner", *by("owner")))
    chain.run("owner", "Identity.set_subs", [(account("payout"), text("till"))])
    assert f"{address('owner')} as till" in good(aitoken("identity", "show", address("payout")))
    assert shown(aitoken, address("owner"))["accounts"] == [address("payout")]
    assert SUBS_MAX > 1


def test_issuers_vouch_by_commands_and_it_is_shown_whether_that_counts(
    aitoken: Run, chain: PayChain, tmp_path: Path
) -> None:
    domain, method, by_root = blake2_256(b"example.org"), tmp_path / "method", by("root")
    method.write_text("how we look at domains")
    verdict = ("--evidence", str(method))
    for who in ("other", "stranger"):
        good(aitoken("issuer", "register", "domain", "100", "--method", str(method), *by(who)))
        good(aitoken("issuer", "judge", address(who), "Domain", "accept", *verdict, *by_root))
    told = good(aitoken("issuer", "schema", "a domain", "--class", "Domain", "--fields", str(method), *by("owner")))
    assert told.strip() == "schema 0"
    uids = {}
    for who in ("other", "stranger"):
        for about in ("provider:1", address("owner"), f"hash:{METHOD.hex()}"):
            said = ("issuer", "attest", "0", about, "--domain", "Example.org.")
            uids[who, about] = good(aitoken(*said, *by(who))).strip()
    told = good(aitoken("identity", "show", "provider:1"))
    assert f"0x{domain.hex()}, two issuers agree" in told
    assert f"a domain (Domain) by {address('other')}" in told
    assert len(shown(aitoken, address("owner"))["attestations"]) == 2

    suspended = aitoken("issuer", "judge", address("other"), "Domain", "suspend", *verdict, *by_root)
    assert suspended.exit_code == 0, suspended.output
    told = good(aitoken("identity", "show", "provider:1"))
    assert "agree" not in told
    assert "does not count" in told
    good(aitoken("issuer", "revoke", "provider:1", uids["stranger", "provider:1"], *by("stranger")))
    assert "revoked" in good(aitoken("identity", "show", "provider:1"))
    good(aitoken("issuer", "judge", address("other"), "Domain", "slash", "--amount", "1", *verdict, *by_root))
    assert "the stake waits" in good(aitoken("issuer", "leave", "Domain", *by("other")))
    early = aitoken("issuer", "leave", "Domain", *by("other"))
    assert (early.exit_code, "Attest.NotYet" in early.stderr) == (Exit.REFUSED, True)
    missing = aitoken("issuer", "judge", address("payer"), "Domain", "suspend", *verdict, *by_root)
    assert missing.exit_code == Exit.REFUSED


def test_a_person_asks_an_issuer_and_its_empty_account_counts_once(
    aitoken: Run, chain: PayChain, tmp_path: Path
) -> None:
    chain.run("other", "Attest.register_issuer", t.Class.Personhood, 100 * AIT, METHOD)
    judge = chain.schema.make_call("Attest.judge_issuer", account("other"), t.Class.Personhood, t.Accept(5), METHOD)
    chain.run("root", "Sudo.sudo", judge)
    rsa, request = tmp_path / "rsa.pem", tmp_path / "request"
    rsa.write_bytes(KEYS[0].pem())
    told = good(aitoken("person", "publish", "--rsa-key", str(rsa), "--persons", "5", *by("other")))
    assert "key 0 lets in 5 persons" in told
    blinded = good(aitoken("person", "ask", "0", "--request", str(request))).strip()
    assert request.stat().st_mode & 0o077 == 0
    answer = good(aitoken("person", "sign", blinded, "--rsa-key", str(rsa))).strip()
    to = ("--request", str(request), "--to", ss58.encode(HOLDER))

    wrong = aitoken("person", "claim", "0x" + "00" * 256, *to)
    assert (wrong.exit_code, "crypto.bad_blind_signature" in wrong.stderr) == (Exit.USAGE, True)
    assert "is a person" in good(aitoken("person", "claim", answer, *to))
    assert "1 issuer vouch" in good(aitoken("identity", "show", ss58.encode(HOLDER)))
    again = aitoken("person", "ask", "0", "--request", str(request))
    assert again.exit_code == Exit.USAGE, "a request is never overwritten"
    assert aitoken("person", "ask", "7", "--request", str(tmp_path / "other")).exit_code == Exit.REFUSED


def test_a_file_that_is_no_request_or_of_another_chain_is_refused_in_words(aitoken: Run, tmp_path: Path) -> None:
    file = tmp_path / "request"
    made = Request.make(Hash32(bytes(32)), 0, KEYS[0].modulus)
    good_one = keep(made).decode()
    short = good_one.replace(made.modulus.hex(), "00")
    for content in (
        "junk",
        "{}",
        "[1]",
        good_one.replace(made.nullifier.seed.hex(), "00"),
        short,
        good_one[:-9],
        good_one,
    ):
        file.write_text(content)
        result = aitoken("person", "claim", "0x" + "11" * 256, "--request", str(file), "--to", ss58.encode(HOLDER))
        assert result.exit_code == Exit.USAGE, result.output
        assert "Traceback" not in result.output
    assert kept(good_one.encode()).blinded == made.blinded


def test_an_issuers_key_is_made_once_and_for_its_owner_alone(aitoken: Run, tmp_path: Path) -> None:
    file = tmp_path / "rsa.pem"
    good(aitoken("person", "key", "--rsa-key", str(file)))
    assert file.stat().st_mode & 0o077 == 0
    assert aitoken("person", "key", "--rsa-key", str(file)).exit_code == Exit.USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("identity", "set", *by("payer")),
        ("identity", "set", "--display", "ü" * 17, *by("payer")),
        ("identity", "set", "--pgp", "abc", *by("payer")),
        ("identity", "show", "provider:x"),
        ("identity", "judge", address("payer"), "Reasonable", "--registrar", "0", "--hash", "0x12", *by("other")),
        ("issuer", "attest", "0", "provider:1", *by("other")),
        ("issuer", "attest", "0", "hash:12", "--domain", "a.org", *by("other")),
        ("issuer", "judge", address("other"), "Kyc", "slash", "--evidence", "0x" + "00" * 32, *by("root")),
        ("issuer", "register", "Kyc", "100", "--method", "/nonexistent", *by("other")),
        ("person", "sign", "zz", "--rsa-key", "/nonexistent"),
        ("person", "claim", "00", "--request", "/nonexistent", "--to", address("payer")),
        ("person", "publish", "--rsa-key", "/nonexistent", "--persons", "5", *by("other")),
    ],
)
def test_wrong_input_sends_nothing(aitoken: Run, chain: PayChain, arguments: tuple[str, ...]) -> None:
    before = chain.header
    result = aitoken(*arguments)
    assert result.exit_code == Exit.USAGE, result.output
    assert "Traceback" not in result.output
    assert chain.header is before
