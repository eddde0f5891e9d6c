"""Statements 181 to 194: the key exchange on TCP P, on a clock of our own."""

from __future__ import annotations

from nacl.public import PrivateKey

from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import FRAME_S
from rdserver.wire import pb
from rdserver.wire.secure import KeyOffer
from tests.conformance.doors import SERVER_KEY, Client, DoorTests
from tests.rendezvous.fixture import BOB_ID, BOB_TCP, KEY, PAIR
from tests.vectors import crypto
from tests.wire.secured import answer_offer

GRACE_S = 0.15
PUNCH = {"id": BOB_ID.encode(), "licence_key": KEY.encode()}


class OfferTests(DoorTests):
    """What P says to whom, before anything was agreed on."""

    grace_s = GRACE_S

    def test_181_silent(self) -> None:
        """After the grace a silent client gets one signed key of 96 bytes."""
        client = self.connect()
        self.clock.advance(GRACE_S - 0.01)
        self.assertEqual([], client.received())
        self.clock.advance(0.01)
        [offer] = client.received()
        [signed] = offer.key_exchange.keys
        self.assertEqual((96, 32), (len(signed), len(SERVER_KEY.verify(signed))))
        self.clock.advance(FRAME_S - 1)
        self.assertEqual(([], True), (client.received(), client.is_open))

    def test_182_spoke(self) -> None:
        """Who says something in time is never offered one, not even for half a frame."""
        client, halting = self.connect(), self.connect(port=40001)
        client.send("test_nat_request", {})
        halting.send_bytes(b"\x0c")
        self.clock.advance(FRAME_S - 1)
        self.assertEqual(
            ["test_nat_response"], [m.WhichOneof("union") for m in client.received()]
        )
        self.assertEqual([], halting.received())
        halting.send_bytes(b"\xa2\x01\x00")
        self.assertEqual(1, len(halting.received()))

    def test_188_goes_on_in_plain_text(self) -> None:
        """Who was offered one and asks in plain text is answered in plain text."""
        client = self.connect()
        self.clock.advance(GRACE_S)
        self.assertEqual(1, len(client.received()))
        client.send("punch_hole_request", PUNCH)
        [answer] = client.received()
        self.assertEqual(
            pb.PunchHoleResponse.ID_NOT_EXIST, answer.punch_hole_response.failure
        )

    def test_191_other_ports(self) -> None:
        """P-1 and P+2 never offer one."""
        nat, browser = self.connect_nat(), self.browser()
        self.clock.advance(FRAME_S - 1)
        self.assertEqual(([], []), (nat.received(), browser.received()))

    def test_192_fresh(self) -> None:
        """Two connections get different ephemeral keys."""
        keys = set()
        for port in (1, 2):
            client = self.connect(port=port)
            self.clock.advance(GRACE_S)
            [offer] = client.received()
            keys.add(SERVER_KEY.verify(offer.key_exchange.keys[0]))
        self.assertEqual(2, len(keys))

    def test_194_given_up(self) -> None:
        """Without a further frame for 30 s it is closed, and counted."""
        client = self.connect()
        self.clock.advance(GRACE_S)
        client.received()
        self.clock.advance(FRAME_S - 0.1)
        self.assertTrue(client.is_open)
        self.clock.advance(0.2)
        self.assertFalse(client.is_open)
        self.assertEqual(1, self.notices.counts[Event.HANDSHAKE_GIVEN_UP])

    def test_189_never_offered(self) -> None:
        """A key exchange that nobody offered closes the connection, on every port."""
        boxed = {"keys": [bytes(32), bytes(48)]}
        for client in (self.connect(), self.connect_nat(), self.browser()):
            client.send("key_exchange", boxed)
            self.clock.advance(5)
            self.assertFalse(client.is_open)


class AtOnceTests(DoorTests):
    grace_s = 0.0

    def test_181_at_once(self) -> None:
        """Without a grace it comes at once; who asks in plain text is served too."""
        client = self.connect()
        self.clock.advance(0)
        self.assertEqual(1, len(client.received()))
        client.send("test_nat_request", {})
        self.assertEqual(1, len(client.received()))


class NoKeyTests(DoorTests):
    def test_190_no_signing_key(self) -> None:
        """Without a key to sign with nothing is ever offered."""
        client = self.connect()
        self.clock.advance(FRAME_S - 0.1)
        self.assertEqual(([], True), (client.received(), client.is_open))


