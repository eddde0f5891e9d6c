"""Tests for :mod:`rdserver.transports.mmsg`, with sockets of this machine."""

from __future__ import annotations

import ctypes
import errno
import itertools
import random
import socket
import sys
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from rdserver.transports import mmsg
from rdserver.transports.mmsg import SLOTS, DatagramBatch
from tests.transports.sockets import family_of, has_ipv6

HEARTBEAT = bytes.fromhex("320d0a093132333435363738391003")
ANSWER = b"\x3a\x00"
OTHER = b"\x3a\x02\x10\x01"


class BatchCase(SynchronousTestCase):
    """A batch on a socket at *host*, and clients."""

    host = "127.0.0.1"

    def setUp(self) -> None:
        if not mmsg.is_available():
            raise SkipTest("needs recvmmsg")
        if ":" in self.host and not has_ipv6():
            raise SkipTest("needs IPv6")
        self.bound = self.open(self.host)
        self.bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.batch = DatagramBatch(self.bound, ANSWER, OTHER)

    def open(self, host: str = "") -> socket.socket:
        """Return a socket; what it sends is there at once, for it is this machine."""
        host = host or ("127.0.0.1" if self.host == "::" else self.host)
        opened = socket.socket(family_of(host), socket.SOCK_DGRAM)
        self.addCleanup(opened.close)
        if host == "::":
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind((host, 0))
        opened.settimeout(5)
        return opened

    def send(self, client: socket.socket, *datagrams: bytes) -> None:
        host = "::1" if client.family == socket.AF_INET6 else "127.0.0.1"
        for datagram in datagrams:
            client.sendto(datagram, (host, self.bound.getsockname()[1]))

    def received(self, *datagrams: bytes) -> list[bytes]:
        """Return the keys of these datagrams, which came from one client."""
        client = self.open()
        self.send(client, *datagrams)
        self.assertEqual(len(datagrams), self.batch.receive())
        got = [self.batch.datagram(i) for i in range(len(datagrams))]
        self.assertEqual(list(datagrams), got)
        return list(self.batch.keys(len(datagrams)))


