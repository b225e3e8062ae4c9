"""The pool as blocks come, leave and become final."""

import pytest

from chain.frame.errors import BadProof, ExhaustsResources, Future, Stale
from node.pool import transactions
from node.pool.errors import (
    AlreadyImported,
    ImmediatelyDropped,
    Invalid,
    PriorityTooLow,
    TemporarilyBanned,
)
from node.pool.limits import Limits
from node.pool.status import Stage
from node.pool.transactions import TransactionPool
from tests.support.pool_fakes import (
    ACCOUNT_OF,
    ADDITIONAL,
    GENESIS,
    FakeChain,
    FakeClock,
    FakeRuntime,
    child,
    make_xt,
    unsigned_xt,
)


class Watch:
    """Collects stages."""

    def __init__(self) -> None:
        self.statuses = []

    def __call__(self, status) -> None:
        self.statuses.append(status)

    @property
    def stages(self) -> list[str]:
        return [status.stage.value for status in self.statuses]


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def pool(runtime) -> TransactionPool:
    return TransactionPool(runtime, FakeChain(), FakeClock(1_000), Limits(count=8, future_count=4, size=300))


def add(pool, xt, watch=None):
    """Submit as if the signature had been checked."""
    pool.refuse_known(xt.hash)
    tx = pool.examine(pool._runtime.parse(xt.raw))
    tx.xt.verified_for = tx.additional
    pool.settle(tx, watch)
    return tx.xt


def advance(pool, block):
    pool.on_block(block)
    pool.on_best(block)
    while pool.has_work:
        pool.work(2)
    return block


def test_life_of_a_transaction(pool) -> None:
    watch = Watch()
    xt = add(pool, make_xt(1, 0), watch)

    block = advance(pool, child(GENESIS, [make_xt(2, 0), xt]))
    assert pool.ready_count == 0
    assert pool.lookup(xt.hash) is xt
    pool.on_finalized([block], [])

    assert watch.stages == ["ready", "inBlock", "finalized"]
    assert [(s.hash, s.index) for s in watch.statuses[1:]] == [(block.hash, 1)] * 2
    assert pool.lookup(xt.hash) is None


def test_gap_waits_and_is_filled(pool) -> None:
    late, early = Watch(), Watch()
    add(pool, make_xt(1, 1), late)
    assert list(pool.iter_ready()) == []
    assert pool.next_nonce(ACCOUNT_OF[1], 0) == 0

    add(pool, make_xt(1, 0), early)

    assert late.stages == ["future", "ready"]
    assert early.stages == ["ready"]
    assert [xt.nonce for xt in list(pool.iter_ready())] == [0, 1]
    assert pool.next_nonce(ACCOUNT_OF[1], 0) == 2


def test_higher_priority_takes_the_place_and_lower_is_refused(pool) -> None:
    watch = Watch()
    old = add(pool, make_xt(1, 0, 5), watch)
    with pytest.raises(PriorityTooLow) as refused:
        add(pool, make_xt(1, 0, 4))
    assert (refused.value.number, refused.value.message) == (1014, "Priority is too low: (5 vs 4)")

    new = add(pool, make_xt(1, 0, 6))

    assert watch.stages == ["ready", "usurped"]
    assert watch.statuses[-1].hash == new.hash
    assert pool.lookup(old.hash) is None
    assert list(pool.iter_ready()) == [new]


def test_same_bytes_are_refused_while_they_wait(pool) -> None:
    xt = add(pool, make_xt(1, 0))
    with pytest.raises(AlreadyImported) as refused:
        add(pool, xt)
    assert (refused.value.number, refused.value.data) == (1013, f"0x{xt.hash.hex()}")


def test_included_transaction_is_stale_when_it_comes_again(pool) -> None:
    xt = make_xt(1, 0)
    advance(pool, child(GENESIS, [xt]))
    with pytest.raises(Invalid) as refused:
        add(pool, xt)
    assert refused.value.data == "Transaction is outdated"


