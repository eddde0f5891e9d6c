"""What a socket has not got rid of yet."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.unsent import unsent_bytes


class UnsentTests(SynchronousTestCase):
    def test_taken(self) -> None:
        """What lies in the client's own buffer is sent, what that did not take is not."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server, _ = listener.accept()
        self.addCleanup(client.close)
        self.addCleanup(server.close)
        self.assertEqual(0, unsent_bytes(server.fileno()))
        server.setblocking(False)
        sent_bytes = 0
        try:
            while True:
                sent_bytes += server.send(b"x" * 65536)
        except BlockingIOError:
            full_bytes = unsent_bytes(server.fileno())
        self.assertTrue(0 < full_bytes < sent_bytes, (full_bytes, sent_bytes))

    def test_no_socket(self) -> None:
        """A descriptor that is none, or no socket's, has nothing unsent."""
        self.assertEqual(0, unsent_bytes(-1))
        with socket.socket() as closed:
            descriptor = closed.fileno()
        self.assertEqual(0, unsent_bytes(descriptor))
        with open("/dev/null", "wb") as file:
            self.assertEqual(0, unsent_bytes(file.fileno()))
