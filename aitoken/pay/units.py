"""What is counted: the registry of units.

A unit is *verifiable* when the buyer can count it in what it sent and received (characters, images, seconds of sound),
*declared* when it has to believe the seller (tokens of a named tokenizer, reasoning tokens, seconds of a GPU).
Numbers are part of receipts and price books and are never used again.
"""

from typing import Final, NamedTuple


class Unit(NamedTuple):
    """One unit of the registry."""

    number: int
    name: str
    verifiable: bool


INPUT_TOKEN: Final = 1
OUTPUT_TOKEN: Final = 2
CACHED_INPUT_TOKEN: Final = 3
CACHE_WRITE_TOKEN: Final = 4
REASONING_TOKEN: Final = 5
REQUEST: Final = 6
INPUT_CHARACTER: Final = 7
OUTPUT_CHARACTER: Final = 8
IMAGE: Final = 9
IMAGE_PIXEL: Final = 10
AUDIO_SECOND_IN: Final = 11
AUDIO_SECOND_OUT: Final = 12
AUDIO_TOKEN_IN: Final = 13
AUDIO_TOKEN_OUT: Final = 14
VIDEO_SECOND: Final = 15
VIDEO_TOKEN: Final = 16
PAGE: Final = 17
SEARCH_QUERY: Final = 18
TOOL_SESSION: Final = 19
GPU_SECOND: Final = 20
CPU_SECOND: Final = 21
GB_STORED_HOUR: Final = 22
GB_TRANSFERRED: Final = 23
TRAINING_TOKEN: Final = 24
LABELLED_ITEM: Final = 25
EMBEDDING_VECTOR: Final = 26
RERANK_DOCUMENT: Final = 27
GUARD_UNIT: Final = 28
BYTE_IN: Final = 29
BYTE_OUT: Final = 30
SEAT_DAY: Final = 31
IMAGE_IN: Final = 32
IMAGE_PIXEL_IN: Final = 33
IMAGE_TOKEN_IN: Final = 34
IMAGE_TOKEN_OUT: Final = 35
VIDEO_SECOND_IN: Final = 36
VIDEO_TOKEN_IN: Final = 37
CACHED_AUDIO_TOKEN: Final = 38
CACHED_IMAGE_TOKEN: Final = 39
CACHE_WRITE_AUDIO_TOKEN: Final = 40
KEPT_INPUT_TOKEN: Final = 41
ANNOTATED_PAGE: Final = 42
MAP_QUERY: Final = 43
CITATION_TOKEN: Final = 44
CREDIT: Final = 45

UNITS: Final[dict[int, Unit]] = {
    unit.number: unit
    for unit in (
        Unit(INPUT_TOKEN, "input token", verifiable=False),
        Unit(OUTPUT_TOKEN, "output token", verifiable=False),
        Unit(CACHED_INPUT_TOKEN, "cached input token", verifiable=False),
        Unit(CACHE_WRITE_TOKEN, "cache write token", verifiable=False),
        Unit(REASONING_TOKEN, "reasoning token", verifiable=False),
        Unit(REQUEST, "request", verifiable=True),
        Unit(INPUT_CHARACTER, "input character", verifiable=True),
        Unit(OUTPUT_CHARACTER, "output character", verifiable=True),
        Unit(IMAGE, "image", verifiable=True),
        Unit(IMAGE_PIXEL, "image pixel", verifiable=True),
        Unit(AUDIO_SECOND_IN, "audio second in", verifiable=True),
        Unit(AUDIO_SECOND_OUT, "audio second out", verifiable=True),
        Unit(AUDIO_TOKEN_IN, "audio token in", verifiable=False),
        Unit(AUDIO_TOKEN_OUT, "audio token out", verifiable=False),
        Unit(VIDEO_SECOND, "video second", verifiable=True),
        Unit(VIDEO_TOKEN, "video token", verifiable=False),
        Unit(PAGE, "page", verifiable=True),
        Unit(SEARCH_QUERY, "search query", verifiable=False),
        Unit(TOOL_SESSION, "tool session", verifiable=False),
        Unit(GPU_SECOND, "GPU second", verifiable=False),
        Unit(CPU_SECOND, "CPU second", verifiable=False),
        Unit(GB_STORED_HOUR, "GB stored hour", verifiable=False),
        Unit(GB_TRANSFERRED, "GB transferred", verifiable=True),
        Unit(TRAINING_TOKEN, "training token", verifiable=False),
        Unit(LABELLED_ITEM, "labelled item", verifiable=True),
        Unit(EMBEDDING_VECTOR, "embedding vector", verifiable=True),
        Unit(RERANK_DOCUMENT, "rerank document", verifiable=True),
        Unit(GUARD_UNIT, "guard unit", verifiable=False),
        Unit(BYTE_IN, "byte in", verifiable=True),
        Unit(BYTE_OUT, "byte out", verifiable=True),
        Unit(SEAT_DAY, "seat day", verifiable=True),
        Unit(IMAGE_IN, "image in", verifiable=True),
        Unit(IMAGE_PIXEL_IN, "image pixel in", verifiable=True),
        Unit(IMAGE_TOKEN_IN, "image token in", verifiable=False),
        Unit(IMAGE_TOKEN_OUT, "image token out", verifiable=False),
        Unit(VIDEO_SECOND_IN, "video second in", verifiable=True),
        Unit(VIDEO_TOKEN_IN, "video token in", verifiable=False),
        Unit(CACHED_AUDIO_TOKEN, "cached audio token", verifiable=False),
        Unit(CACHED_IMAGE_TOKEN, "cached image token", verifiable=False),
        Unit(CACHE_WRITE_AUDIO_TOKEN, "cache write audio token", verifiable=False),
        Unit(KEPT_INPUT_TOKEN, "kept input token", verifiable=False),
        Unit(ANNOTATED_PAGE, "annotated page", verifiable=True),
        Unit(MAP_QUERY, "map query", verifiable=False),
        Unit(CITATION_TOKEN, "citation token", verifiable=False),
        Unit(CREDIT, "credit", verifiable=False),
    )
}

NUMBER_OF: Final[dict[str, int]] = {unit.name.replace(" ", "_").lower(): unit.number for unit in UNITS.values()}
"""Numbers by the names that price files use: `input_token`, `gpu_second`."""

INPUT_SIZE_UNITS: Final = (INPUT_TOKEN, CACHED_INPUT_TOKEN, CACHE_WRITE_TOKEN, AUDIO_TOKEN_IN)
"""What counts towards the size of a request's input, on which prices may depend."""