def test_rival_of_the_same_nonce_in_a_block_makes_it_invalid(pool) -> None:
    watch = Watch()
    add(pool, make_xt(1, 0), watch)
    advance(pool, child(GENESIS, [make_xt(1, 0, 9)]))
    assert watch.stages == ["ready", "invalid"]
    assert isinstance(watch.statuses[-1].error.cause, Stale)


def test_end_of_the_era_removes_and_later_ones_wait(pool) -> None:
    mortal, later = Watch(), Watch()
    add(pool, make_xt(1, 0, era_end=3), mortal)
    add(pool, make_xt(1, 1), later)

    block = advance(pool, child(GENESIS))
    assert mortal.stages == ["ready"]
    advance(pool, child(block))

    assert mortal.stages == ["ready", "invalid"]
    assert later.stages == ["ready", "future"]
    assert pool.ready_count == 0


def test_sender_without_money_loses_all_that_waits(pool) -> None:
    first, second, third = Watch(), Watch(), Watch()
    add(pool, make_xt(1, 1), first)
    add(pool, make_xt(1, 0))
    add(pool, make_xt(1, 2), second)
    add(pool, make_xt(2, 0), third)

    advance(pool, child(GENESIS, [make_xt(1, 0)], poor=[1]))

    assert first.stages == ["future", "ready", "invalid"]
    assert second.stages == ["ready", "invalid"]
    assert third.stages == ["ready"]
    assert pool.ready_count == 1


def test_only_touched_senders_are_checked_again(pool, runtime) -> None:
    for who in range(2, 8):
        add(pool, make_xt(who, 0))
    runtime.checks = 0
    advance(pool, child(GENESIS, [make_xt(2, 0), make_xt(20, 0)]))
    assert runtime.checks == 0
    add(pool, make_xt(2, 1))
    add(pool, make_xt(2, 2))
    runtime.checks = 0
    advance(pool, child(pool._best, [make_xt(2, 1)]))
    assert runtime.checks == 1


def test_work_after_a_block_is_done_in_slices(pool, runtime) -> None:
    for who in range(4):
        add(pool, make_xt(who, 0))
        add(pool, make_xt(who, 1))
    runtime.checks = 0
    pool.on_best(child(GENESIS, [make_xt(who, 0) for who in range(4)]))

    pool.work(3)
    assert (runtime.checks, pool.has_work) == (3, True)
    pool.work(3)
    assert (runtime.checks, pool.has_work) == (4, False)


def test_fork_returns_transactions_and_tells(pool) -> None:
    both, gone = Watch(), Watch()
    stays, returns = add(pool, make_xt(1, 0), both), add(pool, make_xt(2, 0), gone)
    advance(pool, child(GENESIS, [stays, returns]))

    other = advance(pool, child(GENESIS, [stays], salt=1))

    assert both.stages == ["ready", "inBlock", "retracted", "inBlock"]
    assert gone.stages == ["ready", "inBlock", "retracted", "ready"]
    assert list(pool.iter_ready()) == [returns]
    pool.on_finalized([other], [])
    assert both.stages[-1] == "finalized"


def test_fork_returns_what_never_waited_here(pool) -> None:
    stranger = make_xt(3, 0)
    stranger.verified_for = b"genesis and versions"
    advance(pool, child(GENESIS, [stranger]))
    advance(pool, child(GENESIS, salt=1))
    assert list(pool.iter_ready()) == [stranger]


def test_returning_transaction_that_signed_a_lost_block_is_invalid(pool, runtime) -> None:
    watch = Watch()
    xt = add(pool, make_xt(1, 0), watch)
    advance(pool, child(GENESIS, [xt]))
    runtime.additional = b"another birth block"
    advance(pool, child(GENESIS, salt=1))
    assert watch.stages == ["ready", "inBlock", "retracted", "invalid"]


