"""Models that need nothing: the same request gives the same answer on every machine, without a network.

`echo` says back what it was told, `markov-small` goes on from it in words of a small text, `image-noise` draws patterns
of the prompt, speech is one tone a character, embeddings and judgements come from hashes and a word list. Text is
counted in `pieces@1`, one token an event.
"""

from __future__ import annotations

import base64
import io
import struct
import wave
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from aitoken.crypto.hashing import blake2_256
from gateway.apis.base import texts_of
from gateway.ports import Answer, Event, Flow
from gateway.sse import DONE
from gateway.tokens import count_pieces, first_pieces, pieces

OUTPUT_MAX: Final = 4096
CREATED: Final = 1_700_000_000
SAMPLE_RATE: Final = 8_000
SAMPLES_A_CHARACTER: Final = 480
EMBEDDING_SIZE: Final = 64
SIDE_MAX: Final = 512
_BAD_WORDS: Final = ("kill", "hate", "bomb")
_TEXT: Final = (
    "a small model of words walks through a small text and says what could come next . the next word depends on the "
    "last two words and on the words that were asked . a small text has few words so the walk comes back to the same "
    "places and the same words . what was asked decides where the walk begins and how it turns . the same question "
    "has the same answer on every machine and at every time"
)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_WORDS: Final = tuple(_TEXT.split())


class BuiltinUpstream:
    """All built-in models, told apart by the name in the body."""

    async def ask(self, path: str, body: bytes) -> Answer:
        """Answer at once."""
        request = _decode(body)
        if path == "/v1/audio/speech":
            return Answer(200, "audio/wav", tone(str(request.get("input", ""))))
        make = _WHOLE.get(path)
        if make is None:
            return _json({"error": {"message": f"no built-in model answers {path}"}}, 404)
        return _json(make(request))

    @asynccontextmanager
    async def stream(self, path: str, body: bytes) -> AsyncIterator[Flow]:
        """Answer token by token."""
        request = _decode(body)
        flow = _FLOWS.get(path)
        if flow is None:
            yield _BuiltinFlow([], _json({"error": {"message": f"no built-in model streams {path}"}}, 404))
        else:
            yield _BuiltinFlow(flow(request))


class _BuiltinFlow:
    def __init__(self, events: Iterator[Event] | list[Event], refused: Answer | None = None) -> None:
        self._events = events
        self.refused = refused

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self._events:
            yield event


def _json(value: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, "application/json", _encode(value))


# ------------------------------------------------------------------------------------------------- text


def reply(model: str, prompt: str, limit: int) -> tuple[list[str], bool]:
    """Return a model's answer in tokens, and whether it was cut at `limit`."""
    text = walk(prompt) if model.startswith("markov") else prompt
    return first_pieces(text, max(1, min(limit, OUTPUT_MAX)))


def walk(prompt: str, words: int = 48) -> str:
    """Return what the small model of words says after a prompt."""
    follow: dict[tuple[str, str], list[str]] = {}
    for first, second, third in zip(_WORDS, _WORDS[1:] + _WORDS[:1], _WORDS[2:] + _WORDS[:2], strict=True):
        follow.setdefault((first, second), []).append(third)
    starts = sorted(follow)
    digest = blake2_256(prompt.encode("utf-8", "replace"))
    state = starts[int.from_bytes(digest[:4], "little") % len(starts)]
    said = list(state)
    for number in range(words - 2):
        digest = blake2_256(digest) if number % 8 == 0 else digest
        options = follow[state]
        state = (state[1], options[digest[number % 8] % len(options)])
        said.append(state[1])
    return " ".join(said)


def _prompt(messages: object) -> str:
    """The text of the last message of a conversation."""
    last = messages[-1] if isinstance(messages, list) and messages else messages
    return "".join(texts_of(last.get("content") if isinstance(last, dict) else last))


def _input_tokens(*values: object) -> int:
    return sum([count_pieces(text) for value in values for text in texts_of(value)])


def _openai_usage(request: dict[str, Any], output: int) -> dict[str, Any]:
    given = [message.get("content") for message in request.get("messages", [])] or [request.get("prompt")]
    tokens = _input_tokens(*given)
    return {"prompt_tokens": tokens, "completion_tokens": output, "total_tokens": tokens + output}


def _limit(request: dict[str, Any], *names: str, otherwise: int = OUTPUT_MAX) -> int:
    for name in names:
        if isinstance(limit := request.get(name), int):
            return int(limit)
    return otherwise


