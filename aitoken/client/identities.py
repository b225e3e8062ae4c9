"""Identities, attestations and persons through a node: what the chain says of an account, in plain values.

Texts of identities are at most 32 bytes of UTF-8; whatever else is in one is shown as hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from aitoken.client.answers import Receipt
from aitoken.client.client import Client
from aitoken.credentials import EVERYWHERE, Request
from aitoken.crypto import ss58
from aitoken.crypto.ed25519 import Pair
from aitoken.crypto.hashing import blake2_256
from aitoken.errors import Rejected
from aitoken.proto.extrinsic import bare_extrinsic
from aitoken.types import AccountId, Hash32

TEXTS: Final = ("display", "legal", "web", "matrix", "email", "image", "twitter", "github", "discord")
"""The fields of an identity that are texts; `pgp_fingerprint` is 20 bytes."""
TEXT_BYTES_MAX: Final = 32
JUDGEMENTS: Final = ("Unknown", "Reasonable", "KnownGood", "OutOfDate", "LowQuality", "Erroneous")
"""What registrars say."""
AGREEING: Final = 2
"""So many issuers that attest the same domain verify it."""


class NoIdentity(Rejected):
    """The account says nothing of itself."""

    code = "identity.none"


class TextTooLong(Rejected):
    """A text of an identity has at most 32 bytes."""

    code = "identity.text_too_long"


class NoKey(Rejected):
    """There is no such key of an issuer."""

    code = "identity.no_key"


class NoRequest(Rejected):
    """A file is no request for a credential."""

    code = "identity.no_request"


@dataclass(frozen=True, slots=True)
class Vouched:
    """An attestation.

    Attributes:
        counts: whether it does now: it has not expired, is not revoked, and its issuer is accepted for the class.
    """

    uid: bytes
    schema: str
    kind: str | None
    issuer: str
    data: bytes
    expires: int
    revoked: bool
    counts: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What the chain knows of an account.

    Attributes:
        hash: of all it says of itself, as registrars judge it.
        parent: the account above it and its name there.
        judgements: registrar, and what it says.
        accounts: those below it.
        person: how many issuers vouch that it is one person's, once for everything.
        domains: hashes of domains that two issuers agree on.
    """

    account: str
    texts: Mapping[str, str] = field(default_factory=dict)
    hash: bytes | None = None
    parent: tuple[str, str] | None = None
    judgements: tuple[tuple[int, str], ...] = ()
    accounts: tuple[str, ...] = ()
    attestations: tuple[Vouched, ...] = ()
    person: int = 0
    domains: tuple[bytes, ...] = ()


def text_of(data: Any) -> str | None:
    """Return what a field of an identity says; None for nothing."""
    if data == "None":
        return None
    ((kind, value),) = data.items()
    if kind.startswith("Raw"):
        raw = bytes(value)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return "0x" + raw.hex()
    return f"{kind} 0x{bytes(value).hex()}"


def data_of(text: str | None) -> Any:
    """Return the field of an identity that says `text`; nothing where it is empty.

    Raises:
        TextTooLong: it has more than 32 bytes.
    """
    raw = (text or "").encode()
    if len(raw) > TEXT_BYTES_MAX:
        raise TextTooLong(f"{text!r} has {len(raw)} bytes, an identity's texts have {TEXT_BYTES_MAX} at most")
    return {f"Raw{len(raw)}": raw} if raw else "None"


async def known_of(client: Client, account: bytes) -> Known:
    """Return what the chain knows of an account."""
    found = await client.query("Identity", "IdentityOf", account)
    above = await client.query("Identity", "SuperOf", account)
    _, below = await client.query("Identity", "SubsOf", account)
    vouched = await attestations_of(client, {"Account": account})
    person = await client.runtime_call("AttestApi", "issuers_of_person", account, EVERYWHERE)
    texts: dict[str, str] = {}
    said: bytes | None = None
    judgements: tuple[tuple[int, str], ...] = ()
    if found is not None:
        shown = {name: text_of(found["info"][name]) for name in TEXTS}
        texts = {name: text for name, text in shown.items() if text is not None}
        if found["info"]["pgp_fingerprint"] is not None:
            texts["pgp_fingerprint"] = bytes(found["info"]["pgp_fingerprint"]).hex()
        said = blake2_256(client.call("Identity", "set_identity", info=found["info"]).call_bytes[2:])
        judgements = tuple((number, _judgement(each)) for number, each in found["judgements"])
    parent = None if above is None else (str(above[0]), text_of(above[1]) or "")
    return Known(
        account=ss58.encode(account, client.chain.coders.prefix),
        texts=texts,
        hash=said,
        parent=parent,
        judgements=judgements,
        accounts=tuple(map(str, below)),
        attestations=vouched,
        person=person,
        domains=domains_of(vouched),
    )