def test_deep_fork_follows_the_route(pool) -> None:
    xts = [make_xt(1, nonce) for nonce in range(3)]
    for xt in xts:
        xt.verified_for = b"genesis and versions"
    a1 = child(GENESIS, [xts[0]])
    a2 = child(a1, [xts[1]])
    a3 = child(a2, [xts[2]])
    b2 = child(a1, salt=1)
    for block in (a1, a2, a3):
        advance(pool, block)
    pool.on_block(b2)
    advance(pool, child(b2, salt=1))
    assert list(pool.iter_ready()) == xts[1:]


def test_builder_verdict_removes_and_bans(pool) -> None:
    watch = Watch()
    xt = add(pool, make_xt(1, 0), watch)
    pool.reject(xt.hash, BadProof())
    assert watch.stages == ["ready", "invalid"]
    pool._clock.now = 60_999
    with pytest.raises(TemporarilyBanned) as refused:
        pool.refuse_known(xt.hash)
    assert refused.value.number == 1012
    pool._clock.now = 61_000
    pool.refuse_known(xt.hash)


@pytest.mark.parametrize("kind", [Stale, Future, ExhaustsResources])
def test_builder_verdict_about_the_block_removes_nothing(pool, kind) -> None:
    xt = add(pool, make_xt(1, 0))
    pool.reject(xt.hash, kind(), GENESIS.hash)
    pool.work(5)
    assert list(pool.iter_ready()) == [xt]


def test_builder_verdict_on_another_parent_is_ignored(pool) -> None:
    xt = add(pool, make_xt(1, 0))
    pool.reject(xt.hash, BadProof(), b"\1" * 32)
    assert list(pool.iter_ready()) == [xt]


def test_first_of_a_small_sender_beats_the_later_of_a_flood(pool) -> None:
    for nonce in range(8):
        add(pool, make_xt(1, nonce, 5))
    with pytest.raises(ImmediatelyDropped) as refused:
        add(pool, make_xt(2, 0, 4))
    assert refused.value.number == 1016

    for who in range(2, 6):
        add(pool, make_xt(who, 0, 5))

    assert [xt.nonce for xt in list(pool.iter_ready()) if xt.signer == ACCOUNT_OF[1]] == [0, 1, 2, 3]
    assert pool.ready_count == 8


def test_dear_transaction_behind_cheap_ones_is_worth_no_more_than_they(pool) -> None:
    add(pool, make_xt(1, 0, 1))
    add(pool, make_xt(1, 1, 100))
    for who in range(2, 8):
        add(pool, make_xt(who, 0, 2))
    add(pool, make_xt(8, 0, 2))
    assert [xt.nonce for xt in list(pool.iter_ready()) if xt.signer == ACCOUNT_OF[1]] == [0]


def test_walk_survives_changes_between_steps(pool) -> None:
    for who in range(4):
        for nonce in range(2):
            add(pool, make_xt(who, nonce, 10 - who))
    walk = pool.iter_ready()
    first = next(walk)
    assert (first.signer, first.nonce) == (ACCOUNT_OF[0], 0)

    pool.remove(make_xt(1, 0, 9).hash)
    usurper = add(pool, make_xt(0, 1, 50))

    rest = list(walk)
    assert rest[0] is usurper
    assert [(xt.signer, xt.nonce) for xt in rest[1:]] == [(ACCOUNT_OF[w], n) for w in (2, 3) for n in (0, 1)]


def test_walk_gives_out_neither_what_was_replaced_nor_what_is_not_the_next_any_more(pool) -> None:
    earlier = make_xt(2, 0)
    earlier.verified_for = ADDITIONAL
    advance(pool, child(GENESIS, [earlier]))
    for who, nonce, tip in ((1, 0, 9), (2, 1, 8), (3, 0, 7)):
        add(pool, make_xt(who, nonce, tip))
    walk = pool.iter_ready()
    add(pool, make_xt(1, 0, 50))
    advance(pool, child(GENESIS, salt=1))
    assert pool.lookup(earlier.hash) is earlier
    assert [(xt.signer, xt.nonce) for xt in walk] == [(ACCOUNT_OF[3], 0)]


