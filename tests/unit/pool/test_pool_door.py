"""The door: one signature check per transaction, fairness, bounds."""

import asyncio
import gc
import weakref
from functools import partial

import pytest

from aitoken.crypto.checks import Check, pack, unpack
from aitoken.crypto.hashing import blake2_256
from aitoken.crypto.signature import verify_multi
from aitoken.errors import Rejected
from chain.frame.errors import CannotPay, Stale
from node.pool import pool as door
from node.pool.errors import AlreadyImported, Invalid, PriorityTooLow, Shed, TooLarge, Undecodable
from node.pool.limits import Limits
from node.pool.pool import Pool
from node.pool.verify import InlineVerifier
from node.telemetry.metrics import Metrics
from tests.support.pool_fakes import ADDITIONAL, GENESIS, PAIRS, FakeChain, FakeClock, FakeRuntime, child, make_xt


class Ticks:
    """A clock on which every look costs `step`."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class CountingVerifier:
    """A worker that counts and answers after a turn of the loop."""

    inline = False

    def __init__(self) -> None:
        self.batches = []

    async def verify(self, checks):
        self.batches.append(len(checks))
        await asyncio.sleep(0)
        return [check.run() for check in checks]

    async def close(self) -> None:
        pass


def make_pool(verifier=None, step=0.0, **limits) -> Pool:
    return Pool(
        FakeRuntime(), FakeChain(), FakeClock(), verifier=verifier, limits=Limits(**limits), seconds=Ticks(step)
    )


@pytest.fixture(params=["inline", "worker"])
async def pool(request):
    made = make_pool(None if request.param == "inline" else CountingVerifier())
    made.start()
    yield made
    await made.close()


@pytest.fixture
def checks(monkeypatch) -> list[bytes]:
    """Payloads whose signature was checked."""
    seen: list[bytes] = []

    def verify(kind: int, signature: bytes, payload: bytes, public: bytes) -> bool:
        seen.append(payload)
        return verify_multi(kind, signature, payload, public)

    monkeypatch.setattr("node.pool.pool.verify_multi", verify)
    monkeypatch.setattr("aitoken.crypto.checks.verify_multi", verify)
    return seen


async def test_good_transaction_gets_in_and_is_marked(pool, checks) -> None:
    xt = make_xt(1, 0)
    assert await pool.submit(xt.raw, source="a") == xt.hash
    assert pool.lookup(xt.hash).verified_for == ADDITIONAL
    assert len(checks) == 1


async def test_who_comes_in_is_announced(pool) -> None:
    told = []
    pool.on_ready(lambda some: told.extend(tx.hash for tx in some))
    known, new = make_xt(1, 0), make_xt(2, 0)
    await pool.submit(known.raw)
    await pool.submit(new.raw)
    await asyncio.sleep(0)
    assert told == [known.hash, new.hash]


async def test_of_two_of_one_nonce_in_a_batch_one_stays(pool) -> None:
    one, other = make_xt(1, 0), make_xt(1, 0, pad=1)
    outcomes = await pool.submit_many([one.raw, other.raw], "peer")
    assert outcomes[0] == one.hash
    assert isinstance(outcomes[1], PriorityTooLow)
    assert [xt.hash for xt in pool.iter_ready()] == [one.hash]
    assert pool.byte_count == len(one.raw)


async def test_bad_signature_is_1010_and_checked_once(pool, checks) -> None:
    xt = make_xt(1, 0, good=False)
    for _ in range(3):
        with pytest.raises(Invalid) as refused:
            await pool.submit(xt.raw, source="a")
        assert (refused.value.number, refused.value.data) == (1010, "Transaction has a bad signature")
    assert len(checks) == 1


async def test_remembered_bad_signature_is_checked_anew_after_a_while(pool, checks) -> None:
    xt = make_xt(1, 0, good=False)
    for now in (0, 60_000):
        pool._clock.now = now
        with pytest.raises(Invalid):
            await pool.submit(xt.raw, source="a")
    assert len(checks) == 2


async def test_cheap_checks_spare_the_signature(pool, checks) -> None:
    pool.on_best(child(GENESIS, [make_xt(1, 0)], poor=[2]))
    for xt, kind in ((make_xt(1, 0), Stale), (make_xt(2, 0), CannotPay)):
        with pytest.raises(Invalid) as refused:
            await pool.submit(xt.raw, source="a")
        assert isinstance(refused.value.cause, kind)
    with pytest.raises(Undecodable):
        await pool.submit(b"no", source="a")
    with pytest.raises(TooLarge):
        await pool.submit(bytes(256 * 1024 + 1), source="a")
    assert checks == []


async def test_same_bytes_at_once_are_checked_once(pool, checks) -> None:
    xt = make_xt(1, 0)
    results = await asyncio.gather(*(pool.submit(xt.raw, source=s) for s in "abc"), return_exceptions=True)
    assert results[0] == xt.hash
    assert all(isinstance(result, AlreadyImported) for result in results[1:])
    assert len(checks) == 1


async def test_giving_up_waiting_neither_stops_the_check_nor_the_others(pool) -> None:
    xt = make_xt(1, 0)
    first = asyncio.ensure_future(pool.submit(xt.raw, source="a"))
    second = asyncio.ensure_future(pool.submit(xt.raw, "b"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(AlreadyImported):
        await second
    assert pool.lookup(xt.hash) is not None


async def test_batch_answers_each_in_order(pool) -> None:
    good, bad = make_xt(1, 0), make_xt(2, 0, good=False)
    outcomes = await pool.submit_many([good.raw, b"junk", bad.raw, good.raw], "peer")
    assert outcomes[0] == good.hash
    assert await pool.submit_many([], "peer") == []
    assert [type(outcome) for outcome in outcomes[1:]] == [Undecodable, Invalid, AlreadyImported]


class Keeper:
    """Somebody who waits and keeps what he is told."""

    outcome: Rejected | None = None

    def keep(self, outcome: Rejected) -> None:
        self.outcome = outcome


async def refusal_of(pool, raw: bytes) -> weakref.ref:
    try:
        await pool.submit(raw)
    except Rejected as error:
        return weakref.ref(error)
    raise AssertionError("it was taken")


async def test_refusals_leave_nothing_to_the_collector(pool) -> None:
    there = make_xt(2, 0).raw
    await pool.submit(there)
    kept: list[weakref.ref] = []
    gc.disable()
    try:
        outcomes = await pool.submit_many([make_xt(1, 0, good=False).raw, b"junk", there], "peer")
        kept += [weakref.ref(outcome) for outcome in outcomes]
        kept.append(await refusal_of(pool, b"more junk"))
        keeper = Keeper()
        pool.submit_then(there, "peer", keeper.keep)
        kept.append(weakref.ref(keeper.outcome))
        del outcomes, keeper
        pool._banned.clear()
        await asyncio.sleep(0)
        assert [ref() for ref in kept] == [None] * 5
    finally:
        gc.enable()


async def test_watcher_hears_from_the_first_status_on(pool) -> None:
    stages = []
    await pool.submit(make_xt(1, 0).raw, lambda status: stages.append(status.stage.value))
    assert stages == ["ready"]


async def test_transaction_at_the_door_is_the_one_that_execution_gets(pool, checks) -> None:
    xt = make_xt(1, 0)
    waiting = asyncio.ensure_future(pool.submit(xt.raw))
    await asyncio.sleep(0)
    executed = pool.get(xt.hash)
    executed.verified_for = ADDITIONAL
    checks.clear()

    await waiting

    assert pool.get(xt.hash) is executed
    assert pool.lookup(xt.hash) is executed
    assert checks == []


async def test_nothing_is_got_for_unknown_or_undecodable_bytes(pool) -> None:
    assert pool.get(bytes(32)) is None
    junk = asyncio.ensure_future(pool.submit(b"junk"))
    await asyncio.sleep(0)
    assert pool.get(blake2_256(b"junk")) is None
    with pytest.raises(Undecodable):
        await junk


async def test_transaction_overtaken_by_a_block_is_stale(checks) -> None:
    pool = make_pool(slow := CountingVerifier())
    pool.start()
    xt = make_xt(1, 0)
    real = slow.verify

    async def verify(batch):
        pool.on_best(child(GENESIS, [xt]))
        return await real(batch)

    slow.verify = verify
    with pytest.raises(Invalid) as refused:
        await pool.submit(xt.raw, source="a")
    assert isinstance(refused.value.cause, Stale)
    await pool.close()


@pytest.mark.parametrize("was_built", [True, False])
async def test_who_brings_what_a_block_has_meanwhile_is_no_liar(pool, *, was_built: bool) -> None:
    xt = make_xt(1, 0, tip=5)
    brought = asyncio.ensure_future(pool.submit_many([xt.raw], "peer"))
    await asyncio.sleep(0)
    if was_built:
        pool.get(xt.hash).verified_for = ADDITIONAL  # as execution marks it
    pool.on_best(child(GENESIS, [xt]))
    (outcome,) = await brought
    assert isinstance(outcome.cause, Stale)
    assert ("peer" in pool._queue.doubts) != was_built


async def test_flood_of_one_source_delays_another_by_one_slice() -> None:
    pool = make_pool(step=door.SLICE_SECONDS / 4)
    pool.start()
    flood = [asyncio.ensure_future(pool.submit(make_xt(1, nonce).raw, source="flood")) for nonce in range(200)]
    await asyncio.sleep(0)
    small = asyncio.ensure_future(pool.submit(make_xt(2, 0).raw, source="small"))

    await small

    assert sum(task.done() for task in flood) <= 12
    await asyncio.gather(*flood)
    await pool.close()


async def test_slices_let_the_loop_run() -> None:
    pool = make_pool(step=door.SLICE_SECONDS / 4)
    pool.start()
    task = asyncio.ensure_future(pool.submit_many([make_xt(1, nonce).raw for nonce in range(64)], "peer"))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 16
    await pool.close()


async def test_full_lane_and_full_queue_answer_at_once() -> None:
    pool = make_pool(queue=4, queue_per_source=3)
    outcomes = []
    for nonce in range(3):
        pool._enter(make_xt(1, nonce).raw, "a", None, outcomes.append)
    with pytest.raises(Shed) as refused:
        await pool.submit(make_xt(1, 3).raw, source="a")
    assert (refused.value.number, refused.value.code) == (1016, "pool.shed")
    pool.start()
    await pool.submit(make_xt(2, 0).raw, source="b")
    assert len(outcomes) >= 1
    await pool.close()


async def test_work_after_a_block_is_done_without_submissions(pool) -> None:
    await pool.submit_many([make_xt(1, 0).raw, make_xt(1, 1).raw], "a")
    pool.on_best(child(GENESIS, [make_xt(1, 0)], poor=[1]))
    for _ in range(10):
        await asyncio.sleep(0)
    assert pool.ready_count == 0


async def test_who_pays_more_goes_first_and_who_leaves_for_it_is_told_the_tip_that_would_do() -> None:
    pool = make_pool(queue_per_source=2)
    told: dict[int, object] = {}
    tried = []
    for who, tip in ((1, 5), (2, 7), (3, 9), (4, 7)):
        pool.submit_then(make_xt(who, 0, tip).raw, "a", partial(told.__setitem__, who))
        tried.append(list(told))
    assert tried == [[], [], [], [4]]  # who leaves is answered later, when nobody is being let in
    await asyncio.sleep(0)
    assert [(who, refusal.code, refusal.number) for who, refusal in told.items()] == [
        (4, "pool.shed", 1016), (1, "pool.shed", 1016),
    ]  # fmt: skip
    assert [told[who].tip for who in (4, 1)] == [8, 8]
    assert "a tip of 8 would do now" in told[1].data
    pool.start()
    again = make_xt(1, 0, 8).raw
    assert await pool.submit(again, source="a") == blake2_256(again)
    assert pool.ready_count == 2
    assert (told[2].tip, told[3]) == (9, make_xt(3, 0, 9).hash)
    await pool.close()


async def test_promises_of_a_source_that_breaks_them_count_for_nothing_and_only_there(checks) -> None:
    """Bad signatures under high tips: the honest of the same address are served as they come, all others at once."""
    pool = make_pool(step=door.SLICE_SECONDS)
    pool.start()
    nonces = iter(range(1_000))

    def lie() -> None:
        pool.submit_then(make_xt(1, next(nonces), 1_000, good=False).raw, "shared", lambda _: lie())

    for _ in range(40):
        lie()
    honest = [asyncio.ensure_future(pool.submit(make_xt(2, nonce).raw, source="shared")) for nonce in range(3)]
    other = asyncio.ensure_future(pool.submit(make_xt(3, 0).raw, source="other"))
    await other
    assert len(checks) <= 4
    await asyncio.gather(*honest)
    assert len(checks) <= 60
    await pool.close()


async def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    pool = Pool(FakeRuntime(), FakeChain(), FakeClock(), metrics=metrics)
    pool.start()
    await pool.submit_many([make_xt(1, 0).raw, make_xt(1, 2).raw, b"junk"], "peer")

    await asyncio.sleep(0)
    await asyncio.sleep(0)
    shown = metrics.render().decode()

    assert "aitoken_pool_ready 1.0" in shown
    assert "aitoken_pool_future 1.0" in shown
    assert "aitoken_pool_accepted_total 2.0" in shown
    assert 'aitoken_pool_refused_total{code="pool.undecodable"} 1.0' in shown
    await pool.close()


def make_checks() -> list[Check]:
    pair = PAIRS[1]
    good = Check(0, pair.sign(b"payload"), b"payload", pair.public)
    return [good, Check(0, good.signature, b"other", pair.public), Check(2, b"", b"", pair.public), good]


def test_frames_to_the_worker_keep_everything() -> None:
    checks = make_checks()
    frame = pack(checks, len(checks))
    assert unpack(frame[8:]) == checks


async def test_inline_verifier_answers_in_order_and_yields() -> None:
    verdicts = await InlineVerifier(Ticks(1.0)).verify(make_checks())
    assert verdicts == [True, False, False, True]
