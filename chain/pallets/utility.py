"""Utility: several calls in one transaction, and calls as somebody this account controls.

A batch that stops at a failing call still succeeds as a transaction (`BatchInterrupted`); wallets that want all or
nothing use `batch_all`, as our own tools do.

Source: `pallet_utility`; derived accounts as `derivative_account_id` computes them, so that wallets find them offline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from aitoken.codec.hints import TypeName, u16, u32
from aitoken.crypto.hashing import blake2_256
from aitoken.types import AccountId
from chain.frame.calls import Call, PostInfo, RuntimeCall, call
from chain.frame.errors import DispatchError
from chain.frame.origin import Origin, Signed, ensure_root, ensure_signed
from chain.frame.outer import OriginCaller
from chain.frame.pallet import Err, Errors, Ev, Events, Pallet, constant
from chain.frame.results import DispatchResult, attempt

if TYPE_CHECKING:
    from chain.frame.machine import Machine

CALLS_MAX: Final = 1024
"""Most calls in one batch."""

BoxedCall = Annotated[RuntimeCall, TypeName("Box<<T as Config>::RuntimeCall>")]
Calls = Annotated[list[RuntimeCall], TypeName("Vec<<T as Config>::RuntimeCall>")]
BoxedOrigin = Annotated[OriginCaller, TypeName("Box<T::PalletsOrigin>")]


def derivative_account(who: AccountId, index: int) -> AccountId:
    """Return the account that `who` controls under `index`."""
    return AccountId(blake2_256(b"modlpy/utilisuba" + who + index.to_bytes(2, "little")))


def _sum(calls: Sequence[Call]) -> int:
    return sum(inner.weight for inner in calls)


def _one(_: Any, inner: Call) -> int:
    return inner.weight


def _used(inner: Call, post: PostInfo | None) -> int:
    return inner.weight if post is None or post.weight is None else min(post.weight, inner.weight)


class Utility(Pallet, index=6, crate="pallet_utility"):
    """Several calls in one transaction, and calls as a derived account."""

    batched_calls_limit: u32 = constant(
        CALLS_MAX, name="batched_calls_limit", doc="The limit on the number of batched calls."
    )

    class Event(Events):
        """What Utility tells."""

        class BatchInterrupted(Ev, index=0):
            """Batch of dispatches did not complete fully: index of the first failing call, and its error."""

            index: u32
            error: DispatchError

        class BatchCompleted(Ev, index=1):
            """Batch of dispatches completed fully with no error."""

        class BatchCompletedWithErrors(Ev, index=2):
            """Batch of dispatches completed but has errors."""

        class ItemCompleted(Ev, index=3):
            """A single item within a batch of dispatches has completed with no error."""

        class ItemFailed(Ev, index=4):
            """A single item within a batch of dispatches has completed with an error."""

            error: DispatchError

        class DispatchedAs(Ev, index=5):
            """A call was dispatched."""

            result: DispatchResult

        class IfElseMainSuccess(Ev, index=6):
            """The main call was dispatched."""

        class IfElseFallbackCalled(Ev, index=7):
            """The fallback call was dispatched."""

            main_error: DispatchError

    class Error(Errors):
        """How Utility fails."""

        class TooManyCalls(Err, index=0):
            """Too many calls batched."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._machine = machine
        self._batch, self._batch_all = self.cost_of("batch"), self.cost_of("batch_all")
        self._force_batch, self._if_else = self.cost_of("force_batch"), self.cost_of("if_else")
        self._as_derivative = self.cost_of("as_derivative")

    @call(0, units=len, plus=_sum)
    def batch(self, origin: Origin, calls: Calls) -> PostInfo:
        """Send a batch of dispatch calls; stop at the first that fails, keeping what was done before it."""
        self._check_length(calls)
        used = self._batch.at(len(calls))
        for index, inner in enumerate(calls):
            try:
                used += _used(inner, self._machine.dispatch(inner, origin))
            except DispatchError as error:
                self.emit(self.Event.BatchInterrupted(index, error))
                return PostInfo(used + inner.weight)
            self.emit(self.Event.ItemCompleted())
        self.emit(self.Event.BatchCompleted())
        return PostInfo(used)

    @call(1, plus=_one)
    def as_derivative(self, origin: Origin, index: u16, call: BoxedCall) -> PostInfo:
        """Send a call through an indexed pseudonym of the sender."""
        pseudonym = derivative_account(ensure_signed(origin), index)
        as_them = Signed(pseudonym, origin.call_filter if isinstance(origin, Signed) else None)
        return PostInfo(self._as_derivative.base + _used(call, self._machine.dispatch(call, as_them)))

    @call(2, units=len, plus=_sum)
    def batch_all(self, origin: Origin, calls: Calls) -> PostInfo:
        """Send a batch of dispatch calls and atomically execute them: all or none."""
        self._check_length(calls)
        used = self._batch_all.at(len(calls))
        for inner in calls:
            used += _used(inner, self._machine.dispatch(inner, origin))
            self.emit(self.Event.ItemCompleted())
        self.emit(self.Event.BatchCompleted())
        return PostInfo(used)

    @call(3, plus=_one)
    def dispatch_as(self, origin: Origin, as_origin: BoxedOrigin, call: BoxedCall) -> None:
        """Dispatch a function call with a provided origin; only root may."""
        ensure_root(origin)
        self.emit(self.Event.DispatchedAs(attempt(self._machine, call, as_origin)))

    @call(4, units=len, plus=_sum)
    def force_batch(self, origin: Origin, calls: Calls) -> PostInfo:
        """Send a batch of dispatch calls; go on after one that fails."""
        self._check_length(calls)
        used, failed = self._force_batch.at(len(calls)), False
        for inner in calls:
            try:
                used += _used(inner, self._machine.dispatch(inner, origin))
            except DispatchError as error:
                failed = True
                used += inner.weight
                self.emit(self.Event.ItemFailed(error))
            else:
                self.emit(self.Event.ItemCompleted())
        self.emit(self.Event.BatchCompletedWithErrors() if failed else self.Event.BatchCompleted())
        return PostInfo(used)

    @call(6, plus=lambda main, fallback: main.weight + fallback.weight)
    def if_else(self, origin: Origin, main: BoxedCall, fallback: BoxedCall) -> PostInfo:
        """Dispatch the main call; if it fails, the fallback."""
        ensure_signed(origin)
        try:
            used = _used(main, self._machine.dispatch(main, origin))
        except DispatchError as error:
            used = main.weight + _used(fallback, self._machine.dispatch(fallback, origin))
            self.emit(self.Event.IfElseFallbackCalled(error))
        else:
            self.emit(self.Event.IfElseMainSuccess())
        return PostInfo(self._if_else.base + used)

    def _check_length(self, calls: Sequence[Call]) -> None:
        if len(calls) > CALLS_MAX:
            raise self.Error.TooManyCalls
