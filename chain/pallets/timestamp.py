"""Timestamp: the time of a block, as its header says it.

Consensus has checked the time in the digest before anything is executed; the inherent `set` repeats it, because
explorers read it there.

Source: `pallet_timestamp`.
"""

from __future__ import annotations

from typing import Annotated

from aitoken.codec.hints import TypeName, codec_of, u64
from aitoken.proto.digest import Digest, smpx_of
from aitoken.types import Moment
from chain.frame.calls import Call, call
from chain.frame.errors import Other
from chain.frame.machine import Machine
from chain.frame.origin import Origin, ensure_none
from chain.frame.pallet import Pallet, constant
from chain.frame.storage import Value, value
from chain.frame.types import CompactMoment, DispatchClass


class Timestamp(Pallet, index=1, crate="pallet_timestamp"):
    """The time of a block."""

    now: Value[Moment] = value(doc="The current time for the current block.")
    did_update: Value[bool] = value(doc="Whether the timestamp has been updated in this block.")

    minimum_period: Annotated[int, codec_of(u64), TypeName("T::Moment")] = constant(
        lambda env: env.params.block_time_ms // 2, doc="The minimum period between blocks."
    )

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._set = machine.schema.call_info("Timestamp.set")

    @call(0, dispatch_class=DispatchClass.Mandatory)
    def set(self, origin: Origin, now: CompactMoment) -> None:
        """Set the current time."""
        ensure_none(origin)
        last = self.now.get()
        if last and now < last + self.minimum_period:
            raise Other(f"time {now} is less than {self.minimum_period} ms after {last}")
        self.now.put(Moment(now))

    def current_time(self) -> Moment:
        """Return the time of the block being executed."""
        return self.now.get()

    def create_inherent(self, digest: Digest) -> Call | None:
        """Return `set` with the time of the digest."""
        return Call(self._set, (Moment(smpx_of(digest).timestamp_ms),))
