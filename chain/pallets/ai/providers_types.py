"""SCALE types of Providers."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final

from aitoken.codec.hints import Bytes32, MaxLen, TypeName, u8, u16, u32, u64
from aitoken.codec.records import Record, Union, plain_enum, record
from aitoken.pay.book import Book
from aitoken.types import AccountId, Balance, Moment
from chain.pallets.session import Ed25519Public

ENDPOINT_MAX: Final = 128
MODEL_MAX: Final = 96
TAGS_MAX: Final = 8
CHUNKS_MAX: Final = 8
"""Most parts of a bond that are on their way out at once."""
FORMER_KEYS_MAX: Final = 8
"""Most operator keys that are remembered, because what they signed can still be proved."""
SERVICES_A_BOOK: Final = 16
BOOKS_MAX: Final = 64
"""Most books of a provider at once: in force, announced, or bound by a session."""

ProviderId = Annotated[int, u64, TypeName("ProviderId")]
ServiceId = Annotated[int, u64, TypeName("ServiceId")]
Version = Annotated[int, u32, TypeName("BookVersion")]
Endpoint = Annotated[bytes, MaxLen(ENDPOINT_MAX), TypeName("BoundedVec<u8, MaxEndpoint>")]
Model = Annotated[bytes, MaxLen(MODEL_MAX), TypeName("BoundedVec<u8, MaxModel>")]


@plain_enum("pallet_providers::pallet::HoldReason")
class ProvidersHoldReason(IntEnum):
    """Why Providers holds money."""

    Bond = 0
    Deposit = 1


@record("pallet_providers::Chunk")
class Chunk(Record):
    """A part of a bond on its way out; it can be slashed until it is taken."""

    amount: Balance
    free_at: Moment


@record("pallet_providers::FormerKey")
class FormerKey(Record):
    """An operator key that signs no more, and since when."""

    key: Ed25519Public
    until: Moment


@record("pallet_providers::Provider")
class Provider(Record):
    """Who sells.

    Attributes:
        owner: decides everything and has bond and deposits held in its account.
        operator: signs receipts, offers and closings, and may send the daily calls.
        payout: where the money goes.
        next_payout: where it goes from then on.
        endpoint: where its gateway is, a URL.
        bond: what slashes are taken from first.
        unbonding: parts of the bond on their way out, oldest first.
        paused: whether it takes no new sessions.
        books: how many versions were published.
        live_books, services, sessions: how many are stored.
    """

    owner: AccountId
    operator: Ed25519Public
    payout: AccountId
    next_payout: tuple[AccountId, Moment] | None
    endpoint: Endpoint
    bond: Balance
    unbonding: Annotated[list[Chunk], MaxLen(CHUNKS_MAX), TypeName("BoundedVec<Chunk>")]
    former_keys: Annotated[list[FormerKey], MaxLen(FORMER_KEYS_MAX), TypeName("BoundedVec<FormerKey>")]
    paused: bool
    deposit: Balance
    books: u32
    live_books: u32
    services: u32
    sessions: u32


@record("pallet_providers::ProviderPatch")
class ProviderPatch(Record):
    """What changes about a provider; None stays."""

    operator: Bytes32 | None
    payout: AccountId | None
    endpoint: Annotated[bytes | None, TypeName("Option<BoundedVec<u8, MaxEndpoint>>")]
    paused: bool | None


@plain_enum("pallet_providers::ServiceKind")
class ServiceKind(IntEnum):
    """What a service does."""

    Chat = 0
    Completion = 1
    Embedding = 2
    Image = 3
    Speech = 4
    Transcription = 5
    Video = 6
    Moderation = 7
    Rerank = 8
    Training = 9
    Labelling = 10
    Compute = 11
    Storage = 12
    Tool = 13
    Other = 14


@record("pallet_providers::ServicePolicy")
class ServicePolicy(Record):
    """Terms of a service as codes.

    Attributes:
        refund: 0 none, 1 undelivered, 2 on complaint, 3 any within the filing time.
        retention: 0 nothing is kept, 1 for the request, 2 for days, 3 for months, 4 used for training.
        region: ISO 3166 number of where it runs; 0 anywhere.
        latency: 0 none promised, 1 below 1 s to the first unit, 2 below 5 s, 3 batch.
    """

    refund: u8
    retention: u8
    region: u16
    latency: u8


@record("pallet_providers::ServiceTerms")
class ServiceTerms(Record):
    """What is offered: its kind, the model as `name@revision`, numbers for search, and the terms."""

    kind: ServiceKind
    model: Model
    tags: Annotated[list[u16], MaxLen(TAGS_MAX), TypeName("BoundedVec<u16, MaxTags>")]
    policy: ServicePolicy


@record("pallet_providers::Service")
class Service(Record):
    """A service of a provider: its terms, the version of its price book, the next version and from when that counts."""

    provider: ProviderId
    terms: ServiceTerms
    book: Version
    next_book: Annotated[tuple[u32, Moment] | None, TypeName("Option<(BookVersion, Moment)>")]
    retires: Moment | None
    deposit: Balance


@record("pallet_providers::PublishedBook")
class PublishedBook(Record):
    """A price book as published: it never changes.

    Attributes:
        book: the prices.
        effective_from: from when it counts.
        services: for which services it was published.
        sessions: how many sessions are bound to it.
    """

    book: Book
    effective_from: Moment
    services: Annotated[list[u64], MaxLen(SERVICES_A_BOOK), TypeName("BoundedVec<ServiceId>")]
    sessions: u32
    deposit: Balance


class Retired(Union, path="pallet_providers::Retired"):
    """What is taken out of the registry."""


class RetiredService(Retired, index=0, name="Service", unnamed=True):
    """A service."""

    service: ServiceId


class RetiredBook(Retired, index=1, name="Book", unnamed=True):
    """A book nobody is bound to any more."""

    provider: ProviderId
    version: Version


class RetiredProvider(Retired, index=2, name="Provider", unnamed=True):
    """A provider without services, books, sessions and bond."""

    provider: ProviderId


@record("pallet_providers::ProviderStats")
class ProviderStats(Record):
    """What the chain saw of a provider.

    Attributes:
        sessions: how many were opened with it.
        settled: what it was paid by sessions.
        unacked: how much of that was claimed without the payer's countersignature.
        slashes: how often it was slashed.
        slashed: how much of its bond that took.
        refunded: what it gave back.
    """

    sessions: u64
    settled: Balance
    unacked: Balance
    slashes: u32
    slashed: Balance
    refunded: Balance
