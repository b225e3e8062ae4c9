"""What a person may set about one node, parsed once and handed down in slices.

Order, later wins: defaults, the TOML file, `AITOKEN_*` variables, flags.
Unknown names are errors everywhere, so a typing mistake never leaves a default in force unnoticed.
Parameters of the chain (block time, sessions, fees) are not here: they are genesis, the same for every node.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from aitoken.errors import Rejected

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]

BROWSER_ORIGINS: Final = (
    "http://localhost:*",
    "http://127.0.0.1:*",
    "https://localhost:*",
    "https://127.0.0.1:*",
    "https://polkadot.js.org",
)
"""Web pages that may talk to a node by default: those of this machine and the public wallet page, as in Substrate."""

ENVIRONMENT_PREFIX: Final = "AITOKEN_"
NOT_CONFIGURATION: Final = frozenset({"AITOKEN_CONFIG", "AITOKEN_URL", "AITOKEN_VECTORS"})
"""Variables of ours with another meaning: the TOML file, the node a wallet command asks, public test vectors."""


class BadConfiguration(Rejected):
    """A setting is unknown or out of range."""

    code = "config.bad"


class RunsOptimised(Rejected):
    """Python runs with -O, which removes checks of the libraries below us."""

    code = "config.optimised"


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the TOML file."""


class RpcConfig(_Section, frozen=True, kw_only=True):
    """JSON-RPC for wallets: HTTP and WebSocket on one port."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback is reachable from outside and switches to safe methods."""
    port: Port = 9944
    cors: tuple[str, ...] = BROWSER_ORIGINS
    """Origins of web pages that may connect; `*` alone allows all."""
    unsafe: bool = False
    """Serve methods that act on the node itself (keys, peers)."""
    connections_max: Positive = 400
    """All connections together; one address may have 128 of them."""


class P2pConfig(_Section, frozen=True, kw_only=True):
    """Talking to other nodes."""

    host: str = "0.0.0.0"  # noqa: S104 - a node is meant to be reached by its peers
    port: Port = 30_333
    bootnodes: tuple[str, ...] = ()
    """First addresses to dial, each `host:port`."""
    public_addresses: tuple[str, ...] = ()
    """Where others reach this node, each `host:port`; a validator publishes them signed, at most four."""
    reserved_only: bool = False
    """Dial the bootnodes and nobody else, and tell nobody of other nodes: a validator behind sentries."""
    peers_max: Positive = 40
    """Connections taken from outside; validators and bootnodes have slots of their own."""


class StorageConfig(_Section, frozen=True, kw_only=True):
    """What is kept on disk."""

    archive: bool = False
    """Keep the state of every block for ever."""
    history_blocks: Positive = 4_096
    """States of so many final blocks can be read when `archive` is off."""


class SyncConfig(_Section, frozen=True, kw_only=True):
    """How a node catches up, and what it trusts to begin with."""

    mode: Literal["blocks", "warp"] = "blocks"
    """`warp`: a new node begins with the state at the end of the newest epoch instead of at genesis."""
    checkpoint: str = ""
    """A block the chain must contain, from somebody trusted: a file of `aitoken checkpoint`, or a hash."""
    trust_database: bool = False
    """Believe what is stored here, or the genesis file, although it is older than the trusting period."""


class ValidatorConfig(_Section, frozen=True, kw_only=True):
    """Taking part in consensus."""

    enabled: bool = False
    dev_key: str = ""
    """A development URI such as `//Alice`: public knowledge, for a devnet only."""
    key_file: Path | None = None
    """The key votes are signed with; default `<data_dir>/keys/session.key`."""
    signer: str = ""
    """`unix:PATH` of a signer process that holds the keys; they never enter this one."""
    watch_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] | None = None
    """How long to listen for votes by the own key before the first one; 30 when unset, 0 for development keys."""
    force_sign: bool = False
    """Vote although no signing record is found: only for a devnet whose nodes all lost their disks."""


