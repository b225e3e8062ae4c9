"""Names: no two that look alike, nobody is faster, clones and impersonators are visible, and it all ends by itself."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitoken.crypto.hashing import blake2_256
from aitoken.names import LENGTH_MAX, SKELETON_MAX, commitment_of, is_name, skeleton_of
from aitoken.types import AccountId, BlockNumber, Hash32
from chain.frame.errors import BadOrigin, DispatchError, FundsUnavailable, NoProviders
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.attest_types import OfAccount as Attested
from chain.pallets.ai.attest_types import OfProvider as AttestedProvider
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.names import Names
from chain.pallets.ai.names_storage import (
    APPEAL_STEPS,
    BOND_SIZE,
    CHALLENGE_STEPS,
    COMMIT_BLOCKS,
    COMMIT_MS,
    COMMITMENT_BYTES,
    GRACE_MS,
    NAME_BYTES,
    RENT,
    SWEPT_A_BLOCK,
    WARNING_MS,
    YEAR_MS,
    YEARS_MAX,
)
from chain.pallets.ai.names_types import (
    Alike,
    Badge,
    Danger,
    Everybody,
    For,
    Found,
    NameCase,
    Nobody,
    OfAccount,
    OfName,
    OfProvider,
    Subject,
    Vouched,
    Warned,
    WarningCase,
)
from chain.pallets.ai.pay_types import ToAccount, ToProvider
from tests.support.earn_chain import EarnChain
from tests.support.names import SALT, commit, leap, register
from tests.support.spending_chain import account, ait, rows

Error = Names.Error
PROOF = Hash32(b"p" * 32)
KEPT = deposit(NAME_BYTES)
STEP = 60_000
CHALLENGED = CHALLENGE_STEPS * STEP
APPEALED = APPEAL_STEPS * STEP


def raise_(error: Exception) -> None:
    raise error


def kinds(told: list[Any]) -> list[str]:
    return [type(each).__name__ for each in told]


def refused(chain: EarnChain, error: type[DispatchError], who: str, name: str, *args: Any) -> None:
    """It fails by this name and leaves nothing."""
    before = chain.machine.store.changes()
    with pytest.raises(error):
        chain.run(who, name, *args)
    assert chain.machine.store.changes() == before


# ------------------------------------------------------------------------------------------------- what a name is


@pytest.mark.parametrize("name", [b"abc", b"gpt-5", b"a1b", b"a" * LENGTH_MAX, b"open-weights-4-all"])
def test_this_may_be_a_name(name: bytes) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [b"", b"ab", b"a" * (LENGTH_MAX + 1), b"Abc", b"1abc", b"-abc", b"abc-", b"a--b", b"a_b", b"a.b", b"a b", b"abc\n",
     "аbс".encode(), b"xn--80ak6aa"],
)  # fmt: skip
def test_this_may_be_no_name(name: bytes) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [(b"openai", b"0penai"), (b"openai", b"open-ai"), (b"paypal", b"paypa1"), (b"paypal", b"paypai"),
     (b"amazon", b"arnazon"), (b"wise", b"vvise"), (b"cloud", b"c1oud"), (b"dali", b"c1a1l"), (b"mind", b"rn1n-d")],
)  # fmt: skip
def test_names_that_look_alike_have_one_skeleton(one: bytes, other: bytes) -> None:
    assert skeleton_of(one) == skeleton_of(other)


def test_names_that_do_not_look_alike_have_skeletons_of_their_own() -> None:
    names = [b"openai", b"opena", b"anthropic", b"mistral", b"gpt5", b"gpts", b"alice", b"bob", b"data", b"date"]
    for one, other in combinations(names, 2):
        assert skeleton_of(one) != skeleton_of(other)
    assert len(skeleton_of(b"m" * LENGTH_MAX)) == SKELETON_MAX


@given(st.from_regex(rb"[a-z0-9-]{0,32}", fullmatch=True), st.from_regex(rb"[a-z0-9-]{0,32}", fullmatch=True))
def test_skeletons_are_made_of_parts_and_looking_twice_changes_nothing(one: bytes, other: bytes) -> None:
    assert skeleton_of(one + other) == skeleton_of(one) + skeleton_of(other)
    assert skeleton_of(skeleton_of(one)) == skeleton_of(one)


# ------------------------------------------------------------------------------------------------- having a name


def test_who_committed_to_a_name_registers_it_and_it_names_its_owner() -> None:
    chain = EarnChain()
    commit(chain, "alice", b"weather-oracle", COMMIT_BLOCKS - 1)
    refused(chain, Error.TooEarly, "alice", "Names.register", b"weather-oracle", 2, SALT)
    chain.system.number.put(BlockNumber(chain.system.number.get() + 1))

    told = chain.run("alice", "Names.register", b"weather-oracle", 2, SALT)[-1]

    assert (told.name, told.owner, told.rent) == (b"weather-oracle", account("alice"), 2 * RENT)
    assert told.expires == chain.now + 2 * YEAR_MS
    assert chain.names.target_of(b"weather-oracle") == ToAccount(account("alice"))
    assert chain.names.target_of(b"weatheroracle") is None
    assert chain.free("alice") == ait(1000) - 2 * RENT - KEPT, "the deposit of the commitment is back"
    assert chain.balances.total_issuance.get() == chain.issuance - 2 * RENT, "the rent is burned"
    assert not rows(chain.names.commitments)
    chain.check()


@pytest.mark.parametrize(("name", "times"), [(b"abc", 20), (b"abcd", 5), (b"abcde", 1), (b"a" * LENGTH_MAX, 1)])
def test_short_names_are_dearer(name: bytes, times: int) -> None:
    chain = EarnChain()
    assert register(chain, "alice", name, 3)[-1].rent == 3 * times * RENT


def test_whoever_sees_a_registration_in_the_pool_is_too_late() -> None:
    """A copied commitment is another's; an own one is too young before the first has counted."""
    chain = EarnChain()
    chain.run("eve", "Names.commit", commitment_of(account("alice"), SALT, b"golden"))
    commit(chain, "alice", b"golden")
    refused(chain, Error.NotCommitted, "eve", "Names.register", b"golden", 1, SALT)
    chain.run("eve", "Names.commit", commitment_of(account("eve"), SALT, b"golden"))
    for _ in range(COMMIT_BLOCKS - 1):
        refused(chain, Error.TooEarly, "eve", "Names.register", b"golden", 1, SALT)
        chain.system.number.put(BlockNumber(chain.system.number.get() + 1))

    chain.run("alice", "Names.register", b"golden", 1, SALT)

    chain.system.number.put(BlockNumber(chain.system.number.get() + 1))
    refused(chain, Error.Taken, "eve", "Names.register", b"golden", 1, SALT)
    chain.check()


