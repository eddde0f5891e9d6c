"""Tests for :mod:`rdserver.transports.given_sockets`, on real sockets."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError
from rdserver.transports import given_sockets as module
from rdserver.transports.given_sockets import GivenSockets, first_environ, given_sockets
from rdserver.transports.listeners import Listeners, Wanted
from tests.transports.sockets import KINDS

TCP, UDP = KINDS["TCP"], KINDS["UDP"]
PID = 42


class GivenCase(SynchronousTestCase):
    """Tests with sockets as a service manager opens them."""

    def open(
        self, kind: socket.SocketKind = TCP, *, listening: bool = True
    ) -> socket.socket:
        """Return a blocking socket on a port of the system's choice."""
        given = socket.socket(socket.AF_INET, kind)
        self.addCleanup(given.close)
        given.bind(("127.0.0.1", 0))
        if kind == TCP and listening:
            given.listen(1)
        return given


class GivenSocketsTests(GivenCase):
    """What is taken, what is left, what is refused."""

    def test_taken_by_kind_and_port(self) -> None:
        """A socket is found by its kind and port, and handed out once."""
        tcp, udp = self.open(), self.open(UDP)
        given = GivenSockets(tcp, udp)
        port = tcp.getsockname()[1]
        self.assertIsNone(given.take(UDP, port))
        self.assertIs(tcp, given.take(TCP, port))
        self.assertIsNone(given.take(TCP, port))
        self.assertIs(udp, given.take(UDP, udp.getsockname()[1]))
        given.check_all_taken()

    def test_never_blocks_nor_is_inherited(self) -> None:
        """Whatever the manager left set, an accept() never waits."""
        tcp = self.open()
        tcp.set_inheritable(True)
        GivenSockets(tcp)
        self.assertFalse(tcp.getblocking())
        self.assertFalse(tcp.get_inheritable())

    def test_left_over(self) -> None:
        """A port that nobody wanted is named: who connects there would wait for ever."""
        udp = self.open(UDP)
        error = self.assertRaises(ConfigError, GivenSockets(udp).check_all_taken)
        self.assertIn(f"UDP port {udp.getsockname()[1]}", str(error))

    def test_not_listening(self) -> None:
        """Connections (Accept=yes) are refused, and so is what is not of the internet."""
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(local.close)
        for wrong in (self.open(listening=False), local):
            self.assertRaises(ConfigError, GivenSockets, wrong)


class EnvironTests(GivenCase):
    """How the manager tells."""

    def given_at(self, sock: socket.socket, **environ: str) -> GivenSockets:
        """Return what is found where *sock* has the first descriptor that is looked at."""
        # Its descriptor belongs to what is returned, so that is a duplicate.
        self.descriptor = os.dup(sock.fileno())
        self.patch(module, "_FIRST", self.descriptor)
        return given_sockets(environ, PID)

    def test_told(self) -> None:
        """The number of sockets and for whom they are come by the environment."""
        tcp = self.open()
        given = self.given_at(tcp, LISTEN_FDS="1", LISTEN_PID=str(PID))
        taken = given.take(TCP, tcp.getsockname()[1])
        assert taken is not None
        self.addCleanup(taken.close)
        self.assertEqual(self.descriptor, taken.fileno())

    def test_meant_for_others(self) -> None:
        """Those of another process are not touched, and neither is what is no number."""
        tcp = self.open()
        for environ in (
            {"LISTEN_FDS": "1", "LISTEN_PID": "41"},
            {"LISTEN_FDS": "1"},
            {"LISTEN_FDS": "", "LISTEN_PID": str(PID)},
            {"LISTEN_FDS": "-1", "LISTEN_PID": str(PID)},
        ):
            given = self.given_at(tcp, **environ)
            self.assertIsNone(given.take(TCP, tcp.getsockname()[1]))
            os.close(self.descriptor)

    def test_no_socket(self) -> None:
        """A descriptor of something else is a sentence, not a traceback."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.patch(module, "_FIRST", reading)
        environ = {"LISTEN_FDS": "1", "LISTEN_PID": str(PID)}
        self.assertRaises(ConfigError, given_sockets, environ, PID)

    def test_first_environ(self) -> None:
        """What has been taken out of the environment since is still seen."""
        first = dict(first_environ())
        self.assertIn("PATH", first)
        self.patch(os, "environ", {})
        self.assertEqual(first, first_environ())


class ListenersTests(GivenCase):
    """The ports of a server of which some are open already."""

    def test_given_is_not_bound(self) -> None:
        """A port that was given is used as it is, the others are bound."""
        tcp = self.open()
        port = tcp.getsockname()[1]
        given = GivenSockets(tcp)
        wanted = [Wanted(port, TCP, "relay"), Wanted(0, UDP, "ID server")]
        made = Listeners("127.0.0.1", wanted, None, given)
        made.bind_all()
        self.addCleanup(made.release)
        given.check_all_taken()
        with socket.create_connection(("127.0.0.1", port), 5):
            pass

    def test_another_address(self) -> None:
        """What is set and what was opened must be one address, however it is written."""
        for interface, is_refused in (("::1", True), ("127.0.0.1", False), ("", False)):
            tcp = self.open()
            wanted = [Wanted(tcp.getsockname()[1], TCP, "relay")]
            made = Listeners(interface, wanted, None, GivenSockets(tcp))
            self.addCleanup(made.release)
            if is_refused:
                error = self.assertRaises(ConfigError, made.bind_all)
                self.assertIn("on 127.0.0.1, not on ::1", str(error))
                self.assertEqual(-1, tcp.fileno())
            else:
                made.bind_all()
