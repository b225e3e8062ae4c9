"""RFC 9380's map to edwards25519 as its text has it, over plain integers; it shares nothing with the real one."""

from __future__ import annotations

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
J = 486662
Point = tuple[int, int]
"""Affine x and y."""


def is_square(value: int) -> bool:
    return pow(value, (P - 1) // 2, P) in (0, 1)


def sqrt(value: int) -> int:
    """The square root that is even."""
    root = pow(value, (P + 3) // 8, P)
    if root * root % P != value % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    assert root * root % P == value % P
    return min(root, P - root, key=lambda each: each % 2)


def elligator(element: int) -> Point:
    """`map_to_curve_elligator2_edwards25519`, sections 6.7.1 and 6.8.2: a point of the whole curve."""
    u = -J * pow(1 + 2 * element * element, -1, P) % P
    square = u**3 + J * u * u + u
    if is_square(square):
        v = P - sqrt(square)  # sgn0 is 1
    else:
        u = (-u - J) % P
        v = sqrt(u**3 + J * u * u + u)  # sgn0 is 0
    x = sqrt(-486664) * u * pow(v, -1, P) % P
    y = (u - 1) * pow(u + 1, -1, P) % P
    return x, y


def add(first: Point, second: Point) -> Point:
    """The complete addition law of edwards25519."""
    (x1, y1), (x2, y2) = first, second
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def encode(point: Point) -> bytes:
    """RFC 8032's 32 bytes."""
    x, y = point
    return (y | (x % 2) << 255).to_bytes(32, "little")


def from_field(element: int) -> bytes:
    """The map and the clearing of the cofactor, encoded."""
    point = elligator(element)
    for _ in range(3):
        point = add(point, point)
    return encode(point)
