"""The pool over the real runtime: which error a wallet sees, and blocks built from the pool."""

import pytest

from aitoken.crypto.derive import pair_from_uri
from aitoken.proto.era import Era
from aitoken.proto.extrinsic import Extrinsic
from aitoken.types import AIT
from node.pool.errors import Invalid, PriorityTooLow, Undecodable, UnknownValidity
from node.pool.limits import Limits
from node.pool.pool import Pool
from node.pool.rules import Rules
from node.ports import Block
from tests.support.pool_fakes import FakeChain, FakeClock
from tests.support.small_runtime import ALICE, BOB, Chain, account, assemble


@pytest.fixture
def chain() -> Chain:
    return Chain()


@pytest.fixture
async def pool(chain):
    head = Block(chain.header.hash, chain.header, (), chain.state)
    _, system, _, _, executive = assemble(chain.schema)
    pool = Pool(Rules(executive, system), FakeChain(head, head), FakeClock(), limits=Limits())
    pool.start()
    yield pool
    await pool.close()


def extend(chain, pool) -> Block:
    """Build a block from the pool, as a leader would, and make it the head."""
    chain.open()
    for xt in pool.iter_ready():
        chain.executive.apply(xt)
    executed = chain.seal()
    block = Block(executed.header.hash, executed.header, executed.body, executed.state)
    pool.on_block(block)
    pool.on_best(block)
    return block


def pay(chain, nonce, **terms) -> Extrinsic:
    return chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), AIT, nonce=nonce, **terms)


async def test_transfers_go_from_the_pool_into_blocks(chain, pool) -> None:
    stages = []
    later, first = pay(chain, 1), pay(chain, 0)
    await pool.submit(later.raw, lambda status: stages.append(status.stage.value))
    await pool.submit(first.raw)

    block = extend(chain, pool)

    assert [xt.raw for xt in block.body[-2:]] == [first.raw, later.raw]
    assert stages == ["future", "ready", "inBlock"]
    assert pool.next_nonce(account(ALICE), 2) == 2
    with pytest.raises(Invalid) as refused:
        await pool.submit(first.raw)
    assert refused.value.data == "Transaction is outdated"


async def test_execution_checks_no_signature_again(chain, pool, monkeypatch) -> None:
    await pool.submit(pay(chain, 0).raw)
    monkeypatch.setattr("chain.frame.executive.verify_multi", lambda *_: pytest.fail("checked again"))
    assert len(extend(chain, pool).body) == 2


async def test_mortal_transaction_is_good_until_its_era_ends(chain, pool) -> None:
    extend(chain, pool)
    era = Era.mortal(4, 1)
    xt = pay(chain, 1, era=era, birth=chain.header.hash)
    stages = []
    await pool.submit(xt.raw, lambda status: stages.append(status.stage.value))
    while chain.header.number + 1 < era.death(2):
        assert stages == ["future"]
        extend(chain, pool)
    assert stages == ["future", "invalid"]


async def test_wrong_genesis_is_a_bad_signature(chain, pool) -> None:
    chain.genesis_hash = b"\x11" * 32
    with pytest.raises(Invalid) as refused:
        await pool.submit(pay(chain, 0).raw)
    assert refused.value.data == "Transaction has a bad signature"


async def test_signature_not_checked_is_not_marked(chain, pool) -> None:
    xt = pay(chain, 0)
    parsed = pool.examine(pool._runtime.parse(xt.raw)).xt
    assert parsed.verified_for is None


async def test_poor_sender_cannot_pay(chain, pool) -> None:
    xt = chain.sign(pair_from_uri("//Nobody", "ed25519"), "System.remark", b"", nonce=0)
    with pytest.raises(Invalid) as refused:
        await pool.submit(xt.raw)
    assert refused.value.data == "Inability to pay some fees (e.g. account balance too low)"


def owner_of(chain: Chain, fees: int) -> Chain:
    """A chain whose Alice can pay for so many of her transfers, and no more."""
    length = len(pay(chain, 0).raw)
    fee = chain.payment.fee(length, chain.schema.make_call("Balances.transfer_keep_alive", account(BOB), AIT).weight)
    return Chain({account(ALICE): chain.schema.params.existential_deposit + fees * fee, account(BOB): AIT})


