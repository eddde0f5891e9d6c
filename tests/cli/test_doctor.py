"""What the doctor makes of what it finds, and what it prints."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli.doctor import Doctor, Target, parse_target
from rdserver.errors import ProtocolError

V4, V6 = "192.0.2.1", "2001:db8::1"
OPTIONAL = (
    "TCP ports 21114 (API), 21118 and 21119 (websocket) are optional: an ERROR there"
    " matters only if you use them"
)


class FakeNetwork:
    """A world in which everything works but for what is put into *closed*."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {"host": [V4]}
        self.names: dict[str, str] = {V4: "host"}
        self.unreachable: set[str] = set()
        self.closed: dict[tuple[str, int], Exception] = {}
        self.passed_s = 0.0

    def now(self) -> float:
        return self.passed_s

    def resolve(self, host: str) -> list[str]:
        if host not in self.addresses:
            raise OSError(-2, "Name or service not known")
        return self.addresses[host]

    def name_of(self, ip: str) -> str | None:
        return self.names.get(ip)

    def has_route(self, ip: str) -> bool:
        return ip not in self.unreachable

    def connect(self, ip: str, port: int) -> None:
        self._visit("tcp", port, 1 / 128)

    def nat_test_tcp(self, ip: str, port: int) -> None:
        self._visit("nat", port, 1 / 64)

    def nat_test_udp(self, ip: str, port: int) -> None:
        self._visit("udp", port, 1.0)

    def _visit(self, kind: str, port: int, takes_s: float) -> None:
        self.passed_s += takes_s
        if (kind, port) in self.closed:
            raise self.closed[kind, port]


class TargetTests(SynchronousTestCase):
    def assert_target(self, text: str, host: str, port: int, is_name: bool) -> None:
        target = parse_target(text)
        self.assertEqual(Target(host, port), target)
        assert target is not None
        self.assertEqual(is_name, target.is_name)

    def test_names(self) -> None:
        """A name is trimmed and in lower case; the port is optional."""
        self.assert_target(" Rd.Example.COM\n", "rd.example.com", 21116, True)
        self.assert_target("rd.example.com:22116", "rd.example.com", 22116, True)

    def test_ipv4(self) -> None:
        """So is an IPv4 address's port."""
        self.assert_target("192.0.2.1", "192.0.2.1", 21116, False)
        self.assert_target("192.0.2.1:5000", "192.0.2.1", 5000, False)

    def test_ipv6(self) -> None:
        """An IPv6 address stands alone or in brackets; a port needs brackets."""
        self.assert_target("2001:DB8::1", V6, 21116, False)
        self.assert_target("[2001:db8::1]", V6, 21116, False)
        self.assert_target("[2001:db8::1]:5000", V6, 5000, False)
        self.assert_target("fe80::1%eth0", "fe80::1%eth0", 21116, False)

    def test_ports(self) -> None:
        """All six ports around the main one must be ports."""
        self.assert_target("host:3", "host", 3, True)
        self.assert_target("host:65532", "host", 65532, True)
        for port in ("2", "65533", "0", "-1", "x", "", "99999999999", "٣٣٣"):
            self.assertIsNone(parse_target(f"host:{port}"), port)

    def test_nothing_such(self) -> None:
        """Without a host there is nothing to look at."""
        for text in ("", " ", ":21116", "[]:21116", "a:b:21116", "[::1", "http://host"):
            self.assertIsNone(parse_target(text), text)


class DoctorCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = FakeNetwork()

    def examine(self, text: str) -> tuple[int, list[str]]:
        lines: list[str] = []
        status = Doctor(self.network, lines.append, self.network.now).examine(text)
        return status, lines

    def close(self, *visits: tuple[str, int]) -> None:
        for visit in visits:
            self.network.closed[visit] = ConnectionRefusedError("refused")


