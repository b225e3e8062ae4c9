"""Random histories of one session on the real pallets: requests, lost answers, crashes, claims, lies, closings.

Both sides follow the protocol or not, at random:

* an honest provider reserves before it serves, retires its lanes after a crash, claims what it can prove and shows what
  is demanded; a lying one also claims too much, signs two receipts of one number, charges too much, breaks its chain of
  receipts, or withholds receipts;
* an honest payer countersigns what it got; a malicious one also acknowledges less than it owes and shows that to the
  chain itself, claims tails of its own making, demands honest receipts, changes its key, closes at any time;
* anybody shows the chain old vouchers.

After every step a plain model of the claim rules (section 14 of the payments paper, with R7 as it is here) says what
every lane must come to, and the session's numbers add up. In the end

    paid <= deposit;  an honest provider was never slashed and, unless it crashed, is paid exactly its receipts;
    every lie about a request whose receipt the payer holds was slashed;
    no payer paid more than its receipts and the highest ceilings it signed at the present number of each lane.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from aitoken.pay.layouts import Receipt, Voucher, ack0
from aitoken.types import AIT, Balance, Hash32
from chain.frame import errors
from chain.pallets.ai import sessions_types as t
from chain.pallets.ai.providers_types import ProvidersHoldReason
from tests.support.pay_chain import PayChain, account
from tests.support.pay_session import PaySession, check_sessions

LANES = 4
PRICE = 2_000_000
"""Base units of one input token under the book of these histories."""
BOND = 5_000 * AIT
STEPS = 30


@dataclass
class Reference:
    """Section 14's state machine of one session: what claims do to lanes."""

    deposit: int
    paid: dict[int, int] = field(default_factory=dict)
    tails: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)

    def total(self) -> int:
        lanes = self.paid.keys() | self.tails.keys()
        return sum(max(self.paid.get(lane, 0), self.tails.get(lane, (0,))[0]) for lane in lanes)

    def claim(self, lane: int, voucher: Voucher, total: int, receipt_seq: int, receipt_hash: bytes) -> bool:
        seq, acked, ceiling = voucher.seq, voucher.acked, voucher.ceiling
        if receipt_seq not in (seq, seq + 1) or not acked <= total <= ceiling:
            return False  # R1, R2
        if receipt_seq == seq and total != acked:
            return False
        done, tail = self.paid.get(lane, 0), self.tails.get(lane)
        if total < done:
            return False  # R3
        left = tail
        if tail and seq >= tail[1] and acked >= tail[0]:
            left = None  # R7
        elif tail and (total, receipt_seq, receipt_hash) != tail:
            return False
        before = self.total()
        self.paid[lane] = max(done, acked)  # R5
        self.tails.pop(lane, None)
        if left:
            self.tails[lane] = left
        elif receipt_seq == seq + 1 and total > self.paid[lane]:
            self.tails[lane] = (total, receipt_seq, receipt_hash)  # R6
        if self.total() > self.deposit:  # R4
            self.paid[lane] = done
            self.tails.pop(lane, None)
            if tail:
                self.tails[lane] = tail
            assert self.total() == before
            return False
        return True

    def settle(self, lane: int) -> None:
        """The tail waited its time."""
        if lane in self.tails:
            self.paid[lane] = max(self.paid.get(lane, 0), self.tails.pop(lane)[0])


@dataclass
class ServedLane:
    """A lane as the provider knows it."""

    receipts: list[Receipt] = field(default_factory=list)
    voucher: Voucher | None = None
    key: str = "key"
    retired: bool = False

    @property
    def total(self) -> int:
        return int(self.receipts[-1].lane_total) if self.receipts else 0


@dataclass
class PaidLane:
    """A lane as the payer knows it: the receipts it got, and the highest ceiling at the present number.

    `unseen` is the ceiling under which a tail was paid whose receipt the payer did not have, and did not demand.
    """

    receipts: list[Receipt] = field(default_factory=list)
    ceiling: int = 0
    unseen: int = 0

    @property
    def total(self) -> int:
        return int(self.receipts[-1].lane_total) if self.receipts else 0


