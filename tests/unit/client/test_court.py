"""The court of campaigns as clients see it: where a challenge stands, and a juror that keeps nothing but a secret."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from aitoken.client.campaigns import Work
from aitoken.client.court import Clock, Juror, NoSuchWork, Sat, Stand, Trial, bond_for
from aitoken.crypto import ss58
from aitoken.crypto.derive import pair_from_uri
from aitoken.pay.seals import FULL_AWARD, juror_salt, juror_seal
from aitoken.types import AIT, AccountId, Moment

DAY = 86_400_000
RULING, JUDGING, UNVEILING = 7 * DAY, 2 * DAY, DAY
PAIR, SECRET = pair_from_uri("//Juror", "ed25519"), b"j" * 32
ADDRESS, ACCOUNT = ss58.encode(PAIR.public, 42), AccountId(PAIR.public)
CONSTANTS = {"Ruling": RULING, "Judging": JUDGING, "Unveiling": UNVEILING, "Bond": 10 * AIT, "BountyPercent": 10,
             "WrongPercent": 1}  # fmt: skip


def work(seated: int | None = None, since: int = 0) -> Work:
    challenge = {"who": "c", "since": since, "epoch": 5, "seated": seated, "evidence": bytes(32)}
    return Work(7, {"campaign": 1, "stage": "Open", "challenge": challenge, "votes": []})


def seat(who: str = ADDRESS, commitment: bytes | None = None, vote: int | None = None) -> dict[str, Any]:
    return {"arbiter": who, "commitment": commitment, "vote": vote}


@pytest.mark.parametrize(
    ("seated", "now", "epoch", "stand"),
    [
        (None, 0, 4, Stand.WAIT), (None, 0, 5, Stand.SEAT), (None, 4 * DAY, 5, Stand.SEAT),
        (None, 4 * DAY + 1, 5, Stand.LATE), (None, 7 * DAY, 5, Stand.RULE), (DAY, DAY, 5, Stand.JUDGE),
        (DAY, 3 * DAY - 1, 5, Stand.JUDGE), (DAY, 3 * DAY, 5, Stand.UNVEIL), (DAY, 4 * DAY - 1, 5, Stand.UNVEIL),
        (DAY, 4 * DAY, 5, Stand.RULE),
    ],
)  # fmt: skip
def test_a_challenge_goes_through_its_stands(seated: int | None, now: int, epoch: int, stand: Stand) -> None:
    assert Trial(work(seated), (), Clock(Moment(now), epoch, RULING, JUDGING, UNVEILING)).stand is stand


@pytest.mark.parametrize(
    ("votes", "fraud"),
    [((), False), ((None, None, None), False), ((FULL_AWARD, 0, None), False), ((FULL_AWARD, None, None), True),
     ((FULL_AWARD, 0, FULL_AWARD), True)],
)  # fmt: skip
def test_more_than_half_of_what_was_said_makes_a_fraud(votes: Any, fraud: bool) -> None:
    panel = [seat(vote=vote) for vote in votes]
    assert Trial(work(0), panel, Clock(Moment(0), 0, RULING, JUDGING, UNVEILING)).is_fraud is fraud


class Bench:
    """A client of a chain with one challenge; keeps what is sent."""

    def __init__(self, seated: int | None, now: int, panel: list[dict[str, Any]]) -> None:
        self.chain = SimpleNamespace(prefix=42)
        self.found, self.now, self.panel = work(seated), now, panel
        self.sent: list[Any] = []

    def constant(self, _: str, name: str) -> Any:
        return CONSTANTS[name]

    async def query(self, pallet: str, item: str, *_: Any) -> Any:
        return {"Now": self.now, "CurrentEpoch": {"epoch": 9}}[item]

    async def query_map(self, _: str, item: str, **__: Any) -> AsyncIterator[tuple[Any, Any]]:
        yield (7,), self.found.facts if item == "Submissions" else self.panel

    def call(self, pallet: str, name: str, **arguments: Any) -> Any:
        return name, arguments

    async def nonce(self, _: Any) -> int:
        return 3

    async def submit(self, call: Any, pair: Any, wait: str = "none", *, nonce: int) -> None:
        assert (pair, nonce) == (PAIR, 3)
        self.sent.append(call)


async def step(bench: Bench, fraud: bool | None = True, secret: bytes = SECRET) -> Sat:
    async def opinion(_: Trial) -> bool | None:
        return fraud

    return await Juror(bench, PAIR, secret, opinion).step()  # type: ignore[arg-type]  # a client in small


SALT = juror_salt(SECRET, 7, 0)


async def test_a_juror_draws_judges_opens_and_ends_and_a_new_one_with_the_same_secret_goes_on() -> None:
    sealed = {said: juror_seal(7, ACCOUNT, SALT, fraud=said) for said in (True, False)}
    to_seat, ended = Bench(None, DAY, []), Bench(DAY, 4 * DAY, [seat(vote=FULL_AWARD)])
    assert (await step(to_seat)).seated == [7]
    assert (await step(ended)).ruled == [7]
    assert to_seat.sent == [("seat", {"submission": 7})]
    assert ended.sent == [("rule", {"submission": 7, "fraud": True})]
    for said in (True, False):
        judging, opening = Bench(DAY, DAY, [seat()]), Bench(DAY, 3 * DAY, [seat(commitment=sealed[said])])
        assert (await step(judging, fraud=said)).judged == [7]
        assert (await step(opening)).unveiled == [7]
        assert judging.sent == [("judge", {"submission": 7, "seal": sealed[said]})]
        assert opening.sent == [("unveil", {"submission": 7, "fraud": said, "salt": SALT})]


@pytest.mark.parametrize(
    ("now", "place"),
    [
        (DAY, seat("somebody")), (DAY, seat(commitment=bytes(32))), (3 * DAY, seat()), (3 * DAY, seat("somebody")),
        (3 * DAY, seat(commitment=bytes(32))),
        (3 * DAY, seat(commitment=juror_seal(7, ACCOUNT, SALT, fraud=True), vote=FULL_AWARD)),
    ],
)  # fmt: skip
async def test_a_juror_does_nothing_twice_and_nothing_for_others(now: int, place: dict[str, Any]) -> None:
    bench = Bench(DAY, now, [place])

    assert await step(bench) == Sat()
    assert bench.sent == []


async def test_without_an_opinion_nothing_is_said() -> None:
    bench = Bench(DAY, DAY, [seat()])

    assert (await step(bench, fraud=None)).silent == [7]
    assert bench.sent == []


async def test_a_bond_is_what_a_wrong_ruling_would_bring_and_unknown_work_is_refused() -> None:
    class Chain:
        constant = Bench.constant
        stake = 0

        async def query(self, _: str, item: str, *keys: Any) -> Any:
            if item == "Attesters":
                return {"stake": self.stake}
            votes = [
                {"attester": "a", "accepts": True},
                {"attester": "b", "accepts": False},
                {"attester": "c", "accepts": None},
            ]
            return {"votes": votes} if keys == (7,) else None

    chain: Any = Chain()
    assert await bond_for(chain, 7) == 10 * AIT
    chain.stake = 99_000 * AIT  # a tenth of it, of which one in 99
    assert await bond_for(chain, 7) == 100 * AIT
    with pytest.raises(NoSuchWork):
        await bond_for(chain, 8)
