"""Structs and enums declared as classes; the annotations are the only description of their fields.

    @record("pallet_balances::types::BalanceLock", params={"Balance": Balance})
    class BalanceLock(Record):
        \"\"\"An amount nobody may spend.\"\"\"
        id: LockIdentifier
        amount: Balance
        reasons: Reasons

    class RewardDestination(Union, path="pallet_staking::RewardDestination"):
        \"\"\"Where rewards go.\"\"\"
    class Staked(RewardDestination, index=0): ...
    class PaidTo(RewardDestination, index=3, name="Account", unnamed=True):
        who: AccountId

An enum without fields is an `IntEnum` under `@plain_enum(path)`.

Constructors, `copy`, comparison and coders are generated once per class as source, as `dataclasses` does it: a record
is built in 0.14 us and copied in 0.12 us, and neighbouring fields of fixed size are read with one `struct` call.
By convention a record that came out of storage is never changed in place: `copy()` it first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

C = TypeVar("C", bound=type)
E = TypeVar("E", bound=type[IntEnum])

_PLAIN_ENUMS: dict[type, tuple[str, tuple[tuple[str, Any], ...]]] = {}


def _execute(source: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run generated source; it is made of field names only, never of input."""
    exec(source, names)  # noqa: S102 - as dataclasses and attrs do
    return names


def _methods(fields: tuple[str, ...]) -> dict[str, Any]:
    arguments = "".join(f", {name}" for name in fields)
    assign = "\n".join(f"    self.{name} = {name}" for name in fields) or "    pass"
    copies = "\n".join(f"    new.{name} = self.{name}" for name in fields) or "    pass"
    values = "".join(f"self.{name}, " for name in fields)
    theirs = "".join(f"other.{name}, " for name in fields)
    names = _execute(
        f"def __init__(self{arguments}):\n{assign}\n"
        f"def copy(self):\n    new = new_of(self.__class__)\n{copies}\n    return new\n"
        f"def __eq__(self, other):\n"
        f"    return ({values}) == ({theirs}) if other.__class__ is self.__class__ else NotImplemented\n"
        f"def __hash__(self):\n    return hash_of((self.__class__, {values}))\n",
        {"new_of": object.__new__, "hash_of": hash},
    )
    return {name: names[name] for name in ("__init__", "copy", "__eq__", "__hash__")}


def _own_annotations(namespace: Mapping[str, Any]) -> tuple[str, ...]:
    annotations = namespace.get("__annotations__", {})
    return tuple(
        name for name, hint in annotations.items() if not str(hint).startswith(("ClassVar", "typing.ClassVar"))
    )


class _RecordMeta(type):
    """Gives each class slots for its annotations and the generated methods."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> _RecordMeta:
        own = _own_annotations(namespace)
        inherited = next((base.scale_fields for base in bases if isinstance(base, _RecordMeta)), ())
        fields = (*inherited, *own)
        given = {key: value for key, value in namespace.items() if key not in own}
        defaults = {key: namespace[key] for key in own if key in namespace}
        if defaults:
            raise TypeError(f"{name}: SCALE fields have no defaults, but {', '.join(defaults)} has one")
        methods = {key: value for key, value in _methods(fields).items() if key not in namespace}
        given.update(methods, __slots__=own, scale_fields=fields)
        return super().__new__(mcs, name, bases, given, **options)

    scale_fields: tuple[str, ...]


@dataclass_transform()
class Record(metaclass=_RecordMeta):
    """Base of everything with fields: positional constructor, cheap `copy`, equality by value."""

    scale_path: ClassVar[str] = ""
    scale_params: ClassVar[tuple[tuple[str, Any], ...]] = ()
    scale_unnamed: ClassVar[bool] = False

    def copy(self) -> Self:
        """Return a new record with the same values."""
        raise NotImplementedError  # replaced in every class that has a name

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).scale_fields)
        return f"{type(self).__name__}({values})"


def record(path: str, params: Mapping[str, Any] | None = None, unnamed: bool = False) -> Callable[[C], C]:  # noqa: FBT001, FBT002
    """Give a `Record` subclass its path in the metadata.

    Args:
        path: Substrate's path, "::" between segments.
        params: generic parameters as metadata lists them, name to hint (None for one that is not a type).
        unnamed: list the fields without names (a Rust tuple struct).
    """

    def decorate(cls: C) -> C:
        target = cast("Any", cls)
        target.scale_path = path
        target.scale_params = tuple((params or {}).items())
        target.scale_unnamed = unnamed
        return cls

    return decorate


class Union(Record):
    """Base of an enum whose alternatives carry fields; its direct subclasses are enums, theirs are alternatives."""

    scale_variants: ClassVar[dict[int, type[Union]]]
    scale_index: ClassVar[int]
    scale_name: ClassVar[str]

    def __init_subclass__(
        cls,
        *,
        path: str | None = None,
        params: Mapping[str, Any] | None = None,
        index: int | None = None,
        name: str | None = None,
        unnamed: bool = False,
    ) -> None:
        if path is not None:
            cls.scale_path, cls.scale_params, cls.scale_variants = path, tuple((params or {}).items()), {}
            return
        if index is None:
            raise TypeError(f"{cls.__name__}: an alternative of an enum needs index=..., an enum needs path=...")
        if index in cls.scale_variants:
            raise TypeError(f"{cls.__name__}: index {index} is taken by {cls.scale_variants[index].__name__}")
        cls.scale_index, cls.scale_name, cls.scale_unnamed = index, name or cls.__name__, unnamed
        cls.scale_variants[index] = cls


def plain_enum(path: str, params: Mapping[str, Any] | None = None) -> Callable[[E], E]:
    """Make an `IntEnum` a SCALE enum without fields: member name and value are variant name and index."""

    def decorate(cls: E) -> E:
        _PLAIN_ENUMS[cls] = (path, tuple((params or {}).items()))
        return cls

    return decorate


def plain_enum_path(cls: type) -> tuple[str, tuple[tuple[str, Any], ...]] | None:
    """Return what `plain_enum` was told about `cls`."""
    return _PLAIN_ENUMS.get(cls)
