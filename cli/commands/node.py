"""`aitoken node`: run one node, or ask how it is."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import click

from aitoken.errors import AiTokenError, Bug
from cli.commands.node_data import export_command, import_command, verify
from cli.exits import Unhealthy, Unusable, sentence_of
from cli.render import Output, output_option
from cli.session import Client, Session, node_option
from cli.status import in_words, look

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

# Option -> where it goes in `node.config.NodeConfig`.
_SETTINGS: Final = {
    "chain": "chain",
    "data_dir": "data_dir",
    "name": "name",
    "workers": "workers",
    "rpc_host": "rpc.host",
    "rpc_port": "rpc.port",
    "rpc_cors": "rpc.cors",
    "unsafe_rpc": "rpc.unsafe",
    "p2p_host": "p2p.host",
    "p2p_port": "p2p.port",
    "bootnode": "p2p.bootnodes",
    "public_address": "p2p.public_addresses",
    "reserved_only": "p2p.reserved_only",
    "archive": "storage.archive",
    "history": "storage.history_blocks",
    "sync": "sync.mode",
    "checkpoint": "sync.checkpoint",
    "trust_database": "sync.trust_database",
    "validator": "validator.enabled",
    "dev_key": "validator.dev_key",
    "key_file": "validator.key_file",
    "signer": "validator.signer",
    "watch_seconds": "validator.watch_seconds",
    "force_sign": "validator.force_sign",
    "log_level": "log.level",
    "log_json": "log.json",
}


@click.group()
def node() -> None:
    """Run one node, or ask how it is."""


for _command in (verify, export_command, import_command):
    node.add_command(_command)


@node.command()
@click.option(
    "--config", "file", envvar="AITOKEN_CONFIG", type=click.Path(path_type=Path), help="TOML file of settings."
)
@click.option("--chain", type=click.Path(path_type=Path), help="Genesis file.")
@click.option("--data-dir", type=click.Path(path_type=Path, readable=False), help="Database, signing record and keys.")
@click.option("--name", help="What this node calls itself.")
@click.option("--validator", is_flag=True, default=None, help="Vote.")
@click.option("--dev-key", metavar="URI", help="Vote with a development key such as //Alice.")
@click.option("--key-file", type=click.Path(path_type=Path), help="Vote with the key in this file.")
@click.option("--signer", metavar="unix:PATH", help="Vote with the keys of a signer process (aitoken signer run).")
@click.option("--watch-seconds", type=int, metavar="N", help="Listen so long for votes by the own key before voting.")
@click.option(
    "--force-sign", is_flag=True, default=None, help="Vote without a signing record: all disks of a devnet were lost."
)
@click.option("--rpc-host", help="Address wallets connect to; other than loopback only safe methods are served.")
@click.option("--rpc-port", type=int, help="Port wallets connect to.")
@click.option("--rpc-cors", multiple=True, metavar="ORIGIN", help="Web page that may connect; * for all. Repeatable.")
@click.option("--unsafe-rpc", is_flag=True, default=None, help="Serve methods that act on the node itself.")
@click.option("--p2p-host", help="Address peers connect to.")
@click.option("--p2p-port", type=int, help="Port peers connect to.")
@click.option("--bootnode", multiple=True, metavar="HOST:PORT", help="First peer to dial. Repeatable.")
@click.option("--public-address", multiple=True, metavar="HOST:PORT", help="Where others reach this node. Repeatable.")
@click.option("--reserved-only", is_flag=True, default=None, help="Dial the bootnodes and nobody else.")
@click.option("--archive", is_flag=True, default=None, help="Keep the state of every block.")
@click.option("--history", type=int, metavar="N", help="Keep the states of the last N final blocks.")
@click.option(
    "--sync", type=click.Choice(["blocks", "warp"]), help="How a new node begins: at genesis, or with a state."
)
@click.option("--checkpoint", metavar="FILE|HASH", help="A block the chain must contain, from somebody you trust.")
@click.option(
    "--trust-database", is_flag=True, default=None, help="Start although what is stored here is too old to be trusted."
)
@click.option("--workers", type=int, metavar="N", help="Processes for signature checks.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log-json", is_flag=True, default=None, help="One JSON object a line.")
@click.option("--stop-with-parent", is_flag=True, hidden=True)
def run(file: Path | None, stop_with_parent: bool, **options: Any) -> None:
    """Run one node until SIGTERM or Ctrl-C.

    Later wins: defaults, the TOML file, AITOKEN_* variables (AITOKEN_RPC_PORT, ...), these options.

    Exit codes: 0 stopped as told, 1 a bug, 2 wrong settings, 5 the data folder, a port or a key cannot be used,
    70 it had to stop while running: see the log.
    """
    from node import config as settings
    from node.signer import memory
    from node.telemetry import log

    settings.refuse_optimised()
    memory.protect()
    if stop_with_parent:
        _stop_with_parent()
    flags = {_SETTINGS[name]: value for name, value in options.items() if value not in (None, ())}
    config = settings.load(flags, file=file, environment=os.environ)
    log.configure(config.log.level, json=config.log.json)
    _run(config)


def _run(config: Any) -> None:
    from node.service import run as run_node

    try:
        code = run_node(config)
    except Bug:
        raise
    except AiTokenError as error:
        raise Unusable(f"this node cannot run: {sentence_of(error)} [{error.code}]") from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Unusable(f"this node cannot run: {where}{error.strerror or error}") from error
    if code:
        sys.exit(code)


def _stop_with_parent() -> None:
    """Be told to stop when the process that started this one is gone, however it went (Linux)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent == 1:  # it was gone already
            raise Unusable("the process that started this node is gone")


@node.command()
@node_option
@output_option
def status(session: Session, out: Output) -> None:
    """Say how a node is: its chain, its peers, what its consensus waits for.

    Exit codes: 0 well, 4 no node, 6 it answers and is not well.
    """

    async def ask(client: Client) -> dict[str, Any]:
        return await look(client)

    facts = session.run(ask)
    lines, well = in_words(facts)
    out.result(facts | {"well": well}, "\n".join(lines))
    if not well:
        raise Unhealthy("the node is not well")
