"""Each command against a fake node: what is sent, what is printed where, and how it ends."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from aitoken.client.errors import FateUnknown, UnknownName
from aitoken.crypto.derive import pair_from_uri
from aitoken.errors import Bug, Rejected, Unavailable
from cli.exits import Exit
from cli.main import COMMANDS, main

Run = Callable[..., Result]
ALICE = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
BOB_KEY = pair_from_uri("//Bob").public


def test_the_help_lines_are_those_of_the_commands() -> None:
    import click

    context = click.Context(main)
    for name, (_, line) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(200) == line


def test_help_imports_no_command(aitoken: Run) -> None:
    assert "transfer" in aitoken("--help").output


def test_an_unknown_command_is_a_usage_error(aitoken: Run) -> None:
    result = aitoken("tranfser")

    assert result.exit_code == Exit.USAGE
    assert result.stdout == ""


def test_balance_shows_what_can_be_sent_after_freezes_beyond_the_reserved(aitoken: Run) -> None:
    result = aitoken("balance", "//Alice", "--output", "json")

    assert result.exit_code == 0
    assert msgspec.json.decode(result.stdout) == {
        "address": ALICE,
        "free": 5 * 10**12,
        "reserved": 10**12,
        "frozen": 2 * 10**12,
        "transferable": 4 * 10**12,
        "nonce": 3,
    }
    assert "transferable  4 AIT" in aitoken("balance", ALICE).stdout


def test_transfer_sends_the_exact_amount_and_says_where_it_went(aitoken: Run, client) -> None:
    result = aitoken("transfer", "//Alice", "//Bob", "1.000000000001", "--tip", "0.5", "--output", "json")

    assert result.exit_code == 0, result.output
    call = ("Balances", "transfer_keep_alive", {"dest": BOB_KEY, "value": 10**12 + 1})
    assert client.submitted == [(call, pair_from_uri("//Alice").public, "final", 5 * 10**11)]
    assert client.closed
    answer = msgspec.json.decode(result.stdout)
    block = {"block_hash": "0x02", "block_number": 7, "index": 1}
    assert answer == {"hash": "0x01", "success": True, "fee": 5, "value": 10**12 + 1} | block
    assert "sending 1.000000000001 AIT" in result.stderr


@pytest.mark.parametrize(("option", "wait"), [("none", "none"), ("in-block", "in_block"), ("final", "final")])
def test_transfer_waits_as_told(aitoken: Run, client, option: str, wait: str) -> None:
    aitoken("transfer", "//Alice", "//Bob", "1", "--wait", option)

    assert client.submitted[0][2] == wait


def test_transfer_may_empty_the_account_only_when_told(aitoken: Run, client) -> None:
    aitoken("transfer", "//Alice", "//Bob", "1", "--allow-death")

    assert client.submitted[0][0][1] == "transfer_allow_death"


@pytest.mark.parametrize(
    "arguments",
    [
        ("//Alice", "//Bob", "0"),
        ("//Alice", "//Bob", "1e3"),
        ("//Alice", ALICE[:-1], "1"),
        ("//Alice", "0x12", "1"),
        ("//Alice", "bottom drive obey", "1"),
        ("//Alice", "//Bob", "1", "--tip", "x"),
        ("//Alice", "//Bob", "1", "--wait", "long"),
        ("//Alice", "//Bob", "1", "--key-file", "a", "--suri-file", "b"),
        ("//Alice", "//Bob", "1", "--suri-file", "/nonexistent/file"),
    ],
)
def test_wrong_input_sends_nothing(aitoken: Run, client, arguments: tuple[str, ...]) -> None:
    result = aitoken("transfer", *arguments)

    assert result.exit_code == Exit.USAGE
    assert client.submitted == []
    assert "Traceback" not in result.output


def test_a_secret_of_another_account_is_refused(aitoken: Run, client, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("//Bob\n")
    file.chmod(0o600)

    result = aitoken("transfer", ALICE, "//Charlie", "1", "--suri-file", str(file))

    assert result.exit_code == Exit.USAGE
    assert client.submitted == []


def test_a_secret_comes_from_a_file_or_a_prompt_and_is_never_printed(aitoken: Run, client, tmp_path: Path) -> None:
    phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk//Alice"
    file = tmp_path / "secret"
    file.write_text(phrase + "\n")
    file.chmod(0o600)

    from_file = aitoken("transfer", ALICE, "//Bob", "1", "--suri-file", str(file))
    prompted = aitoken("transfer", ALICE, "//Bob", "1", input=phrase + "\n")
    mistyped = aitoken("transfer", ALICE, "//Bob", "1", input=phrase.replace("obey", "obay") + "\n")

    assert [from_file.exit_code, prompted.exit_code, mistyped.exit_code] == [0, 0, Exit.USAGE]
    assert [sent[1] for sent in client.submitted] == [pair_from_uri("//Alice").public] * 2
    for result in (from_file, prompted, mistyped):
        assert "drive" not in result.output
        assert "lonely" not in result.output


def test_a_secret_file_others_can_read_is_warned_about(aitoken: Run, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("//Alice")
    file.chmod(0o644)

    result = aitoken("transfer", ALICE, "//Bob", "1", "--suri-file", str(file))

    assert "chmod 600" in result.stderr


class Poor(Rejected):
    """The account cannot pay."""

    code = "test.poor"


class Away(Unavailable):
    """Nobody answers."""

    code = "test.away"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Poor(), Exit.REFUSED),
        (Away("no route"), Exit.UNREACHABLE),
        (FateUnknown("0x01", "not seen"), Exit.UNKNOWN),
        (UnknownName("no such pallet"), Exit.USAGE),
    ],
)
def test_an_error_is_one_line_on_stderr_with_its_code(aitoken: Run, client, error: Exception, code: Exit) -> None:
    client.receipt = error

    result = aitoken("transfer", "//Alice", "//Bob", "1")

    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.count("\n") == 2  # the progress line and the error
    assert f"[{error.code}]" in result.stderr
    assert "Traceback" not in result.stderr
    assert client.closed


def test_a_call_that_failed_on_chain_is_a_refusal_with_its_receipt(aitoken: Run, client) -> None:
    client.receipt.success, client.receipt.error = False, "Balances.InsufficientBalance"

    result = aitoken("transfer", "//Alice", "//Bob", "1", "--output", "json")

    assert result.exit_code == Exit.REFUSED
    assert msgspec.json.decode(result.stdout)["block_hash"] == "0x02"
    assert "Balances.InsufficientBalance" in result.stderr


def test_a_bug_is_not_hidden(aitoken: Run, client) -> None:
    client.receipt = Bug("impossible")

    result = aitoken("transfer", "//Alice", "//Bob", "1")

    assert isinstance(result.exception, Bug)
    assert result.exit_code == Exit.BUG


def test_query_reads_keys_as_meant_and_prints_exact_integers(aitoken: Run, client) -> None:
    client.answers["Assets.Account"] = {"balance": 2**127, "owner": b"\x01"}

    result = aitoken("query", "Assets", "Account", "7", "//Bob")

    assert client.queried == [("Assets", "Account", 7, BOB_KEY)]
    assert result.stdout == '{"balance":170141183460469231731687303715884105728,"owner":"0x01"}\n'


def test_the_node_is_the_one_named_by_option_or_environment(aitoken: Run, client) -> None:
    aitoken("balance", "//Alice", env={"AITOKEN_URL": "ws://a:1"})
    assert client.answers["url"] == "ws://a:1"

    aitoken("balance", "//Alice", "--url", "ws://b:2", env={"AITOKEN_URL": "ws://a:1"})
    assert client.answers["url"] == "ws://b:2"

    assert aitoken("balance", "//Alice", "--url", "b:2").exit_code == Exit.USAGE
