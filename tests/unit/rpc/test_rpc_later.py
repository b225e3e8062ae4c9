"""Answers that come by a call instead of a task: over sockets, in batches, and when delivering them fails."""

import asyncio

from node.pool.errors import ImmediatelyDropped
from node.rpc.dispatch import Answer, Deferred


def deferred() -> tuple[Deferred, list]:
    calls: list = []
    return Deferred(calls.append, lambda result: Answer(repr(result).encode())), calls


def test_the_answer_is_delivered_when_the_result_comes() -> None:
    later, calls = deferred()
    answers: list[Answer] = []
    later.then(answers.append)
    assert not answers
    calls[0](ImmediatelyDropped())
    assert [answer.body for answer in answers] == [repr(ImmediatelyDropped()).encode()]


def test_who_calls_back_never_hears_of_a_failed_delivery(caplog) -> None:
    later, calls = deferred()

    def fail(_: Answer) -> None:
        raise ConnectionError("gone")

    later.then(fail)
    calls[0](1)
    assert "could not be delivered" in caplog.text


async def test_it_can_be_awaited_and_given_up() -> None:
    later, calls = deferred()

    async def wait() -> Answer:
        return await later

    first, second = asyncio.ensure_future(wait()), asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    for call in calls:
        call(7)
    assert (await first).body == b"7"
    assert second.cancelled()
