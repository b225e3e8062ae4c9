"""Any history of names agrees with a model that knows nothing of skeletons, agendas and holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.types import Hash32
from chain.frame.errors import DispatchError
from chain.pallets.ai.agenda import SLOT_MS
from chain.pallets.ai.deposits import deposit
from chain.pallets.ai.names_storage import (
    BOND_SIZE,
    CHALLENGE_STEPS,
    GRACE_MS,
    NAME_BYTES,
    RENT,
    YEAR_MS,
    YEARS_MAX,
)
from chain.pallets.ai.names_types import Everybody, For, NameCase, Nobody
from chain.pallets.ai.pay_types import ToAccount
from tests.support.earn_chain import EarnChain
from tests.support.names import SALT, commit, leap
from tests.support.spending_chain import DAY, account, ait

PROOF = Hash32(b"p" * 32)
KEPT = deposit(NAME_BYTES)
STEP = 60_000
CHALLENGED = CHALLENGE_STEPS * STEP

NAMES = (b"golden", b"g0lden", b"go-lden", b"silver", b"s1lver", b"bronze")
PEOPLE = ("alice", "bob", "eve")
STEPS = (STEP, CHALLENGED, DAY, 40 * DAY, 100 * DAY, YEAR_MS)
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["register"] * 3 + ["wait"] * 2
            + ["renew", "transfer", "release", "challenge", "rule", "reserve", "settle"]
        ),
        st.integers(0, len(NAMES) - 1),
        st.integers(0, len(PEOPLE) - 1),
        st.integers(0, 5),
    ),
    max_size=40,
)  # fmt: skip


class Known:
    """What the model knows of a name."""

    def __init__(self, owner: str, expires: int) -> None:
        self.owner, self.expires = owner, expires
        self.challenger: str | None = None
        self.until = 0
        self.frozen = False


class History:
    """A history on the chain and on a model that knows nothing of skeletons, agendas and holds but what looks alike."""

    def __init__(self) -> None:
        self.chain = EarnChain(money=100_000)
        self.known: dict[bytes, Known] = {}
        self.money = dict.fromkeys(PEOPLE, ait(100_000))
        self.reserved: dict[bytes, str | None] = {}

    @staticmethod
    def alike(name: bytes) -> bytes:
        return name.replace(b"0", b"o").replace(b"1", b"i").replace(b"-", b"")

    def attempt(self, allowed: bool, who: str, call: str, *args: Any) -> bool:
        try:
            self.chain.run(who, call, *args)
        except DispatchError:
            assert not allowed, (who, call, args)
            return False
        assert allowed, (who, call, args)
        return True

    def forget_old(self, name: bytes | None = None) -> None:
        """What time has done to a name, or to all of them."""
        now = self.chain.now
        for each, row in list(self.known.items()):
            if name not in (None, each):
                continue
            if row.challenger is not None and now >= row.until:
                self.money[row.challenger] -= BOND_SIZE
                self.money[row.owner] += BOND_SIZE
                row.challenger = None
            if row.challenger is None and now >= row.expires + GRACE_MS:
                del self.known[each]

    def live(self, name: bytes) -> Known | None:
        row = self.known.get(name)
        return row if row is not None and not row.frozen and self.chain.now < row.expires else None

    def register(self, name: bytes, who: str, years: int) -> None:
        chain = self.chain
        commit(chain, who, name)
        alike = self.alike(name)
        other = next((each for each in self.known if self.alike(each) == alike), None)
        row = self.known.get(other) if other is not None else None
        gone = row is not None and row.challenger is None and chain.now >= row.expires + GRACE_MS
        free = alike not in self.reserved or (self.reserved[alike] == who and name == alike)
        if self.attempt(free and (row is None or gone) and years > 0, who, "Names.register", name, years, SALT):
            if other is not None:
                del self.known[other]
            self.known[name] = Known(who, chain.now + years * YEAR_MS)
            self.money[who] -= years * RENT
        chain.run(who, "Names.commit", None)

    def renew(self, name: bytes, who: str, years: int) -> None:
        row, now = self.known.get(name), self.chain.now
        good = row is not None and not row.frozen and now < row.expires + GRACE_MS and years > 0
        good = good and row is not None and row.expires + years * YEAR_MS <= now + YEARS_MAX * YEAR_MS
        if self.attempt(good, who, "Names.renew", name, years):
            self.known[name].expires += years * YEAR_MS
            self.money[who] -= years * RENT

    def transfer(self, name: bytes, who: str, to: int) -> None:
        row, dest = self.live(name), PEOPLE[to % 3]
        good = row is not None and row.owner == who and row.challenger is None
        if self.attempt(good, who, "Names.transfer", name, account(dest)) and dest != who:
            self.known[name].owner = dest
            self.money[who] -= KEPT
            self.money[dest] += KEPT

    def release(self, name: bytes, who: str, _: int) -> None:
        row = self.known.get(name)
        good = row is not None and row.owner == who and row.challenger is None and not row.frozen
        if self.attempt(good, who, "Names.release", name):
            del self.known[name]

    def challenge(self, name: bytes, who: str, _: int) -> None:
        row = self.live(name)
        good = row is not None and row.challenger is None
        if self.attempt(good, who, "Names.challenge", NameCase(name), PROOF):
            self.known[name].challenger, self.known[name].until = who, self.chain.now + CHALLENGED

    def rule(self, name: bytes, _: str, upheld: int) -> None:
        row = self.known.get(name)
        good = row is not None and row.challenger is not None
        if self.attempt(good, "root", "Names.rule", NameCase(name), bool(upheld % 2)) and row is not None:
            challenger, row.challenger = row.challenger, None
            assert challenger is not None
            amount = KEPT if upheld % 2 else -BOND_SIZE
            self.money[challenger] += amount
            self.money[row.owner] -= amount
            row.frozen = bool(upheld % 2)

    def reserve(self, name: bytes, who: str, how: int) -> None:
        alike = self.alike(name)
        official = alike  # what the model calls it is the name without look-alikes
        terms = (Nobody(), For(account(who)), Everybody())[how % 3]
        self.attempt(True, "root", "Names.reserve", [official], terms)
        self.reserved |= {alike: (None, who, None)[how % 3]}
        if how % 3 == 2:
            del self.reserved[alike]
        for each in [each for each, row in self.known.items() if self.alike(each) == alike and row.frozen]:
            del self.known[each]

    def settle(self, name: bytes, who: str, _: int) -> None:
        row, now = self.known.get(name), self.chain.now
        good = row is not None and now >= (row.until if row.challenger is not None else row.expires + GRACE_MS)
        if self.attempt(good, who, "Names.settle", NameCase(name)):
            self.forget_old(name)

    def wait(self, _: bytes, __: str, which: int) -> None:
        """Time passes, and then enough blocks for all that is due."""
        chain = self.chain
        leap(chain, STEPS[which] + -(chain.now + STEPS[which]) % SLOT_MS)
        for _block in NAMES:
            leap(chain, 0)
            chain.wait(0)
        self.forget_old()

    def check(self) -> None:
        chain = self.chain
        chain.check()
        assert {name for name, _ in chain.names.names.items()} == set(self.known)
        for name, row in self.known.items():
            target = chain.names.target_of(name)
            assert target == (None if self.live(name) is None else ToAccount(account(row.owner)))
        for who, amount in self.money.items():
            held = sum(hold.amount for hold in chain.balances.holds.get(account(who)))
            assert chain.free(who) + held == amount


@settings(max_examples=60)
@given(ACTIONS)
def test_any_history_agrees_with_the_model(actions: list[tuple[str, int, int, int]]) -> None:
    history = History()
    for action, name, who, number in actions:
        step: Callable[..., None] = getattr(history, action)
        step(NAMES[name], PEOPLE[who], number)
        history.check()