class LogConfig(_Section, frozen=True, kw_only=True):
    """What the node says."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json: bool = False
    """One JSON object a line instead of key=value."""


class NodeConfig(_Section, frozen=True, kw_only=True):
    """Everything about one node."""

    chain: Path = Path("genesis.json")
    data_dir: Path = Path("data/node")
    name: str = ""
    """What this node calls itself in logs and to peers; derived from its key when empty."""
    workers: Annotated[int, msgspec.Meta(ge=0, le=64)] | None = None
    """Processes for signature checks; 0 checks them in slices on the event loop. Unset is 0 but for the time a node
    that is behind takes to catch up, where the host has more than one core."""
    rpc: RpcConfig = RpcConfig()
    p2p: P2pConfig = P2pConfig()
    storage: StorageConfig = StorageConfig()
    sync: SyncConfig = SyncConfig()
    validator: ValidatorConfig = ValidatorConfig()
    log: LogConfig = LogConfig()


Tree = dict[str, Any]


def load(
    flags: Mapping[str, object], *, file: Path | None = None, environment: Mapping[str, str] | None = None
) -> NodeConfig:
    """Read the configuration.

    Args:
        flags: what the command line set, keyed `section.field` or `field`; None means "not given".
        file: the TOML file, when there is one.
        environment: the process environment; only `AITOKEN_*` is looked at.

    Raises:
        BadConfiguration: a name is unknown, a value has the wrong type or range, the file cannot be read.
    """
    tree = _from_file(file) if file is not None else {}
    for path, value in _from_environment(environment or {}):
        _put(tree, path, value)
    for dotted, value in flags.items():
        if value is not None:
            _put(tree, tuple(dotted.split(".")), value)
    try:
        config = msgspec.convert(tree, NodeConfig, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise BadConfiguration(str(error)) from None
    _check(config)
    return config


def refuse_optimised(optimise: int = sys.flags.optimize) -> None:
    """Stop a node under `python -O` before it does anything.

    Raises:
        RunsOptimised: asserts are off, in our libraries too.
    """
    if optimise:
        raise RunsOptimised("start without -O and without PYTHONOPTIMIZE: they remove safety checks")


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    return value


def _from_file(file: Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfiguration(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadConfiguration(f"{file} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfiguration(f"{file} is not TOML: {error}") from None


def _settings() -> dict[str, tuple[tuple[str, ...], object]]:
    """Variable name -> (path in the tree, type), of every setting there is."""
    known: dict[str, tuple[tuple[str, ...], object]] = {}
    for field in msgspec.structs.fields(NodeConfig):
        if isinstance(field.type, type) and issubclass(field.type, _Section):
            for inner in msgspec.structs.fields(field.type):
                known[f"{ENVIRONMENT_PREFIX}{field.name}_{inner.name}".upper()] = ((field.name, inner.name), inner.type)
        else:
            known[f"{ENVIRONMENT_PREFIX}{field.name}".upper()] = ((field.name,), field.type)
    return known


def _from_environment(environment: Mapping[str, str]) -> list[tuple[tuple[str, ...], object]]:
    known = _settings()
    found: list[tuple[tuple[str, ...], object]] = []
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in NOT_CONFIGURATION:
            continue
        if name not in known:
            raise BadConfiguration(f"the variable {name} is no setting; known are {', '.join(sorted(known))}")
        path, kind = known[name]
        raw: object = environment[name]
        if kind == tuple[str, ...]:
            raw = [part.strip() for part in environment[name].split(",") if part.strip()]
        try:
            value = msgspec.convert(raw, kind, strict=False, dec_hook=_path)
        except msgspec.ValidationError as error:
            raise BadConfiguration(f"{name}: {error}") from None
        found.append((path, value))
    return found


def _put(tree: Tree, path: tuple[str, ...], value: object) -> None:
    *sections, field = path
    for section in sections:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            raise BadConfiguration(f"`{section}` must be a table of settings")
        tree = inner
    tree[field] = value


def _check(config: NodeConfig) -> None:
    """Refuse settings that contradict each other."""
    validator = config.validator
    if validator.dev_key and not validator.dev_key.startswith("//"):
        raise BadConfiguration(
            "validator.dev_key takes a development URI such as //Alice; a real key comes from a file"
        )
    if validator.dev_key and validator.key_file is not None:
        raise BadConfiguration("validator.dev_key and validator.key_file exclude each other")
    if validator.signer and (validator.dev_key or validator.key_file is not None):
        raise BadConfiguration("validator.signer holds the key: it excludes validator.dev_key and validator.key_file")
    if validator.force_sign and not validator.enabled:
        raise BadConfiguration("validator.force_sign means nothing without validator.enabled")
    if config.rpc.port and config.rpc.port == config.p2p.port:
        raise BadConfiguration(f"rpc.port and p2p.port are both {config.rpc.port}")
