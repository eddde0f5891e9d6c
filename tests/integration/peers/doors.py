"""Where a client connects to the servers, by its mode."""

from __future__ import annotations

from attrs import evolve, frozen

from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.integration.client import nat_test
from tests.integration.peers.line import Line
from tests.integration.peers.profile import Mode, Profile
from tests.integration.peers.websocket import WebSocketLink
from tests.integration.process import Ports
from tests.integration.sockets import FramedSocket, Udp, open_tcp


@frozen
class Doors:
    """
    Connections to the servers at *ports*, as a client with *profile* makes them.

    Source: protocol.md sections 1.4, 1.7 and 7.0.
    """

    ports: Ports
    profile: Profile

    def main(self, local_port: int = 0) -> Line:
        """Return a connection to P, or by WebSocket to P+2."""
        return self._open(Address(self.ports.host, self.ports.main), local_port)

    def relay(self, text: str) -> Line:
        """Return a connection to the relay called *text*; by WebSocket two ports on."""
        return self._open(self.relay_address(text), 0)

    def relay_address(self, text: str) -> Address:
        """Return where the relay is; without a text, beside the ID server."""
        if not text:
            return Address(self.ports.host, self.ports.main + 1)
        host, _, port = text.rpartition(":")
        return Address(host.strip("[]"), int(port))

    def udp(self) -> Udp:
        """Return a new UDP socket to P."""
        return Udp(self.ports, self.profile.host)

    def _open(self, remote: Address, local_port: int) -> Line:
        host, wait_s = self.profile.host, self.profile.timing.connect_s
        if self.profile.mode is Mode.WEBSOCKET:
            by_websocket = (remote.host, remote.port + 2)
            return Line(WebSocketLink(by_websocket, host, wait_s))
        return Line(FramedSocket(open_tcp(remote, (host, local_port), wait_s)))


def nat_type(ports: Ports, profile: Profile) -> pb.NatType:
    """Return whether both ports see one and the same port of ours (O9)."""
    if profile.cannot_be_reached:
        return pb.SYMMETRIC
    seen = {answer.port for answer in nat_test(ports, profile.host)}
    return pb.ASYMMETRIC if len(seen) == 1 else pb.SYMMETRIC


def with_measured_nat(ports: Ports, profile: Profile) -> Profile:
    """Return *profile* after its NAT test."""
    return evolve(profile, nat_type=nat_type(ports, profile))
