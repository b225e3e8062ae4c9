"""The pool's shortcuts do what the plain ways do: rules of the runtime, and taking in the usual transaction."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.era import Era
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT
from chain.frame.errors import CannotPay
from node.pool.errors import Invalid, PoolRejected
from node.pool.limits import Limits
from node.pool.pooled import IMMORTAL, Pooled
from node.pool.rules import Rules
from node.pool.waiting import Waiting
from node.ports import Block
from tests.support.pool_fakes import ACCOUNT_OF, make_xt
from tests.support.small_runtime import ALICE, BOB, Chain, account, assemble


def rules_of(chain) -> Rules:
    _, system, _, _, executive = assemble(chain.schema)
    return Rules(executive, system)


def head_of(chain, body=()) -> Block:
    return Block(chain.header.hash, chain.header, tuple(body), chain.state)


def next_block(chain, extrinsics=()) -> Block:
    chain.open()
    for xt in extrinsics:
        chain.executive.apply(xt)
    executed = chain.seal()
    return Block(executed.header.hash, executed.header, executed.body, executed.state)


def outcome(check, *arguments):
    try:
        found = check(*arguments)
        return [getattr(found, name) for name in Pooled.__slots__ if name not in ("at", "lane")]
    except PoolRejected as error:
        return (type(error), error.number, error.data)


def transactions(chain) -> list[Extrinsic]:
    """Good and bad ones of every kind the shortcut looks at."""
    nobody = pair_from_uri("//Nobody", "ed25519")
    era = Era.mortal(8, chain.header.number)
    ancient = Era.mortal(4, 0)
    pay = ("Balances.transfer_keep_alive", account(BOB), AIT)
    made = [
        chain.sign(ALICE, *pay, nonce=nonce, tip=tip, **terms)
        for nonce in (0, 1, 5)
        for tip in (0, 7, 10**30)
        for terms in ({}, {"era": era, "birth": chain.header.hash}, {"era": ancient, "birth": chain.genesis_hash})
    ]
    made += [chain.sign(who, "System.remark", b"x" * size, nonce=1) for who in (BOB, nobody) for size in (1, 90_000)]
    mode_on = bytearray(made[0].raw)
    mode_on[made[0].raw.index(made[0].extra) + len(made[0].extra) - 1] = 1
    signed_by_zero = made[0].raw.replace(made[0].signer, bytes(32), 1)
    return [*made, Extrinsic(bytes(mode_on)), Extrinsic(signed_by_zero)]


def test_quick_verdicts_are_the_plain_ones_on_every_head() -> None:
    chain = Chain()
    quick = rules_of(chain)
    asked_plainly = []
    quick.check_plainly = lambda *asked: asked_plainly.append(asked) or Rules.check_plainly(quick, *asked)
    checked = 0
    block = head_of(chain)
    for _ in range(6):
        plain = rules_of(chain)
        for _ in range(2):  # what the first round found, the second uses
            for xt in transactions(chain):
                parsed = quick.parse(xt.raw, xt.hash)
                expected = outcome(plain.check_plainly, block, plain.parse(xt.raw))
                assert outcome(quick.check, block, parsed) == expected
                assert quick.worth(parsed) == plain.worth(parsed) == rules_of(chain).worth(parsed)
                checked += 1
                assert parsed.verified_for is None
        nonce = chain.header.number
        paying = chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), AIT, nonce=nonce)
        block = next_block(chain, [paying])
    assert checked - len(asked_plainly) > 20


amounts = st.sampled_from([0, 1, AIT // 1000, AIT]).flatmap(lambda amount: st.integers(max(0, amount - 3), amount + 3))


@given(st.data())
def test_an_account_pays_where_the_plain_way_lets_it(data) -> None:
    chain = Chain()
    block, rules = head_of(chain), rules_of(chain)
    pay = chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), AIT, nonce=1, tip=0)
    cost = rules.check(block, rules.parse(pay.raw)).cost
    deposit = chain.schema.params.existential_deposit
    purse = rules._system.account.get(account(ALICE)).copy()
    purse.nonce = data.draw(st.integers(0, 2))
    purse.providers, purse.sufficients = data.draw(st.integers(0, 1)), data.draw(st.integers(0, 1))
    purse.reserved, purse.frozen = data.draw(amounts), data.draw(amounts)
    least = data.draw(st.sampled_from([0, deposit, max(0, purse.frozen - purse.reserved)]))
    purse.free = max(0, least + cost + data.draw(st.integers(-2, 2)))
    rules._system.account.put(account(ALICE), purse)
    xt = rules.parse(pay.raw)
    quickly = outcome(rules.check, block, xt)
    assert quickly == outcome(rules.check_plainly, block, xt)


def test_another_branch_is_read_anew() -> None:
    chain = Chain()
    genesis = head_of(chain)
    rules = rules_of(chain)
    paying = chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), AIT, nonce=0)
    xt = rules.parse(paying.raw)
    assert rules.check(genesis, xt).base == 0
    child = next_block(chain, [paying])
    with pytest.raises(Invalid):
        rules.check(child, xt)
    assert rules.nonce(child, account(ALICE)) == 1
    assert rules.check(genesis, xt).base == 0


class Log:
    """What a waiting room told, and what is in it."""

    def __init__(self, limits: Limits, funds: int, *, shortcut: bool) -> None:
        self.told = []
        self.funds = funds
        self.waiting = Waiting(limits, lambda tx, status: self.told.append((tx.hash, status.stage)))
        if not shortcut:
            self.waiting._finds_next = self.waiting._move_on = lambda *_: False

    def insert(self, who, nonce, base, tip, pad, death, look_first) -> None:
        xt = make_xt(who, nonce, tip, pad=pad)
        tx = Pooled(xt, ACCOUNT_OF[who], nonce, tip, death, tip, base, funds=self.funds)
        try:
            if look_first:
                self.waiting.check(tx)
            self.waiting.insert(tx, base)
        except PoolRejected as error:
            self.told.append(type(error))

    def include(self, sender: bytes, nonce: int) -> None:
        for tx in [tx for tx in self.waiting.by_hash.values() if (tx.sender, tx.nonce) == (sender, nonce)]:
            self.waiting.take(tx)

    def state(self):
        waiting = self.waiting
        everything = sorted((tx.hash, tx.ready, tx.floor, tx.turn, tx.lane.cost) for tx in waiting.by_hash.values())
        lanes = sorted((who, lane.base, lane.end, sorted(lane.by_nonce)) for who, lane in waiting.lanes.items())
        order = [xt.hash for xt in waiting.walk()]
        return everything, lanes, order, waiting.bytes, waiting.future_count, waiting.future_bytes, waiting._first_death


steps = st.tuples(
    st.integers(0, 2),
    st.sampled_from((0, 0, 0, 0, 1, 2, -1)),
    st.integers(0, 9),
    st.sampled_from((0, 0, 60)),
    st.integers(2, 9),
    st.integers(0, 9),
)


@settings(max_examples=200)
@given(st.lists(steps, max_size=40), st.integers(4, 60), st.integers(9, 40))
def test_taking_in_at_the_end_of_a_lane_is_what_insert_does(todo, count, funds) -> None:
    limits = Limits(count=count, bytes=count * 100, future_count=6, future_bytes=600, per_sender=4)
    both = Log(limits, funds, shortcut=True), Log(limits, funds, shortcut=False)
    bases = [0, 0, 0]
    for who, ahead, tip, pad, death, what in todo:
        nonce = max(0, both[1].waiting.next_nonce(ACCOUNT_OF[who], bases[who]) + ahead)
        for log in both:
            if what == 0:
                if ahead >= 0:
                    log.include(ACCOUNT_OF[who], bases[who])
                log.waiting.rebase(ACCOUNT_OF[who], bases[who] + 1)
            elif what == 1 and log.waiting.by_hash:
                log.waiting.discard(min(log.waiting.by_hash), Invalid(CannotPay()), with_later=bool(tip % 2))
            else:
                log.insert(who, nonce, bases[who], tip, pad, IMMORTAL if death == 9 else death, what % 3)
        bases[who] += what == 0
        assert both[0].told == both[1].told
        assert both[0].state() == both[1].state()


def test_a_better_head_lifts_what_waits_behind_it() -> None:
    log = Log(Limits(), 1_000, shortcut=True)
    for nonce, tip in ((0, 5), (1, 30), (0, 20)):
        log.insert(0, nonce, 0, tip, 0, IMMORTAL, look_first=True)
    assert [tx.floor for tx in log.waiting.by_hash.values()] == [20, 20]


def test_who_moved_on_in_a_crowded_pool_can_be_evicted_still() -> None:
    log = Log(Limits(count=4), 1_000, shortcut=True)
    for nonce in range(4):
        log.insert(0, nonce, 0, 5, 0, IMMORTAL, look_first=True)
    log.include(ACCOUNT_OF[0], 0)
    log.waiting.rebase(ACCOUNT_OF[0], 1)
    for who in (1, 2):
        log.insert(who, 0, 0, 9, 0, IMMORTAL, look_first=True)
    assert sorted(tx.nonce for tx in log.waiting.by_hash.values()) == [0, 0, 1, 2]
