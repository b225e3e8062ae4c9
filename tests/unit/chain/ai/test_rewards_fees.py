"""Referral and loyalty: of what a member burned half is shared at most; what the pot gives to campaigns."""

from __future__ import annotations

from random import Random

import pytest

from aitoken.types import AIT, Balance, Hash32, Moment
from chain.frame.errors import BadOrigin, DispatchError
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.rewards_loyalty import MEMBER_BYTES
from chain.pallets.ai.rewards_rules import stake_for
from chain.pallets.ai.rewards_storage import GRANT_PERCENT_MAX, SHARE_PERCENT_MAX, TERM_MS
from chain.pallets.ai.rewards_types import Decay, Kind, RewardsHoldReason, Terms
from chain.pallets.ai.sessions_types import SessionClaims
from chain.pallets.staking.eras import REWARDS_POT
from tests.support.pay_chain import PayChain, account
from tests.support.pay_session import PaySession
from tests.support.staking_chain import START_MS

SPENT = 40 * AIT
BURNED = SPENT // 2000
"""Half of a thousandth."""
REBATE, REFERRAL, GRANT = (48, 0), (48, 1), (48, 2)
ATTESTERS = ("owner", "operator", "payout")
HOUR = 3_600_000


class FeeChain(PayChain):
    """A provider, and a pot with money in it."""

    def __init__(self, pot: int = 1_000 * AIT) -> None:
        super().__init__()
        self.begin()
        self.provider = self.sell()
        self.call("ROOT", "Balances.force_set_balance", REWARDS_POT, pot)

    @property
    def pot(self) -> int:
        return int(self.balances.free_balance(REWARDS_POT))

    def buy(self, who: str, amount: int = SPENT, salt: int = 0) -> PaySession:
        session = PaySession(self, self.provider, payer=who, salt=salt)
        session.claim(session.item(session.voucher(0, 1, amount)))
        return session

    def tries(self, who: str, name: str, *args: object) -> bool:
        store = self.machine.store
        mark = store.mark()
        try:
            self.call(who, name, *args)
        except DispatchError:
            store.rollback(mark)
            return False
        return True

    def burned(self, who: str) -> int:
        return int(self.rewards.members.get(account(who)).burned)

    def set(self, parameter: tuple[int, int], value: int) -> None:
        self.call("ROOT", "Parameters.set_parameter", (*parameter, value))


@pytest.fixture
def chain() -> FeeChain:
    return FeeChain()


# ------------------------------------------------------------------------------------------------- burned fees


