"""One peer at a time is asked; the next one when it does not answer."""

from __future__ import annotations

from collections.abc import Callable

from aitoken.types import Hash32
from consensus.messages import GetBlock, Message
from consensus.types import Peer
from node.driver.requests import IN_FLIGHT_MAX, TIMEOUT_MS, TRIES_MAX, Requests
from simulation.loop import Loop, Timer

KEY = Hash32(b"k" * 32)


class Shell:
    """Clock and transport in one."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.sent: list[Peer] = []
        self.connected: list[Peer] = ["a", "b", "c"]
        self.requests = Requests(self, self)  # type: ignore[arg-type]

    def now_ms(self) -> int:
        return self.loop.now

    def call_later(self, delay_ms: int, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        self.loop.at(delay_ms, lambda: timer.call and timer.call())
        return timer

    def send(self, peer: Peer, message: Message) -> None:
        assert isinstance(message, GetBlock)
        self.sent.append(peer)

    def peers(self) -> list[Peer]:
        return self.connected

    def ask(
        self, holders: list[Peer], key: Hash32 = KEY, satisfied: bool = False, failed: Callable[[], None] | None = None
    ) -> None:
        self.requests.ask(key, GetBlock(key), holders, lambda: satisfied, failed)

    def wait(self, milliseconds: int) -> None:
        self.loop.run(self.loop.now + milliseconds, lambda: False)


def test_holders_are_asked_first_and_one_at_a_time() -> None:
    shell = Shell()
    shell.ask(["x", "y"])
    shell.ask(["z"])
    assert shell.sent == ["x"]

    shell.wait(TIMEOUT_MS)
    assert shell.sent == ["x", "y"]
    shell.wait(2 * TIMEOUT_MS)
    assert shell.sent[2] in shell.connected


def test_not_here_moves_on_at_once_but_only_from_the_one_that_was_asked() -> None:
    shell = Shell()
    shell.ask(["x", "y"])

    shell.requests.not_here(KEY, "somebody")
    assert shell.sent == ["x"]
    shell.requests.not_here(KEY, "x")
    assert shell.sent == ["x", "y"]


def test_an_answer_ends_it() -> None:
    shell = Shell()
    shell.ask(["x"])
    assert shell.requests.is_open(KEY)

    shell.requests.close(KEY)
    shell.wait(10_000)

    assert not shell.requests.is_open(KEY)
    assert shell.sent == ["x"]


def test_it_ends_when_it_is_no_longer_needed() -> None:
    shell = Shell()
    shell.ask(["x"], satisfied=True)

    shell.wait(TIMEOUT_MS)

    assert shell.sent == ["x"]
    assert not shell.requests.is_open(KEY)


def test_after_everybody_was_asked_in_vain_it_is_given_up_and_may_be_asked_again() -> None:
    shell = Shell()
    failures: list[int] = []
    shell.ask([], failed=lambda: failures.append(1))

    shell.wait(60_000)

    assert len(shell.sent) == TRIES_MAX
    assert set(shell.sent) == set(shell.connected)
    assert failures == [1]
    shell.ask(["x"])
    assert shell.sent[-1] == "x"


def test_everybody_who_joined_in_is_told_once_of_the_failure() -> None:
    shell = Shell()
    failures: list[str] = []

    def mine() -> None:
        failures.append("mine")

    shell.ask(["x"])
    shell.ask(["x"], failed=mine)
    shell.ask(["x"], failed=mine)
    shell.ask(["x"], failed=lambda: failures.append("other"))
    shell.wait(60_000)

    assert failures == ["mine", "other"]


def test_without_peers_it_waits() -> None:
    shell = Shell()
    shell.connected = []
    shell.ask([])
    assert shell.sent == []

    shell.connected = ["a"]
    shell.wait(TIMEOUT_MS)

    assert shell.sent == ["a"]


def test_only_so_many_are_in_flight() -> None:
    shell = Shell()
    for number in range(IN_FLIGHT_MAX + 5):
        shell.ask(["x"], Hash32(number.to_bytes(32, "big")))

    assert len(shell.sent) == IN_FLIGHT_MAX
