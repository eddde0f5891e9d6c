"""
``rustdesk-utils doctor``: looks at a server from outside, as a client would.

The lines of the original come first and look as there; the NAT tests and the
summary are ours.

Source: protocol.md section 5.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from attrs import frozen

from rdserver.cli.network import DEFAULT_PORT, Network
from rdserver.errors import ProtocolError

LOWEST_PORT, HIGHEST_PORT = 3, 65532
"""The ports checked lie from 2 below to 3 above it."""


@frozen
class Target:
    """
    What is to be looked at.

    :ivar host: a name in lower case, or an IP address.
    :ivar port: the ID server's main port.
    """

    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """Whether *host* must be resolved."""
        return not _is_ip(self.host)


@frozen
class _Service:
    """A TCP port, by its distance from the main one."""

    offset: int
    description: str
    is_needed: bool = True
    has_nat_test: bool = False


_SERVICES = (
    _Service(-2, "API", is_needed=False),
    _Service(-1, "hbbs extra port for nat test", has_nat_test=True),
    _Service(0, "hbbs", has_nat_test=True),
    _Service(1, "hbbr tcp"),
    _Service(2, "hbbs websocket", is_needed=False),
    _Service(3, "hbbr websocket", is_needed=False),
)


def parse_target(text: str) -> Target | None:
    """Read HOST, HOST:PORT, an IP address, or [IPV6]:PORT; None: it is nothing such."""
    text = text.strip().lower()
    if _is_ip(text):
        return Target(text, DEFAULT_PORT)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    if not (host and port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    return Target(host, int(port)) if LOWEST_PORT <= int(port) <= HIGHEST_PORT else None


class Doctor:
    """
    Checks a server and says what it finds.

    :param say: takes one line of text at a time.
    :param now: monotonic clock, in seconds.
    """

    def __init__(
        self, network: Network, say: Callable[[str], None], now: Callable[[], float]
    ) -> None:
        self._network = network
        self._say = say
        self._now = now

    def examine(self, text: str) -> int:
        """Return 0 if all that clients need answers on every address, else 1."""
        target = parse_target(text)
        if target is None:
            self._say(f"ERROR: {text.strip()} is no HOST or HOST:PORT")
            return 1
        self._say(f"Checking server:  {text.strip().lower()}")
        self._say("")
        addresses = self._addresses(target)
        faults = {ip: self._check_address(ip, target) for ip in addresses}
        return self._summarise(faults, target) if faults else 1

    def _addresses(self, target: Target) -> list[str]:
        if not target.is_name:
            return [target.host]
        try:
            found = self._network.resolve(target.host)
        except OSError as e:
            self._say(f"ERROR: {target.host} has no IP address: {e.strerror or e}")
            return []
        self._say(f"Found {len(found)} IP addresses: ")
        for ip in found:
            self._say(f" - {ip}")
        return found

    def _check_address(self, ip: str, target: Target) -> list[str] | None:
        """Return what is needed and does not answer; None: this could not be seen."""
        is_ipv6 = ":" in ip
        self._say("")
        self._say(f"Checking IP address: {ip}")
        self._say(f"Is IPV4: {str(not is_ipv6).lower()}")
        self._say(f"Is IPV6: {str(is_ipv6).lower()}")
        if target.is_name:
            self._check_name(ip, target.host)
        if not self._network.has_route(ip):
            self._say("This machine has no route to this address: not checked")
            return None
        return self._check_ports(ip, target.port)

    def _check_name(self, ip: str, host: str) -> None:
        name = self._network.name_of(ip)
        if name is None:
            self._say(f"Reverse DNS lookup: no name found for {ip}")
        elif name.lower().rstrip(".") == host.rstrip("."):
            self._say(f"Reverse DNS lookup: '{name}' MATCHES server address")
        else:
            self._say(f"Reverse DNS lookup: '{name}' DOESN'T MATCH server address '{host}'")

    def _check_ports(self, ip: str, main_port: int) -> list[str]:
        network, faults, nat_tests = self._network, [], []
        for service in _SERVICES:
            port = main_port + service.offset
            if not self._try(
                f"TCP Port {port} ({service.description})", network.connect, ip, port
            ):
                faults += [f"TCP {port}"] if service.is_needed else []
            elif service.has_nat_test:
                nat_tests.append(port)
        for port in nat_tests:
            if not self._try(f"TCP Port {port} (NAT test)", network.nat_test_tcp, ip, port):
                faults.append(f"NAT test on TCP {port}")
        if not self._try(
            f"UDP Port {main_port} (hbbs)", network.nat_test_udp, ip, main_port
        ):
            faults.append(f"UDP {main_port}")
        return faults

    def _try(
        self, what: str, check: Callable[[str, int], None], ip: str, port: int
    ) -> bool:
        began = self._now()
        try:
            check(ip, port)
        except (OSError, ProtocolError):
            self._say(f"{what}: ERROR")
            return False
        self._say(f"{what}: OK in {int((self._now() - began) * 1000)} ms")
        return True

    def _summarise(self, faults: dict[str, list[str] | None], target: Target) -> int:
        checked = {ip: found for ip, found in faults.items() if found is not None}
        bad = {ip: found for ip, found in checked.items() if found}
        self._say("")
        for ip, found in bad.items():
            self._say(
                f"Summary: PROBLEM, no answer from {ip} on {', '.join(found)}:"
                " is the server running, and do firewalls and routers let this pass?"
            )
        if not checked:
            self._say("Summary: PROBLEM, no address could be checked from this machine")
        elif not bad:
            self._say("Summary: OK, everything that clients need answers")
        self._say(
            f"TCP ports {target.port - 2} (API), {target.port + 2} and {target.port + 3}"
            " (websocket) are optional: an ERROR there matters only if you use them"
        )
        return 1 if bad or not checked else 0


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