def test_a_commitment_counts_for_a_day_and_there_is_one_at_a_time() -> None:
    chain = EarnChain()
    held = deposit(COMMITMENT_BYTES)
    commit(chain, "alice", b"golden")
    commit(chain, "alice", b"silver")
    assert chain.free("alice") == ait(1000) - held
    refused(chain, Error.NotCommitted, "alice", "Names.register", b"golden", 1, SALT)
    refused(chain, Error.NotCommitted, "alice", "Names.register", b"silver", 1, bytes(32))
    refused(chain, Error.NotCommitted, "bob", "Names.register", b"silver", 1, SALT)
    chain.set_time(chain.now + COMMIT_MS + 1)
    refused(chain, Error.TooLate, "alice", "Names.register", b"silver", 1, SALT)
    chain.run("alice", "Names.commit", None)
    assert chain.free("alice") == ait(1000)
    chain.check()


def test_what_looks_like_a_name_that_is_somebodys_is_refused_even_to_its_owner() -> None:
    chain = EarnChain()
    register(chain, "alice", b"claude")
    for who in ("eve", "alice"):
        for name in (b"c1aude", b"clau-de", b"ciaude", b"daude"):
            commit(chain, who, name)
            refused(chain, Error.Confusable, who, "Names.register", name, 1, SALT)
        commit(chain, who, b"claude")
        refused(chain, Error.Taken, who, "Names.register", b"claude", 1, SALT)
    register(chain, "eve", b"claudia")
    chain.check()


def test_bad_names_and_periods_are_refused_by_name() -> None:
    chain = EarnChain(money=200)
    for name, error in ((b"ab", Error.TooShort), (b"Abc", Error.BadName), (b"a--b", Error.BadName)):
        commit(chain, "alice", name)
        refused(chain, error, "alice", "Names.register", name, 1, SALT)
    commit(chain, "alice", b"abc")
    for years in (0, YEARS_MAX + 1):
        refused(chain, Error.BadPeriod, "alice", "Names.register", b"abc", years, SALT)
    refused(chain, FundsUnavailable, "alice", "Names.register", b"abc", 2, SALT)
    chain.run("alice", "Names.register", b"abc", 1, SALT)
    chain.check()


