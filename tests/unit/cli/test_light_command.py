"""`balance --light`, `query --light` and `checkpoint` against a node that shows a real chain, or lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import Result

from aitoken.crypto.hashing import twox_128
from aitoken.proto.finality import anchor_at
from chain.runtime import SPEC_VERSION
from cli.exits import Exit
from tests.support.proven_chain import ALICE, ProvenChain, Shown

Run = Callable[..., Result]
WHO = "0x" + ALICE.hex()
UPGRADE = twox_128(b"System") + twox_128(b"LastRuntimeUpgrade")


def runtime_of(version: int) -> dict[bytes, bytes]:
    return {UPGRADE: (version << 2 | 1).to_bytes(2, "little") + b"\x1caitoken"}


@pytest.fixture
def node(client: Any, monkeypatch: pytest.MonkeyPatch) -> Shown:
    return serve(client, monkeypatch, ProvenChain(6, 4, extra=runtime_of(SPEC_VERSION)))


def serve(client: Any, monkeypatch: pytest.MonkeyPatch, chain: ProvenChain) -> Shown:
    shown = Shown(chain)

    async def request(method: str, params: Any = ()) -> Any:
        if method == "smpx_roundState":
            return {"epoch": (len(chain.headers) - 1) // chain.length}
        return await shown.ask(method, params or ())

    client.request = request
    client.chain = SimpleNamespace(genesis_hash=chain.genesis_hash, prefix=42, key_count=lambda *_: 1)
    monkeypatch.setattr("cli.light._now_ms", lambda: chain.now_ms)
    return shown


def test_a_balance_is_proven_from_the_genesis_hash_on(aitoken: Run, node: Shown) -> None:
    result = aitoken(
        "balance", WHO, "--light", "--checkpoint", "0x" + node.chain.genesis_hash.hex(), "--output", "json"
    )

    assert result.exit_code == 0, result.output
    data = msgspec.json.decode(result.stdout)
    assert (data["free"], data["nonce"]) == (100 * 10**12, 7)
    assert data["provenAt"] == {"number": 6, "hash": "0x" + node.chain.headers[6].hash.hex()}


def test_a_checkpoint_file_is_moved_on_so_that_it_stays_young(aitoken: Run, node: Shown, tmp_path: Path) -> None:
    file = tmp_path / "trusted.json"
    node.chain, now = ProvenChain(2, 4, extra=runtime_of(SPEC_VERSION)), node.chain
    file.write_text(aitoken("checkpoint").stdout)
    assert msgspec.json.decode(file.read_bytes())["number"] == 0
    node.chain = now

    result = aitoken("balance", WHO, "--light", "--checkpoint", str(file))

    assert "proven at     block 6" in result.stdout
    assert msgspec.json.decode(file.read_bytes())["number"] == 4


def test_checkpoint_prints_the_newest_end_of_an_epoch(aitoken: Run, node: Shown) -> None:
    printed = msgspec.json.decode(aitoken("checkpoint").stdout)

    anchor = anchor_at(node.chain.genesis_hash, node.chain.headers[4])
    assert (printed["number"], printed["hash"]) == (4, "0x" + anchor.hash.hex())
    assert printed["validators"] == "0x" + anchor.set_hash.hex()


def test_a_value_is_read_with_the_programs_own_description(aitoken: Run, node: Shown) -> None:
    result = aitoken("query", "System", "Account", WHO, "--light", "--checkpoint", "0x" + node.chain.genesis_hash.hex())

    assert result.exit_code == 0, result.output
    assert msgspec.json.decode(result.stdout)["data"]["free"] == 100 * 10**12
    assert "node's word" not in result.stderr


def test_another_runtime_is_read_with_the_nodes_description_and_that_is_said(
    aitoken: Run, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = serve(client, monkeypatch, ProvenChain(6, 4, extra=runtime_of(SPEC_VERSION + 1)))
    client.chain.storage_key = lambda *_: UPGRADE
    client.chain.decode_value = lambda *_: "read"

    result = aitoken("query", "System", "Account", WHO, "--light", "--checkpoint", "0x" + node.chain.genesis_hash.hex())

    assert result.stdout == "read\n"
    assert "node's word" in result.stderr


def test_a_lie_ends_the_command_by_name(aitoken: Run, node: Shown) -> None:
    node.change("state_getReadProof", lambda answer: answer | {"proof": answer["proof"][:-1]})

    result = aitoken("balance", WHO, "--light", "--checkpoint", "0x" + node.chain.genesis_hash.hex())

    assert (result.exit_code, result.stdout) == (Exit.REFUSED, "")
    assert "[proof.incomplete]" in result.stderr


def test_old_trust_is_refused_with_a_sentence(aitoken: Run, node: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.light._now_ms", lambda: node.chain.now_ms + 100 * 3_600_000)
    checkpoint = "0x" + node.chain.genesis_hash.hex()

    result = aitoken("balance", WHO, "--light", "--checkpoint", checkpoint, "--trusting-period", "99")

    assert result.exit_code == Exit.REFUSED
    assert "withdrawn their stake" in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--light",), ("--checkpoint", "0x" + "00" * 32), ("--light", "--checkpoint", "0x12")]
)
def test_options_that_do_not_fit_are_usage_errors(aitoken: Run, arguments: tuple[str, ...]) -> None:
    assert aitoken("balance", WHO, *arguments).exit_code == Exit.USAGE
