"""How a seller comes to be on chain: what a price file describes is registered, and the chain's numbers go into it.

A price file names its provider, books and models' services by the numbers the chain gave them. Until it has, any
numbers do: what the chain does not know yet is published, and the numbers in the file are replaced by the chain's.
What it does know has to be the same there. So a file can be published again after a model or a book was added to it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from aitoken.codec.records import Record
from aitoken.errors import Rejected
from aitoken.pay.book import BOOK
from cli.exits import BadInput
from gateway.catalogue import BadPrices, Catalogue, Model, catalogue_of

if TYPE_CHECKING:
    from aitoken.crypto.derive import Pair
    from cli.session import Client

KIND_OF: Final = {
    "chat": "Chat", "responses": "Chat", "messages": "Chat", "completions": "Completion", "embeddings": "Embedding",
    "images": "Image", "speech": "Speech", "moderations": "Moderation",
}  # fmt: skip
"""What the chain calls a service of each of the gateway's kinds."""

NUMBER: Final = re.compile(r"^(\s*)(provider|version|service|books)(\s*=\s*)([^#]*?)(\s*(?:#.*)?)$")
TABLE: Final = re.compile(r"^\s*\[\[?\s*([\w.]+)\s*\]\]?")


class NotPublished(Rejected):
    """The chain refused a part of what was to be published; what came before it is there."""

    code = "selling.refused"


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells, beside the price file.

    Attributes:
        operator: the gateway's ed25519 public key.
        payout: where the money goes.
        endpoint: the gateway's URL.
        bond: what a lie would cost; None is the least.
        fund: the operator's account is filled up to this, for the fees of claims.
    """

    operator: bytes
    payout: bytes
    endpoint: str
    bond: int | None
    fund: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The chain's numbers: of the provider, of versions by those in the file, of services by model."""

    provider: int
    versions: Mapping[int, int]
    services: Mapping[str, int]


async def publish(
    client: Client, owner: Pair, text: str, seller: Seller, effective_from: int = 0
) -> tuple[Numbers, str]:
    """Publish what of a price file the chain does not know; return the chain's numbers, and the file with them.

    Args:
        client: a node.
        owner: who owns the provider and pays.
        text: the price file.
        seller: who sells; a provider that is there already stays as it is.
        effective_from: from when new books count, Unix milliseconds; 0 for now.

    Raises:
        BadPrices: the file is wrong.
        BadInput: the chain knows something in it otherwise.
        NotPublished: the chain refuses something.
    """
    data = parsed(text)
    catalogue = catalogue_of(data)
    provider = await _provider(client, owner, catalogue.provider, seller)
    if provider != catalogue.provider:
        catalogue = replace(catalogue, provider=provider)
    await _fund(client, owner, seller)
    services = await _services(client, owner, catalogue, _revisions(data))
    versions = await _versions(client, owner, catalogue, services, effective_from)
    numbers = Numbers(provider, versions, services)
    return numbers, renumbered(text, numbers)


