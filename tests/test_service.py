"""Tests for :mod:`rdserver.service`: what is opened when, and closed again."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IServiceCollection
from twisted.logger import ILogObserver, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver import relay_service, service
from rdserver.errors import ConfigError, StorageError
from rdserver.id_service import IdServer
from rdserver.key_watch import KeyWatch
from rdserver.keys import KeyPair, RelayKeys
from rdserver.rendezvous.effects import Answer
from rdserver.service import Server
from rdserver.settings.options import HbbrOptions, HbbsOptions, Options, ProgramOptions
from rdserver.transports import listeners, mmsg, quick_port
from rdserver.transports.listeners import UDP_BUFFER_BYTES
from rdserver.transports.splice_loop import SpliceLoop
from rdserver.transports.udp_batch import BatchPort
from rdserver.wire import pb
from tests.fakes import FakeReactor, FakeTCP, settle
from tests.transports.sockets import free_ports, occupied, open_sockets

PUBLIC_KEY = "id_ed25519.pub"
PRIVATE_KEY = "id_ed25519"
DATABASE = "db_v2.sqlite3"
OLD = KeyPair.generate()


class ServiceCase(SynchronousTestCase):
    """
    Servers in a folder of the test's own, with a reactor that is none.

    The sockets are real, but nobody reads them.

    :ivar port: the ID server's; the one before and the next seven are free too.
    """

    def setUp(self) -> None:
        # Not trial's own, whose path is too long for the consoles' sockets.
        self.folder = Path(tempfile.mkdtemp(prefix="rdserver-")).resolve()
        self.addCleanup(shutil.rmtree, self.folder)
        self.reactor = FakeReactor()
        self.port = free_ports(9) + 1
        self.sockets = open_sockets()
        self.threads = set(threading.enumerate())
        self.patch(service.resource, "setrlimit", lambda *_: None)
        self.addCleanup(gc.unfreeze)
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        # Its own accepting has tests of its own; here the reactor is to see each port.
        self.patch(quick_port, "AVAILABLE", False)

    def options(
        self, *arguments: str, program: type[ProgramOptions] = Options, **environ: str
    ) -> ProgramOptions:
        """Return the options of a server on the test's own ports and folder."""
        options = program(environ, self.folder)
        options.parseOptions(
            [
                *("--bind", "127.0.0.1", "--port", str(self.port)),
                *("--data-dir", str(self.folder), *arguments),
            ]
        )
        return options

    def make(self, *arguments: str, **environ: str) -> Server:
        """Return a server that is not started."""
        return Server(self.options(*arguments, **environ), self.reactor)

    def start(self, server: Server) -> list[str]:
        """Start as ``twistd`` does; return the lines that were logged."""
        with capturedLogs() as events:
            server.privilegedStartService()
            server.startService()
        return [formatEvent(event) for event in events]

    def stop(self, server: Server) -> None:
        """Stop; nothing is left open, nothing is to be called, no thread runs."""
        stopped = server.stopService()
        self.reactor.run_until(lambda: stopped.called)
        self.assertEqual([], [one for one in self.successResultOf(stopped) if not one[0]])
        self.assert_nothing_left()

    def assert_nothing_left(self) -> None:
        self.assertEqual(([], []), (self.reactor.getDelayedCalls(), self.reactor.ports))
        self.assertEqual(([], []), (self.reactor.getReaders(), self.reactor.getWriters()))
        self.assertEqual(self.sockets, open_sockets())
        self.assertEqual(self.threads, set(threading.enumerate()))
        self.assertEqual([], [name for name in self.files() if name.endswith(".sock")])

    def files(self) -> list[str]:
        """Return the names of the files in the data folder."""
        return sorted(os.listdir(self.folder))

    def listening(self) -> int:
        """Return how many ports are open."""
        batches = [r for r in self.reactor.getReaders() if isinstance(r, BatchPort)]
        return len(self.reactor.ports) + len(batches)

    def sockets_opened(self) -> int:
        """Return how many sockets were opened since the test began."""
        return len(open_sockets() - self.sockets)

    def assert_refused(self, kind: type[Exception], sentence: str, server: Server) -> None:
        """Assert that the start fails with one sentence, and the stop cleans up."""
        error = self.assertRaises(kind, self.start, server)
        self.assertIn(sentence, str(error))
        self.assertEqual(1, len(str(error).splitlines()))
        self.stop(server)


