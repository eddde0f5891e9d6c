"""Tests for :mod:`rdserver.rendezvous.updates`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.limits import RateLimit
from rdserver.rendezvous.updates import ServerList, Software, version_in
from rdserver.wire import pb
from tests.rendezvous.fixture import BOB, STRANGER


def limit() -> RateLimit:
    return RateLimit(Clock().seconds, burst=3, per_s=1)


class ServerListTests(SynchronousTestCase):
    def test_default(self) -> None:
        """Serial 0 sends nothing to clients, who say 3, or 0 in the oldest versions."""
        servers = ServerList(0, ["one.example"], limit())
        self.assertEqual([None, None], [servers.newer_than(serial) for serial in (0, 3)])

    def test_only_so_often(self) -> None:
        """The list is longer than a heartbeat: one address is sent it only so often."""
        servers = ServerList(5, ["one.example"] * 50, limit())
        sent = [servers.update_for(3, BOB) for _ in range(10)]
        self.assertEqual([1] * 3 + [0] * 7, list(map(len, sent)))
        self.assertEqual(1, len(servers.update_for(3, STRANGER)))
        self.assertIsNotNone(servers.newer_than(3))


class SoftwareTests(SynchronousTestCase):
    def test_only_so_often(self) -> None:
        """The URL is longer than the question: one address is sent it only so often."""
        software = Software("https://example.com/rustdesk-1.1.9.exe", limit())
        asked = pb.RendezvousMessage(software_update=pb.SoftwareUpdate(url=b"1"))
        sent = [software.software_update(asked, BOB) for _ in range(10)]
        self.assertEqual([1] * 3 + [0] * 7, list(map(len, sent)))

    def test_versions(self) -> None:
        """What follows the last dash, without a file's extension."""
        versions = {
            "https://example.com/rustdesk-1.1.9.exe": "1.1.9",
            "https://example.com/rustdesk-1.2.3": "1.2.3",
            "https://example.com/rustdesk-1.2.3-x86_64.exe": "x86_64",
            "https://example.com/rustdesk-1": "1",
            "https://example.com/rustdesk-1.": "1",
            "https://example.com/rustdesk.exe": "",
            "rustdesk-exe": "",
            "": "",
        }
        found = {url: version_in(url) for url in versions}
        self.assertEqual(versions, found)
