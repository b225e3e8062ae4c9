"""Providers: registration, keys, bonds, services, immutable books with notice, and what a proved lie costs."""

from __future__ import annotations

import pytest

from aitoken.pay.book import ALWAYS, IN_ASSET, Book, Component, Price
from aitoken.pay.units import IMAGE
from aitoken.types import AIT
from chain.pallets.ai import providers_types as p
from tests.support.pay_chain import FREE, PayChain, account, book, terms

BOND = p.ProvidersHoldReason.Bond
DEPOSIT = p.ProvidersHoldReason.Deposit
DAY = 60_000  # the notice of this chain
UNBOND = 120_000


@pytest.fixture
def chain() -> PayChain:
    found = PayChain()
    found.begin()
    return found


def patch(
    operator: bytes | None = None,
    payout: bytes | None = None,
    endpoint: bytes | None = None,
    paused: bool | None = None,
) -> p.ProviderPatch:
    return p.ProviderPatch(operator, payout, endpoint, paused)  # type: ignore[arg-type]


def test_a_provider_has_a_bond_and_a_deposit_behind_it(chain: PayChain) -> None:
    number = chain.sell(bond=1_000)

    found = chain.providers.find(number)
    assert (found.owner, found.payout, found.bond) == (account("owner"), account("payout"), 1_000 * AIT)
    assert chain.held(BOND, "owner") == 1_000 * AIT
    assert chain.held(DEPOSIT, "owner") > 0
    chain.check_providers()
    assert chain.sell() == number + 1, "numbers are given once"
    chain.refused(
        "BondTooLow", "other", "Providers.register", account("operator"), account("payout"), b"", 1_000 * AIT - 1
    )
    chain.refused(
        "dispatch.token.funds_unavailable", "other", "Providers.register", account("operator"), account("payout"),
        b"", 10_000 * AIT,
    )  # fmt: skip


def test_the_payout_changes_after_the_notice_and_only_by_the_owner(chain: PayChain) -> None:
    number = chain.sell()
    chain.refused("NotOwner", "operator", "Providers.update", number, patch(payout=account("operator")))
    chain.refused("NotOwner", "stranger", "Providers.update", number, patch(paused=True))
    chain.refused("NoProvider", "owner", "Providers.update", 9, patch())

    chain.call("owner", "Providers.update", number, patch(payout=account("other")))
    chain.pass_time(DAY - 1)
    assert chain.providers.payout_of(number) == account("payout")
    chain.pass_time(1)
    assert chain.providers.payout_of(number) == account("other")
    chain.call("owner", "Providers.update", number, patch(payout=account("payer")))
    assert chain.providers.payout_of(number) == account("other"), "the change before it had come true"
    assert chain.providers.payout_of(9) is None


def test_the_operator_key_changes_at_once_and_the_old_one_stays_provable(chain: PayChain) -> None:
    number = chain.sell()
    chain.call("operator", "Providers.update", number, patch(operator=account("other"), endpoint=b"http://y"))

    assert chain.providers.is_run_by(number, account("other"))
    assert chain.providers.is_run_by(number, account("owner"))
    assert not chain.providers.is_run_by(number, account("operator"))
    assert chain.providers.keys_since(number, chain.now) == [account("other"), account("operator")]
    assert chain.providers.keys_since(number, chain.now + 30_001) == [account("other")]
    assert chain.providers.find(number).endpoint == b"http://y"
    chain.refused("NotOwner", "operator", "Providers.update", number, patch(paused=True))
    chain.refused("TooLong", "owner", "Providers.update", number, patch(endpoint=bytes(129)))

    for step in range(7):
        chain.call("owner", "Providers.update", number, patch(operator=bytes([step]) * 32))
    chain.refused("TooMany", "owner", "Providers.update", number, patch(operator=bytes([99]) * 32))
    chain.pass_time(151 * 86_400_000)
    chain.call("owner", "Providers.update", number, patch(operator=bytes([99]) * 32))
    assert len(chain.providers.find(number).former_keys) == 1


def test_anybody_may_bond_and_the_owner_gets_it(chain: PayChain) -> None:
    number = chain.sell()
    before = chain.free("other")
    chain.call("other", "Providers.bond", number, 70 * AIT)
    chain.call("owner", "Providers.bond", number, 30 * AIT)

    assert chain.free("other") == before - 70 * AIT
    assert chain.providers.find(number).bond == 5_100 * AIT
    chain.check_providers()
    chain.check_money()
    chain.refused("dispatch.token.funds_unavailable", "other", "Providers.bond", number, 10_000 * AIT)


