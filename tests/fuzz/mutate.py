"""Mutations of bytes: small damage, lengths that lie, parts that come twice, and JSON whose values are others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

SIZE_MAX = 1 << 16
EDGES = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\x01", b"\x03", b"\xfc", b"\xfd", b"\xfe", b"\x13\xff\xff\xff\xff",
    bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", bytes(8), b"\xff" * 8, b"\xff" * 16, b"\xff" * 32, b"\x02\x00\x01\x00",
    b"\xfd\xff", b"\xc0", b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\x93", b"\xc1",
)  # fmt: skip
"""Numbers at the ends of their ranges, lengths far beyond the input, codes that mean nothing."""
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**53, 2**63, 2**64, 2**128, -(2**63), 10**40, 0.5, 1e308, "", "0x",
    "0x0", "0xzz", "0x" + "00" * 33, "\x00", "\ud800", "1_000 AIT", "-1 AIT", "١٢", "//Alice", "null", [], {}, [[]],
    [None], {"": 0}, "a" * 2000, "0x" + "ff" * 600,
)  # fmt: skip


def mutated(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """One input: a seed with some damage; now and then pure noise."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.choice((0, 1, 2, 7, 33, 200, 1000)))
    data = bytearray(rng.choice(seeds))
    if data[:1] in (b"{", b"[") and rng.random() < 0.6:
        return _json(rng, bytes(data))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_MUTATIONS)(rng, data, seeds)
    return bytes(data[: max(SIZE_MAX, 2 * max(map(len, seeds)))])


def _place(rng: Random, data: bytearray) -> int:
    """Any place; the first bytes, where versions and lengths stand, more often."""
    return rng.randrange(min(len(data), 12) if rng.random() < 0.3 else len(data)) if data else 0


def _flip(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.randrange(256)


def _step(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        at = _place(rng, data)
        data[at] = (data[at] + rng.choice((-4, -1, 1, 4))) % 256


def _edge(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, edge = _place(rng, data), rng.choice(EDGES)
    data[at : at + rng.choice((0, len(edge)))] = edge


def _cut(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_place(rng, data) :]


def _drop(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 1, 2, 4, 16, 64))]


def _repeat(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = data[at : at + rng.choice((1, 2, 4, 32, 256))] * rng.choice((1, 1, 2, 50))


def _append(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    data += rng.randbytes(rng.choice((1, 1, 4, 40)))


def _splice(rng: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    start = rng.randrange(len(other) + 1)
    at = _place(rng, data)
    data[at : at + rng.choice((0, 8, len(data)))] = other[start : start + rng.choice((4, 32, len(other)))]


_MUTATIONS: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip, _flip, _set, _set, _step, _edge, _edge, _cut, _drop, _repeat, _append, _splice,
)  # fmt: skip


def _json(rng: Random, text: bytes) -> bytes:
    """JSON with some of its values exchanged, or bytes where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text[: rng.randrange(len(text) + 1)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _exchange(rng, value)
    if rng.random() < 0.02:
        depth = rng.choice((20, 200, 20_000))
        return b"[" * depth + b"1" + b"]" * rng.choice((depth, depth - 1))
    return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")[:SIZE_MAX]


def _exchange(rng: Random, value: Any) -> Any:
    if rng.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return rng.choice(ODD_VALUES)
    if isinstance(value, list):
        at = rng.randrange(len(value))
        action = rng.random()
        if action < 0.15:
            return value[:at] + value[at + 1 :]
        if action < 0.3:
            return [*value, value[at]]
        return [*value[:at], _exchange(rng, value[at]), *value[at + 1 :]]
    key = rng.choice(list(value))
    action = rng.random()
    if action < 0.1:
        return {name: each for name, each in value.items() if name != key}
    if action < 0.2:
        return {**value, rng.choice(("", "x", key + "s", key.upper())): value[key]}
    return {**value, key: _exchange(rng, value[key])}
