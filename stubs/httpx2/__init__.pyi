from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

class ReadError(Exception): ...

class URL:
    @property
    def path(self) -> str: ...

class Request:
    method: str
    url: URL
    headers: Mapping[str, str]
    def read(self) -> bytes: ...

class SyncByteStream:
    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...

class Response:
    def __init__(
        self,
        status_code: int,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        stream: SyncByteStream | None = None,
    ) -> None: ...

class BaseTransport:
    def handle_request(self, request: Request) -> Response: ...
    def close(self) -> None: ...

class Answer:
    status_code: int
    content: bytes
    headers: Mapping[str, str]
    def read(self) -> bytes: ...
    def iter_lines(self) -> Iterator[str]: ...

class Client:
    def __init__(self, *, transport: BaseTransport, timeout: float | None) -> None: ...
    def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer: ...
    def stream(
        self, method: str, url: str, *, content: bytes, headers: Mapping[str, str]
    ) -> AbstractContextManager[Answer]: ...
