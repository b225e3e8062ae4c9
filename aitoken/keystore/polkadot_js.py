"""Encrypted key documents as polkadot-js and every wallet after it export and import them: JSON, version 3.

    encoded = base64( salt[32] ++ N u32 ++ p u32 ++ r u32 ++ nonce[24] ++ box )         little-endian
    box     = xsalsa20-poly1305(PKCS8 header ++ secret[64] ++ divider ++ public[32])
    key     = first 32 bytes of scrypt(password, salt, N, r, p)

The secret of sr25519 is the ed25519-like form, that of ed25519 is seed ++ public. Only the six cost settings that
polkadot-js lists are accepted, so that a document cannot ask for hours or gigabytes; we write N = 2^17, p = 1, r = 8
(0.3 s, 128 MiB).

Source: @polkadot/keyring `pair/encode.ts`, `pair/decode.ts`; @polkadot/util-crypto `scrypt/defaults.ts`.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any, Final

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from aitoken.crypto import ed25519, sr25519, ss58
from aitoken.crypto.derive import Pair, Scheme
from aitoken.errors import Rejected

DOCUMENT_SIZE_MAX: Final = 64 * 1024

SCRYPT_ALLOWED: Final = (
    (1 << 13, 10, 8),
    (1 << 14, 5, 8),
    (1 << 15, 3, 8),
    (1 << 15, 1, 8),
    (1 << 16, 2, 8),
    (1 << 17, 1, 8),
)
"""Cost N, parallelism p and block size r, in this order."""

SCRYPT_WRITTEN: Final = (1 << 17, 1, 8)

_HEADER: Final = bytes([48, 83, 2, 1, 1, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32])
_DIVIDER: Final = bytes([161, 35, 3, 33, 0])
_SALT_SIZE: Final = 32
_PARAMETERS_END: Final = _SALT_SIZE + 12
_SECRET_SIZE: Final = 64
_PLAIN_SIZE: Final = len(_HEADER) + _SECRET_SIZE + len(_DIVIDER) + 32
_SEALED_SIZE: Final = _PARAMETERS_END + SecretBox.NONCE_SIZE + SecretBox.MACBYTES + _PLAIN_SIZE


class BadKeyDocument(Rejected):
    """A document is not an encrypted key of version 3, or not one of ed25519 or sr25519."""

    code = "keystore.bad_document"


class WrongPassword(Rejected):
    """The password does not open the key."""

    code = "keystore.wrong_password"


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """How the secret is packed: content, encryption, version."""

    content: tuple[str, ...]
    type: tuple[str, ...]
    version: str


class KeyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An encrypted key, as stored.

    Attributes:
        encoded: base64 of salt, parameters, nonce and box.
        encoding: what is inside.
        address: SS58, of any network.
        meta: what wallets remember: `name`, `whenCreated` (milliseconds), `genesisHash`, ... Not authenticated.
    """

    encoded: str
    encoding: Encoding
    address: str
    meta: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name its owner gave it; empty when there is none."""
        name = self.meta.get("name", "")
        return name if isinstance(name, str) else ""

    @property
    def public(self) -> bytes:
        """The 32-byte public key in the address; proven only by `unlock`."""
        return ss58.decode(self.address)[0]

    @property
    def scheme(self) -> Scheme:
        """Sr25519 or ed25519."""
        return Scheme(self.encoding.content[1])

    def unlock(self, password: str) -> Pair:
        """Return the signing pair. Takes up to half a second and 128 MiB.

        Raises:
            WrongPassword: the box does not open.
            BadKeyDocument: it opens, but what is inside does not belong to the address.
        """
        try:
            data = base64.b64decode(self.encoded, validate=True)
        except (binascii.Error, ValueError):
            raise BadKeyDocument("the secret of the document is not base64") from None
        if len(data) != _SEALED_SIZE:
            raise BadKeyDocument(f"the secret of the document has {len(data)} bytes instead of {_SEALED_SIZE}")
        parameters = _unpack(data[_SALT_SIZE:_PARAMETERS_END])
        if parameters not in SCRYPT_ALLOWED:
            raise BadKeyDocument("the document asks for scrypt settings no wallet writes")
        key = _stretch(password, data[:_SALT_SIZE], parameters)
        try:
            plain = SecretBox(key).decrypt(data[_PARAMETERS_END:])
        except CryptoError:
            raise WrongPassword("the password does not open this key") from None
        pair = _unpack_pair(self.scheme, plain)
        if pair.public != self.public:
            raise BadKeyDocument("the secret in the document does not belong to its address")
        return pair

    def to_json(self) -> bytes:
        """Return the document as wallets import it."""
        return msgspec.json.encode(self)


def parse(document: bytes) -> KeyDocument:
    """Read a document of at most 64 KiB without opening it.

    Raises:
        BadKeyDocument: not JSON of this shape, another version, or an unknown scheme.
        BadAddress: the address is none.
    """
    if len(document) > DOCUMENT_SIZE_MAX:
        raise BadKeyDocument(f"a key document has at most {DOCUMENT_SIZE_MAX} bytes")
    try:
        parsed = msgspec.json.decode(document, type=KeyDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadKeyDocument("this is not a key document of a wallet (JSON, version 3)") from None
    encoding = parsed.encoding
    if encoding.version != "3" or encoding.type != ("scrypt", "xsalsa20-poly1305"):
        raise BadKeyDocument("only key documents of version 3 with scrypt and xsalsa20-poly1305 are read")
    if encoding.content not in (("pkcs8", "sr25519"), ("pkcs8", "ed25519")):
        raise BadKeyDocument("only sr25519 and ed25519 keys are read")
    ss58.decode(parsed.address)
    return parsed


def lock(
    pair: Pair, password: str, *, prefix: int = ss58.DEFAULT_PREFIX, meta: dict[str, Any] | None = None
) -> KeyDocument:
    """Encrypt a pair. Takes half a second and 128 MiB.

    Args:
        pair: the ed25519 or sr25519 pair.
        password: any text; its UTF-8 bytes count.
        prefix: network of the address written in the clear.
        meta: what wallets remember, in the clear: `name`, `whenCreated` (milliseconds), `genesisHash` (0x-hex).
    """
    secret = pair.ed25519_bytes if isinstance(pair, sr25519.Pair) else pair.seed + pair.public
    plain = _HEADER + secret + _DIVIDER + pair.public
    salt = secrets.token_bytes(_SALT_SIZE)
    box = SecretBox(_stretch(password, salt, SCRYPT_WRITTEN)).encrypt(plain, secrets.token_bytes(SecretBox.NONCE_SIZE))
    sealed = salt + b"".join(number.to_bytes(4, "little") for number in SCRYPT_WRITTEN) + bytes(box)
    return KeyDocument(
        encoded=base64.b64encode(sealed).decode(),
        encoding=Encoding(content=("pkcs8", pair.scheme), type=("scrypt", "xsalsa20-poly1305"), version="3"),
        address=ss58.encode(pair.public, prefix),
        meta={} if meta is None else meta,
    )


def open_key(text: str, password: str) -> Pair:
    """Return the pair in a document's text; the short form of `parse` and `unlock`."""
    return parse(text.encode("utf-8", "surrogatepass")).unlock(password)


