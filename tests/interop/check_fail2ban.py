"""fail2ban finds who presents a wrong key: deb/contrib/fail2ban-filter.conf."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import rdserver
from tests.integration.case import ProcessTests
from tests.integration.client import Controller
from tests.integration.relayed import join_relay, new_session
from tests.interop.daemon import need

FILTER = Path(rdserver.__file__).parent.parent / "deb/contrib/fail2ban-filter.conf"
INSTALLED = Path("/etc/fail2ban")


class Fail2banTests(ProcessTests):
    """What the server logs, and what Debian's fail2ban makes of it."""

    def setUp(self) -> None:
        super().setUp()
        self.program = need("fail2ban-regex")
        self.filters = self.new_folder() / "fail2ban"
        shutil.copytree(INSTALLED, self.filters)
        shutil.copy(FILTER, self.filters / "filter.d/rustdesk-server.conf")

    def found(self, *lines: str) -> int:
        """Return how many of the lines are of somebody who is to be shut out."""
        log = self.folder / "lines"
        log.write_text("".join(f"{line}\n" for line in lines))
        done = subprocess.run(
            [self.program, "-c", self.filters, log, "rustdesk-server"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return int(done.stdout.partition("Failregex: ")[2].split()[0])

    def test_wrong_keys(self) -> None:
        """Those at either server are found, in a file and in the journal."""
        server = self.server().start()
        self.keep(Controller(server.ports, "wrong").punch("900000061")).receive()
        stream = join_relay(server.ports, new_session(), "127.0.0.9", licence_key=b"wrong")
        self.assertTrue(self.keep(stream).is_closed())
        said = [line for line in server.log().splitlines() if "invalid key" in line]
        self.assertEqual((2, 2), (len(said), self.found(*said)))
        prefix = "Nov 29 01:00:00 host rustdesk-server[123]: "
        journal = [prefix + line.partition(" warn  ")[2] for line in said]
        self.assertEqual(2, self.found(*journal))

    def test_others(self) -> None:
        """Nobody is shut out by what another one made the server say."""
        host = "2026-11-29T01:00:00Z warn  peer Authentication failed from 192.0.2.1:1"
        self.assertEqual(0, self.found(f"{host} for peer 1 - invalid key"))
