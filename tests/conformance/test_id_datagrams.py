"""Statements 36 and 8.7, put to the rooms: exactly what a datagram causes, to whom."""

from __future__ import annotations

from rdserver.transports.outlet import Outlet
from rdserver.transports.udp import RendezvousDatagrams
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    BOB,
    BOB_ID,
    KEY,
    PK,
    STRANGER,
    UUID,
    Message,
    RoomsTests,
    kind,
)

URL = "https://example.com/rustdesk-1.1.9.exe"
LOCAL = Address("127.0.0.1", 5000)


class Socket:
    """A dual-stack UDP socket: keeps what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[Message, tuple[str, int]]] = []

    def write(self, data: bytes, to: tuple[str, int]) -> None:
        self.written.append((pb.decode(data), to))


class DualStackTests(RoomsTests):
    """8.3, the statement about listeners."""

    def test_036_plain_ipv4_text(self) -> None:
        """Stored IP, limiter key and log hold plain IPv4; the reply goes to the raw one."""
        outlet = Outlet(self.notices)
        edge = RendezvousDatagrams(
            self.core.datagram, outlet, self.notices, dual_stack=True
        )
        outlet.send_datagram = edge.send
        edge.transport = socket = Socket()  # type: ignore[assignment]
        for uuid in (UUID, b"another"):
            request = pb.RegisterPk(id=BOB_ID.encode(), uuid=uuid, pk=PK)
            data = pb.encode(Message(register_pk=request))
            edge.datagramReceived(data, ("::ffff:192.0.2.66", 6666))
        self.assertEqual(["::ffff:192.0.2.66"] * 2, [to[0] for _, to in socket.written])
        stored = self.stored()
        self.assertEqual(STRANGER.host, stored and stored.ip)
        self.assertIn(STRANGER.host + ": 1/0s", self.console("ib"))
        line = (
            f"{BOB_ID} is online at 192.0.2.66, and another machine at 192.0.2.66:6666 "
            "claims the same id: is it a copy?"
        )
        self.assertEqual([line], self.lines())


class ConfigUpdateTests(RoomsTests):
    def update(self, serial: int, origin: Address, *servers: bytes) -> None:
        """Send a ConfigUpdate; nobody is ever answered."""
        fields = {"serial": serial, "rendezvous_servers": servers}
        outcome = self.datagram("configure_update", fields, origin)
        self.assertEqual([], self.effects(outcome))

    def told(self, serial: int) -> tuple[int, list[bytes]] | None:
        """Return what a device with this serial is told beside its answer."""
        fields = {"id": BOB_ID.encode(), "serial": serial}
        _reply, *more = self.effects(self.datagram("register_peer", fields, BOB))
        if not more:
            return None
        self.assertEqual(BOB, self.sent(more[0]).to)
        update = more[0].message.configure_update
        return update.serial, list(update.rendezvous_servers)

    def test_070_from_elsewhere(self) -> None:
        """From a sender that is not loopback it is ignored."""
        for host in (STRANGER.host, "10.0.0.1", "2001:db8::1", "::2"):
            self.update(9, Address(host, 5000), b"evil.example")
        self.assertIsNone(self.told(3))

    def test_071_from_loopback(self) -> None:
        """A higher serial replaces serial and list; an equal or lower one is ignored."""
        self.update(5, LOCAL, b"one.example", b"", b"two.example")
        self.assertEqual((5, [b"one.example", b"two.example"]), self.told(3))
        for serial in (5, 4, -1):
            self.update(serial, LOCAL, b"late.example")
        self.assertEqual((5, [b"one.example", b"two.example"]), self.told(4))
        self.assertIsNone(self.told(5))
        self.update(6, Address("::1", 5000))
        self.assertEqual((6, []), self.told(5))


class IgnoredTests(RoomsTests):
    def test_072_not_for_udp(self) -> None:
        """PunchHoleRequest, LocalAddr and the like cause no datagram to anybody."""
        self.register()
        asked = self.asked(self.stream())
        answer = {"id": BOB_ID.encode(), "socket_addr": asked.socket_addr}
        for member, fields in (
            ("punch_hole_request", {"id": BOB_ID.encode(), "licence_key": KEY.encode()}),
            ("local_addr", answer),
            ("relay_response", answer),
            ("request_relay", {"id": BOB_ID.encode(), "uuid": b"session"}),
        ):
            for origin in (BOB, STRANGER):
                effects = self.effects(self.datagram(member, fields, origin))
                self.assertEqual([], effects, member)

    def test_074_empty_message(self) -> None:
        """There is no reply, at the edge and in the rooms."""
        self.assertEqual((), self.core.datagram(Message(), STRANGER))


class SoftwareUpdateTests(RoomsTests):
    def asked_with(self, version: bytes) -> list[tuple[Address, bytes]]:
        effects = self.effects(self.datagram("software_update", {"url": version}, STRANGER))
        self.assertEqual(["software_update"] * len(effects), list(map(kind, effects)))
        return [(self.sent(e).to, e.message.software_update.url) for e in effects]

    def test_073_another_version(self) -> None:
        """It is told the URL; the same version gets no reply."""
        self.furnish(software_url=URL)
        self.assertEqual([(STRANGER, URL.encode())], self.asked_with(b"1.1.8"))
        self.assertEqual([], self.asked_with(b"1.1.9"))

    def test_073_no_url(self) -> None:
        """Without a configured URL there is no reply."""
        self.assertEqual([], self.asked_with(b"1.1.8"))
