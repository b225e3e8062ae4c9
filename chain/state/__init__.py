"""Authenticated key/value state: layers above the final state, the base-16 trie, proofs."""
