"""Network namespaces joined by a switch that delays and loses IP packets, in user space. Needs root and /dev/net/tun.

    python -m faults.switch --nodes 7 --delay-ms 100 --loss 0.03 --prefix ait --subnet 10.90.1

Namespace `ait-0` has the address 10.90.1.1 on a TUN device whose other end is this process, and so on; this machine
itself is 10.90.1.250 and suffers nothing. Of packets between namespaces each one is lost with the given probability, or
delivered after the delay: what TCP makes of that is the kernel's business, as on a real wire. Prints `ready`, and upon
SIGTERM the counts as JSON; namespaces and devices are gone then.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import json
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

import click

MTU: Final = 1500
READY: Final = "ready"
_TUNSETIFF: Final = 0x400454CA
_TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000
_HOST: Final = 250
_BURST: Final = 256
"""Packets taken from one device before the others have their turn."""


class NoNamespaces(Exception):
    """Namespaces or TUN devices cannot be had here; says why."""


@dataclass(slots=True)
class Counts:
    """Packets between namespaces."""

    sent: int = 0
    lost: int = 0
    delivered: int = 0


def namespace(prefix: str, index: int) -> str:
    """The name of a node's namespace."""
    return f"{prefix}-{index}"


def address(subnet: str, index: int) -> str:
    """Where a node is reached."""
    return f"{subnet}.{index + 1}"


class Switch:
    """Moves packets between the devices."""

    def __init__(self, devices: dict[int, int], delay_s: float, loss: float, random: Random) -> None:
        """Switch between `devices`: descriptor by last byte of the address."""
        self._devices = devices
        self._last_byte = {descriptor: last for last, descriptor in devices.items()}
        self._delay_s = delay_s
        self._loss = loss
        self._random = random
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._number = 0
        self.counts = Counts()
        self.is_over = False

    def run(self) -> None:
        """Switch until `is_over`."""
        with select.epoll() as waiting:
            for descriptor in self._last_byte:
                waiting.register(descriptor, select.EPOLLIN)
            while not self.is_over:
                for descriptor, _ in waiting.poll(self._until_next()):
                    self._take(descriptor)
                self._deliver()

    def _until_next(self) -> float:
        if not self._under_way:
            return 0.1
        return min(max(self._under_way[0][0] - time.monotonic(), 0.0), 0.1)

    def _take(self, descriptor: int) -> None:
        for _ in range(_BURST):
            try:
                packet = os.read(descriptor, 65_535)
            except BlockingIOError:
                return
            if len(packet) < 20 or packet[0] >> 4 != 4:
                continue
            target = self._devices.get(packet[19])
            if target is None:
                continue
            due = time.monotonic()
            if _HOST not in (packet[19], self._last_byte[descriptor]):
                self.counts.sent += 1
                if self._random.random() < self._loss:
                    self.counts.lost += 1
                    continue
                due += self._delay_s
            self._number += 1
            heapq.heappush(self._under_way, (due, self._number, target, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._under_way)
            with contextlib.suppress(OSError):  # a queue that is full drops, as a real one does
                os.write(target, packet)
                self.counts.delivered += 1


@contextlib.contextmanager
def devices(prefix: str, subnet: str, count: int) -> Iterator[dict[int, int]]:
    """Make the namespaces and their devices; remove them in the end.

    Raises:
        NoNamespaces: this takes root, `ip` and /dev/net/tun.
    """
    made: dict[int, int] = {}
    try:
        for index in range(count):
            name, device = namespace(prefix, index), f"{prefix}d{index}"
            _ip("netns", "add", name)
            made[index + 1] = _tun(device)
            _ip("link", "set", device, "netns", name)
            _ip("-n", name, "addr", "add", f"{address(subnet, index)}/24", "dev", device)
            _ip("-n", name, "link", "set", device, "mtu", str(MTU), "up")
            _ip("-n", name, "link", "set", "lo", "up")
        made[_HOST] = _tun(f"{prefix}host")
        _ip("addr", "add", f"{subnet}.{_HOST}/24", "dev", f"{prefix}host")
        _ip("link", "set", f"{prefix}host", "mtu", str(MTU), "up")
        yield made
    finally:
        for descriptor in made.values():
            os.close(descriptor)
        for index in range(count):
            with contextlib.suppress(NoNamespaces):
                _ip("netns", "del", namespace(prefix, index))


def _tun(name: str) -> int:
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH", name.encode(), _TUN_WITHOUT_HEADER))
    except OSError as error:
        raise NoNamespaces(f"/dev/net/tun: {error.strerror}") from None
    return descriptor


def _ip(*arguments: str) -> None:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        raise NoNamespaces("the command ip is not installed (package iproute2)") from None
    if done.returncode != 0:
        raise NoNamespaces(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


@click.command()
@click.option("--nodes", default=4, show_default=True, help="Namespaces.")
@click.option("--delay-ms", default=100.0, show_default=True, help="Of each packet, one way.")
@click.option("--loss", default=0.03, show_default=True, help="Probability that a packet is lost.")
@click.option("--seed", default=1, show_default=True, help="Which ones.")
@click.option("--prefix", default="ait", show_default=True, help="What the namespaces' names begin with.")
@click.option("--subnet", default="10.90.1", show_default=True, help="First three numbers of the addresses.")
def main(nodes: int, delay_ms: float, loss: float, seed: int, prefix: str, subnet: str) -> None:
    """Join namespaces by bad links until told to stop."""
    try:
        with devices(prefix, subnet, nodes) as made:
            switch = Switch(made, delay_ms / 1000, loss, Random(seed))  # noqa: S311 - which packets are lost

            def stop(*_: object) -> None:
                switch.is_over = True

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, stop)
            print(READY, flush=True)
            switch.run()
            print(json.dumps(asdict(switch.counts)), flush=True)
    except NoNamespaces as why:
        raise SystemExit(f"no network namespaces here: {why}") from None


if __name__ == "__main__":
    main()
