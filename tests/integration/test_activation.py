"""Socket activation: the service manager opens the ports, the server takes them."""

from __future__ import annotations

import socket
import sys

from rdserver.wire import pb
from tests.integration.case import ProcessTests
from tests.integration.client import nat_test
from tests.integration.process import Ports, ServerProcess, free_ports, program
from tests.integration.sockets import Stream, fresh_host

# As systemd does between fork and exec: from 3 on, and told with the pid.  They are moved
# out of the way first, for one may have the number that another one is to have.
MANAGER = """
import os, sys
given = [int(number) for number in sys.argv[1].split(",")]
for place, number in enumerate(given):
    os.dup2(number, 100 + place)
for place in range(len(given)):
    os.dup2(100 + place, 3 + place)
    os.close(100 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)))
os.execv(sys.argv[2], sys.argv[2:])
"""


class ActivationTests(ProcessTests):
    """The test is the service manager."""

    def setUp(self) -> None:
        super().setUp()
        self.ports = free_ports()
        self.sockets = [self.open(port, socket.SOCK_STREAM) for port in self.ports.tcp]
        self.sockets.append(self.open(self.ports.main, socket.SOCK_DGRAM))

    def open(self, port: int, kind: socket.SocketKind) -> socket.socket:
        """Return a socket as systemd opens it: for both families, and blocking."""
        opened = self.keep(socket.socket(socket.AF_INET6, kind))
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            opened.listen(64)
        return opened

    def activated(self, name: str, ports: Ports | None = None) -> ServerProcess:
        """Return a server that is given the sockets, not started yet."""
        numbers = [opened.fileno() for opened in self.sockets]
        words = [sys.executable, "-c", MANAGER, ",".join(map(str, numbers))]
        settings = [f"--data-dir={self.folder}", f"-p{self.ports.main}"]
        command = program("twistd", "-n", "--pidfile=", "rustdesk-server")
        if name != "twistd":
            command = program(name)
        return self.server(
            command=[*command, *settings, f"--relay-port={(ports or self.ports).relay}"],
            ports=self.ports,
            wrapper=words,
            descriptors=numbers,
        )

    def test_restart_refuses_nobody(self) -> None:
        """Who asks while the server restarts is answered by the next one."""
        for name in ("rustdesk-server", "twistd"):
            server = self.activated(name).start()
            device = self.device(self.ports, "900000051").register()
            server.stop()
            heartbeat = pb.RendezvousMessage(register_peer=pb.RegisterPeer(id=b"900000052"))
            waiting = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            waiting.settimeout(20)
            waiting.sendto(pb.encode(heartbeat), ("127.0.0.1", self.ports.main))
            host = fresh_host()
            stream = self.keep(Stream(self.ports, self.ports.main, (host, 0)))
            stream.send(pb.RendezvousMessage(test_nat_request=pb.TestNatRequest(serial=1)))
            server.start()
            answer = stream.receive()
            assert answer is not None, "the connection that waited was closed"
            self.assertEqual("test_nat_response", answer.WhichOneof("union"))
            reply = pb.decode(waiting.recv(4096))
            self.assertEqual("register_peer_response", reply.WhichOneof("union"))
            self.assertEqual(2, len(nat_test(self.ports, host)))
            self.assertFalse(device.heartbeat(), "the device was forgotten")
            server.stop()

    def test_ports_that_do_not_fit(self) -> None:
        """A socket for a port that is not served stops the start, and names the port."""
        elsewhere = free_ports()
        for name in ("rustdesk-server", "twistd"):
            server = self.activated(name, elsewhere)
            server.spawn()
            self.assertEqual(1, server.wait())
            self.assertIn(f"TCP port {self.ports.relay}", server.log())
            self.assertNotIn("Traceback", server.log())