class ReceivingTests(BatchCase):
    """On an IPv4 socket, and on others below."""

    def test_nothing(self) -> None:
        """An empty socket gives an empty batch."""
        self.assertEqual(0, self.batch.receive())
        self.assertEqual([], list(self.batch.keys(0)))

    def test_sizes(self) -> None:
        """Datagrams of any size arrive whole, also after longer ones in their places."""
        rng = random.Random(2)
        sizes = [*range(70), 254, 255, 256, 257, 258, 1400, 9000, 65507]
        for size in (*reversed(sizes), *sizes):
            datagram = rng.randbytes(size)
            self.received(datagram, datagram[: size // 2])

    def test_more_than_a_batch(self) -> None:
        """What does not fit is there the next time, in order."""
        client = self.open()
        sent = [b"%d" % number for number in range(SLOTS + 3)]
        self.send(client, *sent)
        counts, got = [], []
        while count := self.batch.receive():
            counts.append(count)
            got += [self.batch.datagram(i) for i in range(count)]
        self.assertEqual(([SLOTS, 3], sent), (counts, got))

    def test_same(self) -> None:
        """The same datagram from the same socket has the same key, wherever it is."""
        other = HEARTBEAT.replace(b"9", b"8")
        first, different, second = self.received(HEARTBEAT, other, HEARTBEAT)
        self.assertEqual(first, second)
        self.assertNotIn(different, (b"", first))

    def test_after_others(self) -> None:
        """What was in its place before does not matter."""
        client = self.open()
        keys = set()
        for before in (b"", b"\xff" * 30, HEARTBEAT + b"\xff" * 40, bytes(9000)):
            self.send(client, before)
            self.assertEqual(1, self.batch.receive())
            self.send(client, HEARTBEAT)
            self.assertEqual(1, self.batch.receive())
            keys.update(self.batch.keys(1))
        self.assertEqual(1, len(keys))

    def test_other_socket(self) -> None:
        """Another socket's has another key."""
        self.assertNotEqual(self.received(HEARTBEAT), self.received(HEARTBEAT))

    def test_key_size(self) -> None:
        """There may be a million of them: as an object each takes 96 bytes."""
        [key] = self.received(HEARTBEAT)
        self.assertEqual(96, sys.getsizeof(key))

    def test_no_mistakes(self) -> None:
        """No two datagrams that differ have the same key, unless it is empty."""
        alike = [
            *(HEARTBEAT + bytes(n) for n in range(40)),
            *(HEARTBEAT[:-1] + bytes([n]) for n in (0, 1, 255)),
            *(HEARTBEAT[:n] for n in range(15)),
            *(HEARTBEAT + bytes(n) for n in (256, 512, 65280)),
            *(bytes([n - 2]) * n for n in range(2, 70)),
            *(b"\x32" + bytes([n - 2]) + bytes(n - 2) for n in (34, 35, 36, 47, 48, 257)),
            *(b"\x32\x68" + bytes(100) + bytes([n, 0, 0, 0]) for n in range(3)),
            *(b"\x32\x2e" + bytes(45) + bytes([n]) for n in range(3)),
            *(b"\x32\x22" + bytes(33) + bytes([n]) for n in range(3)),
            *(b"\x32\x2d" + bytes(44) + bytes([n]) for n in range(3)),
            *(b"\x32\x21" + bytes(32) + bytes([n]) for n in range(3)),
        ]
        alike = sorted(set(alike), key=len)
        client = self.open()
        keys: dict[bytes, bytes] = {}
        for datagram in alike:
            self.send(client, datagram, HEARTBEAT)
            self.assertEqual(2, self.batch.receive())
            key, expected = self.batch.keys(2)
            self.assertNotEqual(b"", expected)
            if key:
                self.assertEqual(datagram, keys.setdefault(key, datagram))
            self.assertEqual(datagram == HEARTBEAT, key == expected)
        self.assertGreater(len(keys), 40)

    def test_source(self) -> None:
        """Each datagram's source is known."""
        clients = [self.open() for _ in range(5)]
        for client in clients:
            self.send(client, b"x")
        self.assertEqual(5, self.batch.receive())
        sources = [self.batch.source(i) for i in range(5)]
        disguise = "::ffff:" if self.host == "::" else ""
        expected = [(disguise + c.getsockname()[0], c.getsockname()[1]) for c in clients]
        self.assertEqual(expected, sources)


class Receiving6Tests(ReceivingTests):
    host = "::1"


class ReceivingDualTests(ReceivingTests):
    """IPv4 clients of a socket that serves both."""

    host = "::"


class SourceTests(SynchronousTestCase):
    """What a test cannot be: a client with a link-local address."""

    def test_scope(self) -> None:
        """A link-local address comes with its interface, without which it has no use."""
        for scope, expected in ((0, "fe80::1"), (7, "fe80::1%7")):
            name = bytearray(28)
            name[2:4] = (5001).to_bytes(2, "big")
            name[8:24] = socket.inet_pton(socket.AF_INET6, "fe80::1")
            name[24:28] = scope.to_bytes(4, sys.byteorder)
            self.assertEqual((expected, 5001), mmsg._source(bytes(name)))


class AnsweringTests(BatchCase):
    def asked(self, count: int) -> list[socket.socket]:
        """Return clients that each have sent one datagram, which is received."""
        clients = [self.open() for _ in range(count)]
        for client in clients:
            self.send(client, HEARTBEAT)
        self.assertEqual(count, self.batch.receive())
        return clients

    def answered(
        self, clients: list[socket.socket], answer: bytes = ANSWER
    ) -> list[int]:
        """Return the indices of the clients that got the answer."""
        got = []
        for index, client in enumerate(clients):
            client.setblocking(False)
            try:
                data, sender = client.recvfrom(100)
            except BlockingIOError:
                continue
            self.assertEqual(self.bound.getsockname()[:2], sender[:2])
            if data == answer:
                got.append(index)
        return got

    def test_all(self) -> None:
        """A whole batch is answered to where each datagram came from."""
        clients = self.asked(SLOTS)
        self.assertEqual(0, self.batch.answer(0, SLOTS))
        self.assertEqual(list(range(SLOTS)), self.answered(clients))

    def test_some(self) -> None:
        """Only those of the range are answered; of an empty one nobody."""
        clients = self.asked(6)
        self.assertEqual([0, 0], [self.batch.answer(2, 4), self.batch.answer(5, 5)])
        self.assertEqual([2, 3], self.answered(clients))

    def test_otherwise(self) -> None:
        """Some are sent the other answer; that is forgotten with the next batch."""
        clients = self.asked(6)
        for index in (1, 2, 5):
            self.batch.answer_otherwise(index)
        self.assertEqual([0, 0], [self.batch.answer(0, 2), self.batch.answer(2, 6)])
        got = [client.recv(100) for client in clients]
        self.assertEqual([ANSWER, OTHER, OTHER, ANSWER, ANSWER, OTHER], got)
        clients = self.asked(6)
        self.assertEqual(0, self.batch.answer(0, 6))
        self.assertEqual(list(range(6)), self.answered(clients))

    def test_refused(self) -> None:
        """Those that the system refuses to send to are skipped and counted."""
        for refused in ([0], [5], [2, 3], [0, 2, 4], list(range(6))):
            clients = self.asked(6)
            for index in refused:  # nothing is ever sent to port 0
                self.batch._slots[64 * index + 2 : 64 * index + 4] = bytes(2)
            self.assertEqual(len(refused), self.batch.answer(0, 6))
            served = [index for index in range(6) if index not in refused]
            self.assertEqual(served, self.answered(clients))

    def test_slow_system(self) -> None:
        """The system may send fewer than asked for, or refuse one."""
        send, results = self.batch._send, itertools.cycle((1, -1, 2))

        def slow(fd: int, at: int, count: int, flags: int) -> int:
            ctypes.set_errno(errno.EPERM)
            result = min(next(results), count)
            return int(send(fd, at, result, flags)) if result > 0 else -1

        self.batch._send = slow
        clients = self.asked(8)
        self.assertEqual(2, self.batch.answer(0, 8))
        self.assertEqual([0, 2, 3, 4, 6, 7], self.answered(clients))

    def test_no_room(self) -> None:
        """Once there is no room for one, the others are not tried."""
        send, tried = self.batch._send, []

        def full(fd: int, at: int, count: int, flags: int) -> int:
            tried.append(count)
            if len(tried) == 1:
                return int(send(fd, at, 2, flags))
            ctypes.set_errno(errno.EAGAIN)
            return -1

        self.batch._send = full
        clients = self.asked(8)
        self.assertEqual(6, self.batch.answer(0, 8))
        self.assertEqual(([8, 6], [0, 1]), (tried, self.answered(clients)))


class Answering6Tests(AnsweringTests):
    host = "::1"


class AvailableTests(SynchronousTestCase):
    """Whether the calls can be used is found out, not assumed."""

    def calls(self, receives: int, sends: int, number: int) -> Any:
        """Return the two calls of a system that answers so."""

        def receive(*_: object) -> int:
            ctypes.set_errno(number)
            return receives

        return receive, lambda *_: sends

    def test_as_usual(self) -> None:
        """A system is known by its saying that there is nothing to receive."""
        self.patch(mmsg.sys, "platform", "linux")
        for receives, sends, number, expected in (
            (-1, 0, errno.EAGAIN, True),
            (-1, 0, errno.ENOSYS, False),
            (-1, 0, errno.EPERM, False),
            (-1, -1, errno.EAGAIN, False),
            (0, 0, errno.EAGAIN, False),
        ):
            calls = self.calls(receives, sends, number)
            self.patch(mmsg, "_calls", lambda calls=calls: calls)
            self.assertEqual(expected, mmsg.is_available())

    def test_no_ipv4(self) -> None:
        """The calls are there without IPv4 too; without any socket they are of no use."""
        self.patch(mmsg.sys, "platform", "linux")
        self.patch(mmsg, "_calls", lambda: self.calls(-1, 0, errno.EAGAIN))

        make, missing = socket.socket, {socket.AF_INET}

        def some(family: int = -1, *more: Any) -> socket.socket:
            if family in missing:
                raise OSError(errno.EAFNOSUPPORT, "no such family")
            return make(family, *more)

        self.patch(mmsg.socket, "socket", some)
        self.assertTrue(mmsg.is_available())
        missing.add(socket.AF_UNIX)
        self.assertFalse(mmsg.is_available())

    def test_no_such_calls(self) -> None:
        """A C library without them, or none at all, or another system: not available."""
        for error in (AttributeError("recvmmsg"), OSError("no library")):

            def fail(error: Exception = error) -> None:
                raise error

            self.patch(mmsg, "_calls", fail)
            self.assertFalse(mmsg.is_available())
        self.patch(mmsg.sys, "platform", "freebsd14")
        self.patch(mmsg, "_calls", lambda: self.calls(-1, 0, errno.EAGAIN))
        self.assertFalse(mmsg.is_available())
