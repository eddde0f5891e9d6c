"""Tests for :mod:`rdserver.transports.listeners`, on real sockets of this machine."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any
from unittest import SkipTest

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError
from rdserver.transports import listeners
from rdserver.transports.listeners import (
    UDP_BUFFER_BYTES,
    Listeners,
    Wanted,
    bind,
    set_buffers,
)
from tests.transports.sockets import KINDS, family_of, free_ports, has_ipv6, open_sockets

TCP, UDP = KINDS["TCP"], KINDS["UDP"]
NOT_OURS = "192.0.2.1"
SHARED = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)


class SocketCase(SynchronousTestCase):
    """
    Closes what a test opened.

    :ivar port: one that nobody uses, on any address, by TCP or UDP.
    """

    def setUp(self) -> None:
        if not has_ipv6():
            raise SkipTest("needs IPv6")
        self.port = free_ports(1)

    def keep(self, sock: socket.socket) -> socket.socket:
        """Close the socket when the test ends."""
        self.addCleanup(sock.close)
        return sock

    def occupy(
        self, kind: socket.SocketKind, host: str, *options: int, listening: bool = True
    ) -> socket.socket:
        """Be another server on the port."""
        other = self.keep(socket.socket(family_of(host), kind))
        for option in options:
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind((host, self.port))
        if kind == TCP and listening:
            other.listen(1)
        return other

    def wanted(self, kind: socket.SocketKind) -> Wanted:
        """Return the port, wanted by TCP or UDP."""
        return Wanted(self.port, kind, "ID server")


class BindTests(SocketCase):
    """One socket."""

    def test_all_addresses(self) -> None:
        """Without an address a socket serves IPv4 and IPv6."""
        for kind in KINDS.values():
            bound = self.keep(bind("", self.wanted(kind)))
            self.assertEqual(("::", self.port), bound.getsockname()[:2])
            self.assertFalse(bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
            self.assertFalse(bound.getblocking())
            self.assertFalse(bound.get_inheritable())

    def test_one_address(self) -> None:
        """With an address it serves that alone; ``::`` is all of both families."""
        for host in ("127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::"):
            for kind in KINDS.values():
                with bind(host, self.wanted(kind)) as bound:
                    self.assertEqual((host, self.port), bound.getsockname()[:2])
                    if ":" in host:
                        only = bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                        self.assertEqual(host != "::", bool(only))

    def test_addresses_do_not_meet(self) -> None:
        """Servers on different addresses of one machine do not disturb each other."""
        for kind in KINDS.values():
            for host in ("127.0.0.1", "127.0.0.2", "::1"):
                self.keep(bind(host, self.wanted(kind)))

    def test_tcp_listens(self) -> None:
        """A client that comes before the server is ready waits and is not refused."""
        bound = self.keep(bind("127.0.0.1", self.wanted(TCP)))
        client = self.keep(socket.create_connection(("127.0.0.1", self.port), 5))
        self.assertEqual(client.getsockname(), bound.accept()[1])

    def test_restart(self) -> None:
        """Connections of the last run that linger do not keep us from starting."""
        bound = bind("127.0.0.1", self.wanted(TCP))
        client = self.keep(socket.create_connection(("127.0.0.1", self.port), 5))
        bound.setblocking(True)
        accepted, _address = bound.accept()
        accepted.close()  # we close first, so the connection waits on our side
        bound.close()
        self.assertEqual(b"", client.recv(1))
        client.close()
        self.keep(bind("127.0.0.1", self.wanted(TCP)))


class TakenTests(SocketCase):
    """Another server has the port."""

    def assert_refused(self, interface: str, kind: socket.SocketKind, why: object) -> None:
        """Assert that the start is refused with one sentence."""
        error = self.assertRaises(ConfigError, bind, interface, self.wanted(kind))
        name = "TCP" if kind == TCP else "UDP"
        sentence = f"{name} port {self.port} (ID server) is already taken: "
        self.assertEqual(sentence + "another server is running on it", str(error), why)

    def test_every_combination(self) -> None:
        """Wherever the addresses overlap, and whatever the other set, we do not start."""
        overlaps = {
            "0.0.0.0": ("", "::", "0.0.0.0", "127.0.0.1"),
            "::": ("", "::", "0.0.0.0", "127.0.0.1", "::1"),
            "127.0.0.1": ("", "::", "0.0.0.0", "127.0.0.1"),
            "::1": ("", "::", "::1"),
        }
        for kind in KINDS.values():
            for theirs, ours in overlaps.items():
                for options in ((), SHARED):
                    other = self.occupy(kind, theirs, *options)
                    for interface in ours:
                        self.assert_refused(interface, kind, (theirs, interface, options))
                    other.close()

    def test_other_family(self) -> None:
        """A server on the other family's loopback is none on ours."""
        for kind in KINDS.values():
            other = self.occupy(kind, "::1")
            with bind("127.0.0.1", self.wanted(kind)):
                other.close()

    def test_other_kind(self) -> None:
        """A port taken by UDP is free by TCP, and the other way round."""
        self.occupy(UDP, "::")
        self.keep(bind("", self.wanted(TCP)))

    def test_second_instance(self) -> None:
        """Two of us do not share a port, not even in the moment that both start."""
        for kind in KINDS.values():
            self.keep(bind("", self.wanted(kind)))
            self.assert_refused("", kind, "second instance")

    def test_bound_but_not_listening(self) -> None:
        """A server that starts at the same time as we do keeps us out, or we it."""
        other = self.occupy(TCP, "0.0.0.0", socket.SO_REUSEADDR, listening=False)
        bound = self.keep(bind("", self.wanted(TCP)))
        self.assertEqual(errno.EADDRINUSE, self.assertRaises(OSError, other.listen).errno)
        bound.close()
        other.listen()
        self.assert_refused("", TCP, "the other was first")


