"""TLS and plain on one port: what the protocols behind it see, and every end there is."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from OpenSSL import SSL
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs

from rdserver.transports.admission import Admission
from rdserver.transports.arrival import arrival_s, left_s
from rdserver.transports.tls_port import MOST_UNSENT_BYTES, SILENCE_S
from tests.fakes import BUFFER_BYTES, settle
from tests.transports.tls_client import TlsCase, TlsClient, Wire

HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
NO_HELLO = b"\x16\x03\x01\x00\x05hello"


class Producer:
    """Keeps whether it may produce."""

    producing = True

    def pauseProducing(self) -> None:
        self.producing = False

    def resumeProducing(self) -> None:
        self.producing = True

    def stopProducing(self) -> None:
        self.producing = False


class SniffingTests(TlsCase):
    def test_plain(self) -> None:
        """What does not begin as TLS goes to the protocol as it is, from the first byte."""
        wire = self.wire()
        wire.send(b"GET / HTTP/1.1\r\n")
        settle(wire)
        self.assertEqual(b"GET / HTTP/1.1\r\n", self.served.received)
        self.assertIs(wire, self.served.transport)

    def test_tls(self) -> None:
        """What begins as TLS is decrypted, and what the protocol writes is encrypted."""
        client = self.client(ca=self.root)
        client.send(b"question")
        self.served.transport.write(b"answer")
        client.run()
        self.assertEqual((b"question", b"answer"), (self.served.received, client.received))

    def test_tls_in_pieces(self) -> None:
        """A handshake may come byte by byte."""
        client = TlsClient(self.wire())
        with self.assertRaises(SSL.WantReadError):
            client.tls.do_handshake()
        for byte in client.tls.bio_read(2**16):
            client.wire.send(bytes([byte]))
            settle(client.wire)
        client.run()
        client.send(b"question")
        self.assertEqual(b"question", self.served.received)

    def test_address(self) -> None:
        """The protocol is made once the first byte is there, for the address known."""
        wires = [self.wire(), self.wire()]
        self.assertEqual([], self.inner.addresses)
        wires[0].send(b"x")
        wires[1].send(HALF_A_HELLO)
        settle(*wires)
        self.assertEqual([wire.peer for wire in wires], self.inner.addresses)

    def test_refusal(self) -> None:
        """Where no protocol is made the connection is closed without a word."""
        self.inner.refuses = True
        for first_bytes in (b"x", HALF_A_HELLO):
            wire = self.wire()
            wire.send(first_bytes)
            settle(wire)
            self.assertEqual((False, b""), (wire.connected, wire.read()))

    def test_lost_while_silent(self) -> None:
        """Who goes without a word leaves nothing behind."""
        wire = self.wire()
        wire.close()
        settle(wire)
        self.assertEqual((0, []), (len(self.admission), self.inner.addresses))


class SilenceTests(TlsCase):
    def test_deadline(self) -> None:
        """Who has said nothing for SILENCE_S is closed, and no earlier."""
        wire = self.wire()
        self.clock.advance(SILENCE_S - 0.1)
        settle(wire)
        self.assertTrue(wire.connected)
        self.clock.advance(0.1)
        settle(wire)
        self.assertEqual((False, 0), (wire.connected, len(self.admission)))

    def test_deadline_is_over_with_the_first_byte(self) -> None:
        """Who has begun is no longer this port's business, in plain and in TLS."""
        wires = [self.wire(), self.wire()]
        wires[0].send(b"x")
        wires[1].send(HALF_A_HELLO)
        settle(*wires)
        self.clock.advance(10 * SILENCE_S)
        settle(*wires)
        self.assertEqual([True, True], [wire.connected for wire in wires])

    def test_arrival_is_known_to_the_next(self) -> None:
        """Whoever serves a connection can tell when it came, in plain and through TLS."""
        wires = [self.wire(), self.wire()]
        came_s = self.clock.seconds()
        self.clock.advance(SILENCE_S - 1)
        wires[0].send(b"x")
        wires[1].send(HALF_A_HELLO)
        settle(*wires)
        for served in self.inner.made:
            self.assertEqual(came_s, arrival_s(served.transport, self.clock.seconds))
            self.assertEqual(1, left_s(served.transport, self.clock.seconds, SILENCE_S))
        self.clock.advance(2)
        left = left_s(self.served.transport, self.clock.seconds, SILENCE_S)
        self.assertEqual((2, 0), (len(self.inner.made), left))

    def test_stop(self) -> None:
        """When nobody listens any more, silent connections are closed and others stay."""
        self.port.doStart()
        silent, other = self.wire(), self.wire()
        other.send(b"x")
        settle(other)
        self.port.doStop()
        settle(silent, other)
        self.assertEqual((False, True), (silent.connected, other.connected))

    def test_inner_is_started_and_stopped(self) -> None:
        """The factory behind the port is told that it is used, and no more."""
        self.port.doStart()
        self.assertEqual(1, self.inner.numPorts)
        self.port.doStop()
        self.assertEqual(0, self.inner.numPorts)


