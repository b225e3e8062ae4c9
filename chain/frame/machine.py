"""One runtime instance: the pallets bound to a store, and how calls reach them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aitoken.codec.base import EncodeError
from aitoken.errors import Bug
from chain.frame.calls import NESTING_MAX, Call, PostInfo
from chain.frame.errors import DispatchError, LimitReached, Other, Overflow
from chain.frame.origin import ROOT, Root, Signed
from chain.frame.pallet import Pallet, attributes_of, overriding
from chain.frame.storage import Store
from chain.state.memory import MemoryKeyValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.frame.schema import Schema


class Corrupted(DispatchError):
    """The call changed balances without a matching change of the total issuance; it was undone."""

    code = "dispatch.corruption"
    scale = b"\x0b"


class Filtered(DispatchError):
    """The call is not allowed now, or not to this caller; `System.CallFiltered`."""

    code = "System.CallFiltered"
    scale = bytes((3, 0, 5, 0, 0, 0))


class Machine:
    """Pallets of one runtime on one store. Works on one block at a time.

    Attributes:
        parameter_values: what parameters are set to, shared by all pallets; None in a runtime that cannot set them.
        faults: exceptions other than dispatch errors that calls raised; the node logs them, loudly.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.store = Store(MemoryKeyValue())
        stored = schema.parameter_storage
        self.parameter_values: Any = None if stored is None else self.store.bind(stored)
        self.pallets: dict[str, Pallet] = {}
        self.faults: list[Exception] = []
        self._depth = 0
        self._handlers: list[Callable[..., PostInfo | None]] = []
        self._filters: list[Callable[[Call], bool]] = []

    def install(self, *pallets: Pallet) -> None:
        """Take the constructed pallets, in index order.

        Raises:
            TypeError: a pallet of the schema is missing.
        """
        self.pallets = {pallet.name: pallet for pallet in sorted(pallets, key=lambda pallet: pallet.index)}
        missing = [pallet.name for pallet in self.schema.pallets if pallet.name not in self.pallets]
        if missing:
            raise TypeError(f"not constructed: {', '.join(missing)}")
        self._handlers = [
            getattr(self.pallets[info.pallet_name], _method_name(self.pallets[info.pallet_name], info.index))
            for info in self.schema.all_calls()
        ]
        self._filters = overriding(self.pallets.values(), "allows")

    def hooks(self, name: str) -> list[Any]:
        """Return the bound hooks of that name, in pallet order."""
        return overriding(self.pallets.values(), name)

    def dispatch(self, call: Call, origin: Any) -> PostInfo | None:
        """Make a call in a transactional layer of its own.

        Raises:
            DispatchError: the call failed; its writes and events are undone.
        """
        if self._filters or origin.__class__ is not Signed or origin.call_filter is not None:
            self.check_filters(call, origin)
        store = self.store
        mark = store.mark()
        if self._depth >= NESTING_MAX:
            raise LimitReached
        self._depth += 1
        try:
            post = self._handlers[call.info.slot](origin, *call.args)
            store.check_encodable(mark[0])
            if store.imbalance != mark[2]:
                raise Corrupted(f"{call.info!r}: imbalance {store.imbalance - mark[2]}")
        except DispatchError:
            store.rollback(mark)
            raise
        except EncodeError as error:
            store.rollback(mark)
            raise Overflow(str(error)) from error
        except Bug:
            raise
        except Exception as error:
            store.rollback(mark)
            self.faults.append(error)
            raise Other(repr(error)) from error
        finally:
            self._depth -= 1
        return post

    def check_filters(self, call: Call, origin: Any) -> None:
        """Refuse calls that the caller's proxy or the chain itself does not allow.

        Raises:
            Filtered: it is not allowed.
        """
        if isinstance(origin, Signed) and origin.call_filter is not None and not origin.call_filter(call):
            raise Filtered
        for allows in self._filters:
            if not isinstance(origin, Root) and not allows(call):
                raise Filtered

    def dispatch_as_root(self, call: Call) -> PostInfo | None:
        """Make a call as root."""
        return self.dispatch(call, ROOT)


def _method_name(pallet: Pallet, index: int) -> str:
    for name, function in attributes_of(type(pallet)).items():
        declaration = getattr(function, "scale_call", None)
        if declaration is not None and declaration.index == index:
            return name
    raise TypeError(f"{pallet.name} has no call {index}")
