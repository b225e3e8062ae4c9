"""From the bytes of a request to the bytes of its answer: JSON-RPC 2.0, single and in batches.

Size was checked by whoever read the bytes; depth is checked here before anything is decoded. Reads are answered on
the spot; what waits for the pool is a coroutine. A batch is worked through in order, in slices, and answered at once.

Source: https://www.jsonrpc.org/specification; jsonrpsee for limits.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from node.pool.errors import PoolRejected
from node.rpc import errors
from node.rpc.errors import RpcError
from node.rpc.limits import Bucket, Limits, check_depth
from node.rpc.registry import Method, Registry
from node.rpc.render import failure, response, to_json
from node.rpc.services import Services
from node.rpc.session import Exchange, Later, Session, Sink, Source

log = logging.getLogger(__name__)

NO_ID: Final = b"null"
SLICE_S: Final = 0.005
"""A batch lets others run after so much work."""
ID_CHARS_MAX: Final = 1_024
UNSAFE_ELSEWHERE: Final = frozenset(
    {
        "state_getPairs",
        "state_traceBlock",
        "system_addLogFilter",
        "system_removeReservedPeer",
        "system_reservedPeers",
        "system_resetLogFilter",
    }
)
"""Methods Substrate calls unsafe that this node does not have: they are refused in the same words."""
_encode = msgspec.json.Encoder().encode
_decode_params = msgspec.json.Decoder().decode


class Request(msgspec.Struct):
    """A request object; without `id` it is a notification."""

    method: str
    jsonrpc: str
    id: int | str | float | msgspec.UnsetType | None = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"null")


_decode_request = msgspec.json.Decoder(Request).decode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Id(msgspec.Struct):
    """What can be saved of a malformed request."""

    id: int | str | float | None = None


_decode_id = msgspec.json.Decoder(_Id).decode


@dataclass(slots=True)
class Caller:
    """Where requests come from: a WebSocket (with a session) or HTTP (without)."""

    bucket: Bucket
    session: Session | None = None
    source: str = ""


@dataclass(slots=True)
class Answer:
    """What to send back (None for notifications), and what to do once it has been queued."""

    body: bytes | None
    after: list[Callable[[], object]] = field(default_factory=list)

    def release(self) -> None:
        """The body has been queued."""
        for call in self.after:
            call()


class Deferred:
    """An answer that comes by a call; or await it."""

    __slots__ = ("_make", "_start")

    def __init__(self, start: Callable[[Callable[[Any], None]], None], make: Callable[[Any], Answer]) -> None:
        self._start = start
        self._make = make

    def then(self, deliver: Callable[[Answer], None]) -> None:
        """Begin, and call `deliver` with the answer once it is there, maybe at once."""

        def done(result: Any) -> None:
            try:
                deliver(self._make(result))
            except Exception:  # whoever calls back serves others as well
                log.exception("an answer could not be delivered")

        self._start(done)

    def __await__(self) -> Generator[Any, None, Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.then(lambda answer: None if future.done() else future.set_result(answer))
        return future.__await__()


Outcome: TypeAlias = Answer | Deferred | Coroutine[Any, Any, Answer]
OnCall: TypeAlias = Callable[[str, bool], None]
"""Told of every call: its canonical name and whether it succeeded."""


class Bound:
    """A method with the services it asked for."""

    __slots__ = ("constants", "exchange", "method", "needs_session", "session", "sink", "source")

    def __init__(self, method: Method, services: Services) -> None:
        self.method = method
        self.constants: dict[str, Any] = {}
        self.session = self.exchange = self.sink = self.source = ""
        for name, kind in method.injected.items():
            if kind is Session:
                self.session = name
            elif kind is Exchange:
                self.exchange = name
            elif kind is Sink:
                self.sink = name
            elif kind is Source:
                self.source = name
            else:
                self.constants[name] = services.find(kind)
        self.needs_session = bool(self.session or self.exchange or self.sink)


class Dispatcher:
    """Answers requests with the methods of a registry."""

    def __init__(
        self,
        registry: Registry,
        services: Services,
        *,
        unsafe: bool = False,
        on_call: OnCall | None = None,
    ) -> None:
        self._limits: Limits = services.limits
        self._loop = services.loop
        self._unsafe = unsafe
        self._on_call = on_call
        self._bound = {name: Bound(method, services) for name, method in registry.methods.items()}
        self._unsubscribes = registry.unsubscribes

    def process(self, data: bytes, caller: Caller) -> Outcome:
        """Answer the bytes of one request or batch.

        Never raises: whatever is wrong with the bytes becomes an error object.
        """
        try:
            check_depth(data, self._limits.depth)
            if data.lstrip(b" \t\r\n")[:1] == b"[":
                return self._batch(_decode_batch(data), caller)
        except RpcError as error:
            return Answer(failure(NO_ID, error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Answer(failure(NO_ID, errors.parse_error()))
        return self._single(data, caller)

    def _single(self, data: bytes | msgspec.Raw, caller: Caller) -> Outcome:
        try:
            request = _decode_request(data)
            request_id = self._id(request)
        except msgspec.ValidationError as error:
            return Answer(failure(_saved_id(data), errors.invalid_request(str(error))))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return Answer(failure(NO_ID, errors.parse_error()))
        except RpcError as error:
            return Answer(failure(NO_ID, error))
        after: list[Callable[[], object]] = []
        name = request.method
        if request_id is None and name in self._bound and self._bound[name].sink:
            return Answer(None)  # nobody would learn the subscription's id
        try:
            result = self._call(request, caller, after)
        except Exception as error:  # noqa: BLE001 - one broken method must not take the connection down
            return self._failed(request_id, name, error, after)
        if type(result) is Later:
            return Deferred(result.start, partial(self._settled, request_id, name, after))
        if inspect.iscoroutine(result):
            return self._finish(request_id, name, result, after)
        return self._succeeded(request_id, name, result, after)

    def _settled(self, request_id: bytes | None, name: str, after: list[Callable[[], object]], result: Any) -> Answer:
        if isinstance(result, Exception):
            return self._failed(request_id, name, result, after)
        return self._succeeded(request_id, name, result, after)

    @staticmethod
    def _id(request: Request) -> bytes | None:
        if request.jsonrpc != "2.0":
            raise errors.invalid_request("jsonrpc must be 2.0")
        if request.id is msgspec.UNSET:
            return None
        if type(request.id) is str and len(request.id) > ID_CHARS_MAX:
            raise errors.invalid_request("the id is too long")
        return _encode(request.id)

    def _call(self, request: Request, caller: Caller, after: list[Callable[[], object]]) -> Any:
        name = request.method
        bound = self._bound.get(name)
        if bound is None:
            return self._unsubscribe(request, caller)
        method = bound.method
        if not method.safe and not self._unsafe:
            raise errors.unsafe_method()
        if method.cost:
            caller.bucket.take(method.cost, self._loop.time())
        arguments = method.convert(_params(request))
        arguments.update(bound.constants)
        if bound.source:
            arguments[bound.source] = caller.source
        if not bound.needs_session:
            return method.call(**arguments)
        return self._call_on_session(bound, arguments, caller, after)

    def _call_on_session(
        self, bound: Bound, arguments: dict[str, Any], caller: Caller, after: list[Callable[[], object]]
    ) -> Any:
        session = caller.session
        if session is None:
            raise errors.method_not_found("subscriptions need a WebSocket")
        if bound.session:
            arguments[bound.session] = session
        if bound.exchange:
            exchange = Exchange(session)
            arguments[bound.exchange] = exchange
            after.append(exchange.release)
        if not bound.sink:
            return bound.method.call(**arguments)
        sink = session.subscribe(bound.method)
        arguments[bound.sink] = sink
        try:
            result = bound.method.call(**arguments)
        except BaseException:
            sink.close()
            raise
        if inspect.iscoroutine(result):
            return _subscribed_later(result, sink, after)
        after.append(sink.open)
        return sink.id if result is None else result

    def _unsubscribe(self, request: Request, caller: Caller) -> bool:
        method = self._unsubscribes.get(request.method)
        if method is None:
            hidden = request.method in UNSAFE_ELSEWHERE and not self._unsafe
            raise errors.unsafe_method() if hidden else errors.method_not_found()
        if caller.session is None:
            raise errors.method_not_found("subscriptions need a WebSocket")
        params = _params(request)
        if type(params) is not list or not params or type(params[0]) not in (str, int):
            raise errors.invalid_params("missing parameter 1: subscription")
        return caller.session.unsubscribe(str(params[0]), method)

    def _succeeded(self, request_id: bytes | None, name: str, result: Any, after: list[Callable[[], object]]) -> Answer:
        if self._on_call is not None:
            self._on_call(name, True)
        if request_id is None:
            return Answer(None, after)
        encoded = to_json(result)
        if len(encoded) > self._limits.response_bytes:
            too_big = errors.exceeds(errors.RESPONSE_TOO_BIG, self._limits.response_bytes)
            return Answer(failure(request_id, too_big), after)
        return Answer(response(request_id, encoded), after)

    def _failed(
        self, request_id: bytes | None, name: str, error: Exception, after: list[Callable[[], object]]
    ) -> Answer:
        if self._on_call is not None:
            self._on_call(name if name in self._bound else "unknown", False)
        told = _as_rpc_error(error, name)
        return Answer(None if request_id is None else failure(request_id, told), after)

    async def _finish(
        self,
        request_id: bytes | None,
        name: str,
        pending: Coroutine[Any, Any, Any],
        after: list[Callable[[], object]],
    ) -> Answer:
        try:
            result = await pending
        except Exception as error:  # noqa: BLE001 - as in `_single`
            return self._failed(request_id, name, error, after)
        return self._succeeded(request_id, name, result, after)

    async def _batch(self, items: list[msgspec.Raw], caller: Caller) -> Answer:
        if not items:
            return Answer(failure(NO_ID, errors.invalid_request("empty batch")))
        if len(items) > self._limits.batch:
            return Answer(failure(NO_ID, errors.exceeds(errors.BATCH_TOO_BIG, self._limits.batch)))
        answers: list[Answer] = []
        waiting: dict[int, asyncio.Future[Answer]] = {}
        size = 0
        slice_ends = self._loop.time() + SLICE_S
        try:
            for position, item in enumerate(items):
                outcome = self._single(item, caller)
                if isinstance(outcome, Answer):
                    answers.append(outcome)
                    size += len(outcome.body or b"")
                else:
                    answers.append(Answer(None))
                    waiting[position] = asyncio.ensure_future(outcome)
                if size > self._limits.response_bytes:
                    break
                if self._loop.time() > slice_ends:
                    await asyncio.sleep(0)
                    slice_ends = self._loop.time() + SLICE_S
            for position, answer in zip(waiting, await asyncio.gather(*waiting.values()), strict=True):
                answers[position] = answer
        finally:
            for future in waiting.values():
                future.cancel()
        return self._batch_answer(answers)

    def _batch_answer(self, answers: list[Answer]) -> Answer:
        bodies = [answer.body for answer in answers if answer.body is not None]
        after = [call for answer in answers for call in answer.after]
        if sum(map(len, bodies)) + len(bodies) > self._limits.response_bytes:
            too_big = errors.exceeds(errors.BATCH_RESPONSE_TOO_BIG, self._limits.response_bytes)
            return Answer(failure(NO_ID, too_big), after)
        return Answer(b"[" + b",".join(bodies) + b"]" if bodies else None, after)


async def _subscribed_later(pending: Coroutine[Any, Any, Any], sink: Sink, after: list[Callable[[], object]]) -> Any:
    try:
        result = await pending
    except BaseException:
        sink.close()
        raise
    after.append(sink.open)
    return sink.id if result is None else result


def _params(request: Request) -> Any:
    try:
        return _decode_params(request.params)
    except msgspec.ValidationError as error:
        raise errors.invalid_params(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise errors.parse_error() from None


def _saved_id(data: bytes | msgspec.Raw) -> bytes:
    try:
        return _encode(_decode_id(data).id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_ID


def _as_rpc_error(error: Exception, name: str) -> RpcError:
    if isinstance(error, RpcError):
        return error
    if isinstance(error, PoolRejected):
        return RpcError(error.number, error.message, error.data)
    log.error("method %s failed", name[:64], exc_info=error)
    return errors.internal()
