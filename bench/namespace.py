"""
A network of our own, in which nothing but the benchmark happens.

The congestion control is reno there: the default of many machines, BBR, sends at its
own pace even on loopback, and the figures would be its.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.build import say

_MARK = "BENCH_NAMESPACE"
_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SIOCETHTOOL = 0x8946
_OFFLOADS = {"tso": 0x1F, "gso": 0x24, "gro": 0x2C}  # ETHTOOL_STSO, _SGSO, _SGRO
_LOOPBACK_MTU = 65536
_IPV6 = "fd20::/16"
"""Where the addresses of devices are; loopback has a single one of its own."""


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def is_inside() -> bool:
    """Return whether this process was started by :func:`enter`."""
    return _MARK in os.environ


def enter(module: str) -> bool:
    """
    Run this program again, as *module*, in a network namespace; return there.

    :returns: whether we are in one; where that is not allowed, things go on as they are.
    """
    if is_inside():
        _furnish()
        return True
    for unshare in (("unshare", "-n"), ("unshare", "-Urn")):
        if _works(*unshare, "ip", "link", "set", "lo", "up"):
            os.environ[_MARK] = "1"
            arguments = [*unshare, sys.executable, "-m", module, *sys.argv[1:]]
            os.execvp(unshare[0], arguments)
    say(f"no network namespace: congestion control stays {congestion_control()}")
    return False


def _furnish() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    try:
        _CONTROL.write_text("reno")
        _PORTS.write_text("33000 65000")
        _works("ip", "-6", "route", "add", "local", _IPV6, "dev", "lo")
    except OSError as e:
        say(f"the network's settings cannot be changed: {e}")


def has_ipv6() -> bool:
    """Return whether clients may have any address of :data:`_IPV6`."""
    return is_inside() and _works("ip", "-6", "route", "get", _IPV6.partition("/")[0])


def congestion_control() -> str:
    """Return the congestion control of TCP connections here."""
    return _CONTROL.read_text().strip()


def _set_offloads(on: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in _OFFLOADS.values():
            value = array.array("I", [command, on])
            request = struct.pack("16sP", b"lo", value.buffer_info()[0])
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


def _set_mtu(mtu: int) -> None:
    subprocess.run(["ip", "link", "set", "lo", "mtu", str(mtu)], check=True)


@contextmanager
def small_packets() -> Iterator[None]:
    """Make every packet one of Ethernet's, 1500 bytes, cut and joined by nobody."""
    _set_mtu(1500)
    _set_offloads(False)
    try:
        yield
    finally:
        _set_offloads(True)
        _set_mtu(_LOOPBACK_MTU)