def test_only_the_owner_says_what_a_name_means_and_whose_it_is() -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    for call, *args in (
        ("Names.set_target", ToAccount(account("eve"))), ("Names.transfer", account("eve")), ("Names.release",),
    ):  # fmt: skip
        refused(chain, Error.NotOwner, "eve", call, b"golden", *args)
        refused(chain, Error.NoName, "alice", call, b"silver", *args)
    chain.run("alice", "Names.set_target", b"golden", ToProvider(7))
    assert chain.names.target_of(b"golden") == ToProvider(7)
    refused(chain, NoProviders, "alice", "Names.transfer", b"golden", AccountId(b"?" * 32))
    before = chain.free("alice")

    chain.run("alice", "Names.transfer", b"golden", account("bob"))

    assert chain.free("alice") == before, "the deposit goes along"
    assert chain.names.target_of(b"golden") == ToAccount(account("bob"))
    refused(chain, Error.NotOwner, "alice", "Names.release", b"golden")
    chain.check()
    chain.run("bob", "Names.release", b"golden")
    assert chain.free("bob") == ait(1000) + KEPT
    assert not rows(chain.names.names)
    chain.check()
    register(chain, "eve", b"go1den")


def test_an_expired_name_names_nobody_and_is_its_owners_for_the_grace() -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    chain.set_time(chain.now + YEAR_MS)
    assert chain.names.target_of(b"golden") is None
    refused(chain, Error.TooLate, "alice", "Names.set_target", b"golden", ToProvider(7))
    refused(chain, Error.TooLate, "alice", "Names.transfer", b"golden", account("bob"))
    chain.set_time(chain.now + GRACE_MS - 1)
    commit(chain, "eve", b"g0lden")
    refused(chain, Error.Confusable, "eve", "Names.register", b"g0lden", 1, SALT)
    refused(chain, Error.NotYet, "eve", "Names.settle", NameCase(b"golden"))
    chain.run("bob", "Names.renew", b"golden", 1)
    assert chain.names.target_of(b"golden") == ToAccount(account("alice"))
    refused(chain, Error.BadPeriod, "alice", "Names.renew", b"golden", YEARS_MAX)
    refused(chain, Error.BadPeriod, "alice", "Names.renew", b"golden", 0)

    chain.set_time(chain.now + YEAR_MS + 1)
    refused(chain, Error.TooLate, "alice", "Names.renew", b"golden", 1)
    commit(chain, "eve", b"g0lden")
    told = chain.run("eve", "Names.register", b"g0lden", 1, SALT)

    assert "Released" in kinds(told)
    assert chain.free("alice") == ait(1000) - RENT, "the deposit is back"
    assert [name for name, _ in chain.names.names.items()] == [b"g0lden"]
    chain.check()


def test_names_nobody_renewed_are_swept_a_few_a_block_or_by_anybody() -> None:
    chain = EarnChain()
    every = [f"name-{letter}".encode() for letter in "abcdefghjk"]
    for name in every:
        register(chain, "alice", name)
    chain.run("alice", "Names.renew", every[-1], 1)
    leap(chain, YEAR_MS + GRACE_MS + SLOT_MS)
    chain.run("eve", "Names.settle", NameCase(every[1]))
    chain.check()
    for left in range(8, 0, -SWEPT_A_BLOCK):
        assert len(rows(chain.names.names)) == 1 + left
        chain.wait(1)
        chain.check()
    assert [name for name, _ in chain.names.names.items()] == [every[-1]]
    leap(chain, YEAR_MS)
    chain.wait(1)
    assert not rows(chain.names.names)
    assert not rows(chain.names.agenda)
    assert chain.free("alice") == ait(1000) - 11 * RENT
    chain.check()


def test_what_the_sweep_cannot_do_stops_no_block_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    leap(chain, YEAR_MS + GRACE_MS + SLOT_MS)
    with monkeypatch.context() as broken:
        broken.setattr(chain.names, "_remove", lambda *_: raise_(FundsUnavailable()))
        chain.wait(1)
        chain.wait(1)
    assert rows(chain.names.names)
    chain.check()
    leap(chain, 2 * SLOT_MS)
    chain.wait(1)
    assert not rows(chain.names.names)
    chain.check()


