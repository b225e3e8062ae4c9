"""Proof of stake: bonds, elections, eras, payouts, slashes. The pallet is `chain.pallets.staking.pallet`."""
