"""The first state and block of a chain, from its spec.

The genesis hash is that of the state a spec produces, not of its text: two files that say the same are one chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from aitoken.errors import Bug
from aitoken.proto.digest import Digest, NextEpoch
from aitoken.proto.header import Header
from aitoken.types import Balance, BlockNumber, Moment
from chain.frame.system import CODE_KEY
from chain.frame.types import ZERO_HASH, LastRuntimeUpgradeInfo
from chain.pallets.session import SessionKeys
from chain.runtime import build_runtime
from chain.state.layer import FinalState
from chain.state.memory import MemoryKeyValue
from chain.state.ordered import ordered_root

if TYPE_CHECKING:
    from chain.frame.runtime import Runtime
    from chain.pallets.ai.oracle import Oracle
    from chain.pallets.babe import Babe
    from chain.pallets.balances import Balances
    from chain.pallets.consensus import Consensus
    from chain.pallets.session import Session
    from chain.pallets.staking.pallet import Staking
    from chain.pallets.sudo import Sudo
    from chain.pallets.supply import Supply
    from chain.pallets.timestamp import Timestamp
    from chain.spec import ChainSpec

GENESIS_SEED = bytes(32)


@dataclass(frozen=True, slots=True)
class Genesis:
    """Block 0: its header, the pairs of its state with their trie, the validators of epoch 0, and the issuance."""

    header: Header
    pairs: dict[bytes, bytes]
    state: FinalState
    epoch: NextEpoch
    issuance: Balance


def build_genesis(spec: ChainSpec, runtime: Runtime | None = None) -> Genesis:
    """Compute block 0.

    Args:
        spec: what the chain starts with.
        runtime: the runtime of that spec, where the caller has built it already.

    Raises:
        Bug: the spec is partial.
    """
    if spec.partial:
        raise Bug("a genesis needs the balances, and this spec was read without them")
    runtime = runtime or build_runtime(spec)
    instance = runtime.new_instance()
    pallets: dict[str, Any] = cast("dict[str, Any]", instance.machine.pallets)
    balances: Balances = pallets["Balances"]
    session: Session = pallets["Session"]
    staking: Staking = pallets["Staking"]
    supply: Supply = pallets["Supply"]
    consensus: Consensus = pallets["Consensus"]
    babe: Babe = pallets["Babe"]
    timestamp: Timestamp = pallets["Timestamp"]
    sudo: Sudo = pallets["Sudo"]
    oracle: Oracle = pallets["Oracle"]

    version = runtime.version
    instance.system.last_runtime_upgrade.put(LastRuntimeUpgradeInfo(version.spec_version, version.spec_name))
    timestamp.now.put(Moment(spec.timestamp_ms))
    balances.build_genesis(spec.balances)
    supply.start(balances.total_issuance.get())
    staking.start(
        spec.staking,
        [(each.stash, each.bond, each.commission, each.payee) for each in spec.validators],
        [(each.stash, each.bond, list(each.targets), each.payee) for each in spec.nominators],
    )
    authorities = session.start([(each.stash, SessionKeys(each.bft, each.net)) for each in spec.validators])
    epoch = NextEpoch(0, authorities, GENESIS_SEED, 0, spec.params.session_blocks)
    consensus.current_epoch.put(epoch)
    oracle.start(spec.oracle)
    babe.randomness.put(GENESIS_SEED)
    issuance = balances.total_issuance.get()
    if spec.sudo is not None:
        sudo.key.put(spec.sudo)
    return _block_zero(instance.machine.store.changes(), runtime.schema.code, epoch, issuance)


def _block_zero(changes: dict[bytes, bytes | None], code: bytes, epoch: NextEpoch, issuance: Balance) -> Genesis:
    pairs = {key: raw for key, raw in sorted(changes.items()) if raw is not None}
    pairs[CODE_KEY] = code
    state = FinalState(MemoryKeyValue(pairs))
    header = Header(ZERO_HASH, BlockNumber(0), state.root, ordered_root([]), Digest())
    return Genesis(header, pairs, state, epoch, issuance)
