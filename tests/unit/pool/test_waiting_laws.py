"""Laws of the order of waiting transactions, for any sequence of events."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chain.frame.errors import CannotPay
from node.pool.errors import Invalid, PoolRejected, PriorityTooLow
from node.pool.limits import Limits
from node.pool.pooled import IMMORTAL, Pooled
from node.pool.status import Stage
from node.pool.waiting import Waiting
from tests.support.pool_fakes import ACCOUNT_OF, WHO_OF, make_xt

LIMITS = Limits(count=12, bytes=12 * 80, future_count=5, future_bytes=5 * 80, per_sender=6, bump_percent=10)
senders = st.integers(0, 3)


class WaitingMachine(RuleBasedStateMachine):
    """Random comings and goings; a plain model of who is in, kept from the events alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stage: dict[bytes, Stage] = {}
        self.ended: set[bytes] = set()
        self.bases = dict.fromkeys(range(4), 0)
        self.waiting = Waiting(LIMITS, self.on_event)
        self.salt = 0

    def on_event(self, tx, status) -> None:
        assert tx.hash not in self.ended, "told after the end"
        self.stage[tx.hash] = status.stage
        if status.ends:
            self.ended.add(tx.hash)

    @rule(
        who=senders,
        ahead=st.integers(0, 8),
        priority=st.integers(0, 40),
        pad=st.integers(0, 90),
        life=st.integers(1, 9),
        cost=st.integers(0, 9),
    )
    def insert(self, who, ahead, priority, pad, life, cost) -> None:
        self.salt += 1
        base = self.bases[who]
        xt = make_xt(who, base + ahead, self.salt, pad=pad)
        death = IMMORTAL if life == 9 else life
        tx = Pooled(xt, ACCOUNT_OF[who], xt.nonce, priority, death, cost=cost)
        there = {t.nonce: t for t in self.waiting.by_hash.values() if t.sender == tx.sender}
        old = there.get(tx.nonce)
        try:
            self.waiting.insert(tx, base)
        except PriorityTooLow:
            assert old is not None
            assert priority < old.priority + max(1, old.priority // 10)
        except PoolRejected:
            assert tx.hash not in self.waiting.by_hash
            assert tx.hash not in self.stage
        else:
            assert self.stage[tx.hash] in (Stage.READY, Stage.FUTURE)
            if old is not None:
                assert priority > old.priority
                assert self.stage[old.hash] is Stage.USURPED

    @rule(who=senders, count=st.integers(1, 3))
    def block_includes(self, who, count) -> None:
        taken = []
        for nonce in range(self.bases[who], self.bases[who] + count):
            for tx in list(self.waiting.by_hash.values()):
                if tx.sender == ACCOUNT_OF[who] and tx.nonce == nonce:
                    self.waiting.take(tx)
                    taken.append(tx)
                    self.ended.add(tx.hash)
        self.bases[who] += count
        self.waiting.rebase(ACCOUNT_OF[who], self.bases[who])

    @rule(who=senders, count=st.integers(1, 2))
    def block_is_retracted(self, who, count) -> None:
        self.bases[who] = max(0, self.bases[who] - count)
        self.waiting.rebase(ACCOUNT_OF[who], self.bases[who])

    @rule(index=st.integers(0, 20), with_later=st.booleans())
    def turns_out_invalid(self, index, with_later) -> None:
        known = sorted(self.waiting.by_hash)
        if known:
            self.waiting.discard(known[index % len(known)], Invalid(CannotPay()), with_later=with_later)

    @rule(who=senders, funds=st.integers(0, 30))
    def money_leaves(self, who, funds) -> None:
        before = [t for t in self.waiting.by_hash.values() if t.sender == ACCOUNT_OF[who]]
        self.waiting.trim(ACCOUNT_OF[who], funds)
        kept = [t for t in self.waiting.by_hash.values() if t.sender == ACCOUNT_OF[who]]
        assert len(kept) <= 1 or sum(t.cost for t in kept) <= funds
        gone = [t for t in before if t not in kept]
        assert all(t.nonce < g.nonce for t in kept for g in gone), "the last ones go first"
        if gone and kept:
            assert sum(t.cost for t in kept) + min(gone, key=lambda t: t.nonce).cost > funds, "no more than needed"

    @rule(number=st.integers(0, 8))
    def era_ends(self, number) -> None:
        self.waiting.expire(number)
        assert all(tx.death > number for tx in self.waiting.by_hash.values())

    @invariant()
    def nothing_is_lost(self) -> None:
        assert set(self.waiting.by_hash) == set(self.stage) - self.ended

    @invariant()
    def limits_hold(self) -> None:
        waiting, txs = self.waiting, list(self.waiting.by_hash.values())
        assert len(txs) <= LIMITS.count
        assert waiting.bytes == sum(tx.size for tx in txs) <= LIMITS.bytes
        future = [tx for tx in txs if not tx.ready]
        assert waiting.future_count == len(future) <= LIMITS.future_count
        assert waiting.future_bytes == sum(tx.size for tx in future) <= LIMITS.future_bytes
        for who in range(4):
            assert sum(tx.sender == ACCOUNT_OF[who] for tx in txs) <= LIMITS.per_sender

    @invariant()
    def what_a_sender_owes_is_known(self) -> None:
        txs = list(self.waiting.by_hash.values())
        for who in range(4):
            own = [tx for tx in txs if tx.sender == ACCOUNT_OF[who]]
            owed = sum(tx.cost for tx in own)
            if not own:
                continue
            fresh = max(tx.nonce for tx in own) + 1
            self.waiting.check_funds(ACCOUNT_OF[who], fresh, 5, owed + 5)
            with pytest.raises(Invalid):
                self.waiting.check_funds(ACCOUNT_OF[who], fresh, 5, owed + 4)
            self.waiting.check_funds(ACCOUNT_OF[who], own[0].nonce, 5, owed - own[0].cost + 5)

    @invariant()
    def ready_means_no_gap(self) -> None:
        for tx in self.waiting.by_hash.values():
            nonces = {t.nonce for t in self.waiting.by_hash.values() if t.sender == tx.sender}
            base = self.bases[WHO_OF[tx.sender]]
            assert tx.ready == all(nonce in nonces for nonce in range(base, tx.nonce))
            assert self.stage[tx.hash] is (Stage.READY if tx.ready else Stage.FUTURE)

    @invariant()
    def walk_gives_each_ready_one_once_in_nonce_order_best_first(self) -> None:
        given = [self.waiting.by_hash[xt.hash] for xt in self.waiting.walk()]
        assert len(given) == self.waiting.ready_count
        expected = dict(self.bases)
        for position, tx in enumerate(given):
            who = WHO_OF[tx.sender]
            assert tx.nonce == expected[who]
            expected[who] += 1
            others = [t for t in given[position:] if t.sender != tx.sender]
            rivals = [t for t in others if t.nonce == expected[WHO_OF[t.sender]]]
            assert all(tx.priority >= rival.priority for rival in rivals)
        for who, after in expected.items():
            assert self.waiting.next_nonce(ACCOUNT_OF[who], self.bases[who]) == after

    @invariant()
    def floors_are_the_lowest_priority_on_the_way(self) -> None:
        ready = {(tx.sender, tx.nonce): tx for tx in self.waiting.by_hash.values() if tx.ready}
        for (sender, nonce), tx in ready.items():
            way = [t.priority for (s, n), t in ready.items() if s == sender and n <= nonce]
            assert tx.floor == min(way)


TestWaiting = WaitingMachine.TestCase
TestWaiting.settings = settings(max_examples=100, stateful_step_count=40)
