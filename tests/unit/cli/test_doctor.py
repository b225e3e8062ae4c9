"""What `doctor` and `node status` see, and that each trouble is named with its cure."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from aitoken.errors import Rejected, Unavailable
from cli import checks, status
from cli.exits import Exit

Run = Callable[..., Result]


ROUND = {"epoch": 1, "view": 7, "leader": 2, "total": 400, "quorum": 267, "notarizeWeight": 300, "nullifyWeight": 0}
ROUND |= {"voting": True, "stopped": False, "holdsBack": "nothing"}


@pytest.fixture
def well(client) -> Any:
    """A node that is well: two peers, each question about the final head finds one block more."""
    heights = iter(range(100, 10_000))
    client.answers |= {
        "system_health": {"peers": 3, "isSyncing": False, "shouldHavePeers": True},
        "system_chain": "AI Token Devnet",
        "system_version": "0.1.0",
        "system_name": "Alice",
        "system_nodeRoles": ["Authority"],
        "system_syncState": {"highestBlock": 101},
        "chain_getBlockHash": "0x" + "ab" * 32,
        "chain_getFinalizedHead": "0x" + "cd" * 32,
        "chain_getHeader": lambda _: {"number": hex(next(heights))},
        "author_pendingExtrinsics": [],
        "smpx_roundState": ROUND,
        "Timestamp.Now": 1_000,
    }
    return client


def test_a_well_node_is_told_in_words(aitoken: Run, well) -> None:
    result = aitoken("node", "status")

    assert result.exit_code == 0, result.output
    assert "Alice 0.1.0 on AI Token Devnet" in result.stdout
    assert "3 peers" in result.stdout
    assert "view 7, leader is validator 2" in result.stdout
    assert "notarize 75 %" in result.stdout
    assert "waits" not in result.stdout


def test_status_as_json_has_every_fact(aitoken: Run, well) -> None:
    facts = msgspec.json.decode(aitoken("node", "status", "--output", "json").stdout)

    assert facts["peers"] == 3
    assert facts["well"] is True
    assert facts["round"]["view"] == 7


@pytest.mark.parametrize(
    ("health", "words"),
    [({"peers": 0, "isSyncing": False}, "no peers"), ({"peers": 3, "isSyncing": True}, "catching up with block 101")],
)
def test_a_node_that_is_not_well_says_why(aitoken: Run, well, health: dict[str, Any], words: str) -> None:
    well.answers["system_health"] = health
    well.answers["smpx_roundState"] = ROUND | {"voting": False}

    result = aitoken("node", "status")

    assert result.exit_code == Exit.UNHEALTHY
    assert words in result.stdout


def test_a_chain_of_one_validator_needs_no_peers(aitoken: Run, well) -> None:
    well.answers["system_health"] = {"peers": 0, "isSyncing": False}

    assert aitoken("node", "status").exit_code == 0
    well.answers["smpx_roundState"] = ROUND | {"holdsBack": "no proposal of leader 2"}
    assert aitoken("node", "status").exit_code == Exit.UNHEALTHY


def test_what_the_agreement_waits_for_is_told_in_the_nodes_words(aitoken: Run, well) -> None:
    well.answers["smpx_roundState"] = ROUND | {"holdsBack": "no proposal of leader 2", "voting": False}

    result = aitoken("node", "status")

    assert result.exit_code == 0
    assert "finality waits: no proposal of leader 2" in result.stdout
    assert "does not vote" in result.stdout


def test_a_node_that_stopped_after_an_alarm_is_not_well(aitoken: Run, well) -> None:
    well.answers["smpx_roundState"] = ROUND | {"stopped": True}

    result = aitoken("node", "status")

    assert result.exit_code == Exit.UNHEALTHY
    assert "read its log" in result.stdout


def test_what_a_node_does_not_serve_is_left_out(aitoken: Run, well) -> None:
    def refuse(_: object) -> None:
        raise Rejected("method not found")

    well.answers["smpx_roundState"] = refuse
    well.answers["author_pendingExtrinsics"] = refuse

    result = aitoken("node", "status")

    assert result.exit_code == 0
    assert "consensus" not in result.stdout


def test_doctor_finds_nothing_wrong_with_a_well_node(aitoken: Run, well) -> None:
    result = aitoken("doctor")

    assert result.exit_code == 0, result.output
    assert "BAD" not in result.stdout
    assert "blocks become final" in result.stdout


def test_doctor_sees_a_chain_that_stands_still(aitoken: Run, well, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_POLL_SECONDS", 0)
    monkeypatch.setattr(checks, "is_moving", lambda client: status.is_moving(client, 0.01))
    well.answers["chain_getHeader"] = {"number": "0x10"}

    result = aitoken("doctor")

    assert result.exit_code == Exit.UNHEALTHY
    assert "no block became final for a while (last: 16)" in result.stdout
    assert "two thirds" in result.stdout


def test_doctor_sees_that_no_node_answers(aitoken: Run, client) -> None:
    def away(_: object) -> None:
        raise Unavailable("connection refused")

    client.answers["system_health"] = away

    result = aitoken("doctor", "--output", "json")

    assert result.exit_code == Exit.UNHEALTHY
    node = [row for row in msgspec.json.decode(result.stdout) if row["check"] == "node"]
    assert node[0]["state"] == "bad"
    assert "connection refused" in node[0]["says"]
    assert node[0]["cure"]


def test_something_that_is_no_node_is_told_from_nothing_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        assert "is no node" in checks.unreachable(url, "why").says

    assert "nothing listens" in checks.unreachable(url, "why").says


def test_the_python_and_its_flags_are_judged() -> None:
    assert checks.python_version((3, 12)).state == "ok"
    assert checks.python_version((3, 13)).state == "bad"
    assert checks.optimised(0).state == "ok"
    assert checks.optimised(2).state == "bad"
    assert checks.libraries().state == "ok"
    assert "no_such_library" in checks.libraries(("no_such_library",)).says


def test_a_data_folder_is_judged(tmp_path: Path) -> None:
    assert checks.data_folder(tmp_path / "none", None)[0].state == "bad"

    assert {finding.state for finding in checks.data_folder(tmp_path, None)} <= {"ok", "warn"}

    key = tmp_path / "keys" / "session.key"
    key.parent.mkdir()
    key.write_text("secret")
    key.chmod(0o644)
    exposed = checks.data_folder(tmp_path, None)[0]
    assert exposed.state == "bad"
    assert "session.key" in exposed.says
    assert "chmod 600" in exposed.cure


@pytest.mark.parametrize(("free", "state"), [(10**6, "bad"), (10**9, "warn"), (10**12, "ok")])
def test_a_full_disk_is_seen_before_it_stops_the_node(tmp_path: Path, free: int, state: str) -> None:
    assert checks.disk_space(tmp_path, lambda _: free).state == state


@pytest.mark.parametrize(
    ("chain_ms", "state"), [(None, "warn"), (10_000, "ok"), (12_000, "ok"), (13_000, "bad"), (1_000, "ok")]
)
def test_a_chain_ahead_of_our_clock_means_a_clock_is_wrong(chain_ms: int | None, state: str) -> None:
    assert checks.clock(chain_ms, 10_000).state == state
