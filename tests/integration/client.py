"""
What a RustDesk client does towards the ID server.

Written from protocol.md (0.4 the flows, 7.0 the connections O1 to O10, appendix A),
so it drives any compatible server.  B is a :class:`Device`, A a :class:`Controller`.
The local address is chosen freely: all of 127.0.0.0/8 is ours to be many clients.
"""

from __future__ import annotations

import socket
import time
from base64 import b64decode
from collections import deque

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from rdserver.wire import pb
from rdserver.wire.address import decode_address, encode_address
from tests.integration.process import Ports
from tests.integration.sockets import REPLY_S, Stream, Udp, fresh_host

VERSION = b"1.4.9"
SERIAL = 3  # what clients report when they were never told another


class Device(Udp):
    """
    B: registers by UDP, is asked by UDP, and answers on new connections.

    :param host: its address; a loopback address of its own if not given.
    """

    def __init__(
        self,
        ports: Ports,
        peer_id: str,
        host: str = "",
        machine: bytes = b"",
        pk: bytes = b"",
    ) -> None:
        super().__init__(ports, host or fresh_host())
        self.ports = ports
        self.id = peer_id
        self.uuid = machine or b"machine-" + peer_id.encode()
        self.pk = pk or bytes(SigningKey.generate().verify_key)
        self._pushes: deque[pb.RendezvousMessage] = deque()

    # O1: registration

    def register_pk(self) -> int:
        """Send RegisterPk; return the result."""
        request = pb.RegisterPk(id=self.id.encode(), uuid=self.uuid, pk=self.pk)
        self.send(pb.RendezvousMessage(register_pk=request))
        return self._reply("register_pk_response").register_pk_response.result

    def heartbeat(self, serial: int = SERIAL) -> bool:
        """Send RegisterPeer; return whether the server wants a RegisterPk."""
        request = pb.RegisterPeer(id=self.id.encode(), serial=serial)
        self.send(pb.RendezvousMessage(register_peer=request))
        return self._reply("register_peer_response").register_peer_response.request_pk

    def register(self) -> Device:
        """Come online as a client does: ask, prove if asked to, ask again."""
        if self.heartbeat():
            result = self.register_pk()
            if result != pb.RegisterPkResponse.OK:
                name = pb.RegisterPkResponse.Result.Name(result)
                raise AssertionError(f"{self.id} was refused: {name}")
            if self.heartbeat():
                raise AssertionError(f"{self.id} registered and is still unknown")
        return self

    def _reply(self, kind: str) -> pb.RendezvousMessage:
        deadline = time.monotonic() + REPLY_S
        while True:
            message = self.receive(max(deadline - time.monotonic(), 0.001))
            if message.WhichOneof("union") == kind:
                return message
            self._pushes.append(message)

    def next_push(self, timeout_s: float = REPLY_S) -> pb.RendezvousMessage:
        """Return what the server sent without being asked."""
        return self._pushes.popleft() if self._pushes else self.receive(timeout_s)

    def pushes_so_far(self) -> list[pb.RendezvousMessage]:
        """Return what was pushed before the server handled a heartbeat sent now."""
        self.heartbeat()
        pushes = list(self._pushes)
        self._pushes.clear()
        return pushes

    # O5, O7, O8: answers, each on a new connection

    def connect(self, local_port: int = 0) -> Stream:
        """Open a new connection to TCP P from this device's address."""
        return Stream(self.ports, self.ports.main, (self.address.host, local_port))

    def answer_punch(self, push: pb.PunchHole, **fields: object) -> Stream:
        """O5: say that a hole was punched from the connection that says so."""
        sent = {
            "socket_addr": push.socket_addr,
            "id": self.id.encode(),
            "relay_server": push.relay_server,
            "nat_type": pb.ASYMMETRIC,
            "version": VERSION,
            **fields,
        }
        return self.answer(pb.RendezvousMessage(punch_hole_sent=pb.PunchHoleSent(**sent)))

    def answer_fetch(self, push: pb.FetchLocalAddr, **fields: object) -> Stream:
        """O7: give the local end of the connection; A's address is encoded anew."""
        stream = self.connect()
        a_address = decode_address(push.socket_addr)
        local = {
            "socket_addr": encode_address(a_address, time.time_ns() // 1000),
            "local_addr": encode_address(stream.address, time.time_ns() // 1000),
            "relay_server": push.relay_server,
            "id": self.id.encode(),
            "version": VERSION,
            **fields,
        }
        stream.send(pb.RendezvousMessage(local_addr=pb.LocalAddr(**local)))
        return stream

    def answer_with_relay(
        self, push: pb.PunchHole, relay_server: str, session: str, **fields: object
    ) -> Stream:
        """O8, B's own choice: meet me at *relay_server* in *session*."""
        response = {
            "socket_addr": push.socket_addr,
            "uuid": session.encode(),
            "relay_server": relay_server.encode(),
            "id": self.id.encode(),
            "version": VERSION,
            **fields,
        }
        return self._answer_relay(pb.RelayResponse(**response))

    def answer_relay_request(self, push: pb.RequestRelay, **fields: object) -> Stream:
        """O8, A's choice: coming."""
        response = {"socket_addr": push.socket_addr, "version": VERSION, **fields}
        return self._answer_relay(pb.RelayResponse(**response))

    def _answer_relay(self, response: pb.RelayResponse) -> Stream:
        return self.answer(pb.RendezvousMessage(relay_response=response))

    def answer(self, message: pb.RendezvousMessage) -> Stream:
        """Send *message* on a new connection."""
        stream = self.connect()
        stream.send(message)
        return stream

    def listen_like(self, stream: Stream) -> socket.socket:
        """O5's end: listen on the local port that *stream* came from."""
        local = stream.address
        stream.close()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((local.host, local.port))
        listener.listen()
        listener.settimeout(REPLY_S)
        return listener


class Controller:
    """
    A: asks for a device, and is told how to reach it.

    :param key: the server's public key as text, what a user configures.
    """

    def __init__(self, ports: Ports, key: str, host: str = "") -> None:
        self.ports = ports
        self.key = key
        self.host = host or fresh_host()

    def connect(self) -> Stream:
        """Open a new connection to TCP P."""
        return Stream(self.ports, self.ports.main, (self.host, 0))

    def punch(self, peer_id: str, stream: Stream | None = None, **fields: object) -> Stream:
        """O3: ask for the device; the answer comes on the stream returned."""
        stream = stream or self.connect()
        request = {
            "id": peer_id.encode(),
            "nat_type": pb.ASYMMETRIC,
            "licence_key": self.key.encode(),
            "version": VERSION,
            **fields,
        }
        stream.send(pb.RendezvousMessage(punch_hole_request=pb.PunchHoleRequest(**request)))
        return stream

    def request_relay(
        self, peer_id: str, session: str, relay_server: str, **fields: object
    ) -> Stream:
        """O4: ask the device to a relay, on a new connection as always."""
        stream = self.connect()
        request = {
            "id": peer_id.encode(),
            "uuid": session.encode(),
            "relay_server": relay_server.encode(),
            "secure": True,
            **fields,
        }
        stream.send(pb.RendezvousMessage(request_relay=pb.RequestRelay(**request)))
        return stream

    def proven_pk(self, signed: bytes, peer_id: str) -> bytes:
        """
        Return the device's public key out of a signed ``IdPk``, as A checks it.

        :raises AssertionError: it is not signed by the server, or names another device.
        """
        server_key = VerifyKey(b64decode(self.key))
        try:
            proof = pb.IdPk.FromString(server_key.verify(signed))
        except BadSignatureError as e:
            raise AssertionError("not signed by this server") from e
        if pb.text(proof.id) != peer_id or len(proof.pk) != 32:
            raise AssertionError(f"proof for {proof.id!r}, key of {len(proof.pk)} bytes")
        return proof.pk


def nat_test(ports: Ports, host: str, serial: int = SERIAL) -> list[pb.TestNatResponse]:
    """
    O9: ask P and then P-1 from the same local port; return both answers.

    One offer of a key exchange is skipped.
    """
    answers: list[pb.TestNatResponse] = []
    local_port = 0
    for port in (ports.main, ports.main - 1):
        stream = Stream(ports, port, (host, local_port))
        local_port = stream.address.port
        request = pb.TestNatRequest(serial=serial)
        stream.send(pb.RendezvousMessage(test_nat_request=request))
        answer = stream.receive()
        if answer is not None and answer.WhichOneof("union") == "key_exchange":
            answer = stream.receive()
        assert answer is not None, "closed without an answer"
        answers.append(answer.test_nat_response)
        stream.close()
    return answers


def online(ports: Ports, host: str, peers: list[str]) -> list[bool]:
    """O10: return which of *peers* are online."""
    stream = Stream(ports, ports.main - 1, (host, 0))
    request = pb.OnlineRequest(id=b"asker", peers=[peer.encode() for peer in peers])
    stream.send(pb.RendezvousMessage(online_request=request))
    answer = stream.receive()
    stream.close()
    assert answer is not None, "closed without an answer"
    states = answer.online_response.states
    return [bool(states[i // 8] & 0x80 >> i % 8) for i in range(len(peers))]
