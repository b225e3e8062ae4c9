"""`aitoken signer`: a process that holds a validator's keys, so that its node does not."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.exits import Exit
from cli.render import Output, output_option
from cli.wallet import account_of

if TYPE_CHECKING:
    from aitoken.crypto import ed25519

chain_option = click.option("--chain", type=click.Path(path_type=Path), required=True, help="Genesis file.")
state_option = click.option(
    "--state", type=click.Path(path_type=Path), required=True, help="Folder of the records of what keys signed."
)


@click.group()
def signer() -> None:
    """Hold a validator's keys in a process of their own."""


@signer.command()
@click.option(
    "--key-file",
    "key_files",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    help="Voting key. Repeatable.",
)
@state_option
@chain_option
@click.option("--socket", "path", type=click.Path(path_type=Path), required=True, help="Where the node finds it.")
@click.option("--log-json", is_flag=True, help="One JSON object a line.")
def run(key_files: tuple[Path, ...], state: Path, chain: Path, path: Path, log_json: bool) -> None:
    """Sign for one node until SIGTERM or Ctrl-C.

    It signs votes, and statements that name the node's connections and addresses; nothing else, and no vote twice.
    The socket can be opened by this user alone. The node: aitoken node run --validator --signer unix:PATH.
    """
    from aitoken.keystore import node_keys
    from cli.validator_keys import chain_of
    from node.config import refuse_optimised
    from node.signer import memory
    from node.telemetry import log

    refuse_optimised()
    memory.protect()
    log.configure("info", json=log_json)
    genesis_hash = chain_of(chain).genesis_hash
    pairs = [node_keys.read_key(file) for file in key_files]
    if asyncio.run(_serve(pairs, state, genesis_hash, path)):
        sys.exit(Exit.FAILED)


async def _serve(pairs: list[ed25519.Pair], state: Path, genesis_hash: bytes, path: Path) -> bool:
    """Serve until told to stop; whether it had to stop because the disk failed."""
    from node.signer.local import LocalSigner
    from node.signer.opening import open_key
    from node.signer.server import SignerServer

    stop = asyncio.Event()
    failures: list[BaseException] = []

    def fail(failure: BaseException) -> None:
        failures.append(failure)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    holder = LocalSigner(genesis_hash, [open_key(pair, state, genesis_hash) for pair in pairs], fail)
    server = SignerServer(holder, genesis_hash, path)
    try:
        await server.start()
        click.echo(f"signing for 0x{holder.public.hex()} at {path}", err=True)
        await stop.wait()
    finally:
        await server.stop()
        holder.close()
    for failure in failures:
        click.echo(f"error: it must stop: {failure}", err=True)
    return bool(failures)


@signer.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the key files go.")
@state_option
@chain_option
@output_option
def new_keys(folder: Path, state: Path, chain: Path, out: Output) -> None:
    """Make session keys and the record of what they sign; start the signer with the new file as well."""
    from aitoken.keystore.node_keys import add_session_pairs
    from cli.validator_keys import chain_of
    from node.signer import memory
    from node.signer.state_file import Owner, create, path_of

    memory.protect()
    genesis_hash = chain_of(chain).genesis_hash
    pairs = add_session_pairs(folder)
    create(path_of(state, pairs.bft.public), Owner(genesis_hash, pairs.bft.public))
    name = pairs.bft.public.hex()[:16]
    data = {"keys": pairs.publics, "key_file": str(folder / f"session-{name}.key"), "net": f"net-{name}.key"}
    out.result(data, f"keys     0x{pairs.publics.hex()}\nfile     {data['key_file']}")


@signer.command()
@click.argument("owner")
@click.option("--key-file", type=click.Path(path_type=Path), required=True, help="Voting key.")
@click.option("--net-file", type=click.Path(path_type=Path), required=True, help="The net key made beside it.")
@output_option
def prove(owner: str, key_file: Path, net_file: Path, out: Output) -> None:
    """Print keys and proof for 'aitoken validator setup --keys ... --proof ...' of the stash OWNER."""
    from aitoken.keystore.node_keys import SessionPairs, read_key
    from node.signer import memory

    memory.protect()
    pairs = SessionPairs(read_key(key_file), read_key(net_file))
    proof = pairs.proof(account_of(owner))
    out.result({"keys": pairs.publics, "proof": proof}, f"--keys 0x{pairs.publics.hex()} --proof 0x{proof.hex()}")
