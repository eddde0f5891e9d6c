"""
Heartbeats of devices that the server has stored but not in memory, and of strangers.

In plain Python, since each is sent once and what counts is that all are answered:
``load/udpgen.c`` is for rates and latency.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Any

from attrs import frozen

from bench.child import LOAD_CPUS
from bench.devices import FIRST_ID, SOURCE
from bench.setting import SOCKETS

_WINDOW = 2048
_SILENCE_S = 1.0
_RECEIVE_BUFFER_BYTES = 4 << 20
_STRANGERS = "127.60.0.1"
_PACE_S = 0.002
_REGISTER = b"\x3a\x02\x10\x01"
"""RegisterPeerResponse that asks for a key."""


@frozen
class Heard:
    """
    How a number of devices came back.

    :ivar seconds: until each was answered.
    :ivar asked: how many were asked for their key.
    :ivar repeated: how many times something was not answered and sent again.
    """

    seconds: float
    asked: int
    repeated: int


def _heartbeat(peer_id: bytes) -> bytes:
    body = bytes((10, len(peer_id))) + peer_id + b"\x10\x03"
    return bytes((0x32, len(body))) + body


def _open(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    opened.bind((host, 0))
    opened.connect(("127.0.0.1", port))
    return opened


class Devices:
    """
    Stored devices; number n is at address n modulo SOCKETS, as ``devices.py`` has it.

    :param port: of the server; UDP.
    """

    def __init__(self, port: int) -> None:
        self._sockets = [_open(str(IPv4Address(SOURCE) + n), port) for n in range(SOCKETS)]

    def close(self) -> None:
        """Close all sockets."""
        for opened in self._sockets:
            opened.close()

    def send_each(self, numbers: Sequence[int], window: int = _WINDOW) -> Heard:
        """Send a heartbeat of each, *window* at once, until each has been answered."""
        began_s = time.monotonic()
        asked = repeated = 0
        for start in range(0, len(numbers), window):
            while True:
                part = numbers[start : start + window]
                now_asked, answers = self._send_once(part)
                if answers == len(part):
                    break
                repeated += 1
            asked += now_asked
        return Heard(time.monotonic() - began_s, asked, repeated)

    def _send_once(self, numbers: Sequence[int]) -> tuple[int, int]:
        expected = [0] * SOCKETS
        for number in numbers:
            expected[number % SOCKETS] += 1
            self._sockets[number % SOCKETS].send(_heartbeat(b"%d" % (FIRST_ID + number)))
        asked = answers = 0
        for opened, count in zip(self._sockets, expected, strict=True):
            opened.settimeout(_SILENCE_S)
            try:
                for _ in range(count):
                    asked += opened.recv(64) == _REGISTER
                    answers += 1
            except TimeoutError:
                self._drain()
        return asked, answers

    def _drain(self) -> None:
        for opened in self._sockets:
            opened.setblocking(False)
            try:
                while True:
                    opened.recv(64)
            except BlockingIOError:
                opened.settimeout(_SILENCE_S)


def _send_strangers(port: int, addresses: int, per_s: float, sent: Any) -> None:
    import os

    os.sched_setaffinity(0, LOAD_CPUS)
    rng = random.Random(1)
    hosts = (str(IPv4Address(_STRANGERS) + n) for n in range(addresses))
    turns = itertools.cycle([_open(host, port) for host in hosts])
    began_s = time.monotonic()
    while True:
        while sent.value < per_s * (time.monotonic() - began_s):
            next(turns).send(_heartbeat(b"x%08x" % rng.getrandbits(32)))
            sent.value += 1
        time.sleep(_PACE_S)


@contextmanager
def strangers(port: int, addresses: int, per_s: float) -> Iterator[Callable[[], int]]:
    """
    Let heartbeats with ids at random come, that nobody ever registered.

    It yields what says how many were sent so far: a pace too fast is not kept.
    """
    sent = multiprocessing.Value("q", 0, lock=False)
    arguments = (port, addresses, per_s, sent)
    process = multiprocessing.Process(target=_send_strangers, args=arguments, daemon=True)
    process.start()
    try:
        yield lambda: sent.value
    finally:
        process.terminate()
        process.join()
