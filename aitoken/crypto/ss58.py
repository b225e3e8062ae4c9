"""SS58: the text form of account addresses.

    base58( prefix ++ key ++ checksum )

The prefix names the network: below 64 one byte, up to 16383 two bytes (bits 2-7 of the number in the low six bits of
the first byte with 0x40 set; bits 0-1 and 8-13 in the second). The checksum is the start of
blake2b-512("SS58PRE" ++ prefix ++ key): two bytes for keys of 32 and 33 bytes, one byte for the old account indices of
1, 2, 4 and 8 bytes.
A prefix below 64 written with two bytes is refused, so that an account has one text per network.

Source: https://docs.polkadot.com/polkadot-protocol/parachain-basics/accounts/ and `sp_core::crypto::Ss58Codec`.
"""

from typing import Final

from aitoken.crypto.hashing import blake2_512
from aitoken.errors import Rejected

DEFAULT_PREFIX: Final = 42
"""The generic Substrate network: every wallet shows such an address for any chain."""

PREFIX_MAX: Final = 16383
ADDRESS_LENGTH_MAX: Final = 64
"""No address of 33 bytes is longer; longer text is refused before the quadratic base-58 arithmetic."""

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGIT: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_CHECKSUM_SIZE: Final = {1: 1, 2: 1, 4: 1, 8: 1, 32: 2, 33: 2}


class BadAddress(Rejected):
    """A text is not an SS58 address, or not one of the expected network."""

    code = "ss58.bad_address"


class BadPrefix(Rejected):
    """A network prefix is not in 0..16383."""

    code = "ss58.bad_prefix"


def encode(public: bytes, prefix: int = DEFAULT_PREFIX) -> str:
    """Return the address of a 32-byte public key (1, 2, 4, 8 or 33 bytes also have a form) on network `prefix`."""
    size = _CHECKSUM_SIZE.get(len(public))
    if size is None:
        raise BadAddress(f"no address has a key of {len(public)} bytes")
    body = _encode_prefix(prefix) + public
    return _base58_encode(body + _checksum(body, size))


def decode(address: str, *, prefix: int | None = None, size: int = 32) -> tuple[bytes, int]:
    """Return the public key and the network prefix of an address.

    Args:
        address: the text, without surrounding space.
        prefix: accept only this network; any when None.
        size: how many bytes the key must have; 32 for accounts.

    Raises:
        BadAddress: a letter outside base 58, a wrong length or checksum, or another network.
    """
    data = _base58_decode(address)
    start, found = _decode_prefix(data)
    end = start + size
    if size not in _CHECKSUM_SIZE or len(data) != end + _CHECKSUM_SIZE[size]:
        raise BadAddress(f"{address!r} does not hold a key of {size} bytes")
    if _checksum(data[:end], len(data) - end) != data[end:]:
        raise BadAddress(f"the checksum of {address!r} is wrong: probably mistyped")
    if prefix is not None and found != prefix:
        raise BadAddress(f"{address!r} is an address of network {found}, not {prefix}")
    return data[start:end], found


def _encode_prefix(prefix: int) -> bytes:
    if not 0 <= prefix <= PREFIX_MAX:
        raise BadPrefix(f"a network prefix is 0..{PREFIX_MAX}, not {prefix}")
    if prefix < 64:
        return bytes([prefix])
    return bytes([(prefix & 0xFC) >> 2 | 0x40, prefix >> 8 | (prefix & 3) << 6])


def _decode_prefix(data: bytes) -> tuple[int, int]:
    """Return the prefix's size and value."""
    if data and data[0] < 64:
        return 1, data[0]
    if len(data) < 2 or data[0] > 127:
        raise BadAddress("the text is no address of any network")
    value = (data[0] & 0x3F) << 2 | data[1] >> 6 | (data[1] & 0x3F) << 8
    if value < 64:
        raise BadAddress("the network prefix is written in a longer form than needed")
    return 2, value


def _checksum(body: bytes, size: int) -> bytes:
    return blake2_512(b"SS58PRE" + body)[:size]


def _base58_encode(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    letters: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        letters.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(letters))


def _base58_decode(text: str) -> bytes:
    if len(text) > ADDRESS_LENGTH_MAX:
        raise BadAddress(f"an address has at most {ADDRESS_LENGTH_MAX} letters, this has {len(text)}")
    number = 0
    for letter in text:
        digit = _DIGIT.get(letter)
        if digit is None:
            raise BadAddress(f"{letter!r} is no letter of base 58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
