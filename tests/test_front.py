"""Tests for :mod:`rdserver.front` that need no whole server."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.front import Front
from rdserver.settings.config import Config


class AdmissionTests(SynchronousTestCase):
    def lines(self, *, is_http: bool) -> list[str]:
        """Return what is logged when one of an address' two connections is refused."""
        front = Front(Config(connections_per_address=1), Clock())
        with capturedLogs() as events:
            admission = front.admission(is_http=is_http)
            admitted = [admission.enter("203.0.113.9") for _ in range(2)]
        self.assertEqual([True, False], admitted)
        return [formatEvent(event) for event in events]

    def test_crowd_behind_a_proxy(self) -> None:
        """Where HTTP comes the log says what to do if the crowd is a proxy's."""
        [line] = self.lines(is_http=True)
        self.assertIn("too many from 203.0.113.9", line)
        self.assertIn("trusted-proxies", line)

    def test_crowd_elsewhere(self) -> None:
        """Elsewhere whoever asks says it, so that it is said once."""
        self.assertEqual([], self.lines(is_http=False))

    def test_proxies_are_exempt(self) -> None:
        """A proxy that names its clients has as many connections as there may be."""
        for config, is_http in (
            (Config(connections_per_address=1), True),
            (Config(connections_per_address=1, proxy_protocol=True), False),
        ):
            admission = Front(config, Clock()).admission(is_http=is_http)
            self.assertEqual([True] * 3, [admission.enter("127.0.0.1") for _ in range(3)])
