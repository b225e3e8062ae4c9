"""A chain spec says what it means or is refused with the name of the key."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from aitoken.types import AIT, Moment
from chain.genesis import build_genesis
from chain.pallets.ai.oracle import Feed, OracleGenesis
from chain.spec import BadSpec, parse_amount, parse_spec
from tests.support.vectors import REPOSITORY

DEVNET: dict[str, Any] = msgspec.json.decode((REPOSITORY / "genesis.json").read_bytes())
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"


def changed(path: str, value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(DEVNET)
    *parents, last = path.split("/")
    at: Any = spec
    for part in parents:
        at = at[int(part)] if part.isdigit() else at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return spec


def test_the_same_chain_in_other_words_is_the_same_chain() -> None:
    other = copy.deepcopy(DEVNET)
    balances = other["genesis"]["balances"]
    amount = balances.pop("//Alice")
    other["genesis"]["balances"] = {ALICE: str(10_000_000 * AIT), **balances}
    other["genesis"]["sudo"]["key"] = "0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
    other["name"] = "Another name"

    assert amount == "10_000_000 AIT"
    assert build_genesis(parse_spec(other)).header == build_genesis(parse_spec(DEVNET)).header


def test_parameters_are_part_of_genesis() -> None:
    faster = parse_spec(changed("params", {"blockTimeMs": 200}))

    assert faster.params.block_time_ms == 200
    assert build_genesis(faster).header != build_genesis(parse_spec(DEVNET)).header


def test_presets_differ() -> None:
    main = parse_spec(changed("runtime/preset", "main"))

    assert (main.params.block_time_ms, main.params.idle_interval_ms) == (1000, 6000)
    assert parse_spec(DEVNET).params.block_time_ms == 50


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("extra", 1, "extra"), ("genesis/extra", 1, "genesis.extra"), ("params/extra", 1, "params.extra"),
        ("properties/extra", 1, "properties.extra"), ("runtime/extra", 1, "runtime.extra"),
        ("genesis/staking/validators/0/extra", 1, "validators\\[0\\].extra"), ("genesis/sudo/extra", 1, "sudo.extra"),
        ("genesis/staking/validators/0/keys/extra", 1, "keys.extra"), ("name", None, "name"),
        ("genesis/timestampMs", None, "timestampMs"), ("genesis/timestampMs", 0, "timestampMs"),
        ("chainType", "Test", "chainType"), ("chainType", "Live", "development key"),
        ("properties/tokenDecimals", 18, "tokenDecimals"), ("runtime/preset", "fast", "preset"),
        ("params", {"blockTimeMs": 0}, "blockTimeMs"), ("params", {"idleIntervalMs": 49}, "idleIntervalMs"),
        ("genesis/balances", {"//Alice": 1}, "existential deposit"),
        ("genesis/balances", {"//Alice": "1 AIT", ALICE: "1 AIT"}, "another spelling"),
        ("genesis/balances", {"//Alice": "2_000_000_001 AIT"}, "maxIssuance"),
        ("genesis/balances", {"//Alice": "1 BTC"}, "amount"), ("genesis/balances", {"//Alice": -1}, "amount"),
        ("genesis/balances", {"//Alice": True}, "amount"), ("genesis/balances", {"0x12": 10**12}, "32 bytes"),
        ("genesis/balances", {"pallet:short": 10**12}, "8 characters"),
        ("genesis/balances", {"hello": 10**12}, "address"),
        ("genesis/balances", {"15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5": 10**12}, "network"),
        ("genesis/staking/validators", [], "validators"), ("genesis/staking/validatorCount", 3, "validatorCount"),
        ("genesis/staking/minimumValidatorCount", 9, "minimumValidatorCount"),
        ("genesis/staking/nominators", [1], "nominators"),
        ("genesis/staking/validators/1/stash", "//Alice//stash", "differ"),
        ("genesis/staking/validators/1/keys/bft", "//Alice", "differ"),
        ("genesis/staking/validators/0/bond", "10_000_000 AIT", "bond"),
        ("genesis/staking/validators/0/bond", 0, "bond"), ("genesis/staking/validators/0/keys", None, "keys"),
        ("bootNodes", [1], "bootNodes"), ("genesis", [], "genesis"),
        ("genesis/oracle/feeds", [{"currency": 0}], "ISO 4217"), ("genesis/oracle/feeds/0/extra", 1, "extra"),
        ("genesis/oracle/feeds", [{"currency": 840}, {"currency": 840}], "once"),
        ("genesis/oracle/feeds/0/staleAfterMs", 10**9, "staleAfterMs"),
        ("genesis/oracle/feeders", {"//Alice": "//Bob", "//Bob": "//Bob"}, "already"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(path: str, value: Any, named: str) -> None:
    with pytest.raises(BadSpec, match=named):
        parse_spec(changed(path, value))


def test_feeds_have_defaults_and_feeders_are_accounts() -> None:
    spec = parse_spec(changed("genesis/oracle/feeds", [{"currency": 978}]))

    assert spec.oracle.feeds == ((978, Feed(6_670, 1_000, Moment(100_000))),)
    assert len(spec.oracle.feeders) == 4
    assert parse_spec(changed("genesis/oracle", None)).oracle == OracleGenesis()


def test_a_live_chain_has_no_sudo() -> None:
    live = copy.deepcopy(DEVNET)
    live["chainType"] = "Live"
    live["genesis"]["balances"] = {ALICE: "3_000 AIT"}
    key = "0x" + "11" * 32
    live["genesis"]["staking"]["validators"] = [{"stash": ALICE, "bond": "2_000 AIT", "keys": {"bft": key}}]
    live["genesis"]["staking"]["nominators"] = []
    live["genesis"]["oracle"] = {}
    live["genesis"]["sudo"]["key"] = ALICE
    with pytest.raises(BadSpec, match="sudo"):
        parse_spec(live)
    del live["genesis"]["sudo"]

    assert parse_spec(live).validators[0].bft == bytes([0x11]) * 32


@pytest.mark.parametrize(
    ("text", "amount"),
    [("10_000 AIT", 10_000 * AIT), ("0.5 AIT", AIT // 2), ("1.000000000001 AIT", AIT + 1), ("12", 12), (7, 7)],
)
def test_amounts(text: Any, amount: int) -> None:
    assert parse_amount(text, "here") == amount


@pytest.mark.parametrize(
    "text", ["", "1.5", "1e3 AIT", "-1 AIT", "1.0000000000001 AIT", "1 ait", " 1", "1.x AIT", None, 1.5]
)
def test_no_amounts(text: Any) -> None:
    with pytest.raises(BadSpec):
        parse_amount(text, "here")