class VectorTests(DoorTests):
    grace_s = GRACE_S

    def offer(self) -> KeyOffer:
        return KeyOffer(PAIR.signing_key, PrivateKey(crypto("server eph sk")))

    def test_183_vector(self) -> None:
        """The vector's second message gives its session key, in both directions."""
        self.furnish(keep_alive_s=60)
        client = self.connect()
        self.clock.advance(GRACE_S)
        self.assertEqual([crypto("KE1 msg")], client.frames())
        client.send_frame(crypto("KE2 msg"))
        client.send_frame(crypto("client->server #1"))
        self.assertEqual([crypto("server->client #1")], client.frames())

    def test_183_registered(self) -> None:
        """The vector's RegisterPk is decoded: its device is online."""
        client = self.connect()
        self.clock.advance(GRACE_S)
        client.send_frame(crypto("KE2 msg"))
        client.send_frame(crypto("client->server #1"))
        self.assertTrue(self.is_online("123456789"))


class SecureTests(DoorTests):
    """What is said behind the exchange."""

    grace_s = GRACE_S

    def setUp(self) -> None:
        super().setUp()
        self.client = self.secured()

    def test_184_counters(self) -> None:
        """The server's first message decrypts with counter 1, the second with 2."""
        for _ in range(2):
            self.client.send("punch_hole_request", PUNCH)
            [answer] = self.client.received()
            self.assertEqual("punch_hole_response", answer.WhichOneof("union"))

    def register_here(self) -> None:
        """Register on the connection."""
        fields = {"id": BOB_ID.encode(), "uuid": b"machine", "pk": bytes(32)}
        self.client.send("register_pk", fields)
        [answer] = self.client.received()
        self.assertEqual("register_pk_response", answer.WhichOneof("union"))

    def test_185_heartbeat(self) -> None:
        """A heartbeat is the bare empty frame, which does not count."""
        self.register_here()
        self.clock.advance(25)
        self.assertEqual([b""], self.client.frames())
        self.register_here()

    def test_186_echo(self) -> None:
        """An empty frame of the client's is taken, and does not count."""
        self.register_here()
        for _ in range(3):
            self.client.send_frame(b"")
            self.client.send_frame(b"x")
        self.register_here()

    def test_187_not_decrypted(self) -> None:
        """A frame that does not decrypt closes the connection."""
        plain = pb.encode(pb.RendezvousMessage(punch_hole_request=PUNCH))
        for payload in (b"x" * 40, plain):
            client = self.secured()
            client.send_frame(payload)
            self.assertEqual((False, []), (client.is_open, client.received()))

    def test_189_bad_answers(self) -> None:
        """Other than two keys, other sizes, a box that does not open: closed, silently."""
        good = [bytes(PrivateKey.generate().public_key), bytes(48)]
        for keys in ([], good[:1], [*good, b""], [good[0], bytes(47)], good[::-1], good):
            client = self.connect()
            self.clock.advance(GRACE_S)
            client.received()
            client.send("key_exchange", {"keys": keys})
            self.assertEqual((False, []), (client.is_open, client.received()), keys)

    def test_189_second(self) -> None:
        """A second exchange closes the connection."""
        answer, _channel = answer_offer(SERVER_KEY, self.offer().message)
        self.client.send("key_exchange", answer.key_exchange)
        self.assertFalse(self.client.is_open)

    def test_193_token(self) -> None:
        """All that a logged-in client is answered is encrypted; B never sees the token."""
        bob = self.connect(*BOB_TCP)
        bob.send("register_pk", {"id": BOB_ID.encode(), "uuid": b"m", "pk": bytes(32)})
        bob.received()
        self.client.send("punch_hole_request", {**PUNCH, "token": b"secret"})
        [push] = bob.received()
        answer: Client = self.connect(*BOB_TCP)
        echo = {"id": BOB_ID.encode(), "socket_addr": push.punch_hole.socket_addr}
        answer.send("punch_hole_sent", echo)
        [frame] = self.client.frames()
        assert self.client.channel is not None
        message = pb.decode(self.client.channel.open(frame))
        self.assertEqual("punch_hole_response", message.WhichOneof("union"))
        self.assertNotIn(b"secret", pb.encode(push))