class LifeTests(ServiceCase):
    """From the making to the end."""

    def test_making_opens_nothing(self) -> None:
        """``makeService`` runs before ``twistd`` becomes a daemon, so it only builds."""
        for role in ("all", "id", "relay"):
            options = self.options("--role", role)
            self.assertIsInstance(service.makeService(options), Server)
        self.assertEqual([], self.files())
        self.assert_nothing_left()

    def test_privileged_start_binds_ports(self) -> None:
        """As root ports are bound, and no files made."""
        server = self.make()
        server.privilegedStartService()
        self.assertEqual((6, []), (self.sockets_opened(), self.files()))
        self.stop(server)

    def test_all(self) -> None:
        """Both servers have their ports, keys, database and consoles."""
        server = self.make()
        self.start(server)
        self.assertEqual(7, self.listening())  # one is the self test's
        consoles = {"admin-id.sock", "admin-relay.sock"}
        kept = {PUBLIC_KEY, PRIVATE_KEY, DATABASE}
        self.assertEqual(consoles | kept, (consoles | kept) & set(self.files()))
        self.stop(server)
        self.assertEqual(sorted(kept), self.files())

    def test_garbage_collector(self) -> None:
        """It does not look again through what is in memory at the start."""
        server = self.make()
        self.assertEqual(0, gc.get_freeze_count())
        self.start(server)
        self.assertGreater(gc.get_freeze_count(), 10_000)
        self.stop(server)

    def test_switch_interval(self) -> None:
        """No other thread keeps the reactor waiting for longer than half a millisecond."""
        server = self.make()
        self.start(server)
        self.assertAlmostEqual(0.0005, sys.getswitchinterval())
        self.stop(server)

    def test_id(self) -> None:
        """The ID server alone opens nothing of the relay's."""
        server = self.make("--role", "id")
        self.start(server)
        self.assertEqual(5, self.listening())
        self.assertNotIn("admin-relay.sock", self.files())
        self.stop(server)

    def test_relay(self) -> None:
        """The relay alone makes no key and no database."""
        server = self.make("--role", "relay", "--relay-auth", "open")
        self.start(server)
        self.assertIsNone(server.id_server)
        self.assertEqual(2, self.listening())
        self.assertEqual(["admin-relay.sock"], self.files())
        self.stop(server)

    def test_no_self_test(self) -> None:
        """The self test can be turned off."""
        server = self.make("--role", "id", TEST_HBBS="no")
        self.start(server)
        self.assertEqual(4, self.listening())
        self.stop(server)

    def test_originals_programs(self) -> None:
        """``hbbs`` and ``hbbr`` are the two halves."""
        for program, ports in ((HbbsOptions, 5), (HbbrOptions, 2)):
            options = self.options("--key", "secret", program=program)
            server = Server(options, self.reactor)
            self.start(server)
            self.assertEqual(ports, self.listening())
            self.stop(server)

    def test_udp_path(self) -> None:
        """Datagrams are taken in batches where that is wanted, and possible."""
        for path, possible, batches in (
            ("auto", True, 1),
            ("auto", False, 0),
            ("batch", True, 1),
            ("plain", True, 0),
            ("plain", False, 0),
        ):
            self.patch(mmsg, "is_available", lambda possible=possible: possible)
            server = self.make("--role", "id", "--udp-path", path)
            self.start(server)
            readers = [type(reader) for reader in self.reactor.getReaders()]
            self.assertEqual((batches, 5), (readers.count(BatchPort), self.listening()))
            self.stop(server)

    def test_relay_path(self) -> None:
        """The relay splices where that is wanted, and possible; else it copies."""
        for path, possible, loops in (
            ("auto", True, 1),
            ("auto", False, 0),
            ("splice", True, 1),
            ("copy", True, 0),
            ("copy", False, 0),
        ):
            self.patch(relay_service, "can_splice", lambda possible=possible: possible)
            server = self.make("--role", "relay", "--relay-auth=open", "--relay-path", path)
            self.start(server)
            readers = [type(reader) for reader in self.reactor.getReaders()]
            self.assertEqual(loops, readers.count(SpliceLoop), path)
            self.stop(server)

    def test_not_started(self) -> None:
        """A server that was never started can be stopped."""
        self.stop(self.make())

    def test_same_key_again(self) -> None:
        """A second start finds the key of the first."""
        keys = []
        for _ in range(2):
            server = self.make("--role", "id")
            self.start(server)
            assert server.id_server is not None
            assert server.id_server.key is not None
            keys.append(server.id_server.key.required)
            self.stop(server)
        self.assertEqual(keys[:1] * 2, keys)
        self.assertEqual((self.folder / PUBLIC_KEY).read_text(), keys[0])

    def old_key_file(self, *lines: str) -> str:
        """Write a file of old keys into the data folder; return its path."""
        path = self.folder / "old_keys"
        path.write_text("\n".join(lines))
        path.chmod(0o600)
        return str(path)

    def test_old_keys(self) -> None:
        """The ID server and the relay beside it have the same old keys."""
        path = self.old_key_file(OLD.secret_text)
        server = self.make("--old-keys", path)
        self.start(server)
        assert server.id_server is not None
        assert server.id_server.key is not None
        self.assertEqual((OLD,), server.id_server.key.old)
        expected = RelayKeys(server.id_server.key.required, (OLD.public_text,))
        self.assertEqual(expected, server._relay_keys())
        self.stop(server)

    def test_old_keys_of_a_relay(self) -> None:
        """A relay on its own needs no private key, old ones neither."""
        (self.folder / PUBLIC_KEY).write_text(KeyPair.generate().public_text)
        path = self.old_key_file(OLD.public_text)
        server = self.make("--role", "relay", "--old-keys", path)
        self.start(server)
        assert server.relay is not None
        public = (self.folder / PUBLIC_KEY).read_text()
        expected = RelayKeys(public, (OLD.public_text,))
        self.assertEqual(expected, server.relay._load_keys())
        self.stop(server)

    def test_reports_of_old_keys(self) -> None:
        """Every hour both servers log who still has one."""
        reports: list[str] = []
        self.patch(KeyWatch, "report", lambda watch: reports.append(watch._server))
        server = self.make(TEST_HBBS="no")
        self.start(server)
        self.reactor.advance(3599)
        self.assertEqual([], reports)
        self.reactor.advance(1)
        self.assertEqual(["ID server", "relay"], sorted(reports))
        self.stop(server)

    def test_descriptor_limit(self) -> None:
        """As many connections are possible as the system allows."""
        limits: list[tuple[object, ...]] = []
        self.patch(service.resource, "getrlimit", lambda _what: (1024, 4096))
        self.patch(service.resource, "setrlimit", lambda *args: limits.append(args))
        server = self.make("--role", "id")
        self.start(server)
        self.assertEqual([(service.resource.RLIMIT_NOFILE, (4096, 4096))], limits)
        self.stop(server)


