"""``rustdesk-utils healthcheck`` beside a real server."""

from __future__ import annotations

import os
import signal
import subprocess

from attrs import evolve

from tests.integration.case import ProcessTests
from tests.integration.process import (
    ServerProcess,
    free_port,
    free_ports,
    program,
    run_to_end,
)
from tests.transports.certificates import make_pair


class HealthcheckTests(ProcessTests):
    """Exit status and sentences."""

    def check(
        self, server: ServerProcess, *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Ask the server with the options that it was started with."""
        ports = ["-p", str(server.ports.main), f"--relay-port={server.ports.relay}"]
        words = ["healthcheck", f"--data-dir={self.folder}", *ports, *options]
        return run_to_end(self.folder, program("rustdesk-utils", *words))

    def assert_well(self, *options: str, host: str = "127.0.0.1") -> None:
        """Every port of a server with these options answers, and its log says nothing."""
        server = self.server(*options, ports=evolve(free_ports(), host=host)).start()
        # What it says at its start comes before its first answer.
        self.check(server, *options)
        before = server.log()
        done = self.check(server, *options)
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        self.assertEqual(before, server.log())
        server.stop()

    def test_well(self) -> None:
        """All ports answer, in every role, and no trace is left in the log."""
        self.assert_well()
        self.assert_well("--role=id")
        self.assert_well("--role=relay", "--key=k")

    def test_one_address(self) -> None:
        """A server that listens on one address is asked there."""
        self.assert_well("--bind=127.0.0.1")
        self.assert_well("--bind=::1", host="::1")

    def test_proxy_protocol(self) -> None:
        """A server that only proxies may speak to is asked as they do."""
        self.assert_well("--proxy-protocol")
        # Who comes from here is no proxy then.
        self.assert_well("--proxy-protocol", "--trusted-proxies=192.0.2.0/24")

    def test_https(self) -> None:
        """The port for everything is asked for its page; any certificate will do."""
        pair = make_pair(self.folder, "rd.example.org")
        tls = f"--tls-cert={pair.cert}", f"--tls-key={pair.key}"
        self.assert_well(*tls, f"--https-port={free_port()}")

    def test_hangs(self) -> None:
        """A server that hangs accepts connections, and is not well: each port is named."""
        server = self.server().start()
        os.kill(server.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, server.pid, signal.SIGCONT)
        done = self.check(server)
        self.assertEqual(1, done.returncode)
        ports = [*(f"{port}/tcp" for port in server.ports.tcp), f"{server.ports.main}/udp"]
        for port in ports:
            self.assertIn(f"no answer on {port}: ", done.stderr)

    def test_does_not_run(self) -> None:
        """Where nothing runs, nothing is well."""
        done = self.check(self.server())
        self.assertEqual(1, done.returncode)
        self.assertEqual(6, done.stderr.count("no answer on "))
