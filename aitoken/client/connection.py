"""JSON-RPC 2.0 to a node: requests and batches over WebSocket or HTTP, subscriptions over WebSocket.

Nothing is assumed of the node's goodwill: every answer has a deadline, messages a size limit, and notifications wait in
bounded queues. A subscription is registered while its response is read, before the next message is looked at, so that
no notification is ever missed.

Source: JSON-RPC 2.0; Substrate's subscriptions (`params.subscription`, `params.result`).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol, Self

import aiohttp
import msgspec

from aitoken.client.errors import (
    BadUrl,
    NeedsWebSocket,
    NodeRefused,
    NodeUnavailable,
    RequestTimedOut,
    SubscriptionLagged,
    TransactionRefused,
)

TIMEOUT_SECONDS: Final = 30
MESSAGE_SIZE_MAX: Final = 64 * 1024 * 1024
"""Metadata of large chains takes a few MiB as hex; a page of storage may take more."""

NOTIFICATIONS_MAX: Final = 4096
"""How many notifications of one subscription may wait to be read."""

HEARTBEAT_SECONDS: Final = 30
TRANSACTION_ERRORS: Final = range(1000, 1100)
"""Substrate's codes of `author_*`: the transaction is refused."""

_END: Final = object()

Calls = Sequence[tuple[str, Sequence[Any]]]
"""Methods and their parameters."""