def test_a_quarter_of_what_a_member_burned_comes_back_and_a_quarter_goes_to_its_referrer(chain: FeeChain) -> None:
    chain.call("payer", "Rewards.refer", account("other"))
    chain.buy("payer")
    assert chain.burned("payer") == BURNED
    payer, other, pot = chain.free("payer"), chain.free("other"), chain.pot
    issued, minted = chain.balances.total_issuance.get(), chain.supply.issued_ever.get()

    chain.emitted()
    chain.call("stranger", "Rewards.share", account("payer"))

    (told,) = chain.told("Shared")
    assert (told.who, told.burned, told.rebate, told.referrer, told.referral) == (
        account("payer"), BURNED, BURNED // 4, account("other"), BURNED // 4,
    )  # fmt: skip
    assert (chain.free("payer") - payer, chain.free("other") - other) == (BURNED // 4, BURNED // 4)
    assert chain.pot == pot - BURNED // 2
    assert (chain.balances.total_issuance.get(), chain.supply.issued_ever.get()) == (issued, minted)
    chain.refused("NothingDue", "stranger", "Rewards.share", account("payer"))
    chain.check_money()


def test_fees_are_kept_account_of_by_payer_and_of_members_alone(chain: FeeChain) -> None:
    chain.buy("payer")  # before it is a member
    chain.call("other", "Rewards.refer", None)
    chain.call("payer", "Rewards.refer", None)
    rows = []
    for who, amount in (("other", SPENT), ("payer", 2 * SPENT), ("stranger", SPENT)):
        session = PaySession(chain, chain.provider, payer=who, salt=1)
        rows.append(SessionClaims(session.id, [session.item(session.voucher(0, 1, amount))]))
    chain.emitted()

    chain.call("operator", "Sessions.claim", rows)

    assert (chain.burned("other"), chain.burned("payer")) == (BURNED, 2 * BURNED)
    assert chain.rewards.members.get(account("stranger")) is None
    assert chain.told("FeePaid")[0].burned == 4 * BURNED
    free = chain.free("other")
    chain.call("other", "Rewards.share", account("other"))
    assert chain.free("other") == free + BURNED // 4  # and nobody brought it here


@pytest.mark.parametrize("amount", [1, 999, 1_999, 2_001, 123_456_789, SPENT + 1])
def test_no_rounding_shares_more_than_half(chain: FeeChain, amount: int) -> None:
    chain.call("payer", "Rewards.refer", account("other"))
    before = chain.balances.total_issuance.get()
    chain.buy("payer", amount)
    burned = before - chain.balances.total_issuance.get()
    pot = chain.pot
    if burned < 4:
        chain.refused("NothingDue", "other", "Rewards.share", account("payer"))
    else:
        chain.call("other", "Rewards.share", account("payer"))

    assert 2 * (pot - chain.pot) <= burned


def test_who_refers_itself_or_twice_or_buys_already_is_refused(chain: FeeChain) -> None:
    chain.refused("SelfReferral", "payer", "Rewards.refer", account("payer"))
    chain.refused("UnknownReferrer", "payer", "Rewards.refer", account("nobody"))
    chain.refused("NotMember", "payer", "Rewards.share", account("payer"))
    chain.refused("NotMember", "payer", "Rewards.leave")
    chain.buy("payer")
    chain.refused("AlreadyBuys", "payer", "Rewards.refer", account("other"))
    chain.call("payer", "Rewards.refer", None)
    chain.refused("AlreadyReferred", "payer", "Rewards.refer", account("other"))
    chain.refused("NothingDue", "other", "Rewards.share", account("payer"))


def test_a_member_stays_a_year_and_gets_its_deposit_back(chain: FeeChain) -> None:
    chain.call("payer", "Rewards.refer", account("other"))
    assert chain.held(RewardsHoldReason.Deposit, "payer") == deposit(MEMBER_BYTES)
    chain.timestamp.now.put(Moment(chain.now + TERM_MS - 1))
    chain.refused("TooEarly", "payer", "Rewards.leave")
    chain.timestamp.now.put(Moment(chain.now + 1))

    chain.call("payer", "Rewards.leave")

    assert chain.held(RewardsHoldReason.Deposit, "payer") == 0
    assert not list(chain.rewards.members.items())


def test_a_referrer_that_is_gone_gets_nothing_and_an_empty_pot_loses_nothing(chain: FeeChain) -> None:
    chain.call("payer", "Rewards.refer", account("other"))
    chain.buy("payer")
    chain.call("ROOT", "Balances.force_set_balance", REWARDS_POT, chain.balances.existential_deposit + BURNED // 2 - 1)
    chain.refused("PotEmpty", "other", "Rewards.share", account("payer"))
    assert chain.burned("payer") == BURNED

    chain.call("other", "Balances.transfer_all", account("stranger"), False)
    chain.emitted()
    chain.call("stranger", "Rewards.share", account("payer"))

    (told,) = chain.told("Shared")
    assert (told.rebate, told.referral) == (BURNED // 4, 0)
    assert chain.balances.free_balance(account("other")) == 0


def test_no_parameters_share_more_than_half(chain: FeeChain) -> None:
    assert 2 * SHARE_PERCENT_MAX <= 50
    for parameter in (REBATE, REFERRAL):
        chain.refused("Parameters.OutOfBounds", "ROOT", "Parameters.set_parameter", (*parameter, SHARE_PERCENT_MAX + 1))
    chain.set(REBATE, 0)
    chain.set(REFERRAL, 10)
    chain.call("payer", "Rewards.refer", account("other"))
    chain.buy("payer")
    free = chain.free("payer"), chain.free("other")

    chain.call("stranger", "Rewards.share", account("payer"))

    assert (chain.free("payer"), chain.free("other")) == (free[0], free[1] + BURNED // 10)


@pytest.mark.parametrize("seed", range(6))
def test_in_any_history_the_pot_pays_at_most_half_of_what_members_burned(chain: FeeChain, seed: int) -> None:
    """Buyers come and go, refer each other, and parameters move; the model knows what each burned as a member."""
    random, buyers = Random(seed), ("payer", "other", "stranger", "payout")
    unshared: dict[str, int] = {}
    pot, shared = chain.pot, 0
    for salt in range(60):
        who, other = random.choice(buyers), random.choice(buyers)
        act = random.choice(("buy", "buy", "buy", "refer", "share", "leave", "set"))
        if act == "buy":
            before = chain.balances.total_issuance.get()
            chain.buy(who, random.randrange(1, 5 * AIT), salt)
            if who in unshared:
                unshared[who] += before - chain.balances.total_issuance.get()
        elif act == "set":
            chain.set(random.choice((REBATE, REFERRAL)), random.randrange(SHARE_PERCENT_MAX + 1))
        calls = {
            "refer": (who, "Rewards.refer", random.choice((None, account(other)))),
            "share": (other, "Rewards.share", account(who)),
            "leave": (who, "Rewards.leave"),
        }
        if act in calls and chain.tries(*calls[act]):
            shared += unshared.pop(who, 0) if act != "leave" else 0
            unshared[who] = 0
            if act == "leave":
                del unshared[who]
        if random.random() < 0.1:
            chain.timestamp.now.put(Moment(chain.now + TERM_MS // 3))
        assert {each: chain.burned(each) for each in unshared} == unshared
        assert 2 * (pot - chain.pot) <= shared
        assert len(list(chain.rewards.members.items())) == len(unshared)
    chain.check_money()


# ------------------------------------------------------------------------------------------------- grants


def campaign(chain: PayChain) -> int:
    terms = Terms(
        Kind.Tool, Hash32(b"T" * 32), Balance(2 * AIT), Decay(0, 0, 0), 2, 2, Balance(AIT), 2, HOUR, 0,
        Moment(START_MS + 100 * HOUR), None,
    )  # fmt: skip
    for who in ATTESTERS:
        chain.call(who, "Rewards.stake", stake_for(terms))
    chain.emitted()
    chain.call("other", "Rewards.create", terms, [account(who) for who in ATTESTERS], 10 * AIT)
    return int(chain.told("CampaignCreated")[0].campaign)


def test_root_funds_campaigns_out_of_the_pot_up_to_a_cap_in_each_era(chain: FeeChain) -> None:
    number = campaign(chain)
    with pytest.raises(BadOrigin):
        chain.call("other", "Rewards.grant", number, AIT)
    chain.refused("GrantCapReached", "ROOT", "Rewards.grant", number, 100 * AIT + 1)
    chain.refused("NoCampaign", "ROOT", "Rewards.grant", number + 1, AIT)
    chain.call("ROOT", "Rewards.grant", number, 60 * AIT)
    chain.call("ROOT", "Rewards.grant", number, 40 * AIT)
    chain.refused("GrantCapReached", "ROOT", "Rewards.grant", number, AIT)
    assert (chain.pot, chain.rewards.campaigns.get(number).left) == (900 * AIT, 110 * AIT)

    active = chain.staking.active_era.get()
    active = active.copy()
    active.index += 1
    chain.staking.active_era.put(active)
    chain.refused("GrantCapReached", "ROOT", "Rewards.grant", number, 90 * AIT + 1)
    chain.call("ROOT", "Rewards.grant", number, 90 * AIT)
    chain.check_money()


def test_what_a_campaign_does_not_pay_out_of_a_grant_comes_back_to_the_pot(chain: FeeChain) -> None:
    number = campaign(chain)
    chain.call("ROOT", "Rewards.grant", number, 50 * AIT)
    chain.call("other", "Rewards.end", number)
    chain.refused("NotOpen", "ROOT", "Rewards.grant", number, AIT)

    chain.call("stranger", "Rewards.withdraw", number, REWARDS_POT)

    assert chain.pot == 1_000 * AIT
    chain.check_money()


def test_a_pot_gives_no_more_than_it_has(chain: FeeChain) -> None:
    assert GRANT_PERCENT_MAX < 100
    number = campaign(chain)
    chain.call("ROOT", "Balances.force_set_balance", REWARDS_POT, 5 * AIT)
    chain.refused("PotEmpty", "ROOT", "Rewards.grant", number, 5 * AIT)
    chain.refused("BudgetExhausted", "ROOT", "Rewards.grant", number, AIT // 2)


def test_the_issuance_of_an_era_pays_for_work() -> None:
    """In blocks: the pot fills by the curve, root gives a part of it to a campaign, and the issuance adds up."""
    chain = PayChain(maxIssuance="2_000_000_000_000 AIT")
    chain.until_era(1)
    pot = chain.free("rewards")
    number = campaign(chain)
    chain.state = chain.state.child(chain.machine.store.changes())
    chain.look()
    for amount, given in ((pot // 10 + 1, 0), (pot // 10, pot // 10), (AIT, pot // 10)):
        chain.run("root", "Sudo.sudo", chain.schema.make_call("Rewards.grant", number, amount))
        assert chain.era == 1
        assert chain.free("rewards") == pot - given
        assert chain.rewards.campaigns.get(number).left == 10 * AIT + given
    chain.check_money()
