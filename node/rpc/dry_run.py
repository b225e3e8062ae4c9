"""What a transaction would do in a block of its own on top of a given one; nothing of it is kept.

The answer is Substrate's `ApplyExtrinsicResult`: `Result<Result<(), DispatchError>, TransactionValidityError>`. How the
call ended is read from the event that ends an extrinsic: System.ExtrinsicSuccess (0, 0) or ExtrinsicFailed (0, 1).
"""

from __future__ import annotations

from typing import Final

from aitoken.codec.base import DecodeError
from aitoken.crypto.hashing import twox_128
from aitoken.proto.digest import DigestItem, SmpxDigest, leading_items_of, smpx_of
from aitoken.proto.extrinsic import Extrinsic
from aitoken.proto.header import Header
from aitoken.proto.randomness import UNPROVEN
from chain.frame.errors import InvalidBlock, InvalidTransaction
from chain.state.base import State, StateDiscarded
from node.rpc import errors
from node.rpc.errors import RpcError
from node.rpc.ports import RuntimeApi

EVENTS_KEY: Final = twox_128(b"System") + twox_128(b"Events")
NEXT_BLOCK_MS: Final = 1_000
_SUCCESS: Final = b"\x00\x00"
_FAILED: Final = b"\x00\x01"
_ERROR_BYTES: Final = {3: 6, 7: 2, 8: 2, 9: 2}
"""Size of a `DispatchError` by its kind where it carries something: Module, Token, Arithmetic, Transactional."""


def dry_run(runtime: RuntimeApi, parent: Header, state: State, raw: bytes) -> bytes:
    """Return the SCALE `ApplyExtrinsicResult` of a transaction on top of `parent`.

    Raises:
        RpcError: the bytes are no transaction, or the state is too old to build on.
    """
    try:
        extrinsic = Extrinsic(raw)
        builder = runtime.open_block(state, parent, _items(parent))
        phase = b"\x00" + len(builder.extrinsics).to_bytes(4, "little")
        builder.apply(extrinsic)
        events = builder.seal().state.get(EVENTS_KEY) or b""
    except InvalidTransaction as error:
        return b"\x01" + error.scale
    except DecodeError as error:
        raise RpcError(errors.BAD_FORMAT, f"Extrinsic has invalid format: {error}") from None
    except StateDiscarded:
        raise errors.state_discarded(parent.hash) from None
    except InvalidBlock as error:
        raise errors.execution_failed(str(error)) from None
    failed = events.rfind(phase + _FAILED)
    if failed < events.rfind(phase + _SUCCESS):
        return b"\x00\x00"
    start = failed + len(phase) + len(_FAILED)
    return b"\x00\x01" + events[start : start + _ERROR_BYTES.get(events[start], 1)]


def _items(parent: Header) -> tuple[DigestItem, ...]:
    """The leading digest items of the block after `parent`."""
    try:
        before = smpx_of(parent.digest)
    except DecodeError:
        return leading_items_of(SmpxDigest(1, 0, 1, 0, 0, NEXT_BLOCK_MS, *UNPROVEN))
    after_ms = before.timestamp_ms + NEXT_BLOCK_MS
    view = before.view + 1
    return leading_items_of(SmpxDigest(1, before.epoch, view, before.view, before.leader, after_ms, *UNPROVEN))
