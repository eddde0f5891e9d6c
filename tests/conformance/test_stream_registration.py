"""Statements 100 and 195 to 208: devices that hold a connection."""

from __future__ import annotations

from typing import Any

from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import FRAME_S, HEARTBEAT_S, SILENCE_S
from rdserver.transports.conversation import MAX_FRAMES
from rdserver.wire import pb
from rdserver.wire.address import encode_address
from tests.conformance.doors import Browser, Client, DoorTests
from tests.rendezvous.fixture import BOB, BOB_ID, BOB_TCP, KEY, PK, UUID
from tests.wire.masked import PING

OTHER_ID = "234567890"
ID = BOB_ID.encode()
PUNCH = {"id": ID, "licence_key": KEY.encode(), "nat_type": pb.ASYMMETRIC}


class RegisteringTests(DoorTests):
    """Base: B, by TCP or WebSocket."""

    grace_s = 0.15

    def registers(self, line: Client | Browser, **changed: Any) -> str:
        """Register B on *line*; return the result."""
        line.send("register_pk", {"id": ID, "uuid": UUID, "pk": PK, **changed})
        [answer] = line.received()
        result = answer.register_pk_response.result
        return pb.RegisterPkResponse.Result.Name(result)

    def bob(self) -> Client:
        """Return the connection on which B has registered, as a client does by TCP."""
        line = self.secured(*BOB_TCP)
        self.assertEqual("OK", self.registers(line))
        return line

    def bob_by_websocket(self) -> Browser:
        """The same by WebSocket."""
        line = self.browser(*BOB_TCP)
        self.assertEqual("OK", self.registers(line))
        return line

    def failure(self) -> str:
        """Return what A is answered who cannot have B."""
        alice = self.connect()
        alice.send("punch_hole_request", PUNCH)
        [answer] = alice.received()
        number = answer.punch_hole_response.failure
        return pb.PunchHoleResponse.Failure.Name(number)


