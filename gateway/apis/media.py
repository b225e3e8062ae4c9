"""APIs that answer in something else than text: embeddings, images, speech, moderations."""

from __future__ import annotations

import io
import wave
from typing import Any, ClassVar, Final

from aitoken.pay import units as u
from gateway.apis.base import Api, Ask, Meter, Reported, count_of, dicts, integer, model_names, tier, want
from gateway.ports import UpstreamFailed

IMAGES_MAX: Final = 16
INPUTS_MAX: Final = 2048
SIZE_MAX: Final = 4096
QUALITIES: Final = {"standard": 0, "auto": 0, "low": 0, "hd": 1, "medium": 1, "high": 2}
CHARACTERS_A_SECOND: Final = 5
"""Slow speech: the bound of how long a text can sound."""


def _inputs(body: dict[str, Any]) -> list[str]:
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    want(0 < len(inputs) <= INPUTS_MAX, f"input is text or a list of at most {INPUTS_MAX}")
    want(all(isinstance(item, str | list | dict) for item in inputs), "input is text")
    return [item if isinstance(item, str) else "" for item in inputs]


class Embeddings(Api):
    """`/v1/embeddings`."""

    kind: ClassVar[str] = "embeddings"
    path: ClassVar[str] = "/v1/embeddings"

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Texts, or lists of token numbers."""
        texts = _inputs(body)
        fixed = {
            u.REQUEST: 1, u.INPUT_TOKEN: size, u.EMBEDDING_VECTOR: len(texts),
            u.INPUT_CHARACTER: sum(len(text) for text in texts),
        }  # fmt: skip
        return Ask(body, model_names(body), texts=tuple(texts), fixed=fixed, tier=tier(body))

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """The vectors that came; an item that failed has none."""
        vectors = sum(1 for item in dicts(answer.get("data")) if item.get("embedding"))
        if vectors:
            meter.counts[u.EMBEDDING_VECTOR] = vectors
        usage = answer.get("usage")
        if isinstance(usage, dict):
            meter.report(Reported(input=count_of(usage, "prompt_tokens")))
        meter.finished = True


class Images(Api):
    """`/v1/images/generations`."""

    kind: ClassVar[str] = "images"
    path: ClassVar[str] = "/v1/images/generations"

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """A prompt, how many pictures, of which size and quality."""
        prompt = body.get("prompt")
        want(isinstance(prompt, str) and bool(prompt), "prompt is text")
        count = integer(body, "n", most=IMAGES_MAX) or 1
        pixels = self._pixels(body)
        quality = body.get("quality", "auto")
        want(quality in QUALITIES, f"quality is one of {', '.join(QUALITIES)}")
        fixed = {
            u.REQUEST: 1, u.IMAGE: count, u.IMAGE_PIXEL: count * pixels, u.INPUT_TOKEN: size,
            u.INPUT_CHARACTER: len(str(prompt)),
        }  # fmt: skip
        return Ask(
            body, model_names(body), quality=QUALITIES[quality], texts=(str(prompt),), fixed=fixed, tier=tier(body)
        )

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """The pictures that came, never more than were asked for."""
        wanted = meter.ask.fixed[u.IMAGE]
        came = sum(1 for item in dicts(answer.get("data")) if item.get("b64_json") or item.get("url"))
        count = min(came, wanted)
        if count:
            meter.counts[u.IMAGE] = count
            meter.counts[u.IMAGE_PIXEL] = count * self._pixels(meter.ask.body)
        meter.finished = True

    def _pixels(self, body: dict[str, Any]) -> int:
        size = body.get("size", "256x256")
        width, _, height = str(size).partition("x")
        want(width.isascii() and width.isdigit() and height.isascii() and height.isdigit(), "size is WIDTHxHEIGHT")
        want(len(width) < 5 and len(height) < 5, "size is WIDTHxHEIGHT")
        want(1 <= int(width) <= SIZE_MAX and 1 <= int(height) <= SIZE_MAX, f"size is at most {SIZE_MAX} each way")
        return int(width) * int(height)


class Speech(Api):
    """`/v1/audio/speech`; seconds are counted in WAV, whole ones, the last one begun counts."""

    kind: ClassVar[str] = "speech"
    path: ClassVar[str] = "/v1/audio/speech"

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Text to be spoken."""
        text = body.get("input")
        want(isinstance(text, str) and bool(text), "input is text")
        spoken = str(text)
        fixed = {
            u.REQUEST: 1, u.INPUT_CHARACTER: len(spoken), u.INPUT_TOKEN: size,
            u.AUDIO_SECOND_OUT: 2 + len(spoken) // CHARACTERS_A_SECOND,
        }  # fmt: skip
        return Ask(body, model_names(body), texts=(spoken,), fixed=fixed, tier=tier(body))

    def prepare(self, ask: Ask, model: str, output_limit: int | None) -> dict[str, Any]:
        """WAV unless the client wants another format."""
        return {"response_format": "wav", **super().prepare(ask, model, output_limit)}

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """Nothing: sound is not JSON."""

    def binary(self, meter: Meter, content_type: str, answer: bytes) -> None:  # noqa: ARG002 - others need it
        """Bytes of sound, and seconds where they can be read."""
        if not answer:
            return
        meter.counts[u.BYTE_OUT] = len(answer)
        if answer[:4] == b"RIFF":
            meter.counts[u.AUDIO_SECOND_OUT] = wav_seconds(answer)
        meter.finished = True


class Moderations(Api):
    """`/v1/moderations`."""

    kind: ClassVar[str] = "moderations"
    path: ClassVar[str] = "/v1/moderations"

    def read(self, body: dict[str, Any], size: int) -> Ask:
        """Texts to be judged."""
        texts = _inputs(body)
        fixed = {
            u.REQUEST: 1, u.GUARD_UNIT: len(texts), u.INPUT_TOKEN: size,
            u.INPUT_CHARACTER: sum(len(text) for text in texts),
        }  # fmt: skip
        return Ask(body, model_names(body), texts=tuple(texts), fixed=fixed)

    def whole(self, meter: Meter, answer: dict[str, Any]) -> None:
        """One unit a result."""
        results = sum(1 for _ in dicts(answer.get("results")))
        if results:
            meter.counts[u.GUARD_UNIT] = min(results, meter.ask.fixed[u.GUARD_UNIT])
        meter.finished = True


def wav_seconds(sound: bytes) -> int:
    """Return how long a WAV file sounds, in whole seconds, the last one begun counting as one.

    Raises:
        UpstreamFailed: it is no WAV file.
    """
    try:
        with wave.open(io.BytesIO(sound)) as file:
            # Counted, not believed: the header of a stream says anything.
            sound_bytes = len(file.readframes(file.getnframes()))
            frames, rate = sound_bytes // (file.getsampwidth() * file.getnchannels()), file.getframerate()
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise UpstreamFailed(f"the upstream's sound cannot be read: {error}") from None
    if rate <= 0:
        raise UpstreamFailed("the upstream's sound has no rate")
    seconds: int = -(-frames // rate)
    return seconds