def _name(request: dict[str, Any], prefix: str) -> str:
    return prefix + blake2_256(_encode(request)).hex()[:24]


def _chat_reply(request: dict[str, Any]) -> tuple[list[str], str, int]:
    limit = _limit(request, "max_completion_tokens", "max_tokens")
    tokens, cut = reply(str(request["model"]), _prompt(request.get("messages")), limit)
    return tokens, "length" if cut else "stop", _limit(request, "n", otherwise=1)


def _chat(request: dict[str, Any]) -> dict[str, Any]:
    tokens, reason, count = _chat_reply(request)
    message = {"role": "assistant", "content": "".join(tokens)}
    choices = [{"index": index, "message": message, "finish_reason": reason} for index in range(count)]
    return {
        "id": _name(request, "chatcmpl-"), "object": "chat.completion", "created": CREATED, "model": request["model"],
        "choices": choices, "usage": _openai_usage(request, count * len(tokens)),
    }  # fmt: skip


def _chat_flow(request: dict[str, Any]) -> Iterator[Event]:
    tokens, reason, count = _chat_reply(request)
    head = {
        "id": _name(request, "chatcmpl-"), "object": "chat.completion.chunk", "created": CREATED,
        "model": request["model"],
    }  # fmt: skip
    for token in tokens:
        for index in range(count):
            delta = {"role": "assistant", "content": token}
            yield _data({**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]})
    ends = [{"index": index, "delta": {}, "finish_reason": reason} for index in range(count)]
    yield _data({**head, "choices": ends})
    yield _data({**head, "choices": [], "usage": _openai_usage(request, count * len(tokens))})
    yield Event(DONE)


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    prompt = request.get("prompt")
    choices, output = [], 0
    for index, text in enumerate(prompt if isinstance(prompt, list) else [prompt]):
        tokens, cut = reply(str(request["model"]), str(text), _limit(request, "max_tokens"))
        output += len(tokens)
        choices.append({"index": index, "text": "".join(tokens), "finish_reason": "length" if cut else "stop"})
    return {
        "id": _name(request, "cmpl-"), "object": "text_completion", "created": CREATED, "model": request["model"],
        "choices": choices, "usage": _openai_usage(request, output),
    }  # fmt: skip


def _completion_flow(request: dict[str, Any]) -> Iterator[Event]:
    whole = _completion(request)
    head = {name: whole[name] for name in ("id", "object", "created", "model")}
    for choice in whole["choices"]:
        for token in pieces(choice["text"]):
            yield _data({**head, "choices": [{"index": choice["index"], "text": token, "finish_reason": None}]})
        yield _data({**head, "choices": [{**choice, "text": ""}]})
    yield _data({**head, "choices": [], "usage": whole["usage"]})
    yield Event(DONE)


def _response(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("input")
    tokens, cut = reply(str(request["model"]), _prompt(given), _limit(request, "max_output_tokens"))
    name = _name(request, "resp_")
    content = [{"type": "output_text", "text": "".join(tokens), "annotations": []}]
    output = [{"type": "message", "id": name.replace("resp", "msg"), "role": "assistant", "status": "completed",
               "content": content}]  # fmt: skip
    counted = _input_tokens(given, request.get("instructions"))
    usage = {
        "input_tokens": counted, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": len(tokens),
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": counted + len(tokens),
    }  # fmt: skip
    return {
        "id": name, "object": "response", "created_at": CREATED, "model": request["model"], "output": output,
        "status": "incomplete" if cut else "completed", "parallel_tool_calls": False, "tool_choice": "auto",
        "tools": [], "usage": usage,
    }  # fmt: skip


def _response_flow(request: dict[str, Any]) -> Iterator[Event]:
    whole = _response(request)
    item = whole["output"][0]
    begun = {**whole, "output": [], "status": "in_progress", "usage": None}
    number = 0
    for kind, more in (
        ("response.created", {"response": begun}),
        ("response.output_item.added", {"output_index": 0, "item": {**item, "content": [], "status": "in_progress"}}),
    ):
        yield _named(kind, {"sequence_number": number, **more})
        number += 1
    for token in pieces(item["content"][0]["text"]):
        where = {"item_id": item["id"], "output_index": 0, "content_index": 0, "delta": token, "logprobs": []}
        yield _named("response.output_text.delta", {"sequence_number": number, **where})
        number += 1
    yield _named("response.completed", {"sequence_number": number, "response": whole})


def _message(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("messages", [])
    tokens, cut = reply(str(request["model"]), _prompt(given), _limit(request, "max_tokens"))
    counted = _input_tokens(request.get("system"), *[message.get("content") for message in given])
    return {
        "id": _name(request, "msg_"), "type": "message", "role": "assistant", "model": request["model"],
        "content": [{"type": "text", "text": "".join(tokens)}], "stop_reason": "max_tokens" if cut else "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": counted, "output_tokens": len(tokens)},
    }  # fmt: skip


def _message_flow(request: dict[str, Any]) -> Iterator[Event]:
    whole = _message(request)
    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 0}}
    yield _named("message_start", {"message": begun})
    yield _named("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})
    for token in pieces(whole["content"][0]["text"]):
        yield _named("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": token}})
    yield _named("content_block_stop", {"index": 0})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _named("message_delta", {"delta": delta, "usage": {"output_tokens": whole["usage"]["output_tokens"]}})
    yield _named("message_stop", {})


