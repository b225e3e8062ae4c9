"""The enums over all pallets of a runtime: event, error, hold reason, origin; and the event record.

In Python a value of an outer enum is the pallet's own value; its class says which pallet it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Annotated, Any, Final

from aitoken.codec.base import (
    AnyCodec,
    Codec,
    Composite,
    DecodeError,
    EncodeError,
    Field,
    Shape,
    Variant,
    Variants,
    path_of,
    truncated,
)
from aitoken.codec.containers import Vec
from aitoken.codec.hints import TypeName, codec_of, u32
from aitoken.codec.primitives import H256
from aitoken.codec.records import Record, Union
from chain.frame.calls import StandIn

RUNTIME: Final = "aitoken_runtime"
"""Crate name in the paths of outer enums; it must end in `_runtime`."""


RUNTIME_HOLD_REASON: Final = StandIn()
RUNTIME_FREEZE_REASON: Final = StandIn()
ORIGIN_CALLER: Final = StandIn()
EVENT_RECORDS: Final = StandIn()

RuntimeHoldReason = Annotated[Any, RUNTIME_HOLD_REASON, TypeName("T::RuntimeHoldReason")]
"""The outer enum over the pallets' `HoldReason` enums; values are the pallets' own."""
RuntimeFreezeReason = Annotated[Any, RUNTIME_FREEZE_REASON, TypeName("T::RuntimeFreezeReason")]
"""The same over `FreezeReason` enums."""
OriginCaller = Annotated[Any, ORIGIN_CALLER, TypeName("T::PalletsOrigin")]
"""The outer enum over system and pallet origins."""
EventRecords = Annotated[list[Any], EVENT_RECORDS, TypeName("Vec<EventRecord<T::RuntimeEvent, T::Hash>>")]
"""The value of `System.Events`."""


class Phase(Union, path="frame_system::Phase"):
    """When in a block something happened."""


class ApplyExtrinsic(Phase, index=0, unnamed=True):
    """In the extrinsic of that position."""

    index: u32


class Finalization(Phase, index=1):
    """At the end of the block."""


class Initialization(Phase, index=2):
    """At the start of the block."""


class EventRecord(Record):
    """An event with its phase; `event` is an `Ev` of a pallet."""

    phase: Phase
    event: Any
    topics: list[bytes]


def outer_shape(name: str, inner: Mapping[int, tuple[str, AnyCodec, str]]) -> Shape:
    """Return the registry entry of an outer enum.

    Args:
        name: `RuntimeEvent`, `RuntimeHoldReason`, ...
        inner: pallet index to (variant name, codec, typeName).
    """
    variants = tuple(
        Variant(variant, index, (Field(codec, type_name=type_name),))
        for index, (variant, codec, type_name) in sorted(inner.items())
    )
    return Shape(Variants(variants), path=(RUNTIME, name))


def outer_codec(name: str, inner: Mapping[int, tuple[str, AnyCodec, str]], classes: Mapping[type, int]) -> AnyCodec:
    """Return the codec of an outer enum; `classes` maps the class of a value to its pallet index."""

    def encode(value: Any) -> bytes:
        index = classes.get(value.__class__)
        if index is None:
            raise EncodeError(f"{value!r} is no {name}")
        return bytes((index,)) + inner[index][1].encode(value)

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        if offset >= len(data):
            raise truncated(1, data, offset)
        found = inner.get(data[offset])
        if found is None:
            raise DecodeError(f"{name} has no variant {data[offset]}")
        return found[1].read(data, offset + 1)

    def default() -> Any:
        return inner[min(inner)][1].default()

    return Codec(encode, read, default=default, size_min=1, shape=lambda: outer_shape(name, inner))


def value_classes(family: Any) -> list[type]:
    """Return the classes the values of an enum have."""
    if isinstance(family, type) and issubclass(family, IntEnum):
        return [family]
    return list(family.scale_variants.values())


def event_record_codec(event: AnyCodec) -> Codec[EventRecord]:
    """Return the codec of `EventRecord` for an outer event enum."""
    phase, topics = codec_of(Phase), Vec(H256)
    encode: Callable[[EventRecord], bytes] = lambda record: (
        phase.encode(record.phase) + event.encode(record.event) + topics.encode(record.topics)
    )

    def read(data: bytes, offset: int) -> tuple[EventRecord, int]:
        at, offset = phase.read(data, offset)
        what, offset = event.read(data, offset)
        tags, offset = topics.read(data, offset)
        return EventRecord(at, what, tags), offset

    shape = Shape(
        Composite((Field(phase, "phase", "Phase"), Field(event, "event", "E"), Field(topics, "topics", "Vec<T>"))),
        path=path_of("frame_system::EventRecord"),
        params=(("E", event), ("T", H256)),
    )
    return Codec(
        encode,
        read,
        default=lambda: EventRecord(Initialization(), None, []),
        size_min=3,
        shape=lambda: shape,
    )
