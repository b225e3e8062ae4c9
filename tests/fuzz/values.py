"""Values of any SCALE type, drawn so that they often mean something: known accounts, small numbers, times near now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from aitoken.codec.base import (
    AnyCodec,
    ArrayOf,
    CompactOf,
    Composite,
    Primitive,
    SequenceOf,
    Shape,
    TupleOf,
    Variants,
    compact_encode,
)
from aitoken.types import AIT

BITS = {3: 8, 4: 16, 5: 32, 6: 64, 7: 128, 8: 256, 9: 8, 10: 16, 11: 32, 12: 64, 13: 128, 14: 256}
AMOUNTS = (0, 1, AIT // 100 - 1, AIT // 100, AIT, 2 * AIT, 10 * AIT, 50 * AIT, 700 * AIT, 10**9 * AIT, 2**128 - 1)
DAY_MS = 86_400_000
AHEAD_MS = (-DAY_MS, -1, 0, 1, 10_000, 60_000, 3_600_000, DAY_MS, 40 * DAY_MS)
TIMES = ("Moment", "u64")
DEPTH_MAX = 4


@dataclass
class Pools:
    """What values are drawn from; the traffic keeps it up to date."""

    accounts: Sequence[bytes]
    call: Callable[[int], bytes]
    """A call's bytes, at a depth."""
    hashes: list[bytes] = field(default_factory=lambda: [bytes(32)])
    texts: Sequence[bytes] = (b"", b"x", b"hello", b"name@1", b"http://x", bytes(40), b"\xff" * 200)
    ids: dict[str, list[int]] = field(default_factory=dict)
    """Numbers of what is stored, by the name arguments call it."""
    now: int = 0
    number: int = 0


@cache
def shape_of(codec: AnyCodec) -> Shape:
    """What a codec looks like; made once."""
    return codec.shape()


def draw(rng: Random, codec: AnyCodec, pools: Pools, name: str = "", type_name: str = "", depth: int = 0) -> bytes:
    """The encoding of one value."""
    shape = shape_of(codec)
    last = shape.path[-1] if shape.path else ""
    if last == "AccountId32":
        return rng.choice(pools.accounts)
    if last == "MultiAddress" and rng.random() < 0.97:
        return b"\x00" + rng.choice(pools.accounts)
    if last == "RuntimeCall":
        return pools.call(depth + 1)
    return _defined(rng, shape, pools, name, type_name, depth)


def _defined(rng: Random, shape: Shape, pools: Pools, name: str, type_name: str, depth: int) -> bytes:
    match shape.definition:
        case Primitive(number=0):
            return bytes([rng.randrange(2)])
        case Primitive(number=2):
            return _sized(rng.choice(pools.texts[:5]))
        case Primitive(number=number):
            bits = BITS[number]
            return _number(rng, bits, pools, name, type_name).to_bytes(bits // 8, "little")
        case CompactOf(inner=inner):
            return compact_encode(_number(rng, min(128, _bits(inner)), pools, name, type_name))
        case ArrayOf(inner=inner, length=length):
            return _array(rng, inner, length, pools)
        case SequenceOf(inner=inner):
            return _sequence(rng, inner, pools, name, depth)
        case TupleOf(items=items):
            return b"".join(draw(rng, item, pools, name, "", depth) for item in items)
        case Composite(fields=fields):
            return _fields(rng, fields, pools, name, type_name, depth)
        case Variants(variants=variants):
            chosen = rng.choice(variants[:1] if depth > DEPTH_MAX and variants else variants)
            return bytes([chosen.index]) + _fields(rng, chosen.fields, pools, name, "", depth)
    raise TypeError(f"no values of {shape}")


def _fields(rng: Random, fields: Any, pools: Pools, name: str, type_name: str, depth: int) -> bytes:
    return b"".join(
        draw(rng, each.codec, pools, each.name or name, each.type_name or type_name, depth) for each in fields
    )


def _bits(codec: AnyCodec) -> int:
    definition = shape_of(codec).definition
    while isinstance(definition, Composite) and definition.fields:
        definition = shape_of(definition.fields[0].codec).definition
    return BITS.get(definition.number, 128) if isinstance(definition, Primitive) else 128


def _number(rng: Random, bits: int, pools: Pools, name: str, type_name: str) -> int:
    limit = (1 << bits) - 1
    if rng.random() < 0.03:
        return rng.choice((limit, limit - 1, limit >> 1, rng.getrandbits(bits)))
    if pools.ids.get(name) and rng.random() < 0.8:
        return rng.choice(pools.ids[name])
    found: int
    if "Moment" in type_name or (bits == 64 and name in ("expires", "due", "deadline", "effective_from", "period")):
        found = rng.choice((0, pools.now + rng.choice(AHEAD_MS)))
    elif "BlockNumber" in type_name:
        found = pools.number + rng.choice((-1, 0, 1, 5, 10, 100))
    elif bits == 128:
        found = rng.choice(AMOUNTS) if rng.random() < 0.5 else rng.randrange(20 * AIT)
    elif "bps" in name or "permill" in name.lower():
        found = rng.choice((0, 1, 2_500, 5_000, 10_000))
    elif bits == 8:
        found = rng.randrange(4)
    else:
        found = rng.choice((0, 0, 1, 1, 1, 2, 3, 5, 8, 50, 840, 1000))
    return min(max(found, 0), limit)


def _array(rng: Random, inner: AnyCodec, length: int, pools: Pools) -> bytes:
    if length == 32 and rng.random() < 0.9:
        return rng.choice((rng.choice(pools.hashes), rng.choice(pools.accounts)))
    return b"".join(draw(rng, inner, pools) for _ in range(length)) if length < 16 else rng.randbytes(length)


def _sequence(rng: Random, inner: AnyCodec, pools: Pools, name: str, depth: int) -> bytes:
    if shape_of(inner).definition == Primitive(3):
        return _sized(rng.choice(pools.texts))
    count = rng.choice((0, 1, 1, 2, 2, 3, 5)) if depth < DEPTH_MAX else rng.randrange(2)
    return compact_encode(count) + b"".join(draw(rng, inner, pools, name, "", depth + 1) for _ in range(count))


def _sized(data: bytes) -> bytes:
    return compact_encode(len(data)) + data
