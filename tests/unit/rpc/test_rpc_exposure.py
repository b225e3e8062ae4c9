"""What changes when strangers can reach the port, and what an operator may switch on."""

from __future__ import annotations

import aiohttp
import pytest

from aitoken.crypto import ed25519
from node.rpc.assemble import PUBLIC_CONNECTIONS_PER_ADDRESS, PUBLIC_TOKENS_PER_S, RpcSettings, exposed, make_registry
from node.rpc.door import group_of
from node.rpc.limits import Limits
from node.rpc.origins import Hosts, hosts_for
from tests.support.rpc_fakes import RpcBench, RpcClient


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_on_loopback_everything_is_as_asked(host: str) -> None:
    settings = RpcSettings(host=host, unsafe=True)

    assert exposed(settings) == settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "node.example"])
def test_elsewhere_only_safe_methods_are_served_and_calls_cost(host: str) -> None:
    settings = exposed(RpcSettings(host=host, unsafe=True))

    assert settings.unsafe is False
    assert settings.limits.tokens_per_s == PUBLIC_TOKENS_PER_S
    assert settings.limits.connections_per_address == PUBLIC_CONNECTIONS_PER_ADDRESS


def test_elsewhere_stricter_limits_stay() -> None:
    limits = exposed(RpcSettings(host="192.0.2.7", limits=Limits(tokens_per_s=7, connections_per_address=3))).limits

    assert (limits.tokens_per_s, limits.connections_per_address) == (7, 3)


async def test_unsafe_methods_work_and_are_listed_where_they_are_allowed() -> None:

    async with (
        RpcBench(unsafe=True) as bench,
        aiohttp.ClientSession() as http,
        http.ws_connect(bench.ws) as socket,
    ):
        client = RpcClient(socket)
        assert "system_addReservedPeer" in (await client.call("rpc_methods"))["methods"]
        assert await client.call("system_addReservedPeer", "192.0.2.7:30333") is None
        assert bench.network.reserved == ["192.0.2.7:30333"]
        assert (await client.call("state_getPairs"))["message"] == "Method not found"


async def test_a_key_is_inserted_by_its_secret_and_asked_for() -> None:
    pair = ed25519.Pair(b"\x07" * 32)
    secret, public = "0x" + "07" * 32, "0x" + pair.public.hex()
    async with (
        RpcBench(unsafe=True) as bench,
        aiohttp.ClientSession() as http,
        http.ws_connect(bench.ws) as socket,
    ):
        client = RpcClient(socket)
        assert await client.call("author_hasKey", public, "bft_") is False
        assert await client.call("author_insertKey", "bft_", secret, public) is None
        assert await client.call("author_hasKey", public, "bft_") is True
        assert await client.call("author_hasKey", public, "net_") is False

        other = await client.call("author_insertKey", "bft_", secret, "0x" + "11" * 32)
        assert (other["code"], "publicKey" in other["data"]) == (-32602, True)
        assert (await client.call("author_insertKey", "gran", secret, public))["code"] == -32603
        for bad in ("no such words", "//Alice/soft", ""):
            answer = await client.call("author_insertKey", "bft_", bad, public)
            assert answer["code"] == -32602
            assert not bad or bad not in str(answer), "a secret is not repeated"
        assert bench.consensus.inserted == [("bft_", pair.public)]


def test_every_method_is_classified_and_acting_on_the_node_is_unsafe() -> None:
    registry = make_registry()

    unsafe = {method.name for method in registry.methods.values() if not method.safe}

    assert unsafe == {
        "author_hasKey",
        "author_insertKey",
        "author_removeExtrinsic",
        "author_rotateKeys",
        "author_rotateKeysWithOwner",
        "author_hasSessionKeys",
        "system_addReservedPeer",
    }
    for prefix in ("babe_", "grandpa_", "beefy_", "mmr_", "childstate_", "offchain_", "contracts_"):
        assert not [name for name in registry.methods if name.startswith(prefix)]


def test_groups_of_methods_are_served_whole() -> None:
    """One listed name of a group promises all of it to polkadot-api."""
    names = set(make_registry().names(unsafe=False))
    groups = {
        "chainHead_v1": "follow unfollow header body call storage continue stopOperation unpin",
        "chainSpec_v1": "chainName genesisHash properties",
        "transaction_v1": "broadcast stop",
        "transactionWatch_v1": "submitAndWatch unwatch",
        "archive_v1": "finalizedHeight genesisHash hashByHeight header body call storage stopStorage",
    }

    assert not [
        f"{group}_{name}" for group, all_ in groups.items() for name in all_.split() if f"{group}_{name}" not in names
    ]


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("local", "local"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, group: str) -> None:
    assert group_of(address) == group


def test_names_are_checked_on_loopback_and_where_they_are_given() -> None:
    assert hosts_for("127.0.0.1").is_checked
    assert not hosts_for("192.0.2.7").is_checked
    assert hosts_for("192.0.2.7", ["node.example"]).allows("node.example:9944")
    assert not hosts_for("192.0.2.7", ["node.example"]).allows("192.0.2.8")
    assert Hosts(()).allows("anything")
