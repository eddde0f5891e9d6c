"""
Real servers for the statements about servers, and the clients that ask them.

A server is started when the first test wants its options, and serves every later test
that wants the same: each test brings its own ids and addresses, so they do not meet.
"""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar
from unittest import SkipTest
from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports import mmsg
from rdserver.wire import pb
from tests.integration.client import Controller, Device
from tests.integration.process import ServerProcess
from tests.integration.sockets import REPLY_S, Stream, Udp, fresh_host

_ids = count(400_000_001)
_running: dict[tuple[object, ...], ServerProcess] = {}


class _Closable(Protocol):
    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=_Closable)
Message = pb.RendezvousMessage


def fresh_id() -> str:
    """Return a device id that no other test uses."""
    return str(next(_ids))


def own_address() -> str:
    """
    Return an address of this machine that is not loopback.

    :raises SkipTest: it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            raise SkipTest("needs an address that is not loopback") from None
        return str(probe.getsockname()[0])


def require_batches() -> None:
    """
    Go on where datagrams can be taken in batches.

    :raises SkipTest: this system cannot.
    """
    if not mmsg.is_available():
        raise SkipTest("needs recvmmsg")


def eventually(condition: Callable[[], bool], timeout_s: float = REPLY_S) -> bool:
    """Return whether *condition* comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def running(
    name: str, options: tuple[str, ...], extra: Mapping[str, str], files: Mapping[str, str]
) -> ServerProcess:
    """Return a running server with these options; *name* keeps it from being shared."""
    key = (name, options, *sorted(extra.items()), *sorted(files.items()))
    server = _running.get(key)
    if server is None:
        folder = Path(tempfile.mkdtemp(prefix="rdserver-conformance-"))
        for file, content in files.items():
            (folder / file).write_text(content)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        server = _running[key] = ServerProcess(folder, *options, extra=extra).start()
    return server


def _stop_all() -> None:
    for server in _running.values():
        if server.is_running():
            server.stop()


atexit.register(_stop_all)