def test_a_bond_leaves_after_its_time_and_not_below_the_least(chain: PayChain) -> None:
    number = chain.sell(bond=1_500)
    chain.refused("NotOwner", "operator", "Providers.unbond", number, AIT)
    chain.refused("BondTooLow", "owner", "Providers.unbond", number, 501 * AIT)
    chain.refused("NothingToWithdraw", "owner", "Providers.unbond", number, 0)
    chain.call("owner", "Providers.unbond", number, 500 * AIT)
    chain.refused("NothingToWithdraw", "owner", "Providers.withdraw", number)
    chain.check_providers()

    chain.call("owner", "Providers.update", number, patch(paused=True))
    chain.call("owner", "Providers.unbond", number, 1_000 * AIT)
    chain.refused("BondTooLow", "owner", "Providers.unbond", number, 1)
    chain.pass_time(UNBOND)
    free = chain.free("owner")
    chain.call("stranger", "Providers.withdraw", number)
    assert chain.free("owner") == free + 1_500 * AIT
    chain.check_providers()


def test_the_least_stays_while_sessions_are_open(chain: PayChain) -> None:
    number = chain.sell(bond=1_500)
    chain.providers.bind(number, 1)
    chain.call("owner", "Providers.update", number, patch(paused=True))
    for amount in (400, 200, 900):
        chain.call("owner", "Providers.unbond", number, amount * AIT)
    chain.pass_time(UNBOND)
    chain.call("owner", "Providers.withdraw", number)
    left = chain.providers.find(number)
    assert sum(chunk.amount for chunk in left.unbonding) + left.bond == 1_100 * AIT

    chain.providers.unbind(number, 1)
    chain.call("owner", "Providers.withdraw", number)
    assert chain.held(BOND, "owner") == 0
    chain.check_providers()


def test_only_eight_parts_leave_at_once(chain: PayChain) -> None:
    number = chain.sell()
    for _ in range(8):
        chain.call("owner", "Providers.unbond", number, AIT)
    chain.refused("TooMany", "owner", "Providers.unbond", number, AIT)


def test_a_dearer_book_needs_notice_and_a_cheaper_one_none(chain: PayChain) -> None:
    number = chain.sell(book(10))
    publish = "Providers.publish_book"
    chain.refused("NoticeTooShort", "operator", publish, number, [1], book(11), chain.now + DAY - 1)
    chain.call("operator", publish, number, [1], book(11), chain.now + DAY)
    service = chain.providers.services.get(1)
    assert chain.providers.book_of(service, chain.now) == 1
    assert chain.providers.book_of(service, chain.now + DAY) == 2

    chain.call("operator", publish, number, [1], book(9), 0)
    service = chain.providers.services.get(1)
    assert (service.book, service.next_book) == (3, None), "it takes the place of what was announced"
    chain.refused("NoticeTooShort", "operator", publish, number, [1], book(10), 0)

    chain.call("operator", publish, number, [1], book(20), chain.now + DAY)
    chain.pass_time(DAY)
    chain.call("operator", publish, number, [1], book(20), 0)
    assert chain.providers.prices_of(number, 1) == book(10), "what was published never changes"
    chain.check_providers()


def test_what_a_book_may_not_be(chain: PayChain) -> None:
    number = chain.sell()
    publish = "Providers.publish_book"
    twice = Component(IMAGE, Price(1, 0), 1, ALWAYS)
    chain.refused("BadBook", "owner", publish, number, [1], Book(IN_ASSET, [twice, twice], FREE, [], 0), 0)
    chain.refused("BadBook", "owner", publish, number, [1], book(1, scale=31), 0)
    chain.refused("NotOwner", "stranger", publish, number, [1], book(), 0)
    for services in ([], [1, 1], [2]):
        chain.refused("NoService", "owner", publish, number, services, book(), 0)
    other = chain.sell(bond=1_000)
    chain.refused("NoService", "owner", publish, other, [1], book(), 0)
    chain.refused("BadMoment", "owner", publish, number, [1], book(), chain.now + 366 * 86_400_000)
    chain.refused("NoBook", "owner", "Providers.retire", p.RetiredBook(number, 7))


def test_a_provider_has_a_bounded_number_of_books(chain: PayChain) -> None:
    number = chain.sell()
    for _ in range(63):
        chain.call("owner", "Providers.publish_book", number, [1], book(), 0)
    chain.refused("TooMany", "owner", "Providers.publish_book", number, [1], book(), 0)
    chain.call("stranger", "Providers.retire", p.RetiredBook(number, 1))
    chain.call("owner", "Providers.publish_book", number, [1], book(), 0)
    chain.check_providers()


def test_services_change_their_terms_and_leave_after_notice(chain: PayChain) -> None:
    number = chain.sell()
    chain.call("operator", "Providers.publish_service", number, 1, terms(b"demo-model@2"))
    assert chain.providers.services.get(1).terms.model == b"demo-model@2"
    chain.refused("NoService", "operator", "Providers.publish_service", number, 2, terms())
    chain.refused("NotOwner", "stranger", "Providers.publish_service", number, None, terms())

    chain.refused("NotOwner", "stranger", "Providers.retire", p.RetiredService(1))
    chain.refused("NoService", "owner", "Providers.retire", p.RetiredService(2))
    chain.call("operator", "Providers.retire", p.RetiredService(1))
    chain.refused("NoService", "operator", "Providers.publish_service", number, 1, terms())
    chain.providers.bind(number, 1)
    chain.providers.unbind(number, 1)
    chain.refused("StillNeeded", "stranger", "Providers.retire", p.RetiredService(1))
    chain.pass_time(DAY)
    with pytest.raises(chain.providers.Error.BookMismatch):
        chain.providers.bind(number, 1)
    chain.call("stranger", "Providers.retire", p.RetiredService(1))
    chain.check_providers()


