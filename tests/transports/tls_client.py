"""A TLS client in memory, and what it takes to have a TLS port without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.admission import Admission
from rdserver.transports.certificate import Certificate
from rdserver.transports.tls_port import SniffingTlsFactory
from tests.fakes import FakeTCP
from tests.transports.certificates import Authority, PairFiles, make_pair

CHUNK_BYTES = 2**16


class Wire(FakeTCP):
    """
    A :class:`FakeTCP` whose abort is over in the next turn only.

    So is Twisted's, and its TLS depends on it.
    """

    _aborting = False

    def turn(self) -> bool:
        if self._aborting:
            self._aborting = False
            super().abortConnection()
            return True
        return super().turn()

    def abortConnection(self) -> None:  # noqa: N802
        self._aborting = self.connected
        self.reading = False


class TlsClient:
    """
    The client's side of TLS on a :class:`Wire`.

    :param ca: file with what it trusts; None: it takes any certificate.
    :param newest: the newest version it speaks.
    :ivar received: what it has received, decrypted.
    :ivar ended: the server has ended TLS in order.
    :ivar error: what went wrong first.
    """

    def __init__(
        self,
        wire: Wire,
        ca: Path | None = None,
        *,
        alpn: list[bytes] | None = None,
        newest: int = SSL.TLS1_3_VERSION,
        ciphers: bytes = b"ALL:@SECLEVEL=0",
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_VERSION)
        context.set_max_proto_version(newest)
        if ca is not None:
            context.load_verify_locations(str(ca))
            context.set_verify(SSL.VERIFY_PEER, lambda *args: bool(args[-1]))
        if alpn:
            context.set_alpn_protos(alpn)
        context.set_cipher_list(ciphers)
        self.wire = wire
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.received = b""
        self.ended = False
        self.error: SSL.Error | None = None

    def run(self) -> None:
        """Let everything happen that happens without the clock."""
        self._step()
        while self.wire.turn():
            self._step()

    def send(self, data: bytes) -> None:
        """Send *data*, and let it arrive and be answered."""
        self.tls.sendall(data)
        self.run()

    def end(self) -> None:
        """End TLS in order, or agree to the end, and let it arrive."""
        self.tls.shutdown()
        self.run()

    def _step(self) -> None:
        incoming = self.wire.read()
        if incoming:
            self.tls.bio_write(incoming)
        try:
            self.tls.do_handshake()
            while True:
                self.received += self.tls.recv(CHUNK_BYTES)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.ended = True
        except SSL.Error as e:
            self.error = self.error or e
        self.flush()

    def flush(self) -> None:
        """Send what TLS has to say."""
        while True:
            try:
                self.wire.send(self.tls.bio_read(CHUNK_BYTES))
            except SSL.WantReadError:
                return


class Recorder(Protocol):
    """
    Keeps what happens to it.

    :ivar lost: why the connection was lost, once for each time it was told.
    """

    transport: Any

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.received = b""
        self.made = 0
        self.lost: list[BaseException] = []

    def connectionMade(self) -> None:
        self.made += 1
        if self.greeting:
            self.transport.write(self.greeting)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Its traceback would keep everything alive that it passed through.
        self.lost.append(reason.value.with_traceback(None))


class RecorderFactory(Factory):
    """
    Makes recorders.

    :ivar made: them, with the address of each.
    :ivar refuses: it makes none.
    """

    noisy = False
    refuses = False
    greeting = b""

    def __init__(self) -> None:
        self.made: list[Recorder] = []
        self.addresses: list[Any] = []

    def buildProtocol(self, addr: Any) -> Recorder | None:
        self.addresses.append(addr)
        if self.refuses:
            return None
        self.made.append(Recorder(self.greeting))
        return self.made[-1]


class TlsCase(SynchronousTestCase):
    """A port with TLS and in plain; :attr:`inner` stands behind it."""

    silent_connections = 100

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.ca = Authority.make("Test Issuer", Authority.make("Test Root"))
        self.root = self.ca.save(self.folder)
        self.pair = self.make_pair("own")
        self.certificate = self.make_certificate(self.pair)
        self.clock = Clock()
        self.inner = RecorderFactory()
        self.admission = Admission(self.silent_connections, self.silent_connections)
        self.refused: list[tuple[Any, bytes]] = []
        self.port = self.make_port()

    def make_port(self, **more: Any) -> SniffingTlsFactory:
        return SniffingTlsFactory(
            self.certificate,
            self.inner,
            self.clock,
            now=self.clock.seconds,
            admission=self.admission,
            **more,
        )

    def make_pair(self, name: str, **more: Any) -> PairFiles:
        return make_pair(self.folder, name, ca=self.ca, **more)

    def make_certificate(self, pair: PairFiles, now_s: float = 0.0) -> Certificate:
        """Return the certificate at the wall clock's *now_s*."""
        return Certificate(str(pair.cert), str(pair.key), lambda: now_s)

    def wire(self) -> Wire:
        """Return a new connection to the port, on which nothing has been said."""
        wire = Wire()
        wire.protocol = self.port.buildProtocol(wire.peer)
        self.assertIsNotNone(wire.protocol)
        wire.protocol.makeConnection(wire)
        return wire

    def client(self, **more: Any) -> TlsClient:
        """Return a client whose handshake is over, whatever came of it."""
        client = TlsClient(self.wire(), **more)
        client.run()
        return client

    @property
    def served(self) -> Recorder:
        """Who serves the last connection that said something."""
        return self.inner.made[-1]

    def tearDown(self) -> None:
        self.assertEqual([], self.clock.getDelayedCalls())
