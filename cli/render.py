"""Results on stdout, for a person or as JSON; everything else on stderr."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Output:
    """Where a command writes."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def progress(self, text: str) -> None:
        """Tell a person what is going on; never part of the result."""
        click.echo(text, err=True)

    def result(self, data: object, text: str) -> None:
        """Write the result: `data` as one line of JSON, or `text`."""
        click.echo(encode(data) if self.json else text)

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Write rows: JSON, a table on a terminal, aligned columns in a pipe."""
        if self.json:
            click.echo(encode(list(rows)))
            return
        cells = [[_cell(row.get(column)) for column in columns] for row in rows]
        if sys.stdout.isatty():
            _on_terminal(cells, columns)
        else:
            click.echo(aligned(cells, columns))


def output_option(command: Command) -> Command:
    """Add `--output` to a command; its function gets an `Output` as `out`."""

    @functools.wraps(command)
    def with_output(*arguments: Any, output: str, **options: Any) -> Any:
        return command(*arguments, out=Output(json=output == "json"), **options)

    option = click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people or programs.",
    )
    return option(with_output)  # type: ignore[return-value]  # the wrapper is what click sees


def encode(data: object) -> str:
    """JSON on one line with exact integers; bytes as 0x-hex."""
    import msgspec

    return msgspec.json.encode(plain(data)).decode()


def plain(data: object) -> Any:
    """The same with bytes as 0x-hex and keys as text, ready for JSON."""
    match data:
        case bytes() | bytearray():
            return "0x" + data.hex()
        case str() | int() | None:
            return data
        case Mapping():
            return {key if isinstance(key, str) else str(plain(key)): plain(value) for key, value in data.items()}
        case list() | tuple():
            return [plain(item) for item in data]
    if hasattr(data, "__dataclass_fields__"):
        return {name: plain(getattr(data, name)) for name in data.__dataclass_fields__}
    return str(data)


def aligned(cells: Sequence[Sequence[str]], columns: Sequence[str]) -> str:
    """Columns as wide as their widest cell."""
    lines = [list(columns), *[list(row) for row in cells]]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else str(plain(value))


def _on_terminal(cells: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console().print(table)
