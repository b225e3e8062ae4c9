"""From JSON values to what a method's type hints ask for, strictly.

A method is a plain function; this module compiles one converter per parameter when the method is registered.
Hints that mean something here:

    bool, str               themselves; a bool is never taken for a number
    int                     0 to 2^64-1
    BlockNumber             0 to 2^32-1, as a number or as a "0x1b4" string (Substrate's NumberOrHex)
    Hash32                  64 hex digits
    HexBytes                any even count of hex digits
    AccountId               an SS58 address of any network, or 64 hex digits
    list[X]                 an array of X, at most ITEMS_MAX long
    X | None                null means None
    X | Y                   the first that fits
    Annotated[X, convert]   `convert(value)` decides alone; it raises BadParam

Hex may lack 0x and use either case; blanks, signs and odd counts are refused (`bytes.fromhex` would take blanks).
Named parameters (a JSON object) are taken too: the names are the function's, in camel case.
"""

from __future__ import annotations

import binascii
import types
from collections.abc import Callable
from typing import Any, Final, NewType, TypeAlias, Union, get_args, get_origin

from aitoken.crypto import ss58
from aitoken.errors import Rejected
from aitoken.types import AccountId, BlockNumber, Hash32

HexBytes = NewType("HexBytes", bytes)
"""Bytes of any length, written in hex."""

Converter: TypeAlias = Callable[[Any], Any]

ITEMS_MAX: Final = 1_000
"""Longest array of a parameter: one page of storage keys."""
ADDRESS_CHARS_MAX: Final = 128
_U32_MAX: Final = 2**32 - 1
_U64_MAX: Final = 2**64 - 1


class BadParam(Rejected):
    """A JSON value does not fit the parameter."""

    code = "rpc.bad_param"


def unhex(value: Any) -> bytes:
    """Return the bytes of a hex string with or without 0x.

    Raises:
        BadParam: not a string, not hex, or an odd count of digits.
    """
    if type(value) is not str:
        raise BadParam(f"expected a hex string, got {_kind(value)}")
    digits = value[2:] if value.startswith(("0x", "0X")) else value
    try:
        return binascii.unhexlify(digits)
    except ValueError:
        raise BadParam("not a string of hex digit pairs") from None


def _hash32(value: Any) -> Hash32:
    raw = unhex(value)
    if len(raw) != 32:
        raise BadParam(f"expected 32 bytes, got {len(raw)}")
    return Hash32(raw)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise BadParam(f"expected a number, got {_kind(value)}")
    if not 0 <= value <= _U64_MAX:
        raise BadParam("number out of range")
    return value


def _block_number(value: Any) -> BlockNumber:
    if type(value) is str:
        digits = value[2:]
        if value[:2] != "0x" or not 1 <= len(digits) <= 16 or digits.strip("0123456789abcdefABCDEF"):
            raise BadParam("expected a number or a 0x number")
        value = int(digits, 16)
    number = _integer(value)
    if number > _U32_MAX:
        raise BadParam("block number out of range")
    return BlockNumber(number)


def _account(value: Any) -> AccountId:
    if type(value) is str and value.startswith("0x"):
        return AccountId(_hash32(value))
    if type(value) is not str or len(value) > ADDRESS_CHARS_MAX:
        raise BadParam("expected an SS58 address")
    try:
        public, _ = ss58.decode(value)
    except Rejected as error:
        raise BadParam(f"not an SS58 address: {error}") from None
    if len(public) != 32:
        raise BadParam("not the address of a 32-byte account")
    return AccountId(public)


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise BadParam(f"expected true or false, got {_kind(value)}")
    return value


def _str(value: Any) -> str:
    if type(value) is not str:
        raise BadParam(f"expected a string, got {_kind(value)}")
    return value


def _anything(value: Any) -> Any:
    return value


_SCALARS: Final[dict[Any, Converter]] = {
    bool: _bool,
    str: _str,
    int: _integer,
    BlockNumber: _block_number,
    Hash32: _hash32,
    HexBytes: unhex,
    AccountId: _account,
    Any: _anything,
}


def converter_for(hint: Any) -> Converter:
    """Return the converter a type hint asks for.

    Raises:
        TypeError: the hint means nothing here; seen when the module of the method is imported.
    """
    if hint in _SCALARS:
        return _SCALARS[hint]
    for part in getattr(hint, "__metadata__", ()):
        if callable(part):
            return part  # type: ignore[no-any-return]
    origin = get_origin(hint)
    if origin is list:
        return _list_of(converter_for(get_args(hint)[0]))
    if origin in (Union, types.UnionType):
        return _union([part for part in get_args(hint) if part is not types.NoneType], optional=hint)
    raise TypeError(f"no parameter can be of type {hint!r}")


def _list_of(item: Converter) -> Converter:
    def convert(value: Any) -> list[Any]:
        if type(value) is not list:
            raise BadParam(f"expected an array, got {_kind(value)}")
        if len(value) > ITEMS_MAX:
            raise BadParam(f"more than {ITEMS_MAX} items")
        return [item(each) for each in value]

    return convert


def _union(members: list[Any], optional: Any) -> Converter:
    converters = [converter_for(member) for member in members]
    takes_null = types.NoneType in get_args(optional)

    def convert(value: Any) -> Any:
        if value is None and takes_null:
            return None
        problem = BadParam("fits nothing")
        for each in converters:
            try:
                return each(value)
            except BadParam as error:
                problem = error
        raise problem

    return convert


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a float"}
    return "null" if value is None else names.get(type(value), "something else")
