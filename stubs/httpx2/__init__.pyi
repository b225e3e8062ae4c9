from collections.abc import Iterator, Mapping

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
