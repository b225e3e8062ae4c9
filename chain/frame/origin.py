"""Who makes a call: root, a signed account, nobody (inherents), or a custom origin of a pallet.

`Signed` may carry a filter, put there by a proxy: it travels with the origin into nested calls, so a limited proxy
stays limited inside a batch. A filter is not part of the encoded origin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from aitoken.codec.base import Codec, DecodeError, EncodeError, Field, Shape, Variant, Variants, path_of, truncated
from aitoken.codec.primitives import ACCOUNT_ID
from aitoken.types import AccountId
from chain.frame.errors import BadOrigin

if TYPE_CHECKING:
    from chain.frame.calls import Call

    CallFilter = Callable[[Call], bool]


class Origin:
    """Where a call comes from. A pallet's custom origins are a `Union` class named `Origin` in the pallet."""

    __slots__ = ()


class Root(Origin):
    """The chain itself: governance, or sudo on a development chain."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Root"


class NoOrigin(Origin):
    """Nobody: inherents and checked unsigned calls."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NoOrigin"


class Signed(Origin):
    """An account that signed, possibly limited to the calls a filter lets through."""

    __slots__ = ("call_filter", "who")

    def __init__(self, who: AccountId, call_filter: CallFilter | None = None) -> None:
        self.who = who
        self.call_filter = call_filter

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Signed) and (other.who, other.call_filter) == (self.who, self.call_filter)

    def __hash__(self) -> int:
        return hash(self.who)

    def __repr__(self) -> str:
        return f"Signed({self.who.hex()[:12]})"


ROOT: Final = Root()
NONE: Final = NoOrigin()


def ensure_signed(origin: Any) -> AccountId:
    """Return the account that signed.

    Raises:
        BadOrigin: nobody signed.
    """
    if isinstance(origin, Signed):
        return origin.who
    raise BadOrigin


def ensure_root(origin: Any) -> None:
    """Let only root pass.

    Raises:
        BadOrigin: the call comes from somebody else.
    """
    if not isinstance(origin, Root):
        raise BadOrigin


def ensure_none(origin: Any) -> None:
    """Let only inherents and unsigned calls pass.

    Raises:
        BadOrigin: the call comes from somebody.
    """
    if not isinstance(origin, NoOrigin):
        raise BadOrigin


def _encode(origin: Any) -> bytes:
    if isinstance(origin, Root):
        return b"\x00"
    if isinstance(origin, Signed):
        return b"\x01" + ACCOUNT_ID.encode(origin.who)
    if isinstance(origin, NoOrigin):
        return b"\x02"
    raise EncodeError(f"{origin!r} is not a system origin")


def _read(data: bytes, offset: int) -> tuple[Origin, int]:
    if offset >= len(data):
        raise truncated(1, data, offset)
    kind = data[offset]
    if kind == 0:
        return ROOT, offset + 1
    if kind == 1:
        who, end = ACCOUNT_ID.read(data, offset + 1)
        return Signed(AccountId(who)), end
    if kind == 2:
        return NONE, offset + 1
    raise DecodeError(f"no origin {kind}")


def _shape() -> Shape:
    variants = (
        Variant("Root", 0),
        Variant("Signed", 1, (Field(ACCOUNT_ID, type_name="AccountId"),)),
        Variant("None", 2),
    )
    return Shape(
        Variants(variants), path=path_of("frame_support::dispatch::RawOrigin"), params=(("AccountId", ACCOUNT_ID),)
    )


RAW_ORIGIN: Final[Codec[Any]] = Codec(_encode, _read, default=lambda: ROOT, size_min=1, shape=_shape)
