"""
One process of the soak: many sessions at once, new ones as old ones end.

Started by bench/soak.py; says a line of JSON every second, the last one at the end.
"""

from __future__ import annotations

import heapq
import json
import random
import select
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

from bench.announce import Announcer
from bench.build import say
from bench.servers import Server
from bench.soak_plan import new_plan
from bench.soak_session import Loop, Session, Side

_PROGRESS_S = 45.0
_LAST_S = 120.0
_ANNOUNCED_AT_ONCE = 25
_STARTED_AT_ONCE = 10
_ADDRESSES = 200
_SHOWN_FAULTS = 5


class Worker(Loop):
    """
    The sessions of one process.

    :param number: of the process; its addresses and its device depend on it.
    :param at_once: how many sessions to keep going.
    """

    def __init__(self, server: Server, number: int, at_once: int) -> None:
        self._server = server
        self._number = number
        self._at_once = at_once
        self._random = random.Random(number)
        self._announcer = Announcer(server, number)
        self._names: list[str] = []
        self._epoll = select.epoll()
        self._sides: dict[int, Side] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._addresses = count()
        self._open: set[Session] = set()
        self._endings: Counter[str] = Counter()
        self._bytes = 0
        self._faults: list[str] = []
        self._fault_count = 0

    # What sessions call.

    def watch(self, side: Side, events: int) -> None:
        """Watch the socket of *side*, or change what for."""
        assert side.socket is not None
        fd = side.socket.fileno()
        if fd in self._sides:
            self._epoll.modify(fd, events)
        else:
            self._sides[fd] = side
            self._epoll.register(fd, events)

    def forget(self, side: Side) -> None:
        """Stop watching."""
        assert side.socket is not None
        fd = side.socket.fileno()
        if self._sides.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call back."""
        due_s = time.monotonic() + delay_s
        heapq.heappush(self._timers, (due_s, next(self._order), call))

    def finished(self, session: Session, fault: str) -> None:
        """Count."""
        self._open.discard(session)
        self._endings[session.plan.ending] += 1
        self._bytes += session.bytes
        if fault:
            self._fault_count += 1
            self._faults.append(fault)
            del self._faults[_SHOWN_FAULTS:]

    # The work.

    def run(self, seconds: float) -> bool:
        """Work for *seconds*, then let all sessions end; return whether all was well."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._start_some()
            self._turn_for(0.05)
            self._report(final=False)
        while self._open and time.monotonic() < until_s + _LAST_S:
            self._turn_for(0.05)
            self._report(final=False)
        for session in list(self._open):
            session.fail("did not end")
        self._announcer.close()
        self._report(final=True)
        return self._fault_count == 0

    def _start_some(self) -> None:
        for _ in range(min(_STARTED_AT_ONCE, self._at_once - len(self._open))):
            if not self._names:
                self._names = self._announcer.announce(_ANNOUNCED_AT_ONCE)
            self._start(self._names.pop())

    def _start(self, name: str) -> None:
        session = Session(self, new_plan(self._random))
        self._open.add(session)
        self._connect(session, 1, name)
        self.later(session.plan.wait_s, lambda: self._connect_last(session, name))
        self.later(_PROGRESS_S, lambda: self._expect_progress(session, 0))

    def _connect_last(self, session: Session, name: str) -> None:
        if not session.over:
            self._connect(session, 0, name)

    def _connect(self, session: Session, side: int, name: str) -> None:
        place = next(self._addresses) % _ADDRESSES + 1
        host = f"127.{50 + self._number}.{side + 1}.{place}"
        to = ("127.0.0.1", self._server.relay_port)
        try:
            session.sides[side].open(to, host, name, self._server.key)
        except OSError as e:
            session.fail(f"cannot connect: {e!r}")

    def _expect_progress(self, session: Session, bytes_before: int) -> None:
        if session.over:
            return
        if session.bytes == bytes_before:
            got = [f"{side.received} of {side.expected.size}" for side in session.sides]
            session.fail(f"stuck, with {got} received")
            return
        moved = session.bytes
        self.later(_PROGRESS_S, lambda: self._expect_progress(session, moved))

    def _turn_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < until_s:
            for fd, events in self._epoll.poll(0.01, 256):
                side = self._sides.get(fd)
                if side is not None:
                    side.on_event(events)
            while self._timers and self._timers[0][0] <= now_s:
                heapq.heappop(self._timers)[2]()

    def _report(self, *, final: bool) -> None:
        second = int(time.monotonic())
        if not final and second == getattr(self, "_reported", None):
            return
        self._reported = second
        report = {
            "final": final,
            "open": len(self._open),
            "finished": sum(self._endings.values()),
            "endings": dict(self._endings),
            "bytes": self._bytes,
            "faults": self._fault_count,
            "shown": self._faults if final else [],
        }
        say(json.dumps(report))


def main() -> int:
    """Run as ``soak_worker NUMBER AT_ONCE SECONDS ID_PORT RELAY_PORT KEY``."""
    number, at_once = int(sys.argv[1]), int(sys.argv[2])
    id_port, relay_port = int(sys.argv[4]), int(sys.argv[5])
    server = Server(0, id_port, id_port - 1, relay_port, Path(), sys.argv[6], True)
    return 0 if Worker(server, number, at_once).run(float(sys.argv[3])) else 3


if __name__ == "__main__":
    sys.exit(main())
