"""What a devnet is before anything runs: its folder, its chain, and one set of ports and files a node.

The folder belongs to one devnet: `devnet.json` marks it, `genesis.json` beside it is the chain it was begun with.
Nothing here is ever removed except by `clean`, and that only from a folder with the mark.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.exits import BadInput, Unusable
from cli.specs import (
    Spec,
    dev_keys_of,
    read_spec,
    validator_name,
    validators_of,
    with_preset,
    with_validators,
    write_spec,
)

MARK: Final = "devnet.json"
LOCK: Final = "devnet.lock"
LOOPBACK: Final = "127.0.0.1"
P2P_OFFSET: Final = 30_333 - 9_944
"""Where a node's peer port lies above its RPC port unless told otherwise."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One validator of the devnet."""

    index: int
    name: str
    dev_key: str
    rpc_port: int
    p2p_port: int
    folder: Path
    log: Path
    host: str = LOOPBACK
    """Where it listens and is reached."""

    @property
    def url(self) -> str:
        """Where wallets connect."""
        return f"ws://{self.host}:{self.rpc_port}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole devnet."""

    folder: Path
    genesis: Path
    spec: Spec
    preset: str | None
    nodes: tuple[NodePlan, ...]

    def program(self, node: NodePlan) -> list[str]:  # noqa: ARG002 - which one matters to other plans
        """What takes the arguments: this very interpreter."""
        return [sys.executable, "-P", "-m", "cli"]

    def arguments(self, node: NodePlan) -> list[str]:
        """The `aitoken` arguments that run one of its nodes; a person can run them again by hand."""
        arguments = ["node", "run", "--chain", str(self.genesis), "--data-dir", str(node.folder), "--validator"]
        arguments += ["--dev-key", node.dev_key, "--name", node.name]
        arguments += ["--rpc-port", str(node.rpc_port), "--p2p-port", str(node.p2p_port), "--p2p-host", node.host]
        if node.host != LOOPBACK:
            arguments += ["--rpc-host", node.host]
        for address in self.dialled_by(node):
            arguments += ["--bootnode", address]
        return arguments

    @property
    def begins(self) -> bool:
        """Whether none of its nodes ever ran, so that none of their keys voted."""
        return not any(node.folder.exists() for node in self.nodes)

    def dialled_by(self, node: NodePlan) -> list[str]:
        """Where a node reaches the others."""
        return [f"{other.host}:{other.p2p_port}" for other in self.nodes if other is not node]


def make_plan(
    *, folder: Path, chain: Path, count: int | None, base_port: int, p2p_base_port: int | None, preset: str | None
) -> Plan:
    """Decide what will run; writes nothing.

    Raises:
        BadInput: the chain, the count or the ports make no sense.
        BadSpec: no chain can start from this genesis.
        Unusable: the folder holds something else, or another chain.
    """
    from chain.spec import parse_spec

    kept = read_spec(folder / "genesis.json") if is_ours(folder) else None
    begun = read_spec(folder / MARK) if kept is not None else {}
    preset = preset if preset is not None else begun.get("preset")
    source = with_preset(read_spec(chain), preset)
    count = count or begun.get("validators") or len(validators_of(source))
    spec = with_validators(source, count)
    if kept is not None and kept != spec:
        cure = "start with --clean to begin anew (the old chain is deleted), or name another --data-dir"
        raise Unusable(f"{folder} holds a devnet with another genesis: {cure}")
    parse_spec(spec)
    keys = dev_keys_of(spec)
    p2p = p2p_base_port if p2p_base_port is not None else base_port + P2P_OFFSET
    for what, first in (("--base-port", base_port), ("--p2p-base-port", p2p)):
        if not 1 <= first <= 65_536 - len(keys):
            raise BadInput(f"{what} {first} leaves no room for {len(keys)} nodes below 65536")
    if abs(base_port - p2p) < len(keys):
        raise BadInput(f"ports from {base_port} (RPC) and from {p2p} (peers) overlap")
    nodes = tuple(
        NodePlan(
            index=index,
            name=validator_name(index),
            dev_key=dev_key,
            rpc_port=base_port + index,
            p2p_port=p2p + index,
            folder=folder / f"node-{index}",
            log=folder / f"node-{index}.log",
        )
        for index, dev_key in enumerate(keys)
    )
    return Plan(folder=folder, genesis=folder / "genesis.json", spec=spec, preset=preset, nodes=nodes)


def is_ours(folder: Path) -> bool:
    """Whether the folder is a devnet's.

    Raises:
        Unusable: it has something else in it, or cannot be looked into.
    """
    try:
        if (folder / MARK).is_file():
            return (folder / "genesis.json").is_file()
        strangers = [path.name for path in folder.iterdir() if path.name != LOCK][:3] if folder.exists() else []
    except OSError as error:
        raise Unusable(f"cannot use {folder}: {error.strerror}") from None
    if strangers:
        raise Unusable(f"{folder} is not a devnet's folder (it holds {', '.join(sorted(strangers))}): name another")
    return False


def prepare(plan: Plan) -> None:
    """Make the folder, its mark and the genesis file.

    Raises:
        Unusable: the disk does not let us.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        (plan.folder / MARK).write_text(
            write_spec({"validators": len(plan.nodes), "preset": plan.preset}), encoding="utf-8"
        )
        if not plan.genesis.exists():
            part = plan.genesis.with_suffix(".part")
            part.write_text(write_spec(plan.spec), encoding="utf-8")
            part.replace(plan.genesis)
    except OSError as error:
        raise Unusable(f"cannot write to {plan.folder}: {error.strerror}") from None


def clean(folder: Path) -> None:
    """Delete a devnet's chain, keys and logs.

    Raises:
        Unusable: it is not a devnet's folder, or one runs on it.
    """
    if not folder.exists() or (not is_ours(folder) and not (folder / MARK).exists()):
        return
    with locked(folder):
        for path in sorted(folder.iterdir()):
            if path.name.startswith("node-") or path.name == "genesis.json":
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other devnets off this folder.

    Raises:
        Unusable: one runs on it.
    """
    with (folder / LOCK).open("a+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable(f"a devnet already runs on {folder}: stop it, or name another --data-dir") from None
        yield


def check_ports(plan: Plan) -> None:
    """See that every port can be taken.

    Raises:
        Unusable: one is in use.
    """
    for node in plan.nodes:
        for what, port in (("RPC", node.rpc_port), ("peers", node.p2p_port)):
            if not port_is_free(port):
                cure = "stop what uses it (another devnet?) or choose --base-port"
                raise Unusable(f"port {port} ({what} of node {node.index}) is in use: {cure}")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
