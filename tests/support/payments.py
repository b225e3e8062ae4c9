"""One payer, one provider, one session, its first receipt and the voucher after it: those of the published vectors."""

from __future__ import annotations

from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.pay.headers import request_hash
from aitoken.pay.layouts import CUMULATIVE, OpenParams, Receipt, Voucher, ack0, session_id
from aitoken.types import AccountId, Balance, BlockNumber, Hash32, Moment

PAYER = Pair(b"\x11" * 32)
PROVIDER = Pair(b"\x22" * 32)
GENESIS = Hash32(b"\x47" * 32)
PARAMS = OpenParams(7, 3, PAYER.public, 0, BlockNumber(500_000), 300, 16, b"\x05" * 16)
SESSION = session_id(GENESIS, AccountId(b"\xaa" * 32), PARAMS)
RECEIPT = Receipt(
    SESSION, 3, 1, 0, 42, 3, blake2_256(b"demo-model@1"), request_hash(b"req"), blake2_256(b"resp"),
    Moment(1_790_000_000_000), Moment(1_790_000_000_850), Balance(183_600_000), Balance(183_600_000), 10**12,
    ack0(SESSION, 3), ((1, 1200), (2, 350)),
)  # fmt: skip
VOUCHER = Voucher(
    SESSION, 3, CUMULATIVE, 0, 1, Balance(183_600_000), Balance(433_600_000), Moment(0), RECEIPT.hash
)  # fmt: skip
