"""What B does when it is asked: O5 to O8, and the ways that it opens for A."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from attrs import define, field, frozen
from nacl.signing import SigningKey

from rdserver.wire import pb
from rdserver.wire.address import Address, decode_address, encode_address
from tests.integration.peers import reliable
from tests.integration.peers.doors import Doors
from tests.integration.peers.line import Line
from tests.integration.peers.profile import Path
from tests.integration.peers.scope import Scope
from tests.integration.peers.session import Greeting
from tests.integration.relayed import new_session
from tests.integration.sockets import FramedSocket, bound_tcp, open_tcp

_REPEAT_S = 0.1
_KNOCK_S, _OLD_KNOCK_S = 0.03, 0.3


@define
class Repeats:
    """Tells pushes that come twice: for one address of A, within 100 ms (A3)."""

    _now: Callable[[], float] = time.monotonic
    _last: Address | None = field(default=None, init=False)
    _came_s: float = field(default=0.0, init=False)

    def is_repeat(self, disguise: bytes) -> bool:
        """Note that a push for A at *disguise* came; return whether to ignore it."""
        address, now_s = decode_address(disguise), self._now()
        is_repeat = address == self._last and now_s - self._came_s < _REPEAT_S
        self._last, self._came_s = address, now_s
        return is_repeat


@frozen
class Arrived:
    """
    A way by which A may come, or has come.

    :ivar greeting: what was said to A; None: A wants no proofs.
    """

    path: Path
    line: Line
    greeting: Greeting | None


Serve = Callable[[Arrived], None]
"""Talks to A until the end."""


@frozen
class Answers:
    """
    B's answers, each in a thread of its own until A has come and gone.

    :ivar scope: what is open; it ends with B.

    Source: protocol.md sections 7.0, 7.4, 7.5 and appendix A.
    """

    doors: Doors
    peer_id: str
    identity: SigningKey
    serve: Serve
    scope: Scope

    def punch(self, hole: pb.PunchHole) -> None:
        """Open a way for A: by UDP, by TCP, or at a relay."""
        profile = self.doors.profile
        is_new = profile.knows("1.4.1")
        forced = profile.cannot_be_reached or (is_new and hole.force_relay)
        ipv6 = b"" if forced else self._open_ipv6(hole.socket_addr_v6)
        if forced or pb.SYMMETRIC in (profile.known_nat_type, hole.nat_type):
            self._choose_relay(hole.socket_addr, hole.relay_server, ipv6)
            return
        sent = pb.PunchHoleSent(
            socket_addr=hole.socket_addr,
            id=self.peer_id.encode(),
            relay_server=self._relay_text(hole.relay_server),
            nat_type=profile.known_nat_type,
            version=profile.version.encode(),
            socket_addr_v6=ipv6,
        )
        if is_new and hole.udp_port > 0:
            a_host = decode_address(hole.socket_addr).host
            self._punch_udp(sent, Address(a_host, hole.udp_port))
        else:
            self._punch_tcp(sent, decode_address(hole.socket_addr))

    def fetch_local_addr(self, fetch: pb.FetchLocalAddr) -> None:
        """O7: let A come over the network that both are in; if by TCP at all."""
        profile = self.doors.profile
        if profile.cannot_be_reached:
            self._choose_relay(fetch.socket_addr, fetch.relay_server, b"")
            return
        telling = self.doors.main()
        a_address = decode_address(fetch.socket_addr)
        local = pb.LocalAddr(
            socket_addr=encode_address(a_address, time.time_ns() // 1000),
            local_addr=encode_address(telling.link.address, time.time_ns() // 1000),
            relay_server=self._relay_text(fetch.relay_server),
            id=self.peer_id.encode(),
            version=profile.version.encode(),
            socket_addr_v6=self._open_ipv6(fetch.socket_addr_v6),
        )
        message = pb.RendezvousMessage(local_addr=local)
        self._tell_and_listen(telling, message, Path.LAN)

    def request_relay(self, request: pb.RequestRelay) -> None:
        """O8 as A chose: come to its session."""
        response = pb.RelayResponse(
            socket_addr=request.socket_addr, version=self.doors.profile.version.encode()
        )
        self._meet(response, request.relay_server, request.uuid, request.secure)

    def _choose_relay(self, a_disguise: bytes, proposed: bytes, ipv6: bytes) -> None:
        """O8 as B chose: tell A where and in which session."""
        uuid, relay = new_session().encode(), self._relay_text(proposed)
        response = pb.RelayResponse(
            socket_addr=a_disguise,
            uuid=uuid,
            relay_server=relay,
            id=self.peer_id.encode(),
            version=self.doors.profile.version.encode(),
            socket_addr_v6=ipv6,
        )
        self._meet(response, relay, uuid, True)

    def _relay_text(self, proposed: bytes) -> bytes:
        return proposed or str(self.doors.relay_address("")).encode()

    def _meet(
        self, response: pb.RelayResponse, relay: bytes, uuid: bytes, secure: bool
    ) -> None:
        telling = self.scope.keep(self.doors.main())
        telling.send(pb.RendezvousMessage(relay_response=response))
        key = self.doors.profile.key.encode()
        request = pb.RequestRelay(licence_key=key, uuid=uuid)
        payloads = [pb.encode(pb.RendezvousMessage(request_relay=request))]
        greeting = self._greeting() if secure else None
        if greeting is not None:
            payloads.append(greeting.message())
        line = self.scope.keep(self.doors.relay(pb.text(relay)))
        line.link.send_frames(*payloads)
        self.serve(Arrived(Path.RELAY, line, greeting))
        telling.close()

    def _punch_tcp(self, sent: pb.PunchHoleSent, a_address: Address) -> None:
        """O5: open the NAT by a connection attempt, then listen where that came from."""
        telling = self.doors.main()
        knock_s = _KNOCK_S if self.doors.profile.knows("1.2.0") else _OLD_KNOCK_S
        with suppress(OSError):  # A does not listen
            open_tcp(a_address, telling.link.address, knock_s).close()
        message = pb.RendezvousMessage(punch_hole_sent=sent)
        self._tell_and_listen(telling, message, Path.TCP)

    def _tell_and_listen(
        self, telling: Line, message: pb.RendezvousMessage, path: Path
    ) -> None:
        # A client listens after it has told; here A may be there before that.
        with _listener(telling.link.address) as listener:
            self.scope.keep(listener)
            telling.send(message)
            telling.close()
            listener.settimeout(self.doors.profile.timing.listen_s)
            arrived = listener.accept()[0]
        self._greet(Line(FramedSocket(arrived)), path)

    def _punch_udp(self, sent: pb.PunchHoleSent, a_address: Address) -> None:
        """O6: tell three times, then open the NAT from the same socket."""
        udp = self.scope.keep(self.doors.udp())
        message = pb.RendezvousMessage(punch_hole_sent=sent)
        for _ in range(3):
            udp.send(message)
            time.sleep(0.01 + secrets.randbelow(20) / 1000)
        self._accept_udp(udp.socket, a_address, Path.UDP)

    def _open_ipv6(self, a_disguise: bytes) -> bytes:
        """Open a way by IPv6 if A has one, and this device; return its end's disguise."""
        profile, a_address = self.doors.profile, decode_address(a_disguise)
        if not (profile.ipv6 and profile.knows("1.4.1") and a_address.port):
            return b""
        opened = self.scope.keep(ipv6_socket(profile.ipv6))
        self.scope.start(partial(self._accept_udp, opened, a_address, Path.IPV6))
        return encode_address(Address(*opened.getsockname()[:2]), 0)

    def _accept_udp(self, opened: socket.socket, a_address: Address, path: Path) -> None:
        wait_s = self.doors.profile.timing.listen_s
        link = reliable.accept(opened, a_address, wait_s, self.scope.is_over)
        self._greet(Line(link), path)

    def _greet(self, line: Line, path: Path) -> None:
        greeting = self._greeting()
        self.scope.keep(line).say(greeting.message())
        self.serve(Arrived(path, line, greeting))

    def _greeting(self) -> Greeting:
        return Greeting(self.peer_id, self.identity)


def ipv6_socket(host: str) -> socket.socket:
    """Return a UDP socket at a global IPv6 address."""
    opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    opened.bind((host, 0))
    return opened


def _listener(address: Address) -> socket.socket:
    listener = bound_tcp(address.host, address)
    listener.listen()
    return listener
