"""Statements 8.2 and 8.7: UDP P apart from registration."""

from __future__ import annotations

import errno
import random

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from rdserver.notices import Notices
from rdserver.rendezvous.effects import Send
from rdserver.rendezvous.events import Event
from rdserver.transports.outlet import Outlet
from rdserver.transports.udp import RendezvousDatagrams
from rdserver.wire import pb
from rdserver.wire.address import Address, encode_address
from tests.conformance.world import (
    Message,
    ServerTests,
    own_address,
    require_batches,
    tcp_console,
)
from tests.integration.client import Device
from tests.integration.process import Ports
from tests.integration.sockets import Udp, fresh_host


class DatagramTests(ServerTests):
    """8.2 without WebSocket."""

    def test_015_zero_length(self) -> None:
        """There is no reply and no state change, and the socket is alive."""
        device = self.registered()
        self.assert_ignored(self.udp(device.address.host), b"")
        self.assertFalse(device.heartbeat())

    def test_016_random_bytes(self) -> None:
        """There is no reply, and the next valid RegisterPeer is answered."""
        rng = random.Random(16)
        for size in (1, 2, 50, 100, 100, 100, 1400):
            self.assert_ignored(self.udp(), rng.randbytes(size))

    def test_018_source_of_the_reply(self) -> None:
        """The reply's source is address:P of the listening socket."""
        device = self.registered()
        expected = Address("127.0.0.1", self.ports.main)
        self.assertEqual({expected}, device.senders)


class OddSourceTests(SynchronousTestCase):
    """8.2, senders that a test cannot be: asked of the edge itself."""

    def test_017_odd_sources(self) -> None:
        """From port 0 or an unroutable source: no exception, and others are served."""
        notices = Notices(Logger(), Event, Clock().seconds)
        outlet = Outlet(notices)
        reply = Message(register_peer_response=pb.RegisterPeerResponse(request_pk=True))
        edge = RendezvousDatagrams(
            lambda _message, origin: (Send(origin, reply),),
            outlet,
            notices,
            dual_stack=True,
        )
        edge.transport = PickyTransport()
        outlet.send_datagram = edge.send
        request = pb.encode(Message(register_peer=pb.RegisterPeer(id=b"123456789")))
        for source in [("::ffff:192.0.2.1", 0), ("::ffff:240.0.0.1", 9), ("::1", 9)]:
            edge.datagramReceived(request, source)
        self.assertEqual([("::1", 9)], edge.transport.sent_to)


class PickyTransport:
    """A UDP port on a machine that has no route to 240.0.0.0/4."""

    def __init__(self) -> None:
        self.sent_to: list[tuple[str, int]] = []

    def write(self, data: bytes, to: tuple[str, int]) -> None:
        if to[1] == 0 or "240." in to[0]:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        self.sent_to.append(to)


class DualStackTests(ServerTests):
    """8.3, the statement about listeners; the server listens on all addresses."""

    options = ("--tcp-console",)

    def test_036_plain_ipv4_text(self) -> None:
        """Stored IP, limiter key and logs contain the plain IPv4 text."""
        host = fresh_host()
        device = self.registered(host)
        self.registered(host)  # the first one of an address is not recorded
        row = self.row(device.id)
        self.assertEqual(host, row and row["ip"])
        stream = self.keep(self.controller(host).punch(device.id, licence_key=b"wrong"))
        self.answer(stream)
        self.assertTrue(self.logged(f"Authentication failed from {stream.address} for"))
        answer = tcp_console(self.ports.main - 1, b"ib " + host.encode() + b"\n")
        self.assertEqual(2, answer.count(b"\n"), answer)
        self.assertNotIn("::ffff:", self.server.log())


