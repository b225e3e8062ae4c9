"""The answer to who has not paid, or not right: a problem document and the same offer in three languages at once.

    body                   `application/problem+json` (RFC 9457): what is wrong, and what would be right
    AI-Payment-Required    ours: base64url of JSON with provider, operator key, chain, prices, and what the body says
    WWW-Authenticate       "Payment" scheme (MPP): method `aitoken`, intent `session`, request in base64url
    PAYMENT-REQUIRED       x402 version 2: base64 of JSON, on `polkadot:<genesis>`; see `gateway.x402`

All three are paid with the same voucher; a client that knows one of them needs nothing of the others. x402 may pay a
request with an authorisation instead.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from aitoken.pay.headers import REQUIRED
from aitoken.types import AccountId, Hash32
from gateway import x402
from gateway.catalogue import Catalogue
from gateway.refusals import Refusal, code_of, status_of

METHOD: Final = "aitoken"


class Challenges:
    """Writes what is asked of a client.

    Attributes:
        network: the chain as x402 names it.
    """

    def __init__(self, catalogue: Catalogue, genesis: Hash32, operator: bytes, payee: AccountId | None = None) -> None:
        self._catalogue = catalogue
        self.network = f"polkadot:{genesis.hex()[:32]}"
        self._provider = {
            "provider": catalogue.provider,
            "operator": operator.hex(),
            "genesis": genesis.hex(),
            "network": self.network,
            "details": "/.well-known/aitp",
        }
        self._terms = x402.Terms(self.network, x402.ASSET, f"0x{(payee or operator).hex()}")

    def headers(self, refusal: Refusal, url: str, model: str) -> dict[str, str]:
        """Return the three challenges for a refusal."""
        wanted = {**self._wanted(model), **_plain(refusal.extra)}
        single = str(wanted.pop("single", ""))
        needed = str(wanted.get("needed", "0"))
        required = {
            "x402Version": x402.VERSION,
            "error": code_of(refusal),
            "resource": {"url": url, "description": f"AI by the unit: {model}", "mimeType": "application/json"},
            "accepts": x402.offers(self._terms, needed, single, {**self._provider, **wanted}),
        }
        place = {name: self._provider[name] for name in ("provider", "operator", "network")}
        mpp = _url64({"recipient": self._terms.pay_to, "currency": x402.ASSET, **place, **wanted})
        identity = code_of(refusal).replace(".", "-")
        return {
            REQUIRED: _url64({**self._provider, "code": code_of(refusal), **wanted}),
            x402.REQUIRED: x402.encode(required),
            "WWW-Authenticate": (
                f'Payment id="{identity}", realm="aitp", method="{METHOD}", intent="session", request="{mpp}"'
            ),
        }

    def problem(self, refusal: Refusal) -> bytes:
        """Return the problem document of a refusal."""
        code = code_of(refusal)
        return _json(
            {
                "type": f"urn:aitoken:problem:{code}",
                "title": (type(refusal).__doc__ or code).partition("\n")[0],
                "status": status_of(refusal),
                "detail": str(refusal),
                "code": code,
                **_plain(refusal.extra),
                "aitp": self._provider,
            }
        )

    def _wanted(self, model: str) -> dict[str, Any]:
        sold = self._catalogue.models.get(model)
        if sold is None:
            return {}
        return {"service": sold.service, "book_version": sold.books[-1]}


def openai_error(refusal: Refusal) -> bytes:
    """Return a refusal that has nothing to do with payment, as OpenAI's clients read it."""
    code = code_of(refusal)
    kind = "invalid_request_error" if status_of(refusal) < 500 else "server_error"
    return _json({"error": {"message": str(refusal), "type": kind, "code": code, **_plain(refusal.extra)}})


def _plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if value is not None}


def _json(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _url64(value: object) -> str:
    return base64.urlsafe_b64encode(_json(value)).rstrip(b"=").decode("ascii")
