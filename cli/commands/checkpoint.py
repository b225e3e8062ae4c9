"""`aitoken checkpoint`: the newest end of an epoch, for somebody who is to trust it."""

from __future__ import annotations

from typing import Any

import click

from cli.exits import Unusable
from cli.render import Output, output_option
from cli.session import Client, Session, node_option


@click.command()
@node_option
@output_option
def checkpoint(session: Session, out: Output) -> None:
    """Print a checkpoint, as a light client or a new node takes it.

    It is the newest final block that ended an epoch, as the node tells it: ask a node you trust, best your own, or
    compare what several say.
    """
    anchor = session.run(_newest)
    from aitoken.client.checkpoint import to_json

    text = to_json(anchor)
    if out.json:
        import msgspec

        out.result(msgspec.json.decode(text), text)
        return
    out.result(text, text)


async def _newest(client: Client) -> Any:
    from aitoken.client.answers import convert, unhex
    from aitoken.proto.finality import anchor_at, genesis_anchor
    from aitoken.proto.header import Header

    genesis = unhex(await client.request("chain_getBlockHash", [0]), "chain_getBlockHash")
    epoch = int((await client.request("smpx_roundState", [])).get("epoch", 0))
    for index in (epoch, epoch - 1, epoch - 2):  # the epoch may have ended just now, or its end not be committed
        links = convert(await client.request("smpx_epochProof", [index]) if index >= 0 else [], list[Any], "links")
        if links:
            return anchor_at(genesis, Header.decode(unhex(links[-1]["header"], "smpx_epochProof")))  # type: ignore[arg-type]
    proof = await client.request("smpx_genesisProof", [])
    if proof is None:
        raise Unusable("the node keeps neither the end of an epoch nor the proof of genesis")
    header = Header.decode(unhex(proof["header"], "smpx_genesisProof"))
    nodes = [unhex(node, "smpx_genesisProof") for node in proof["proof"]]
    return genesis_anchor(genesis, header, nodes)  # type: ignore[arg-type]
