"""JSON-RPC: any bytes get one well-formed answer or none, and never an internal error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from node.rpc.dispatch import Answer, Caller
from node.rpc.limits import Bucket
from tests.fuzz.engine import Target
from tests.support.rpc_fakes import RpcBench
from tests.support.rpc_wire import Line

HEX = "0x" + "11" * 32
PARAMS = ([], [HEX], [[HEX]], [1], ["0x", HEX], [HEX, None, {"includeEvents": True}], [[{"key": HEX, "type": "value"}]])


class Wrong(BaseException):
    """An answer that is none."""


@contextmanager
def target() -> Iterator[Target]:
    """The dispatcher behind the server, on a scripted chain."""
    loop = asyncio.new_event_loop()
    bench = RpcBench()
    loop.run_until_complete(bench.__aenter__())
    dispatcher = bench.rpc.server._dispatcher

    async def ask(data: bytes) -> bytes | None:
        session = Line(bench.settings.limits).session
        outcome = dispatcher.process(data, Caller(Bucket(0, 0), session))
        answer = outcome if isinstance(outcome, Answer) else await outcome
        answer.release()
        session.close()
        return answer.body

    def read(data: bytes) -> str:
        return _check(loop.run_until_complete(ask(data)))

    names = bench.rpc.services.catalogue.names
    requests = [
        {"jsonrpc": "2.0", "id": index, "method": name, "params": PARAMS[index % len(PARAMS)]}
        for index, name in enumerate(names)
    ]
    seeds = [msgspec.json.encode(request) for request in requests] + [msgspec.json.encode(requests[:3])]
    try:
        yield Target("rpc.request", seeds, read)
    finally:
        loop.run_until_complete(bench.__aexit__())
        loop.close()


def _check(answer: bytes | None) -> str:
    if answer is None:
        return "nothing"
    decoded = msgspec.json.decode(answer)
    for each in decoded if isinstance(decoded, list) else [decoded]:
        kinds = {"result", "error"} & each.keys()
        if each.get("jsonrpc") != "2.0" or len(kinds) != 1 or each.keys() - kinds != {"jsonrpc", "id"}:
            raise Wrong(f"no answer: {answer[:200]!r}")
        if "error" in each and (type(each["error"]["code"]) is not int or each["error"]["code"] == -32603):
            raise Wrong(f"an internal error: {answer[:200]!r}")
    return "answers"