async def pool_of(chain: Chain) -> Pool:
    head = Block(chain.header.hash, chain.header, (), chain.state)
    _, system, _, _, executive = assemble(chain.schema)
    pool = Pool(Rules(executive, system), FakeChain(head, head), FakeClock(), limits=Limits())
    pool.start()
    return pool


CANNOT_PAY = "Inability to pay some fees (e.g. account balance too low)"


async def test_all_that_waits_of_a_sender_has_to_be_payable() -> None:
    chain = owner_of(Chain(), 3)
    pool = await pool_of(chain)
    for nonce in (0, 2, 1):
        await pool.submit(pay(chain, nonce).raw)
    with pytest.raises(Invalid) as refused:
        await pool.submit(pay(chain, 3).raw)
    assert (refused.value.number, refused.value.data) == (1010, CANNOT_PAY)
    with pytest.raises(Invalid) as refused:
        await pool.submit(pay(chain, 1, tip=10**9).raw)
    assert refused.value.data == CANNOT_PAY
    assert len(pool.ready()) == 3
    await pool.close()


async def test_one_in_the_place_of_another_costs_only_the_difference() -> None:
    chain = owner_of(Chain(), 3)
    pool = await pool_of(chain)
    first, second, tipped = pay(chain, 0), pay(chain, 1), pay(chain, 1, tip=10**8)
    await pool.submit(first.raw)
    await pool.submit(second.raw)
    await pool.submit(tipped.raw)
    assert pool.ready() == [first.raw, tipped.raw]
    await pool.close()


async def test_what_cannot_be_paid_any_more_goes_from_the_end() -> None:
    chain = owner_of(Chain(), 4)
    pool = await pool_of(chain)
    stages: list[list[str]] = [[] for _ in range(4)]
    spends = chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), AIT // 1000, nonce=0)
    rows = [spends, *[pay(chain, nonce) for nonce in (1, 2, 3)]]
    for row, told in zip(rows, stages, strict=True):
        await pool.submit(row.raw, lambda status, told=told: told.append(status.stage.value))
    chain.open()
    chain.executive.apply(spends)
    executed = chain.seal()
    block = Block(executed.header.hash, executed.header, executed.body, executed.state)
    pool.on_block(block)
    pool.on_best(block)
    pool.work(100)

    assert [told[-1] for told in stages] == ["inBlock", "ready", "invalid", "invalid"]
    assert pool.ready() == [rows[1].raw]
    await pool.close()


async def test_inherent_and_other_addresses_are_refused(chain, pool) -> None:
    inherent = extend(chain, pool).body[0]
    with pytest.raises(Invalid) as refused:
        await pool.submit(inherent.raw)
    assert refused.value.data.startswith("Transaction dispatch is mandatory")
    raw = pay(chain, 0).raw
    raw20 = raw[:3] + b"\x04" + raw[4:24] + raw[36:]
    length = len(raw20) - 2
    with pytest.raises(UnknownValidity) as unknown:
        await pool.submit((length << 2 | 1).to_bytes(2, "little") + raw20[2:])
    assert (unknown.value.number, unknown.value.data) == (1011, "CannotLookup")


async def test_unknown_call_is_undecodable(chain, pool) -> None:
    raw = pay(chain, 0).raw
    with pytest.raises(Undecodable) as refused:
        await pool.submit(raw.replace(b"\x04\x03\x00" + account(BOB), b"\xfe\x03\x00" + account(BOB)))
    assert refused.value.number == 1001


async def test_any_tip_replaces_a_transaction_without_one(chain, pool) -> None:
    await pool.submit(pay(chain, 0).raw)
    tipped = pay(chain, 0, tip=1)
    await pool.submit(tipped.raw)
    with pytest.raises(PriorityTooLow):
        await pool.submit(chain.sign(ALICE, "Balances.transfer_keep_alive", account(BOB), 2 * AIT, nonce=0).raw)
    assert pool.ready() == [tipped.raw]


async def test_what_an_envelope_promises_is_the_priority_its_tip_gives_it(chain, pool) -> None:
    rules = pool._runtime
    for nonce, tip in enumerate((0, 1, 10**6, 10**12 + 7)):
        xt = rules.parse(pay(chain, nonce, tip=tip).raw)
        worth = rules.worth(xt)
        assert worth == rules.check(pool._best, xt).priority
        least = rules.tip_for(xt, worth)
        assert least <= tip
        xt.tip = least
        assert rules.worth(xt) == worth
        xt.tip = least - 1
        assert least == 0 or rules.worth(xt) < worth
