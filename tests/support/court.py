"""A paid session somebody complains about, and people who judge; on `tests.support.spending_chain`."""

from __future__ import annotations

from typing import Any

from aitoken.pay.seals import commitment
from aitoken.types import AccountId, Hash32
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.disputes_types import Committing, OfSession
from tests.support.spending_chain import SpendingChain, account, ait

SESSION = Hash32(b"S" * 32)
SUBJECT = OfSession(SESSION)
ROOT = b"e" * 32
SALT = b"s" * 32
AMOUNT = ait(200)
ARBITERS = [AccountId(bytes([200 + index]) * 32) for index in range(12)]


def court(arbiters: int = 12) -> SpendingChain:
    """A session for which Alice paid 200, and people who judge."""
    chain = SpendingChain(money=2000)
    chain.market.sessions[SESSION] = (account("alice"), 7, AMOUNT)
    for who in ARBITERS[:arbiters]:
        chain.run("dave", "Balances.transfer_keep_alive", who, ait(110))
        chain.run(who, "Disputes.register_arbiter", ait(100))
    chain.wait(0)
    return chain


def opened(chain: SpendingChain, amount: int = AMOUNT) -> int:
    return int(chain.run("alice", "Disputes.open", SUBJECT, amount, ROOT, [])[-1].case)


def answered(chain: SpendingChain) -> int:
    case = opened(chain)
    chain.run("operator", "Disputes.respond", case, ROOT)
    return case


def seated(chain: SpendingChain) -> tuple[int, list[AccountId]]:
    case = answered(chain)
    chain.set_time(chain.now + 2 * SLOT_MS)
    chain.run("eve", "Disputes.advance", case)
    return case, [seat.arbiter for seat in chain.disputes.panels.get(case)]


def vote(chain: SpendingChain, case: int, awards: dict[AccountId, int], panel: int = 0) -> None:
    for who, award in awards.items():
        chain.run(who, "Disputes.commit", case, commitment(case, panel, who, award, SALT))
    if isinstance(phase(chain, case), Committing):
        pass_phase(chain, case)
    for who, award in awards.items():
        chain.run(who, "Disputes.reveal", case, award, SALT)


def phase(chain: SpendingChain, case: int) -> Any:
    return chain.disputes.cases.get(case).phase


def pass_phase(chain: SpendingChain, case: int) -> None:
    chain.set_time(phase(chain, case).until)
    chain.run("eve", "Disputes.advance", case)


def moved(chain: SpendingChain, who: str | AccountId, before: int) -> int:
    return chain.free(who) - before
