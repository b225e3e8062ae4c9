"""What a buyer needs of the chain: providers, prices, rates, and the few transactions a session takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aitoken.client.client import Client
from aitoken.client.pay.errors import GatewayRefused, WrongGateway
from aitoken.crypto.signature import Signer
from aitoken.pay.book import BOOK
from aitoken.pay.layouts import OpenParams
from aitoken.types import AccountId, Balance, BlockNumber, Hash32

REFUSED: Final = 403


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A provider as the chain has it."""

    number: int
    operator: bytes
    endpoint: str


@dataclass(frozen=True, slots=True)
class SpendKey:
    """By which grant a key spends whose money."""

    owner: AccountId
    grant: int


@dataclass(frozen=True, slots=True)
class OnChain:
    """A session as the chain has it: what was put down, what was claimed, whether it is open."""

    deposit: Balance
    claimed: Balance
    open: bool


class Ledger(Protocol):
    """The chain, as a buyer sees it."""

    genesis: Hash32
    payer: AccountId

    async def provider(self, number: int) -> ProviderFacts:
        """A provider."""

    async def book(self, provider: int, version: int) -> bytes:
        """The SCALE form of a book."""

    async def rate(self, currency: int) -> int | None:
        """Base units per whole of a currency now."""

    async def limits(self) -> tuple[BlockNumber, int, int]:
        """The final block's number, the least grace and the longest life, in blocks."""

    async def session(self, session: Hash32) -> OnChain | None:
        """A session."""

    async def open(self, params: OpenParams, deposit: Balance) -> None:
        """Open a session; final when it returns."""

    async def top_up(self, session: Hash32, amount: Balance) -> None:
        """Add to a session; final when it returns."""

    async def close(self, session: Hash32, agreement: Mapping[str, Any] | None) -> None:
        """Close a session; final when it returns."""


class NodeLedger:
    """The chain through a node.

    Attributes:
        genesis: names the chain.
        payer: whose money is spent: the pair's, or that of the grant's owner.
    """

    def __init__(self, client: Client, pair: Signer, grant: SpendKey | None = None) -> None:
        self._client = client
        self._pair = pair
        self._grant = grant
        self.genesis = Hash32(client.chain.genesis_hash)
        self.payer = AccountId(bytes(pair.public)) if grant is None else grant.owner

    async def provider(self, number: int) -> ProviderFacts:
        """Return a provider."""
        found = await self._client.query("Providers", "Providers", number)
        if found is None:
            raise WrongGateway(f"the chain has no provider {number}")
        return ProviderFacts(number, _bytes(found["operator"]), _bytes(found["endpoint"]).decode("utf-8", "replace"))

    async def book(self, provider: int, version: int) -> bytes:
        """Return a book as the chain has it."""
        key = self._client.chain.storage_key("Providers", "Books", provider, version)
        raw = await self._client.request("state_getStorage", ["0x" + key.hex()])
        if raw is None:
            raise WrongGateway(f"the chain has no book {version} of provider {provider}")
        data = bytes.fromhex(str(raw)[2:])
        _, end = BOOK.read(data, 0)
        return data[:end]

    async def rate(self, currency: int) -> int | None:
        """Return the chain's rate."""
        found = await self._client.runtime_call("OracleApi", "current_rate", currency)
        return None if found is None else int(found["rate"])

    async def limits(self) -> tuple[BlockNumber, int, int]:
        """Return what a new session is measured by."""
        head = await self._client.head()
        least, life = (int(self._client.constant("Sessions", name)) for name in ("MinGrace", "MaxLife"))
        return BlockNumber(head.number), least, life

    async def session(self, session: Hash32) -> OnChain | None:
        """Return a session as of the last final block."""
        head = await self._client.request("chain_getFinalizedHead")
        found = await self._client.query("Sessions", "Sessions", session, at=head)
        if found is None:
            return None
        usable = found["state"] == "Open" and found["key"] is not None
        return OnChain(Balance(int(found["deposit"])), Balance(int(found["claimed"])), usable)

    async def open(self, params: OpenParams, deposit: Balance) -> None:
        """Open a session."""
        fields = {name: getattr(params, name) for name in type(params).scale_fields}
        await self._do("open", params=fields, deposit=deposit)

    async def top_up(self, session: Hash32, amount: Balance) -> None:
        """Add to a session."""
        await self._do("top_up", session=session, amount=amount)

    async def close(self, session: Hash32, agreement: Mapping[str, Any] | None) -> None:
        """Close a session; by a spend key after its grace, since it may not agree to anything."""
        await self._do("close", session=session, agreement=agreement if self._grant is None else None)

    async def _do(self, name: str, **arguments: Any) -> None:
        call = self._client.call("Sessions", name, **arguments)
        if self._grant is not None:
            call = self._client.call("Allowances", "spend", owner=self._grant.owner, grant=self._grant.grant, call=call)
        receipt = await self._client.submit(call, self._pair, wait="final")
        if not receipt.success:
            raise GatewayRefused(f"the chain refused to {name} the session: {receipt.error}", REFUSED, "chain.refused")


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)
