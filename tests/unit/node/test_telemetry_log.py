"""What a log line shows and what it never shows."""

import io
import logging
from collections.abc import Iterator

import msgspec
import pytest

from node.telemetry.log import JsonLines, KeyValueLines, configure, fields


def record(message: str = "done", **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "node.test", "levelno": 20, "levelname": "INFO", "msg": message, **extra})
    made.created = 1_767_225_600.25
    return made


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_is_time_level_room_message_and_fields() -> None:
    line = KeyValueLines().format(record("block is final", height=7, hash=b"\x01\xff", peer="a b"))

    assert line == '2026-01-01T00:00:00.250Z info node.test: block is final height=7 hash=0x01ff peer="a b"'


def test_json_carries_the_same_and_keeps_numbers() -> None:
    line = JsonLines().format(record("block is final", height=7, hash=b"\x01\xff", big=2**70))

    assert msgspec.json.decode(line) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "info",
        "room": "node.test",
        "message": "block is final",
        "height": 7,
        "hash": "0x01ff",
        "big": str(2**70),
    }


@pytest.mark.parametrize("name", ["seed", "suri", "password", "mnemonic", "validator_seed", "key_uri", "private_key"])
@pytest.mark.parametrize("formatter", [KeyValueLines(), JsonLines()])
def test_a_secret_is_masked_by_its_name(name: str, formatter: logging.Formatter) -> None:
    line = formatter.format(record(**{name: "bottom drive obey lake"}))

    assert "bottom" not in line
    assert "***" in line


def test_names_that_only_contain_a_secret_word_are_shown() -> None:
    assert fields(record(tokens=3, uriah=4, seeded=5)) == {"tokens": 3, "uriah": 4, "seeded": 5}


@pytest.mark.parametrize("evil", ["a\nb", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\ud800b"])
@pytest.mark.parametrize("formatter", [KeyValueLines(), JsonLines()])
def test_text_from_outside_cannot_forge_a_line(evil: str, formatter: logging.Formatter) -> None:
    line = formatter.format(record(evil, agent=evil))

    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    line.encode()


@pytest.mark.parametrize("value", ["x" * 100_000, b"x" * 100_000, 1 << 40_000], ids=["text", "bytes", "number"])
def test_a_long_value_is_cut(value: object) -> None:
    line = KeyValueLines().format(record("m" * 100_000, agent=value))

    assert len(line) < 4_000


def test_a_traceback_stays_below_its_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        broken = record(exc_info=(type(error), error, error.__traceback__))

    text = KeyValueLines().format(broken)

    assert "ValueError: broken" in text
    assert all(line.startswith("    ") for line in text.splitlines()[1:])
    assert "ValueError: broken" in msgspec.json.decode(JsonLines().format(broken))["trace"]


def test_configuring_twice_writes_each_line_once(root_logger: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()

    configure("info", stream=first)
    configure("warning", stream=second)
    logging.getLogger("node.test").info("unheard")
    logging.getLogger("node.test").warning("heard", extra={"height": 1})

    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1
    assert second.getvalue().endswith("warning node.test: heard height=1\n")
