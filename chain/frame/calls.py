"""Calls: decorated methods of pallets whose type hints are the SCALE types of their arguments.

    @call(3, weight=weight(us=40, reads=1, writes=1))
    def transfer_keep_alive(self, origin: Origin, dest: LookupSource, value: CompactBalance) -> None:

A decoded `Call` knows what it calls but no pallet instance, so one decoding serves the pool, the block builder and
every other runtime instance of the process. Calls that carry calls are read at most `NESTING_MAX` deep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from aitoken.codec.base import Codec, DecodeError, Field, Shape, Variant, Variants, truncated
from aitoken.codec.hints import TypeName
from chain.frame.types import DispatchClass, Pays

F = TypeVar("F", bound=Callable[..., Any])

NESTING_MAX: Final = 8
"""How deep calls may carry calls."""
CARRIED_MAX: Final = 4096
"""How many calls one call may carry in all; bounds the work of reading junk."""

PS_PER_US: Final = 1_000_000
READ_US: Final = 5
WRITE_US: Final = 15
"""Placeholders until the benchmark command has measured them; see `docs/spec/runtime.md`."""


def weight(us: int, reads: int = 0, writes: int = 0) -> int:
    """Return a weight in picoseconds. All weights of this runtime version are placeholders, not yet measured."""
    return (us + reads * READ_US + writes * WRITE_US) * PS_PER_US


@dataclass(frozen=True, slots=True)
class PostInfo:
    """What a call may return when it used less than announced, or turned out to be free."""

    weight: int | None = None
    pays: Pays | None = None


@dataclass(frozen=True, slots=True)
class CallDeclaration:
    """What `@call` was told."""

    index: int
    weight: int | Callable[..., int]
    dispatch_class: DispatchClass
    pays: Pays


def call(
    index: int,
    *,
    weight: int | Callable[..., int],
    dispatch_class: DispatchClass = DispatchClass.Normal,
    pays: Pays = Pays.Yes,
) -> Callable[[F], F]:
    """Make a pallet method a call.

    Args:
        index: the call's number in its pallet, fixed for ever.
        weight: picoseconds, or a function of the arguments (without the pallet) for calls that carry calls.
        dispatch_class: which share of the block it uses; inherents are `Mandatory`.
        pays: whether its caller pays a fee.
    """

    def decorate(function: F) -> F:
        function.scale_call = CallDeclaration(index, weight, dispatch_class, pays)  # type: ignore[attr-defined]
        return function

    return decorate


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
        self.weight = declaration.weight
        self.fixed_weight = declaration.weight if isinstance(declaration.weight, int) else None
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