class Connection(Protocol):
    """A way to a node.

    Every method may raise `NodeUnavailable` (or its kind `RequestTimedOut`), and `NodeRefused` (or its kind
    `TransactionRefused`) when the node answers with an error.
    """

    url: str

    async def request(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Call a method and return its result."""

    async def batch(self, calls: Calls) -> list[Any]:
        """Call methods in one message; return results in the order of the calls, or raise the first error."""

    async def subscribe(self, method: str, params: Sequence[Any], unsubscribe: str) -> Subscription:
        """Start a subscription; `unsubscribe` is the method that ends it."""

    async def close(self) -> None:
        """Close the connection; whoever waits gets `NodeUnavailable`."""


async def connect(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Connection:
    """Connect to a node.

    Args:
        url: ws://, wss:// (subscriptions too), http:// or https:// (requests alone).
        timeout_seconds: for connecting, and for each request later.

    Raises:
        BadUrl: the address is none of these.
        NodeUnavailable: nobody answers there.
    """
    scheme = url.partition("://")[0]
    if scheme not in ("ws", "wss", "http", "https"):
        raise BadUrl(f"{url!r} is no address of a node: it starts with ws://, wss://, http:// or https://")
    session = aiohttp.ClientSession(headers={"user-agent": "aitoken-client"})
    if scheme in ("http", "https"):
        return HttpConnection(url, session, timeout_seconds)
    try:
        async with asyncio.timeout(timeout_seconds):
            socket = await session.ws_connect(url, max_msg_size=MESSAGE_SIZE_MAX, heartbeat=HEARTBEAT_SECONDS)
    except (aiohttp.ClientError, OSError) as bad:  # TimeoutError is an OSError
        await session.close()
        raise NodeUnavailable(f"no node at {url}: {str(bad) or 'no answer in time'}") from bad
    except BaseException:
        await session.close()
        raise
    return WebSocketConnection(url, session, socket, timeout_seconds)


class Subscription(AsyncIterator[Any]):
    """Notifications of one subscription, in order. Iterate; leave with `await cancel()` or as a context manager."""

    def __init__(self, connection: WebSocketConnection, unsubscribe: str) -> None:
        self.id: str | int | None = None
        self._connection = connection
        self._unsubscribe = unsubscribe
        self._queue: asyncio.Queue[Any] = asyncio.Queue(NOTIFICATIONS_MAX)
        self._ended = False
        self._failure: Exception | None = None

    async def __anext__(self) -> Any:
        """Wait for the next notification; without deadline, because nothing may happen for a long time."""
        if not self._ended or not self._queue.empty():
            item = await self._queue.get()
            if item is not _END:
                return item
        raise self._failure or StopAsyncIteration

    async def cancel(self) -> None:
        """Tell the node to stop; quiet when the connection is gone already."""
        known = self._connection.forget(self)
        self.end()
        if known:
            with contextlib.suppress(NodeUnavailable, NodeRefused):
                await self._connection.request(self._unsubscribe, [self.id])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cancel()

    def deliver(self, result: Any) -> None:
        """Queue a notification; a reader that is too slow gets `SubscriptionLagged` after what is queued."""
        if self._queue.full():
            self._connection.forget(self)
            self.end(SubscriptionLagged(f"more than {NOTIFICATIONS_MAX} notifications wait to be read"))
        else:
            self._queue.put_nowait(result)

    def end(self, failure: Exception | None = None) -> None:
        """End after what is queued, with an error or quietly."""
        if not self._ended:
            self._ended, self._failure = True, failure
            if not self._queue.full():
                self._queue.put_nowait(_END)  # wakes a reader that waits


class HttpConnection:
    """JSON-RPC by POST: requests and batches, no subscriptions."""

    def __init__(self, url: str, session: aiohttp.ClientSession, timeout_seconds: float) -> None:
        self.url = url
        self._session = session
        self._timeout = timeout_seconds
        self._ids = itertools.count(1)

    async def request(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Call a method and return its result."""
        return _result_of(await self._post(_request(next(self._ids), method, params), method), method)

    async def batch(self, calls: Calls) -> list[Any]:
        """Call methods in one message; return results in the order of the calls, or raise the first error."""
        messages = [_request(next(self._ids), method, params) for method, params in calls]
        answers = await self._post(messages, calls[0][0])
        if not isinstance(answers, list):
            _result_of(answers, calls[0][0])
            raise NodeUnavailable(f"{self.url} answers a batch with one result")
        found = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        ordered = zip(messages, calls, strict=True)
        return [_result_of(found.get(message["id"]), method) for message, (method, _) in ordered]

    async def subscribe(self, method: str, params: Sequence[Any], unsubscribe: str) -> Subscription:  # noqa: ARG002
        """Refuse: HTTP has no notifications."""
        raise NeedsWebSocket(f"{method} needs a WebSocket: connect to ws:// or wss:// instead of {self.url}")

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    async def _post(self, message: Any, method: str) -> Any:
        headers = {"content-type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.post(self.url, data=msgspec.json.encode(message), headers=headers) as answer,
            ):
                raw = bytearray()
                async for chunk in answer.content.iter_any():
                    raw += chunk
                    if len(raw) > MESSAGE_SIZE_MAX:
                        raise NodeUnavailable(f"{self.url} answers with more than {MESSAGE_SIZE_MAX} bytes")
                if answer.status != 200:
                    raise NodeUnavailable(f"{self.url} answers {answer.status} {answer.reason}")
        except TimeoutError:
            raise _timed_out(method, self._timeout) from None
        except (aiohttp.ClientError, OSError) as bad:
            raise NodeUnavailable(f"no node at {self.url}: {bad}") from bad
        return _parse(bytes(raw))


class WebSocketConnection:
    """JSON-RPC over one WebSocket: requests, batches and subscriptions, any number at a time."""

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse,
        timeout_seconds: float,
    ) -> None:
        self.url = url
        self._session = session
        self._socket = socket
        self._timeout = timeout_seconds
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Subscription | None]] = {}
        self._subscriptions: dict[str | int, Subscription] = {}
        self._failure: NodeUnavailable | None = None
        # One task for the connection's whole life, kept here; its end is told to everybody who waits.
        self._reader = asyncio.get_running_loop().create_task(self._read(), name=f"json-rpc {url}")

    async def request(self, method: str, params: Sequence[Any] = ()) -> Any:
        """Call a method and return its result."""
        return (await self._call([(method, params)]))[0]

    async def batch(self, calls: Calls) -> list[Any]:
        """Call methods in one message; return results in the order of the calls, or raise the first error."""
        return await self._call(calls)

    async def subscribe(self, method: str, params: Sequence[Any], unsubscribe: str) -> Subscription:
        """Start a subscription; `unsubscribe` is the method that ends it."""
        subscription = Subscription(self, unsubscribe)
        (result,) = await self._call([(method, params)], subscription)
        if subscription.id is None:
            raise NodeUnavailable(f"the node answers {method} with {result!r}, which is no subscription id")
        return subscription

    async def close(self) -> None:
        """Close the connection; whoever waits gets `NodeUnavailable`."""
        self._fail(NodeUnavailable("the connection was closed"))
        try:
            await self._socket.close()
        finally:  # also when the caller does not wait for a node that does not answer
            self._reader.cancel()
            await self._session.close()
        await asyncio.wait([self._reader])

    def forget(self, subscription: Subscription) -> bool:
        """Deliver no more to a subscription; False when it was not known any more."""
        return subscription.id is not None and self._subscriptions.pop(subscription.id, None) is not None

    async def _call(self, calls: Calls, subscription: Subscription | None = None) -> list[Any]:
        if self._failure is not None:
            raise self._failure
        numbers = [next(self._ids) for _ in calls]
        messages = [_request(number, *call) for number, call in zip(numbers, calls, strict=True)]
        futures: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in calls]
        self._waiting.update(zip(numbers, ((future, subscription) for future in futures), strict=True))
        text = msgspec.json.encode(messages if len(messages) > 1 else messages[0]).decode()
        try:
            async with asyncio.timeout(self._timeout):
                await self._socket.send_str(text)
                answers = [await future for future in futures]
        except TimeoutError:
            raise _timed_out(calls[0][0], self._timeout) from None
        except (aiohttp.ClientError, OSError) as bad:
            raise NodeUnavailable(f"{self.url}: {bad}") from bad
        finally:
            for number in numbers:
                self._waiting.pop(number, None)
        return [_result_of(answer, method) for answer, (method, _) in zip(answers, calls, strict=True)]

    async def _read(self) -> None:
        failure = NodeUnavailable(f"{self.url} closed the connection")
        try:
            async for message in self._socket:
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    failure = NodeUnavailable(f"{self.url}: {self._socket.exception() or message.type.name}")
                    break
                parsed = _parse(message.data)
                for part in parsed if isinstance(parsed, list) else [parsed]:
                    self._dispatch(part)
        except NodeUnavailable as bad:
            failure = bad
        except (aiohttp.ClientError, OSError) as bad:
            failure = NodeUnavailable(f"{self.url}: {bad}")
        finally:
            self._fail(failure)  # also when this task itself fails: nobody must wait for ever
        await self._socket.close()

    def _dispatch(self, message: Any) -> None:
        if not isinstance(message, dict):
            raise NodeUnavailable(f"{self.url} does not speak JSON-RPC")
        if "method" in message:
            self._notify(message.get("params"))
            return
        number = message.get("id")
        if number is None:  # the node could not read a message and cannot say which one
            for future, _ in self._waiting.values():
                _settle(future, message)
            return
        waiting = self._waiting.get(number) if isinstance(number, int) else None
        if waiting is None:
            return  # too late
        future, subscription = waiting
        result = message.get("result")
        if subscription is not None and isinstance(result, str | int):
            subscription.id = result
            self._subscriptions[result] = subscription
        _settle(future, message)

    def _notify(self, params: Any) -> None:
        number = params.get("subscription") if isinstance(params, dict) else None
        subscription = self._subscriptions.get(number) if isinstance(number, str | int) else None
        if subscription is not None:
            subscription.deliver(params["result"] if "result" in params else params.get("error"))

    def _fail(self, failure: NodeUnavailable) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        for future, _ in self._waiting.values():
            _settle(future, failure)
        for subscription in list(self._subscriptions.values()):
            subscription.end(failure)
        self._subscriptions.clear()


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    """Hand an answer or a failure over; as a result, so that one nobody waits for any more is silent."""
    if not future.done():
        future.set_result(answer)


def _request(number: int, method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _parse(raw: bytes | str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise NodeUnavailable(f"the node does not answer with JSON: {bad}") from None


def _result_of(answer: Any, method: str) -> Any:
    """Return the result in a response, or raise the error in it."""
    if isinstance(answer, NodeUnavailable):
        raise answer
    if isinstance(answer, dict) and "result" in answer:
        return answer["result"]
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        raise NodeUnavailable(f"the node's answer to {method} is no JSON-RPC response")
    refusal = NodeRefused
    if method.startswith("author_") and error["code"] in TRANSACTION_ERRORS:
        refusal = TransactionRefused
    raise refusal(error["code"], str(error.get("message", "")), error.get("data"))


def _timed_out(method: str, seconds: float) -> RequestTimedOut:
    return RequestTimedOut(f"{method}: no answer within {seconds:g} s")
