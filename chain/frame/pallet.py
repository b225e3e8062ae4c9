"""A pallet: a class that declares storage, constants, calls, events and errors, and holds its state while a block runs.

    class Balances(Pallet, index=4, crate="pallet_balances"):
        \"\"\"The native token.\"\"\"

        total_issuance: Value[Balance] = value(doc="The total units issued in the system.")
        existential_deposit: Balance = constant(lambda env: env.params.existential_deposit, doc="...")

        class Event(Events):
            class Transfer(Ev, index=2):
                \"\"\"Transfer succeeded.\"\"\"
                from_: AccountId
                to: AccountId
                amount: Balance

        class Error(Errors):
            class InsufficientBalance(Err, index=2):
                \"\"\"Balance too low to send value.\"\"\"

        @call(3)
        def transfer_keep_alive(self, origin: Origin, dest: LookupSource, value: CompactBalance) -> None: ...

Order inside a call: check, compute, write, emit. Pallets get what they need of each other through their constructor,
typed by a small Protocol that stands beside the user. The framework never looks at names to find meaning; indices are
what is fixed for ever, and `tests/conformance/metadata_lock.json` holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from aitoken.codec.records import Record
from aitoken.types import BlockNumber
from chain.frame.errors import ModuleError
from chain.frame.parameters import Parameter
from chain.frame.weights import Linear

if TYPE_CHECKING:
    from aitoken.proto.digest import Digest
    from chain.frame.calls import Call
    from chain.frame.executive import ValidTransaction
    from chain.frame.machine import Machine

F = TypeVar("F", bound=Callable[..., Any])


class Events:
    """Groups the events of a pallet; nested classes derive from `Ev`."""


class Ev(Record):
    """An event. The first paragraph of its docstring is shown by wallets."""

    scale_index: ClassVar[int]

    def __init_subclass__(cls, *, index: int, unnamed: bool = False) -> None:
        cls.scale_index = index
        cls.scale_unnamed = unnamed


class Errors:
    """Groups the errors of a pallet; nested classes derive from `Err`."""


class Err(ModuleError):
    """An error of a pallet, raised as a class: `raise self.Error.NotFound`."""

    index: ClassVar[int]

    def __init_subclass__(cls, *, index: int) -> None:
        cls.index = index


@dataclass(frozen=True, slots=True)
class ConstantDeclaration:
    """A constant: where its value comes from and what metadata says of it."""

    source: Any
    doc: str
    name: str | None


def constant(source: Any, *, doc: str = "", name: str | None = None) -> Any:
    """Declare a constant; the annotation is its type.

    Args:
        source: the value, or a function of the `Environment` (chain parameters, runtime version).
        doc: shown in metadata.
        name: where it is not the PascalCase of the attribute.
    """
    return ConstantDeclaration(source, doc, name)


@dataclass(frozen=True, slots=True)
class ApiDeclaration:
    """A method that is also a runtime API function."""

    api: str
    version: int


def runtime_api(api: str, version: int) -> Callable[[F], F]:
    """Make a method callable from outside as `<api>_<method>`; its hints are the SCALE types."""

    def decorate(function: F) -> F:
        function.scale_api = ApiDeclaration(api, version)  # type: ignore[attr-defined]  # a mark for the schema
        return function

    return decorate


class Pallet:
    """Base of all pallets. Subclasses with a constructor of their own call `super().__init__(machine)` first."""

    index: ClassVar[int]
    name: ClassVar[str]
    crate: ClassVar[str]

    def __init_subclass__(cls, *, index: int, crate: str, name: str | None = None) -> None:
        cls.index, cls.crate, cls.name = index, crate, name or cls.__name__
        for error in members_of(cls, "Error", Err):
            error.scale = bytes((3, index, error.index, 0, 0, 0))
            error.code = f"{cls.name}.{error.__name__}"

    def __init__(self, machine: Machine) -> None:
        """Bind storage items, constants and parameters to this instance."""
        self._store = machine.store
        schema = machine.schema
        self._event_encoders = schema.event_encoders
        self._weights = schema.weights
        for info in schema.storage[type(self)]:
            setattr(self, info.attribute, machine.store.bind(info))
        for item in schema.constants[type(self)]:
            setattr(self, item.attribute, item.value)
        for parameter in schema.parameters[type(self)]:
            setattr(self, parameter.attribute, Parameter(parameter, machine.parameter_values))

    def cost_of(self, what: str) -> Linear:
        """Return the measured weight of a call or hook of this pallet, by its name."""
        return self._weights.of(f"{self.name}.{what}")

    def emit(self, event: Ev) -> None:
        """Record an event of this block; it disappears if the call fails."""
        store = self._store
        store.events.append(store.phase + self._event_encoders[event.__class__](event) + b"\x00")

    # What a pallet may override; only overridden hooks are called. A hook that raises makes the block invalid.

    def on_initialize(self, number: BlockNumber) -> int:
        """Work at the start of block `number`; return the weight used."""
        raise NotImplementedError  # never called: only overridden hooks are

    def on_idle(self, number: BlockNumber, remaining: int) -> int:
        """Work with what is left of the block; return the weight used."""
        raise NotImplementedError  # never called: only overridden hooks are

    def on_finalize(self, number: BlockNumber) -> None:
        """Work at the end of block `number`."""
        raise NotImplementedError  # never called: only overridden hooks are

    def create_inherent(self, digest: Digest) -> Call | None:
        """Return the call this pallet puts at the start of a block with this digest."""
        raise NotImplementedError  # never called: only overridden hooks are

    def allows(self, call: Call) -> bool:
        """Whether this call may be made now by anybody but root."""
        raise NotImplementedError  # never called: only overridden hooks are

    def check_unsigned(self, call: Call) -> ValidTransaction:
        """Let a call of this pallet in without a signature, or raise `InvalidTransaction`."""
        raise NotImplementedError  # never called: only overridden hooks are

    def check_given(self, number: BlockNumber) -> None:
        """Check what only somebody else's block can get wrong, before its transactions; raise `InvalidBlock`."""
        raise NotImplementedError  # never called: only overridden hooks are

    def check_block(self, number: BlockNumber) -> None:
        """Check what must hold after every block; raise `Bug` if it does not."""
        raise NotImplementedError  # never called: only overridden hooks are


def attributes_of(pallet: type) -> dict[str, Any]:
    """Return what the class body of a pallet declares, with that of the mixins it is put together from first."""
    found: dict[str, Any] = {}
    for part in reversed(pallet.__mro__):
        if part not in (object, Pallet):
            found.update(vars(part))
    return found


def members_of(pallet: type[Pallet], group: str, kind: type) -> list[Any]:
    """Return the classes of `kind` inside the class `group` of a pallet, in index order."""
    container = pallet.__dict__.get(group)
    found = [] if container is None else [item for item in vars(container).values() if _is_a(item, kind)]
    return sorted(found, key=lambda item: getattr(item, "scale_index", getattr(item, "index", 0)))


def _is_a(item: object, kind: type) -> bool:
    return isinstance(item, type) and issubclass(item, kind)


def overriding(pallets: Iterable[Pallet], hook: str) -> list[Any]:
    """Return the bound methods of those pallets that override `hook`, in pallet order."""
    base = getattr(Pallet, hook)
    return [getattr(pallet, hook) for pallet in pallets if getattr(type(pallet), hook) is not base]