def parsed(text: str) -> dict[str, Any]:
    """Return what a price file says.

    Raises:
        BadPrices: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadPrices(str(error)) from None


async def do(client: Client, pair: Pair, pallet: str, name: str, **arguments: Any) -> dict[str, Any]:
    """Submit a call, see that it worked, and return the fields of its events by name."""
    receipt = await client.submit(client.call(pallet, name, **arguments), pair, wait="final")
    if not receipt.success:
        raise NotPublished(f"{pallet}.{name}: {receipt.error}" + (f": {receipt.reason}" if receipt.reason else ""))
    return {event.name: event.fields for event in receipt.events}


async def _provider(client: Client, owner: Pair, number: int, seller: Seller) -> int:
    if number:
        found = await client.query("Providers", "Providers", number)
        if found is not None and client.chain.account_id(found["owner"]) == owner.public:
            return number
        raise BadInput(f"provider {number} is not yours; `provider = 0` in the file registers one")
    bond = client.constant("Providers", "MinBond") if seller.bond is None else seller.bond
    told = await do(
        client, owner, "Providers", "register", operator=seller.operator, payout=seller.payout,
        endpoint=seller.endpoint.encode(), bond=bond,
    )  # fmt: skip
    return int(told["ProviderRegistered"]["provider"])


async def _fund(client: Client, owner: Pair, seller: Seller) -> None:
    account = await client.query("System", "Account", seller.operator)
    missing = seller.fund - int(account["data"]["free"])
    if missing > 0:
        await do(client, owner, "Balances", "transfer_keep_alive", dest=seller.operator, value=missing)


async def _services(client: Client, owner: Pair, catalogue: Catalogue, revisions: Mapping[str, str]) -> dict[str, int]:
    services = {}
    for model in catalogue.models.values():
        found = await client.query("Providers", "Services", model.service) if model.service else None
        if found is not None and int(found["provider"]) == catalogue.provider:
            services[model.name] = model.service
            continue
        terms = _terms(model, revisions[model.name])
        told = await do(
            client, owner, "Providers", "publish_service", provider=catalogue.provider, service=None, terms=terms
        )
        services[model.name] = int(told["ServicePublished"]["service"])
    return services


def _terms(model: Model, revision: str) -> dict[str, Any]:
    kinds = [KIND_OF[kind] for kind in KIND_OF if kind in model.kinds]
    policy = {"refund": 1, "retention": 0, "region": 0, "latency": 0}
    return {"kind": kinds[0], "model": f"{model.name}@{revision}".encode(), "tags": [], "policy": policy}


def _revisions(data: Mapping[str, Any]) -> dict[str, str]:
    return {model["name"]: model.get("revision", "1") for model in data["model"]}


async def _versions(
    client: Client, owner: Pair, catalogue: Catalogue, services: Mapping[str, int], effective_from: int
) -> dict[int, int]:
    versions = {}
    for version, edition in catalogue.editions.items():
        stored = await _stored_book(client, catalogue.provider, version)
        if stored is not None:
            if not stored.startswith(BOOK.encode(edition.book)):
                raise BadInput(f"book {version} is on chain and never changes: give the new prices another number")
            versions[version] = version
            continue
        sold = sorted(services[model.name] for model in catalogue.models.values() if version in model.books)
        told = await do(
            client, owner, "Providers", "publish_book", provider=catalogue.provider, services=sold,
            book=plain(edition.book), effective_from=effective_from,
        )  # fmt: skip
        versions[version] = int(told["BookPublished"]["version"])
    return versions


async def _stored_book(client: Client, provider: int, version: int) -> bytes | None:
    key = client.chain.storage_key("Providers", "Books", provider, version)
    raw = await client.request("state_getStorage", ["0x" + key.hex()])
    return None if raw is None else bytes.fromhex(str(raw)[2:])


def plain(told: Any) -> Any:
    """Return a record as the client takes arguments: fields by name."""
    if isinstance(told, Record):
        return {name: plain(getattr(told, name)) for name in type(told).scale_fields}
    if isinstance(told, list | tuple):
        return [plain(each) for each in told]
    return told


def renumbered(text: str, numbers: Numbers) -> str:
    """Return a price file with the chain's numbers in it; nothing else changes.

    Raises:
        BadInput: the file is written so that its numbers cannot be found line by line.
    """
    data = parsed(text)
    models = [model["name"] for model in data["model"]]
    books = [book["version"] for book in data["book"]]
    place, seen, lines = "", {"book": -1, "model": -1}, []
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        if (table := TABLE.match(body)) is not None:
            place = table[1]
            if place in seen and body.lstrip().startswith("[["):
                seen[place] += 1
        found = NUMBER.match(body)
        if found is not None:
            value = _number(place, found[2], found[4], seen, models, books, numbers)
            body = found[1] + found[2] + found[3] + value + found[5]
        lines.append(body + line[len(line.rstrip("\r\n")) :])
    written = "".join(lines)
    data["provider"] = numbers.provider
    for book in data["book"]:
        book["version"] = numbers.versions[book["version"]]
    for model in data["model"]:
        model["service"] = numbers.services[model["name"]]
        model["books"] = [numbers.versions[version] for version in model["books"]]
    if parsed(written) != data:
        raise BadInput(f"everything is published, but write the numbers into the file yourself: {numbers}")
    return written


def _number(
    place: str, name: str, value: str, seen: Mapping[str, int], models: list[str], books: list[int], numbers: Numbers
) -> str:
    """Return the value of one line of the file, with the chain's number if it is one of those."""
    if (place, name) == ("", "provider"):
        return str(numbers.provider)
    if (place, name) == ("book", "version"):
        return str(numbers.versions[books[seen["book"]]])
    if (place, name) == ("model", "service"):
        return str(numbers.services[models[seen["model"]]])
    if (place, name) == ("model", "books"):
        return re.sub(r"\d+", lambda found: str(numbers.versions[int(found[0])]), value)
    return value