class OutputTests(DoctorCase):
    """protocol.md section 5, line by line."""

    def test_name(self) -> None:
        """A healthy server, looked at by name."""
        expected = [
            "Checking server:  host",
            "",
            "Found 1 IP addresses: ",
            " - 192.0.2.1",
            "",
            "Checking IP address: 192.0.2.1",
            "Is IPV4: true",
            "Is IPV6: false",
            "Reverse DNS lookup: 'host' MATCHES server address",
            "TCP Port 21114 (API): OK in 7 ms",
            "TCP Port 21115 (hbbs extra port for nat test): OK in 7 ms",
            "TCP Port 21116 (hbbs): OK in 7 ms",
            "TCP Port 21117 (hbbr tcp): OK in 7 ms",
            "TCP Port 21118 (hbbs websocket): OK in 7 ms",
            "TCP Port 21119 (hbbr websocket): OK in 7 ms",
            "TCP Port 21115 (NAT test): OK in 15 ms",
            "TCP Port 21116 (NAT test): OK in 15 ms",
            "UDP Port 21116 (hbbs): OK in 1000 ms",
            "",
            "Summary: OK, everything that clients need answers",
            OPTIONAL,
        ]
        status, lines = self.examine(" Host ")
        self.assertEqual((0, expected), (status, lines))

    def test_ipv4(self) -> None:
        """An address is not resolved, and no name is compared."""
        _, lines = self.examine(V4)
        self.assertEqual(
            [
                "Checking server:  192.0.2.1",
                "",
                "",
                "Checking IP address: 192.0.2.1",
                "Is IPV4: true",
                "Is IPV6: false",
            ],
            lines[:6],
        )
        self.assertTrue(lines[6].startswith("TCP Port 21114 (API): OK in "))

    def test_ipv6(self) -> None:
        """An IPv6 address is said to be one."""
        _, lines = self.examine(V6)
        self.assertEqual(
            [f"Checking IP address: {V6}", "Is IPV4: false", "Is IPV6: true"], lines[3:6]
        )

    def test_closed_port(self) -> None:
        """A port that does not answer is an ERROR."""
        self.close(("tcp", 21117), ("udp", 21116))
        _, lines = self.examine("host")
        self.assertIn("TCP Port 21117 (hbbr tcp): ERROR", lines)
        self.assertIn("UDP Port 21116 (hbbs): ERROR", lines)

    def test_other_port(self) -> None:
        """The ports follow the main one."""
        self.close(("tcp", 5001))
        _, lines = self.examine("host:5000")
        self.assertEqual("Checking server:  host:5000", lines[0])
        self.assertIn("TCP Port 5001 (hbbr tcp): ERROR", lines)
        self.assertTrue(lines[-1].startswith("TCP ports 4998 (API), 5002 and 5003 "))

    def test_other_name(self) -> None:
        """A reverse lookup that gives another name says so and nothing stops."""
        self.network.names[V4] = "other.example"
        status, lines = self.examine("host")
        self.assertIn(
            "Reverse DNS lookup: 'other.example' DOESN'T MATCH server address 'host'", lines
        )
        self.assertEqual(0, status)

    def test_same_name(self) -> None:
        """Case and the dot at the end make no difference between names."""
        self.network.names[V4] = "HOST."
        _, lines = self.examine("host")
        self.assertIn("Reverse DNS lookup: 'HOST.' MATCHES server address", lines)

    def test_no_name(self) -> None:
        """Without a reverse record the check goes on."""
        self.network.names.clear()
        status, lines = self.examine("host")
        self.assertIn("Reverse DNS lookup: no name found for 192.0.2.1", lines)
        self.assertEqual((0, OPTIONAL), (status, lines[-1]))


class VerdictTests(DoctorCase):
    def assert_problem(self, fault: str) -> None:
        status, lines = self.examine("host")
        self.assertEqual(1, status)
        self.assertIn(
            f"Summary: PROBLEM, no answer from {V4} on {fault}: is the server running,"
            " and do firewalls and routers let this pass?",
            lines,
        )

    def test_optional_ports(self) -> None:
        """A closed API or WebSocket port is shown, but is no problem."""
        self.close(("tcp", 21114), ("tcp", 21118), ("tcp", 21119))
        status, lines = self.examine("host")
        self.assertEqual(3, sum(line.endswith(": ERROR") for line in lines))
        self.assertEqual(0, status)
        self.assertEqual(
            ["", "Summary: OK, everything that clients need answers", OPTIONAL], lines[-3:]
        )

    def test_each_needed_port(self) -> None:
        """Each port that clients need is a problem when it is closed."""
        for visit, fault in (
            (("tcp", 21115), "TCP 21115"),
            (("tcp", 21116), "TCP 21116"),
            (("tcp", 21117), "TCP 21117"),
            (("nat", 21115), "NAT test on TCP 21115"),
            (("nat", 21116), "NAT test on TCP 21116"),
            (("udp", 21116), "UDP 21116"),
        ):
            self.network.closed.clear()
            self.close(visit)
            self.assert_problem(fault)

    def test_several_faults(self) -> None:
        """All faults are named together; a closed port is not tested further."""
        self.close(("tcp", 21115), ("nat", 21115), ("udp", 21116))
        self.assert_problem("TCP 21115, UDP 21116")

    def test_something_else_listens(self) -> None:
        """An answer that is not the ID server's is no answer."""
        self.network.closed["nat", 21116] = ProtocolError("HTTP/1.1 400")
        self.assert_problem("NAT test on TCP 21116")

    def test_unknown_name(self) -> None:
        """A name without an address ends the check."""
        self.assertEqual(
            (
                1,
                [
                    "Checking server:  nowhere",
                    "",
                    "ERROR: nowhere has no IP address: Name or service not known",
                ],
            ),
            self.examine("nowhere"),
        )

    def test_nonsense(self) -> None:
        """What is no address at all is refused."""
        expected = (1, ["ERROR: http://host is no HOST or HOST:PORT"])
        self.assertEqual(expected, self.examine("http://host"))

    def test_no_route(self) -> None:
        """An address that this machine cannot reach is no fault of the server."""
        self.network.addresses["host"] = [V6, V4]
        self.network.unreachable.add(V6)
        status, lines = self.examine("host")
        self.assertEqual(["Found 2 IP addresses: ", f" - {V6}", f" - {V4}"], lines[2:5])
        self.assertIn("This machine has no route to this address: not checked", lines)
        self.assertEqual((0, 9), (status, sum(" Port " in line for line in lines)))

    def test_no_route_at_all(self) -> None:
        """If nothing could be checked, nothing is known to be well."""
        self.network.unreachable.add(V4)
        status, lines = self.examine("host")
        self.assertEqual(1, status)
        self.assertIn(
            "Summary: PROBLEM, no address could be checked from this machine", lines
        )

    def test_every_address_counts(self) -> None:
        """A server with two addresses must answer on both."""
        self.network.addresses["host"] = [V4, V6]
        self.close(("udp", 21116))
        _, lines = self.examine("host")
        self.assertEqual(2, sum(line.startswith("Summary: PROBLEM") for line in lines))
