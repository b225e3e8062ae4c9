"""What a devnet decides before anything runs, and whose folder it dares to touch."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from chain.spec import BadSpec
from cli.devnet.plan import Plan, check_ports, clean, locked, make_plan, port_is_free, prepare
from cli.exits import BadInput, Unusable
from tests.support.specs import TWO_VALIDATORS


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(TWO_VALIDATORS))
    return file


def plan_of(tmp_path: Path, chain: Path, **options: Any) -> Plan:
    settings = {"count": None, "base_port": 9944, "p2p_base_port": None, "preset": None} | options
    return make_plan(folder=tmp_path / "net", chain=chain, **settings)


def test_each_node_has_its_own_ports_folder_and_key(tmp_path: Path, chain: Path) -> None:
    plan = plan_of(tmp_path, chain)

    assert [(n.rpc_port, n.p2p_port, n.dev_key, n.folder.name) for n in plan.nodes] == [
        (9944, 30_333, "//Alice", "node-0"),
        (9945, 30_334, "//Bob", "node-1"),
    ]
    arguments = plan.arguments(plan.nodes[1])
    assert arguments[:2] == ["node", "run"]
    assert arguments[arguments.index("--bootnode") + 1] == "127.0.0.1:30333"
    assert arguments.count("--bootnode") == 1


def test_a_second_start_continues_with_what_the_first_chose(tmp_path: Path, chain: Path) -> None:
    prepare(plan_of(tmp_path, chain, count=3, preset="main"))

    again = plan_of(tmp_path, chain)

    assert len(again.nodes) == 3
    assert again.spec["runtime"]["preset"] == "main"


@pytest.mark.parametrize("change", [{"count": 4}, {"preset": "main"}])
def test_another_genesis_on_an_old_chain_is_refused_and_cleaning_cures(
    tmp_path: Path, chain: Path, change: dict[str, Any]
) -> None:
    prepare(plan_of(tmp_path, chain))

    with pytest.raises(Unusable, match="--clean"):
        plan_of(tmp_path, chain, **change)
    clean(tmp_path / "net")

    assert plan_of(tmp_path, chain, **change).nodes


def test_an_edited_genesis_file_is_noticed(tmp_path: Path, chain: Path) -> None:
    prepare(plan_of(tmp_path, chain))
    chain.write_text(json.dumps(TWO_VALIDATORS | {"name": "Other"}))

    with pytest.raises(Unusable, match="another genesis"):
        plan_of(tmp_path, chain)


def test_a_genesis_no_chain_can_start_from_is_told_before_anything_runs(tmp_path: Path, chain: Path) -> None:
    chain.write_text(json.dumps(TWO_VALIDATORS | {"colour": 1}))

    with pytest.raises(BadSpec, match="colour"):
        plan_of(tmp_path, chain)
    assert not (tmp_path / "net").exists()


def test_a_folder_with_something_else_is_neither_used_nor_cleaned(tmp_path: Path, chain: Path) -> None:
    treasure = tmp_path / "net" / "node-photos"
    treasure.mkdir(parents=True)

    with pytest.raises(Unusable, match="node-photos"):
        plan_of(tmp_path, chain)
    with pytest.raises(Unusable, match="node-photos"):
        clean(tmp_path / "net")

    assert treasure.exists()


def test_cleaning_leaves_what_is_not_a_devnets(tmp_path: Path, chain: Path) -> None:
    plan = plan_of(tmp_path, chain)
    prepare(plan)
    plan.nodes[0].folder.mkdir()
    (plan.folder / "notes.txt").write_text("mine")

    clean(plan.folder)

    assert not plan.nodes[0].folder.exists()
    assert not plan.genesis.exists()
    assert (plan.folder / "notes.txt").read_text() == "mine"


def test_a_start_that_was_refused_leaves_the_folder_usable(tmp_path: Path, chain: Path) -> None:
    (tmp_path / "net").mkdir()
    with locked(tmp_path / "net"):
        pass

    assert plan_of(tmp_path, chain).nodes
    clean(tmp_path / "net")


def test_cleaning_what_is_not_there_does_nothing(tmp_path: Path) -> None:
    clean(tmp_path / "net")

    assert not (tmp_path / "net").exists()


def test_two_devnets_do_not_share_a_folder(tmp_path: Path, chain: Path) -> None:
    plan = plan_of(tmp_path, chain)
    prepare(plan)

    with locked(plan.folder):
        with pytest.raises(Unusable, match="already runs"), locked(plan.folder):
            pass
        with pytest.raises(Unusable, match="already runs"):
            clean(plan.folder)
    with locked(plan.folder):
        pass


def test_a_port_in_use_is_named_with_its_node(tmp_path: Path, chain: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        plan = plan_of(tmp_path, chain, base_port=port, p2p_base_port=20_000)  # the first that is looked at

        with pytest.raises(Unusable, match=f"port {port} "):
            check_ports(plan)
    assert port_is_free(port)


@pytest.mark.parametrize(
    "ports",
    [
        {"base_port": 0},
        {"base_port": 65_535, "p2p_base_port": 30_333},
        {"base_port": 60_000},
        {"base_port": 9_944, "p2p_base_port": 9_945},
    ],
)
def test_ports_that_do_not_fit_are_refused(tmp_path: Path, chain: Path, ports: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        plan_of(tmp_path, chain, **ports)


def test_a_devnet_begins_only_while_none_of_its_nodes_ever_ran(tmp_path: Path, chain: Path) -> None:
    plan = plan_of(tmp_path, chain)
    prepare(plan)
    assert plan.begins

    plan.nodes[1].folder.mkdir()

    assert not plan.begins
