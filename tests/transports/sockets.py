"""Real sockets for tests: which are open, which ports are free, who has taken one."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import socket
from collections.abc import Iterator

KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


def has_ipv6() -> bool:
    """Return whether this machine can talk to itself by IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def open_sockets() -> set[str]:
    """Return the names of the sockets that this process has open."""
    gc.collect()  # what other tests forgot must not be closed while one counts
    folder, found = "/proc/self/fd", set()
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # the listing itself
            found.add(os.readlink(f"{folder}/{name}"))
    return {name for name in found if name.startswith("socket:")}


@contextlib.contextmanager
def occupied(kind: str, host: str, port: int, *options: int) -> Iterator[socket.socket]:
    """Be another server on the port, with socket options of its choice."""
    with socket.socket(family_of(host), KINDS[kind]) as other:
        for option in options:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind((host, port))
        if kind == "TCP":
            other.listen(1)
        yield other


def free_ports(count: int) -> int:
    """Return the first of *count* ports that are free by TCP and UDP on all addresses."""
    for _ in range(200):
        # Below the range that the kernel gives to outgoing connections: of those,
        # thousands may linger for a minute after other tests.
        first = random.randrange(20_000, 32_000)
        if all(map(_is_free, range(first, first + count))):
            return first
    raise AssertionError("no free ports found")


def _is_free(port: int) -> bool:
    host = "::" if has_ipv6() else "0.0.0.0"
    try:
        for kind in KINDS:
            with occupied(kind, host, port):
                continue
    except OSError:
        return False
    return True