class AdmissionTests(TlsCase):
    silent_connections = 2

    def test_silent_connections_are_counted(self) -> None:
        """One too many is not let in, until one of them is gone or has begun."""
        wires = [self.wire(), self.wire()]
        self.assertIsNone(self.port.buildProtocol(wires[0].peer))
        self.assertEqual(1, self.admission.refused)
        wires[0].send(b"x")
        wires[1].close()
        settle(*wires)
        self.assertEqual(0, len(self.admission))

    def test_inner_may_share_the_admission(self) -> None:
        """A connection is not counted any more when the factory behind is asked."""
        counts: list[int] = []
        self.patch(
            self.inner, "buildProtocol", lambda _: counts.append(len(self.admission))
        )
        wire = self.wire()
        wire.send(b"x")
        settle(wire)
        self.assertEqual([0], counts)

    def test_mapped_addresses(self) -> None:
        """An IPv4 client is one client, however the socket spells its address."""
        self.admission = Admission(2, 1)
        self.port = self.make_port()
        plain, mapped = Wire("192.0.2.7"), Wire("::ffff:192.0.2.7")
        silent: Any = self.port.buildProtocol(plain.peer)
        self.assertIsNotNone(silent)
        self.assertIsNone(self.port.buildProtocol(mapped.peer))


class TlsOnlyTests(TlsCase):
    def setUp(self) -> None:
        super().setUp()
        self.port = self.make_port(refuse_plain=lambda *told: self.refused.append(told))

    def test_plain_is_refused(self) -> None:
        """What is not TLS is closed; who it was and what it said is told."""
        wire = self.wire()
        wire.send(b"GET / HTTP/1.1\r\n")
        settle(wire)
        self.assertEqual([(wire.peer, b"GET / HTTP/1.1\r\n")], self.refused)
        self.assertEqual((False, []), (wire.connected, self.inner.addresses))

    def test_tls(self) -> None:
        """TLS comes in as ever."""
        client = self.client(ca=self.root)
        client.send(b"question")
        self.assertEqual((b"question", []), (self.served.received, self.refused))