class UnusableTests(SocketCase):
    """What else may go wrong."""

    def fail_with(self, number: int, family: socket.AddressFamily) -> None:
        """Let no socket of *family* be made."""
        make = socket.socket

        def refuse(wanted: int = -1, *args: Any, **kwargs: Any) -> socket.socket:
            if wanted == family:
                raise OSError(number, os.strerror(number))
            return make(wanted, *args, **kwargs)

        self.patch(listeners.socket, "socket", refuse)

    def test_no_ipv6(self) -> None:
        """On a machine without IPv6 all addresses are those of IPv4."""
        for number in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT):
            self.fail_with(number, socket.AF_INET6)
            for kind in KINDS.values():
                with bind("", self.wanted(kind)) as bound:
                    self.assertEqual(("0.0.0.0", self.port), bound.getsockname())

    def test_no_ipv6_but_taken(self) -> None:
        """The fallback is no way round a server that has the port."""
        self.occupy(UDP, "0.0.0.0")
        self.fail_with(errno.EAFNOSUPPORT, socket.AF_INET6)
        error = self.assertRaises(ConfigError, bind, "", self.wanted(UDP))
        self.assertIn("is already taken", str(error))

    def test_no_ipv6_but_wanted(self) -> None:
        """An IPv6 address that is asked for by name has no fallback."""
        self.fail_with(errno.EAFNOSUPPORT, socket.AF_INET6)
        error = self.assertRaises(ConfigError, bind, "::1", self.wanted(UDP))
        self.assertIn("cannot be used on ::1 (Address family not", str(error))

    def test_not_ours(self) -> None:
        """An address of another machine is the setting's fault."""
        for kind in KINDS.values():
            error = self.assertRaises(ConfigError, bind, NOT_OURS, self.wanted(kind))
            self.assertEqual(
                f"bind: {NOT_OURS} is not an address of this machine", str(error)
            )

    def test_no_rights(self) -> None:
        """A port that is for root alone is refused with a sentence."""

        class Forbidden(socket.socket):
            def bind(self, _address: object) -> None:
                raise PermissionError(errno.EACCES, "Permission denied")

        self.patch(listeners.socket, "socket", Forbidden)
        before = open_sockets()
        error = self.assertRaises(ConfigError, bind, "", self.wanted(TCP))
        self.assertEqual(
            f"TCP port {self.port} (ID server) cannot be used without more rights",
            str(error),
        )
        self.assertEqual(before, open_sockets())

    def test_no_descriptors(self) -> None:
        """Whatever else the system says is passed on in one sentence."""
        self.fail_with(errno.EMFILE, socket.AF_INET6)
        error = self.assertRaises(ConfigError, bind, "", self.wanted(TCP))
        self.assertIn("cannot be used on :: (Too many open files)", str(error))


