"""Feeds decoders: each input is read or refused by a declared error, within its time, and nothing else ever happens.

A target's inputs follow from (seed, name, how many it has had), whatever else runs. Inputs that lead somewhere new, to
an error or a size of result not seen before, join its seeds.
"""

from __future__ import annotations

import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any

from aitoken.errors import Rejected, Unavailable
from tests.fuzz.mutate import mutated

INPUT_SECONDS = 0.5
"""Processor time one input may take; the largest have 64 KiB."""
HANG_SECONDS = 10.0
SEEDS_MAX = 400
_DIGITS = re.compile(r"[0-9a-fx'\"]+")


class Hang(BaseException):
    """An input took so long that it was broken off."""


@dataclass
class Target:
    """One decoder.

    Attributes:
        name: for people, and part of every input's seed.
        seeds: valid inputs.
        read: the decoder; it raises `declared` errors or returns what it read.
        again: makes bytes of what was read; they have to be the input, where a format knows one spelling only. None
            where what was read has no bytes.
        mend: puts checksums right after a mutation, so that damage gets past them; used for half of the inputs.
        gate: how many inputs it gets in the tests everybody runs.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes], Any]
    declared: tuple[type[Exception], ...] = (Rejected, Unavailable)
    again: Callable[[Any], bytes | None] | None = None
    mend: Callable[[bytes], bytes] | None = None
    gate: int = 60


@dataclass
class Finding:
    """An input that did what none may."""

    target: str
    data: bytes
    what: str

    @property
    def kind(self) -> str:
        """The same for inputs that show the same thing."""
        return f"{self.target} {_DIGITS.sub('', self.what.partition(chr(10))[0])[:30]} {self.what[-80:]}"

    def __str__(self) -> str:
        return f"{self.target}: {self.what}\n  input ({len(self.data)} bytes): {self.data[:300].hex()}"


@dataclass
class Course:
    """A target being fed."""

    target: Target
    seed: int
    count: int = 0
    slowest: float = 0.0
    spent: float = 0.0
    accepted: int = 0
    seen: set[str] = field(default_factory=set)
    pool: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pool = list(self.target.seeds)
        self._random = Random(f"{self.seed} {self.target.name}")

    def check_seeds(self) -> Iterator[Finding]:
        """Every seed must be read: a fuzzer that starts from refused inputs tests nothing."""
        for data in self.target.seeds:
            try:
                self.target.read(data)
            except Exception as error:  # noqa: BLE001 - reported
                yield Finding(self.target.name, data, f"a seed is refused: {type(error).__name__}: {error}")

    def step(self) -> Finding | None:
        """Feed one input."""
        start = time.perf_counter()
        data = mutated(self._random, self.pool)
        if self.target.mend is not None and self._random.random() < 0.5:
            data = self.target.mend(data)
        self.count += 1
        outcome, finding = self._feed(data)
        self.spent += time.perf_counter() - start
        if outcome not in self.seen and len(self.seen) < SEEDS_MAX:
            self.seen.add(outcome)
            if data:
                self.pool.append(data)
        return finding

    def _feed(self, data: bytes) -> tuple[str, Finding | None]:
        target, start = self.target, time.process_time()
        try:
            value = target.read(data)
            wrong = _other_spelling(target, value, data)
            outcome = f"read {type(value).__name__} {len(data).bit_length()}"
            self.accepted += 1
        except target.declared as error:
            wrong = "" if getattr(error, "code", "x") else "an error without a code"
            outcome = f"{type(error).__name__} {_DIGITS.sub('', str(error))[:40]}"
        except Hang:
            wrong, outcome = f"more than {HANG_SECONDS} seconds", "hang"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            wrong = outcome = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-3)}"
        spent = time.process_time() - start
        self.slowest = max(self.slowest, spent)
        if not wrong and spent > INPUT_SECONDS:
            wrong = f"{spent:.2f} s of processor time"
        return outcome, Finding(target.name, data, wrong) if wrong else None


def _other_spelling(target: Target, value: Any, data: bytes) -> str:
    if target.again is None:
        return ""
    again = target.again(value)
    return "" if again is None or again == data else f"read, but written otherwise: {again.hex()[:200]}"


def _break_off(_: int, __: FrameType | None) -> None:
    raise Hang


def feed(courses: Sequence[Course], enough: Callable[[], bool], findings_max: int = 20) -> list[Finding]:
    """Feed all targets until `enough`, each for as long as the others; return one input of each kind of finding."""
    found: list[Finding] = []
    known: set[str] = set()
    before = signal.signal(signal.SIGVTALRM, _break_off)
    try:
        while not enough() and len(found) < findings_max:
            course = min(courses, key=lambda each: each.spent)
            signal.setitimer(signal.ITIMER_VIRTUAL, HANG_SECONDS)
            finding = course.step()
            if finding is not None and finding.kind not in known:
                known.add(finding.kind)
                found.append(finding)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return found