# ------------------------------------------------------------------------------------------------- the committee


def test_a_reserved_name_and_its_look_alikes_are_for_one_account_or_nobody() -> None:
    chain = EarnChain()
    refused(chain, BadOrigin, "alice", "Names.reserve", [b"google"], Nobody())
    refused(chain, Error.BadName, "root", "Names.reserve", [b"google", b"Google"], Nobody())
    chain.run("root", "Names.reserve", [b"google", b"treasury"], Nobody())
    chain.run("root", "Names.reserve", [b"mistral"], For(account("bob")))
    for who, name in (("alice", b"g00gle"), ("alice", b"treasury"), ("eve", b"mistral"), ("bob", b"mistra1")):
        commit(chain, who, name)
        refused(chain, Error.Reserved, who, "Names.register", name, 1, SALT)
    register(chain, "bob", b"mistral")
    chain.run("root", "Names.reserve", [b"google"], Everybody())
    register(chain, "alice", b"google")
    chain.check()


def test_an_impersonator_loses_the_name_its_deposit_and_the_rightful_owner_can_have_it() -> None:
    chain = EarnChain()
    register(chain, "eve", b"mistral-ai")
    chain.run("eve", "Names.set_target", b"mistral-ai", ToProvider(7))
    told = chain.run("bob", "Names.challenge", NameCase(b"mistral-ai"), PROOF)[-1]
    assert (told.who, told.bond, told.until) == (account("bob"), BOND_SIZE, chain.now + CHALLENGED)
    refused(chain, Error.UnderChallenge, "eve", "Names.transfer", b"mistral-ai", account("carol"))
    refused(chain, Error.UnderChallenge, "eve", "Names.release", b"mistral-ai")
    refused(chain, Error.UnderChallenge, "carol", "Names.challenge", NameCase(b"mistral-ai"), PROOF)
    assert chain.names.target_of(b"mistral-ai") == ToProvider(7), "until it is decided"
    refused(chain, BadOrigin, "bob", "Names.rule", NameCase(b"mistral-ai"), True)
    chain.check()

    chain.run("root", "Names.rule", NameCase(b"mistral-ai"), True)

    assert chain.names.target_of(b"mistral-ai") is None
    assert (chain.free("bob"), chain.free("eve")) == (ait(1000) + KEPT, ait(1000) - RENT - KEPT)
    for call, *args in (
        ("Names.set_target", ToProvider(7)), ("Names.transfer", account("bob")), ("Names.release",), ("Names.renew", 1),
        ("Names.mark_verified", None),
    ):  # fmt: skip
        refused(chain, Error.Frozen, "eve", call, b"mistral-ai", *args)
    refused(chain, Error.Frozen, "bob", "Names.challenge", NameCase(b"mistral-ai"), PROOF)
    refused(chain, Error.NoCase, "root", "Names.rule", NameCase(b"mistral-ai"), True)
    commit(chain, "eve", b"mistra1-ai")
    refused(chain, Error.Confusable, "eve", "Names.register", b"mistra1-ai", 1, SALT)
    chain.check()
    chain.run("root", "Names.reserve", [b"mistral-ai"], For(account("bob")))
    register(chain, "bob", b"mistral-ai")
    chain.check()


@pytest.mark.parametrize("decided", [True, False])
def test_a_challenge_that_is_not_right_pays_the_owner(decided: bool) -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    before = chain.free("alice")
    chain.run("eve", "Names.challenge", NameCase(b"golden"), PROOF)
    refused(chain, Error.NotYet, "eve", "Names.settle", NameCase(b"golden"))
    case = NameCase(b"golden")
    told = chain.run("root", "Names.rule", case, False) if decided else chain.wait(CHALLENGED + SLOT_MS)

    assert "Dismissed" in kinds(told)
    assert (chain.free("alice"), chain.free("eve")) == (before + BOND_SIZE, ait(1000) - BOND_SIZE)
    chain.run("alice", "Names.transfer", b"golden", account("bob"))
    chain.check()


