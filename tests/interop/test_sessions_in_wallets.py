"""Wallets' libraries read calls and storage of oracle, providers and sessions from the metadata alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from aitoken.pay.book import Price
from aitoken.types import AIT, Balance, BlockNumber
from chain.frame.types import Sr25519Signature
from chain.pallets.ai import providers_types as p
from chain.pallets.ai import sessions_types as t
from tests.interop.test_wallet_libraries import CLIENT_SECONDS, javascript, run
from tests.support.pay_chain import USD, PayChain, account, book, terms
from tests.support.pay_session import PaySession

pytestmark = [pytest.mark.interop, pytest.mark.slow]

__all__ = ["javascript"]


def given(chain: PayChain, session: PaySession) -> dict[str, Any]:
    """Every call with each of its alternatives, and what is stored in the middle of a session's life."""
    receipt, offer = session.signed(session.receipt(0, 1, AIT)), session.offer()
    tail = t.Tailed(Balance(5 * AIT), bytes(32))
    items = [session.item(session.voucher(0, 1, AIT)), session.item(session.voucher(1, 0, 0, 9 * AIT), tail)]
    ticks = session.item(session.voucher(2, 0, 0, 9 * AIT), t.Ticked(bytes(32), Balance(AIT), 9, 3, bytes(32)))
    wallet = Sr25519Signature(bytes(64))
    proofs = (
        t.OverClaim(receipt), t.Equivocation(receipt, receipt), t.Phantom(), t.Mispricing(receipt, None),
        t.Mispricing(receipt, offer), t.BrokenChain(receipt, None), t.BrokenChain(receipt, receipt),
    )  # fmt: skip
    changes = (t.ToKey(None), t.ToKey(bytes(32)), t.ToExpiry(BlockNumber(7)), t.ToRate(offer))
    calls: list[tuple[Any, ...]] = [
        ("Sessions.open", session.params, AIT),
        ("Sessions.open_for", account("payer"), session.params, AIT, 5, wallet),
        ("Sessions.claim", [t.SessionClaims(session.id, [*items, ticks])]),
        *(("Sessions.challenge", session.id, 3, proof) for proof in proofs),
        *(("Sessions.change", session.id, change) for change in changes),
        ("Sessions.close", session.id, None),
        ("Sessions.close", session.id, session.agreement(5)),
        ("Sessions.finalize", session.id, [1, 2]),
        ("Sessions.answer", session.id, 1, receipt),
        ("Providers.publish_book", 1, [1], book(), 5),
        ("Providers.update", 1, p.ProviderPatch(None, account("payer"), b"x", True)),
        ("Providers.publish_service", 1, None, terms()),
        ("Providers.retire", p.RetiredBook(1, 2)),
        ("Oracle.submit", USD, Price(1, 2), 5),
        ("Oracle.set_feed", USD, None),
    ]
    session.claim(*items)
    chain.call("other", "Sessions.demand", session.id, 1)
    chain.call("payer", "Sessions.change", session.id, t.ToRate(offer))
    chain.call("payer", "Sessions.change", session.id, t.ToKey(None))
    values = [
        (chain.sessions, "sessions", session.id), (chain.sessions, "lanes", (session.id, 0)),
        (chain.providers, "providers", 1), (chain.providers, "services", 1), (chain.providers, "books", (1, 1)),
        (chain.providers, "stats", 1), (chain.balances, "holds", account("payer")),
    ]  # fmt: skip
    return {
        "metadata": "0x" + chain.runtime.metadata(14).hex(),
        "calls": [(name, "0x" + chain.schema.make_call(name, *args).encode().hex()) for name, *args in calls],
        "values": [
            (pallet.name.lower(), item, "0x" + getattr(pallet, item).encode(getattr(pallet, item).get(key)).hex())
            for pallet, item, key in values
        ],
    }


def test_polkadot_js_reads_sessions_from_the_metadata(tmp_path: Path, javascript: Path) -> None:
    chain = PayChain()
    chain.begin()
    chain.sell()
    file = tmp_path / "given.json"
    file.write_bytes(msgspec.json.encode(given(chain, PaySession(chain, 1))))
    run(["node", "polkadot_js_sessions.mjs", str(file)], CLIENT_SECONDS, javascript)
