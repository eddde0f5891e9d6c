"""
Sessions announced as in life: A asks for B by the real protocol, and is believed.

One device B registers and stays online; A punches for it with the key, then requests a
relay for each session.  The server tells B and lets the session's two sides meet.

Source: protocol.md sections 3.4, 3.8, 3.11 and 3.18 no. 4.
"""

from __future__ import annotations

import socket
import time
import uuid
from contextlib import ExitStack

from bench.servers import Server
from rdserver.wire import pb
from rdserver.wire.framing import encode_frame

_HEARTBEAT_S = 10.0
_PUNCH_S = 60.0
_REPLY_S = 10.0
_BATCH = 50


class Announcer:
    """
    A and B of *server*, with addresses of their own by *number*.

    For a server without tickets it only makes names of sessions.
    """

    def __init__(self, server: Server, number: int = 0) -> None:
        self._server = server
        self._id = f"{900_000_000 + number}".encode()
        self._a_host = f"127.40.{number % 250}.1"
        self._beat_s = self._punched_s = float("-inf")
        self._b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if server.tickets:
            self._b.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self._b.bind((f"127.40.{number % 250}.2", 0))
            self._b.connect(("127.0.0.1", server.id_port))
            self._b.settimeout(_REPLY_S)
            self._register()

    def close(self) -> None:
        """Close B's socket."""
        self._b.close()

    def announce(self, count: int) -> list[str]:
        """
        Return the names of *count* sessions that may be opened within two minutes.

        :raises RuntimeError: the server did not pass one on to B.
        """
        names = [str(uuid.uuid4()) for _ in range(count)]
        if self._server.tickets:
            for start in range(0, count, _BATCH):
                self._stay_online()
                self._request(names[start : start + _BATCH])
        return names

    def _register(self) -> None:
        request = pb.RegisterPk(id=self._id, uuid=b"bench-" + self._id, pk=bytes(32))
        self._send(pb.RendezvousMessage(register_pk=request))
        result = self._receive("register_pk_response").register_pk_response.result
        if result != pb.RegisterPkResponse.OK:
            raise RuntimeError(f"the device of the benchmark was refused: {result}")

    def _stay_online(self) -> None:
        now_s = time.monotonic()
        if now_s - self._beat_s > _HEARTBEAT_S:
            self._beat_s = now_s
            heartbeat = pb.RegisterPeer(id=self._id, serial=3)
            self._send(pb.RendezvousMessage(register_peer=heartbeat))
            self._receive("register_peer_response")
        if now_s - self._punched_s > _PUNCH_S:
            self._punched_s = now_s
            request = pb.PunchHoleRequest(
                id=self._id, licence_key=self._server.key.encode(), version=b"1.4.9"
            )
            with self._dial(pb.RendezvousMessage(punch_hole_request=request)):
                self._receive("punch_hole")

    def _request(self, names: list[str]) -> None:
        waiting = set(names)
        with ExitStack() as connections:
            for name in names:
                request = pb.RequestRelay(id=self._id, uuid=name.encode(), secure=True)
                message = pb.RendezvousMessage(request_relay=request)
                connections.enter_context(self._dial(message))
            while waiting:
                push = self._receive("request_relay")
                waiting.discard(pb.text(push.request_relay.uuid))

    def _dial(self, message: pb.RendezvousMessage) -> socket.socket:
        stream = socket.socket()
        stream.settimeout(_REPLY_S)
        stream.bind((self._a_host, 0))
        stream.connect(("127.0.0.1", self._server.id_port))
        stream.sendall(encode_frame(pb.encode(message)))
        return stream

    def _send(self, message: pb.RendezvousMessage) -> None:
        self._b.send(pb.encode(message))

    def _receive(self, kind: str) -> pb.RendezvousMessage:
        until_s = time.monotonic() + _REPLY_S
        while time.monotonic() < until_s:
            try:
                message = pb.decode(self._b.recv(2048))
            except TimeoutError:
                break
            if message.WhichOneof("union") == kind:
                return message
        raise RuntimeError(f"the server did not send {kind} in {_REPLY_S:.0f} s")
