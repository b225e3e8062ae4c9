"""Values of a call or a storage key as people type them."""

from __future__ import annotations

import re
from typing import Any, Final

from cli.exits import BadInput
from cli.wallet import account_of, is_dev_uri

_INTEGER: Final = re.compile(r"-?[0-9][0-9_]{0,400}", re.ASCII)
_ADDRESS: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{46,50}", re.ASCII)
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_WORDS: Final = {"true": True, "false": False, "null": None}


def parse_value(text: str) -> Any:
    """Read an integer, a word of JSON, an account, 0x-hex (as bytes) or JSON; anything else is text.

    Raises:
        BadInput: it starts like JSON or hex and is broken.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if is_dev_uri(text) or _ADDRESS.fullmatch(text):
        return account_of(text)
    if text.startswith("0x"):
        if not _HEX.fullmatch(text):
            raise BadInput(f"{text!r} is not hex: two digits for each byte")
        return bytes.fromhex(text[2:])
    if text[:1] in {"{", "[", '"'}:
        return _json(text)
    return text


def _json(text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise BadInput(f"{text[:60]!r} is not JSON") from None
