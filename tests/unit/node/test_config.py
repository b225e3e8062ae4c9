"""The order of configuration sources, and that no mistake passes silently."""

from pathlib import Path

import pytest

from node import config
from node.config import BadConfiguration, NodeConfig, RunsOptimised, load


def test_later_sources_win_default_then_file_then_environment_then_flag(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[rpc]\nport = 1\nhost = '10.0.0.1'\n[p2p]\nport = 2\n[storage]\nhistory_blocks = 3\n")
    environment = {"AITOKEN_RPC_PORT": "11", "AITOKEN_P2P_PORT": "12", "HOME": "/elsewhere"}

    loaded = load({"rpc.port": 21, "p2p.port": None}, file=file, environment=environment)

    assert loaded.rpc.port == 21
    assert loaded.p2p.port == 12
    assert loaded.storage.history_blocks == 3
    assert loaded.rpc.host == "10.0.0.1"
    assert loaded.log == NodeConfig().log


def test_lists_booleans_and_paths_come_from_the_environment_as_text() -> None:
    environment = {
        "AITOKEN_P2P_BOOTNODES": "a:1, b:2",
        "AITOKEN_STORAGE_ARCHIVE": "true",
        "AITOKEN_VALIDATOR_KEY_FILE": "keys/me",
        "AITOKEN_LOG_LEVEL": "debug",
    }

    loaded = load({}, environment=environment)

    assert loaded.p2p.bootnodes == ("a:1", "b:2")
    assert loaded.storage.archive is True
    assert loaded.validator.key_file == Path("keys/me")
    assert loaded.log.level == "debug"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rpc]\nprot = 1\n", "prot"),
        ("colour = 1\n", "colour"),
        ("[rpc]\nport = 70000\n", "65535"),
        ("[rpc]\nport = 'x'\n", "int"),
        ("[log]\nlevel = 'loud'\n", "loud"),
        ("rpc = 1\n", "rpc"),
        ("[rpc\n", "TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)

    with pytest.raises(BadConfiguration, match=message):
        load({}, file=file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"none\.toml"):
        load({}, file=tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["AITOKEN_RPC_PROT", "AITOKEN_PORT", "AITOKEN_RPC"])
def test_an_unknown_variable_of_ours_is_an_error(name: str) -> None:
    with pytest.raises(BadConfiguration, match=name):
        load({}, environment={name: "1"})


def test_a_bad_variable_is_named_with_its_reason() -> None:
    with pytest.raises(BadConfiguration, match="AITOKEN_RPC_PORT"):
        load({}, environment={"AITOKEN_RPC_PORT": "many"})


def test_variables_of_ours_that_are_no_settings_are_left_alone() -> None:
    loaded = load({}, environment=dict.fromkeys(config.NOT_CONFIGURATION, "x"))

    assert loaded == NodeConfig()


@pytest.mark.parametrize(
    "flags",
    [
        {"validator.dev_key": "word word word"},
        {"validator.dev_key": "//Alice", "validator.key_file": "k"},
        {"validator.force_sign": True},
        {"rpc.port": 5, "p2p.port": 5},
    ],
)
def test_contradictions_are_refused(flags: dict[str, object]) -> None:
    with pytest.raises(BadConfiguration):
        load(flags)


def test_a_secret_phrase_given_as_dev_key_is_not_repeated_in_the_error() -> None:
    with pytest.raises(BadConfiguration) as caught:
        load({"validator.dev_key": "bottom drive obey lake"})

    assert "bottom" not in str(caught.value)


def test_an_optimised_interpreter_is_refused() -> None:
    config.refuse_optimised(0)
    with pytest.raises(RunsOptimised):
        config.refuse_optimised(1)
