"""A's attempt to reach B: the request (O3), the ways that the answer opens, and O4."""

from __future__ import annotations

import socket
import threading
import time
from base64 import b64decode
from functools import partial

from attrs import define, field
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from tests.integration.peers import reliable
from tests.integration.peers.answers import ipv6_socket
from tests.integration.peers.doors import Doors
from tests.integration.peers.line import Line, is_offer, secure
from tests.integration.peers.probe import NatProbe
from tests.integration.peers.profile import Mode, Path
from tests.integration.peers.race import NoWayError, Reached, RefusedError, Way, first_of
from tests.integration.peers.scope import Scope
from tests.integration.relayed import new_session
from tests.integration.sockets import FramedSocket, bound_tcp

_RELAY_ATTEMPTS = 3


@define(kw_only=True)
class Attempt:
    """
    One request on one connection, and what follows from its answer.

    :ivar probe: the UDP socket to punch from, if this attempt has one.
    :ivar is_decided: set when another attempt has led to B.

    Source: protocol.md sections 7.0, 7.4 to 7.6, and A2.
    """

    doors: Doors
    peer_id: str
    scope: Scope
    probe: NatProbe | None
    is_decided: threading.Event
    _ipv6: socket.socket | None = field(default=None, init=False)

    def run(self) -> Reached:
        """
        Return what leads to B.

        :raises RefusedError: the server says why nothing does.
        :raises NoWayError: nothing does.
        """
        began_s = time.monotonic()
        line = self._asking_line()
        took_s = time.monotonic() - began_s
        answer = self._ask(line, self._request(took_s))
        if answer.WhichOneof("union") == "relay_response":
            return self._relay_chosen_by_b(answer.relay_response)
        response = answer.punch_hole_response
        if not response.socket_addr:
            raise RefusedError(_reason(response))
        return self._follow(response, line.link.address)

    def _asking_line(self) -> Line:
        profile = self.doors.profile
        line = self.scope.keep(self.doors.main())
        if profile.token and profile.key and profile.mode is not Mode.WEBSOCKET:
            secure(line, profile.key, profile.timing.secure_s)
        return line

    def _request(self, took_s: float) -> pb.RendezvousMessage:
        profile = self.doors.profile
        request = pb.PunchHoleRequest(
            id=self.peer_id.encode(),
            nat_type=pb.SYMMETRIC if profile.wants_relay else profile.known_nat_type,
            licence_key=profile.key.encode(),
            token=profile.token.encode(),
        )
        if profile.knows("1.2.7"):
            request.version = profile.version.encode()
        if profile.knows("1.4.1"):
            self._add_ways(request, took_s)
        return pb.RendezvousMessage(punch_hole_request=request)

    def _add_ways(self, request: pb.PunchHoleRequest, took_s: float) -> None:
        profile = self.doors.profile
        request.force_relay = profile.wants_relay
        if self.probe is not None:
            wait_s = max(took_s / 2, profile.timing.least_udp_test_s)
            request.udp_port = self.probe.port(wait_s)
        if profile.ipv6 and not profile.wants_relay:
            self._ipv6 = self.scope.keep(ipv6_socket(profile.ipv6))
            own = Address(*self._ipv6.getsockname()[:2])
            request.socket_addr_v6 = encode_address(own, 0)

    def _ask(self, line: Line, request: pb.RendezvousMessage) -> pb.RendezvousMessage:
        """Send *request* until it is answered, or was sent often enough."""
        for wait_s in self.doors.profile.timing.answers_s:
            line.send(request)
            answer = self._answer(line, wait_s)
            if answer is not None and answer.WhichOneof("union") in (
                "punch_hole_response",
                "relay_response",
            ):
                return answer
        raise NoWayError("no answer to the request")

    def _answer(self, line: Line, wait_s: float) -> pb.RendezvousMessage | None:
        """Return the next message; one offer of a key exchange is skipped since 1.2.0."""
        for can_skip in (self.doors.profile.knows("1.2.0"), False):
            try:
                message = line.receive(wait_s)
            except TimeoutError:
                return None
            if message is None:
                raise NoWayError("the server closes the connection")
            if not (can_skip and is_offer(message)):
                return message
        return None

    def _follow(self, response: pb.PunchHoleResponse, local: Address) -> Reached:
        """Try all direct ways at once, and the relay if none leads to B."""
        pk = self._proven_pk(response.pk)
        ways = [self._tcp_way(response, local, pk)]
        if self.probe is not None and response.is_udp:
            punched = self.probe.udp.socket
            ways.append(self._udp_way(Path.UDP, punched, response.socket_addr, pk))
        ways += self._ipv6_ways(response.socket_addr_v6, pk)
        try:
            return first_of(ways, self.scope)
        except NoWayError:
            return self._relay_chosen_by_a(response.relay_server, pk)

    def _tcp_way(self, response: pb.PunchHoleResponse, local: Address, pk: bytes) -> Way:
        timing, remote = self.doors.profile.timing, decode_address(response.socket_addr)
        is_near = response.is_local or response.nat_type == pb.SYMMETRIC
        wait_s = timing.lan_s if is_near else timing.direct_s
        path = Path.LAN if response.is_local else Path.TCP

        def connect() -> Reached:
            # From where the ID server sees A: that is where B's NAT expects it.
            opened = self.scope.keep(bound_tcp(remote.host, local))
            opened.settimeout(wait_s)
            opened.connect(remote)
            return Reached(path, Line(FramedSocket(opened)), pk)

        return self._way(path, wait_s, connect)

    def _udp_way(
        self, path: Path, opened: socket.socket, disguise: bytes, pk: bytes
    ) -> Way:
        wait_s = self.doors.profile.timing.direct_s

        def connect() -> Reached:
            link = reliable.connect(
                opened, decode_address(disguise), wait_s, self.is_decided
            )
            return Reached(path, self.scope.keep(Line(link)), pk)

        return self._way(path, wait_s, connect)

    def _ipv6_ways(self, disguise: bytes, pk: bytes) -> list[Way]:
        if self._ipv6 is None or not disguise:
            return []
        return [self._udp_way(Path.IPV6, self._ipv6, disguise, pk)]

    def _way(self, path: Path, wait_s: float, way: Way) -> Way:
        is_closed = path in self.doors.profile.closed
        return partial(self._wait_in_vain, wait_s) if is_closed else way

    def _wait_in_vain(self, wait_s: float) -> Reached:
        self.is_decided.wait(wait_s)
        raise NoWayError("closed")

    def _relay_chosen_by_b(self, response: pb.RelayResponse) -> Reached:
        pk = self._proven_pk(response.pk)
        relay, uuid = pb.text(response.relay_server), response.uuid
        at_relay = partial(self._join, relay, uuid, pk, True)
        wait_s = self.doors.profile.timing.direct_s
        ways = [self._way(Path.RELAY, wait_s, at_relay)]
        ways += self._ipv6_ways(response.socket_addr_v6, pk)
        return first_of(ways, self.scope)

    def _relay_chosen_by_a(self, relay: bytes, pk: bytes) -> Reached:
        """O4: ask B to a session at the relay that it proposed itself."""
        if not relay:
            raise NoWayError("nobody knows a relay")
        for _ in range(_RELAY_ATTEMPTS):
            if self.is_decided.is_set():
                break
            uuid = new_session().encode()
            if self._is_relay_accepted(relay, uuid, bool(pk)):
                return self._join(pb.text(relay), uuid, pk, bool(pk))
        raise NoWayError("no answer to the request for a relay")

    def _is_relay_accepted(self, relay: bytes, uuid: bytes, is_secure: bool) -> bool:
        line = self._asking_line()
        request = pb.RequestRelay(
            id=self.peer_id.encode(),
            token=self.doors.profile.token.encode(),
            uuid=uuid,
            relay_server=relay,
            secure=is_secure,
        )
        line.send(pb.RendezvousMessage(request_relay=request))
        answer = self._answer(line, self.doors.profile.timing.relay_answer_s)
        if answer is None or answer.WhichOneof("union") != "relay_response":
            return False
        if reason := pb.text(answer.relay_response.refuse_reason):
            raise RefusedError(reason)
        return True

    def _join(self, relay: str, uuid: bytes, pk: bytes, greets: bool) -> Reached:
        """O16: go to the session at the relay."""
        line = self.scope.keep(self.doors.relay(relay))
        request = pb.RequestRelay(
            licence_key=self.doors.profile.key.encode(),
            id=self.peer_id.encode(),
            uuid=uuid,
        )
        line.send(pb.RendezvousMessage(request_relay=request))
        return Reached(Path.RELAY, line, pk, greets)

    def _proven_pk(self, signed: bytes) -> bytes:
        """Return B's key if the server's signature of it is good, else nothing."""
        try:
            server_key = VerifyKey(b64decode(self.doors.profile.key))
            proof = pb.IdPk.FromString(server_key.verify(signed))
        except (CryptoError, ValueError):
            return b""
        is_good = pb.text(proof.id) == self.peer_id and len(proof.pk) == 32
        return bytes(proof.pk) if is_good else b""


def _reason(response: pb.PunchHoleResponse) -> str:
    if response.other_failure:
        return pb.text(response.other_failure)
    return str(pb.PunchHoleResponse.Failure.Name(response.failure))
