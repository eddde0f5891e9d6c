"""Tests for :mod:`rdserver.web_service` and :mod:`rdserver.front`, in a whole server."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from unittest import mock

from rdserver.errors import ConfigError
from rdserver.service import Server
from rdserver.transports import listeners
from rdserver.transports.http_router import HttpRouterFactory
from tests.test_reloading import hang_up
from tests.test_service import ServiceCase
from tests.transports.certificates import PairFiles, make_pair


class TlsCase(ServiceCase):
    """A server with a certificate, and a port for everything."""

    def setUp(self) -> None:
        super().setUp()
        self.pair = self.make_pair()
        self.previous = signal.getsignal(signal.SIGHUP)

    def make_pair(self) -> PairFiles:
        return make_pair(self.folder, "server")

    def tls(self, *more: str, https_port: int | None = -1) -> Server:
        """Return a server that is not started; without a port it takes the usual one."""
        where = self.port + 6 if https_port == -1 else https_port
        port = [] if where is None else [f"--https-port={where}"]
        cert, key = f"--tls-cert={self.pair.cert}", f"--tls-key={self.pair.key}"
        return self.make(cert, key, *port, *more)

    def paths(self) -> Sequence[str]:
        """Return what the port for everything has."""
        routers = [
            inner
            for port in self.reactor.ports
            if isinstance(
                inner := getattr(port.served, "_inner", None), HttpRouterFactory
            )
        ]
        return sorted(path for router in routers for path in router._routes)


class UnifiedPortTests(TlsCase):
    def test_paths(self) -> None:
        """The port has what the role has."""
        for role, paths in (
            ("all", ["/ws/id", "/ws/relay"]),
            ("id", ["/ws/id"]),
            ("relay", ["/ws/relay"]),
        ):
            more = ["--relay-auth", "open"] if role == "relay" else []
            server = self.tls("--role", role, *more)
            lines = self.start(server)
            self.assertEqual(paths, self.paths())
            expected = f"everything over TLS on {self.port + 6}/tcp: {' and '.join(paths)}"
            self.assertIn(expected, lines)
            self.stop(server)

    def test_none(self) -> None:
        """Port 0 is none, and so is a server without a certificate."""
        for server in (self.tls(https_port=0), self.make()):
            self.start(server)
            self.assertEqual([], self.paths())
            self.stop(server)

    def test_taken(self) -> None:
        """A port that was asked for and cannot be had stops the start."""
        real = listeners.bind

        def bind(interface: str, wanted: listeners.Wanted) -> object:
            if wanted.purpose == "https-port":
                raise ConfigError(f"TCP port {wanted.port} (https-port) is already taken")
            return real(interface, wanted)

        with mock.patch.object(listeners, "bind", bind):
            self.assert_refused(ConfigError, "(https-port) is already taken", self.tls())
            usual = self.tls(https_port=None)
            lines = self.start(usual)
        [line] = [line for line in lines if "single port" in line]
        self.assertTrue(line.startswith("TCP port 443 (https-port) is already taken, so"))
        self.assertIn("name another one with https-port", line)
        self.assertEqual([], self.paths())
        self.stop(usual)


class CertificateTests(TlsCase):
    def test_wrong_pair(self) -> None:
        """A pair that does not fit together stops the start with one sentence."""
        other = make_pair(self.folder, "other")
        self.pair = PairFiles(self.pair.cert, other.key)
        self.assert_refused(ConfigError, "tls-key", self.tls())

    def test_missing(self) -> None:
        """So does a file that is not there."""
        os.unlink(self.pair.cert)
        self.assert_refused(ConfigError, str(self.pair.cert), self.tls())

    def test_signal(self) -> None:
        """SIGHUP reads the certificate again, or says what is wrong and keeps the old."""
        server = self.tls()
        self.start(server)
        for name, line in (("server", "is in use from now on"), ("", "stays in use")):
            if name:
                make_pair(self.folder, name)
            else:
                os.unlink(self.pair.key)
            self.assertIn(line, "\n".join(hang_up(self, self.reactor)))
        self.stop(server)
        self.assertEqual(self.previous, signal.getsignal(signal.SIGHUP))

    def test_renewed(self) -> None:
        """A pair that has changed is taken within a minute, without being told."""
        server = self.tls()
        self.start(server)
        before = server._web._front.certificate.not_after
        make_pair(self.folder, "server", days=200)
        self.reactor.advance(60)
        self.assertGreater(server._web._front.certificate.not_after, before)
        self.stop(server)
