"""Secret URIs: how tools of the Substrate world name keys, `phrase//hard/soft///password`.

    word word ... word//polkadot//0///secret    a phrase, two hard junctions, a password
    0x9d61b1...7f60/soft                        a 32-byte seed in hex instead of the phrase
    //Alice                                     the public development phrase: never for real money

A junction becomes a 32-byte chain code: a number its 8 little-endian bytes, a text its SCALE form (compact length and
UTF-8), both padded with zeros; a SCALE form of more than 32 bytes is hashed with blake2b-256.
Sr25519 knows hard and soft junctions (schnorrkel's), ed25519 hard ones only: blake2b-256(SCALE("Ed25519HDKD") ++ seed
++ chain code).

Wallets read two things differently, and we refuse them rather than guess: a number of 2^64 or more in a path, and a
password after a hex seed (which others silently ignore).

Source: `sp_core::crypto::{DeriveJunction, Pair::from_string}`; checked against @polkadot/keyring.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from aitoken.crypto import ed25519, mnemonic, sr25519
from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected

DEV_PHRASE: Final = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""The development phrase of Substrate, known to everybody; what a URI without phrase stands for."""
DEV_SEED: Final = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
"""Its seed without a password: stretching it anew for each of a devnet's accounts would take a second."""

_URI: Final = re.compile(r"(?P<phrase>[^/]*)(?P<path>(?://?[^/]+)*)(?:///(?P<password>.*))?", re.DOTALL)
_JUNCTION: Final = re.compile(r"/(/?)([^/]+)")
_ED25519_TAG: Final = b"\x2cEd25519HDKD"

Pair: TypeAlias = ed25519.Pair | sr25519.Pair
"""A signing pair of either scheme."""


class BadUri(Rejected):
    """A secret URI cannot be read. Its text is not repeated: it is secret."""

    code = "crypto.bad_uri"


class Scheme(StrEnum):
    """The signature schemes a key can be made for."""

    SR25519 = "sr25519"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class Junction:
    """One step of a derivation path.

    Attributes:
        hard: the child cannot be derived from public keys.
        chain_code: 32 bytes.
    """

    hard: bool
    chain_code: bytes


def pair_from_uri(uri: str, scheme: str = Scheme.SR25519) -> Pair:
    """Return the signing pair a secret URI names.

    Args:
        uri: see the module docstring.
        scheme: "sr25519" or "ed25519".

    Raises:
        BadUri: it cannot be read, or asks of ed25519 what it cannot do.
        BadMnemonic: the phrase is not BIP-39.
    """
    match = _URI.fullmatch(uri) if _is_utf8(uri) else None
    if match is None:
        raise BadUri("a secret URI is phrase//hard/soft///password")
    phrase, password = match["phrase"].strip(), match["password"]
    path = parse_path(match["path"])
    seed = _seed(phrase or DEV_PHRASE, password)
    if scheme == Scheme.SR25519:
        return _derive_sr25519(seed, path)
    if scheme == Scheme.ED25519:
        return ed25519.Pair(derive_ed25519(seed, path))
    raise BadUri(f"there is no signature scheme {scheme!r}")


def _is_utf8(text: str) -> bool:
    """Whether a text has bytes at all: a terminal hands over what is none as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_path(path: str) -> list[Junction]:
    """Return the junctions of a path such as `//polkadot//0/soft`; none of an empty one."""
    if "".join(match.group() for match in _JUNCTION.finditer(path)) != path:
        raise BadUri("a derivation path is //hard or /soft, repeated")
    return [Junction(bool(double), chain_code(text)) for double, text in _JUNCTION.findall(path)]


def chain_code(text: str) -> bytes:
    """Return the 32-byte chain code of a junction's text (without slashes)."""
    if text.isascii() and text.isdigit():
        number = int(text[:21])  # longer texts are above 2^64 too
        if number >= 2**64:
            raise BadUri("a number in a derivation path is below 2^64; wallets disagree about larger ones")
        return number.to_bytes(32, "little")
    data = text.encode()
    scale = _compact(len(data)) + data
    return blake2_256(scale) if len(scale) > 32 else scale.ljust(32, b"\0")


def derive_ed25519(seed: bytes, path: list[Junction]) -> bytes:
    """Return the 32-byte ed25519 seed at the end of a path of hard junctions from `seed` (32 bytes)."""
    for junction in path:
        if not junction.hard:
            raise BadUri("ed25519 has no soft derivation: write //name")
        seed = blake2_256(_ED25519_TAG + seed + junction.chain_code)
    return seed


def _derive_sr25519(seed: bytes, path: list[Junction]) -> sr25519.Pair:
    pair = sr25519.Pair(seed)
    for junction in path:
        step: Callable[[bytes], sr25519.Pair] = pair.hard if junction.hard else pair.soft
        pair = step(junction.chain_code)
    return pair


def _seed(phrase: str, password: str | None) -> bytes:
    if phrase == DEV_PHRASE and not password:
        return DEV_SEED
    if not phrase.startswith("0x"):
        return mnemonic.to_seed(phrase, password or "")
    if password is not None:
        raise BadUri("a password belongs to a phrase, not to a hex seed")
    if re.fullmatch(r"0x[0-9a-fA-F]{64}", phrase) is None:
        raise BadUri("a hex seed is 0x and 64 hex digits")
    return bytes.fromhex(phrase[2:])


def _compact(length: int) -> bytes:
    """SCALE compact length of a path element; the codec is a layer this room does not know."""
    if length < 1 << 6:
        return bytes([length << 2])
    if length < 1 << 14:
        return (length << 2 | 1).to_bytes(2, "little")
    raise BadUri("an element of a derivation path is at most 16383 bytes long")
