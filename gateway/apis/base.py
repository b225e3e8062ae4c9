"""An API as the gateway meters it: read a request, bound its cost, count what its answer delivers.

Usage is measured in order of trust: what the upstream that answered reports, then a count of the delivered text with a
named tokenizer. What the gateway sees itself (characters, images, seconds, vectors) it always counts. Reported output
tokens are never believed beyond what the delivered text can hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from aitoken.pay import units as u
from gateway.ports import Event
from gateway.refusals import BadRequest

CHOICES_MAX: Final = 16
OUTPUT_MAX: Final = 1_000_000
MODELS_MAX: Final = 8
CHARACTERS_A_TOKEN: Final = 8
"""For the bound of what a request may cost where characters are priced; the charge itself is a count."""

FRAMING_TOKENS: Final = 16
"""Tokens a choice may have beside its text: ends, roles, the frame of a tool call."""

COUNT_LIMIT: Final = 1 << 50
"""What an upstream counts beyond is no count."""

TIERS: Final = {"auto": 0, "default": 0, "standard": 0, "flex": 1, "priority": 2}
"""Service tiers by the names clients ask with."""


class Ask(msgspec.Struct, frozen=True):
    """A request, read.

    Attributes:
        body: as it came.
        models: names of the models that may answer, the first choice first.
        stream: the answer is to flow.
        choices: answers wanted at once.
        output_limit: the client's limit of output tokens for each.
        tier: the service tier asked for.
        quality: the class of quality asked for.
        texts: all text that goes in.
        fixed: upper bounds of units that do not grow with the output.
        wants_usage: the client asked for a last chunk with the usage.
    """

    body: dict[str, Any]
    models: tuple[str, ...]
    stream: bool = False
    choices: int = 1
    output_limit: int | None = None
    tier: int = 0
    quality: int = 0
    texts: tuple[str, ...] = ()
    fixed: Mapping[int, int] = {}
    wants_usage: bool = False

    def usage_max(self, output_tokens: int, priced: frozenset[int]) -> Usage:
        """Return the most of each priced unit the request can use, with `output_tokens` a choice."""
        bound = dict(self.fixed)
        if output_tokens:
            bound[u.OUTPUT_TOKEN] = self.choices * output_tokens
            bound[u.REASONING_TOKEN] = self.choices * output_tokens
            bound[u.OUTPUT_CHARACTER] = self.choices * output_tokens * CHARACTERS_A_TOKEN
        usage = [(unit, quantity) for unit, quantity in bound.items() if quantity and unit in priced]
        usage.sort()
        return tuple(usage)


class Reported(msgspec.Struct, frozen=True):
    """Tokens as an upstream counts them; `input` and `output` include all others of their side."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0


Usage = tuple[tuple[int, int], ...]
Mark = tuple[dict[int, int], int, int, int, bool, Reported | None]


