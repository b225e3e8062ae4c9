"""Server-sent events (WHATWG HTML, "event stream"): written, and read from pieces of any size within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.ports import Event, UpstreamFailed

CONTENT_TYPE: Final = "text/event-stream"
EVENT_BYTES_MAX: Final = 1 << 20
DONE: Final = "[DONE]"


def encode_event(event: Event) -> bytes:
    """Return an event as bytes; its data has no line break."""
    head = f"event: {event.name}\n" if event.name else ""
    return f"{head}data: {event.data}\n\n".encode()


class EventReader:
    """Turns bytes into events."""

    def __init__(self) -> None:
        self._left = b""
        self._name = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Take bytes; give the events that are whole with them.

        Raises:
            UpstreamFailed: an event is too long.
        """
        lines = (self._left + piece).split(b"\n")
        self._left = lines.pop()
        if len(self._left) + sum(len(data) for data in self._data) > EVENT_BYTES_MAX:
            raise UpstreamFailed("the upstream sends an event without end")
        for raw in lines:
            line = raw.rstrip(b"\r").decode("utf-8", "replace")
            if not line:
                if self._data:
                    yield Event("\n".join(self._data), self._name)
                self._name, self._data = "", []
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                self._data.append(value)
            elif field == "event":
                self._name = value