class IgnoredTests(ServerTests):
    """8.7, what is not served over UDP."""

    def test_072_not_for_udp(self) -> None:
        """A PunchHoleRequest or LocalAddr makes no datagram to anybody, and no answer."""
        device, udp = self.registered(), self.udp()
        waiting = self.punched(self.controller(), device)
        asked = device.next_push().punch_hole
        peer_id = device.id.encode()
        request = pb.PunchHoleRequest(id=peer_id, licence_key=self.key.encode())
        local = encode_address(udp.address, 7)
        for message in (
            Message(punch_hole_request=request),
            Message(
                local_addr=pb.LocalAddr(
                    id=peer_id, socket_addr=asked.socket_addr, local_addr=local
                )
            ),
        ):
            self.assert_ignored(udp, pb.encode(message))
        self.assert_not_asked(device)
        self.assert_waits(waiting)

    def test_074_empty_message(self) -> None:
        """There is no reply."""
        self.assert_ignored(self.udp(), pb.encode(Message()))


def update(serial: int, *servers: bytes) -> bytes:
    """A ConfigUpdate datagram."""
    update = pb.ConfigUpdate(serial=serial, rendezvous_servers=servers)
    return pb.encode(Message(configure_update=update))


class ConfigUpdateTests(ServerTests):
    """8.7, ConfigUpdate; each test has a server of its own, for it changes it."""

    instance = "070"

    def test_070_from_elsewhere(self) -> None:
        """A ConfigUpdate from a sender that is not loopback is ignored."""
        host = own_address()
        elsewhere = Ports(self.ports.main, self.ports.relay, host)
        self.assert_ignored(self.keep(Udp(elsewhere, host)), update(9, b"127.0.0.9"))
        device = self.registered()
        device.heartbeat(serial=3)
        self.assert_not_asked(device)


class LocalConfigUpdateTests(ServerTests):
    instance = "071"

    def test_071_from_loopback(self) -> None:
        """
        With a higher serial it replaces serial and list, and a later RegisterPeer with
        a lower serial gets it; with an equal or lower one it is ignored.
        """
        device = self.registered()
        self.assert_ignored(self.udp(), update(5, b"127.0.0.9"))
        self.assertEqual((5, [b"127.0.0.9"]), self.told(device, 3))
        for serial in (5, 4, -1):
            self.assert_ignored(self.udp(), update(serial, b"127.0.0.8"))
        self.assertEqual((5, [b"127.0.0.9"]), self.told(device, 4))

    def told(self, device: Device, serial: int) -> tuple[int, list[bytes]]:
        device.heartbeat(serial=serial)
        told = device.next_push().configure_update
        return told.serial, list(told.rendezvous_servers)


URL = "https://example.com/rustdesk-1.1.9.exe"


class SoftwareUpdateTests(ServerTests):
    options = ("-u", URL)

    def test_073_software_update(self) -> None:
        """Another version is told the URL; the same one gets no reply."""
        udp = self.udp()
        udp.send(Message(software_update=pb.SoftwareUpdate(url=b"1.1.8")))
        self.assertEqual(URL.encode(), udp.receive().software_update.url)
        same = Message(software_update=pb.SoftwareUpdate(url=b"1.1.9"))
        self.assert_ignored(udp, pb.encode(same))


class NoSoftwareUrlTests(ServerTests):
    def test_073_no_url(self) -> None:
        """Without a configured URL there is no reply."""
        message = Message(software_update=pb.SoftwareUpdate(url=b"1.1.8"))
        self.assert_ignored(self.udp(), pb.encode(message))


class PlainDatagramTests(DatagramTests):
    """The same where datagrams are taken one by one."""

    options = ("--udp-path=plain",)


class PlainDualStackTests(DualStackTests):
    options = (*DualStackTests.options, "--udp-path=plain")


class PlainIgnoredTests(IgnoredTests):
    options = ("--udp-path=plain",)


class BatchDatagramTests(DatagramTests):
    """The same where they must be taken in batches."""

    options = ("--udp-path=batch",)

    def setUp(self) -> None:
        require_batches()
        super().setUp()


class BatchIgnoredTests(IgnoredTests):
    options = ("--udp-path=batch",)

    def setUp(self) -> None:
        require_batches()
        super().setUp()
