"""The chain, asked through a node's JSON-RPC: sessions, rates, claims, and whether it agrees with the price file.

Everything is read from final blocks. When the connection breaks it is opened again, and whoever follows the sessions is
told that any of them may have changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Self

from aitoken.client.answers import Head
from aitoken.client.client import Client
from aitoken.client.dynamic import account_of
from aitoken.crypto.ed25519 import Pair
from aitoken.errors import Rejected, Unavailable
from aitoken.pay.book import BOOK, IN_ASSET
from aitoken.types import AccountId, Balance, Hash32, Moment
from gateway.catalogue import Catalogue
from gateway.node_account import NodeAccount
from gateway.ports import ClaimItem, PassFacts, RateLock, SessionFacts

log = logging.getLogger(__name__)

RECONNECT_S: Final = 1.0
RATE_EVERY_S: Final = 2.0
RATE_AGE_S: Final = 60.0
"""A rate that could not be asked for again is not used any longer than this."""

CLAIM_S: Final = 120
CAUGHT_UP: Final = 64
"""So many missed blocks are looked at one by one; beyond, all sessions are read again."""


class ChainDisagrees(Rejected):
    """The chain knows the provider, its operator key or its books otherwise than this gateway."""

    code = "gateway.chain_disagrees"


class NodeChain(NodeAccount):
    """A provider's side of the chain; the account is its operator's."""

    def __init__(self, url: str, client: Client, catalogue: Catalogue, operator: Pair) -> None:
        super().__init__(url, client, operator)
        self._catalogue = catalogue
        self._rates: dict[int, tuple[int | None, float]] = {}

    @classmethod
    async def connect(cls, url: str, catalogue: Catalogue, operator: Pair) -> Self:
        """Connect to a node, and make sure that the chain and this gateway agree.

        Raises:
            Unavailable: no node answers.
            ChainDisagrees: they do not.
        """
        client = await Client.connect(url)
        chain = cls(url, client, catalogue, operator)
        try:
            await chain._check(client)
            await chain._read_rates(client)
        except BaseException:
            await client.close()
            raise
        return chain

    async def _check(self, client: Client) -> None:
        number = self._catalogue.provider
        provider = await client.query("Providers", "Providers", number)
        if provider is None:
            raise ChainDisagrees(f"the chain has no provider {number}")
        if _bytes(provider["operator"]) != self.signer.public:
            raise ChainDisagrees(f"provider {number} has another operator key")
        for edition in self._catalogue.editions.values():
            key = client.chain.storage_key("Providers", "Books", number, edition.version)
            raw = await client.request("state_getStorage", ["0x" + key.hex()])
            if raw is None or not bytes.fromhex(str(raw)[2:]).startswith(BOOK.encode(edition.book)):
                raise ChainDisagrees(f"book {edition.version} is not on chain as the price file has it")
        for model in self._catalogue.models.values():
            service = await client.query("Providers", "Services", model.service)
            if service is None or service["provider"] != number:
                raise ChainDisagrees(f"service {model.service} of model {model.name!r} is not this provider's")

    # ------------------------------------------------------------------------------------------- reading

    async def session(self, session: Hash32) -> SessionFacts | None:
        """Return what the chain knows of a session with this provider."""
        async with self.asking() as client:
            head = await client.request("chain_getFinalizedHead")
            found = await client.query("Sessions", "Sessions", session, at=head)
            passes = await self._passes(client, found)
        if found is None or found["provider"] != self._catalogue.provider:
            return None
        return facts_of(session, found, passes)

    async def _passes(self, client: Client, found: Mapping[str, Any] | None) -> tuple[PassFacts, ...]:
        """What the payer of a session may do by its plans with this provider."""
        if found is None or "PlansApi" not in client.chain.metadata.apis:
            return ()
        told = await client.runtime_call("PlansApi", "passes_of", found["payer"], self._catalogue.provider)
        return tuple(pass_of(one) for one in told)

    async def changes(self) -> AsyncIterator[Hash32 | None]:
        """Go through sessions that changed; None where any may have."""
        last: Head | None = None
        while True:
            try:
                client = await self._open()
                async for head in client.subscribe_heads(final=True):
                    if last is None or not 0 < head.number - last.number <= CAUGHT_UP:
                        yield None
                    else:
                        for number in range(last.number + 1, head.number + 1):
                            for session in await _changed_in(client, number):
                                yield session
                    last = head
                    await self._read_rates(client)
            except (Unavailable, Rejected) as error:
                await self._down(error)
            log.warning("the node is asked again", extra={"url": self._url})
            last = None
            await asyncio.sleep(RECONNECT_S)

    def rate(self, currency: int) -> int | None:
        """Return base units per whole of a currency, as the chain has it now."""
        rate, at = self._rates.get(currency, (None, 0.0))
        return rate if time.monotonic() - at < RATE_AGE_S else None

    async def _read_rates(self, client: Client) -> None:
        for edition in self._catalogue.editions.values():
            currency = edition.book.currency
            at = self._rates.get(currency, (None, -RATE_EVERY_S))[1]
            if currency != IN_ASSET and time.monotonic() - at >= RATE_EVERY_S:
                found = await client.runtime_call("OracleApi", "current_rate", currency)
                self._rates[currency] = (None if found is None else int(found["rate"]), time.monotonic())

    # ------------------------------------------------------------------------------------------- claiming

    async def claim(self, items: Sequence[ClaimItem]) -> Sequence[bool]:
        """Submit claims in one transaction and wait until it is final."""
        async with self.sending, self.asking() as client:
            call = client.call("Sessions", "claim", claims=claims_of(items))
            receipt = await client.submit(call, self.signer, wait="final", timeout_seconds=CLAIM_S)
        if not receipt.success:
            log.error("a transaction with claims failed", extra={"problem": receipt.error})
            return [False] * len(items)
        accepted: set[tuple[bytes, int]] = set()
        for event in receipt.events:
            place = (_bytes(event.fields["session"]), event.fields["lane"]) if _is_about_claim(event) else None
            if place is not None and event.name == "Claimed":
                accepted.add(place)
            elif place is not None:
                problem = event.fields["problem"]
                log.warning("the chain refused a claim", extra={"lane": place[1], "problem": str(problem)})
        return [(bytes(item.claim.voucher.session_id), item.claim.voucher.lane) in accepted for item in items]

    async def end(self, sessions: Sequence[Hash32]) -> Sequence[bool]:
        """End sessions at once, as their provider."""
        async with self.sending, self.asking() as client:
            calls = [client.call("Sessions", "close", session=session, agreement=None) for session in sessions]
            whole = client.call("Utility", "force_batch", calls=calls)
            receipt = await client.submit(whole, self.signer, wait="final", timeout_seconds=CLAIM_S)
            found = [event for event in receipt.events if (event.pallet, event.name) == ("Sessions", "Closed")]
            closed = {_bytes(event.fields["session"]) for event in found}
            return [bytes(session) in closed or await self._is_over(client, session) for session in sessions]

    async def is_over(self, session: Hash32) -> bool:
        """Whether a session has ended."""
        async with self.asking() as client:
            return await self._is_over(client, session)

    async def _is_over(self, client: Client, session: Hash32) -> bool:
        found = await client.query("Sessions", "Sessions", session)
        return found is None or "Closed" in found["state"]


def pass_of(told: Mapping[str, Any]) -> PassFacts:
    """Return what the gateway needs of a pass as the chain tells it."""
    granted = told["entitlements"]
    return PassFacts(
        subscription=int(told["subscription"]),
        period=int(told["period"]),
        ends=Moment(int(told["ends"])),
        models=frozenset(Hash32(_bytes(name)) for name in granted["models"]),
        tier=int(granted["tier"]),
        queue=int(granted["queue"]),
        included={int(unit): int(quantity) for unit, quantity in told["included"]},
        used={int(unit): int(quantity) for unit, quantity in told["used"]},
    )


def facts_of(session: Hash32, found: Mapping[str, Any], passes: tuple[PassFacts, ...]) -> SessionFacts:
    """Return what the gateway needs of a session as the chain stores it."""
    frozen = found["key"] is None
    former = found["former_key"]
    key = found["key"] if not frozen else (former["key"] if former is not None else bytes(32))
    locks = found["locks"]
    lock = RateLock(int(locks[-1]["rate"]), Moment(int(locks[-1]["until"]))) if locks else None
    return SessionFacts(
        id=session,
        payer=AccountId(account_of(found["payer"])),
        key=_bytes(key),
        book_version=int(found["book_version"]),
        deposit=Balance(int(found["deposit"])),
        max_lanes=int(found["max_lanes"]),
        closing=frozen or found["state"] != "Open",
        frozen=frozen,
        rate_lock=lock,
        passes=passes,
    )


def claims_of(items: Sequence[ClaimItem]) -> list[dict[str, Any]]:
    """Return claims as the argument of `Sessions.claim`, those of a session together."""
    by_session: dict[bytes, list[dict[str, Any]]] = {}
    for item in items:
        voucher = item.claim.voucher
        end: Any = "Acked"
        if item.claim.receipt_hash is not None:
            end = {"Tail": {"total": item.claim.total, "receipt_hash": item.claim.receipt_hash}}
        by_session.setdefault(bytes(voucher.session_id), []).append(
            {
                "lane": voucher.lane, "flags": voucher.flags, "seq": voucher.seq, "acked": voucher.acked,
                "ceiling": voucher.ceiling, "valid_until": voucher.valid_until, "ack": voucher.ack,
                "signature": item.voucher.signature, "end": end,
            }
        )  # fmt: skip
    return [{"session": session, "items": claims} for session, claims in by_session.items()]


async def _changed_in(client: Client, number: int) -> list[Hash32]:
    block = await client.request("chain_getBlockHash", [number])
    found: dict[Hash32, None] = {}
    for event in await client.events(str(block)):
        if event.pallet == "Sessions" and isinstance(event.fields, dict) and "session" in event.fields:
            found[Hash32(_bytes(event.fields["session"]))] = None
    return list(found)


def _is_about_claim(event: Any) -> bool:
    return event.pallet == "Sessions" and event.name in ("Claimed", "ClaimRefused")


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value[2:]) if isinstance(value, str) else bytes(value)
