"""HAProxy before all TCP ports with the PROXY protocol, set up as docs/proxies says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.integration.client import Device, nat_test, online
from tests.integration.process import Ports, free_ports
from tests.integration.relayed import Exchange, join_relay, new_session
from tests.integration.sockets import Stream
from tests.integration.web import run
from tests.interop.case import CLIENT, FORGED, MB, PARTNER, InteropTests, Rendezvous
from tests.interop.daemon import free_port, need
from tests.interop.proxies import HOST, start_haproxy_tcp

_Mixin = InteropTests if TYPE_CHECKING else object

BEHIND = "127.0.0.3"
"""The machine of the server; it has the same ports as the one of the proxy."""

SESSION_S = 120.0


class TcpContract(_Mixin):
    """What each version of the PROXY protocol must do."""

    def changes(self) -> dict[str, object]:
        """Return what is changed in the file besides addresses."""
        raise NotImplementedError

    def setUp(self) -> None:
        need("haproxy")
        super().setUp()
        behind = evolve(free_ports(), host=BEHIND)
        self.https = free_port()
        self.running = self.server(
            *(f"--bind={BEHIND}", "--proxy-protocol", f"--trusted-proxies={HOST}"),
            *(f"--tls-cert={self.pair.cert}", f"--tls-key={self.pair.key}"),
            f"--https-port={self.https}",
            ports=behind,
        ).start()
        self.ports = Ports(behind.main, behind.relay)
        proxy = self.keep(
            start_haproxy_tcp(self.new_folder(), behind, self.https, self.changes())
        )
        for port in self.proxied():
            proxy.wait_for_port(HOST, port)

    def proxied(self) -> list[int]:
        """Return the ports of the proxy."""
        main, relay = self.ports.main, self.ports.relay
        return [main - 1, main, relay, self.https]

    def registered(self, peer_id: str) -> Device:
        """Return a device that registered by UDP, and answers through the proxy."""
        device = self.device(self.running.ports, peer_id).register()
        device.ports = self.ports
        return device

    def test_nat_test(self) -> None:
        """The client's own port is seen, the same on both ports."""
        stream = self.keep(Stream(self.ports, self.ports.main, (CLIENT, 0)))
        stream.send(pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()))
        answer = stream.receive()
        self.assertEqual(stream.address.port, answer.test_nat_response.port)
        first, second = nat_test(self.ports, CLIENT)
        self.assertEqual(first.port, second.port)

    def test_online(self) -> None:
        """Whether a device is online is told on the port for that."""
        device = self.registered("100200401")
        states = online(self.ports, CLIENT, ["nobody", device.id])
        self.assertEqual([False, True], states)

    def test_hole_punching(self) -> None:
        """Each side is told of the other's own address."""
        device = self.registered("100200402")
        a = self.controller(self.ports)
        a.host = CLIENT
        asking = self.keep(a.punch(device.id))
        push = device.next_push().punch_hole
        self.assertEqual(asking.address, decode_address(push.socket_addr))
        answering = self.keep(device.answer_punch(push))
        answer = asking.receive().punch_hole_response
        self.assertEqual(answering.address, decode_address(answer.socket_addr))

    def test_relay(self) -> None:
        """A session of 50 MB both ways; the log knows who had it."""
        device = self.registered("100200403")
        a = self.controller(self.ports)
        asking = self.keep(a.punch(device.id))
        session = new_session()
        self.keep(
            device.answer_with_relay(device.next_push().punch_hole, "relay", session)
        )
        self.assertEqual(session, pb.text(asking.receive().relay_response.uuid))
        one = self.keep(join_relay(self.ports, session, CLIENT))
        other = self.keep(join_relay(self.ports, session, PARTNER))
        Exchange(one, other, 50 * MB, SESSION_S)
        one.close()
        self.wait_for(lambda: f"{CLIENT}:" in self.running.log(), "A is not in the log")
        self.assertIn(f"{PARTNER}:", self.running.log())

    def test_websocket(self) -> None:
        """Through the port for TLS as well the client's own address counts."""
        base = f"wss://localhost:{self.https}"
        device = self.registered("100200404")
        both = Rendezvous(self, self.running, f"{base}/ws/id", device)
        a = self.controller(self.ports)

        async def ask_and_meet() -> str:
            seen = await self.seen_host(
                f"{base}/ws/id", device, a.key, host=CLIENT, headers=FORGED
            )
            session = await both.agree(a)
            relay = f"{base}/ws/relay"
            first, second = (self.open(relay, host=host) for host in (CLIENT, PARTNER))
            await both.meet(session, first, second, 10 * MB)
            return seen

        self.assertEqual(CLIENT, run(ask_and_meet(), SESSION_S))

    def test_past_the_proxy(self) -> None:
        """Who is no trusted proxy needs no header, and one is not believed."""
        behind = self.running.ports
        self.assertEqual(2, len(nat_test(behind, CLIENT)))
        stream = self.keep(Stream(behind, behind.main, (CLIENT, 0)))
        stream.send_bytes(b"PROXY TCP4 203.0.113.66 127.0.0.3 5 6\r\n")
        self.assertTrue(stream.is_closed())


class VersionTwoTests(TcpContract, InteropTests):
    def changes(self) -> dict[str, object]:
        return {}


class VersionOneTests(TcpContract, InteropTests):
    def changes(self) -> dict[str, object]:
        return {"send-proxy-v2": "send-proxy"}