class ConnectionsTests(ServiceCase):
    """Clients that are connected when the server stops."""

    def connect(self, window_bytes: int) -> FakeTCP:
        """Return a client of the main port that has asked something."""
        client = FakeTCP(window_bytes=window_bytes)
        factory = self.reactor.ports[0].served
        client.protocol = factory.buildProtocol(client.getPeer())
        client.protocol.makeConnection(client)
        return client

    def answer(self, server: Server) -> None:
        """Let an answer be under way to the first connection."""
        assert isinstance(server.id_server, IdServer)
        message = pb.RendezvousMessage(software_update=pb.SoftwareUpdate(url=b"x"))
        server.id_server._outlet.perform((Answer(1, message),))

    def test_last_answers(self) -> None:
        """What is on the way to a client still gets there."""
        server = self.make("--role", "id")
        self.start(server)
        client = self.connect(1000)
        self.answer(server)
        stopped = server.stopService()
        settle(client)
        self.assertEqual((False, False), (client.connected, client.aborted))
        self.assertNotEqual(b"", client.read())
        self.reactor.advance(1)
        self.reactor.run_until(lambda: stopped.called)
        self.assert_nothing_left()

    def test_client_that_does_not_read(self) -> None:
        """A client cannot keep the server from stopping."""
        server = self.make("--role", "id")
        self.start(server)
        client = self.connect(0)
        self.answer(server)
        stopped = server.stopService()
        settle(client)
        self.assertTrue(client.connected)
        self.reactor.advance(1)
        self.assertTrue(client.aborted)
        self.reactor.run_until(lambda: stopped.called)
        self.assert_nothing_left()


