"""An answer that flows: its events go on as they come, those about payment are taken out."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from aitoken.client.pay.errors import GatewayDown
from aitoken.pay.errors import BadLayout
from aitoken.pay.headers import decode_signed
from aitoken.pay.seller import Signed
from aitoken.types import Hash32

EVENT_BYTES_MAX: Final = 1 << 20
_OURS: Final = b"event: aitp."
_RECEIPT: Final = b"event: aitp.receipt\n"
_END: Final = b"\n\n"


class Sieve:
    """Takes bytes of a flow and gives those that are for the client.

    Attributes:
        receipt: the receipt, once it came.
    """

    def __init__(self) -> None:
        self._left = b""
        self._hash = blake2b(digest_size=32)
        self.receipt: Signed | None = None

    @property
    def delivered(self) -> Hash32:
        """Hash of what was delivered before the receipt."""
        return Hash32(self._hash.digest())

    def feed(self, piece: bytes) -> bytes:
        """Take bytes, give the events that are whole with them.

        Raises:
            GatewayDown: an event is too long, or one about payment cannot be read.
        """
        *events, self._left = (self._left + piece).split(_END)
        if len(self._left) > EVENT_BYTES_MAX:
            raise GatewayDown("the gateway sends an event without end")
        passed = []
        for event in events:
            raw = event + _END
            if raw.startswith(_OURS):
                if raw.startswith(_RECEIPT):
                    self.receipt = _receipt_in(raw)
                continue
            if self.receipt is None:
                self._hash.update(raw)
            passed.append(raw)
        return b"".join(passed)

    def rest(self) -> bytes:
        """Give what is left when the flow ends within an event."""
        left, self._left = self._left, b""
        return b"" if left.startswith(_OURS) else left


def _receipt_in(event: bytes) -> Signed:
    try:
        told = msgspec.json.decode(event.partition(b"\ndata: ")[2])
        return Signed(*decode_signed(told.get("aitp", told)["receipt"]))
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, BadLayout) as error:
        raise GatewayDown(f"the gateway's receipt cannot be read: {error}") from None
