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
_PROVIDER_BOND: Final = Balance(1_000 * AIT)
DAY_MS: Final = 86_400_000
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
        symbol: what wallets write behind amounts.
        fee_base, fee_per_byte: see `docs/spec/runtime.md`, fees.
        block_weight_ms: computation in one block, in milliseconds of the reference machine.
        block_length_max: bytes of extrinsics in one block.
        max_issuance: the cap nothing is minted beyond.
        oracle_window_ms: how often the oracle makes a price.
        provider_bond_min: the least bond of a provider that may be paid by sessions.
        notice_ms: how long before it counts a dearer price book, another payout account or the end of a service is
            announced; also how long a provider has to show a receipt, and how long receipts of a closed session can
            be challenged.
        unbond_ms: how long a provider's bond stays slashable after unbonding.
        tail_ms: how long a claim that nobody countersigned waits for a fraud proof.
        case_step_ms: phases of a dispute last one or two of these.
        grace_blocks_min: the least number of blocks for claims between the request to close a session and its end.
    """

    block_time_ms: int = 50
    idle_interval_ms: int = 2000
    session_blocks: int = 30
    sessions_per_era: int = 3
    bonding_eras: int = 3
    slash_defer_eras: int = 1
    existential_deposit: Balance = _EXISTENTIAL_DEPOSIT
    block_hash_count: int = 4096
    ss58_prefix: int = 42
    symbol: str = "AIT"
    fee_base: Balance = _FEE_BASE
    fee_per_byte: Balance = _FEE_PER_BYTE
    block_weight_ms: int = 120
    block_length_max: int = 2 * 1024 * 1024
    max_issuance: Balance = _MAX_ISSUANCE
    oracle_window_ms: int = 5_000
    provider_bond_min: Balance = _PROVIDER_BOND
    notice_ms: int = 60_000
    unbond_ms: int = 120_000
    tail_ms: int = 30_000
    grace_blocks_min: int = 5
    case_step_ms: int = 60_000


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
        oracle_window_ms=30_000,
        notice_ms=DAY_MS,
        unbond_ms=7 * DAY_MS,
        tail_ms=3_600_000,
        grace_blocks_min=600,
        case_step_ms=DAY_MS,
    ),
}
