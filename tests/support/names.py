"""Names on a small runtime: committing, registering, and time that leaps."""

from __future__ import annotations

from typing import Any

from aitoken.names import commitment_of
from aitoken.types import BlockNumber
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.names_storage import COMMIT_BLOCKS
from tests.support.earn_chain import EarnChain
from tests.support.spending_chain import account

SALT = b"s" * 32


def commit(chain: EarnChain, who: str, name: bytes, blocks: int = COMMIT_BLOCKS) -> None:
    chain.run(who, "Names.commit", commitment_of(account(who), SALT, name))
    chain.system.number.put(BlockNumber(chain.system.number.get() + blocks))


def register(chain: EarnChain, who: str, name: bytes, years: int = 1) -> list[Any]:
    commit(chain, who, name)
    return chain.run(who, "Names.register", name, years, SALT)


def leap(chain: EarnChain, ms: int) -> None:
    """Let time pass as if there had been blocks, which have read the agenda up to the first entry that is left."""
    chain.set_time(chain.now + ms)
    slots = [slot for (slot, _), _ in chain.names.agenda.items()]
    chain.names.agenda_front.put((min([chain.now // SLOT_MS, *slots]), 0))
