"""A connection changes its protocol, whatever it is made of."""

from __future__ import annotations

from rdserver.transports.handover import hand_over
from tests.fakes import FakeTCP, settle
from tests.transports.tls_client import Recorder, TlsCase


class Leaving(Recorder):
    def connectionMade(self) -> None:
        self.transport.loseConnection()


class HandOverTests(TlsCase):
    def test_plain_connection(self) -> None:
        """The next protocol gets what has come so far, what comes, and the end."""
        wire, next_one = FakeTCP(), Recorder()
        hand_over(wire, next_one, b"so far")
        wire.send(b", and on")
        wire.close()
        settle(wire)
        self.assertEqual((b"so far, and on", 1), (next_one.received, len(next_one.lost)))
        self.assertIs(wire, next_one.transport)

    def test_tls_connection(self) -> None:
        """Over TLS the next protocol gets all that in plain, and its answers go out."""
        client, next_one = self.client(), Recorder()
        first = self.served
        hand_over(first.transport, next_one, b"so far")
        client.send(b", and on")
        next_one.transport.write(b"answer")
        client.run()
        client.end()
        self.assertEqual((b"so far, and on", 1), (next_one.received, len(next_one.lost)))
        self.assertEqual((b"", []), (first.received, first.lost))
        self.assertEqual(b"answer", client.received)

    def test_who_closes_gets_no_data(self) -> None:
        """A protocol that closes as soon as it is connected is given nothing."""
        wire, next_one = FakeTCP(), Leaving()
        hand_over(wire, next_one, b"so far")
        self.assertEqual(b"", next_one.received)

    def test_no_data(self) -> None:
        """Where nothing has come so far, nothing is given."""
        next_one = Recorder()
        next_one.dataReceived = self.fail  # type: ignore[assignment]
        hand_over(FakeTCP(), next_one, b"")
        self.assertEqual(1, next_one.made)