def seal_key(pair: Pair, password: str, *, name: str = "", prefix: int = ss58.DEFAULT_PREFIX) -> str:
    """Return the text of an encrypted document for `pair`; the short form of `lock` and `to_json`."""
    return lock(pair, password, prefix=prefix, meta={"name": name} if name else {}).to_json().decode()


def _stretch(password: str, salt: bytes, parameters: tuple[int, int, int]) -> bytes:
    cost, parallel, block = parameters
    memory = 128 * block * (cost + parallel + 2) + (1 << 20)  # what scrypt needs, and a margin
    # surrogatepass: a password typed under a broken locale is a wrong password, not a crash
    text = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=64)[: SecretBox.KEY_SIZE]


def _unpack(data: bytes) -> tuple[int, int, int]:
    cost, parallel, block = (int.from_bytes(data[start : start + 4], "little") for start in (0, 4, 8))
    return cost, parallel, block


def _unpack_pair(scheme: Scheme, plain: bytes) -> Pair:
    start = len(_HEADER)
    end = start + _SECRET_SIZE
    secret, public = plain[start:end], plain[end + len(_DIVIDER) :]
    if plain[:start] != _HEADER or plain[end : end + len(_DIVIDER)] != _DIVIDER:
        raise BadKeyDocument("the document opens, but holds no key in the expected packing")
    pair = sr25519.Pair.from_ed25519_bytes(secret) if scheme is Scheme.SR25519 else ed25519.Pair(secret[:32])
    if not hmac.compare_digest(pair.public, public):
        raise BadKeyDocument("the secret in the document does not belong to its public key")
    return pair