def test_skipped_sender_is_not_given_again(pool) -> None:
    for nonce in range(3):
        add(pool, make_xt(1, nonce, 9))
    add(pool, make_xt(2, 0))
    walk = pool.iter_ready()
    next(walk)
    walk.skip()
    assert [xt.signer for xt in walk] == [ACCOUNT_OF[2]]


def test_unsigned_ones_of_one_tag_exclude_each_other(pool) -> None:
    add(pool, unsigned_xt(7, 3))
    add(pool, unsigned_xt(8, 3))
    with pytest.raises(PriorityTooLow):
        add(pool, unsigned_xt(7, 2))
    assert pool.ready_count == 2


def test_an_unsigned_one_leaves_when_another_has_done_its_work(pool, runtime) -> None:
    watch, other = Watch(), Watch()
    add(pool, unsigned_xt(7, 3), watch)
    add(pool, unsigned_xt(8, 3), other)
    block = advance(pool, child(GENESIS, [unsigned_xt(7, 2)]))

    assert watch.stages == ["ready", "invalid"]
    assert other.stages == ["ready"]
    block = advance(pool, child(block, [unsigned_xt(8, 3)]))
    assert other.stages == ["ready", "inBlock"]
    advance(pool, child(block))
    runtime.checks = 0
    advance(pool, child(pool._best))
    assert runtime.checks == 0  # nobody is asked about what has left


def test_an_unsigned_one_that_the_builder_finds_done_leaves(pool) -> None:
    xt = add(pool, unsigned_xt(7, 3))
    pool._best = child(GENESIS, [unsigned_xt(7, 2)])
    pool.reject(xt.hash, Stale(), pool._best.hash)
    pool.work(5)
    assert pool.ready_count == 0


def test_unsigned_ones_of_one_kind_are_bounded_and_leave_room_for_others(runtime) -> None:
    limits = Limits(count=20, unsigned_per_priority=3)
    pool = TransactionPool(runtime, FakeChain(), FakeClock(1_000), limits)
    for tag in range(3):
        add(pool, unsigned_xt(tag, 3))
    with pytest.raises(ImmediatelyDropped):
        add(pool, unsigned_xt(3, 3))
    with pytest.raises(PriorityTooLow):
        add(pool, unsigned_xt(2, 2))  # it would take the place of one that is there
    add(pool, unsigned_xt(9, 4))
    add(pool, make_xt(1, 0))


def test_after_each_way_out_there_is_room_for_another_unsigned_one(runtime) -> None:
    """Included, found invalid, expired, removed, displaced by a better one of its tag."""
    limits = Limits(count=20, unsigned_per_priority=1)
    pool = TransactionPool(runtime, FakeChain(), FakeClock(1_000), limits)
    add(pool, unsigned_xt(1, 3))
    block = advance(pool, child(GENESIS, [unsigned_xt(1, 3)]))
    add(pool, unsigned_xt(2, 3))
    block = advance(pool, child(block, [unsigned_xt(2, 2)]))
    add(pool, unsigned_xt(3, 3))
    for _ in range(65):
        block = advance(pool, child(block))
    gone = add(pool, unsigned_xt(4, 3))
    pool.remove(gone.hash)
    add(pool, unsigned_xt(5, 3))
    add(pool, unsigned_xt(5, 9))
    add(pool, unsigned_xt(6, 3))
    assert pool.ready_count == 2