class AliveTests(RegisteringTests):
    """A device is online as long as its connection is alive."""

    def test_195_tcp(self) -> None:
        """It is online for as long as it echoes, and says nothing else."""
        self.assert_stays(self.bob())

    def test_196_websocket(self) -> None:
        """By WebSocket it is the same."""
        self.assert_stays(self.bob_by_websocket())

    def assert_stays(self, line: Client | Browser) -> None:
        for _ in range(20):
            self.clock.advance(HEARTBEAT_S)
            self.assertEqual([b""], line.frames())
            self.echo(line)
        self.assertTrue(self.is_online())

    def echo(self, line: Client | Browser) -> None:
        """Answer a heartbeat."""
        if isinstance(line, Browser):
            line.client.say(b"")
        else:
            line.send_frame(b"")

    def test_197_in_plain_text(self) -> None:
        """RegisterPk without a key exchange is accepted as well."""
        line = self.connect(*BOB_TCP)
        self.assertEqual("OK", self.registers(line))
        self.clock.advance(FRAME_S + 1)
        self.assertTrue(self.is_online())

    def test_198_heartbeats(self) -> None:
        """An empty frame is sent at least every 30 s, and the system looks as well."""
        line = self.bob()
        self.assertTrue(line.has_keep_alive)
        for _ in range(2):
            self.clock.advance(30)
            self.assertIn(b"", line.frames())

    def test_199_half_open(self) -> None:
        """Who does not echo is dropped after two and a half heartbeats, and offline."""
        for line in (self.bob(), self.bob_by_websocket()):
            if isinstance(line, Client):
                self.assertFalse(line.is_open)  # the other one has replaced it
                continue
            self.clock.advance(SILENCE_S - 1)
            self.assertTrue(self.is_online())
            self.clock.advance(1)
            self.assertEqual((False, False), (self.is_online(), line.is_open))

    def test_199_tcp(self) -> None:
        """The same by TCP; a message is a sign of life too."""
        line = self.bob()
        self.clock.advance(SILENCE_S - 1)
        self.registers(line)
        self.clock.advance(SILENCE_S - 1)
        self.assertTrue(self.is_online())
        self.clock.advance(1)
        self.assertEqual((False, False), (self.is_online(), line.is_open))

    def test_200_closing(self) -> None:
        """A connection that we close reaches nobody any more, however long that takes."""
        line = self.bob()
        for _ in range(MAX_FRAMES):
            line.send_frame(b"")
        self.assertFalse(self.is_online())

    def test_200_closed(self) -> None:
        """When the connection ends the device is offline at once."""
        line = self.bob()
        self.assertTrue(self.is_online())
        line.leave()
        self.assertFalse(self.is_online())
        self.assertEqual("OFFLINE", self.failure())

    def test_207_pings(self) -> None:
        """Pings do not replace heartbeats: the empty message is sent regardless."""
        line = self.bob_by_websocket()
        for _ in range(5):
            self.clock.advance(5)
            line.client.say(b"", PING)
        beats = [frame for frame in line.client.frames() if frame[1] == b""]
        self.assertIn((0x82, b""), beats)

    def test_205_keep_alive(self) -> None:
        """The keep-alive that is configured is told, and heartbeats are as frequent."""
        self.furnish(keep_alive_s=60)
        line = self.secured(*BOB_TCP)
        line.send("register_pk", {"id": ID, "uuid": UUID, "pk": PK})
        [answer] = line.received()
        self.assertEqual(60, answer.register_pk_response.keep_alive)
        self.clock.advance(30)
        self.assertEqual([b""], line.frames())

    def test_195_server_list(self) -> None:
        """A server list that is newer than any client's comes behind the answer."""
        for serial, expected in ((3, []), (4, [b"new.example"])):
            self.furnish(serial=serial, rendezvous_servers=("new.example",))
            line = self.secured(*BOB_TCP)
            line.send("register_pk", {"id": ID, "uuid": UUID, "pk": PK})
            _answer, *updates = line.received()
            servers = [m.configure_update.rendezvous_servers for m in updates]
            self.assertEqual(expected, [name for names in servers for name in names])

    def test_198_not_before(self) -> None:
        """Nobody else is sent heartbeats: clients would take them for an answer."""
        self.bob()
        alice = self.connect()
        alice.send("punch_hole_request", PUNCH)
        self.clock.advance(FRAME_S - 1)
        self.assertEqual([], alice.frames())

    def test_199_flood(self) -> None:
        """A flood of frames ends a connection that stays; as many in peace do not."""
        line = self.bob()
        for _ in range(3):
            for _ in range(MAX_FRAMES - 3):  # two were needed to register
                line.send_frame(b"")
            self.clock.advance(HEARTBEAT_S)
        self.assertTrue(line.is_open)
        for _ in range(MAX_FRAMES):
            line.send_frame(b"")
        self.assertFalse(line.is_open)


class NewestTests(RegisteringTests):
    """The newest registration counts, whatever it came by."""

    def test_201_udp_later(self) -> None:
        """After a registration by UDP pushes go there, and the connection is closed."""
        for line in (self.bob(), self.bob_by_websocket()):
            sent = []
            self.outlet.send_datagram = lambda data, to, sent=sent: sent.append((data, to))
            self.outlet.settle(self.claim())
            self.clock.advance(5)
            self.assertFalse(line.is_open)
            alice = self.connect()
            alice.send("punch_hole_request", PUNCH)
            self.assertEqual([BOB, BOB], [to for _data, to in sent])  # answer and push
            self.clock.advance(30)

    def test_201_stream_later(self) -> None:
        """After a registration on a connection pushes go there; no datagram counts then."""
        self.register()
        line = self.bob()
        self.assertTrue(self.heartbeat())  # it must prove itself
        alice = self.connect()
        alice.send("punch_hole_request", PUNCH)
        [push] = line.received()
        self.assertEqual("punch_hole", push.WhichOneof("union"))

    def test_202_two_streams(self) -> None:
        """Of two connections the newer one counts; the older one is closed."""
        old, new = self.bob(), self.bob_by_websocket()
        self.assertEqual((False, True), (old.is_open, new.is_open))
        self.assertTrue(self.is_online())
        alice = self.connect()
        alice.send("punch_hole_request", PUNCH)
        self.assertEqual(1, len(new.received()))

    def test_202_end_of_the_old_one(self) -> None:
        """The end of a connection that was replaced changes nothing."""
        old = self.connect(*BOB_TCP)
        self.registers(old)
        self.bob()
        old.leave()
        self.assertTrue(self.is_online())

    def test_203_mismatch(self) -> None:
        """Another machine gets UUID_MISMATCH; it may go on with another id."""
        line, other = self.bob(), self.connect("203.0.113.99")
        self.assertEqual("UUID_MISMATCH", self.registers(other, uuid=b"another"))
        self.assertTrue(other.is_open and self.is_online())
        result = self.registers(other, id=OTHER_ID.encode(), uuid=b"another")
        self.assertEqual(("OK", True), (result, self.is_online(OTHER_ID)))
        self.assertTrue(line.is_open)

    def test_203_clone(self) -> None:
        """Two machines with one id, both alive, are told of once."""
        self.bob()
        for _ in range(3):
            self.registers(self.connect("203.0.113.99"), uuid=b"another")
        told = [line for line in self.lines() if "is it a copy?" in line]
        self.assertEqual(1, len(told))
        self.assertEqual(3, self.notices.counts[Event.CLONE])

    def test_204_again(self) -> None:
        """RegisterPk again on the same connection is OK, and changes nothing."""
        line = self.bob()
        self.assertEqual("OK", self.registers(line))
        self.assertTrue(line.is_open and self.is_online())
        self.assertEqual(1, len(self.rooms.presence._on_stream))
        line.leave()
        self.assertEqual({}, self.rooms.presence._on_stream)

    def test_204_another_id(self) -> None:
        """A connection stands for one device: with another id the first is offline."""
        line = self.bob()
        self.assertEqual("OK", self.registers(line, id=OTHER_ID.encode()))
        self.assertEqual((False, True), (self.is_online(), self.is_online(OTHER_ID)))
        line.send("register_peer", {"id": OTHER_ID.encode()})
        line.send("register_peer", {"id": ID})
        asked = [m.register_peer_response.request_pk for m in line.received()]
        self.assertEqual([False, True], asked)

    def test_204_nothing_else(self) -> None:
        """Whatever else comes on it does nothing."""
        line = self.bob()
        line.send("punch_hole_request", PUNCH)
        line.send("online_request", {"peers": [ID]})
        self.assertEqual(([], True), (line.received(), line.is_open))


