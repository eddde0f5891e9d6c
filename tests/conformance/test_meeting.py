"""Statement 206 at a real server: B by WebSocket and A by TCP meet at the relay."""

from __future__ import annotations

from tests.conformance.world import ServerTests, fresh_id
from tests.integration.peers.controlled import Controlled, Served
from tests.integration.peers.controlling import Outcome, call
from tests.integration.peers.profile import Mode, Path, Profile
from tests.integration.sockets import fresh_host

KIB = 1 << 10
SERVED_S = 10.0


class MeetingTests(ServerTests):
    def test_206_session(self) -> None:
        """B registers by WebSocket; a session with A by TCP, and by WebSocket, works."""
        b = Profile(key=self.key, host=fresh_host(), mode=Mode.WEBSOCKET)
        device = Controlled(self.ports, b, fresh_id(), 100 * KIB)
        self.addCleanup(device.close)
        for mode in (Mode.TCP, Mode.WEBSOCKET):
            a = Profile(key=self.key, host=fresh_host(), mode=mode)
            outcome = call(self.ports, a, device.id, 100 * KIB)
            self.assertEqual(Outcome(Path.RELAY, is_proven=True), outcome)
            served = device.served.get(timeout=SERVED_S)
            self.assertEqual(Served(Path.RELAY, is_encrypted=True), served)
