"""Everybody else is served while a session's bytes never stop."""

from __future__ import annotations

import threading

from tests.integration.case import ProcessTests
from tests.integration.client import nat_test, online
from tests.integration.process import Ports
from tests.integration.relayed import join_relay, new_session
from tests.integration.sockets import REPLY_S, Stream, fresh_host

CHUNKS = (b"x" * 64, b"y" * 16_384)
"""What a hand types, and what a screen sends."""
ROUNDS = 20


class _PingPong(threading.Thread):
    """
    Sends a chunk to and fro, without a pause, until it is told to stop.

    :ivar rounds: how often the chunk has come back.
    """

    def __init__(self, there: Stream, back: Stream, chunk: bytes) -> None:
        super().__init__(daemon=True)
        self._ends = (there, back)
        self._chunk = chunk
        self._stopping = threading.Event()
        self.rounds = 0

    def run(self) -> None:
        there, back = self._ends
        while not self._stopping.is_set():
            for sender, reader in ((there, back), (back, there)):
                sender.send_bytes(self._chunk)
                if reader.receive_exactly(len(self._chunk)) != self._chunk:
                    return
            self.rounds += 1

    def stop(self) -> None:
        self._stopping.set()
        self.join(REPLY_S)


class OthersTests(ProcessTests):
    def test_while_bytes_flow(self) -> None:
        """Devices, short requests and new sessions have their answers in between."""
        ports = self.server("--relay-auth=open").start().ports
        device = self.device(ports, "100200300").register()
        ping_pongs = [self.ping_pong(*self.session(ports), chunk) for chunk in CHUNKS * 2]
        for _ in range(ROUNDS):
            self.assertFalse(device.heartbeat())
            self.assertEqual(2, len(nat_test(ports, fresh_host())))
            self.assertEqual([True], online(ports, fresh_host(), [device.id]))
            first, second = self.session(ports)
            first.send_bytes(b"new")
            self.assertEqual(b"new", second.receive_exactly(3))
        for each in ping_pongs:
            self.assertTrue(each.is_alive())
            each.stop()
            self.assertGreater(each.rounds, 0)

    def session(self, ports: Ports) -> tuple[Stream, Stream]:
        name = new_session()
        first = self.keep(join_relay(ports, name))
        return first, self.keep(join_relay(ports, name))

    def ping_pong(self, there: Stream, back: Stream, chunk: bytes) -> _PingPong:
        thread = _PingPong(there, back, chunk)
        thread.start()
        self.addCleanup(thread.stop)
        return thread
