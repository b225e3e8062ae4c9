"""Encrypted key files in the format wallets export (polkadot-js JSON v3)."""