class BufferTests(SocketCase):
    """The receive buffer of UDP."""

    def setUp(self) -> None:
        super().setUp()
        self.bound = self.keep(bind("127.0.0.1", self.wanted(UDP)))
        with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
            self.most = int(file.read())

    def test_given(self) -> None:
        """A size that the system allows is granted."""
        self.assertEqual(100_000, set_buffers(self.bound, 100_000))

    def test_default(self) -> None:
        """Where none is set a site's devices fit in, as far as the system allows."""
        self.assertEqual(min(UDP_BUFFER_BYTES, self.most), set_buffers(self.bound, 0))

    def test_send_buffer(self) -> None:
        """There is as much room for answers, as far as the system allows."""
        set_buffers(self.bound, 100_000)
        size = self.bound.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        self.assertEqual(100_000, size // 2)

    def test_too_much(self) -> None:
        """What the system does not grant is seen in the answer."""
        self.assertEqual(self.most, set_buffers(self.bound, 2**31 - 1))


class Received(DatagramProtocol):
    """Keeps datagrams, and echoes them."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.lengths.append(len(datagram))
        self.transport.write(datagram[:100], addr)


class ListenersTests(SocketCase):
    """All ports of a server, given to a reactor of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = EPollReactor()
        self.addCleanup(self.stop_reactor)
        self.before = open_sockets()

    def stop_reactor(self) -> None:
        self.reactor.removeAll()
        self.reactor.waker.connectionLost(None)
        self.reactor._poller.close()

    def make(self, interface: str = "") -> Listeners:
        """Return the listeners of a server on the port, by TCP and UDP."""
        wanted = [self.wanted(TCP), self.wanted(UDP)]
        made = Listeners(interface, wanted, self.reactor)
        self.addCleanup(made.release)
        return made

    def turn(self, until: Any) -> None:
        """Run the reactor until something is so."""
        for _ in range(500):
            if until():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it did not come about")

    def close(self, made: Listeners) -> None:
        """Close the listeners and wait for it."""
        done: list[object] = []
        made.close().addBoth(done.append)
        self.turn(lambda: done)
        self.assertEqual([], [one for one in done[0] if one is not None])

    def test_nothing_before_bind(self) -> None:
        """Making listeners opens nothing."""
        self.make()
        self.assertEqual(self.before, open_sockets())

    def test_all_or_none(self) -> None:
        """If one port is taken, none stays open, and all can be had later."""
        other = self.occupy(UDP, "0.0.0.0")
        before = open_sockets()
        made = self.make()
        self.assertRaises(ConfigError, made.bind_all)
        self.assertEqual(before, open_sockets())
        other.close()
        made.bind_all()
        self.assertEqual(len(before) + 1, len(open_sockets()))

    def test_bind_twice(self) -> None:
        """Binding again, even when all is open, changes nothing."""
        made = self.make()
        made.bind_all()
        bound = open_sockets()
        made.bind_all()
        self.assertEqual(bound, open_sockets())
        made.open_tcp(self.port, Factory.forProtocol(Protocol))
        made.open_udp(self.port, Received(), 0)
        made.bind_all()
        self.close(made)

    def test_release(self) -> None:
        """What was bound but not opened is given up; that may be done again."""
        made = self.make()
        made.bind_all()
        made.release()
        made.release()
        self.assertEqual(self.before, open_sockets())

    def test_not_bound(self) -> None:
        """Opening what was not bound is a bug, and says so."""
        made = self.make()
        for open_port in (
            lambda: made.open_tcp(self.port, Factory()),
            lambda: made.open_udp(self.port, Received(), 0),
        ):
            error = self.assertRaises(RuntimeError, open_port)
            self.assertRegex(str(error), r"\d+/(tcp|udp) \(ID server\) was not bound")

    def test_dual_stack(self) -> None:
        """Whether IPv4 peers come in disguise is known once the port is bound."""
        for interface, expected in (("", True), ("127.0.0.1", False), ("0.0.0.0", False)):
            made = self.make(interface)
            self.assertFalse(made.is_dual_stack(self.port))
            made.bind_all()
            self.assertEqual(expected, made.is_dual_stack(self.port))
            made.release()

    def test_serving(self) -> None:
        """Both families are served by TCP and UDP; closing leaves nothing open."""
        made, received = self.make(), Received()
        made.bind_all()
        accepted: list[Any] = []
        factory = Factory()
        factory.buildProtocol = lambda addr: accepted.append(addr.host)
        made.open_tcp(self.port, factory)
        self.assertEqual(100_000, made.open_udp(self.port, received, 100_000))
        clients = [
            socket.create_connection((host, self.port), 5) for host in ("127.0.0.1", "::1")
        ]
        self.turn(lambda: len(accepted) == 2)
        self.assertEqual({"::ffff:127.0.0.1", "::1"}, set(accepted))
        for host in ("127.0.0.1", "::1"):
            clients.append(socket.socket(family_of(host), UDP))
            clients[-1].sendto(b"hello", (host, self.port))
        self.turn(lambda: len(received.lengths) == 2)
        for client in clients:
            client.close()
        self.close(made)
        self.assertEqual(self.before, open_sockets())

    def test_longest_datagram(self) -> None:
        """Datagrams arrive whole, from none to all that IPv4 can carry."""
        made, received = self.make("127.0.0.1"), Received()
        made.bind_all()
        made.open_udp(self.port, received, 0)
        client = self.keep(socket.socket(socket.AF_INET, UDP))
        for size in (0, 1, 8193, 65507):
            client.sendto(bytes(size), ("127.0.0.1", self.port))
        self.turn(lambda: len(received.lengths) == 4)
        self.assertEqual([0, 1, 8193, 65507], received.lengths)
        self.close(made)

    def test_turns_are_short(self) -> None:
        """A flood of datagrams does not keep the reactor from everything else."""
        made, received = self.make("127.0.0.1"), Received()
        made.bind_all()
        made.open_udp(self.port, received, 0)
        client = self.keep(socket.socket(socket.AF_INET, UDP))
        for size in (0, 1000):
            received.lengths.clear()
            for _ in range(100):
                client.sendto(bytes(size), ("127.0.0.1", self.port))
            self.turn(lambda: received.lengths)
            self.assertEqual(64, len(received.lengths))
            self.turn(lambda: len(received.lengths) == 100)
        self.close(made)

    def test_close_twice(self) -> None:
        """Closing what is closed, or was never open, is no error."""
        made = self.make()
        self.successResultOf(made.close())
        made.bind_all()
        made.open_tcp(self.port, Factory())
        self.close(made)
        self.close(made)
        self.assertEqual(self.before, open_sockets())

    def test_half_open(self) -> None:
        """A start that fails between two ports leaves nothing open when it is closed."""
        made = self.make()
        made.bind_all()
        made.open_tcp(self.port, Factory())
        self.close(made)
        self.assertEqual(self.before, open_sockets())
        self.keep(bind("", self.wanted(UDP)))

    def test_reactor_refuses(self) -> None:
        """Where the reactor cannot take a port over, closing still frees it."""
        made = self.make()
        made.bind_all()

        def refuse(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(self.reactor, "adoptStreamPort", refuse)
        self.assertRaises(OSError, made.open_tcp, self.port, Factory())
        self.successResultOf(made.close())
        self.assertEqual(self.before, open_sockets())

    def test_second_server(self) -> None:
        """A second instance does not start while the first serves."""
        made = self.make()
        made.bind_all()
        made.open_tcp(self.port, Factory())
        made.open_udp(self.port, Received(), 0)
        before = open_sockets()
        error = self.assertRaises(ConfigError, self.make().bind_all)
        self.assertIn("is already taken: another server is running on it", str(error))
        self.assertEqual(before, open_sockets())
        self.close(made)