def test_a_name_that_is_challenged_is_not_lost_by_time() -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    chain.set_time(chain.now + YEAR_MS - 1)
    chain.run("eve", "Names.challenge", NameCase(b"golden"), PROOF)
    chain.set_time(chain.now + GRACE_MS + 1)
    commit(chain, "carol", b"golden")
    refused(chain, Error.Taken, "carol", "Names.register", b"golden", 1, SALT)
    told = chain.run("carol", "Names.settle", NameCase(b"golden"))
    assert [kind for kind in kinds(told) if kind in ("Dismissed", "Released")] == ["Dismissed", "Released"]
    chain.check()


SAID = [Hash32(b"1" * 32), Hash32(b"2" * 32)]
DOMAIN = Vouched(b"golden.example", SAID)


def test_a_badge_shows_the_domain_that_is_attested_of_the_owner_and_goes_with_it() -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    refused(chain, Error.NotVouched, "alice", "Names.mark_verified", b"golden", DOMAIN)
    chain.vouchers.said[Attested(account("alice")), tuple(SAID)] = blake2_256(b"golden.example")
    for other in (Vouched(b"other.example", SAID), Vouched(b"", SAID), Vouched(b"golden.example", SAID[:1])):
        refused(chain, Error.NotVouched, "alice", "Names.mark_verified", b"golden", other)

    told = chain.run("eve", "Names.mark_verified", b"golden", DOMAIN)[-1]

    assert (told.owner, told.vouched) == (account("alice"), DOMAIN)
    assert chain.names.names.get(b"golden").badge == Badge(DOMAIN, chain.now)
    refused(chain, Error.NotOwner, "eve", "Names.mark_verified", b"golden", None)
    chain.run("alice", "Names.transfer", b"golden", account("bob"))
    assert chain.names.names.get(b"golden").badge is None
    refused(chain, Error.NotVouched, "eve", "Names.mark_verified", b"golden", DOMAIN)
    chain.check()


def test_a_badge_of_a_provider_is_there_while_the_name_means_it() -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    chain.vouchers.said[AttestedProvider(7), tuple(SAID)] = blake2_256(b"golden.example")
    refused(chain, Error.NotVouched, "alice", "Names.mark_verified", b"golden", DOMAIN)
    chain.run("alice", "Names.set_target", b"golden", ToProvider(7))
    chain.run("alice", "Names.mark_verified", b"golden", DOMAIN)
    chain.run("alice", "Names.set_target", b"golden", ToProvider(8))
    assert chain.names.names.get(b"golden").badge is None
    chain.check()


@pytest.mark.parametrize("who", ["alice", "root", "eve"])
def test_a_badge_is_taken_away_by_its_owner_by_root_and_by_anybody_once_it_is_not_true(who: str) -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    chain.vouchers.said[Attested(account("alice")), tuple(SAID)] = blake2_256(b"golden.example")
    chain.run("root", "Names.mark_verified", b"golden", DOMAIN)
    if who == "eve":
        chain.vouchers.said.clear()
    assert kinds(chain.run(who, "Names.mark_verified", b"golden", None)) == ["BadgeRemoved"]
    assert chain.names.names.get(b"golden").badge is None
    refused(chain, Error.NotOwner, "eve", "Names.mark_verified", b"golden", None)
    chain.check()


def test_who_looks_a_name_up_sees_all_there_is_to_know() -> None:
    chain = EarnChain()
    look, like = chain.names.look_up, chain.names.looks_like
    assert (look(b"golden"), like(b"golden")) == (None, None)
    register(chain, "alice", b"golden")
    expires, owner = chain.now + YEAR_MS, account("alice")
    plain = Found(owner, ToAccount(owner), expires, True, False, False, None, [])
    assert look(b"golden") == plain
    known = Alike(b"golden", owner)
    assert (look(b"g0lden"), like(b"g0lden"), like(b"golden")) == (None, known, known)

    chain.vouchers.said[Attested(owner), tuple(SAID)] = blake2_256(b"golden.example")
    chain.run("eve", "Names.mark_verified", b"golden", DOMAIN)
    chain.run("eve", "Names.challenge", NameCase(b"golden"), PROOF)
    subjects: list[Subject] = [OfName(b"golden"), OfAccount(owner)]
    for subject in (*subjects, OfAccount(account("bob"))):
        chain.run("root", "Names.warn", subject, Danger.Fraud, PROOF)
    chain.run("alice", "Names.challenge", WarningCase(subjects[1]), PROOF)
    until = chain.now + WARNING_MS
    warned = [Warned(subject, Danger.Fraud, PROOF, until, subject == subjects[1]) for subject in subjects]
    assert look(b"golden") == Found(owner, ToAccount(owner), expires, True, False, True, b"golden.example", warned)
    chain.vouchers.said.clear()
    assert look(b"golden").domain is None, "the word of the issuers counts no more"
    for target, subject in (
        (ToAccount(account("bob")), OfAccount(account("bob"))), (ToProvider(7), OfProvider(7)),
    ):  # fmt: skip
        chain.run("root", "Names.warn", subject, Danger.Fraud, PROOF)
        chain.run("alice", "Names.set_target", b"golden", target)
        assert [row.subject for row in look(b"golden").warnings] == [*subjects, subject]

    chain.run("root", "Names.rule", NameCase(b"golden"), True)
    assert (look(b"golden").usable, look(b"golden").frozen) == (False, True)
    chain.set_time(expires + GRACE_MS - 1)
    assert (look(b"golden").usable, like(b"g0lden")) == (False, known)
    chain.set_time(expires + GRACE_MS)
    assert like(b"g0lden") is None, "anybody may register it"


