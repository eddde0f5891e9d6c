"""Sessions through the relay: joining one, and filling it from both ends."""

from __future__ import annotations

import hashlib
import random
import threading
import uuid
from collections.abc import Iterator

from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.integration.process import Ports
from tests.integration.sockets import Stream, fresh_host


def new_session() -> str:
    """Return a session name as clients make them."""
    return str(uuid.uuid4())


def join_relay(
    ports: Ports, session: str, host: str = "", behind: bytes = b"", **fields: object
) -> Stream:
    """
    O16: join *session* at the relay.

    :param behind: sent with the request in one piece, as B sends its SignedId.
    """
    request = pb.RequestRelay(uuid=session.encode(), **fields)
    stream = Stream(ports, ports.relay, (host or fresh_host(), 0))
    stream.send_bytes(
        encode_frame(pb.encode(pb.RendezvousMessage(request_relay=request))) + behind
    )
    return stream


class Exchange:
    """
    Both ends of a session send *size* random bytes at the same time.

    :raises AssertionError: an end did not receive exactly what the other one sent.
    """

    def __init__(
        self, one: Stream, other: Stream, size: int, timeout_s: float = 60
    ) -> None:
        self._errors: list[str] = []
        self._timeout_s = timeout_s
        seeds = random.randrange(1 << 30), random.randrange(1 << 30)
        threads = [
            threading.Thread(target=work, args=(stream, seed, size), daemon=True)
            for work, stream, seed in [
                (self._send, one, seeds[0]),
                (self._receive, other, seeds[0]),
                (self._send, other, seeds[1]),
                (self._receive, one, seeds[1]),
            ]
        ]
        for stream in (one, other):
            stream.socket.settimeout(timeout_s)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s)
            if thread.is_alive():
                self._errors.append("stalled")
        if self._errors:
            raise AssertionError("; ".join(self._errors))

    def _send(self, stream: Stream, seed: int, size: int) -> None:
        try:
            for block in _blocks(seed, size):
                stream.socket.sendall(block)
        except OSError as e:
            self._errors.append(f"sending: {e!r}")

    def _receive(self, stream: Stream, seed: int, size: int) -> None:
        digest, left = hashlib.blake2b(), size
        buffer = bytearray(1 << 18)
        try:
            while left:
                got = stream.socket.recv_into(buffer, min(left, len(buffer)))
                if not got:
                    self._errors.append(f"closed {left} bytes before the end")
                    return
                digest.update(memoryview(buffer)[:got])
                left -= got
        except OSError as e:
            self._errors.append(f"receiving: {e!r}")
            return
        expected = hashlib.blake2b()
        for block in _blocks(seed, size):
            expected.update(block)
        if digest.digest() != expected.digest():
            self._errors.append("received other bytes than were sent")


def _blocks(seed: int, size: int) -> Iterator[bytes]:
    """Yield *size* bytes in blocks of a prime length, no block like another."""
    block = random.Random(seed).randbytes(999_983)
    for start in range(0, size, len(block)):
        yield (start.to_bytes(8, "big") + block[8:])[: size - start]
