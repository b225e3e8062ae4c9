"""APIs that answer in text: chat completions, completions, responses, and messages in Anthropic's shape."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from aitoken.pay import units as u
from gateway.apis.base import (
    CHOICES_MAX,
    Api,
    Ask,
    Meter,
    Reported,
    count_of,
    dicts,
    flag,
    integer,
    model_names,
    texts_of,
    tier,
    want,
)
from gateway.ports import Event


def _ask(body: dict[str, Any], size: int, texts: list[str], **more: Any) -> Ask:
    """A request whose input cannot have more tokens, or characters, than its body has bytes."""
    fixed = {
        u.REQUEST: 1,
        u.INPUT_TOKEN: size,
        u.CACHED_INPUT_TOKEN: size,
        u.CACHE_WRITE_TOKEN: size,
        u.INPUT_CHARACTER: sum([len(text) for text in texts]),
    }
    return Ask(body, model_names(body), flag(body, "stream"), texts=tuple(texts), fixed=fixed, tier=tier(body), **more)


def _tools(body: dict[str, Any]) -> list[str]:
    tools = body.get("tools")
    return [msgspec.json.encode(tools).decode()] if tools else []


def _openai_usage(usage: object) -> Reported | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    tokens = (count_of(usage, "prompt_tokens"), count_of(usage, "completion_tokens"))
    if not prompt and not completion:
        return Reported(*tokens)
    return Reported(
        *tokens,
        cached=count_of(prompt, "cached_tokens"),
        reasoning=count_of(completion, "reasoning_tokens"),
        audio_in=count_of(prompt, "audio_tokens"),
        audio_out=count_of(completion, "audio_tokens"),
    )


class _OpenAiText(Api):
    """What chat completions and completions share."""

    may_stream = True
    ends_with_done = True

    def is_usage_only(self, chunk: dict[str, Any]) -> bool:
        """A chunk without choices."""
        return chunk.get("choices") == [] and "usage" in chunk

    def receipt_data(self, told: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
        """A chunk without choices, as the one with the usage is."""
        kept: dict[str, Any] = {name: first[name] for name in ("id", "object", "created", "model") if name in first}
        return {**kept, "choices": [], "aitp": told}

    def prepare(self, ask: Ask, model: str, output_limit: int | None) -> dict[str, Any]:
        """The body with a usage asked for, whatever the client wants to see of it."""
        body = super().prepare(ask, model, output_limit)
        if ask.stream:
            options = ask.body.get("stream_options")
            body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return body

    def _usage(self, meter: Meter, answer: dict[str, Any]) -> None:
        reported = _openai_usage(answer.get("usage"))
        if reported is not None:
            meter.report(reported)


def _wants_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    want(options is None or isinstance(options, dict), "stream_options is an object")
    return isinstance(options, dict) and options.get("include_usage") is True


class Chat(_OpenAiText):
    """`/v1/chat/completions`."""

    kind: ClassVar[str] = "chat"
    path: ClassVar[str] = "/v1/chat/completions"

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Messages, tools, how many choices and how long each may be."""
        messages = body.get("messages")
        want(isinstance(messages, list) and len(messages) > 0, "messages is a list with at least one message")
        texts = _tools(body)
        for message in messages or ():
            want(isinstance(message, dict), "a message is an object")
            texts += texts_of(message.get("content"))
            for call in dicts(message.get("tool_calls")):
                texts += texts_of(call.get("function"))
        return _ask(
            body, size, texts, choices=integer(body, "n", most=CHOICES_MAX) or 1,
            output_limit=integer(body, "max_completion_tokens", "max_tokens"), wants_usage=_wants_usage(body),
        )  # fmt: skip

    def limit(self, body: dict[str, Any], tokens: int) -> None:
        """Under the name the client used."""
        body["max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"] = tokens

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """Text, refusals and tool calls of all choices."""
        for choice in dicts(answer.get("choices")):
            self._message(meter, choice, choice.get("message"))
        self._usage(meter, answer)
        meter.finished = True

    def event(self, meter: Meter, event: Event, chunk: dict[str, Any]) -> None:  # noqa: ARG002 - unnamed events
        """Deltas of choices; the last chunk's usage."""
        for choice in dicts(chunk.get("choices")):
            self._message(meter, choice, choice.get("delta"))
            meter.finished = meter.finished or choice.get("finish_reason") is not None
        self._usage(meter, chunk)

    def _message(self, meter: Meter, choice: dict[str, Any], message: object) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if not isinstance(message, dict):
            return
        for name in ("content", "refusal"):
            meter.text(index, message.get(name))
        for number, call in enumerate(dicts(message.get("tool_calls"))):
            function = call.get("function")
            if isinstance(function, dict):
                place = index + CHOICES_MAX * (1 + number)
                meter.text(place, function.get("name"))
                meter.text(place, function.get("arguments"))


class Completions(_OpenAiText):
    """`/v1/completions`."""

    kind: ClassVar[str] = "completions"
    path: ClassVar[str] = "/v1/completions"

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """A prompt, or several; each has its choices."""
        prompt = body.get("prompt")
        prompts = prompt if isinstance(prompt, list) else [prompt]
        want(len(prompts) > 0 and all(isinstance(text, str) for text in prompts), "prompt is text or a list of texts")
        choices = (integer(body, "n", most=CHOICES_MAX) or 1) * len(prompts)
        want(choices <= CHOICES_MAX, f"at most {CHOICES_MAX} choices at once")
        limit = integer(body, "max_tokens") or 16
        return _ask(
            body, size, [str(text) for text in prompts], choices=choices, output_limit=limit,
            wants_usage=_wants_usage(body),
        )  # fmt: skip

    def limit(self, body: dict[str, Any], tokens: int) -> None:
        """`max_tokens`."""
        body["max_tokens"] = tokens

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """Text of all choices."""
        for choice in dicts(answer.get("choices")):
            meter.text(choice.get("index", 0), choice.get("text"))
        self._usage(meter, answer)
        meter.finished = True

    def event(self, meter: Meter, event: Event, chunk: dict[str, Any]) -> None:  # noqa: ARG002 - unnamed events
        """Pieces of choices; the last chunk's usage."""
        for choice in dicts(chunk.get("choices")):
            index = choice.get("index")
            meter.text(index if isinstance(index, int) else 0, choice.get("text"))
            meter.finished = meter.finished or choice.get("finish_reason") is not None
        self._usage(meter, chunk)


