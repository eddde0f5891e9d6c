"""A's UDP NAT test: which port its UDP socket has outside (O15)."""

from __future__ import annotations

import threading
import time

from rdserver.errors import ProtocolError
from rdserver.wire import pb
from tests.integration.sockets import Udp

_FIRST_S, _LAST_S = 0.02, 0.2


class NatProbe:
    """
    Asks for the port until it is known, or nobody waits for it any more.

    :param udp: is punched from later, so it stays open until this is closed.

    Source: protocol.md section 7.4.
    """

    def __init__(self, udp: Udp) -> None:
        self.udp = udp
        self._port = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def port(self, wait_s: float) -> int:
        """Stop after *wait_s* at the latest; return the port, 0 if it is not known."""
        self._is_over.wait(wait_s)
        self._is_over.set()
        self._thread.join()
        return self._port

    def close(self) -> None:
        """Stop, and close the socket."""
        self.port(0)
        self.udp.close()

    def _ask(self) -> None:
        request = pb.RendezvousMessage(test_nat_request=pb.TestNatRequest())
        self.udp.send(request)
        pause_s = _FIRST_S
        while not self._is_over.is_set():
            self.udp.send(request)
            self._listen(time.monotonic() + pause_s)
            pause_s = min(pause_s * 1.5, _LAST_S)

    def _listen(self, deadline: float) -> None:
        try:
            message = self.udp.receive(max(deadline - time.monotonic(), 0.001))
        except (TimeoutError, ProtocolError):
            return
        self._port = message.test_nat_response.port
        self._is_over.set()
