"""The consoles' sockets in the data folder, and a console spoken to over a real one."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from shutil import rmtree
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rdserver.admin.console import Console
from rdserver.admin.port import ConsoleFactory
from rdserver.admin.unix import MAX_PATH_BYTES, REST_S, UnixPort, listen_unix
from rdserver.errors import ConfigError, UnavailableError
from tests.admin.stepping import own_reactor, read_all, turn


class SocketCase(SynchronousTestCase):
    """A test with a folder whose path is short enough for sockets."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rd"))
        self.addCleanup(rmtree, self.folder)
        self.path = self.folder / "admin-id.sock"

    def listen(self) -> socket.socket:
        listener = listen_unix(self.path)
        self.addCleanup(listener.close)
        return listener

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(str(self.path))
        client.setblocking(False)
        return client

    def assert_refused(self, *parts: str) -> None:
        message = str(self.assertRaises(ConfigError, listen_unix, self.path))
        for part in ("data-dir: ", str(self.path), *parts):
            self.assertIn(part, message)


class ListenTests(SocketCase):
    def test_other_server(self) -> None:
        """Another server in this folder may end; a service manager may try again."""
        self.addCleanup(listen_unix(self.path).close)
        self.assertRaises(UnavailableError, listen_unix, self.path)

    def test_owner_and_group(self) -> None:
        """Owner and group may use the socket, nobody else, whatever the umask is."""
        self.addCleanup(os.umask, os.umask(0))
        for mask in (0o000, 0o022, 0o077, 0o777):
            os.umask(mask)
            with closing(listen_unix(self.path)):
                status = self.path.lstat()
            self.assertTrue(stat.S_ISSOCK(status.st_mode))
            self.assertEqual(0o660, stat.S_IMODE(status.st_mode))

    def test_for_a_reactor(self) -> None:
        """The socket listens and does not block."""
        listener = self.listen()
        self.assertRaises(BlockingIOError, listener.accept)
        self.connect()
        listener.accept()[0].close()

    def test_left_behind(self) -> None:
        """A socket that nobody listens on any more is replaced."""
        listen_unix(self.path).close()
        self.assertTrue(self.path.is_socket())
        self.listen()
        self.connect()

    def test_another_server(self) -> None:
        """A socket that somebody listens on stops the start, and goes on working."""
        self.listen()
        self.assert_refused("another server is running in this data folder")
        self.connect()

    def test_busy_server(self) -> None:
        """A server that does not come to accept connections is a running server."""
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen(0)
            self.connect()
            self.assert_refused("another server is running in this data folder")

    def test_something_else(self) -> None:
        """A file that is no socket is left alone."""
        self.path.write_text("precious")
        self.assert_refused("in the way")
        self.assertEqual("precious", self.path.read_text())

    def test_missing_folder(self) -> None:
        """The message names the setting, the path and the cause."""
        self.path = self.folder / "missing" / "admin-id.sock"
        self.assert_refused("No such file or directory")

    def test_folder_is_a_file(self) -> None:
        """A path through a file is refused with its cause, too."""
        self.path.write_text("")
        self.path = self.path / "admin-id.sock"
        self.assert_refused("Not a directory")

    def test_longest_path(self) -> None:
        """A path of 107 bytes is used, one of 108 refused: the system would cut it."""
        room = MAX_PATH_BYTES - len(os.fsencode(self.folder)) - 1
        self.path = self.folder / ("x" * room)
        self.listen()
        self.path = self.folder / ("é" * (room // 2) + "x" * (room % 2 + 1))
        self.assert_refused("107 bytes")


class FakeReactor(Clock):
    """Knows its readers; takes connections, or has no descriptor for them."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.adopted = 0
        self.full = False

    def addReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        self.readers.discard(reader)

    def adoptStreamConnection(self, *_arguments: Any) -> None:  # noqa: N802 - Twisted's
        if self.full:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        self.adopted += 1


class CountedFactory(Factory):
    """Knows whether it serves a port."""

    noisy = False
    started = 0

    def startFactory(self) -> None:
        self.started += 1

    def stopFactory(self) -> None:
        self.started -= 1


class UnixPortTests(SocketCase):
    """The life of a socket."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = FakeReactor()
        self.factory = CountedFactory()
        self.port = UnixPort(self.path, self.reactor)
        self.addCleanup(self.port.close)

    def test_building_opens_nothing(self) -> None:
        """There is no socket before :meth:`UnixPort.listen`, and nothing to close."""
        self.port.close()
        self.assertEqual(([], -1), (os.listdir(self.folder), self.port.fileno()))

    def test_open_and_close(self) -> None:
        """From open to close the reactor watches the socket and the factory serves."""
        self.port.listen()
        self.assertEqual(set(), self.reactor.readers)
        self.port.open(self.factory)
        self.assertEqual(({self.port}, 1), (self.reactor.readers, self.factory.started))
        self.port.close()
        self.assertEqual((set(), 0), (self.reactor.readers, self.factory.started))
        self.assertEqual(([], -1), (os.listdir(self.folder), self.port.fileno()))

    def test_closed_twice(self) -> None:
        """Closing again changes nothing, nor does a late event."""
        self.port.listen()
        self.port.open(self.factory)
        self.port.close()
        self.port.close()
        self.port.doRead()
        self.assertEqual((0, 0), (self.factory.started, self.reactor.adopted))

    def test_closed_before_it_opened(self) -> None:
        """A start that stops half-way leaves no socket behind."""
        self.port.listen()
        self.port.close()
        self.assertEqual([], os.listdir(self.folder))

    def test_file_of_another_server(self) -> None:
        """A socket that another server put in our place stays."""
        self.port.listen()
        self.path.unlink()
        self.listen()
        self.port.close()
        self.connect()

    def test_file_is_gone(self) -> None:
        """A socket that somebody removed is no reason to fail at the end."""
        self.port.listen()
        self.path.unlink()
        self.port.close()
        self.assertEqual([], os.listdir(self.folder))

    def test_reactor_ends(self) -> None:
        """When the reactor drops the port it closes."""
        self.port.listen()
        self.port.open(self.factory)
        self.port.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], os.listdir(self.folder))

    def test_another_server(self) -> None:
        """A port that cannot listen leaves the other's socket alone."""
        self.listen()
        self.assertRaises(ConfigError, self.port.listen)
        self.port.close()
        self.connect()

    def test_accepts(self) -> None:
        """Each event accepts one connection; one without a connection does nothing."""
        self.port.listen()
        self.port.open(self.factory)
        self.connect()
        self.connect()
        for expected in (1, 2, 2):
            self.port.doRead()
            self.assertEqual(expected, self.reactor.adopted)

    def test_no_descriptors_left(self) -> None:
        """What cannot be accepted is logged once a second, not tried without end."""
        self.port.listen()
        self.port.open(self.factory)
        self.connect()
        self.reactor.full = True
        with capturedLogs() as events:
            self.port.doRead()
        self.assertEqual((set(), 1), (self.reactor.readers, len(events)))
        self.reactor.advance(REST_S)
        self.assertEqual({self.port}, self.reactor.readers)

    def test_closed_while_it_rests(self) -> None:
        """A port that closes meanwhile does not come back."""
        self.port.listen()
        self.port.open(self.factory)
        self.connect()
        self.reactor.full = True
        self.port.doRead()
        self.port.close()
        self.reactor.advance(REST_S)
        self.assertEqual(
            (set(), []), (self.reactor.readers, self.reactor.getDelayedCalls())
        )


