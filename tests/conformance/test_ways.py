"""Statements 119 and 209 to 221: UDP NAT test, UDP punch, IPv6, forced relay."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from rdserver.rendezvous.effects import Answer, Close, Send
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.routing import Lan
from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    STRANGER,
    RoomsTests,
    kind,
)

BOB_UDP = Address("203.0.113.20", 50777)
GLOBAL = encode_address(Address("2001:db8::7", 4567), 0)
NOT_GLOBAL = {
    "no port": encode_address(Address("2001:db8::7", 0), 0),
    "link-local": encode_address(Address("fe80::1", 4567), 0),
    "unique local": encode_address(Address("fd00::1", 4567), 0),
    "multicast": encode_address(Address("ff02::1", 4567), 0),
    "loopback": encode_address(Address("::1", 4567), 0),
    "mapped": bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1]) + b"\x01\x02",
    "too short": GLOBAL[:-1],
    "too long": GLOBAL + b"\0",
    "IPv4": encode_address(STRANGER, 7),
    "nothing": b"",
}


class QueryTests(RoomsTests):
    def test_209_nat_test(self) -> None:
        """TestNatRequest on UDP P is answered with its source port, to its source."""
        [effect] = self.effects(self.datagram("test_nat_request", {}, ALICE))
        send = self.sent(effect)
        self.assertEqual((ALICE, 40000), (send.to, send.message.test_nat_response.port))
        self.assertLessEqual(len(pb.encode(send.message)), 7)

    def test_119_online_on_main_port(self) -> None:
        """OnlineRequest on TCP P is answered as on P-1."""
        self.register()
        peers = [b"nobody", BOB_ID.encode()]
        for put in (self.frame, self.nat_frame):
            stream = self.stream(STRANGER)
            effects = self.effects(put("online_request", {"peers": peers}, stream))
            self.assertEqual(Close(stream.id), effects[1])
            self.assertEqual(b"\x40", effects[0].message.online_response.states)


class WaysTests(RoomsTests):
    def setUp(self) -> None:
        super().setUp()
        self.register()

    def by_datagram(self, push: Any, origin: Address = BOB_UDP, **fields: Any) -> list[Any]:
        """Send B's PunchHoleSent by UDP."""
        sent = {"socket_addr": push.socket_addr, "id": BOB_ID.encode(), **fields}
        return self.effects(self.datagram("punch_hole_sent", sent, origin))

    def test_210_udp_port(self) -> None:
        """A's UDP port is passed on to B, and so is its port by UPnP."""
        hole = self.asked(self.stream(), udp_port=40000, upnp_port=7)
        self.assertEqual((40000, 7), (hole.udp_port, hole.upnp_port))

    def test_211_no_port(self) -> None:
        """What is no port is not passed on."""
        for n, port in enumerate((0, -1, 65536, 2**31 - 1, -(2**31))):
            alice = Address(ALICE.host, 41000 + n)
            self.assertEqual(0, self.asked(self.stream(alice), udp_port=port).udp_port)
        self.assertEqual(65535, self.asked(self.stream(), udp_port=65535).udp_port)

    def test_212_by_udp(self) -> None:
        """B's PunchHoleSent by UDP tells A where that datagram came from."""
        alice = self.stream()
        hole = self.asked(alice, udp_port=40000)
        [answer] = self.by_datagram(
            hole,
            nat_type=pb.ASYMMETRIC,
            relay_server=b"r",
            version=b"1.4.9",
            socket_addr_v6=GLOBAL,
            upnp_port=9,
        )
        assert isinstance(answer, Answer)
        self.assertEqual(alice.id, answer.stream)
        response = answer.message.punch_hole_response
        self.assertTrue(response.is_udp and response.pk)
        self.assertEqual(BOB_UDP, decode_address(response.socket_addr))
        self.assertEqual(
            (pb.ASYMMETRIC, b"r", GLOBAL, 9),
            (
                response.nat_type,
                response.relay_server,
                response.socket_addr_v6,
                response.upnp_port,
            ),
        )

    def test_213_three_copies(self) -> None:
        """Of three copies one is passed on."""
        hole = self.asked(self.stream(), udp_port=40000)
        answers = [self.by_datagram(hole) for _ in range(3)]
        self.assertEqual([1, 0, 0], list(map(len, answers)))

    def test_214_nobody_waits(self) -> None:
        """For whom nobody waits nothing is sent anywhere, by UDP never."""
        hole = self.asked(self.stream(), udp_port=40000)
        forged = encode_address(ALICE, 12345)
        for address in (forged, b"", GLOBAL, hole.socket_addr + b"\1"):
            sent = {"socket_addr": address, "id": BOB_ID.encode()}
            for origin in (BOB, BOB_UDP, STRANGER):
                outcome = self.datagram("punch_hole_sent", sent, origin)
                self.assertEqual([], self.effects(outcome))
        self.assertEqual([], self.by_datagram(hole, id=b"987654321"))
        self.assertEqual(13, self.notices.counts[Event.FORGED_ANSWER])
        self.assertEqual([], self.lines())

    def test_214_relay_request(self) -> None:
        """Who waits for a relay is not given a hole."""
        self.asked(self.stream())
        effects = self.ask_relay(self.stream(ALICE._replace(port=40009)))
        push = self.pushed(effects, "request_relay")
        self.assertEqual([], self.by_datagram(push))

    def test_215_by_tcp(self) -> None:
        """B's PunchHoleSent by TCP is not marked as UDP."""
        alice, sender = self.stream(), self.stream(BOB_TCP)
        hole = self.asked(alice, udp_port=40000)
        response = self.answer(self.hole(hole.socket_addr, sender), alice, sender)
        self.assertFalse(response.is_udp)

    def test_216_in_parallel(self) -> None:
        """Two requests of one A go both to B, and each gets its own answer."""
        first, second = self.stream(), self.stream(ALICE._replace(port=40001))
        by_udp = self.asked(first, udp_port=40000)
        by_tcp = self.asked(second)
        self.assertEqual((40000, 0), (by_udp.udp_port, by_tcp.udp_port))
        sender = self.stream(BOB_TCP)
        self.answer(self.hole(by_tcp.socket_addr, sender), second, sender)
        [answer] = self.by_datagram(by_udp)
        self.assertEqual(first.id, answer.stream)

    def test_217_ipv6_to_b(self) -> None:
        """A's global IPv6 address is in what B is pushed, whether near or far."""
        hole = self.asked(self.stream(), socket_addr_v6=GLOBAL)
        self.assertEqual(GLOBAL, hole.socket_addr_v6)
        near = self.stream(Address(BOB.host, 4444))
        fetch = self.pushed(self.punch(near, socket_addr_v6=GLOBAL), "fetch_local_addr")
        self.assertEqual(GLOBAL, fetch.socket_addr_v6)

    def test_217_mask(self) -> None:
        """Where only one of both is inside the mask IPv6 may lead to the other."""
        self.furnish(lan=Lan(ip_network("198.51.100.0/24"), "192.168.0.2"))
        self.register()
        hole = self.asked(self.stream(), socket_addr_v6=GLOBAL, udp_port=40000)
        self.assertEqual(
            (GLOBAL, pb.SYMMETRIC, 0), (hole.socket_addr_v6, hole.nat_type, hole.udp_port)
        )

    def answers_with(self, address: bytes) -> list[bytes]:
        """Return what A hears of B's IPv6 address, by each of B's answers."""
        found = []
        for n, answer in enumerate((self.hole, self.local, self.relay_response)):
            host = BOB.host if answer == self.local else ALICE.host
            alice, sender = self.stream(Address(host, 42000 + n)), self.stream(BOB_TCP)
            [push] = self.punch(alice)
            pushed = getattr(push.message, kind(push))
            fields = {"socket_addr_v6": address}
            if answer == self.relay_response:
                fields |= {"socket_addr": pushed.socket_addr, "id": BOB_ID.encode()}
                effects = self.relay_response(sender, **fields)
            else:
                effects = answer(pushed.socket_addr, sender, **fields)  # type: ignore[operator]
            found.append(self.answer(effects, alice, sender).socket_addr_v6)
        return found

    def test_218_ipv6_to_a(self) -> None:
        """B's global IPv6 address is in what A is answered, by all three answers."""
        self.assertEqual([GLOBAL] * 3, self.answers_with(GLOBAL))

    def test_219_not_global(self) -> None:
        """Any other address is dropped, in both directions."""
        for n, (name, address) in enumerate(NOT_GLOBAL.items()):
            alice = self.stream(Address(ALICE.host, 43000 + n))
            hole = self.asked(alice, socket_addr_v6=address)
            self.assertEqual(b"", hole.socket_addr_v6, name)
            self.assertEqual([b""] * 3, self.answers_with(address), name)
            self.clock.advance(2)
            self.heartbeat()

    def assert_forced(self, hole: Any) -> None:
        self.assertTrue(hole.force_relay)
        self.assertEqual(
            (pb.SYMMETRIC, 0, 0, b""),
            (hole.nat_type, hole.udp_port, hole.upnp_port, hole.socket_addr_v6),
        )

    def test_220_forced(self) -> None:
        """A forced relay is PunchHole with nothing but that, to a neighbour as well."""
        fields = {
            "udp_port": 40000,
            "upnp_port": 5,
            "socket_addr_v6": GLOBAL,
            "nat_type": pb.ASYMMETRIC,
        }
        for host in (ALICE.host, BOB.host):
            stream = self.stream(Address(host, 40100))
            self.assert_forced(self.asked(stream, force_relay=True, **fields))
        self.furnish(always_use_relay=True)
        self.register()
        self.assert_forced(self.asked(self.stream(), **fields))

    def test_221_websocket(self) -> None:
        """A by WebSocket is shown to B as symmetric; no UDP port of its can be used."""
        stream = self.stream(websocket=True)
        hole = self.asked(stream, nat_type=pb.ASYMMETRIC, udp_port=40000)
        self.assertEqual((pb.SYMMETRIC, 0), (hole.nat_type, hole.udp_port))

    def test_217_same_ipv6_host(self) -> None:
        """Two on one IPv6 machine punch: a local address would send them to the relay."""
        host = "2001:db8::9"
        self.register("345678901", Address(host, 5))
        [push] = self.punch(self.stream(Address(host, 6)), "345678901")
        assert isinstance(push, Send)
        self.assertEqual("punch_hole", kind(push))