class StrangerTests(TlsCase):
    """What goes wrong in a handshake is the stranger's affair, not the log's."""

    def assert_gone(self, wire: Wire) -> None:
        """The connection is closed, its protocol was told once, nothing is kept."""
        self.assertEqual((False, 1), (wire.connected, len(self.served.lost)))
        self.assertEqual({}, self.port._tls.protocols)

    def test_garbage(self) -> None:
        """What only begins as TLS is closed, and nothing is logged."""
        wire = self.wire()
        wire.send(NO_HELLO)
        with capturedLogs() as events:
            settle(wire)
        self.assert_gone(wire)
        self.assertEqual([], events)

    def test_certificate_is_not_trusted(self) -> None:
        """A client that does not like the certificate ends it, and nothing is logged."""
        other = self.folder / "other"
        other.mkdir()
        with capturedLogs() as events:
            client = self.client(ca=type(self.ca).make("Other").save(other))
        self.assertIsNotNone(client.error)
        self.assert_gone(client.wire)
        self.assertEqual([], events)

    def test_garbage_later(self) -> None:
        """So is what is no TLS after the handshake."""
        client = self.client()
        client.wire.send(b"no record" * 10)
        with capturedLogs() as events:
            client.run()
        self.assert_gone(client.wire)
        self.assertEqual([], events)

    def test_gone_without_a_word(self) -> None:
        """A client that vanishes, in the handshake or later, leaves nothing."""
        wire = self.wire()
        wire.send(HALF_A_HELLO)
        wire.close()
        settle(wire)
        self.assert_gone(wire)
        client = self.client()
        client.wire.close()
        client.run()
        self.assert_gone(client.wire)

    def test_half_a_hello(self) -> None:
        """A handshake that stops is the protocol's business, which is there at once."""
        wire = self.wire()
        wire.send(HALF_A_HELLO)
        settle(wire)
        self.assertEqual((True, 1), (wire.connected, self.served.made))
        self.served.transport.loseConnection()
        settle(wire)
        self.assert_gone(wire)

    def test_nothing_waits_for_the_garbage_collector(self) -> None:
        """OpenSSL's memory is free as soon as a connection is lost, failed or not."""
        gc.disable()
        self.addCleanup(gc.enable)
        client, wire = self.client(), self.wire()
        wire.send(HALF_A_HELLO)
        settle(wire)
        tls = [weakref.ref(served.transport.getHandle()) for served in self.inner.made]
        wire.send(NO_HELLO * 100)
        settle(wire)
        client.end()
        self.assertEqual([False, False], [wire.connected, client.wire.connected])
        self.assertEqual([None, None], [one() for one in tls])