class ConsoleOverUnixTests(SocketCase):
    """The whole way, with a reactor of our own that runs turn by turn."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        commands = {"echo": " ".join, "long": lambda words: "0123456789\n" * int(words[0])}
        self.factory = ConsoleFactory(Console(commands), self.clock)
        self.port = UnixPort(self.path, own_reactor())
        self.port.listen()
        self.addCleanup(self.port.close)

    def test_command(self) -> None:
        """A command is answered, the connection closed, and no deadline left."""
        self.port.open(self.factory)
        client = self.connect()
        client.sendall(b"echo hello\n")
        self.assertEqual(b"hello", read_all(client))
        turn()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_early_caller(self) -> None:
        """Who connects before the console is open is answered when it is."""
        client = self.connect()
        client.sendall(b"echo hello\n")
        turn()
        self.assertRaises(BlockingIOError, client.recv, 1)
        self.port.open(self.factory)
        self.assertEqual(b"hello", read_all(client))

    def test_long_answer(self) -> None:
        """Statement 136: the answer is complete, even to one who has closed its side."""
        self.port.open(self.factory)
        client = self.connect()
        client.sendall(b"long 300000")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(b"0123456789\n" * 300_000, read_all(client, 4096))

    def test_several_at_once(self) -> None:
        """Connections do not wait for each other."""
        self.port.open(self.factory)
        silent, clients = self.connect(), [self.connect() for _ in range(5)]
        for number, client in enumerate(clients):
            client.sendall(b"echo %d\n" % number)
        answers = [read_all(client) for client in reversed(clients)]
        self.assertEqual([b"4", b"3", b"2", b"1", b"0"], answers)
        self.clock.advance(1)
        self.assertEqual(b"", read_all(silent))
