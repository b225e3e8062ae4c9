"""The straight way of the usual request leaves what the plain rooms leave: the same bytes, receipts, rows, counts."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from aitoken.types import Moment
from gateway.ports import Answer, PassFacts, UpstreamFailed
from gateway.server import Limits
from tests.support.gateways import FakeClock, Gate, chat_answer, json_answer, shop, usage

HELLO: dict[str, Any] = {"model": "script", "messages": [{"role": "user", "content": "hello paid world"}]}

ANSWERS: tuple[Any, ...] = (
    chat_answer("one two three", usage(5, 4)), chat_answer("ü", usage(5, 4)), chat_answer("one", usage(5, 900)),
    chat_answer("one", usage(0, 4)), chat_answer("one", usage(5, 0)), chat_answer("one"), chat_answer("", usage(5, 4)),
    chat_answer(None, usage(5, 4)), chat_answer("one", usage(5, 4, prompt_tokens_details={"cached_tokens": 3})),
    chat_answer("one", usage(5, 4, completion_tokens_details={"reasoning_tokens": 2})),
    chat_answer("one", usage(5, 4, prompt_tokens_details=None, more={"a": 1})),
    chat_answer("one", {"prompt_tokens": True, "completion_tokens": 4}), chat_answer("one", usage(1 << 60, 4)),
    chat_answer("one", usage(1 << 49, 4)), chat_answer("one", usage(5, 4), refusal="no"),
    chat_answer("one", usage(5, 4), tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]),
    json_answer({"choices": [], "usage": usage(5, 4)}), json_answer([]), json_answer({"error": "no"}, 400),
    json_answer({"error": "busy"}, 429, **{"retry-after": "7"}), json_answer({"error": "broken"}, 503),
    Answer(200, "application/json", b"{"), Answer(200, "text/plain", b"hello"), Answer(201, "application/json", b"{}"),
    UpstreamFailed("gone"), TimeoutError(), RuntimeError("a bug"),
)  # fmt: skip
BODIES: tuple[Any, ...] = (
    HELLO, HELLO, HELLO, {**HELLO, "model": "strict"}, {**HELLO, "max_tokens": 3}, {**HELLO, "max_tokens": 10**5},
    {**HELLO, "max_tokens": 0}, {**HELLO, "max_tokens": True}, {**HELLO, "max_completion_tokens": 3},
    {**HELLO, "temperature": 0.5, "stream": False}, {**HELLO, "models": ["second"]}, {**HELLO, "n": 2},
    {**HELLO, "service_tier": "flex"}, {**HELLO, "model": "nobody"}, {**HELLO, "messages": []},
    {**HELLO, "tools": [{"type": "function"}]}, {**HELLO, "messages": [{"role": "user", "content": ["a", "b"]}]},
)  # fmt: skip


class StoppedClock(FakeClock):
    """Both may look at it as often as they like."""

    def now(self) -> Moment:
        return self.moment


Step = tuple[Any, Any, int, bool, str]


async def left_by(steps: list[Step], *, straight: bool) -> tuple[list[Any], int]:
    """What requests one after the other leave."""
    with TemporaryDirectory() as folder:
        async with shop(Path(folder), clock=StoppedClock(), limits=Limits(places=1)) as here:
            gateway = here.gateway
            assert gateway.front is not None
            if not straight:
                gateway.front.line = ""
            left: list[Any] = []
            buyer = here.buyer(deposit=10**10)
            here.script.play(ANSWERS[0])
            await buyer.ask(HELLO)  # the session is in memory from now on
            for body, answer, ceiling, good, key in steps:
                here.script.scripts[:] = [[answer]]
                promise = buyer.promise(ceiling)
                signed = promise.signed
                if not good:
                    promise = replace(promise, signed=replace(signed, signature=bytes(64)))
                more = {"Idempotency_Key": key} if key else {}
                reply = await buyer.ask(body, promise=promise, Host="shop", **more)
                headers = {name: value for name, value in reply.headers.items() if name != "Date"}
                left.append((reply.status, headers, reply.body, here.script.bodies[-1:], buyer.session.spent))
                known = gateway.sessions.all()
                left += [(one.seller.reserved, [lane.busy for lane in one.seller.lanes.values()]) for one in known]
            told = [line for line in gateway.metrics.render().decode().splitlines() if "_ms" not in line]
            left.append([line for line in told if "commits" not in line and "unclaimed" not in line])
        kept = sqlite3.connect(Path(folder) / "gateway.sqlite")
        left += [kept.execute(f"SELECT * FROM {table}").fetchall() for table in ("lanes", "receipts", "answers")]
        kept.close()
        return left, gateway.straight.served


STEPS = st.tuples(
    st.sampled_from(BODIES), st.sampled_from(ANSWERS), st.sampled_from((10**9, 10**9, 500_000, 100)), st.integers(0, 9),
    st.sampled_from(("", "one", "two", "two words")),
).map(lambda step: (*step[:3], step[3] > 0, step[4]))  # fmt: skip


@settings(max_examples=12)
@given(st.lists(STEPS, min_size=1, max_size=5))
def test_the_straight_way_leaves_what_the_plain_rooms_leave(steps: list[Step]) -> None:
    async def both() -> None:
        ours, _ = await left_by(steps, straight=True)
        reference, none = await left_by(steps, straight=False)
        assert none == 0
        assert ours == reference

    asyncio.run(both())


def test_all_answers_are_finished_alike_and_the_usual_ones_go_straight() -> None:
    async def both() -> None:
        steps = [(HELLO, answer, 10**9, True, str(number)) for number, answer in enumerate(ANSWERS)]
        ours, served = await left_by(steps, straight=True)
        reference, _ = await left_by(steps, straight=False)
        assert ours == reference
        assert served == 5
        steps = [(body, ANSWERS[0], 10**9, True, "") for body in BODIES]
        ours, served = await left_by(steps, straight=True)
        reference, _ = await left_by(steps, straight=False)
        assert ours == reference
        assert served == 7

    asyncio.run(both())


async def test_who_goes_away_meanwhile_pays_what_went_in(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        gate = Gate()
        here.script.play(chat_answer("soon", usage(5, 4)))
        buyer = here.buyer()
        await buyer.ask(HELLO)
        here.script.scripts[:] = [[gate, chat_answer("late", usage(5, 4))]]
        asked = asyncio.ensure_future(buyer.ask(HELLO))
        await gate.reached.wait()
        asked.cancel()
        await asyncio.wait_for(here.script.ended.wait(), 30)
        lane = buyer.seller.lanes[0]
        assert (lane.busy, lane.seq, lane.total) == (False, 2, 13_000 + 5_000)
        assert here.gateway.straight.served == 0


async def test_plans_and_quotes_are_for_the_plain_rooms(tmp_path: Path) -> None:
    async with shop(tmp_path) as here:
        here.script.play(chat_answer("one", usage(5, 4)))
        buyer = here.buyer()
        for _ in range(2):
            assert (await buyer.ask(HELLO)).status == 200
        assert here.gateway.straight.served == 1
        passes = (PassFacts(1, 1, Moment(1 << 60)),)
        here.chain.change(buyer.id, passes=passes)
        await here.gateway.sessions.refresh(buyer.id)
        assert (await buyer.ask(HELLO)).status == 200
        assert here.gateway.straight.served == 1
        other = here.buyer()
        for _ in range(2):
            assert (await other.ask(HELLO)).status == 200
        assert here.gateway.straight.served == 2
        raw = msgspec.json.encode(HELLO).decode()
        quoted = await here.post("/.well-known/aitp/quote", {"path": "/v1/chat/completions", "body": raw})
        assert quoted.status == 200
        assert (await other.ask(HELLO)).status == 200
        assert here.gateway.straight.served == 2
