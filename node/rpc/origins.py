"""Which web pages may talk to this node, and under which names it answers.

A browser sends `Origin` with every WebSocket and cross-site request; pages that are not listed get 403, and so does
the opaque origin `null`. `Host` is checked against DNS rebinding: a page of an attacker may point a name of its own at
127.0.0.1, but cannot make the browser lie about that name. Programs without a browser send no Origin and pass, or
the node's own address, as websocket-client of Python does; that passes too, for no page can have such an origin
unless the node serves it.

Patterns are `scheme://host`, `scheme://host:port` or `scheme://host:*`; `*` alone allows everything.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origins:
    """An allow-list of web origins."""

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = list(patterns)
        self.allows_all = "*" in listed
        self._exact = frozenset(filter(None, (_normal(pattern) for pattern in listed)))
        self._any_port = frozenset(
            pattern.lower().removesuffix(":*") for pattern in listed if pattern.endswith(":*") and "://" in pattern
        )

    def allows(self, origin: str | None) -> bool:
        """Whether a request with this `Origin` header (None: without one) is served."""
        if origin is None or self.allows_all:
            return True
        normal = _normal(origin)
        if normal is None:
            return False
        return normal in self._exact or normal.rpartition(":")[0] in self._any_port


def _normal(origin: str) -> str | None:
    """Return `scheme://host:port` in lower case; None for what is no origin."""
    try:
        parts = urlsplit(origin)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.scheme or not parts.hostname or port is None or parts.path or parts.query or parts.fragment:
        return None
    if parts.username is not None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}".lower()


class Hosts:
    """The names in `Host` headers this node answers to; empty means any."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._last = ""

    @property
    def is_checked(self) -> bool:
        """Whether only listed names are answered."""
        return bool(self._names)

    def allows(self, host: str | None) -> bool:
        """Whether a request for this `Host` header is served."""
        if not self._names:
            return True
        if not host:
            return False
        if host == self._last:
            return True
        if host_name(host) not in self._names:
            return False
        self._last = host
        return True


def host_name(host: str) -> str | None:
    """Return the name in a `Host` header in lower case, without port and brackets; None when malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.rstrip(".")


def is_own_origin(origin: str, host: str | None, hosts: Hosts) -> bool:
    """Whether `origin` is the very address the request went to, and not by a name somebody else may have made up."""
    normal = _normal(origin)
    if normal is None or not host or normal != _normal(f"{origin.partition('://')[0]}://{host}"):
        return False
    return hosts.is_checked or _is_literal(host_name(host) or "")


def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def hosts_for(listen: str, extra: Iterable[str] = ()) -> Hosts:
    """Return the names a node listening on `listen` answers to.

    On loopback only its own names and those in `extra`. On a public address any IP literal would have to be allowed,
    so names are checked only when `extra` gives some.
    """
    names = set(extra)
    if is_loopback(listen):
        return Hosts(LOCAL_NAMES | names | {listen})
    return Hosts(names)


def is_loopback(listen: str) -> bool:
    """Whether nobody outside this machine reaches an address."""
    try:
        return ipaddress.ip_address(listen).is_loopback
    except ValueError:
        return listen == "localhost"
