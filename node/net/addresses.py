"""Network addresses as peers tell them: parsing, and the groups in which they count as one neighbourhood."""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

from aitoken.errors import Rejected

Address: TypeAlias = tuple[str, int]
HOST_SIZE_MAX: Final = 255


class BadAddress(Rejected):
    """Not `host:port`."""

    code = "net.bad_address"


def parse(address: str) -> Address:
    """Read `host:port`, `[v6]:port`, or a multiaddress such as `/ip4/127.0.0.1/tcp/30333`.

    Raises:
        BadAddress: it is none of these.
    """
    if address.startswith("/"):
        parts = address.split("/")
        if len(parts) < 5 or parts[1] not in ("ip4", "ip6", "dns", "dns4", "dns6") or parts[3] != "tcp":
            raise BadAddress(f"{address!r} is not /ip4/host/tcp/port")
        host, port = parts[2], parts[4]
    else:
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
    if not host or len(host) > HOST_SIZE_MAX or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65_536:
        raise BadAddress(f"{address!r} is not host:port")
    return host, int(port)


def multiaddress(address: Address) -> str:
    """Return the form in which Substrate clients show an address."""
    host, port = address
    ip = _ip(host)
    kind = "dns" if ip is None else f"ip{ip.version}"
    return f"/{kind}/{host}/tcp/{port}"


def is_local(host: str) -> bool:
    """Whether an address is of this very machine: a devnet, exempt from limits by address."""
    ip = _ip(host)
    return host == "localhost" if ip is None else ip.is_loopback


def is_public(host: str) -> bool:
    """Whether an address means the same to everybody."""
    ip = _ip(host)
    return ip is not None and ip.is_global


def group(host: str) -> str:
    """Return the neighbourhood of an address: /24 of IPv4, /48 of IPv6, a name itself."""
    return _prefix(host, 24, 48)


def wide_group(host: str) -> str:
    """Return the wide neighbourhood of an address: /16 of IPv4, /32 of IPv6, a name itself."""
    return _prefix(host, 16, 32)


def _prefix(host: str, bits_v4: int, bits_v6: int) -> str:
    ip = _ip(host)
    if ip is None:
        return host
    return str(ipaddress.ip_network((ip, bits_v4 if ip.version == 4 else bits_v6), strict=False))


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip
