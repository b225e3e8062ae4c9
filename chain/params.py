"""The parameters of a chain: chosen in the chain spec, constant for the life of the chain, part of its genesis.

Presets: `devnet` for four validators on one machine, `main` for a public network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aitoken.types import AIT, Balance

_EXISTENTIAL_DEPOSIT: Final = Balance(AIT // 100)
_FEE_BASE: Final = Balance(AIT // 2000)
_FEE_PER_BYTE: Final = Balance(AIT // 1_000_000)
_MAX_ISSUANCE: Final = Balance(2_000_000_000 * AIT)


@dataclass(frozen=True, slots=True)
class Params:
    """All parameters; see the presets for values.

    Attributes:
        block_time_ms: the least time between two blocks.
        idle_interval_ms: the time between two blocks when nothing waits.
        session_blocks: blocks per session; a session of validators is an epoch of consensus.
        sessions_per_era: sessions per staking era.
        bonding_eras: how long stake stays slashable after unbonding.
        slash_defer_eras: how long a slash can be cancelled.
        existential_deposit: the least balance an account is kept for.
        block_hash_count: how many block hashes the chain remembers; bounds the era of transactions.
        ss58_prefix: network number in addresses.
        fee_base, fee_per_byte: see `docs/spec/runtime.md`, fees.
        block_weight_ms: computation in one block, in milliseconds of the reference machine.
        block_length_max: bytes of extrinsics in one block.
        max_issuance: the cap nothing is minted beyond.
    """

    block_time_ms: int = 250
    idle_interval_ms: int = 2000
    session_blocks: int = 30
    sessions_per_era: int = 3
    bonding_eras: int = 3
    slash_defer_eras: int = 1
    existential_deposit: Balance = _EXISTENTIAL_DEPOSIT
    block_hash_count: int = 4096
    ss58_prefix: int = 42
    fee_base: Balance = _FEE_BASE
    fee_per_byte: Balance = _FEE_PER_BYTE
    block_weight_ms: int = 125
    block_length_max: int = 2 * 1024 * 1024
    max_issuance: Balance = _MAX_ISSUANCE


PRESETS: Final = {
    "devnet": Params(),
    "main": Params(
        block_time_ms=1000,
        idle_interval_ms=6000,
        session_blocks=3600,
        sessions_per_era=6,
        bonding_eras=56,
        slash_defer_eras=28,
        block_weight_ms=500,
    ),
}
