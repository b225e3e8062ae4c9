"""`DispatchResult`: how a call inside another call ended, as events tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from aitoken.codec.containers import UNIT, Fail, Ok, Result, fail, ok
from aitoken.codec.hints import TypeName
from chain.frame.errors import DISPATCH_ERROR, DispatchError

if TYPE_CHECKING:
    from chain.frame.calls import Call
    from chain.frame.machine import Machine

DispatchResult = Annotated[Ok | Fail, Result(UNIT, DISPATCH_ERROR), TypeName("DispatchResult")]
"""`ok(None)` or `fail(error)`; the SCALE type `Result<(), DispatchError>`."""


def attempt(machine: Machine, call: Call, origin: Any) -> Ok | Fail:
    """Make a call in a layer of its own and return how it ended; a failed one leaves nothing behind."""
    try:
        machine.dispatch(call, origin)
    except DispatchError as error:
        return fail(error)
    return ok(None)
