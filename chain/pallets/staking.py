"""Staking: so far the bonds of the genesis validators, held from their stashes, and nothing else.

The validators stay those of genesis; their bonds are what weighs their votes. The rest of the pallet's indices are
reserved; wallets show no staking pages while `ErasRewardPoints` does not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

from aitoken.codec.records import plain_enum
from aitoken.types import AccountId, Balance
from chain.frame.pallet import Pallet

if TYPE_CHECKING:
    from chain.frame.machine import Machine
    from chain.pallets.balances import Balances


@plain_enum("pallet_staking::pallet::pallet::HoldReason")
class StakingHoldReason(IntEnum):
    """Why Staking holds money."""

    Staking = 0


class Staking(Pallet, index=8, crate="pallet_staking"):
    """The bonds that weigh the votes of validators."""

    HoldReason = StakingHoldReason

    def __init__(self, machine: Machine, balances: Balances) -> None:
        super().__init__(machine)
        self._balances = balances

    def bond_genesis(self, stash: AccountId, amount: Balance) -> None:
        """Hold the bond of a genesis validator."""
        self._balances.hold(StakingHoldReason.Staking, stash, amount)

    def new_session(self, index: int) -> Sequence[AccountId] | None:  # noqa: ARG002 - nobody joins or leaves yet
        """Return the validators to queue for a session; None keeps those there are."""
        return None

    def stake_of(self, who: AccountId) -> Balance:
        """Return the bond of a validator."""
        return self._balances.held(StakingHoldReason.Staking, who)