class RefusalTests(ServiceCase):
    """Starts that cannot be."""

    def test_taken_ports(self) -> None:
        """A taken port stops the start before any file is made."""
        for port, kind, name in (
            (self.port - 1, "TCP", "NAT test"),
            (self.port, "TCP", "ID server"),
            (self.port, "UDP", "ID server"),
            (self.port + 1, "TCP", "relay"),
            (self.port + 2, "TCP", "ID server, WebSocket"),
            (self.port + 3, "TCP", "relay, WebSocket"),
        ):
            with occupied(kind, "127.0.0.1", port):
                self.sockets = open_sockets()
                sentence = f"{kind} port {port} ({name}) is already taken: "
                self.assert_refused(ConfigError, sentence, self.make())
        self.assertEqual([], self.files())

    def test_second_instance(self) -> None:
        """While one runs another does not start, on these ports or in this folder."""
        first = self.make("--role", "id")
        self.start(first)
        before = open_sockets()
        second = self.make("--role", "id")
        error = self.assertRaises(ConfigError, self.start, second)
        self.assertIn("is already taken: another server is running on it", str(error))
        self.port += 5
        third = self.make("--role", "id")
        error = self.assertRaises(ConfigError, self.start, third)
        self.assertIn("another server is running in this data folder", str(error))
        for server in (second, third):
            stopped = server.stopService()
            self.reactor.run_until(lambda stopped=stopped: stopped.called)
        self.assertEqual(before, open_sockets())
        self.stop(first)

    def test_no_folder(self) -> None:
        """A data folder that is not there stops the start before a port is bound."""
        server = self.make()
        missing = self.folder / "missing"
        server = self.make("--data-dir", str(missing))
        self.assert_refused(ConfigError, f"data-dir: {missing} is not a folder", server)

    def test_broken_key(self) -> None:
        """A key file that is none is never replaced."""
        (self.folder / PRIVATE_KEY).write_text("no key")
        self.assert_refused(ConfigError, PRIVATE_KEY, self.make("--role", "id"))
        self.assertEqual("no key", (self.folder / PRIVATE_KEY).read_text())

    def test_broken_old_keys(self) -> None:
        """A file of old keys that cannot be used stops the start of either."""
        path = self.folder / "old_keys"
        path.write_text("no key")
        (self.folder / PUBLIC_KEY).write_text(OLD.public_text)
        for role in ("id", "all", "relay"):
            server = self.make("--role", role, "--old-keys", str(path))
            self.assert_refused(ConfigError, f"old-keys: line 1 of {path} must be", server)

    def test_no_batches(self) -> None:
        """Batches that the system does not have stop the start before a file is made."""
        self.patch(mmsg, "is_available", lambda: False)
        server = self.make("--udp-path", "batch")
        sentence = "udp-path: this system has no recvmmsg; use auto or plain"
        self.assert_refused(ConfigError, sentence, server)
        self.assertEqual([], self.files())

    def test_no_splice(self) -> None:
        """Nor does a relay start that is told to splice where that is not possible."""
        self.patch(relay_service, "can_splice", lambda: False)
        server = self.make("--role", "relay", "--relay-auth=open", "--relay-path=splice")
        sentence = "relay-path: this system cannot splice; use auto or copy"
        self.assert_refused(ConfigError, sentence, server)

    def test_broken_database(self) -> None:
        """A database that is none stops the start, and everything is closed again."""
        (self.folder / DATABASE).write_bytes(b"no database" * 1000)
        self.assert_refused(StorageError, DATABASE, self.make())

    def test_broken_list(self) -> None:
        """A list of the relay's that cannot be read stops the start."""
        (self.folder / "blacklist.txt").mkdir()
        self.assert_refused(ConfigError, "blacklist.txt cannot be read", self.make())

    def test_bug(self) -> None:
        """What is no operator's fault is not turned into a sentence."""

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(self.reactor, "adoptStreamPort", fail)
        server = self.make()
        self.under_twistd(server)
        self.assertRaises(ZeroDivisionError, self.start, server)
        self.stop(server)

    def under_twistd(self, server: Server) -> None:
        server.setServiceParent(Application("test"))

    def test_under_twistd(self) -> None:
        """There a refusal is ``SystemExit``, which makes the exit status 1."""
        with occupied("UDP", "127.0.0.1", self.port):
            self.sockets = open_sockets()
            server = self.make()
            self.under_twistd(server)
            error = self.assertRaises(SystemExit, self.start, server)
            self.assertEqual(
                f"rustdesk-server: UDP port {self.port} (ID server) is already taken: "
                "another server is running on it",
                error.code,
            )
            self.stop(server)

    def test_late_under_twistd(self) -> None:
        """That holds as well for what is only found behind the ports."""
        (self.folder / DATABASE).write_bytes(b"no database" * 1000)
        server = self.make()
        self.under_twistd(server)
        error = self.assertRaises(SystemExit, self.start, server)
        self.assertTrue(str(error.code).startswith("rustdesk-server: "), error.code)
        self.stop(server)


