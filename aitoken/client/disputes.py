"""Disputes about payments through a node: what was paid, where a case stands, and an arbiter who keeps but a secret.

A case needs nobody to go on: each phase ends by a deadline or an epoch, and the chain looks after those that are due.
An arbiter seals the part of the amount that it would award, and opens that when the others have sealed theirs; the seal
comes from a secret, and of 10,001 possible awards the one it was made of is found again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aitoken.client.batches import packed, send_in_order
from aitoken.client.chain import Call
from aitoken.client.client import Client
from aitoken.crypto import ss58
from aitoken.crypto.signature import Signer
from aitoken.errors import Rejected
from aitoken.pay.seals import FULL_AWARD, award_salt, commitment
from aitoken.types import AccountId

OPENED: Final = "Opened"
DRAWING: Final = "Drawing"
COMMITTING: Final = "Committing"
REVEALING: Final = "Revealing"
RULED: Final = "Ruled"
ENDED: Final = "Ended"

Opinion = Callable[["Case"], Awaitable[int | None]]
"""Says which part of the amount the claimant should have, in hundredths of a percent; None is no opinion."""


class NoSuchCase(Rejected):
    """The chain has no case of this number."""

    code = "dispute.no_case"


class NothingPaid(Rejected):
    """There is no such session or subscription, or its provider has nothing of it."""

    code = "dispute.nothing_paid"


@dataclass(frozen=True, slots=True)
class Payment:
    """What can be complained about: as the chain names it, who paid whom, and what the provider has of it."""

    subject: Mapping[str, Any]
    payer: str
    provider: int
    paid: int


@dataclass(frozen=True, slots=True)
class Case:
    """A case.

    Attributes:
        facts: as the chain writes them.
        panel: the seats of the panel that sits, if one does.
        now: the time of the chain.
        epoch: the epoch that runs.
    """

    number: int
    facts: Mapping[str, Any]
    panel: Sequence[Mapping[str, Any]]
    now: int
    epoch: int

    @property
    def phase(self) -> str:
        """The name of the phase it is in."""
        return str(next(iter(self.facts["phase"])))

    @property
    def detail(self) -> Mapping[str, Any]:
        """What the chain says of the phase: until when it lasts, which epoch it waits for, what was awarded or paid."""
        found: Mapping[str, Any] = self.facts["phase"][self.phase]
        return found

    @property
    def is_due(self) -> bool:
        """Whether its time is over, so that anybody may move it on."""
        if self.phase == DRAWING:
            return bool(self.epoch >= self.detail["epoch"])
        return self.phase != ENDED and bool(self.now >= self.detail["until"])

    @property
    def instance(self) -> int:
        """Which panel it is about: 0 the first, 1 that of the appeal."""
        return int(self.facts["appeal"] is not None)

    def seat(self, who: str) -> Mapping[str, Any] | None:
        """The seat of somebody, None if it does not sit."""
        return next((seat for seat in self.panel if seat["arbiter"] == who), None)


async def payment_by_session(client: Client, session: bytes) -> Payment:
    """Return what was paid by a session.

    Raises:
        NothingPaid: there is none of this number, or nothing was paid by it.
    """
    found = await client.query("Sessions", "Sessions", session)
    paid = 0 if found is None else found["claimed"] - found["refunded"]
    if found is None or not paid:
        raise NothingPaid(f"session {session.hex()} {'is not there' if found is None else 'has paid nothing yet'}")
    return Payment({"Session": session}, found["payer"], found["provider"], paid)


async def payment_by_subscription(client: Client, subscription: int) -> Payment:
    """Return what was paid for the present period of a subscription.

    Raises:
        NothingPaid: there is none of this number, or its provider has nothing of the period yet.
    """
    found = await client.query("Plans", "Subscriptions", subscription)
    if found is None or not found["paid"]:
        raise NothingPaid(f"subscription {subscription} is not there, or nothing is paid of its present period")
    plan = await client.query("Plans", "Plans", found["plan"])
    subject = {"Subscription": {"subscription": subscription, "period": found["period"]}}
    return Payment(subject, found["payer"], plan["provider"], found["paid"])


async def cases(client: Client) -> list[Case]:
    """Return all cases the chain knows, in their order."""
    rows = {keys[0]: facts async for keys, facts in client.query_map("Disputes", "Cases")}
    panels = {keys[0]: seats async for keys, seats in client.query_map("Disputes", "Panels")}
    now, epoch = await _time(client)
    return [Case(number, rows[number], panels.get(number) or (), now, epoch) for number in sorted(rows)]


async def case_of(client: Client, number: int) -> Case:
    """Return a case.

    Raises:
        NoSuchCase: there is none of this number.
    """
    facts = await client.query("Disputes", "Cases", number)
    if facts is None:
        raise NoSuchCase(f"there is no case {number}")
    panel = await client.query("Disputes", "Panels", number)
    return Case(number, facts, panel or (), *await _time(client))


async def _time(client: Client) -> tuple[int, int]:
    return await client.query("Timestamp", "Now"), (await client.query("Consensus", "CurrentEpoch"))["epoch"]


@dataclass(frozen=True, slots=True)
class Sat:
    """What a look came to: cases by what was done about them; of `silent` ones there is no opinion yet."""

    judged: list[int] = field(default_factory=list)
    unveiled: list[int] = field(default_factory=list)
    silent: list[int] = field(default_factory=list)


class Panelist:
    """An arbiter of disputes about payments.

    Args:
        client: a node.
        pair: the arbiter's.
        secret: 32 bytes that nobody else knows; the same for sealing and opening.
        opinion: says what to award.
    """

    def __init__(self, client: Client, pair: Signer, secret: bytes, opinion: Opinion) -> None:
        self._client = client
        self._pair = pair
        self._secret = secret
        self._opinion = opinion
        self._account = AccountId(bytes(pair.public))
        self._address = ss58.encode(self._account, client.chain.prefix)

    async def step(self) -> Sat:
        """Look once, and do all that can be done now; it is in a block when this returns."""
        done, calls = Sat(), []
        for case in await cases(self._client):
            seat = case.seat(self._address)
            if seat is None or case.is_due:
                continue
            call = await self._next(case, seat, done)
            if call is not None:
                calls.append(call)
        await send_in_order(self._client, self._pair, packed(self._client, calls))
        return done

    async def _next(self, case: Case, seat: Mapping[str, Any], done: Sat) -> Call | None:
        """Return what is to be done about a case, None for nothing, and note it."""
        salt = award_salt(self._secret, case.number, case.instance)
        if case.phase == COMMITTING and seat["commitment"] is None:
            award = await self._opinion(case)
            (done.silent if award is None else done.judged).append(case.number)
            return None if award is None else self._call("commit", case, commitment=self._seal(case, award, salt))
        if case.phase == REVEALING and seat["vote"] is None and seat["commitment"] is not None:
            for award in range(FULL_AWARD + 1):
                if self._seal(case, award, salt) == seat["commitment"]:
                    done.unveiled.append(case.number)
                    return self._call("reveal", case, award=award, salt=salt)
        return None

    def _seal(self, case: Case, award: int, salt: bytes) -> bytes:
        return commitment(case.number, case.instance, self._account, award, salt)

    def _call(self, name: str, case: Case, **arguments: Any) -> Call:
        return self._client.call("Disputes", name, case=case.number, **arguments)
