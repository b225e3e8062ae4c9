"""Bad claims and orders on the whole runtime: refused by name, who signs for one pays for it alone, nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from aitoken.pay import codes as bytes_of
from aitoken.types import AIT, AccountId, Balance, Hash32
from chain.frame.errors import BadProof, InvalidTransaction, Stale
from chain.frame.types import Ed25519Signature
from chain.pallets.ai.codes import FEE, CodeRefused
from chain.pallets.ai.codes_types import Credit, Terms, Tokens
from tests.support.pay_chain import PayChain, account, pair

COUNT = 4
VALUE = AIT
DAY = 86_400_000
KEYS = [pair(f"code {index}") for index in range(COUNT)]
PUBLIC = [key.public for key in KEYS]
PROOFS = bytes_of.proofs_of(PUBLIC)
HOLDER = AccountId(b"holder".ljust(32, b"\x00"))
THIEF = AccountId(b"thief".ljust(32, b"\x00"))
ELSEWHERE = Hash32(b"another chain".ljust(32, b"\x00"))
TOKENS, TWIN, OVER, CREDIT = range(4)
"""Batches: of tokens, of the same codes, one that has expired, of credit. Code 0 of TOKENS and CREDIT is claimed."""
PROVIDER, STRANGER = 1, 2


class Sheets:
    """The chain in the middle of things."""

    def __init__(self) -> None:
        chain = self.chain = PayChain()
        for _ in (PROVIDER, STRANGER):
            chain.run("owner", "Providers.register", account("operator"), account("payout"), b"http://x", 2_000 * AIT)
        end, root = chain.time_ms + DAY, bytes_of.root_of(PUBLIC)
        credit = Credit([PROVIDER], end)
        made: list[tuple[int, Terms]] = [(end, Tokens()), (end, Tokens()), (chain.time_ms + 3_000, Tokens()),
                                         (end, credit)]  # fmt: skip
        for expires, terms in made:
            chain.run("payer", "Codes.create", root, COUNT, VALUE, expires, 0, terms)
        for batch in (TOKENS, CREDIT):
            chain.block(chain.unsigned("Codes.claim", *self.claim(batch, claimant=account("other"))), step_ms=3_000)

    def claim(self, batch: int = TOKENS, index: int = 0, **changes: Any) -> tuple[Any, ...]:
        """A claim that is good but for the changes; `genesis`, `of` and `by` change what is signed and by whom."""
        claimant = changes.pop("claimant", HOLDER)
        signed = changes.pop("signed", claimant)
        genesis, of = changes.pop("genesis", self.chain.genesis_hash), changes.pop("of", batch)
        by = changes.pop("by", KEYS[index % COUNT])
        fields: dict[str, Any] = {
            "batch": batch, "index": index, "key": PUBLIC[index % COUNT], "proof": PROOFS[index % COUNT],
            "claimant": claimant, "work": 0,
            "signature": by.sign(bytes_of.claim_bytes(genesis, of, index, signed)),
        }  # fmt: skip
        return tuple((fields | changes).values())

    def order(self, amount: int = AIT // 10, **changes: Any) -> tuple[Any, ...]:
        """An order of the credit that is good but for the changes."""
        index, left = changes.pop("index", 0), changes.pop("left", VALUE)
        genesis, of = changes.pop("genesis", self.chain.genesis_hash), changes.pop("of", CREDIT)
        provider, by = changes.pop("provider", PROVIDER), changes.pop("by", "other")
        message = bytes_of.spend_bytes(genesis, of, index, Balance(left), provider, Balance(amount), b"ref")
        signature = Ed25519Signature(pair(by).sign(message))
        fields: dict[str, Any] = {
            "batch": CREDIT, "index": index, "provider": provider, "amount": amount, "reference": b"ref",
            "signature": signature,
        }  # fmt: skip
        return tuple((fields | changes).values())


@cache
def sheets() -> Sheets:
    return Sheets()


Case = tuple[str, type[InvalidTransaction], str, Callable[[Sheets], tuple[Any, ...]]]
CLAIMS: list[Case] = [
    ("forged", BadProof, "BadSignature", lambda s: s.claim(index=1, by=pair("thief"))),
    ("for another claimant", BadProof, "BadSignature", lambda s: s.claim(index=1, claimant=THIEF, signed=HOLDER)),
    ("replayed", Stale, "AlreadyUsed", lambda s: s.claim(claimant=account("other"))),
    ("a duplicate for another", Stale, "AlreadyUsed", lambda s: s.claim()),
    ("too late", CodeRefused, "Expired", lambda s: s.claim(OVER, 1)),
    ("of another chain", BadProof, "BadSignature", lambda s: s.claim(index=1, genesis=ELSEWHERE)),
    ("of another batch", BadProof, "BadSignature", lambda s: s.claim(index=1, of=TWIN)),
    ("of no batch", CodeRefused, "NoBatch", lambda s: s.claim(9, 1)),
    ("with another's proof", CodeRefused, "BadCode", lambda s: s.claim(index=1, proof=PROOFS[2])),
    ("with a shorter proof", CodeRefused, "BadCode", lambda s: s.claim(index=1, proof=PROOFS[1][:1])),
    ("beyond the batch", CodeRefused, "BadCode", lambda s: s.claim(index=COUNT)),
]
ORDERS: list[Case] = [
    ("forged", BadProof, "BadSignature", lambda s: s.order(by="thief")),
    ("replayed after another", BadProof, "BadSignature", lambda s: s.order(left=VALUE + FEE)),
    ("of another chain", BadProof, "BadSignature", lambda s: s.order(genesis=ELSEWHERE)),
    ("of another batch", BadProof, "BadSignature", lambda s: s.order(of=TOKENS)),
    ("of a code nobody claimed", CodeRefused, "NoCredit", lambda s: s.order(index=1)),
    ("over what is left", CodeRefused, "OverCredit", lambda s: s.order(VALUE - FEE + 1)),
    ("of nothing", CodeRefused, "OverCredit", lambda s: s.order(0)),
    ("for a provider that is not named", CodeRefused, "NotForProvider", lambda s: s.order(provider=STRANGER)),
    ("for no provider", CodeRefused, "NotForProvider", lambda s: s.order(provider=9)),
]  # fmt: skip
EVERY = [("Codes.claim", case) for case in CLAIMS] + [("Codes.spend", case) for case in ORDERS]


@pytest.mark.parametrize(("call", "case"), EVERY, ids=[f"{call}, {case[0]}" for call, case in EVERY])
def test_what_is_no_good_is_refused_by_name_and_costs_only_who_signs_for_it(call: str, case: Case) -> None:
    _, refused, error, made = case
    given, chain = sheets(), sheets().chain
    args = made(given)
    before = chain.machine.store.changes(), chain.state.root
    with pytest.raises(refused) as caught:
        chain.runtime.validate(chain.state, chain.header.number, chain.header.hash, chain.unsigned(call, *args))
    if refused is CodeRefused:
        assert str(caught.value) == f"Codes.{error}"
    chain.time_ms += 500
    builder = chain.runtime.open_block(chain.state, chain.header, chain.items())
    with pytest.raises(refused):
        builder.apply(chain.unsigned(call, *args))
    builder.seal()
    assert (chain.machine.store.changes(), chain.state.root) == before

    money = {who: chain.free(who) for who in ("payer", "other", "stranger")}
    kept = chain.balances.held(chain.codes.HoldReason.Funded, account("payer"))
    chain.block(chain.signed("stranger", call, *args))

    told = {type(event).__name__: event for event in chain.events_of(1)}
    assert told["ExtrinsicFailed"].dispatch_error.scale == getattr(chain.codes.Error, error).scale
    fee = told["TransactionFeePaid"].actual_fee
    assert fee > 0
    assert {who: chain.free(who) for who in money} == money | {"stranger": money["stranger"] - fee}
    assert chain.balances.held(chain.codes.HoldReason.Funded, account("payer")) == kept
    assert not {HOLDER, THIEF} & {who for who, _ in chain.system.account.items()}
    chain.check_money()


def test_after_all_that_every_code_and_credit_is_worth_what_it_was() -> None:
    given = Sheets()
    chain = given.chain
    for call, (_, _, _, made) in EVERY:
        chain.block(chain.signed("stranger", call, *made(given)))
    holders = [AccountId((b"holder %d" % index).ljust(32, b"\x00")) for index in range(COUNT)]
    for index in range(1, COUNT):
        chain.block(chain.unsigned("Codes.claim", *given.claim(index=index, claimant=holders[index])))
        chain.block(chain.unsigned("Codes.claim", *given.claim(TWIN, index, claimant=holders[index])))
        assert chain.system.account.get(holders[index]).free == 2 * VALUE
    payout = chain.free("payout")
    chain.block(chain.unsigned("Codes.spend", *given.order(VALUE - FEE)))
    assert chain.free("payout") == payout + VALUE - FEE
    chain.run("other", "Codes.close", TOKENS)
    for batch in (OVER, TWIN, CREDIT):
        chain.time_ms += DAY
        chain.run("other", "Codes.close", batch)
    assert chain.balances.held(chain.codes.HoldReason.Funded, account("payer")) == 0
    assert chain.balances.held(chain.codes.HoldReason.Deposit, account("payer")) == 0
    chain.check_money()
