"""Strangers send nonsense to every port; the server shrugs."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

from rdserver.wire.framing import encode_frame
from tests.integration.case import ProcessTests
from tests.integration.process import ServerProcess
from tests.integration.relayed import Exchange, join_relay, new_session
from tests.integration.sockets import fresh_host
from tests.vectors import VECTORS

DATAGRAMS = 5000
CONNECTIONS = 600
MIB = 1 << 20


def nonsense(rng: random.Random) -> Iterator[bytes]:
    """Yield random bytes, and real messages with a few wrong bytes."""
    samples = [bytes.fromhex(text) for text in VECTORS["messages"].values()]
    while True:
        yield rng.randbytes(rng.randrange(200))
        data = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        yield bytes(data)


class GarbageTests(ProcessTests):
    def setUp(self) -> None:
        super().setUp()
        self.running = self.server("--relay-auth=open", "-k", "").start()
        self.ports = self.running.ports
        self.known = self.device(self.ports, "950000001").register()

    def test_garbage(self) -> None:
        """
        After thousands of odd datagrams and connections everything works as before:
        no bug in the log, few lines, no descriptor and hardly any memory is held.
        """
        before = Held(self.running)
        rng = random.Random(1117)
        self.send_datagrams(rng)
        for port in self.ports.tcp:
            self.open_connections(port, rng)

        self.assertFalse(self.known.heartbeat())
        self.device(self.ports, "950000002").register()
        session = new_session()
        first = self.keep(join_relay(self.ports, session))
        Exchange(first, self.keep(join_relay(self.ports, session)), 1000)
        first.close()

        log = self.running.log()
        self.assertNotIn("Traceback", log)
        self.assertNotIn("not answered", log)
        self.assertLess(len(log.splitlines()), 200)
        self.assertLess(Held(self.running).bytes - before.bytes, 32 * MIB)
        # The session above may not have ended altogether.
        self.assertLess(Held(self.running).descriptors - before.descriptors, 5)

    def send_datagrams(self, rng: random.Random) -> None:
        """Send from many addresses, and ask something real now and then."""
        messages = nonsense(rng)
        for n in range(DATAGRAMS // 50):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((fresh_host(), 0))
                for _ in range(50):
                    stranger.sendto(next(messages), ("127.0.0.1", self.ports.main))
            if n % 10 == 0:
                self.assertFalse(self.known.heartbeat())

    def open_connections(self, port: int, rng: random.Random) -> None:
        """Open connections that say something odd, in frames or not, and leave."""
        messages = nonsense(rng)
        for _ in range(CONNECTIONS // 3):
            with socket.socket() as stranger:
                stranger.bind((fresh_host(), 0))
                stranger.settimeout(5)
                stranger.connect(("127.0.0.1", port))
                for _ in range(rng.randrange(4)):
                    data = next(messages)
                    framed = rng.random() < 0.7
                    try:
                        stranger.sendall(encode_frame(data) if framed else data)
                    except OSError:  # it was told to go already
                        break
                if rng.random() < 0.3:  # leave with a reset
                    linger = (1).to_bytes(4, "little") + bytes(4)
                    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.assertFalse(self.known.heartbeat())


class Held:
    """What a server holds at this moment."""

    def __init__(self, server: ServerProcess) -> None:
        process = Path(f"/proc/{server.pid}")
        pages = int((process / "statm").read_text().split()[1])
        self.bytes = pages * os.sysconf("SC_PAGE_SIZE")
        self.descriptors = len(list((process / "fd").iterdir()))