def test_everything_goes_and_every_deposit_comes_back(chain: PayChain) -> None:
    before = chain.free("owner")
    number = chain.sell()
    retire = "Providers.retire"
    chain.refused("StillNeeded", "owner", retire, p.RetiredBook(number, 1))
    chain.refused("StillNeeded", "owner", retire, p.RetiredProvider(number))
    chain.call("operator", "Providers.publish_book", number, [1], book(9), chain.now + DAY)
    chain.refused("StillNeeded", "owner", retire, p.RetiredBook(number, 2))
    chain.call("owner", retire, p.RetiredService(1))
    chain.call("owner", "Providers.update", number, patch(paused=True))
    chain.call("owner", "Providers.unbond", number, 5_000 * AIT)
    chain.pass_time(UNBOND)
    for what in (p.RetiredService(1), p.RetiredBook(number, 1), p.RetiredBook(number, 2)):
        chain.call("stranger", retire, what)
    chain.refused("StillNeeded", "owner", retire, p.RetiredProvider(number))
    chain.call("owner", "Providers.withdraw", number)
    chain.call("stranger", retire, p.RetiredProvider(number))

    assert chain.free("owner") == before
    chain.check_providers()
    chain.refused("NoProvider", "owner", retire, p.RetiredProvider(number))


def test_sessions_bind_what_is_in_force_with_a_provider_that_takes_them(chain: PayChain) -> None:
    providers, error = chain.providers, chain.providers.Error
    number = chain.sell(book(10), bond=1_000)
    chain.call("operator", "Providers.publish_book", number, [1], book(9), 0)
    for version, wrong in ((1, error.BookMismatch), (3, error.NoBook)):
        with pytest.raises(wrong):
            providers.bind(number, version)
    providers.bind(number, 2)
    chain.refused("StillNeeded", "owner", "Providers.retire", p.RetiredBook(number, 2))
    chain.call("operator", "Providers.publish_book", number, [1], book(8), 0)
    chain.refused("StillNeeded", "owner", "Providers.retire", p.RetiredBook(number, 2))
    providers.unbind(number, 2)
    chain.call("owner", "Providers.retire", p.RetiredBook(number, 2))

    providers.slash(number, 0, account("payer"), account("other"))
    with pytest.raises(error.BondTooLow):
        providers.bind(number, 3)
    chain.call("owner", "Providers.update", number, patch(paused=True))
    with pytest.raises(error.Paused):
        providers.bind(number, 3)
    assert providers.stats.get(number).sessions == 1


@pytest.mark.parametrize(
    ("damage", "bond", "taken", "victim", "reporter"),
    [(0, 5_000, 10, 3, 2), (1, 5_000, 10, 4, 2), (100, 5_000, 500, 250, 100), (2_000, 5_000, 5_000, 3_500, 1_000)],
)
def test_a_slash_is_five_times_the_damage_or_ten_tokens_or_all(
    chain: PayChain, damage: int, bond: int, taken: int, victim: int, reporter: int
) -> None:
    number = chain.sell(bond=bond)
    before = {who: chain.free(who) for who in ("payer", "other")}
    issuance = chain.balances.total_issuance.get()

    assert chain.providers.slash(number, damage * AIT, account("payer"), account("other")) == taken * AIT

    assert chain.free("payer") - before["payer"] == victim * AIT
    assert chain.free("other") - before["other"] == reporter * AIT
    assert issuance - chain.balances.total_issuance.get() == (taken - victim - reporter) * AIT
    assert chain.providers.stats.get(number).slashed == taken * AIT
    chain.check_providers()
    chain.check_money()


def test_what_is_on_its_way_out_is_slashed_too_the_latest_first(chain: PayChain) -> None:
    number = chain.sell(bond=1_200)
    chain.call("owner", "Providers.update", number, patch(paused=True))
    for amount in (600, 300, 100):
        chain.call("owner", "Providers.unbond", number, amount * AIT)
    chain.providers.slash(number, 80 * AIT, account("payer"), account("other"))
    left = chain.providers.find(number)
    assert (left.bond, [chunk.amount for chunk in left.unbonding]) == (0, [600 * AIT, 200 * AIT])
    chain.check_providers()


def test_shares_for_accounts_that_cannot_take_them_are_burned(chain: PayChain) -> None:
    number = chain.sell()
    nobody = account("nobody")
    before = chain.balances.total_issuance.get()
    chain.providers.slash(number, 0, nobody, nobody)
    assert chain.balances.total_issuance.get() == before - 5 * AIT, "3 and 2 AIT make an account"
    chain.check_providers()
    chain.check_money()