class Meter:
    """Counts what one answer delivers.

    Attributes:
        ask: the request.
        characters: delivered, of all choices.
        bytes: of them in UTF-8.
        reported: the last usage the upstream told.
        counts: units the gateway counted itself.
        finished: the answer came to its own end.
    """

    def __init__(self, ask: Ask, count: Callable[[str], int]) -> None:
        self.ask = ask
        self._count = count
        self._texts: dict[int, list[str]] = {}
        self._running = 0
        self._uncounted: list[str] = []
        self._input = -1
        self.characters = 0
        self.bytes = 0
        self.reported: Reported | None = None
        self.counts: dict[int, int] = {}
        self.finished = False

    @property
    def delivered(self) -> bool:
        """Whether anything that is worth money was delivered."""
        return bool(self.characters or self.counts)

    def text(self, choice: int, text: object) -> None:
        """Count a piece of a choice's text."""
        if isinstance(text, str) and text:
            self._texts.setdefault(choice, []).append(text)
            self.characters += len(text)
            self.bytes += len(text if text.isascii() else text.encode("utf-8", "surrogatepass"))
            self._uncounted.append(text)

    def _run(self) -> int:
        """The tokens of all pieces, each counted alone, when somebody asks: whole answers never do."""
        for text in self._uncounted:
            self._running += self._count(text)
        self._uncounted.clear()
        return self._running

    def mark(self) -> Mark:
        """Remember how much was delivered, to come back to it if the next event is not."""
        texts = {choice: len(parts) for choice, parts in self._texts.items()}
        return texts, self.characters, self.bytes, self._run(), self.finished, self.reported

    def back_to(self, mark: Mark) -> None:
        """Forget what was counted since `mark`."""
        texts, self.characters, self.bytes, self._running, self.finished, self.reported = mark
        self._uncounted.clear()
        for choice, parts in self._texts.items():
            del parts[texts.get(choice, 0) :]

    def report(self, usage: Reported) -> None:
        """Take a usage of the upstream; a later one replaces it and is not added."""
        self.reported = usage

    def units(
        self, priced: frozenset[int], tolerance_percent: int | None, *, final: bool
    ) -> tuple[tuple[int, int], ...]:
        """Return the usage in priced units; something that costs nothing is at least one request.

        Args:
            priced: units of the book; parts of a side that it does not price count as the side's usual tokens.
            tolerance_percent: by how much the upstream may count more output than the tokenizer; None believes it.
            final: whether the answer is over; before, the output is counted piece by piece and never too low.
        """
        found = self._tokens(priced, tolerance_percent, final=final)
        found[u.REQUEST] = 1
        found[u.OUTPUT_CHARACTER] = self.characters
        if u.INPUT_CHARACTER in priced:
            found[u.INPUT_CHARACTER] = sum([len(text) for text in self.ask.texts])
        for unit, quantity in self.counts.items():
            found.setdefault(unit, quantity)
        usage = [(unit, quantity) for unit, quantity in found.items() if quantity > 0 and unit in priced]
        usage.sort()
        return tuple(usage) or ((u.REQUEST, 1),)

    @property
    def recounted(self) -> bool:
        """Whether the tokenizer counted, because no upstream did."""
        return self.reported is None

    def _tokens(self, priced: frozenset[int], tolerance_percent: int | None, *, final: bool) -> dict[int, int]:
        reported = self.reported
        if reported is None:
            output = self._recount() if final else self._run()
            return {u.INPUT_TOKEN: self._input_recount(), u.OUTPUT_TOKEN: output}
        output = self._believable(reported, tolerance_percent)
        found: dict[int, int] = {}
        left = reported.input
        for unit, quantity in (
            (u.CACHED_INPUT_TOKEN, reported.cached),
            (u.CACHE_WRITE_TOKEN, reported.cache_write),
            (u.AUDIO_TOKEN_IN, reported.audio_in),
        ):
            if quantity and unit in priced:
                found[unit] = quantity
                left -= quantity
        found[u.INPUT_TOKEN] = max(0, left)
        left = output
        for unit, quantity in ((u.REASONING_TOKEN, reported.reasoning), (u.AUDIO_TOKEN_OUT, reported.audio_out)):
            if quantity and unit in priced:
                found[unit] = min(quantity, output)
                left -= found[unit]
        found[u.OUTPUT_TOKEN] = max(0, left)
        return found

    def _believable(self, reported: Reported, tolerance_percent: int | None) -> int:
        """Return the reported output, cut to what the delivered text and the hidden parts can hold."""
        hidden = reported.reasoning + reported.audio_out
        shown = max(0, reported.output - hidden)
        if tolerance_percent is not None:
            counted = self._recount()
            shown = min(shown, counted + -(-counted * tolerance_percent // 100))
        else:
            shown = min(shown, self.bytes + FRAMING_TOKENS * self.ask.choices)
        return min(reported.output, shown + hidden)

    def _recount(self) -> int:
        return sum(self._count("".join(parts)) for parts in self._texts.values())

    def _input_recount(self) -> int:
        if self._input < 0:
            self._input = sum(self._count(text) for text in self.ask.texts)
        return self._input


class Api(ABC):
    """One endpoint."""

    kind: ClassVar[str]
    path: ClassVar[str]
    may_stream: ClassVar[bool] = False
    ends_with_done: ClassVar[bool] = False
    """Whether a stream's last event is `data: [DONE]`."""

    @abstractmethod
    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Read a request of `size` bytes.

        Raises:
            BadRequest: it is not what the API takes.
        """

    @abstractmethod
    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """Count a whole answer."""

    def binary(self, meter: Meter, content_type: str, answer: bytes) -> None:  # noqa: B027 - few answer in bytes
        """Count a whole answer that is not JSON."""

    def event(self, meter: Meter, event: Event, chunk: dict[str, Any]) -> None:  # noqa: B027 - few flow
        """Count one event of an answer that flows."""

    def prepare(self, ask: Ask, model: str, output_limit: int | None) -> dict[str, Any]:
        """Return the body for an upstream: its name of the model, and the limit where there is one."""
        body = {name: value for name, value in ask.body.items() if name != "models"}
        body["model"] = model
        if output_limit is not None:
            self.limit(body, output_limit)
        return body

    def limit(self, body: dict[str, Any], tokens: int) -> None:  # noqa: B027 - some have no output to limit
        """Limit the output tokens of a choice."""

    def with_cost(self, answer: dict[str, Any], cost: Mapping[str, Any]) -> None:
        """Add what the request cost to the answer's usage."""
        usage = answer.get("usage")
        answer["usage"] = {**(usage if isinstance(usage, dict) else {}), **cost}

    def is_usage_only(self, chunk: dict[str, Any]) -> bool:  # noqa: ARG002 - the usual answer
        """Whether a chunk has nothing but the usage, and so is for those only who asked for it."""
        return False

    def receipt_data(self, told: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - others need it
        """Return the data of the receipt's event: something that readers of this API skip."""
        return {"type": "aitp.receipt", **told}


# ------------------------------------------------------------------------------------------------- reading JSON


def want(condition: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Refuse a body unless `condition` holds."""
    if not condition:
        raise BadRequest(what)


def model_names(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the models that may answer: `model`, then those of `models` the client allows besides."""
    more = body.get("models", ())
    if more != () and not (isinstance(more, list) and len(more) < MODELS_MAX):
        raise BadRequest(f"models is a list of at most {MODELS_MAX} names")
    names = [body.get("model"), *more]
    for name in names:
        want(isinstance(name, str) and 0 < len(name) <= 200, "model is the name of a model")
    return tuple(dict.fromkeys(names)) if more else (names[0],)


def integer(body: Mapping[str, Any], *names: str, least: int = 1, most: int = OUTPUT_MAX) -> int | None:
    """Return the first of these fields that is there, an integer within bounds."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadRequest(f"{name} is an integer")
        if not least <= value <= most:
            raise BadRequest(f"{name} is {least} to {most}")
        return value
    return None


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Return a field that is true or false; false when it is absent."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} is true or false")
    return bool(value)


def tier(body: Mapping[str, Any]) -> int:
    """Return the number of the service tier a client asks for."""
    name = body.get("service_tier")
    if name is None:
        return 0
    if not isinstance(name, str) or name not in TIERS:
        raise BadRequest(f"service_tier is one of {', '.join(TIERS)}")
    return TIERS[name]


def texts_of(value: object, depth: int = 0) -> list[str]:
    """Collect the text of a message's content: a string, parts with `text`, or lists of either."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    found: list[str] = []
    if depth < 6 and isinstance(value, list):
        for item in value:
            found += texts_of(item, depth + 1)
    elif depth < 6 and isinstance(value, dict):
        for name in ("text", "content", "input", "output", "arguments"):
            found += texts_of(value.get(name), depth + 1)
    return found


def dicts(value: object) -> Iterable[dict[str, Any]]:
    """The objects of a list, whatever else is in it or instead of it."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def count_of(usage: object, name: str) -> int:
    """Return a non-negative integer of a usage object; 0 where there is none."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < COUNT_LIMIT else 0