class HelloTests(ServiceCase):
    """What the operator is told at the start."""

    def lines(self, *arguments: str, **environ: str) -> list[str]:
        """Return the lines of one start."""
        server = self.make(*arguments, **environ)
        lines = self.start(server)
        self.stop(server)
        return lines

    def test_what_to_enter(self) -> None:
        """Which ports listen, and what a client must be given."""
        port = self.port
        lines = self.lines()
        key = (self.folder / PUBLIC_KEY).read_text()
        for line in (
            f"ID server listens on {port - 1}/tcp, {port}/tcp and {port}/udp, and on "
            f"{port + 2}/tcp for WebSocket",
            f"enter in each client: ID server 127.0.0.1:{port}",
            f"relay listens on {port + 1}/tcp, and on {port + 3}/tcp for WebSocket, "
            "relay-auth ticket",
            f"enter in each client: relay server 127.0.0.1:{port + 1}",
            f"enter in each client: key {key}",
        ):
            self.assertIn(line, lines)

    def test_usual_ports(self) -> None:
        """The usual ports need not be entered; an IPv6 address needs brackets."""
        shown = service._shown
        self.assertEqual("192.0.2.1", shown("192.0.2.1", 21116, 21116))
        self.assertEqual("192.0.2.1:5", shown("192.0.2.1", 5, 21116))
        self.assertEqual("[2001:db8::1]:5", shown("2001:db8::1", 5, 21116))

    def test_literal_key(self) -> None:
        """A text that is the key is a secret of the operator's, and not shown."""
        lines = self.lines("--role", "id", "--key", "swordfish")
        self.assertIn(
            "enter in each client: key (the text of the setting key; sessions are not "
            "encrypted with it)",
            lines,
        )
        self.assertNotIn("swordfish", " ".join(lines))

    def test_no_key(self) -> None:
        """Without a key check everybody is served, which is a warning."""
        lines = self.lines("--role", "id", "--key", "")
        self.assertIn("key is empty: anybody may use this ID server", lines)
        public = (self.folder / "id_ed25519.pub").read_text()
        entered = [line for line in lines if line.startswith("enter in each client: key")]
        self.assertEqual(1, len(entered))
        self.assertIn(public, entered[0])

    def test_old_keys(self) -> None:
        """Old keys that are accepted are named, by their beginning."""
        path = self.folder / "old_keys"
        path.write_text(OLD.secret_text)
        path.chmod(0o600)
        lines = self.lines("--role", "id", "--old-keys", str(path))
        name = OLD.public_text[:8]
        self.assertIn(f"clients that still have an old key are served too: {name}", lines)
        self.assertNotIn(OLD.secret_text[:20], " ".join(lines))

    def test_relay_elsewhere(self) -> None:
        """A relay where no client looks for it is a warning."""
        arguments = ("--relay-port", str(self.port + 3))
        warning = (
            f"clients look for the relay on port {self.port + 1}, and it is on "
            f"{self.port + 3}: name it in relay-servers"
        )
        self.assertIn(warning, self.lines(*arguments))
        self.assertNotIn(warning, self.lines(*arguments, "--relay-servers", "r"))
        self.assertNotIn("clients look for the relay", "\n".join(self.lines()))

    def test_buffer_that_is_not_granted(self) -> None:
        """A receive buffer smaller than the one asked for is one line, or there is none."""
        for rmem, count in ((2**31 - 1, 1), (2048, 0), (0, 0)):
            text = "\n".join(self.lines("--role", "id", "--rmem", str(rmem)))
            self.assertEqual(count, text.count("rmem: the system grants "), rmem)

    def test_usual_buffer(self) -> None:
        """Where no size is set, less than the usual one is a line for who is curious."""
        granted: list[int] = []
        set_buffers = listeners.set_buffers

        def setting(*args: Any) -> int:
            return granted.pop() if granted else set_buffers(*args)

        self.patch(listeners, "set_buffers", setting)
        for size, told in ((212_992, 1), (UDP_BUFFER_BYTES - 1, 1), (UDP_BUFFER_BYTES, 0)):
            granted.append(size)
            lines = self.lines("--role", "id")
            heartbeats = f"{size} bytes, room for {size * 2 // 832} heartbeats "
            self.assertEqual(told, sum(heartbeats in line for line in lines), size)
            self.assertEqual(told, sum("rmem_max" in line for line in lines), size)

    def test_ignored_values(self) -> None:
        """Each value of the original's that is ignored is one line."""
        server = self.make("--role", "id", "--rmem", "much")
        [warning] = server._config.warnings
        lines = self.start(server)
        self.assertEqual(1, lines.count(warning))
        self.stop(server)


