"""What payers signed, brought to the chain by the operator's account: single payments and openings of sessions.

Payments that wait while another transaction of the operator is on its way go together into the next one, so the rate
of payments is not bound to the rate of blocks.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Self

from aitoken.client.dynamic import account_of
from aitoken.client.session_calls import open_params
from aitoken.pay.layouts import Authorization, OpenParams
from aitoken.types import AIT, AccountId, Balance, Moment
from gateway.node_account import NodeAccount
from gateway.ports import AnySigned, ChainDown, Executed, OpeningTerms

log = logging.getLogger(__name__)

TOGETHER_MAX: Final = 32
SUBMIT_S: Final = 120
LEAST_OPENING: Final = Balance(AIT // 10)
"""A smaller deposit is not worth the fee of opening a session for somebody."""

GRACE_FACTOR: Final = 2
KINDS: Final = {0: "Ed25519", 1: "Sr25519"}
_Waiting = tuple[AnySigned, Balance, asyncio.Future[Executed]]


class NodeRelay:
    """The relay of one provider, or of a facilitator.

    Attributes:
        payee: whom single payments have to pay.
        account: whose transactions these are.
    """

    def __init__(self, chain: NodeAccount, payee: AccountId) -> None:
        self.payee = payee
        self.account = AccountId(chain.signer.public)
        self._chain = chain
        self._waiting: list[_Waiting] = []

    @classmethod
    async def of(cls, chain: NodeAccount, provider: int) -> Self:
        """Make the relay of a provider, which the chain has been checked to know.

        Raises:
            ChainDown: the chain does not answer.
        """
        async with chain.asking() as client:
            found = await client.query("Providers", "Providers", provider)
            return cls(chain, AccountId(account_of(found["payout"])))

    async def spendable(self, payer: AccountId) -> Balance:
        """Return what an account could pay now and stay alive."""
        async with self._chain.asking() as client:
            head = await client.request("chain_getFinalizedHead")
            data = (await client.account(payer, at=head))["data"]
            least = int(client.constant("Balances", "ExistentialDeposit"))
        return Balance(max(0, int(data["free"]) - max(least, int(data["frozen"]))))

    async def used_by(self, payer: AccountId, nonce: bytes) -> AccountId | None:
        """Return who used up a nonce of a payer, None where nobody has."""
        async with self._chain.asking() as client:
            head = await client.request("chain_getFinalizedHead")
            found = await client.query("Pay", "UsedNonces", payer, nonce, at=head)
        return None if found is None else AccountId(account_of(found["depositor"]))

    async def opening_terms(self) -> OpeningTerms:
        """Return what an opening has to keep to."""
        async with self._chain.asking() as client:
            head = await client.head()
            grace, life = (int(client.constant("Sessions", name)) for name in ("MinGrace", "MaxLife"))
        return OpeningTerms(head.number + life // 2, grace * GRACE_FACTOR, LEAST_OPENING)

    async def execute(self, order: AnySigned, amount: Balance) -> Executed:
        """Carry out an authorisation for an amount; final when it returns."""
        done: asyncio.Future[Executed] = asyncio.get_running_loop().create_future()
        self._waiting.append((order, amount, done))
        async with self._chain.sending:
            taken, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
            if taken:
                await self._submit(taken)
        return await done

    async def _submit(self, taken: list[_Waiting]) -> None:
        try:
            outcomes = await self._outcomes(taken)
        except ChainDown as error:
            for _, _, done in taken:
                done.set_exception(ChainDown(str(error)))
                done.exception()  # its owner may have gone
            return
        for (_, _, done), outcome in zip(taken, outcomes, strict=True):
            done.set_result(outcome)

    async def _outcomes(self, taken: list[_Waiting]) -> list[Executed]:
        async with self._chain.asking() as client:
            calls = [
                client.call(
                    "Pay", "execute_authorization", authorization=_terms(order.statement),
                    signature=multi_signature(order.signature), amount=amount,
                )
                for order, amount, _ in taken
            ]  # fmt: skip
            batch = client.call("Utility", "force_batch", calls=calls)
            receipt = await client.submit(batch, self._chain.signer, wait="final", timeout_seconds=SUBMIT_S)
            if not receipt.success:
                raise ChainDown(f"a transaction with payments failed: {receipt.error}")
            outcomes = []
            for event in receipt.events:
                if (event.pallet, event.name) == ("Utility", "ItemCompleted"):
                    outcomes.append(Executed(receipt.hash))
                elif (event.pallet, event.name) == ("Utility", "ItemFailed"):
                    error = event.fields["error"] if isinstance(event.fields, dict) else event.fields[0]
                    outcomes.append(Executed(problem=client.chain.problem(error).name))
            return outcomes

    async def open_for(
        self, payer: AccountId, params: OpenParams, deposit: Balance, valid_before: Moment, signature: bytes
    ) -> Executed:
        """Open a session a payer ordered; final when it returns."""
        async with self._chain.sending, self._chain.asking() as client:
            call = client.call(
                "Sessions", "open_for", payer=payer, params=open_params(params), deposit=deposit,
                valid_before=valid_before, signature=multi_signature(signature),
            )  # fmt: skip
            receipt = await client.submit(call, self._chain.signer, wait="final", timeout_seconds=SUBMIT_S)
            return Executed(receipt.hash) if receipt.success else Executed(problem=receipt.error or "refused")


def multi_signature(signature: bytes) -> dict[str, bytes]:
    """Return a signature with its kind before it as calls have it."""
    return {KINDS[signature[0]]: signature[1:]}


def _terms(statement: bytes) -> dict[str, Any]:
    terms = Authorization.decode(statement)
    return {
        "payer": terms.payer, "payee": terms.payee, "asset": terms.asset, "maximum": terms.maximum,
        "exact": terms.exact, "valid_after": terms.valid_after, "valid_before": terms.valid_before,
        "nonce": terms.nonce, "memo_hash": terms.memo_hash,
    }  # fmt: skip
