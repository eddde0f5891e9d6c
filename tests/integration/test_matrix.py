"""
Every kind of A meets every kind of B through a real server, by the way that is foretold.

The tables are read off protocol.md, not off the server or the clients here:

- Whoever is behind a proxy or comes by WebSocket cannot be reached, so the way is a relay;
  so it is if A insists, or if one of both knows its NAT to be symmetric (7.3 to 7.6).
- Two at one public address try their own network first, unless A insists or is by
  WebSocket; B's NAT does not matter then (3.8 no. 7, 7.6).
- Else B punches.  It does so by UDP if A has found the port of its UDP socket, and B is
  not older than 1.4.1; else by TCP (7.4).
- A direct way that leads nowhere ends at the relay, by A's own request (appendix A2).
- How B registers, whether A is logged in (and exchanges keys), and how old both are makes
  no difference where nothing above names it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from unittest import SkipTest

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from rdserver.wire import pb
from tests.integration.home import Home
from tests.integration.namespace import Namespace
from tests.integration.peers.controlled import Controlled, Served
from tests.integration.peers.controlling import Outcome, call
from tests.integration.peers.profile import Mode, Path, Profile, Timing
from tests.integration.process import Ports
from tests.integration.sockets import fresh_host

MEGABYTE = 1_000_000
SERVED_S = 10.0
HOST6 = "2001:db8::"
TIMING = Timing(direct_s=1.5, least_udp_test_s=3.0)

BASE = Profile(key="", timing=TIMING)
NO_TCP = evolve(BASE, closed=frozenset({Path.TCP, Path.LAN}))
"""A firewall between A and B drops TCP, so that what they do else is seen."""
DUAL = evolve(NO_TCP, ipv6=HOST6)

KINDS_OF_A = {
    "plain": BASE,
    "logged_in": evolve(BASE, token="token"),
    "udp_punch": evolve(NO_TCP, udp_punch=True),
    "udp_logged_in": evolve(NO_TCP, udp_punch=True, token="token"),
    "all_open": evolve(BASE, udp_punch=True),
    "blocked": NO_TCP,
    "symmetric": evolve(BASE, nat_type=pb.SYMMETRIC),
    "force_relay": evolve(BASE, always_relay=True, udp_punch=True),
    "proxy": evolve(BASE, mode=Mode.PROXY),
    "websocket": evolve(BASE, mode=Mode.WEBSOCKET),
    "v1_1_9": evolve(BASE, version="1.1.9"),
    "ipv6": DUAL,
    "ipv6_symmetric": evolve(DUAL, nat_type=pb.SYMMETRIC, closed=frozenset({Path.RELAY})),
    "ipv6_force_relay": evolve(DUAL, always_relay=True),
}
KINDS_OF_B = {
    "udp": BASE,
    "tcp": evolve(BASE, mode=Mode.TCP),
    "proxy": evolve(BASE, mode=Mode.PROXY),
    "websocket": evolve(BASE, mode=Mode.WEBSOCKET),
    "symmetric": evolve(BASE, nat_type=pb.SYMMETRIC),
    "v1_1_9": evolve(BASE, version="1.1.9"),
    "ipv6": DUAL,
    "ipv6_tcp": evolve(DUAL, mode=Mode.TCP),
    "ipv6_websocket": evolve(DUAL, mode=Mode.WEBSOCKET),
    "ipv6_symmetric": evolve(DUAL, nat_type=pb.SYMMETRIC),
    "ipv6_v1_1_9": evolve(DUAL, version="1.1.9"),
}

# Each line is an A, each column a B.  Where two ways lead to B, the faster one is taken.
APART = """
                udp    tcp    proxy  websocket  symmetric  v1_1_9
plain           tcp    tcp    relay  relay      relay      tcp
logged_in       tcp    tcp    relay  relay      relay      tcp
udp_punch       udp    udp    relay  relay      relay      relay
udp_logged_in   udp    udp    relay  relay      relay      relay
all_open        either either relay  relay      relay      tcp
blocked         relay  relay  relay  relay      relay      relay
symmetric       relay  relay  relay  relay      relay      relay
force_relay     relay  relay  relay  relay      relay      relay
proxy           relay  relay  relay  relay      relay      relay
websocket       relay  relay  relay  relay      relay      relay
v1_1_9          tcp    tcp    relay  relay      relay      tcp
"""
AT_ONE_ADDRESS = """
                udp    tcp    proxy  websocket  symmetric  v1_1_9
plain           lan    lan    relay  relay      lan        lan
logged_in       lan    lan    relay  relay      lan        lan
all_open        lan    lan    relay  relay      lan        lan
blocked         relay  relay  relay  relay      relay      relay
symmetric       lan    lan    relay  relay      lan        lan
force_relay     relay  relay  relay  relay      relay      relay
proxy           relay  relay  relay  relay      relay      relay
websocket       relay  relay  relay  relay      relay      relay
v1_1_9          lan    lan    relay  relay      lan        lan
"""
# A device that the address of A by IPv6 is passed to, and that has one, answers with its
# own; even if it asks A to a relay, unless A insists on that or B cannot be reached (7.5).
# The clients talk to the server by IPv4 here.  An A that is closed to all but IPv6 shows
# that there is a way by IPv6 beside the relay.
WITH_IPV6 = """
                   udp    ipv6   ipv6_tcp  ipv6_websocket  ipv6_v1_1_9
ipv6               relay  ipv6   ipv6      relay           relay
ipv6_force_relay   relay  relay  relay     relay           relay
"""
IPV6_BESIDE_RELAY = """
                   ipv6   ipv6_tcp  ipv6_symmetric