def _data(value: dict[str, Any]) -> Event:
    return Event(msgspec.json.encode(value).decode())


def _named(kind: str, value: dict[str, Any]) -> Event:
    return Event(msgspec.json.encode({"type": kind, **value}).decode(), kind)


# ------------------------------------------------------------------------------------------------- other answers


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("input")
    data = []
    for index, text in enumerate(given if isinstance(given, list) else [given]):
        digest = b"".join(blake2_256(f"{half}:{text}".encode()) for half in range(EMBEDDING_SIZE // 32))
        data.append({"object": "embedding", "index": index, "embedding": [(byte - 128) / 128 for byte in digest]})
    tokens = _input_tokens(given)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": request["model"], "data": data, "usage": usage}


def _images(request: dict[str, Any]) -> dict[str, Any]:
    width, _, height = str(request.get("size", "256x256")).partition("x")
    size = (min(int(width), SIDE_MAX), min(int(height), SIDE_MAX))
    data = []
    for index in range(int(request.get("n") or 1)):
        picture = noise(f"{index}:{request.get('prompt')}", *size)
        data.append({"b64_json": base64.b64encode(picture).decode("ascii")})
    return {"created": CREATED, "data": data}


def noise(prompt: str, width: int, height: int) -> bytes:
    """Return a picture as PNG (RFC 2083): tiles whose colours come from the prompt."""
    digest = blake2_256(prompt.encode("utf-8", "replace"))
    tile = b"".join(blake2_256(digest + bytes((row,))) for row in range(32))
    colours = [bytes(digest[c] ^ value for c in (0, 1, 2)) for value in range(256)]
    rows = []
    for y in range(height):
        line = tile[32 * (y // 8 % 32) : 32 * (y // 8 % 32) + 32]
        rows.append(b"\x00" + b"".join(colours[line[x // 8 % 32]] for x in range(width)))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tone(text: str) -> bytes:
    """Return a WAV file with one short tone for each character."""
    waves = []
    for character in text:
        period = 16 + ord(character) % 32
        shape = bytes(128 + (96 * min(step, period - step) * 2 // period) - 48 for step in range(period))
        waves.append((shape * (SAMPLES_A_CHARACTER // period + 1))[:SAMPLES_A_CHARACTER])
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(b"".join(waves))
    return sound.getvalue()


def _moderations(request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("input")
    results = []
    for text in given if isinstance(given, list) else [given]:
        bad = [word for word in _BAD_WORDS if word in str(text).lower().split()]
        results.append({"flagged": bool(bad), "categories": {"violence": bool(bad)}, "category_scores": {}})
    return {"id": _name(request, "modr-"), "model": request["model"], "results": results}


_WHOLE: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "/v1/chat/completions": _chat, "/v1/completions": _completion, "/v1/responses": _response,
    "/v1/messages": _message, "/v1/embeddings": _embeddings, "/v1/images/generations": _images,
    "/v1/moderations": _moderations,
}  # fmt: skip
_FLOWS: Final[dict[str, Callable[[dict[str, Any]], Iterator[Event]]]] = {
    "/v1/chat/completions": _chat_flow, "/v1/completions": _completion_flow, "/v1/responses": _response_flow,
    "/v1/messages": _message_flow,
}  # fmt: skip