class ServerTests(SynchronousTestCase):
    """
    Base of all tests that ask a real server.

    :cvar options: what it is started with.
    :cvar extra: its environment.
    :cvar files: in its data folder, before it starts.
    :ivar instance: names a server that is not shared with other classes.
    """

    options: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[dict[str, str]] = {}
    files: ClassVar[dict[str, str]] = {}
    instance = ""

    def setUp(self) -> None:
        self.server = running(self.instance, self.options, self.extra, self.files)
        self.ports = self.server.ports

    @property
    def key(self) -> str:
        """The public key that clients of this server are given."""
        return (self.server.folder / "id_ed25519.pub").read_text()

    def keep(self, opened: Kept) -> Kept:
        """Close what was opened when the test ends."""
        self.addCleanup(opened.close)
        return opened

    def device(self, host: str = "", peer_id: str = "", **fields: bytes) -> Device:
        """Return a device that is not registered yet."""
        return self.keep(Device(self.ports, peer_id or fresh_id(), host, **fields))

    def registered(self, host: str = "", peer_id: str = "", **fields: bytes) -> Device:
        """Return a device that is online."""
        return self.device(host, peer_id, **fields).register()

    def again(self, device: Device, host: str = "", **changed: bytes) -> Device:
        """Return the same device on another socket, perhaps another address or key."""
        fields = {"machine": device.uuid, "pk": device.pk, **changed}
        return self.device(host or device.address.host, device.id, **fields)

    def controller(self, host: str = "") -> Controller:
        """Return an A that has the server's key."""
        return Controller(self.ports, self.key, host)

    def udp(self, host: str = "") -> Udp:
        """Return a UDP socket at an address of its own."""
        return self.keep(Udp(self.ports, host or fresh_host()))

    def stream(self, port: int = 0, host: str = "") -> Stream:
        """Return a connection to *port*, P by default, from an address of its own."""
        return self.keep(
            Stream(self.ports, port or self.ports.main, (host or fresh_host(), 0))
        )

    def punched(self, controller: Controller, device: Device, **fields: object) -> Stream:
        """Return the stream on which A waits after it asked for the device."""
        return self.keep(controller.punch(device.id, **fields))

    def answer(self, stream: Stream) -> Message:
        """Return the next message, which must come."""
        message = stream.receive()
        assert message is not None, "closed without an answer"
        return message

    def assert_waits(self, stream: Stream) -> None:
        """Assert that A has got nothing so far.  The stream is used up by that."""
        stream.send(Message(test_nat_request=pb.TestNatRequest()))
        answer = stream.receive()
        self.assertEqual("test_nat_response", answer and answer.WhichOneof("union"))

    def assert_ignored(self, udp: Udp, data: bytes) -> None:
        """Assert that the server answers nothing to a datagram, and the next as ever."""
        udp.send_bytes(data)
        request = pb.RegisterPeer(id=b"nobody-" + fresh_id().encode())
        udp.send(Message(register_peer=request))
        self.assertEqual(
            Message(register_peer_response={"request_pk": True}), udp.receive()
        )

    def assert_not_asked(self, device: Device) -> None:
        """Assert that nothing was pushed to the device so far."""
        self.assertEqual([], device.pushes_so_far())

    def failure(self, controller: Controller, peer_id: str, **fields: object) -> str:
        """Return the name of the failure that A is answered."""
        response = self.answer(self.keep(controller.punch(peer_id, **fields)))
        self.assertEqual(b"", response.punch_hole_response.socket_addr)
        number = response.punch_hole_response.failure
        return pb.PunchHoleResponse.Failure.Name(number)

    def result(self, device: Device) -> str:
        """Return the name of the result that a RegisterPk is answered."""
        return pb.RegisterPkResponse.Result.Name(device.register_pk())

    def row(self, peer_id: str) -> dict[str, object] | None:
        """Return the device's row of the database, with ``ip`` out of ``info``."""
        with database(self.server) as db:
            found = db.execute("SELECT * FROM peer WHERE id = ?", (peer_id,)).fetchone()
        if found is None:
            return None
        return {**dict(found), "ip": json.loads(found["info"])["ip"]}

    def put_row(self, peer_id: str, pk: bytes = bytes(32), ip: str = "127.0.0.1") -> None:
        """Put a device into the database that the server has never heard of."""
        row = (uuid4().bytes, peer_id, b"a machine", pk, json.dumps({"ip": ip}))
        with database(self.server) as db:
            db.execute(
                "INSERT INTO peer (guid, id, uuid, pk, info) VALUES (?, ?, ?, ?, ?)", row
            )

    def logged(self, text: str) -> bool:
        """Return whether the server logs a line with *text* sooner or later."""
        return eventually(lambda: text in self.server.log())


class database:  # noqa: N801 - used like a function
    """The server's SQLite file, opened beside it for one transaction."""

    def __init__(self, server: ServerProcess) -> None:
        self._db = sqlite3.connect(server.folder / "db_v2.sqlite3", timeout=10)
        self._db.row_factory = sqlite3.Row

    def __enter__(self) -> sqlite3.Connection:
        return self._db

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            self._db.commit()
        self._db.close()


def tcp_console(port: int, command: bytes, host: str = "127.0.0.1") -> bytes:
    """Return what a TCP console answers to *command*."""
    with socket.create_connection(("127.0.0.1", port), REPLY_S, (host, 0)) as console:
        console.sendall(command)
        return _read_all(console)


def unix_console(path: Path, command: str) -> str:
    """Return what the console on a Unix socket answers to *command*."""
    with socket.socket(socket.AF_UNIX) as console:
        console.settimeout(REPLY_S)
        console.connect(str(path))
        console.sendall(command.encode() + b"\n")
        return _read_all(console).decode()


def _read_all(connection: socket.socket) -> bytes:
    answer = b""
    while data := connection.recv(65536):
        answer += data
    return answer
