"""A campaign of many people on a devnet, through JSON-RPC alone: who is honest is paid once, and the ledger adds up.

    python -m faults.campaign --people 1000

One in ten is not honest: one in fifty each copies somebody's work, hands in work that is refused, never says what was
sealed, submits a second time, or asks for payment again and again. One of the three attesters votes with a key it has
hired. In the end what was paid in, earned, burned and charged as fees is held to the unit against every account's
balance, and the ledger from storage against the one from the events of all blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from aitoken.client.attester import Attester, Grant
from aitoken.client.campaign_ledger import asked, stored, told
from aitoken.client.campaigns import Campaign, Work, all_works, campaign_of
from aitoken.client.chain import Call
from aitoken.client.client import Client
from aitoken.client.errors import NodeUnavailable
from aitoken.crypto import ss58
from aitoken.crypto.derive import Pair, pair_from_uri
from aitoken.crypto.ed25519 import Pair as Ed25519
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.campaign_ledger import Ledger, differences, unbalanced
from aitoken.pay.seals import seal_of, work_salt
from aitoken.types import AIT, AccountId, Balance, Hash32
from faults.nodes import Nodes, plan_of
from faults.program import START_S
from faults.rigged import Rig

REWARD: Final = AIT
STAKE: Final = AIT // 8
MONEY: Final = 2 * AIT
"""What everybody begins with."""
IN_FLIGHT: Final = 64
BATCH: Final = 50
PATIENCE_S: Final = 120.0
ROLES: Final = ("copies", "bungles", "hides", "repeats", "nags")
"""What one in fifty each does instead; all others are honest. Who repeats or nags is paid, once."""
PAID_ROLES: Final = ("honest", "repeats", "nags")

Until = Callable[[int], Awaitable[None]]
"""Wait until the chain's time is this."""


class WentWrong(Exception):
    """What must hold does not."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who takes part."""

    number: int
    pair: Ed25519
    role: str
    address: str

    def content(self, of: int | None = None) -> Hash32:
        """The hash of the work: one's own, or that of somebody else."""
        return Hash32(blake2_256(b"work of %d" % (self.number if of is None else of)))