class Bench:
    """A chain with a provider, put back before every history."""

    def __init__(self) -> None:
        self.chain = PayChain(tailMs=4_000, noticeMs=3_000)
        self.chain.begin()
        self.chain.sell(bond=BOND // AIT)
        self.chain.state = self.chain.state.child(self.chain.machine.store.changes())
        self.chain.look()

    def reset(self) -> PayChain:
        """Begin anew."""
        self.chain.busy = False
        self.chain.look()
        return self.chain


class History:
    """One history; `run` plays it and checks everything."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.random = random.Random(seed)
        self.chain = bench.reset()
        self.lying = self.random.random() < 0.4
        self.hostile = self.random.random() < 0.5
        amount = self.random.choice((1, 20, 1_000)) * AIT // 10
        self.session = PaySession(
            self.chain, 1, amount=amount, lanes=LANES, expires=self.random.randrange(10, 60), grace=5, salt=seed
        )
        self.reference = Reference(amount)
        self.deposit = amount
        self.served = {lane: ServedLane() for lane in range(LANES)}
        self.bought = {lane: PaidLane() for lane in range(LANES)}
        self.saved = 0
        self.key = "key"
        self.crashed = self.lied = False
        self.slashes = 0
        self.old: list[t.ClaimItem] = []
        self.owed: dict[int, int] = {}

    # ---------------------------------------------------------------------------------------------- the steps

    def run(self) -> None:
        """Play the history and check it."""
        steps: list[tuple[int, Any]] = [(12, self.request), (5, self.claim), (2, self.pass_time), (1, self.replay)]
        steps += [(1, self.top_up), (1, self.idle), (1, self.hurry)]
        if not self.lying:
            steps += [(1, self.crash)]
        if self.hostile:
            steps += [(2, self.acknowledge_less), (1, self.make_up_a_tail), (1, self.demand), (1, self.change_key)]
            steps += [(1, self.acknowledge_more)]
        if self.lying:
            steps += [(2, self.claim_too_much), (1, self.sign_twice), (1, self.break_the_chain), (1, self.overcharge)]
            steps += [(1, self.demand)]
        weights = [weight for weight, _ in steps]
        for _ in range(self.random.randrange(1, STEPS)):
            if not self.is_open:
                break
            self.random.choices(steps, weights)[0][1]()
            self.check()
        self.finish()
        self.check_end()

    @property
    def is_open(self) -> bool:
        return self.session.is_stored and isinstance(self.session.state.state, t.Open)

    def request(self) -> None:
        """A paid request on a free lane: voucher, answer, receipt; the answer may be lost."""
        random, number = self.random, self.random.randrange(LANES)
        lane, bought = self.served[number], self.bought[number]
        if lane.retired:
            return
        cost = random.choice((1, PRICE, 3 * PRICE, self.deposit // 7))
        acked = bought.total
        ceiling = max(acked + cost, bought.ceiling if random.random() < 0.5 else 0)
        seq = len(bought.receipts)
        ack = bought.receipts[-1].hash if bought.receipts else ack0(self.session.id, number)
        voucher = self.session.voucher(number, seq, acked, ceiling, ack=ack)
        bought.ceiling = max(bought.ceiling, ceiling)
        if seq < len(lane.receipts):
            self.deliver(number, lane.receipts[seq])  # the answer before was lost: the payer is told where the lane is
            return
        if seq > len(lane.receipts) or acked != lane.total:
            return
        others = sum(
            max(each.total, int(each.voucher.ceiling) if each.voucher else 0)
            for place, each in self.served.items()
            if place != number
        )
        if others + ceiling > self.deposit:
            return
        lane.voucher, lane.key = voucher, self.key
        self.old.append(self.session.item(voucher, key=self.key))
        charge = min(random.randrange(0, cost + 1), ceiling - lane.total)
        receipt = self.session.receipt(number, seq + 1, charge, lane.receipts[-1] if lane.receipts else None)
        lane.receipts.append(receipt)
        if random.random() < 0.85:
            self.deliver(number, receipt)

    def deliver(self, number: int, receipt: Receipt) -> None:
        bought = self.bought[number]
        bought.receipts.append(receipt)
        bought.ceiling = bought.total
        self.watch(number)

    def watch(self, number: int) -> None:
        """The payer compares a tail with the receipt it holds, and proves a difference."""
        state = self.chain.sessions.lane(self.session.id, number)
        if state is None or state.tail is None:
            return
        held = [each for each in self.bought[number].receipts if each.seq == state.tail.seq]
        if held and (held[0].hash, held[0].lane_total) != (state.tail.receipt_hash, state.tail.total):
            damage = max(0, state.tail.total - int(held[0].lane_total))
            self.punish(number, t.OverClaim(self.session.signed(held[0])), damage)
            self.reference.tails.pop(number)

    def idle(self) -> None:
        """The payer countersigns what it has, without a request."""
        number = self.random.randrange(LANES)
        lane, bought = self.served[number], self.bought[number]
        if lane.retired or not bought.receipts or len(bought.receipts) != len(lane.receipts):
            return
        lane.voucher = self.session.voucher(
            number, len(bought.receipts), bought.total, bought.total, ack=bought.receipts[-1].hash
        )
        lane.key = self.key

    def claim(self) -> None:
        """The provider claims some lanes, or all."""
        self.send([self.best(number) for number in self.served if self.random.random() < 0.7])

    def best(self, number: int) -> tuple[t.ClaimItem, Voucher, int, int, bytes] | None:
        """The best claim an honest provider has for a lane."""
        lane = self.served[number]
        if lane.voucher is None:
            return None
        voucher, count = lane.voucher, len(lane.receipts)
        if count == voucher.seq + 1 and lane.total > voucher.acked:
            receipt = lane.receipts[-1]
            end = t.Tailed(receipt.lane_total, receipt.hash)
            item = self.session.item(voucher, end, key=lane.key)
            return item, voucher, lane.total, receipt.seq, receipt.hash
        return self.session.item(voucher, key=lane.key), voucher, int(voucher.acked), voucher.seq, b""

    def send(self, claims: list[tuple[t.ClaimItem, Voucher, int, int, bytes] | None], who: str = "operator") -> int:
        """Claim, and compare with the reference; how many were accepted."""
        found = [claim for claim in claims if claim is not None]
        if not found:
            return 0
        self.settle_ripe(*(claim[0].lane for claim in found))
        events = self.session.claim(*(claim[0] for claim in found), who=who)
        accepted = 0
        for (item, voucher, total, seq, digest), event in zip(found, events, strict=True):
            if isinstance(item.end, t.Tailed) and who != "operator":
                assert event.problem is t.ClaimProblem.NotByProvider
                continue
            if getattr(event, "problem", None) is t.ClaimProblem.BadSignature:
                assert self.served[item.lane].key != self.key, "the key was not changed"
                continue
            expected = self.reference.claim(item.lane, voucher, total, seq, digest)
            done = type(event).__name__ == "Claimed"
            assert done == expected, (item, event)
            accepted += done
        return accepted

    def settle_ripe(self, *lanes: int) -> None:
        """Let the reference know of tails the chain pays before it looks at a claim."""
        for number in lanes:
            state = self.chain.sessions.lane(self.session.id, number)
            tail = None if state is None else state.tail
            if tail is not None and tail.demand is None and self.is_ripe(tail):
                self.chain.call("stranger", "Sessions.finalize", self.session.id, [number])
                self.tail_paid(number)

    def tail_paid(self, number: int) -> None:
        """A tail waited its time."""
        tail, bought = self.reference.tails.get(number), self.bought[number]
        if tail is not None and tail[1] > len(bought.receipts):
            bought.unseen = max(bought.unseen, bought.ceiling)
        self.reference.settle(number)

    def is_ripe(self, tail: t.LaneTail) -> bool:
        return self.chain.now >= tail.ripe_at and self.chain.number >= tail.ripe_from

    def pass_time(self) -> None:
        """Time and blocks pass; the chain settles by itself what is ripe."""
        self.blocks(self.random.choice((0, 500, 4_000)), self.random.choice((1, 2, 5)))

    def blocks(self, ms: int, count: int) -> None:
        """Make blocks, and watch each: when the session closes, the provider claims what it has."""
        for step in range(count):
            self.chain.busy = self.random.random() < 0.1
            self.chain.pass_time(0 if step else ms)
            self.chain.busy = False
            if self.follow():
                self.claim_all()

    def follow(self) -> bool:
        """Take over what the chain did by itself; whether the session begins to close."""
        closes = False
        for event in self.chain.emitted():
            if type(event).__name__ == "TailPaid":
                self.tail_paid(event.lane)
            elif type(event).__name__ == "TailReturned":
                self.reference.tails.pop(event.lane, None)
            elif type(event).__name__ == "CloseRequested":
                closes = True
        return closes

    def replay(self) -> None:
        """Somebody shows an old voucher."""
        if self.old:
            item = self.random.choice(self.old)
            voucher = self.session.voucher(
                item.lane, item.seq, item.acked, item.ceiling, ack=item.ack, valid_until=item.valid_until
            )
            if self.chain.sessions.sessions.get(self.session.id).key == account(self.key):
                self.send([(item, voucher, int(item.acked), item.seq, b"")], who="stranger")

    def hurry(self) -> None:
        """Somebody wants a tail to be paid now."""
        number = self.random.randrange(LANES)
        state = self.chain.sessions.lane(self.session.id, number)
        ripe = state is not None and state.tail is not None and state.tail.demand is None and self.is_ripe(state.tail)
        try:
            self.chain.call("stranger", "Sessions.finalize", self.session.id, [number])
        except errors.DispatchError:
            assert not ripe
        told = [type(event).__name__ for event in self.chain.emitted()]
        assert ("TailPaid" in told) == ripe
        if ripe:
            self.tail_paid(number)
        elif "TailReturned" in told:  # nobody answered a demand in time, and no block had come to it yet
            assert self.lying
            self.reference.tails.pop(number)

    def top_up(self) -> None:
        amount = self.random.choice((1, AIT))
        self.chain.call(self.random.choice(("payer", "other")), "Sessions.top_up", self.session.id, amount)
        self.deposit += amount
        self.reference.deposit += amount

    def crash(self) -> None:
        """The provider comes back without what it did not store: it uses none of these lanes again."""
        self.crashed = True
        for number in range(LANES):
            if self.random.random() < 0.5:
                lane = self.served[number]
                lane.retired = True
                keep = self.random.randrange(len(lane.receipts) + 1)
                if lane.voucher is not None and lane.voucher.seq >= keep:
                    lane.voucher = None  # neither voucher nor receipts survived
                lane.receipts = lane.receipts[:keep] if lane.voucher is None else lane.receipts

    # ---------------------------------------------------------------------------------------------- a hostile payer

    def acknowledge_less(self) -> None:
        """A voucher for a later number that owes less, shown by the payer itself."""
        number = self.random.randrange(LANES)
        lane = self.served[number]
        low = self.random.randrange(lane.total + 1)
        seq = len(lane.receipts) + self.random.randrange(3)
        voucher = self.session.voucher(number, seq, low, low, ack=bytes(32))
        self.send([(self.session.item(voucher, key=self.key), voucher, low, seq, b"")], who="payer")

    def acknowledge_more(self) -> None:
        """Vouchers that owe more than was served, on several lanes at once, so that all together may be too much."""
        claims: list[tuple[t.ClaimItem, Voucher, int, int, bytes] | None] = []
        for number in range(LANES):
            top = self.random.randrange(self.deposit)
            seq = len(self.served[number].receipts)
            voucher = self.session.voucher(number, seq, top, top, ack=bytes(32))
            claims.append((self.session.item(voucher, key=self.key), voucher, top, seq, b""))
        self.send(claims, who="payer")

    def make_up_a_tail(self) -> None:
        number = self.random.randrange(LANES)
        bought = self.bought[number]
        top = bought.total + AIT
        voucher = self.session.voucher(number, len(bought.receipts), bought.total, top, ack=bytes(32))
        item = self.session.item(voucher, t.Tailed(Balance(top), bytes(32)), key=self.key)
        self.send([(item, voucher, top, voucher.seq + 1, bytes(32))], who=self.random.choice(("payer", "stranger")))

    def demand(self) -> None:
        """Somebody demands a receipt; an honest provider shows it."""
        number = self.random.randrange(LANES)
        state = self.chain.sessions.lane(self.session.id, number)
        if state is None or state.tail is None or state.tail.demand is not None or state.tail.shown:
            return
        if self.is_ripe(state.tail):
            return
        self.chain.call("other", "Sessions.demand", self.session.id, number)
        self.show(number)

    def show(self, number: int) -> None:
        tail = self.session.tail(number)
        receipts = self.served[number].receipts
        found = [each for each in receipts if (each.hash, each.lane_total) == (tail.receipt_hash, tail.total)]
        if found and not (self.lying and self.random.random() < 0.5):
            self.chain.call("operator", "Sessions.answer", self.session.id, number, self.session.signed(found[0]))

    def change_key(self) -> None:
        """The payer changes its key; the provider claims what it has under the old one."""
        name = f"key{self.random.randrange(3)}"
        try:
            self.chain.call("payer", "Sessions.change", self.session.id, t.ToKey(account(name)))
        except errors.DispatchError:
            return
        self.send([self.best(number) for number in self.served])
        self.key = name
        for lane in self.served.values():
            lane.retired = True  # its vouchers are of the old key; new lanes would begin with the new one

    # ---------------------------------------------------------------------------------------------- a lying provider

    def claim_too_much(self) -> None:
        number = self.random.randrange(LANES)
        lane = self.served[number]
        if lane.voucher is None or len(lane.receipts) != lane.voucher.seq + 1 or lane.voucher.ceiling <= lane.total:
            return
        top = self.random.randrange(lane.total + 1, int(lane.voucher.ceiling) + 1)
        digest = self.random.choice((lane.receipts[-1].hash, bytes(32)))
        item = self.session.item(lane.voucher, t.Tailed(Balance(top), digest), key=lane.key)
        if not self.send([(item, lane.voucher, top, lane.voucher.seq + 1, digest)]):
            return
        state = self.session.lane(number)
        if state.tail is None or state.tail.total != top:
            return
        self.lied = True
        self.watch(number)

    def punish(self, lane: int, proof: t.Proof, damage: int) -> None:
        before = int(self.chain.balances.held(ProvidersHoldReason.Bond, account("owner")))
        self.chain.emitted()
        self.chain.call("other", "Sessions.challenge", self.session.id, lane, proof)
        events = self.chain.told("Challenged")
        assert [event.damage for event in events] == [damage]
        after = int(self.chain.balances.held(ProvidersHoldReason.Bond, account("owner")))
        assert before - after == min(before, max(5 * damage, 10 * AIT))
        self.slashes += 1

    def lie(self, proof: t.Proof, lane: int, damage: int, what: tuple[int, int]) -> None:
        """Show a lie about receipts the payer got; each kind and number once."""
        self.lied = True
        key = (lane, *what)
        if key not in self.owed:
            self.owed[key] = damage  # type: ignore[index]
            self.punish(lane, proof, damage)

    def sign_twice(self) -> None:
        number = self.random.randrange(LANES)
        bought = self.bought[number]
        if bought.receipts:
            real = bought.receipts[-1]
            other = replace(real, charge=Balance(0), lane_total=Balance(real.lane_total - real.charge))
            if other == real:
                other = replace(real, response=Hash32(bytes(32)))
            proof = t.Equivocation(self.session.signed(real), self.session.signed(other))
            self.lie(proof, number, abs(real.lane_total - other.lane_total), (real.seq, 1))

    def break_the_chain(self) -> None:
        number = self.random.randrange(LANES)
        bought = self.bought[number]
        if len(bought.receipts) > 1:
            before, real = bought.receipts[-2:]
            wrong = replace(real, lane_total=Balance(real.lane_total + 5))
            proof = t.BrokenChain(self.session.signed(wrong), self.session.signed(before))
            self.lie(proof, number, 5, (real.seq, 4))

    def overcharge(self) -> None:
        number = self.random.randrange(LANES)
        bought = self.bought[number]
        if bought.receipts and bought.receipts[-1].charge:
            real = bought.receipts[-1]
            units = real.usage[0][1]
            wrong = replace(real, charge=Balance(units * PRICE + 3), lane_total=Balance(10**30))
            self.lie(t.Mispricing(self.session.signed(wrong), None), number, 3, (real.seq, 3))

    # ---------------------------------------------------------------------------------------------- the end

    def finish(self) -> None:
        """The session ends in some way; the provider claims in the grace what it has."""
        way = self.random.randrange(4)
        if self.is_open and way == 0:
            self.chain.call("payer", "Sessions.close", self.session.id, None)
        elif self.is_open and way == 1 and not self.lying:
            self.claim_all()
            self.chain.call("operator", "Sessions.close", self.session.id, None)
        elif self.is_open and way == 2 and not self.lying:
            self.claim_all()
            total = sum(lane.total for lane in self.served.values())
            total = max(total, int(self.session.state.claimed))
            self.chain.call("payer", "Sessions.close", self.session.id, self.session.agreement(total))
            self.reference.paid = {0: total}
            self.reference.tails.clear()
            return
        while self.is_open:
            self.pass_time()
        if self.session.is_stored and not isinstance(self.session.state.state, t.Closed):
            self.claim_all()
        self.check()
        for _ in range(3):
            self.blocks(4_000, 5)
            self.check()

    def claim_all(self) -> None:
        self.send([self.best(number) for number in self.served])

    # ---------------------------------------------------------------------------------------------- checks

    def check(self) -> None:
        """The chain agrees with the model, and the session's numbers add up."""
        self.follow()
        if not self.session.is_stored:
            return
        state = self.session.state
        assert state.claimed <= state.deposit == self.deposit
        assert state.claimed == sum(self.reference.paid.values())
        assert state.waiting == self.reference.total() - state.claimed
        if not isinstance(state.state, t.Closed):
            assert state.escrow + state.claimed == state.deposit
        for number in range(LANES):
            lane = self.chain.sessions.lane(self.session.id, number)
            if lane is not None and len(self.reference.paid) > 1:
                assert lane.paid == self.reference.paid.get(number, 0)

    def check_end(self) -> None:
        """What each side got is what the docstring of this module says."""
        paid = sum(self.reference.paid.values())
        assert not self.reference.tails
        bond = int(self.chain.balances.held(ProvidersHoldReason.Bond, account("owner")))
        receipts = sum(lane.total for lane in self.served.values())
        if not self.lying:
            assert bond == BOND, "an honest provider was slashed"
            if not self.crashed and not self.hostile:
                assert paid == receipts, "an honest provider was not paid its receipts"
            elif not self.crashed:
                assert paid >= receipts, "an honest provider lost to a hostile payer"
        else:
            assert (bond < BOND) == (self.slashes > 0)
        if not self.hostile:
            exposed = sum(max(lane.total, lane.ceiling, lane.unseen) for lane in self.bought.values())
            assert paid <= exposed, "a payer paid more than it ever allowed"
        check_sessions(self.chain)
