"""Who watches storage hears the same whether a block's changes are looked up or every watched key is read."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rpc.feed import Feed
from node.rpc.limits import Limits
from node.rpc.outbox import Outbox
from node.rpc.registry import Method
from tests.support.rpc_fakes import FakeChain
from tests.support.rpc_wire import Line

KEYS = [b"acct/alice", b"acct/bob", b"acct/carol", b"now", b"none", b"other"]
METHOD = Method("state_subscribeStorage", (), lambda: None, {}, (), notifies="state_storage")

keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=4)
changes = st.dictionaries(st.sampled_from(KEYS), st.none() | st.sampled_from([b"", b"\x01", b"\x02"]), max_size=5)
steps = st.lists(
    st.tuples(st.just("block"), st.integers(0, 3), changes)
    | st.tuples(st.just("head"), st.integers(0, 9), st.none())
    | st.tuples(st.just("watch"), keys, st.none())
    | st.tuples(st.just("leave"), st.integers(0, 3), st.none()),
    max_size=25,
)

Step = tuple[str, Any, Any]


async def heard(history: list[Step]) -> list[list[object]]:
    """What each subscriber was told."""
    chain = FakeChain()
    loop = asyncio.get_running_loop()
    feed = Feed(chain, loop.call_soon, Limits(), Outbox(loop))
    chain.subscribe(feed)
    blocks = [chain.genesis]
    lines: list[Line] = []
    sinks = []
    for kind, what, more in history:
        if kind == "block":
            parent = blocks[-1 - min(what, len(blocks) - 1)]
            blocks.append(chain.add(parent, more))
        elif kind == "head":
            chain.set_best(blocks[what % len(blocks)])
        elif kind == "watch":
            lines.append(Line())
            sinks.append(lines[-1].session.subscribe(METHOD))
            feed.storage.add(sinks[-1], what, feed.head)
            sinks[-1].open()
        elif sinks:
            sinks.pop(what % len(sinks)).close()
    for line in lines:
        line.out.flush()
    return [
        [_as_sets(msgspec.json.decode(message)["params"]["result"]) for message in line.wire.messages] for line in lines
    ]


def _as_sets(told: dict[str, Any]) -> object:
    """A set of changes, the order of its keys aside."""
    return told["block"], sorted(told["changes"], key=str)


@settings(max_examples=60)
@given(steps)
def test_subscribers_hear_the_same_either_way(history: list[Step]) -> None:
    quick = asyncio.run(heard(history))
    with patch("node.rpc.feed._touched", lambda head, before: None):
        plain = asyncio.run(heard(history))

    assert quick == plain