class PushTests(RegisteringTests):
    def test_100_pushes(self) -> None:
        """PunchHole, FetchLocalAddr and RequestRelay come on B's connection."""
        line = self.bob()
        for host, member in ((None, "punch_hole"), (BOB_TCP.host, "fetch_local_addr")):
            alice = self.connect(host or "198.51.100.10")
            alice.send("punch_hole_request", PUNCH)
            [push] = line.received()
            self.assertEqual(member, push.WhichOneof("union"))
        self.clock.advance(2)
        alice = self.connect()
        alice.send("request_relay", {"id": ID, "uuid": b"session"})
        [push] = line.received()
        self.assertEqual(b"session", push.request_relay.uuid)
        self.assertEqual(b"", push.request_relay.token)

    def test_206_websocket_and_tcp(self) -> None:
        """B by WebSocket names a relay on another connection, and A by TCP hears of it."""
        line, alice = self.bob_by_websocket(), self.connect()
        alice.send("punch_hole_request", PUNCH)
        [push] = line.received()
        answer = self.browser(*BOB_TCP)
        fields = {
            "socket_addr": push.punch_hole.socket_addr,
            "id": ID,
            "uuid": b"session",
            "relay_server": b"relay.example",
            "version": b"1.4.9",
        }
        answer.send("relay_response", fields)
        [response] = alice.received()
        self.assertEqual(b"session", response.relay_response.uuid)
        self.assertEqual(["session"], self.announced)

    def test_208_no_local_address(self) -> None:
        """B by WebSocket is never asked for its local address, not even by a neighbour."""
        line = self.bob_by_websocket()
        alice = self.connect(BOB_TCP.host)
        alice.send("punch_hole_request", PUNCH)
        [push] = line.received()
        self.assertEqual("punch_hole", push.WhichOneof("union"))

    def test_100_answer_from_elsewhere(self) -> None:
        """An answer without the cookie must come from where B's connection does."""
        line = self.bob()
        alice = self.connect(BOB_TCP.host, 41000)
        alice.send("punch_hole_request", PUNCH)
        line.received()
        local = {"socket_addr": encode_address(BOB_TCP._replace(port=41000), 5), "id": ID}
        self.connect("192.0.2.9").send("local_addr", local)
        self.assertEqual([], alice.received())
        self.connect(*BOB_TCP).send("local_addr", {**local, "local_addr": b"where"})
        self.assertTrue(alice.received()[0].punch_hole_response.is_local)
