"""Seed phrases: BIP-39 words, and Substrate's own way from words to a secret.

BIP-39 stretches the text of the words; Substrate stretches the entropy behind them, so that the language of the words
does not matter: PBKDF2-HMAC-SHA512(entropy, "mnemonic" ++ password, 2048 rounds), first 32 bytes.

Source: BIP-39; `substrate-bip39`.
"""

import hashlib
import secrets
import unicodedata
from functools import cache
from typing import Final

from mnemonic import Mnemonic

from aitoken.errors import Rejected

ROUNDS: Final = 2048
WORD_COUNTS: Final = (12, 15, 18, 21, 24)
ENTROPY_SIZES: Final = (16, 20, 24, 28, 32)


class BadMnemonic(Rejected):
    """A phrase is not BIP-39. Its text is not repeated: it is secret."""

    code = "crypto.bad_mnemonic"


def generate(words: int = 12) -> str:
    """Return a fresh English phrase of 12, 15, 18, 21 or 24 words from the operating system's randomness."""
    if words not in WORD_COUNTS:
        raise BadMnemonic(f"a phrase has 12, 15, 18, 21 or 24 words, not {words}")
    return from_entropy(secrets.token_bytes(words * 4 // 3))


def from_entropy(entropy: bytes) -> str:
    """Return the English phrase of 16, 20, 24, 28 or 32 bytes of entropy."""
    if len(entropy) not in ENTROPY_SIZES:
        raise BadMnemonic(f"entropy has 16, 20, 24, 28 or 32 bytes, not {len(entropy)}")
    return _english().to_mnemonic(entropy)


def to_entropy(phrase: str) -> bytes:
    """Return the 16 to 32 bytes of entropy behind an English phrase; runs of white space count as one space.

    Raises:
        BadMnemonic: the number of words, a word, or the checksum is wrong.
    """
    words = phrase.split()
    if len(words) not in WORD_COUNTS:
        raise BadMnemonic(f"a phrase has 12, 15, 18, 21 or 24 words, this has {len(words)}")
    try:
        return bytes(_english().to_entropy(words))
    except (ValueError, LookupError):
        pass
    # Outside the handler: the library's message names the word, and a chained traceback would print it.
    raise BadMnemonic("the words are not a BIP-39 phrase: one is unknown, or the checksum is wrong")


def to_seed(phrase: str, password: str = "") -> bytes:
    """Return the 32-byte mini secret of an English phrase, the seed of both schemes' root pairs."""
    return seed_from_entropy(to_entropy(phrase), password)


def seed_from_entropy(entropy: bytes, password: str = "") -> bytes:
    """Return the 32-byte mini secret behind `entropy`; see the module docstring."""
    salt = "mnemonic" + unicodedata.normalize("NFKD", password)
    return hashlib.pbkdf2_hmac("sha512", entropy, salt.encode(), ROUNDS)[:32]


def words() -> list[str]:
    """Return the 2048 English words, in the order of their numbers."""
    return list(_english().wordlist)


@cache
def _english() -> Mnemonic:
    return Mnemonic("english")  # reads the word list: 2 ms once
