"""What the tests among real peers share."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable
from typing import Any

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.integration.case import ProcessTests
from tests.integration.client import Controller, Device
from tests.integration.process import START_S, ServerProcess
from tests.integration.relayed import new_session
from tests.integration.web import Message, ask, connect, exchange, join, trusting
from tests.interop.daemon import need
from tests.transports.certificates import Authority, PairFiles, make_pair

MB = 1_000_000
CLIENT, PARTNER = "127.0.0.77", "127.0.0.78"
"""Who connects: addresses that no proxy has."""
FORGED = {
    "X-Real-IP": "203.0.113.66",
    "X-Forwarded-For": "203.0.113.67",
    "Forwarded": "for=203.0.113.68",
}
"""What a client could say that wants to be somebody else."""


def run_program(*command: str, sent: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output comes back as text."""
    return subprocess.run(
        [need(command[0]), *command[1:]],
        input=sent,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=START_S,
        check=False,
    )


class InteropTests(ProcessTests):
    """A certificate of an authority of our own, and what clients do."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority.make("test authority")
        self.ca_file = self.authority.save(self.folder)
        self.context = trusting(self.ca_file)
        self.pair = self.make_pair("server")

    def make_pair(self, name: str) -> PairFiles:
        """Return a certificate for localhost, and its key."""
        return make_pair(self.folder, name, ca=self.authority)

    def open(self, url: str, **options: Any) -> Any:
        """Return a connection of the library ``websockets``, to be entered."""
        return connect(url, self.context if url.startswith("wss") else None, **options)

    def wait_for(self, is_so: Callable[[], object], what: str) -> None:
        """Return once *is_so* returns something true; fail if that takes too long."""
        until_s = time.monotonic() + START_S
        while not is_so():
            if time.monotonic() > until_s:
                self.fail(what)
            time.sleep(0.02)

    async def is_online(self, url: str, peer_id: str) -> bool:
        """Return what the ID server at *url* says about a device."""
        request = pb.OnlineRequest(id=b"me", peers=[b"nobody", peer_id.encode()])
        async with self.open(url) as one:
            answer = await ask(one, online_request=request)
        states = answer.online_response.states
        self.assertIn(states, (b"\x00", b"\x40"))
        return bool(states == b"\x40")

    async def seen_host(self, url: str, device: Device, key: str, **options: Any) -> str:
        """Return which host *device* is told of, when somebody asks for it at *url*."""
        request = pb.PunchHoleRequest(id=device.id.encode(), licence_key=key.encode())
        async with self.open(url, **options) as one:
            await one.send(pb.encode(Message(punch_hole_request=request)))
            push = await asyncio.to_thread(device.next_push)
        self.assertEqual("punch_hole", push.WhichOneof("union"))
        return decode_address(push.punch_hole.socket_addr).host


class Rendezvous:
    """
    A whole connection: A asks for B by WebSocket, both meet at the relay.

    :param ids: where A finds the ID server.
    :param device: B, registered.
    """

    def __init__(
        self, tests: InteropTests, server: ServerProcess, ids: str, device: Device
    ) -> None:
        self._tests = tests
        self._server = server
        self._ids = ids
        self._device = device

    async def agree(self, a: Controller) -> str:
        """Let A ask and B answer with a relay; return the session's name."""
        request = pb.PunchHoleRequest(
            id=self._device.id.encode(), licence_key=a.key.encode()
        )
        async with self._tests.open(self._ids, host=CLIENT, headers=FORGED) as asking:
            await asking.send(pb.encode(Message(punch_hole_request=request)))
            return await self._answer(asking, a)

    async def _answer(self, asking: Any, a: Controller) -> str:
        push = await asyncio.to_thread(self._device.next_push)
        session = new_session()
        relay = f"{self._server.ports.host}:{self._server.ports.relay}"
        answering = self._device.answer_with_relay(push.punch_hole, relay, session)
        self._tests.keep(answering)
        answer = pb.decode(await asking.recv()).relay_response
        self._tests.assertEqual(session, pb.text(answer.uuid))
        a.proven_pk(answer.pk, self._device.id)
        return session

    async def meet(self, session: str, first: Any, second: Any, total: int) -> None:
        """Move *total* bytes each way in *session*, and see it end for both."""
        async with first as one, second as other:
            for side in (one, other):
                await side.send(join(session))
            await exchange(one, other, total)