def test_a_block_makes_the_pool_look_at_a_few_unsigned_ones_again_all_in_their_turn(runtime, monkeypatch) -> None:
    monkeypatch.setattr(transactions, "UNSIGNED_A_BLOCK", 2)
    pool = TransactionPool(runtime, FakeChain(), FakeClock(1_000), Limits(count=20))
    for tag in range(5):
        add(pool, unsigned_xt(tag, 3))
    block = GENESIS
    seen: list[int] = []
    check = runtime.check
    monkeypatch.setattr(runtime, "check", lambda parent, xt: (seen.append(xt.raw[1]), check(parent, xt))[1])
    for _ in range(5):
        before = len(seen)
        block = advance(pool, child(block))
        assert len(seen) == before + 2
    assert sorted(seen) == sorted([*range(5), *range(5)])


def test_unwatched_transaction_stays(pool) -> None:
    watch = Watch()
    xt = add(pool, make_xt(1, 0), watch)
    pool.unwatch(xt.hash, watch)
    advance(pool, child(GENESIS, [xt]))
    assert watch.stages == ["ready"]


def test_refused_transaction_leaves_no_watcher(pool) -> None:
    watch = Watch()
    add(pool, make_xt(1, 0, 5))
    weak = make_xt(1, 0, 5)
    candidate = pool.examine(make_xt(1, 0, 6))
    add(pool, make_xt(1, 0, 7))
    with pytest.raises(PriorityTooLow):
        pool.settle(candidate, watch)
    assert pool._watchers == {}
    assert weak.hash not in pool._watchers


def test_broadcast_is_told_with_its_peers(pool) -> None:
    watch = Watch()
    xt = add(pool, make_xt(1, 0), watch)
    pool.note_broadcast(xt.hash, ["a", "b"])
    assert watch.statuses[-1].stage is Stage.BROADCAST
    assert watch.statuses[-1].peers == ("a", "b")


def test_ready_ones_are_announced_once_each(pool) -> None:
    told = []
    pool.on_ready(lambda some: told.append([tx.nonce for tx in some]))
    add(pool, make_xt(1, 1))
    pool.tell_ready()
    assert told == []
    add(pool, make_xt(1, 0))
    pool.tell_ready()
    pool.tell_ready()
    assert told == [[0, 1]]


def test_who_becomes_ready_by_a_block_or_comes_back_is_announced(pool) -> None:
    told = []
    pool.on_ready(lambda some: told.extend(tx.nonce for tx in some))
    first, second = make_xt(1, 0), make_xt(1, 1)
    first.verified_for = ADDITIONAL
    add(pool, second)
    advance(pool, child(GENESIS, [first]))
    assert told == [1]
    advance(pool, child(GENESIS, salt=1))
    assert told == [1, 0, 1]


def test_bans_are_bounded(pool) -> None:
    pool.limits = Limits(bans=3)
    for number in range(5):
        pool.ban(bytes([number]) * 32, TemporarilyBanned())
    assert len(pool._banned) == 3
    pool.refuse_known(bytes(32))


def test_finality_forgets_old_blocks(pool) -> None:
    a1 = advance(pool, child(GENESIS))
    b1 = child(GENESIS, salt=1)
    pool.on_block(b1)
    a2 = advance(pool, child(a1))
    pool.on_finalized([a1, a2], [b1.hash])
    assert list(pool._blocks) == [a2.hash]


def test_way_to_a_transaction_shrinks_as_earlier_ones_are_built(pool) -> None:
    for nonce in range(4):
        add(pool, make_xt(1, nonce, 5))
    for nonce in range(2):
        add(pool, make_xt(2, nonce, 5))
    advance(pool, child(GENESIS, [make_xt(1, nonce, 5) for nonce in range(3)]))
    for who in range(3, 8):
        add(pool, make_xt(who, 0, 5))

    add(pool, make_xt(8, 0, 5))

    assert [xt.nonce for xt in pool.iter_ready() if xt.signer == ACCOUNT_OF[2]] == [0]
    assert [xt.nonce for xt in pool.iter_ready() if xt.signer == ACCOUNT_OF[1]] == [3]