class TransportTests(TlsCase):
    """The calls that protocols make of their transport work over TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = self.client()
        self.transport = self.served.transport

    def test_options(self) -> None:
        """The socket's options are set; the address is the socket's."""
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.assertEqual({"nodelay", "keepalive"}, self.peer.wire.options)
        self.assertEqual(self.peer.wire.peer, self.transport.getPeer())

    def test_writing(self) -> None:
        """Everything written arrives, in order."""
        self.transport.write(b"one ")
        self.transport.writeSequence([b"two ", b"three "])
        self.transport.write(b"x" * 100_000)
        self.peer.run()
        self.assertEqual(b"one two three " + b"x" * 100_000, self.peer.received)

    def test_reading(self) -> None:
        """A paused protocol is given nothing until it resumes."""
        self.transport.pauseProducing()
        self.peer.send(b"question")
        self.assertEqual(b"", self.served.received)
        self.transport.resumeProducing()
        self.peer.run()
        self.assertEqual(b"question", self.served.received)

    def test_back_pressure(self) -> None:
        """A producer is paused when the client does not read, resumed when it does."""
        producer = Producer()
        self.transport.registerProducer(producer, True)
        self.peer.wire.window_bytes = 0
        self.transport.write(b"x" * 2 * BUFFER_BYTES)
        self.assertFalse(producer.producing)
        self.peer.wire.window_bytes = 2**40
        self.peer.run()
        self.assertTrue(producer.producing)
        self.transport.unregisterProducer()
        self.assertIsNone(self.peer.wire.producer)

    def test_close(self) -> None:
        """What was written arrives, then the end of TLS, and then all is closed."""
        self.transport.write(b"x" * 100_000)
        self.transport.loseConnection()
        self.peer.run()
        self.assertEqual((100_000, True), (len(self.peer.received), self.peer.ended))
        self.peer.end()
        self.assertEqual((False, False), (self.peer.wire.connected, self.peer.wire.aborted))
        self.assertEqual(1, len(self.served.lost))

    def test_close_while_paused(self) -> None:
        """A protocol that had paused is closed too once the client agrees."""
        self.transport.pauseProducing()
        self.transport.loseConnection()
        self.peer.run()
        self.peer.end()
        self.assertFalse(self.peer.wire.connected)

    def test_abort(self) -> None:
        """An abort ends it at once, also where the client does not agree to the end."""
        self.transport.loseConnection()
        self.peer.wire.turn()
        self.transport.abortConnection()
        settle(self.peer.wire)
        self.assertEqual((False, True), (self.peer.wire.connected, self.peer.wire.aborted))
        self.assertEqual(1, len(self.served.lost))

    def test_client_ends(self) -> None:
        """The end of TLS is the end of the connection."""
        self.peer.send(b"last words")
        self.peer.end()
        self.assertEqual((b"last words", 1), (self.served.received, len(self.served.lost)))
        self.assertIsInstance(self.served.lost[0], ConnectionDone)

    def test_calls_after_the_loss(self) -> None:
        """A connection that is lost bears the calls of those who do not know yet."""
        self.transport.registerProducer(Producer(), True)
        self.transport.loseConnection()
        self.peer.wire.close()
        self.peer.run()
        self.assertEqual(1, len(self.served.lost))
        self.transport.pauseProducing()
        self.transport.resumeProducing()
        self.transport.write(b"late")
        self.transport.writeSequence([b"late"])
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.transport.abortConnection()
        self.assertEqual(1, len(self.served.lost))


class GreetingTests(TlsCase):
    def test_writing_before_the_handshake(self) -> None:
        """What a protocol says as soon as it is connected arrives after the handshake."""
        self.inner.greeting = b"welcome"
        self.assertEqual(b"welcome", self.client().received)

    def test_renewed_certificate(self) -> None:
        """After a renewal old connections go on, and new ones get the new certificate."""
        old = self.client(ca=self.root)
        renewed = self.make_pair("renewed")
        renewed.cert.replace(self.pair.cert)
        renewed.key.replace(self.pair.key)
        self.certificate.look()
        new = self.client(ca=self.root)
        old.send(b"still here")
        self.assertEqual(b"still here", self.inner.made[0].received)
        names = [
            client.tls.get_peer_certificate().get_subject().CN for client in (old, new)
        ]
        self.assertEqual(["own", "renewed"], names)


class Descriptor(FileDescriptor):
    """What Twisted's sockets have in common, without a socket."""

    aborted = False

    def __init__(self) -> None:
        super().__init__(MemoryReactorClock())
        self.connected = 1
        self.writing = False

    def writeSomeData(self, data: bytes) -> int:  # noqa: N802
        return len(data)

    def startWriting(self) -> None:
        self.writing = True

    def stopWriting(self) -> None:
        self.writing = False

    def stopReading(self) -> None:
        """Nothing comes by itself."""

    def abortConnection(self) -> None:  # noqa: N802
        self.aborted = True

    def work(self) -> object:
        """Do what a reactor does whose client reads; return the reason of the end."""
        end: object = None
        while self.writing and end is None:
            end = self.doWrite()
        return end


class SocketTests(TlsCase):
    """How Twisted's sockets behave makes a difference."""

    def setUp(self) -> None:
        super().setUp()
        self.peer = self.client()
        self.transport = self.served.transport
        self.below = self.transport.transport = Descriptor()

    def send_record(self, data: bytes) -> None:
        """Let a record arrive that the client sends."""
        self.peer.tls.send(data)
        self.arrive()

    def arrive(self) -> None:
        self.transport.dataReceived(self.peer.tls.bio_read(2**16))

    def test_client_ends_while_the_producer_is_paused(self) -> None:
        """A client that ends before it has read everything is closed all the same."""
        self.transport.registerProducer(Producer(), True)
        self.transport.write(b"x" * 2 * BUFFER_BYTES)
        self.peer.tls.shutdown()
        self.arrive()
        self.assertIsInstance(self.below.work(), ConnectionDone)

    def test_bound(self) -> None:
        """Who only ever sends cannot make the answers to it pile up without end."""
        self.transport.write(b"x" * (MOST_UNSENT_BYTES // 2))
        self.send_record(b"more")
        self.assertFalse(self.below.aborted)
        self.transport.write(b"x" * MOST_UNSENT_BYTES)
        self.send_record(b"more")
        self.assertTrue(self.below.aborted)
