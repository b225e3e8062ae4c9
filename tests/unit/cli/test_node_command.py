"""`aitoken node run` hands over exactly what was asked for, and tells a bad disk from a bug."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import node
from aitoken.errors import Bug, Rejected, Unavailable
from cli.exits import Exit
from node import config as settings
from node.config import NodeConfig
from node.telemetry import log

Run = Callable[..., Result]


class Service(types.ModuleType):
    """Stands in for the composition root."""

    def __init__(self) -> None:
        super().__init__("node.service")
        self.configs: list[NodeConfig] = []
        self.outcome: Exception | int | None = None

    def run(self, config: NodeConfig) -> int | None:
        self.configs.append(config)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    stand_in = Service()
    monkeypatch.setitem(sys.modules, "node.service", stand_in)
    monkeypatch.setattr(node, "service", stand_in, raising=False)
    monkeypatch.setattr(log, "configure", lambda *_, **__: None)
    return stand_in


def test_without_options_the_defaults_hold(aitoken: Run, service: Service) -> None:
    result = aitoken("node", "run")

    assert result.exit_code == 0, result.output
    assert service.configs == [NodeConfig()]


def test_every_option_reaches_its_setting(aitoken: Run, service: Service) -> None:
    aitoken(
        *(
            "node",
            "run",
            "--chain",
            "g.json",
            "--data-dir",
            "d",
            "--name",
            "Alice",
            "--validator",
            "--dev-key",
            "//Alice",
        ),
        *("--force-sign", "--rpc-host", "0.0.0.0", "--rpc-port", "1", "--rpc-cors", "*", "--unsafe-rpc"),
        *("--p2p-host", "::", "--p2p-port", "2", "--bootnode", "a:1", "--bootnode", "b:2"),
        *("--archive", "--history", "3", "--workers", "4", "--log-level", "debug", "--log-json"),
    )

    assert service.configs == [
        NodeConfig(
            chain=Path("g.json"),
            data_dir=Path("d"),
            name="Alice",
            workers=4,
            rpc=settings.RpcConfig(host="0.0.0.0", port=1, cors=("*",), unsafe=True),
            p2p=settings.P2pConfig(host="::", port=2, bootnodes=("a:1", "b:2")),
            storage=settings.StorageConfig(archive=True, history_blocks=3),
            validator=settings.ValidatorConfig(enabled=True, dev_key="//Alice", force_sign=True),
            log=settings.LogConfig(level="debug", json=True),
        )
    ]


def test_an_option_that_is_not_given_leaves_file_and_environment_in_force(
    aitoken: Run, service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text("[validator]\nenabled = true\n[rpc]\nport = 5\n")

    aitoken("node", "run", "--config", str(file), env={"AITOKEN_P2P_PORT": "6", "AITOKEN_RPC_PORT": "7"})

    assert service.configs[0].validator.enabled
    assert service.configs[0].rpc.port == 7
    assert service.configs[0].p2p.port == 6


class DiskFull(Unavailable):
    """No space is left."""

    code = "store.full"


class WrongGenesis(Rejected):
    """Another chain."""

    code = "store.genesis"


@pytest.mark.parametrize("error", [DiskFull("no space"), WrongGenesis("another chain")])
def test_a_node_that_cannot_run_ends_with_one_line_and_its_own_code(
    aitoken: Run, service: Service, error: Exception
) -> None:
    service.outcome = error

    result = aitoken("node", "run")

    assert result.exit_code == Exit.UNUSABLE
    assert str(error) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bug_of_the_node_is_not_hidden(aitoken: Run, service: Service) -> None:
    service.outcome = Bug("two blocks at one height")

    assert isinstance(aitoken("node", "run").exception, Bug)


def test_the_code_the_node_ends_with_is_passed_on(aitoken: Run, service: Service) -> None:
    service.outcome = 5

    assert aitoken("node", "run").exit_code == 5


@pytest.mark.parametrize(
    "arguments", [("--dev-key", "word word"), ("--rpc-port", "99999"), ("--history", "0"), ("--log-level", "loud")]
)
def test_wrong_settings_start_nothing(aitoken: Run, service: Service, arguments: tuple[str, ...]) -> None:
    result = aitoken("node", "run", *arguments)

    assert result.exit_code == Exit.USAGE
    assert service.configs == []
    assert "Traceback" not in result.output


def test_an_optimised_interpreter_starts_nothing(
    aitoken: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise settings.RunsOptimised("-O")

    monkeypatch.setattr(settings, "refuse_optimised", refuse)

    assert aitoken("node", "run").exit_code == Exit.USAGE
    assert service.configs == []