def _judgement(said: Any) -> str:
    return said if isinstance(said, str) else next(iter(said))


async def attestations_of(client: Client, subject: Mapping[str, Any]) -> tuple[Vouched, ...]:
    """Return the attestations about a subject: {"Account": ...}, {"Provider": 7} or {"Hash": ...}."""
    now = await client.query("Timestamp", "Now")
    rows = []
    async for (_, uid), row in client.query_map("Attest", "Attestations", subject):
        schema = await client.query("Attest", "Schemas", row["schema"])
        kind = None if schema is None else schema["class"]
        issuer = None if kind is None else await client.query("Attest", "Issuers", row["issuer"], kind)
        accepted = schema is not None and (kind is None or (issuer is not None and "Accepted" in issuer["standing"]))
        name = "" if schema is None else bytes(schema["name"]).decode(errors="replace")
        counts = accepted and not row["revoked"] and now < row["expires"]
        data, expires = bytes(row["data"]), int(row["expires"])
        rows.append(Vouched(bytes(uid), name, kind, str(row["issuer"]), data, expires, bool(row["revoked"]), counts))
    return tuple(rows)


def domains_of(vouched: tuple[Vouched, ...]) -> tuple[bytes, ...]:
    """Return the hashes of domains that enough issuers attest."""
    issuers: dict[bytes, set[str]] = {}
    for each in vouched:
        if each.counts and each.kind == "Domain":
            issuers.setdefault(each.data, set()).add(each.issuer)
    return tuple(data for data, who in issuers.items() if len(who) >= AGREEING)


async def info_of(client: Client, account: bytes) -> dict[str, Any]:
    """Return what an account says of itself, as it is put into calls.

    Raises:
        NoIdentity: nothing.
    """
    found = await client.query("Identity", "IdentityOf", account)
    if found is None:
        raise NoIdentity(f"{ss58.encode(account, client.chain.coders.prefix)} says nothing of itself")
    info: dict[str, Any] = found["info"]
    return info


async def key_of(client: Client, number: int) -> dict[str, Any]:
    """Return a key that lets in persons.

    Raises:
        NoKey: there is none.
    """
    found: dict[str, Any] | None = await client.query("Attest", "Keys", number)
    if found is None:
        raise NoKey(f"there is no key {number}")
    return found


async def ask_for_person(client: Client, number: int) -> Request:
    """Begin to ask an issuer for a credential of one of its keys."""
    found = await key_of(client, number)
    return Request.make(Hash32(client.chain.genesis_hash), number, bytes(found["modulus"]))


async def become_person(client: Client, request: Request, answer: bytes, account: bytes) -> Receipt:
    """Hand in the credential that an issuer's answer makes; needs no money and no account.

    Raises:
        NoRequest: the request is for another chain.
        BadBlindSignature: the answer is none to this request.
    """
    if request.genesis != client.chain.genesis_hash:
        raise NoRequest("the request is for another chain")
    key, nullifier, token, to, signature = request.finish(answer, AccountId(account))
    call = client.call(
        "Attest", "post_nullifier", key=key, nullifier=nullifier, token=token, account=to, signature=signature
    )
    return await client.send(bare_extrinsic(call.call_bytes).raw, "final")


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """A request as a file has it, in hex."""

    genesis: str
    key: int
    modulus: str
    nullifier: str
    blinded: str
    secret: str


def keep(request: Request) -> bytes:
    """Return a request as it is kept in a file; whoever reads it can take the credential."""
    kept = _Kept(
        request.genesis.hex(), request.key, request.modulus.hex(), request.nullifier.seed.hex(), request.blinded.hex(),
        f"{request.secret:x}",
    )  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(kept)) + b"\n"


def kept(data: bytes) -> Request:
    """Return a request as `keep` has written it.

    Raises:
        NoRequest: it is none.
    """
    try:
        found = msgspec.json.decode(data, type=_Kept)
        genesis, modulus, seed, blinded = (
            bytes.fromhex(text) for text in (found.genesis, found.modulus, found.nullifier, found.blinded)
        )
        return Request(Hash32(genesis), found.key, modulus, Pair(seed), blinded, int(found.secret, 16))
    except (msgspec.MsgspecError, ValueError, Rejected) as error:
        raise NoRequest(f"no request for a credential: {error}") from None
