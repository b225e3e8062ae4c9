"""Hashes, signatures, addresses and key derivation, each by one library. The only importer of those libraries."""
