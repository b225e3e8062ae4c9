"""Parameters: numbers of pallets that governance may change while the chain runs, within bounds that it may not.

    protocol_fee: Parameter[u32] = parameter(0, 1_000, bounds=(0, 10_000), doc="...")

Read it as `self.protocol_fee.get()`. What is set stands in the storage of the Parameters pallet; where nothing is, the
default counts. Types of all of them together, for calls, events and storage, have the shape that Substrate's
`dynamic_params` gives them: pallet, then parameter, then a marker of its own, and what belongs to it.

In Python a key is (pallet index, parameter index), a value (pallet index, parameter index, value), and what is set
(pallet index, parameter index, value or None).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

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
    truncated,
)
from aitoken.codec.containers import Option
from aitoken.codec.hints import TypeName
from chain.frame.calls import StandIn
from chain.frame.outer import RUNTIME
from chain.frame.types import described

if TYPE_CHECKING:
    from chain.frame.storage import OptionMap

T = TypeVar("T")

RUNTIME_PARAMETERS: Final = StandIn()
PARAMETERS_KEY: Final = StandIn()
PARAMETERS_VALUE: Final = StandIn()

RuntimeParameters = Annotated[Any, RUNTIME_PARAMETERS, TypeName("T::RuntimeParameters")]
"""A parameter and what it shall be, None for its default."""
ParametersKey = Annotated[Any, PARAMETERS_KEY, TypeName("<T::RuntimeParameters as AggregatedKeyValue>::Key")]
"""Which parameter."""
ParametersValue = Annotated[Any, PARAMETERS_VALUE, TypeName("<T::RuntimeParameters as AggregatedKeyValue>::Value")]
"""A parameter and what it is."""


@dataclass(frozen=True, slots=True)
class ParameterDeclaration:
    """What a pallet's class body says about a parameter, besides its annotation."""

    index: int
    default: int
    bounds: tuple[int, int]
    doc: str
    name: str | None


def parameter(index: int, default: int, *, bounds: tuple[int, int], doc: str, name: str | None = None) -> Any:
    """Declare a parameter: annotate with `Parameter[T]`.

    Args:
        index: its number in its pallet, fixed for ever.
        default: what counts until something is set.
        bounds: least and greatest it may be set to; the default lies within.
        doc: what it is, with its unit.
        name: where it is not the PascalCase of the attribute.
    """
    if not bounds[0] <= default <= bounds[1]:
        raise TypeError(f"a default of {default} is not within {bounds}")
    return ParameterDeclaration(index, default, bounds, doc, name)


@dataclass(frozen=True, slots=True)
class ParameterInfo:
    """A parameter of one runtime."""

    pallet: str
    attribute: str
    name: str
    key: tuple[int, int]
    codec: AnyCodec
    type_name: str
    default: int
    bounds: tuple[int, int]
    doc: str


class Parameter(Generic[T]):
    """A bound parameter."""

    __slots__ = ("_default", "_key", "_values")

    def __init__(self, info: ParameterInfo, values: OptionMap[Any, Any] | None) -> None:
        self._key = info.key
        self._default: Any = info.default
        self._values = values

    def get(self) -> T:
        """Return what it is now."""
        found = None if self._values is None else self._values.get(self._key)
        value: T = self._default if found is None else found[2]
        return value


Parts = Callable[[ParameterInfo], tuple[AnyCodec, ...]]


def _codec(infos: Sequence[ParameterInfo], carried: Parts, shape: Callable[[], Shape]) -> AnyCodec:
    """Return the codec of one of the enums over all parameters.

    Args:
        infos: all parameters, by key.
        carried: what a parameter's variant carries besides its marker; at most one thing.
        shape: how metadata shows it.
    """
    table = {info.key: carried(info) for info in infos}

    def encode(value: tuple[Any, ...]) -> bytes:
        codecs = table.get((value[0], value[1]))
        if codecs is None:
            raise EncodeError(f"no parameter {value[:2]}")
        return bytes(value[:2]) + b"".join([codec.encode(part) for codec, part in zip(codecs, value[2:], strict=True)])

    def read(data: bytes, offset: int) -> tuple[tuple[Any, ...], int]:
        if offset + 2 > len(data):
            raise truncated(2, data, offset)
        codecs = table.get((data[offset], data[offset + 1]))
        if codecs is None:
            raise DecodeError(f"no parameter {data[offset]}.{data[offset + 1]}")
        found, offset = [data[offset], data[offset + 1]], offset + 2
        for codec in codecs:
            part, offset = codec.read(data, offset)
            found.append(part)
        return tuple(found), offset

    return Codec(encode, read, default=lambda: None, size_min=2, shape=shape)


def _path(pallet: str) -> tuple[str, ...]:
    return RUNTIME, "dynamic_params", pallet.lower()


def _shape(
    infos: Sequence[ParameterInfo], suffix: str, fields_of: Callable[[ParameterInfo], tuple[Field, ...]]
) -> Shape:
    variants = []
    for pallet, rows in groupby(infos, key=lambda info: info.pallet):
        mine = list(rows)
        inner = tuple(Variant(info.name, info.key[1], fields_of(info), (info.doc,)) for info in mine)
        codec = described(Shape(Variants(inner), path=(*_path(pallet), f"Parameters{suffix}")))
        type_name = f"dynamic_params::{pallet.lower()}::Parameters{suffix}"
        variants.append(Variant(pallet, mine[0].key[0], (Field(codec, type_name=type_name),)))
    return Shape(Variants(tuple(variants)), path=(RUNTIME, f"RuntimeParameters{suffix}"))


def enums(infos: Sequence[ParameterInfo]) -> dict[StandIn, AnyCodec]:
    """Return the three enums over all parameters, by what stands in for them."""
    markers = {
        info.key: Field(described(Shape(Composite(()), path=(*_path(info.pallet), info.name))), type_name=info.name)
        for info in infos
    }

    def option(info: ParameterInfo) -> tuple[AnyCodec, ...]:
        return (Option(info.codec),)

    def value(info: ParameterInfo) -> tuple[AnyCodec, ...]:
        return (info.codec,)

    def set_fields(info: ParameterInfo) -> tuple[Field, ...]:
        return markers[info.key], Field(Option(info.codec), type_name=f"Option<{info.type_name}>")

    def value_fields(info: ParameterInfo) -> tuple[Field, ...]:
        return (Field(info.codec, type_name=info.type_name),)

    return {
        RUNTIME_PARAMETERS: _codec(infos, option, lambda: _shape(infos, "", set_fields)),
        PARAMETERS_KEY: _codec(infos, lambda _: (), lambda: _shape(infos, "Key", lambda info: (markers[info.key],))),
        PARAMETERS_VALUE: _codec(infos, value, lambda: _shape(infos, "Value", value_fields)),
    }