def people_of(count: int) -> list[Person]:
    """Everybody; the dishonest ones are spread evenly, and each kind is there however few take part."""
    found = []
    each = max(len(ROLES) * 2, min(50, count // 2))
    for number in range(count):
        place = number % each
        role = ROLES[place // 2] if place % 2 and place // 2 < len(ROLES) else "honest"
        pair = Ed25519(blake2_256(b"campaign person %d" % number))
        found.append(Person(number, pair, role, ss58.encode(pair.public)))
    return found


class Script:
    """What the people of a campaign do, one after the other."""

    def __init__(self, client: Client, people: Sequence[Person], step_ms: int, until: Until) -> None:
        self._client = client
        self._people = people
        self._step_ms = step_ms
        self._until = until
        self._nonces: Counter[bytes] = Counter()
        self._owner, self._payer = pair_from_uri("//Alice"), pair_from_uri("//Ferdie")
        self._judges = [pair_from_uri(f"//{name}") for name in ("Bob", "Charlie", "Dave")]
        self._hired = Ed25519(blake2_256(b"campaign hired key"))
        self.seconds: dict[str, float] = {}

    @contextlib.asynccontextmanager
    async def part(self, name: str) -> AsyncIterator[None]:
        """Measure a part."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started

    async def play(self) -> tuple[int, int]:
        """Let it all happen; return the campaign's number and the block it began with."""
        async with self.part("money"):
            await self._hand_out_money()
        first = (await self._client.head(final=False)).number
        async with self.part("campaign"):
            number, grant = await self._open()
        async with self.part("submit and disclose"):
            start = await self._hand_in(number)
        judging = [self._judge(number, pair, None) for pair in self._judges[:2]]
        judging.append(self._judge(number, self._hired, grant))
        for phase, name in ((1, "vote"), (2, "reveal")):
            await self._until(start + phase * self._step_ms)
            async with self.part(name):
                await asyncio.gather(*(each.step() for each in judging))
        await self._until(start + 4 * self._step_ms)
        async with self.part("settle"):
            await self._settle(number)
        return number, first

    async def _hand_out_money(self) -> None:
        calls = [
            self._client.call("Balances", "transfer_keep_alive", dest=each.pair.public, value=MONEY)
            for each in self._people
        ]
        await self._batches(self._owner, calls, "batch_all")
        # An account's first nonce is not 0: it has to differ from those of an account that was there before.
        for each in self._people:
            self._nonces[each.pair.public] = (await self._client.account(each.pair.public))["nonce"]

    async def _open(self) -> tuple[int, Grant]:
        client, count = self._client, len(self._people)
        terms = {
            "kind": "Testing", "task_hash": bytes(32), "reward": REWARD,
            "decay": {"every": 0, "fall": 0, "least": 10_000}, "per_person": 1, "per_day": 2 * count, "stake": STAKE,
            "threshold": 2, "step_ms": self._step_ms, "vesting_ms": 0,
            "until": await client.query("Timestamp", "Now") + 30 * 86_400_000, "persons": None,
        }  # fmt: skip
        publics = [judge.public for judge in self._judges]
        judges = {ss58.encode(judge.public): judge for judge in self._judges}
        short = await client.runtime_call("RewardsApi", "shortfalls", terms, publics)
        stakes = [client.call("Rewards", "stake", amount=each["needed"] - each["stake"]) for each in short]
        await asyncio.gather(
            *(self._do(judges[each["attester"]], call) for each, call in zip(short, stakes, strict=True))
        )
        # Enough for all but the last: nobody is promised what is not there.
        call = client.call("Rewards", "create", terms=terms, attesters=publics, budget=(count - 1) * REWARD)
        made = await self._do(self._owner, call)
        number = next(int(each.fields["campaign"]) for each in made.events if each.name == "CampaignCreated")
        await asyncio.gather(
            *(self._do(judge, client.call("Rewards", "join", campaign=number)) for judge in self._judges)
        )
        limits = {"per_transaction": AIT, "per_period": AIT, "total": 1000 * AIT, "period": 0}
        granted = await self._do(self._judges[2], client.call(
            "Allowances", "grant", key=self._hired.public, limits=limits, expires=terms["until"], parent=None,
            scope={"purposes": ["Attest"], "payees": []},
        ))  # fmt: skip
        grant = next(int(each.fields["grant"]) for each in granted.events if each.name == "Granted")
        return number, Grant(AccountId(self._judges[2].public), grant)

    async def _hand_in(self, number: int) -> int:
        """Have everybody submit and disclose; return the time of the last submission."""
        early = [person for person in self._people[:-1] if person.role != "copies"]
        late = [person for person in self._people[:-1] if person.role == "copies"]
        for part in (early, late):  # a copy can only be made of what was disclosed
            await self._each(part, lambda person: self._submission(number, person))
            await self._disclose(number, part)
        await self._each([each for each in early if each.role == "repeats"], lambda each: self._again(number, each))
        # The budget is promised, so the last is refused, and loses nothing but the fee.
        await self._each(self._people[-1:], lambda person: self._submission(number, person))
        works = await all_works(self._client, number)
        return max(int(work.facts["since"]) for work in works)

    def _original(self, person: Person) -> int | None:
        return person.number - 1 if person.role == "copies" else None

    def _submission(self, number: int, person: Person) -> Call:
        content = person.content(self._original(person))
        seal = seal_of(number, AccountId(person.pair.public), content, work_salt(person.pair.seed, number, content))
        return self._client.call("Rewards", "submit", campaign=number, seal=seal)

    def _again(self, number: int, person: Person) -> Call:
        return self._client.call("Rewards", "submit", campaign=number, seal=blake2_256(person.content()))

    async def _disclose(self, number: int, people: Iterable[Person]) -> None:
        mine = {work.facts["who"]: work.number for work in await all_works(self._client, number)}

        def call(person: Person) -> Call:
            content = person.content(self._original(person))
            salt = work_salt(person.pair.seed, number, content)
            return self._client.call(
                "Rewards", "disclose", submission=mine[person.address], content=content, salt=salt
            )  # fmt: skip

        await self._each([person for person in people if person.role != "hides"], call)

    def _judge(self, number: int, pair: Pair, grant: Grant | None) -> Attester:
        good = {bytes(person.content()) for person in self._people if person.role != "bungles"}

        async def judge(_: Campaign, work: Work) -> bool:
            return bytes(work.facts["content"]) in good

        return Attester(self._client, pair, blake2_256(pair.public), number, judge, grant)

    async def _settle(self, number: int) -> None:
        """Settle everything, what the nagging ones did three times over: nothing is paid twice."""
        calls, nags = [], {person.address for person in self._people if person.role == "nags"}
        for work in await all_works(self._client, number):
            times = 3 if work.facts["who"] in nags else 1
            calls += times * [self._client.call("Rewards", "settle", submission=work.number)]
        await self._batches(self._payer, calls, "force_batch")

    # sending

    async def _do(self, pair: Pair, call: Call) -> Any:
        receipt = await self._client.submit(call, pair, wait="in_block")
        if not receipt.success:
            raise WentWrong(f"{call}: {receipt.error} {receipt.reason}")
        return receipt

    async def _batches(self, pair: Pair, calls: Sequence[Call], kind: str) -> None:
        for at in range(0, len(calls), BATCH):
            await self._do(pair, self._client.call("Utility", kind, calls=list(calls[at : at + BATCH])))

    async def _each(self, people: Sequence[Person], call: Callable[[Person], Call]) -> None:
        """Have people send a call each, and wait until the transactions of all are in blocks."""
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def send(person: Person) -> None:
            nonce = self._nonces[person.pair.public]
            self._nonces[person.pair.public] += 1
            raw = self._client.chain.sign(call(person), person.pair, nonce=nonce)
            async with slots:
                await self._client.request("author_submitExtrinsic", ["0x" + raw.hex()])

        await asyncio.gather(*(send(person) for person in people))
        async with asyncio.timeout(PATIENCE_S):
            for person in people:
                while (await self._client.account(person.pair.public))["nonce"] < self._nonces[person.pair.public]:
                    await asyncio.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What it came to."""

    ledger: Ledger
    blocks: int
    fees: Balance
    refused: Counter[str]


async def examine(client: Client, people: Sequence[Person], number: int, first: int) -> Outcome:
    """Hold everything against everything.

    Raises:
        WentWrong: something does not add up.
    """
    head = await client.head()
    (answered, wrong), stored_now, told_now = await asyncio.gather(
        asked(client, number, at=head.hash),
        stored(client, number, at=head.hash),
        told(client, number, first=first, at=head.hash),
    )
    wrong += [*differences(answered, stored_now.disclosed()), *differences(stored_now, told_now), *unbalanced(told_now)]
    payments, fees, burned, refused = await _happened(client, first, head.number, stored_now)
    accounts = {keys[0]: row["data"] async for keys, row in client.query_map("System", "Account", at=head.hash)}
    for person in people:
        earned = stored_now.by_person()[person.address]
        should = REWARD if person.role in PAID_ROLES and person is not people[-1] else 0
        if earned != should or payments[person.address] != (1 if should else 0):
            wrong.append(f"{person.role} {person.address} earned {earned} by {payments[person.address]} payments")
        data = accounts[person.address]
        if data["free"] + data["reserved"] != MONEY + earned - fees[person.address] - burned[person.address]:
            wrong.append(f"the balance of {person.role} {person.address} is not what follows from the ledger")
    budget = (len(people) - 1) * REWARD
    if stored_now.earned > budget or stored_now.left != budget - stored_now.earned:
        wrong.append(f"{stored_now.earned} earned and {stored_now.left} left of {budget}")
    facts = (await campaign_of(client, number, at=head.hash)).facts
    if facts["promised"] or facts["pending"]:
        wrong.append(f"{facts['promised']} still promised to {facts['pending']}")
    if wrong:
        raise WentWrong("\n".join(wrong[:20]))
    return Outcome(stored_now, head.number - first, Balance(sum(fees.values())), refused)


async def _happened(
    client: Client, first: int, last: int, ledger: Ledger
) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    """Payments, fees and burned stakes by person, and refusals by name, from the events of blocks."""
    payments: Counter[str] = Counter()
    fees: Counter[str] = Counter()
    burned: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for height in range(first, last + 1):
        for event in await client.events(await client.request("chain_getBlockHash", [height])):
            match event.pallet, event.name:
                case "Rewards", "Paid":
                    payments[event.fields["who"]] += 1
                case "Rewards", "Refused":
                    burned[ledger.works[event.fields["submission"]].who] += event.fields["burned"]
                case "TransactionPayment", "TransactionFeePaid":
                    fees[event.fields["who"]] += event.fields["actual_fee"]
                case ("System", "ExtrinsicFailed") | ("Utility", "ItemFailed"):
                    error = event.fields["dispatch_error" if event.pallet == "System" else "error"]
                    refused[client.chain.problem(error).name] += 1
    return payments, fees, burned, refused


async def give_back(client: Client, number: int) -> int:
    """End the campaign; return what its owner has back of the budget."""
    owner = pair_from_uri("//Alice")
    calls = [
        client.call("Rewards", "end", campaign=number),
        client.call("Rewards", "withdraw", campaign=number, sponsor=owner.public),
    ]
    done = await client.submit(client.call("Utility", "batch_all", calls=calls), owner, wait="final")
    if not done.success or await client.query("Rewards", "Campaigns", number) is not None:
        raise WentWrong(f"the campaign is not over: {done.error}")
    return sum(int(event.fields["amount"]) for event in done.events if event.name == "Withdrawn")


async def run(client: Client, count: int, step_ms: int, until: Until) -> tuple[Script, Outcome]:
    """Play and examine a campaign of so many people.

    Raises:
        WentWrong: something does not add up.
    """
    people = people_of(count)
    script = Script(client, people, step_ms, until)
    number, first = await script.play()
    await until_final(client)
    async with script.part("examine"):
        outcome = await examine(client, people, number, first)
    back = await give_back(client, number)
    if back != outcome.ledger.left:
        raise WentWrong(f"{back} came back of {outcome.ledger.left}")
    return script, outcome


async def until_final(client: Client) -> None:
    """Wait until what is in a block now is final."""
    best = (await client.head(final=False)).number
    async for head in client.subscribe_heads():
        if head.number >= best:
            return


def waiting(client: Client) -> Until:
    """Return what waits by the chain's own time."""

    async def until(moment: int) -> None:
        while await client.query("Timestamp", "Now") < moment:
            await asyncio.sleep(0.1)

    return until


def skipping(client: Client, put_forward: Callable[[int], None]) -> Until:
    """Return what puts the clocks of all nodes forward, by so many milliseconds in all, instead of waiting."""
    ahead = 0

    async def until(moment: int) -> None:
        nonlocal ahead
        ahead += max(0, moment - await client.query("Timestamp", "Now"))
        put_forward(ahead)
        await waiting(client)(moment)

    return until


async def on_devnet(folder: Path, people: int, count: int, step_ms: int, *, skip: bool) -> tuple[Script, Outcome]:
    """Play a campaign on a devnet of its own.

    Raises:
        WentWrong: something does not add up.
    """
    nodes = Nodes(plan_of(folder, count, {}))

    def put_forward(ms: int) -> None:
        for index in range(count):
            nodes.rig(index, Rig(clock_ms=ms))

    try:
        await nodes.start()
        async with asyncio.timeout(START_S):
            client = await _connected(nodes.urls[0])
        async with client:
            until = skipping(client, put_forward) if skip else waiting(client)
            return await run(client, people, step_ms, until)
    finally:
        await nodes.close()


async def _connected(url: str) -> Client:
    while True:
        try:
            client = await Client.connect(url)
        except NodeUnavailable:
            await asyncio.sleep(0.2)
            continue
        async for _ in client.subscribe_heads():
            return client


@click.command()
@click.option("--people", type=click.IntRange(12), default=1000, show_default=True, help="How many take part.")
@click.option("--nodes", type=click.IntRange(1), default=4, show_default=True, help="Validators.")
@click.option("--step", "step_s", type=click.IntRange(60), default=120, show_default=True, help="Seconds of a phase.")
@click.option("--skip", is_flag=True, help="Put the clocks forward instead of waiting for the end of a phase.")
def main(people: int, nodes: int, step_s: int, skip: bool) -> None:  # noqa: FBT001 - a flag of the command
    """Play a campaign on a devnet of its own; exit code 0 if all of it adds up."""
    folder = Path(tempfile.mkdtemp(prefix="aitoken-campaign-"))
    try:
        script, outcome = asyncio.run(on_devnet(folder, people, nodes, step_s * 1000, skip=skip))
    except WentWrong as wrong:
        print(f"DID NOT HOLD:\n{wrong}\neverything is in {folder}")
        sys.exit(1)
    shutil.rmtree(folder)
    ledger = outcome.ledger
    print(f"{people} people, {len(ledger.works)} submissions, {len(ledger.by_person())} paid once each, none twice")
    print(f"{ledger.earned} earned and {ledger.left} left of {ledger.earned + ledger.left}, {outcome.fees} in fees")
    print(f"{outcome.blocks} blocks; refused: {dict(outcome.refused)}")
    print("; ".join(f"{name} {seconds:.1f} s" for name, seconds in script.seconds.items()))


if __name__ == "__main__":
    main()
