"""Files for operators name what exists: figures, options, services, exit codes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import msgspec
import pytest

from cli.commands.node import node
from cli.commands.signer import signer
from cli.exits import Exit

ROOT = Path(__file__).resolve().parents[3]
PACKAGING = ROOT / "packaging"
UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
REGISTERED = re.compile(r"\.(?:counter|gauge|histogram)\(\s*\"([a-z_]+)\"")
SUFFIXES = re.compile(r"_(?:bucket|sum|count|total)$")


def registered() -> set[str]:
    """The figures a node keeps, as Prometheus calls them."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "node").rglob("*.py")]
    return {f"aitoken_{name}" for text in texts for name in REGISTERED.findall(text)}


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_every_figure_that_is_shown_or_watched_is_kept(name: str) -> None:
    text = (PACKAGING / "monitoring" / name).read_text(encoding="utf-8")
    used = set(re.findall(r"aitoken_[a-z_]+", text))
    known = registered()

    assert used
    assert sorted(each for each in used if each not in known and SUFFIXES.sub("", each) not in known) == []


def test_the_dashboard_is_whole() -> None:
    board = msgspec.json.decode((PACKAGING / "monitoring" / "dashboard.json").read_bytes())
    shown = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(target["expr"] for panel in shown for target in panel["targets"])


def test_every_alert_says_what_to_do() -> None:
    text = (PACKAGING / "monitoring" / "alerts.yml").read_text(encoding="utf-8")
    alerts = text.split("- alert: ")[1:]
    assert len(alerts) > 5
    for alert in alerts:
        assert {"expr:", "severity:", "summary:", "action:"} <= set(alert.split()), alert


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


def test_the_containers_are_started_with_options_that_exist() -> None:
    text = (PACKAGING / "container" / "compose.yml").read_text(encoding="utf-8")
    services = re.findall(r"^  ([a-z]+):\n    <<: \*node", text, re.MULTILINE)
    commands = re.findall(r"command: \[(.*)\]", text)
    assert len(services) == len(commands) == 4
    for own, command in zip(services, commands, strict=True):
        words = [word.strip().strip('"') for word in command.split(",")]
        assert words[:2] == ["node", "run"]
        assert {word for word in words if word.startswith("--")} <= options_of(node.commands["run"])
        others = {word.partition(":")[0] for word in words if word.endswith(":30333")}
        assert others == set(services) - {own}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_services_run_commands_that_exist_and_stay_down_when_told(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    (started,) = re.findall(r"^ExecStart=\S+/aitoken (.*)$", text, re.MULTILINE)
    group, command, *words = started.split()
    known = {"node": node, "signer": signer}[group].commands[command]
    assert {word for word in words if word.startswith("--")} <= options_of(known)
    stays = set(re.search(r"RestartPreventExitStatus=(.*)", text)[1].split())  # type: ignore[index]
    assert stays == {str(int(code)) for code in (Exit.USAGE, Exit.UNUSABLE, Exit.FAILED)}
    assert "LimitCORE=0" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(encoding="utf-8"), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text, encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_image_contains_keys_or_chains() -> None:
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {"data", "**/keys", "**/*.key", ".git"} <= set(left_out)
