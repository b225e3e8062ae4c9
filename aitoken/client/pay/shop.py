"""A gateway as a buyer sees it: what it says it sells, and what it knows of one's session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import msgspec

from aitoken.client.pay.errors import GatewayDown, GatewayRefused, NotSold, WrongGateway
from aitoken.pay.errors import BadLayout
from aitoken.pay.headers import VOUCHER, decode_signed, encode_signed
from aitoken.pay.seller import Signed

ROOT: Final = "/.well-known/aitp"
CONTROL_BYTES_MAX: Final = 8 << 20
CONTROL_S: Final = 20


class Offered(msgspec.Struct):
    """A model as a gateway says it sells it."""

    name: str
    service: int
    book_versions: list[int]
    kinds: list[str] = []


class _Book(msgspec.Struct):
    version: int
    scale: str


class About(msgspec.Struct):
    """What a gateway says of itself."""

    provider: int
    operator: str
    genesis: str
    models: list[Offered]
    books: list[_Book]

    def model(self, name: str) -> Offered:
        """Return a model.

        Raises:
            NotSold: it is not sold here.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise NotSold(f"no model {name[:80]!r} is sold by provider {self.provider}")


class Shop:
    """One gateway.

    Attributes:
        url: where it is, without a slash at the end.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self.http = http
        self._about: About | None = None

    async def about(self, *, again: bool = False) -> About:
        """Return what it says of itself, asked once unless `again`.

        Raises:
            GatewayDown: it does not answer.
            WrongGateway: the answer is no gateway's.
        """
        if self._about is None or again:
            raw = await self._control("GET", "")
            try:
                self._about = msgspec.json.decode(raw, type=About)
            except msgspec.DecodeError as error:
                raise WrongGateway(f"{self.url} is no gateway: {error}") from None
        return self._about

    async def quote(self, path: str, body: bytes) -> Mapping[str, Any]:
        """Return what a request may cost at most, as the gateway signs it."""
        wanted = msgspec.json.encode({"path": path, "body": body.decode()})
        told: Mapping[str, Any] = msgspec.json.decode(await self._control("POST", "/quote", body=wanted))
        return told

    async def acknowledge(self, voucher: Signed) -> None:
        """Countersign."""
        await self._control("POST", "/voucher", voucher)

    async def end(self, voucher: Signed) -> Signed:
        """Have the gateway serve no more of the voucher's session, and sign what it comes to."""
        told = msgspec.json.decode(await self._control("POST", "/close", voucher))
        signed = _signed(told.get("closing"))
        if signed is None:
            raise GatewayDown("the gateway's closing statement is missing")
        return signed

    async def receipts(self, voucher: Signed, lane: int, after: int) -> list[Signed]:
        """Return a page of a lane's receipts with numbers above `after`."""
        told = msgspec.json.decode(await self._control("GET", f"/receipts?lane={lane}&after={after}", voucher))
        return [signed for text in told["receipts"] if (signed := _signed(text)) is not None]

    async def _control(self, method: str, path: str, voucher: Signed | None = None, body: bytes = b"") -> bytes:
        headers = {"Content-Type": "application/json"} if body else {}
        if voucher is not None:
            headers[VOUCHER] = encode_signed(voucher.statement, voucher.signature)
        timeout = aiohttp.ClientTimeout(total=CONTROL_S)
        try:
            async with self.http.request(
                method, f"{self.url}{ROOT}{path}", headers=headers, data=body or None, timeout=timeout,
                allow_redirects=False,
            ) as response:  # fmt: skip
                raw = await read_bounded(response, CONTROL_BYTES_MAX)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayDown(f"no gateway answers at {self.url}: {error}") from error
        if response.status != 200:
            raise refusal_of(response.status, raw)
        return raw


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read a whole body of bounded size.

    Raises:
        GatewayDown: it is longer.
    """
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > most:
            raise GatewayDown(f"the gateway's answer is longer than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def refusal_of(status: int, body: bytes) -> GatewayRefused:
    """Return a gateway's refusal in its own words."""
    problem = problem_of(body)
    reason = str(problem.get("code", "gateway.refused"))
    return GatewayRefused(str(problem.get("detail", f"the gateway answered with status {status}")), status, reason)


def problem_of(body: bytes) -> Mapping[str, Any]:
    """Return the fields of a problem document, or of an error as OpenAI's clients read it; {} where it is neither."""
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    if not isinstance(told, dict):
        return {}
    error = told.get("error")
    if isinstance(error, dict):
        return {**error, "detail": error.get("message", "")}
    return told


def _signed(text: Any) -> Signed | None:
    if not isinstance(text, str):
        return None
    try:
        return Signed(*decode_signed(text))
    except BadLayout as error:
        raise GatewayDown(f"the gateway's receipt cannot be read: {error}") from None
