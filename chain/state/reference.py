"""The Substrate state trie, written to be read: the specification the fast one is tested against.

A base-16 Patricia trie over the nibbles of the keys, high nibble first. A node is

    header | partial key | bitmap of children (u16 little-endian; branches only) | value | children (branches only)

- *Header*: the kind in the top bits, the number of nibbles of the partial key in the rest: leaf `01`, branch `10`,
  branch with value `11` (6 bits left), leaf with hashed value `001` (5), branch with hashed value `0001` (4). A number
  that does not fit: all ones, then bytes that add up to what is missing, each 255 but the last one.
- *Partial key*: two nibbles to a byte; an odd number starts with a byte that holds one.
- *Value*: compact length ++ bytes, in place. Version 1 puts the blake2-256 of a value of 33 bytes or more there.
- *Children*: of each the compact length ++ bytes of its Merkle value.
- *Merkle value* of a node: its encoding if shorter than 32 bytes, else the blake2-256 of that. The root is always
  hashed. The empty trie is the node `00`.

Source: Polkadot protocol specification, "State storage trie"; `sp_trie::node_header`.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import TypeAlias

from aitoken.types import Hash32
from chain.state.base import StateVersion

Nibbles: TypeAlias = tuple[int, ...]

HASHED_FROM = 33


def root(pairs: Mapping[bytes, bytes], version: StateVersion) -> Hash32:
    """Return the trie root of `pairs`."""
    entries = sorted((nibbles(key), value) for key, value in pairs.items())
    return Hash32(_hash(encode(entries, 0, version) if entries else b"\x00"))


def encode(entries: list[tuple[Nibbles, bytes]], depth: int, version: StateVersion) -> bytes:
    """Return the node over `entries` (sorted, not empty, alike in their first `depth` nibbles)."""
    if len(entries) == 1:
        key, value = entries[0]
        hashed, stored = _value(value, version)
        return (
            header(0b001, 5, len(key) - depth) * hashed
            + header(0b01, 6, len(key) - depth) * (not hashed)
            + (packed(key[depth:]) + stored)
        )

    first, last = entries[0][0], entries[-1][0]
    end = depth
    while end < len(first) and first[end] == last[end]:
        end += 1
    partial = first[depth:end]

    stored = b""
    head = header(0b10, 6, len(partial))
    if len(first) == end:
        hashed, stored = _value(entries[0][1], version)
        head = header(0b0001, 4, len(partial)) if hashed else header(0b11, 6, len(partial))
        entries = entries[1:]

    bitmap, children = 0, b""
    for nibble in range(16):
        below = [entry for entry in entries if entry[0][end] == nibble]
        if below:
            bitmap |= 1 << nibble
            child = merkle_value(encode(below, end + 1, version))
            children += compact(len(child)) + child
    return head + packed(partial) + bitmap.to_bytes(2, "little") + stored + children


def header(kind: int, bits: int, count: int) -> bytes:
    """Return the node header: `kind` above `bits` bits that begin to hold `count`."""
    limit = (1 << bits) - 1
    if count < limit:
        return bytes([kind << bits | count])
    more, last = divmod(count - limit, 255)
    return bytes([kind << bits | limit]) + b"\xff" * more + bytes([last])


def nibbles(key: bytes) -> Nibbles:
    """Return the half-bytes of `key`, high one first."""
    return tuple(half for byte in key for half in (byte >> 4, byte & 15))


def packed(partial: Nibbles) -> bytes:
    """Return the bytes of `partial`; an odd number of nibbles starts with a byte of one."""
    even = (0, *partial) if len(partial) % 2 else partial
    return bytes(even[at] << 4 | even[at + 1] for at in range(0, len(even), 2))


def compact(length: int) -> bytes:
    """Return the SCALE compact form of a length below 2^30."""
    if length < 1 << 6:
        return bytes([length << 2])
    if length < 1 << 14:
        return (length << 2 | 1).to_bytes(2, "little")
    return (length << 2 | 2).to_bytes(4, "little")


def merkle_value(node: bytes) -> bytes:
    """Return what a parent holds of `node`: the node if that is short, else its hash."""
    return node if len(node) < 32 else _hash(node)


def _value(value: bytes, version: StateVersion) -> tuple[bool, bytes]:
    if version >= StateVersion.V1 and len(value) >= HASHED_FROM:
        return True, _hash(value)
    return False, compact(len(value)) + value


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=32).digest()
