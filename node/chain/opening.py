"""From a genesis file and a data directory to an open chain.

The state a genesis file describes, not its text, gives the genesis hash. Building it takes 3 us per account and more,
so a small file beside the database remembers which genesis file gave which hash: the same file is not built again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack
import msgspec

from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.proto.digest import NEXT_EPOCH
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.finality import CURRENT_EPOCH_KEY, NOW_KEY
from aitoken.proto.header import Header
from aitoken.proto.votes import Certificate
from aitoken.types import BlockNumber, Hash32
from chain.frame.runtime import Runtime
from chain.genesis import Genesis, build_genesis
from chain.runtime import build_runtime
from chain.spec import ChainSpec, parse_spec
from chain.state.layer import FinalState, Layer
from consensus.epochs import Epoch
from consensus.types import Block as ConsensusBlock
from node.chain.tree import GENESIS_PROOF, Chain
from node.driver.headers import epoch_after, genesis_block, read_block
from node.ports import Block
from node.store.database import Database
from node.store.files import write_whole

DATABASE: Final = "db"
SPEC_BYTES_MAX: Final = 512 * 1024 * 1024
REMEMBERED: Final = "genesis.hash"
"""32 bytes of blake2-256 of the genesis file, then the genesis hash."""

log = logging.getLogger(__name__)


class UnreadableSpec(Rejected):
    """The genesis file is missing or no JSON object."""

    code = "chain_spec.unreadable"


@dataclass(frozen=True, slots=True)
class OpenChain:
    """An open database and what stands in it."""

    spec: ChainSpec
    runtime: Runtime
    database: Database
    chain: Chain
    genesis_hash: Hash32
    committed: ConsensusBlock
    certificate: Certificate | None
    epoch: Epoch


def load_spec(path: Path, known: bytes = b"") -> tuple[ChainSpec, bytes]:
    """Read a genesis file; return it with the digest of its bytes.

    Args:
        path: the file.
        known: the digest of one that was read whole before; of the same file, balances are left out.

    Raises:
        UnreadableSpec: it is missing, too large or no JSON.
        Rejected: it is JSON, but no chain spec of ours; the message names the place.
    """
    try:
        if path.stat().st_size > SPEC_BYTES_MAX:
            raise UnreadableSpec(f"{path} is larger than {SPEC_BYTES_MAX >> 20} MiB")
        data = path.read_bytes()
        digest = blake2_256(data)
        checked = digest == known
        decoded: Any = _without_balances(data) if checked else msgspec.json.decode(data)
    except OSError as error:
        raise UnreadableSpec(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableSpec(f"{path} is not JSON: {error}") from None
    return parse_spec(decoded, checked=checked), digest


def _without_balances(data: bytes) -> dict[str, Any]:
    """Decode a genesis file that was read whole before, but for its balances: of a million 330 MB of objects."""
    root, raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw]), msgspec.json.decode
    genesis = raw(root.pop("genesis"), type=dict[str, msgspec.Raw]) | {"balances": msgspec.Raw(b"{}")}
    decoded = {key: raw(value) for key, value in root.items()}
    return decoded | {"genesis": {key: raw(value) for key, value in genesis.items()}}


def open_chain(chain_file: Path, data_dir: Path, *, history_blocks: int | None) -> OpenChain:
    """Open the chain of a genesis file in a data directory; make its database at the first start.

    Args:
        chain_file: the genesis file.
        data_dir: where the node keeps everything; made when missing.
        history_blocks: the states of so many blocks stay readable; None for all.

    Raises:
        Rejected: the file or directory is not what this program can work with.
        Unavailable: another process has the database, or the disk refuses.
    """
    path = data_dir / DATABASE
    known = _remembered(data_dir)[0] if path.exists() else b""
    spec, digest = load_spec(chain_file, known)
    runtime = build_runtime(spec)
    data_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        genesis = build_genesis(spec, runtime)
        genesis_hash = genesis.header.hash
        meta = {GENESIS_PROOF: proof_of(genesis)}
        Database.create(path, genesis_hash, genesis.header.encode(), genesis.pairs.items(), meta, genesis.state.top)
        del genesis
        write_whole(data_dir / REMEMBERED, digest + genesis_hash)
        if (data_dir / "voting.json").exists():
            log.warning(
                "there is a voting record but no database: the chain is fetched anew, "
                "and the key votes again after the epoch in which it voted last",
                extra={"data_dir": str(data_dir)},
            )
        log.info("new database", extra={"genesis": genesis_hash.hex()})
    genesis_hash = _genesis_hash(data_dir, runtime, spec, digest)
    database = Database.open(path, genesis_hash, history_blocks=history_blocks)
    number, block_hash = database.finalized()
    data = database.header(number) or b""
    body = tuple(database.body(number) or ())
    block = Block(block_hash, Header.decode(data), tuple(Extrinsic(raw) for raw in body), _resting_on(database.state))
    chain = Chain(database, database.state, genesis_hash, block)
    justification = database.justification(number)
    announced = NEXT_EPOCH.decode(runtime.call(database.state, "ConsensusApi_epoch", b""))
    committed = genesis_block(genesis_hash, spec.timestamp_ms) if number == 0 else read_block(data, body)
    return OpenChain(
        spec=spec,
        runtime=runtime,
        database=database,
        chain=chain,
        genesis_hash=genesis_hash,
        committed=committed,
        certificate=None if justification is None else Certificate.decode(justification),
        epoch=epoch_after(_base_of(database, announced.first_block, genesis_hash, spec.timestamp_ms), announced),
    )


def proof_of(genesis: Genesis) -> bytes:
    """Return what lets somebody who knows the genesis hash only learn the first validators, as it is kept."""
    proof: bytes = msgpack.packb(genesis.state.prove((CURRENT_EPOCH_KEY, NOW_KEY)))
    return proof


def _resting_on(final: FinalState) -> Layer:
    """Return the final state as the state of its block: it stays what it is when the final state moves on."""
    layer = final.child({})
    final.absorb(layer)
    return layer


def _remembered(data_dir: Path) -> tuple[bytes, bytes]:
    """Return the digest of the genesis file that made this database, and the genesis hash; empty if it is not known."""
    file = data_dir / REMEMBERED
    data = file.read_bytes() if file.exists() else b""
    return (data[:32], data[32:]) if len(data) == 64 else (b"", b"")


def _genesis_hash(data_dir: Path, runtime: Runtime, spec: ChainSpec, digest: bytes) -> Hash32:
    """Return the genesis hash of `spec`, remembered when it was computed from this very file."""
    known, remembered = _remembered(data_dir)
    if known == digest:
        return Hash32(remembered)
    genesis_hash = build_genesis(spec, runtime).header.hash
    write_whole(data_dir / REMEMBERED, digest + genesis_hash)
    return genesis_hash


def _base_of(database: Database, number: int, genesis_hash: Hash32, timestamp_ms: int) -> ConsensusBlock:
    """Return the block an epoch starts on: genesis or the last block of the epoch before."""
    if number == 0:
        return genesis_block(genesis_hash, timestamp_ms)
    return read_block(database.header(BlockNumber(number)) or b"", ())
