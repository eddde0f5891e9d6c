"""Tests for :mod:`rdserver.transports.websocket_head`, and of what Autobahn makes of it."""

from __future__ import annotations

from autobahn.websocket.protocol import parseHttpHeader
from twisted.trial.unittest import SynchronousTestCase

from rdserver.transports.websocket_head import harmless_head

FIRST = b"GET /ws/id HTTP/1.1"
ALL_BYTES = [bytes([number]) for number in range(256)]


def read(*lines: bytes) -> dict[str, str]:
    """Return the fields that Autobahn finds in a request with these lines."""
    head = harmless_head(b"\r\n".join([FIRST, *lines]))
    fields: dict[str, str] = parseHttpHeader(head)[1]
    return fields


class HarmlessHeadTests(SynchronousTestCase):
    def test_usual_request(self) -> None:
        """What clients and proxies send stays as it is."""
        head = b"\r\n".join(
            [FIRST, b"Host: a.example:443", b"X-Real-IP:\t192.0.2.1 ", b"Cookie: \xc3\xa5;"]
        )
        self.assertEqual(head, harmless_head(head))

    def test_origin(self) -> None:
        """No origin is anybody's business."""
        fields = read(b"ORIGIN: null", b"Sec-WebSocket-Origin: x", b"X-Origin: y")
        self.assertEqual({"x-origin": "y"}, fields)

    def test_nothing_hides_in_a_value(self) -> None:
        """Whatever byte is in a field, or in the first line, what follows is no field."""
        for byte in ALL_BYTES:
            self.assertEqual(["a"], list(read(b"A: b" + byte + b"X-Real-IP: 192.0.2.66")))
            head = harmless_head(FIRST + byte + b"X-Real-IP: 192.0.2.66")
            self.assertEqual({}, parseHttpHeader(head)[1])

    def test_nothing_hides_in_a_name(self) -> None:
        """No byte beside a name makes it another's, nor one between it and its value."""
        for byte in ALL_BYTES:
            if byte != b":":  # then it is the name, and ends it
                fields = read(b"Real-IP" + byte + b": 1", byte + b"Real-IP: 2")
                self.assertNotIn("real-ip", fields)

    def test_folded(self) -> None:
        """A field's rest on a line of its own is left out: HTTP has none since 2014."""
        self.assertEqual({"a": "b"}, read(b"A: b", b" X-Real-IP: 192.0.2.66", b"\tc"))
