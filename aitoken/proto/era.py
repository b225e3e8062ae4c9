"""How long a transaction is valid: for ever, or for `period` blocks around the block its signer saw.

Mortal is a u16: `clamp(log2(period) - 1, 1, 15) | (phase / q) << 4` with a period of 4 to 65,536 (a power of two),
q = max(period >> 12, 1) and the phase rounded down to a multiple of q. Immortal is the single byte 0; a u16 never
starts with 0, because its low four bits are at least 1.

The signer signs the hash of the birth block, so a transaction included after its death checks against another hash.
Source: `sp_runtime::generic::era`. Vectors: mortal_era.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aitoken.codec.base import Codec, DecodeError, Field, Shape, Variant, Variants, path_of, truncated
from aitoken.codec.primitives import U8

PERIOD_MIN: Final = 4
PERIOD_MAX: Final = 65536


@dataclass(frozen=True, slots=True)
class Era:
    """Validity of a transaction. `period` 0 is immortal."""

    period: int = 0
    phase: int = 0

    @staticmethod
    def mortal(period: int, current: int) -> Era:
        """Return the era of about `period` blocks that is born at or just before block `current`."""
        period = min(max(1 << max(period - 1, 0).bit_length(), PERIOD_MIN), PERIOD_MAX)
        step = max(period >> 12, 1)
        return Era(period, current % period // step * step)

    @property
    def is_immortal(self) -> bool:
        """Whether it never ends."""
        return self.period == 0

    def birth(self, current: int) -> int:
        """Return the block whose hash was signed, seen from block `current`; genesis when immortal."""
        if self.period == 0:
            return 0
        return (max(current, self.phase) - self.phase) // self.period * self.period + self.phase

    def death(self, current: int) -> int:
        """Return the first block that may no longer contain the transaction; 2^64 - 1 when immortal."""
        return (1 << 64) - 1 if self.period == 0 else self.birth(current) + self.period

    @property
    def code(self) -> int:
        """Return the u16 form, 0 when immortal."""
        if self.period == 0:
            return 0
        step = max(self.period >> 12, 1)
        return min(max(self.period.bit_length() - 2, 1), 15) | self.phase // step << 4

    def encode(self) -> bytes:
        """Return 1 byte (immortal) or 2."""
        return b"\x00" if self.period == 0 else self.code.to_bytes(2, "little")


IMMORTAL: Final = Era()


@lru_cache(maxsize=4096)
def era_of(code: int) -> Era:
    """Return the era of a u16 code, 0 being immortal.

    Raises:
        DecodeError: no era is written like that.
    """
    if code == 0:
        return IMMORTAL
    period = 2 << (code & 15)
    phase = (code >> 4) * max(period >> 12, 1)
    if period < PERIOD_MIN or phase >= period:
        raise DecodeError(f"era {code:#06x}: period {period}, phase {phase}")
    return Era(period, phase)


def _read(data: bytes, offset: int) -> tuple[Era, int]:
    if offset >= len(data):
        raise truncated(1, data, offset)
    if data[offset] == 0:
        return IMMORTAL, offset + 1
    if offset + 2 > len(data):
        raise truncated(2, data, offset)
    return era_of(data[offset] | data[offset + 1] << 8), offset + 2


def _shape() -> Shape:
    mortal = tuple(Variant(f"Mortal{index}", index, (Field(U8),)) for index in range(1, 256))
    return Shape(Variants((Variant("Immortal", 0), *mortal)), path=path_of("sp_runtime::generic::era::Era"))


ERA: Final[Codec[Era]] = Codec(Era.encode, _read, default=lambda: IMMORTAL, size_min=1, shape=_shape)
"""The codec of an era; its registry entry has the 256 variants clients expect."""
