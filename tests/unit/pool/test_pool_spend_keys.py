"""The pool and spend keys: a grant that is not good is refused at the door, one that is lets in what it can pay for."""

from __future__ import annotations

from typing import Any

import pytest

from aitoken.types import AIT
from chain.pallets.ai.allowances_types import Limits, Purpose, Scope
from node.pool.errors import Invalid
from node.pool.limits import Limits as PoolLimits
from node.pool.pool import Pool
from node.pool.rules import Rules
from node.ports import Block
from tests.support.pay_chain import PayChain, account, spending
from tests.support.pool_fakes import FakeChain, FakeClock
from tests.support.spending_chain import DAY

CANNOT_PAY = "Inability to pay some fees (e.g. account balance too low)"


def head_of(chain: PayChain) -> Block:
    body = chain.blocks[-1].body if chain.blocks else ()
    return Block(chain.header.hash, chain.header, body, chain.state)


def granted(total: int) -> PayChain:
    """A chain on which an agent without money may spend so much of the payer's."""
    chain = PayChain()
    limits = Limits(total, total, total, 0)
    terms = (account("agent"), limits, Scope([Purpose.Transfer], []), chain.time_ms + DAY, None)
    chain.run("payer", "Allowances.grant", *terms)
    return chain


async def pool_of(chain: PayChain) -> Pool:
    instance = chain.runtime.new_instance()
    head = head_of(chain)
    pool = Pool(Rules(instance.executive, instance.system), FakeChain(head, head), FakeClock(), limits=PoolLimits())
    pool.start()
    return pool


def spend(chain: PayChain, nonce: int, amount: int = AIT) -> Any:
    return spending(chain, 0, chain.schema.make_call("Balances.transfer_keep_alive", account("other"), amount), nonce)


async def test_a_key_without_money_is_let_in_and_not_after_its_grant_is_revoked() -> None:
    chain = granted(50 * AIT)
    pool, first = await pool_of(chain), chain.system.account.get(account("agent")).nonce
    await pool.submit(spend(chain, first).raw)
    assert len(pool.ready()) == 1

    chain.block(*pool.iter_ready())
    pool.on_best(head_of(chain))
    assert not pool.ready()
    await pool.submit(spend(chain, first + 1).raw)
    chain.block(chain.signed("payer", "Allowances.revoke_all"))
    pool.on_best(head_of(chain))
    with pytest.raises(Invalid) as refused:
        await pool.submit(spend(chain, first + 2).raw)
    assert (refused.value.number, refused.value.data) == (1010, CANNOT_PAY)
    (waiting,) = pool.iter_ready()  # its owner's block did not touch its sender; the builder finds out
    with pytest.raises(Exception) as found:  # noqa: PT011 - whichever; the pool is told of it
        chain.block(waiting)
    pool.reject(waiting.hash, found.value)
    assert not pool.ready()
    await pool.close()


async def test_what_waits_of_a_key_is_no_more_than_its_grant_pays_for() -> None:
    total = AIT // 50
    chain = granted(total)
    pool, first = await pool_of(chain), chain.system.account.get(account("agent")).nonce
    covered = total // cost(chain, first)
    assert 1 < covered < 60
    for nonce in range(first, first + covered):
        await pool.submit(spend(chain, nonce, 900 * AIT).raw)
    with pytest.raises(Invalid) as refused:
        await pool.submit(spend(chain, first + covered, 900 * AIT).raw)
    assert refused.value.data == CANNOT_PAY
    assert len(pool.ready()) == covered
    await pool.close()


def cost(chain: PayChain, nonce: int) -> int:
    """What one of them is charged."""
    executive = chain.runtime.new_instance().executive
    executive.load_for_next(chain.state, chain.header.number, chain.header.hash)
    return int(executive.validate(spend(chain, nonce, 900 * AIT), chain.header.number + 1).cost)
