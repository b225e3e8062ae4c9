"""Log lines for people (`key=value`) and for machines (one JSON object a line), never with a secret in them.

A line is `time level room: message key=value ...`; fields come from `extra={...}` of the standard `logging` calls:

    log.info("block is final", extra={"height": 7, "hash": block_hash})

Rules. A field whose name tells of a secret is masked. Bytes are shown as 0x-hex.
What came from outside cannot forge a line (control characters are escaped) nor fill the disk (values are cut).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Final

import msgspec

VALUE_CHARACTERS_MAX: Final = 512
MESSAGE_CHARACTERS_MAX: Final = 2_048
TRACE_CHARACTERS_MAX: Final = 16_384
MASKED: Final = "***"

_SECRET_NAMES: Final = re.compile(
    r"(^|_)(suri|uri|seed|secret|password|passphrase|mnemonic|phrase|private|entropy|keypair|token)(_|$)"
)
_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN_VALUE: Final = re.compile(r'[^\s="]+')


def configure(level: str = "info", *, json: bool = False, stream: IO[str] | None = None) -> None:
    """Send everything of `level` and above to `stream` (stderr), replacing whatever was set up before."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if json else KeyValueLines())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel("WARNING")
    logging.captureWarnings(capture=True)
    # No line shows what these would find out for each (logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 - the HOWTO's own switch, there is no public one


class KeyValueLines(logging.Formatter):
    """`2026-01-01T00:00:00.000Z info node.driver: block is final height=7`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and below it, indented, a traceback where there is one."""
        parts = [f"{_time(record)} {record.levelname.lower()} {record.name}: {_message(record)}"]
        parts += [f"{name}={_quoted(value)}" for name, value in fields(record).items()]
        line = " ".join(parts)
        trace = _trace(record)
        return f"{line}\n    {trace.replace(chr(10), chr(10) + '    ')}" if trace else line


class JsonLines(logging.Formatter):
    """The same as JSON: `time`, `level`, `room`, `message`, then the fields; a field never hides one of those four."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one JSON object without a line break."""
        line: dict[str, object] = dict(fields(record))
        trace = _trace(record)
        if trace:
            line["trace"] = trace
        line |= {
            "time": _time(record),
            "level": record.levelname.lower(),
            "room": record.name,
            "message": _message(record),
        }
        return msgspec.json.encode(line).decode()


def fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What the caller passed as `extra`, made safe to show; ints and booleans keep their type."""
    return {
        name: MASKED if _SECRET_NAMES.search(name.lower()) else _shown(value)
        for name, value in vars(record).items()
        if name not in _STANDARD_FIELDS and not name.startswith("_")
    }


def _shown(value: object) -> object:
    if value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    if isinstance(value, int):  # in hex where it is huge: decimal digits of such a number are refused or slow
        text = str(value) if value.bit_length() <= 1_024 else hex(value)
    elif isinstance(value, bytes | bytearray | memoryview):
        text = "0x" + bytes(value[: VALUE_CHARACTERS_MAX // 2]).hex()
    else:
        text = str(value)
    return _clean(text, VALUE_CHARACTERS_MAX)


def _clean(text: str, characters_max: int) -> str:
    if len(text) > characters_max:
        text = f"{text[:characters_max]}...({len(text)} characters)"
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN_VALUE.fullmatch(text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _message(record: logging.LogRecord) -> str:
    return _clean(record.getMessage(), MESSAGE_CHARACTERS_MAX)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _trace(record: logging.LogRecord) -> str:
    text = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return text[-TRACE_CHARACTERS_MAX:]
