"""Calls: decorated methods of pallets whose type hints are the SCALE types of their arguments.

    @call(3)
    def transfer_keep_alive(self, origin: Origin, dest: LookupSource, value: CompactBalance) -> None:

A decoded `Call` knows what it calls but no pallet instance, so one decoding serves the pool, the block builder and
every other runtime instance of the process. Calls that carry calls are read at most `NESTING_MAX` deep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from aitoken.codec.base import Codec, DecodeError, Field, Shape, Variant, Variants, truncated
from aitoken.codec.hints import TypeName, codec_of
from chain.frame.types import DispatchClass, DispatchEventInfo, Pays, Weight
from chain.frame.weights import Linear

F = TypeVar("F", bound=Callable[..., Any])

NESTING_MAX: Final = 8
"""How deep calls may carry calls."""
TAILS_MAX: Final = 1024
CARRIED_MAX: Final = 4096
"""How many calls one call may carry in all; bounds the work of reading junk."""
_EVENT_INFO: Final = codec_of(DispatchEventInfo)


@dataclass(frozen=True, slots=True)
class PostInfo:
    """What a call may return when it used less than announced, or turned out to be free."""

    weight: int | None = None
    pays: Pays | None = None


@dataclass(frozen=True, slots=True)
class CallDeclaration:
    """What `@call` was told."""

    index: int
    units: Callable[..., int] | None
    plus: Callable[..., int] | None
    dispatch_class: DispatchClass
    pays: Pays


def call(
    index: int,
    *,
    units: Callable[..., int] | None = None,
    plus: Callable[..., int] | None = None,
    dispatch_class: DispatchClass = DispatchClass.Normal,
    pays: Pays = Pays.Yes,
) -> Callable[[F], F]:
    """Make a pallet method a call. What it weighs is measured, and found by its name (`chain.frame.weights`).

    Args:
        index: the call's number in its pallet, fixed for ever.
        units: what its cost grows with, as a function of the arguments (without the pallet).
        plus: picoseconds besides its own cost, as a function of the arguments; for calls that carry calls.
        dispatch_class: which share of the block it uses; inherents are `Mandatory`.
        pays: whether its caller pays a fee.
    """

    def decorate(function: F) -> F:
        declaration = CallDeclaration(index, units, plus, dispatch_class, pays)
        function.scale_call = declaration  # type: ignore[attr-defined]  # a mark the schema looks for
        return function

    return decorate


def announced(declaration: CallDeclaration, cost: Linear) -> int | Callable[..., int]:
    """Return the weight of a call: a number, or a function of its arguments."""
    units, plus, base = declaration.units, declaration.plus, cost.base
    if units is not None and plus is not None:
        return lambda *args: cost.at(units(*args)) + plus(*args)
    if units is not None:
        return lambda *args: cost.at(units(*args))
    if plus is not None:
        return lambda *args: base + plus(*args)
    return base


class CallInfo:
    """A call of one runtime: where it leads and how its arguments are read.

    `fixed_weight`, `class_index` and `charges` repeat what is declared in the form the executive can use fastest;
    `tails` are encoded ends of the extrinsic's last event, by (weight used, whether a fee is paid).
    """

    __slots__ = (
        "arguments", "charges", "class_index", "dispatch_class", "docs", "encode", "fields", "fixed_weight", "index",
        "key", "name", "pallet_index", "pallet_name", "pays", "read", "slot", "tails", "weight",
    )  # fmt: skip

    def __init__(
        self,
        pallet_name: str,
        pallet_index: int,
        name: str,
        declaration: CallDeclaration,
        weight: int | Callable[..., int],
        arguments: tuple[tuple[str, Codec[Any], str], ...],
        read: Callable[[bytes, int], tuple[tuple[Any, ...], int]],
        encode: Callable[[tuple[Any, ...]], bytes],
        docs: tuple[str, ...],
        slot: int,
    ) -> None:
        self.pallet_name = pallet_name
        self.pallet_index = pallet_index
        self.name = name
        self.index = declaration.index
        self.weight = weight
        self.fixed_weight = weight if isinstance(weight, int) else None
        self.class_index = int(declaration.dispatch_class)
        self.charges = declaration.pays is Pays.Yes
        self.dispatch_class = declaration.dispatch_class
        self.pays = declaration.pays
        self.arguments = tuple(argument[0] for argument in arguments)
        self.fields = arguments
        self.read = read
        self.encode = encode
        self.docs = docs
        self.key = bytes((pallet_index, declaration.index))
        self.slot = slot
        self.tails: dict[tuple[int, bool], bytes] = {}

    def tail(self, used: int, *, charges: bool) -> bytes:
        """Return the encoded dispatch info and the (no) topics that end the last event of an extrinsic."""
        tail = self.tails.get((used, charges))
        if tail is None:
            if len(self.tails) > TAILS_MAX:
                self.tails.clear()
            what = DispatchEventInfo(Weight(used, 0), self.dispatch_class, Pays.Yes if charges else Pays.No)
            tail = self.tails[used, charges] = _EVENT_INFO.encode(what) + b"\x00"
        return tail

    def __repr__(self) -> str:
        return f"{self.pallet_name}.{self.name}"


class Call:
    """A call with its arguments."""

    __slots__ = ("args", "info")

    def __init__(self, info: CallInfo, args: tuple[Any, ...]) -> None:
        self.info = info
        self.args = args

    @property
    def weight(self) -> int:
        """What the call announces to use at most, in picoseconds."""
        announced = self.info.weight
        return announced if isinstance(announced, int) else int(announced(*self.args))

    @property
    def arguments(self) -> dict[str, Any]:
        """Argument name to value."""
        return dict(zip(self.info.arguments, self.args, strict=True))

    def encode(self) -> bytes:
        """Return pallet index, call index and arguments."""
        return self.info.key + self.info.encode(self.args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and other.info.key == self.info.key and other.args == self.args

    def __hash__(self) -> int:
        return hash((self.info.key, self.args))

    def __repr__(self) -> str:
        return f"{self.info!r}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


class StandIn:
    """Marks a type only a whole runtime knows; its schema binds the codec."""


RUNTIME_CALL: Final = StandIn()
RuntimeCall = Annotated[Call, RUNTIME_CALL, TypeName("<T as Config>::RuntimeCall")]
"""The outer call enum of the runtime, as a type hint; values are `Call`s."""


class CallCodec:
    """Reads and writes the outer call enum of one runtime."""

    def __init__(self) -> None:
        self._table: dict[int, CallInfo] = {}
        self._depth = 0
        self._carried = 0

    def add(self, info: CallInfo) -> None:
        """Make a call readable."""
        self._table[info.pallet_index << 8 | info.index] = info

    def info_of(self, data: bytes) -> CallInfo | None:
        """Which call an encoded one is, by its first two bytes; None where there is none such."""
        return self._table.get(data[0] << 8 | data[1]) if len(data) > 1 else None

    def decode(self, data: bytes) -> Call:
        """Decode exactly one call.

        Raises:
            DecodeError: see `read`; or bytes are left over.
        """
        if len(data) < 2:
            raise truncated(2, data, 0)
        info = self._table.get(data[0] << 8 | data[1])
        if info is None:
            raise DecodeError(f"no call {data[0]}.{data[1]}")
        self._carried = 0
        args, end = info.read(data, 2)
        if end != len(data):
            raise DecodeError(f"{len(data) - end} bytes left over behind the call")
        return Call(info, args)

    def read(self, data: bytes, offset: int) -> tuple[Call, int]:
        """Read one call inside another.

        Raises:
            DecodeError: no such call, malformed arguments, calls nested deeper than `NESTING_MAX`, or too many.
        """
        if offset + 2 > len(data):
            raise truncated(2, data, offset)
        info = self._table.get(data[offset] << 8 | data[offset + 1])
        if info is None:
            raise DecodeError(f"no call {data[offset]}.{data[offset + 1]}")
        if self._depth >= NESTING_MAX:
            raise DecodeError(f"calls nested deeper than {NESTING_MAX}")
        self._carried += 1
        if self._carried > CARRIED_MAX:
            raise DecodeError(f"more than {CARRIED_MAX} calls in one")
        self._depth += 1
        try:
            args, offset = info.read(data, offset + 2)
        finally:
            self._depth -= 1
        return Call(info, args), offset


def pallet_call_shape(path: str, infos: list[CallInfo]) -> Shape:
    """Return the registry entry of one pallet's calls."""
    variants = tuple(
        Variant(
            info.name,
            info.index,
            tuple(Field(codec, name, type_name) for name, codec, type_name in info.fields),
            info.docs,
        )
        for info in sorted(infos, key=lambda info: info.index)
    )
    return Shape(Variants(variants), path=tuple(path.split("::")), params=(("T", None),))