SUBJECTS: list[tuple[Subject, str]] = [
    (OfName(b"golden"), "alice"), (OfAccount(account("carol")), "carol"), (OfProvider(7), "operator"),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "whose"), SUBJECTS)
def test_a_warning_is_the_committees_ends_by_itself_and_whom_it_is_about_may_appeal(
    subject: Subject, whose: str
) -> None:
    chain = EarnChain()
    register(chain, "alice", b"golden")
    refused(chain, BadOrigin, "bob", "Names.warn", subject, Danger.Fraud, PROOF)
    refused(chain, Error.NoWarning, "root", "Names.warn", subject, Danger.Fraud, None)
    refused(chain, Error.NoName, "root", "Names.warn", OfName(b"silver"), Danger.Fraud, PROOF)
    told = chain.run("root", "Names.warn", subject, Danger.Phishing, PROOF)[-1]
    assert (told.danger, told.until) == (Danger.Phishing, chain.now + WARNING_MS)
    case = WarningCase(subject)
    for who in ("bob", "eve"):
        refused(chain, Error.NotOwner, who, "Names.challenge", case, PROOF)
    refused(chain, Error.NoCase, "root", "Names.rule", case, True)

    before = chain.free(whose)
    chain.run(whose, "Names.challenge", case, PROOF)
    refused(chain, Error.UnderChallenge, whose, "Names.challenge", case, PROOF)
    chain.run("root", "Names.warn", subject, Danger.Fraud, PROOF)
    chain.check()
    chain.run("root", "Names.rule", case, False)
    assert chain.free(whose) == before - BOND_SIZE, "it is burned"
    assert chain.names.warnings.get(subject).danger is Danger.Fraud
    chain.run(whose, "Names.challenge", case, PROOF)
    chain.run("root", "Names.rule", case, True)
    assert not rows(chain.names.warnings)
    refused(chain, Error.NoWarning, whose, "Names.challenge", case, PROOF)

    chain.run("root", "Names.warn", subject, Danger.Fraud, PROOF)
    chain.run(whose, "Names.challenge", case, PROOF)
    assert "Upheld" in kinds(chain.wait(APPEALED + SLOT_MS)), "nobody answered"
    assert not rows(chain.names.warnings)

    chain.run("root", "Names.warn", subject, Danger.Fraud, PROOF)
    refused(chain, Error.NotYet, "eve", "Names.settle", case)
    assert "WarningEnded" in kinds(chain.wait(WARNING_MS + SLOT_MS))
    chain.run("root", "Names.warn", subject, Danger.Fraud, PROOF)
    chain.run("root", "Names.warn", subject, Danger.Fraud, None)
    assert not rows(chain.names.warnings)
    assert chain.free(whose) == before - BOND_SIZE
    chain.check()


def test_who_is_warned_of_does_not_get_rid_of_it_by_letting_go_and_registering_again() -> None:
    chain = EarnChain()
    register(chain, "eve", b"golden")
    chain.run("root", "Names.warn", OfName(b"golden"), Danger.Fraud, PROOF)
    chain.run("eve", "Names.release", b"golden")
    register(chain, "eve", b"golden")
    assert chain.names.warnings.get(OfName(b"golden")) is not None
    chain.check()
