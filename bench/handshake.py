"""
What a key exchange adds to a request, and that nobody else waits for it.

``python -m bench.handshake``: one server with the usual delay and one without, several
kinds of clients in turns, medians.  From the connection's begin to the answer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

from nacl.signing import VerifyKey

from rdserver.wire import pb
from rdserver.wire.framing import encode_frame
from tests.integration.process import ServerProcess
from tests.integration.sockets import Stream
from tests.wire.secured import answer_offer

Exchange = Callable[[ServerProcess], None]
UNKNOWN_ID = b"000000000"


def _request(server: ServerProcess) -> pb.RendezvousMessage:
    key = (server.folder / "id_ed25519.pub").read_bytes()
    asked = pb.PunchHoleRequest(id=UNKNOWN_ID, licence_key=key)
    return pb.RendezvousMessage(punch_hole_request=asked)


def _connect(server: ServerProcess) -> Stream:
    return Stream(server.ports, server.ports.main)


def _is_answer(message: pb.RendezvousMessage | None) -> bool:
    return message is not None and message.WhichOneof("union") == "punch_hole_response"


def current_client(server: ServerProcess) -> None:
    """Ask at once; skip a key exchange that comes before the answer."""
    stream = _connect(server)
    stream.send(_request(server))
    answer = stream.receive()
    if not _is_answer(answer):
        answer = stream.receive()
    assert _is_answer(answer), answer
    stream.close()


def old_client(server: ServerProcess) -> None:
    """Ask at once, as before 1.2.0; whatever comes first must be the answer."""
    stream = _connect(server)
    stream.send(_request(server))
    answer = stream.receive()
    assert _is_answer(answer), answer
    stream.close()


def signed_in_client(server: ServerProcess) -> None:
    """Wait for a key exchange, complete it, then ask."""
    stream = _connect(server)
    offer = stream.receive()
    assert offer is not None, "closed"
    key = (server.folder / "id_ed25519.pub").read_bytes()
    answer, channel = answer_offer(VerifyKey(b64decode(key)), offer)
    stream.send(answer)
    stream.send_bytes(encode_frame(channel.seal(pb.encode(_request(server)))))
    frame = stream.receive_frame()
    assert frame is not None and _is_answer(pb.decode(channel.open(frame)))
    stream.close()


CLIENTS: dict[str, Exchange] = {
    "current client": current_client,
    "client before 1.2.0": old_client,
    "signed-in client": signed_in_client,
}
DELAYS_MS = (150, 0)


def measure(runs: int) -> dict[str, dict[str, float]]:
    """Return the median in ms of each kind of client, for each delay."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = {}
        for delay_ms in DELAYS_MS:
            (own := Path(folder) / str(delay_ms)).mkdir()
            option = f"--key-exchange-delay={delay_ms}"
            servers[delay_ms] = ServerProcess(own, option).start()
        try:
            for delay_ms, server in servers.items():
                found[f"{delay_ms} ms"] = _medians(server, runs, is_at_once=not delay_ms)
        finally:
            for server in servers.values():
                server.stop()
    return found


def _medians(server: ServerProcess, runs: int, *, is_at_once: bool) -> dict[str, float]:
    clients = dict(CLIENTS)
    if is_at_once:  # it may be sent a key exchange first, which such a client cannot skip
        del clients["client before 1.2.0"]
    times: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(runs):
        for name, exchange in clients.items():
            began = time.perf_counter()
            exchange(server)
            times[name].append((time.perf_counter() - began) * 1000)
    return {name: round(statistics.median(each), 3) for name, each in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    for delay, medians in measure(options.runs).items():
        plain = medians["current client"]
        for name, median_ms in medians.items():
            added = median_ms - plain
            sys.stdout.write(
                f"delay {delay:>6}  {name:20} {median_ms:8.2f} ms  {added:+8.2f} ms\n"
            )


if __name__ == "__main__":
    main()