ipv6_symmetric     ipv6   ipv6      ipv6
"""
# By IPv6 alone each has an address of its own: none is taken for that of a router, and
# two on one machine punch as well (3.17, W-S27).
BY_IPV6 = """
                udp    tcp    websocket  symmetric
plain           tcp    tcp    relay      relay
logged_in       tcp    tcp    relay      relay
udp_punch       udp    udp    relay      relay
blocked         relay  relay  relay      relay
websocket       relay  relay  relay      relay
"""
# A server that offers a key exchange at once, as others do: who does not take part skips
# it since 1.2.0, and loses the first of three requests before (7.1).
OFFERED_AT_ONCE = """
                udp    tcp    websocket  v1_1_9
plain           tcp    tcp    relay      tcp
logged_in       tcp    tcp    relay      tcp
v1_1_9          tcp    tcp    relay      tcp
"""

EITHER = {Path.TCP, Path.UDP}
_ids = count(100_000_000)


class Pairs(SynchronousTestCase):
    """Each pair of a table is a test."""

    @classmethod
    def new_home(cls) -> Home:
        """Return the server for the tests of this class."""
        return Home()

    def setUp(self) -> None:
        self.home = Home.of(type(self), self.new_home)

    def hosts(self) -> tuple[str, str]:
        """Return the addresses of A and B."""
        return fresh_host(), fresh_host()

    def profile(self, kind: Profile, host: str) -> Profile:
        """Return how a client of that kind is set up here."""
        key = (self.home.folder / "id_ed25519.pub").read_text().strip()
        return evolve(kind, key=key, host=host)

    def meet(self, kind_of_a: str, kind_of_b: str, expected: set[Path]) -> None:
        """Let A reach B, and check by what path."""
        a_host, b_host = self.hosts()
        a = self.profile(KINDS_OF_A[kind_of_a], a_host)
        b = self.profile(KINDS_OF_B[kind_of_b], b_host)
        ports = self.home.server.ports
        with self.home.entered():
            device = Controlled(ports, b, str(next(_ids)), MEGABYTE)
            self.addCleanup(device.close)
            outcome = call(ports, a, device.id, MEGABYTE)
        self.assertIn(outcome.path, expected)
        self.assertEqual(Outcome(outcome.path, is_proven=True), outcome)
        served = device.served.get(timeout=SERVED_S)
        self.assertEqual(Served(outcome.path, is_encrypted=True), served)
        self.assertEqual([], device.errors)


def foretold(table: str) -> Callable[[type[Pairs]], type[Pairs]]:
    """Return a class decorator that adds a test for each pair in *table*."""

    def add(case: type[Pairs]) -> type[Pairs]:
        columns, *lines = (line.split() for line in table.strip().splitlines())
        for kind_of_a, *cells in lines:
            for kind_of_b, cell in zip(columns, cells, strict=True):
                expected = EITHER if cell == "either" else {Path(cell)}
                test = _test(kind_of_a, kind_of_b, expected)
                setattr(case, test.__name__, test)
        return case

    return add


def _test(kind_of_a: str, kind_of_b: str, expected: set[Path]) -> Callable[[Pairs], None]:
    def test(self: Pairs) -> None:
        self.meet(kind_of_a, kind_of_b, expected)

    words = " or ".join(sorted(path.value for path in expected))
    test.__name__ = f"test_{kind_of_a}_to_{kind_of_b}"
    test.__doc__ = f"A ({kind_of_a}) and B ({kind_of_b}) talk by {words}."
    return test


@foretold(APART)
class ApartTests(Pairs):
    """A and B are at different public addresses."""


@foretold(AT_ONE_ADDRESS)
class OneAddressTests(Pairs):
    """The server sees A and B at one address."""

    def hosts(self) -> tuple[str, str]:
        host = fresh_host()
        return host, host


@foretold(OFFERED_AT_ONCE)
class OfferedAtOnceTests(Pairs):
    """The server waits for nothing before it offers a key exchange."""

    @classmethod
    def new_home(cls) -> Home:
        return Home("--key-exchange-delay=0")


class NamespacePairs(Pairs):
    """There are global IPv6 addresses, in a network of the tests' own."""

    @classmethod
    def new_home(cls) -> Home:
        return Home(network=new_network())

    def profile(self, kind: Profile, host: str) -> Profile:
        profile = super().profile(kind, host)
        return evolve(profile, ipv6=self.fresh_host6()) if kind.ipv6 else profile

    def fresh_host6(self) -> str:
        """Return a new address in the network."""
        assert self.home.network is not None
        return new_host6(self.home.network)


def new_network() -> Namespace:
    """Return a network, or skip the test."""
    if shutil.which("ip") is None:
        raise SkipTest("needs ip, of Debian's package iproute2")
    return Namespace()


def new_host6(network: Namespace) -> str:
    """Return a new address in *network*; each is in a /64 of its own, as customers are."""
    host = f"2001:db8:0:{next(_ids) & 0xFFFF:x}::1"
    network.run("ip", "address", "add", f"{host}/128", "dev", "lo", "nodad")
    return host


@foretold(WITH_IPV6)
@foretold(IPV6_BESIDE_RELAY)
class WithIpv6Tests(NamespacePairs):
    """Both reach the server by IPv4, and may have IPv6 besides."""


@foretold(BY_IPV6)
class ByIpv6Tests(NamespacePairs):
    """The server, A and B have IPv6 alone."""

    @classmethod
    def new_home(cls) -> Home:
        network = new_network()
        return Home(ports=Ports(21116, 21117, new_host6(network)), network=network)

    def hosts(self) -> tuple[str, str]:
        return self.fresh_host6(), self.fresh_host6()
