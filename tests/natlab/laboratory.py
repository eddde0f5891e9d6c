"""What every case in the laboratory has: a server, the two clients, and what is asked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.process import ROOT, START_S, Ports, ServerProcess, environment
from tests.natlab.network import Host, Router, Switch, require_laboratory
from tests.natlab.party import SESSION_BYTES

PORT = 21116
RELAY_PORTS = (PORT + 1, PORT + 3)
SERVER, SERVER6 = "198.51.100.1", "2001:db8:1::1"
SYMMETRIC = "masquerade fully-random"

_ids = count(500_000_001)


@frozen
class Home:
    """A client behind a router, by its number."""

    number: int

    @property
    def outside(self) -> list[str]:
        """The router's addresses on the internet."""
        return [f"198.51.100.{self.number}0/24", f"2001:db8:1::{self.number}0/64"]

    @property
    def inside(self) -> list[str]:
        """The router's addresses at home."""
        return [f"10.{self.number}.0.1/24", f"2001:db8:{self.number}0::1/64"]

    @property
    def client_ipv6(self) -> str:
        """The global IPv6 address of the first client there."""
        return self.client(1)[1].partition("/")[0]

    def client(self, host_number: int) -> list[str]:
        """The addresses of a client there."""
        last = host_number + 1
        return [f"10.{self.number}.0.{last}/24", f"2001:db8:{self.number}0::{last}/64"]


class LaboratoryTests(SynchronousTestCase):
    """
    Base of the cases.

    :ivar internet: connects whoever has a public address.
    :ivar server: the machine with the server.
    """

    def setUp(self) -> None:
        require_laboratory()
        # Not mktemp(): the path of a Unix socket in it must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="nat-lab-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self._hosts: list[Host] = []
        self.addCleanup(self._remove_all)
        self.internet = self._add(Switch("internet"))
        self.server = self._add(Host("server"))
        self.internet.plug(self.server, "eth", f"{SERVER}/24", f"{SERVER6}/64")
        self.server.count(RELAY_PORTS)

    def _add(self, host: Any) -> Any:
        self._hosts.append(host)
        return host

    def _remove_all(self) -> None:
        for host in reversed(self._hosts):
            host.remove()

    def client(self, name: str, home: Router, plan: Home, number: int = 1) -> Host:
        """Return a client at *home*."""
        host: Host = self._add(Host(name))
        home.plug(host, "eth", *plan.client(number))
        for address in plan.inside:
            host.route(address.partition("/")[0])
        return host

    def home(self, plan: Home, **options: Any) -> Router:
        """Return a router between the internet and a network at home."""
        router = Router(
            f"router{plan.number}", self.internet, plan.outside, plan.inside, **options
        )
        for other in (1, 2):  # the way to the other home's public IPv6 addresses
            if other != plan.number:
                network, via = f"2001:db8:{other}0::/64", f"2001:db8:1::{other}0"
                router.ip("-6", "route", "add", network, "via", via)
        via = f"2001:db8:1::{plan.number}0"
        self.server.ip("-6", "route", "add", f"2001:db8:{plan.number}0::/64", "via", via)
        return self._add(router)  # type: ignore[no-any-return]  # what was given

    def start_server(self, *options: str) -> ServerProcess:
        """Start the server on its machine."""
        server = ServerProcess(
            self.folder,
            *options,
            ports=Ports(PORT, PORT + 1),
            wrapper=self.server.command(),
        )
        server.spawn()
        self.addCleanup(server.kill)
        deadline = time.monotonic() + START_S
        while " is ready" not in server.log():
            if time.monotonic() > deadline or not server.is_running():
                raise AssertionError(f"the server did not start:\n{server.log()}")
            time.sleep(0.02)
        return server

    def session(
        self, a: Host, b: Host, *, server: str = SERVER, **plan: Any
    ) -> tuple[str, int]:
        """
        Let A have a session with B; return its path and the bytes through the relay.

        :param plan: for both; what begins with ``a_`` or ``b_`` is for one.
        """
        key = (self.folder / "id_ed25519.pub").read_text()
        peer_id = str(next(_ids))
        common = {"id": peer_id, "key": key, "server": server, "port": PORT}
        plans = [
            common
            | {name: v for name, v in plan.items() if name[:2] not in ("a_", "b_")}
            | {name[2:]: v for name, v in plan.items() if name.startswith(side)}
            for side in ("a_", "b_")
        ]
        before = self.server.counted_bytes()
        device = self._party("controlled", b, plans[1])
        self.assertEqual(peer_id, self._said(device).get("registered"))
        outcome = self._said(self._party("controlling", a, plans[0]))
        self.assertTrue(outcome["proven"], outcome)
        self.assertTrue(self._said(device)["encrypted"])
        return outcome["path"], self.server.counted_bytes() - before

    def assert_direct(self, path: str, outcome: tuple[str, int]) -> None:
        """Check that nothing went through the relay."""
        self.assertEqual((path, 0), outcome)

    def assert_relayed(self, outcome: tuple[str, int]) -> None:
        """Check that all bytes, both ways and on both sides, went through the relay."""
        path, count = outcome
        self.assertEqual("relay", path)
        self.assertGreater(count, 4 * SESSION_BYTES)

    def _party(self, side: str, host: Host, plan: dict[str, Any]) -> subprocess.Popen[str]:
        command = (sys.executable, "-m", "tests.natlab.party", side, json.dumps(plan))
        errors = (self.folder / f"{side}.txt").open("w")
        self.addCleanup(errors.close)
        process = subprocess.Popen(
            host.command(*command),
            cwd=ROOT,
            env=environment(self.folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        self.addCleanup(self._end, process)
        return process

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _said(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Return the next line that a client says."""
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            errors = [path.read_text() for path in self.folder.glob("control*.txt")]
            log = (self.folder / "log").read_text()
            raise AssertionError("\n".join(["a client failed", *errors, log]))
        said: dict[str, Any] = json.loads(line)
        return said
