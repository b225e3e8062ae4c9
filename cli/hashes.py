"""Hashes on the command line: given as such, or of a file or a domain."""

from __future__ import annotations

import re
from pathlib import Path

from cli.exits import BadInput


def hash_in(text: str) -> bytes:
    """The 32 bytes of a hash in hex.

    Raises:
        BadInput: it is none.
    """
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise BadInput(f"{text!r} is no hash: 64 hex digits")
    return bytes.fromhex(text.removeprefix("0x"))


def hash_of(evidence: str) -> bytes:
    """The hash that is given, or the blake2b-256 of the file of that name.

    Raises:
        BadInput: it is neither.
    """
    from aitoken.crypto.hashing import blake2_256

    if re.fullmatch(r"0x[0-9a-fA-F]{64}", evidence):
        return bytes.fromhex(evidence[2:])
    try:
        return blake2_256(Path(evidence).read_bytes())
    except OSError as error:
        raise BadInput(f"{evidence!r} is no hash, and cannot be read as a file: {error.strerror}") from None


def domain_in(text: str) -> bytes:
    """A domain as issuers hash it: lower case, without a final dot, in ASCII.

    Raises:
        BadInput: it is none.
    """
    try:
        return text.rstrip(".").lower().encode("idna")
    except UnicodeError as error:
        raise BadInput(f"{text!r} is no domain: {error}") from None