class ObserverTests(ServiceCase):
    """Who writes the log."""

    def observer(self, **twistd: object) -> object:
        """Return the observer that twistd is told of, with these options of its own."""
        options = self.options()
        options.parent = {"nodaemon": True, "logfile": None, "logger": None, **twistd}
        application = Application("test")
        Server(options, self.reactor).setServiceParent(application)
        self.assertEqual(1, len(list(IServiceCollection(application))))
        return application.getComponent(ILogObserver, None)

    def test_ours(self) -> None:
        """In the foreground, on standard output, the log is ours."""
        self.assertIsNotNone(self.observer())

    def test_told_otherwise(self) -> None:
        """Where twistd is told where or how to log, that counts."""
        for told in ({"logfile": "x.log"}, {"logger": "x.y"}, {"syslog": True}):
            self.assertIsNone(self.observer(**told), told)

    def test_daemon(self) -> None:
        """A daemon has no standard output: twistd writes its own file."""
        self.assertIsNone(self.observer(nodaemon=False))


class ClockTests(SynchronousTestCase):
    def test_monotonic(self) -> None:
        """Deadlines do not move when somebody sets the machine's clock."""
        reactor = FakeReactor()
        service.count_monotonically(reactor)
        self.assertIs(time.monotonic, reactor.seconds)

    def test_calls_on_the_old_clock(self) -> None:
        """A reactor that has made appointments keeps the clock they were made by."""
        reactor = FakeReactor()
        reactor.callLater(1, list)
        kept = reactor.seconds
        service.count_monotonically(reactor)
        self.assertEqual(kept, reactor.seconds)
