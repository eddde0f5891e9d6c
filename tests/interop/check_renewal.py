"""A certificate that is renewed as certbot does it, while clients come and go."""

from __future__ import annotations

import asyncio
import os
import signal
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509

from rdserver.wire import pb
from tests.integration.relayed import new_session
from tests.integration.web import ask, exchange, join, run
from tests.interop.case import MB, InteropTests
from tests.interop.daemon import free_port, need
from tests.interop.tls import handshake
from tests.transports.certificates import PairFiles

SESSIONS = 4
RENEWALS = 3
ALL_S = 120.0


class Live:
    """
    The names that certbot keeps pointing at the newest pair.

    :ivar pair: these names.
    """

    def __init__(self, folder: Path) -> None:
        self.pair = PairFiles(folder / "fullchain.pem", folder / "privkey.pem")

    def point_at(self, name: Path, target: Path) -> None:
        """Let a name mean another file, at once."""
        fresh = name.with_suffix(".new")
        fresh.symlink_to(target)
        os.replace(fresh, name)


class RenewalTests(InteropTests):
    def setUp(self) -> None:
        need("openssl")
        super().setUp()
        self.live = Live(self.new_folder())
        self.use(self.pair)
        self.https = free_port()
        self.running = self.server(
            *(f"--tls-cert={self.live.pair.cert}", f"--tls-key={self.live.pair.key}"),
            *(f"--https-port={self.https}", "--relay-auth=open"),
        ).start()

    def use(self, pair: PairFiles) -> None:
        self.live.point_at(self.live.pair.cert, pair.cert)
        self.live.point_at(self.live.pair.key, pair.key)

    def hang_up(self, said: str) -> None:
        """Send SIGHUP, and wait until the log says what came of it."""
        before = self.running.log().count(said)
        os.kill(self.running.pid, signal.SIGHUP)
        self.wait_for(
            lambda: self.running.log().count(said) > before,
            f"{said!r} is not in the log:\n{self.running.log()}",
        )

    def presented(self) -> int:
        """Return the serial number of the certificate that new connections get."""
        done = handshake(self.https, "1.3", self.ca_file)
        self.assertTrue(done.is_complete, done.output)
        return int(done.serial, 16)

    def serial(self, pair: PairFiles) -> int:
        """Return the serial number of a certificate on the disk."""
        return x509.load_pem_x509_certificate(pair.cert.read_bytes()).serial_number

    def test_under_load(self) -> None:
        """Each new connection gets the newest pair; no old one, and no new one, is lost."""
        renewing, opened = run(self.renew_under_load(), ALL_S)
        self.assertEqual(RENEWALS, renewing)
        self.assertGreater(opened, RENEWALS)

    async def renew_under_load(self) -> tuple[int, int]:
        is_over = asyncio.Event()
        sessions = [asyncio.ensure_future(self.move(is_over)) for _ in range(SESSIONS)]
        opening = asyncio.ensure_future(self.come_and_go(is_over))
        try:
            renewals = await asyncio.to_thread(self.renew)
        finally:
            is_over.set()
        for moved in await asyncio.gather(*sessions):
            self.assertGreater(moved, 0)
        return renewals, await opening

    def renew(self) -> int:
        """Renew a few times; return how often new connections got the new pair."""
        renewed = 0
        for number in range(RENEWALS):
            fresh, before = self.make_pair(f"fresh{number}"), self.presented()
            # Certbot changes one name after the other: a pair that does not fit.
            self.live.point_at(self.live.pair.cert, fresh.cert)
            self.hang_up("stays in use")
            self.assertEqual(before, self.presented())
            self.live.point_at(self.live.pair.key, fresh.key)
            self.hang_up("is in use from now on")
            renewed += self.presented() == self.serial(fresh)
        return renewed

    async def move(self, is_over: asyncio.Event) -> int:
        """Keep one session busy; return how often 1 MB crossed it both ways."""
        session, url = new_session(), f"wss://localhost:{self.https}/ws/relay"
        async with self.open(url) as one, self.open(url) as other:
            for side in (one, other):
                await side.send(join(session))
            return await self.repeat(is_over, exchange, one, other, MB)

    async def come_and_go(self, is_over: asyncio.Event) -> int:
        """Open one connection after the other; return how many were answered."""
        return await self.repeat(is_over, self.ask_once)

    async def ask_once(self) -> None:
        async with self.open(f"wss://localhost:{self.https}/ws/id") as one:
            answer = await ask(one, test_nat_request=pb.TestNatRequest())
            self.assertGreater(answer.test_nat_response.port, 0)

    async def repeat(self, is_over: asyncio.Event, do: Any, *arguments: Any) -> int:
        for done in count(1):
            await do(*arguments)
            if is_over.is_set():
                return done
        return 0
