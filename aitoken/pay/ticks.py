"""Hash chains for payment by the tick: a tick is 32 bytes and costs a third of a microsecond to check.

The payer draws a seed, hashes it `max_ticks` times and signs the result as the *anchor*. Each tick it pays is the next
preimage: `blake2b-256(tick_i) = tick_(i-1)` with `tick_0 = anchor`. The newest tick stands for all before it.
"""

from __future__ import annotations

from typing import Final

from aitoken.crypto.hashing import blake2_256
from aitoken.pay.errors import BadTick
from aitoken.pay.layouts import TICKS_MAX, Tick, Voucher
from aitoken.types import Balance, Hash32

TICK_BYTES: Final = 32


class TickChain:
    """The payer's side: the preimages, to be given away one after the other.

    Attributes:
        anchor: what the voucher signs.
        length: how many ticks there are.
    """

    __slots__ = ("_values", "anchor", "length")

    def __init__(self, seed: bytes, length: int) -> None:
        """Build the chain from 32 secret bytes that are used for no other chain."""
        if len(seed) != TICK_BYTES or not 1 <= length <= TICKS_MAX:
            raise BadTick(f"a chain has a seed of {TICK_BYTES} bytes and 1 to {TICKS_MAX} ticks")
        values = [Hash32(seed)]
        for _ in range(length):
            values.append(blake2_256(values[-1]))
        values.reverse()
        self._values = values
        self.anchor = values[0]
        self.length = length

    def tick(self, index: int) -> Hash32:
        """Return tick `index`, which pays for `index` ticks in all (1 is the first)."""
        if not 1 <= index <= self.length:
            raise BadTick(f"tick {index} of {self.length}")
        return self._values[index]


class TickMeter:
    """The seller's side: how far the payer has paid. Ticks that were lost on the way cost one hash each.

    Attributes:
        index: ticks paid.
        last: the newest tick, which proves them.
    """

    __slots__ = ("_tick", "index", "last")

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self.index = 0
        self.last = tick.anchor

    @property
    def paid(self) -> Balance:
        """What the ticks so far come to."""
        return Balance(self.index * self._tick.value)

    def accept(self, preimage: bytes, steps: int = 1) -> Balance:
        """Take a tick that lies `steps` beyond the last; return what all come to.

        Raises:
            BadTick: it is not the chain's.
        """
        if steps < 1 or self.index + steps > self._tick.max_ticks:
            raise BadTick(f"{steps} ticks after {self.index} of {self._tick.max_ticks}")
        if _hash_times(preimage, steps) != self.last:
            raise BadTick("the preimage does not lead to the last tick")
        self.index += steps
        self.last = Hash32(preimage)
        return self.paid


def tick_total(voucher: Voucher, index: int, preimage: bytes) -> Balance:
    """Return what a lane comes to with tick `index` of its voucher.

    Raises:
        BadTick: the voucher has no ticks, or the preimage is not the one.
    """
    tick = voucher.tick
    if tick is None or not 1 <= index <= tick.max_ticks:
        raise BadTick(f"the voucher has no tick {index}")
    if _hash_times(preimage, index) != tick.anchor:
        raise BadTick("the preimage does not lead to the anchor")
    return Balance(voucher.acked + index * tick.value)


def _hash_times(value: bytes, times: int) -> bytes:
    if len(value) != TICK_BYTES:
        raise BadTick(f"a tick has {TICK_BYTES} bytes")
    for _ in range(times):
        value = blake2_256(value)
    return value