class Responses(Api):
    """`/v1/responses`."""

    kind: ClassVar[str] = "responses"
    path: ClassVar[str] = "/v1/responses"
    may_stream: ClassVar[bool] = True

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Input, instructions and tools."""
        given = body.get("input")
        want(isinstance(given, str | list) and bool(given), "input is text or a list of items")
        instructions = body.get("instructions")
        want(instructions is None or isinstance(instructions, str), "instructions is text")
        texts = [*texts_of(given), *([instructions] if instructions else []), *_tools(body)]
        return _ask(body, size, texts, output_limit=integer(body, "max_output_tokens"))

    def limit(self, body: dict[str, Any], tokens: int) -> None:
        """`max_output_tokens`."""
        body["max_output_tokens"] = tokens

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """Text and calls of all output items."""
        for number, item in enumerate(dicts(answer.get("output"))):
            for part in dicts(item.get("content")):
                meter.text(number, part.get("text"))
                meter.text(number, part.get("refusal"))
            meter.text(number, item.get("name"))
            meter.text(number, item.get("arguments"))
        self._usage(meter, answer)
        meter.finished = True

    def event(self, meter: Meter, event: Event, chunk: dict[str, Any]) -> None:
        """Deltas of text and arguments; the usage of the event that ends it."""
        kind = chunk.get("type") or event.name
        if kind in ("response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta"):
            index = chunk.get("output_index")
            meter.text(index if isinstance(index, int) else 0, chunk.get("delta"))
        answer = chunk.get("response")
        if kind in ("response.completed", "response.incomplete", "response.failed") and isinstance(answer, dict):
            meter.finished = kind != "response.failed"
            self._usage(meter, answer)

    def _usage(self, meter: Meter, answer: dict[str, Any]) -> None:
        usage = answer.get("usage")
        if isinstance(usage, dict):
            meter.report(
                Reported(
                    input=count_of(usage, "input_tokens"),
                    output=count_of(usage, "output_tokens"),
                    cached=count_of(usage.get("input_tokens_details"), "cached_tokens"),
                    reasoning=count_of(usage.get("output_tokens_details"), "reasoning_tokens"),
                )
            )


class Messages(Api):
    """`/v1/messages`, in Anthropic's shape: its input tokens do not include those of the cache."""

    kind: ClassVar[str] = "messages"
    path: ClassVar[str] = "/v1/messages"
    may_stream: ClassVar[bool] = True

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Messages, system, tools; `max_tokens` has to be there."""
        messages = body.get("messages")
        want(isinstance(messages, list) and len(messages) > 0, "messages is a list with at least one message")
        limit = integer(body, "max_tokens")
        want(limit is not None, "max_tokens is an integer")
        texts = [*texts_of(body.get("system")), *_tools(body)]
        for message in messages or ():
            want(isinstance(message, dict), "a message is an object")
            texts += texts_of(message.get("content"))
        body = {name: value for name, value in body.items() if name != "service_tier"}
        return _ask(body, size, texts, output_limit=limit)

    def limit(self, body: dict[str, Any], tokens: int) -> None:
        """`max_tokens`."""
        body["max_tokens"] = tokens

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """Text, thinking and tool calls of the answer's blocks."""
        for number, block in enumerate(dicts(answer.get("content"))):
            self._block(meter, number, block)
            if isinstance(block.get("input"), dict):
                meter.text(number, msgspec.json.encode(block["input"]).decode())
        self._usage(meter, answer.get("usage"))
        meter.finished = True

    def event(self, meter: Meter, event: Event, chunk: dict[str, Any]) -> None:
        """Deltas of blocks; the usage of the first and last event together."""
        kind = chunk.get("type") or event.name
        index = chunk.get("index")
        number = index if isinstance(index, int) else 0
        if kind == "message_start" and isinstance(chunk.get("message"), dict):
            self._usage(meter, chunk["message"].get("usage"))
        elif kind == "content_block_start" and isinstance(chunk.get("content_block"), dict):
            self._block(meter, number, chunk["content_block"])
        elif kind == "content_block_delta" and isinstance(chunk.get("delta"), dict):
            self._block(meter, number, chunk["delta"])
        elif kind == "message_delta":
            self._usage(meter, chunk.get("usage"))
        meter.finished = meter.finished or kind == "message_stop"

    def _block(self, meter: Meter, number: int, block: dict[str, Any]) -> None:
        for name in ("text", "thinking", "partial_json", "name"):
            meter.text(number, block.get(name))

    def _usage(self, meter: Meter, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        cached, written = count_of(usage, "cache_read_input_tokens"), count_of(usage, "cache_creation_input_tokens")
        new = Reported(
            input=count_of(usage, "input_tokens") + cached + written,
            output=count_of(usage, "output_tokens"),
            cached=cached,
            cache_write=written,
        )
        before = meter.reported
        if before is not None and new.input == 0:  # the last event of a stream tells the output alone
            new = Reported(before.input, new.output, before.cached, before.cache_write)
        meter.report(new)
