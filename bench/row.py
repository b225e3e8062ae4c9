"""One line of a result."""

from typing import NamedTuple


class Row(NamedTuple):
    """A measured figure."""

    subject: str
    what: str
    figure: float
    unit: str
