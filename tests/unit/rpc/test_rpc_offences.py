"""`smpx_offences`: what the runtime knows of offences as JSON people and programs read."""

from __future__ import annotations

from typing import Any

from aitoken.proto.votes import NOTARIZE, sign_bytes
from aitoken.types import AIT
from chain.pallets.consensus import EquivocationProof, SignedVote
from node.rpc.methods import smpx
from node.rpc.ports import ChainInfo
from node.rpc.render import to_json
from tests.support.staking_chain import StakingChain, account, pair


class Query:
    """Runtime calls on the state of a chain in memory."""

    def __init__(self, chain: StakingChain) -> None:
        self._chain = chain

    def call(self, at: Any, name: str, data: bytes) -> bytes:
        assert at is None
        return self._chain.runtime.call(self._chain.state, name, data)


def offences(chain: StakingChain) -> dict[str, Any]:
    return smpx.offences(Query(chain), ChainInfo())  # type: ignore[arg-type]


def report(chain: StakingChain, name: str) -> None:
    epoch = chain.session.current_index.get()
    signer = [row.validator for row in chain.historical.members_of(epoch)].index(account(name))
    votes = [
        SignedVote(NOTARIZE, block, pair(name).sign(sign_bytes(chain.genesis_hash, NOTARIZE, epoch, 7, block)))
        for block in (b"\x01" * 32, b"\x02" * 32)
    ]
    chain.run("X", "Consensus.report_equivocation", EquivocationProof(epoch, 7, signer, *votes))


def test_nobody_is_listed_where_nobody_offended() -> None:
    assert offences(StakingChain()) == {"activeEra": 0, "offenders": []}


def test_an_offence_is_shown_with_what_it_costs_and_what_became_of_it() -> None:
    chain = StakingChain(others={"X": 100})
    report(chain, "A")
    number = chain.header.number

    def address(name: str) -> str:
        from aitoken.crypto import ss58

        return ss58.encode(account(name), 42)

    found = offences(chain)
    fraction = 90_000_000  # A has 1,000 of 10,000 AIT
    own = 1000 * AIT * fraction // 10**9
    penalty = {
        "era": 0, "fraction": fraction, "due": 2, "state": "waiting", "reporter": address("X"), "own": str(own),
        "others": "0", "payout": str(own // 20),
    }  # fmt: skip
    deed = {
        "epoch": 0, "view": 7, "offence": "DoubleNotarize", "fraction": fraction, "era": 0, "reportedAt": number,
    }  # fmt: skip
    one = {"validator": address("A"), "equivocations": [deed], "penalties": [penalty]}
    assert found == {"activeEra": 0, "offenders": [one]}
    to_json(found)

    report(chain, "B")
    chain.block(chain.signed("root", "Sudo.sudo", chain.schema.make_call("Staking.cancel_deferred_slash", 2, [0])))
    chain.until_era(2)
    first, second = offences(chain)["offenders"]
    assert [row["state"] for row in first["penalties"]] == ["cancelled", "taken"]
    assert [row["state"] for row in second["penalties"]] == ["taken"]
