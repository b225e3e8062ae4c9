"""`chainHead_v1_*`: following the tip and reading pinned blocks; the rules are in `node.rpc.follow`.

A dead or unknown subscription is no error: `header` is null, operations are `limitReached`, `unpin` does nothing.
Answers to operations come on the follow subscription, after the response that names the operation.

Source: https://paritytech.github.io/json-rpc-interface-spec/ (chainHead, version 1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

from aitoken.types import Hash32
from node.ports import ChainView
from node.rpc import errors
from node.rpc.errors import RpcError
from node.rpc.feed import Feed
from node.rpc.follow import Follow, Operation, Pin
from node.rpc.params import HexBytes
from node.rpc.query import Query
from node.rpc.registry import rpc, subscription
from node.rpc.session import Exchange, Session, Sink
from node.rpc.storage_query import Item, items_param, search
from node.rpc.version import VersionView

Started = dict[str, Any]
LIMIT_REACHED: Final[Started] = {"result": "limitReached"}
Items = Annotated[list[Item], items_param]


class Follows(dict[str, Follow]):
    """The live follow subscriptions of one connection."""


@subscription("chainHead_v1_follow", notifies="chainHead_v1_followEvent", unsubscribes=[], cost=5)
def follow(
    chain: ChainView,
    feed: Feed,
    query: Query,
    versions: VersionView,
    loop: asyncio.AbstractEventLoop,
    sink: Sink,
    with_runtime: bool,  # noqa: FBT001 - a parameter of the protocol
) -> None:
    """Follow the tip: every block is announced, pinned, and told of when it becomes best or final."""
    follows = sink.session.slot(Follows)
    if len(follows) >= sink.session.limits.follows:
        raise RpcError(errors.CHAIN_HEAD_FOLLOWS, "Maximum number of chainHead_follow has been reached")
    followed = Follow(sink, chain, feed, query, versions, loop, with_runtime)
    follows[sink.id] = followed
    sink.on_release(lambda: follows.pop(sink.id, None))
    followed.begin()


def _find(session: Session, subscription_id: str) -> Follow | None:
    return session.slot(Follows).get(subscription_id)


@rpc("chainHead_v1_unfollow")
def unfollow(session: Session, follow_subscription: str) -> None:
    """End a follow subscription and let go of its blocks."""
    followed = _find(session, follow_subscription)
    if followed is not None:
        followed.sink.close()


@rpc("chainHead_v1_unpin")
def unpin(session: Session, follow_subscription: str, hash_or_hashes: Hash32 | list[Hash32]) -> None:
    """Let go of one or several blocks; of all or none."""
    followed = _find(session, follow_subscription)
    if followed is not None:
        followed.unpin(hash_or_hashes if isinstance(hash_or_hashes, list) else [hash_or_hashes])


@rpc("chainHead_v1_header")
def header(session: Session, follow_subscription: str, block: Hash32) -> bytes | None:
    """Return the SCALE header of a pinned block."""
    followed = _find(session, follow_subscription)
    return None if followed is None else followed.header(block)


@rpc("chainHead_v1_body", cost=2)
def body(exchange: Exchange, follow_subscription: str, block: Hash32) -> Started:
    """Start fetching the extrinsics of a pinned block."""

    def run(followed: Follow, operation: Operation, pin: Pin) -> None:
        found = followed.body(pin)
        if found is None:
            followed.finish(operation, "operationInaccessible")
        else:
            followed.finish(operation, "operationBodyDone", value=list(found))

    return _start(exchange, follow_subscription, block, run)


@rpc("chainHead_v1_call", cost=5)
def call(
    exchange: Exchange,
    follow_subscription: str,
    block: Hash32,
    function: str,
    call_parameters: HexBytes,
) -> Started:
    """Start a runtime call on a pinned block."""

    def run(followed: Follow, operation: Operation, pin: Pin) -> None:
        state = followed.state(pin)
        if state is None:
            followed.finish(operation, "operationInaccessible")
            return
        try:
            output = followed.query.call_on(state, function, call_parameters)
        except RpcError as error:
            followed.finish(operation, "operationError", error=error.message)
            return
        followed.finish(operation, "operationCallDone", output=output)

    followed = _find(exchange.session, follow_subscription)
    if followed is not None and not followed.with_runtime:
        followed.pin(block)
        raise RpcError(errors.CHAIN_HEAD_RUNTIME, "The runtime was not asked for when this follow subscription began")
    return _start(exchange, follow_subscription, block, run)


@rpc("chainHead_v1_storage", cost=5)
def storage(
    exchange: Exchange,
    follow_subscription: str,
    block: Hash32,
    items: Items,
    child_trie: HexBytes | None = None,
) -> Started:
    """Start reading storage of a pinned block."""

    def run(followed: Follow, operation: Operation, pin: Pin) -> None:
        if child_trie is not None:
            followed.finish(operation, "operationError", error="this chain has no child tries")
            return
        state = followed.state(pin)
        if state is None:
            followed.finish(operation, "operationInaccessible")
            return
        followed.run_storage(operation, search(state, items))

    started = _start(exchange, follow_subscription, block, run)
    return {**started, "discardedItems": 0} if started is not LIMIT_REACHED else started


def _start(
    exchange: Exchange, subscription_id: str, block: Hash32, run: Callable[[Follow, Operation, Pin], None]
) -> Started:
    followed = _find(exchange.session, subscription_id)
    if followed is None:
        return LIMIT_REACHED
    pin = followed.pin(block)
    operation = followed.start()
    if operation is None:
        return LIMIT_REACHED
    exchange.after_response(lambda: run(followed, operation, pin))
    return {"result": "started", "operationId": operation.id}


@rpc("chainHead_v1_continue")
def continue_operation(exchange: Exchange, follow_subscription: str, operation_id: str) -> None:
    """Go on with an operation that waits."""
    followed = _find(exchange.session, follow_subscription)
    operation = None if followed is None else followed.operations.get(operation_id)
    if followed is None or operation is None:
        return
    if not operation.waits:
        raise RpcError(errors.CHAIN_HEAD_CONTINUE, "Wait for operationWaitingForContinue before asking to continue")
    resumed, waiting = followed, operation
    exchange.after_response(lambda: resumed.resume(waiting))


@rpc("chainHead_v1_stopOperation")
def stop_operation(session: Session, follow_subscription: str, operation_id: str) -> None:
    """Give up an operation; nothing more is told about it."""
    followed = _find(session, follow_subscription)
    if followed is not None:
        followed.operations.pop(operation_id, None)
