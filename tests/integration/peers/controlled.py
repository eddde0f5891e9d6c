"""B: registers in each mode, and answers by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from queue import Queue
from typing import Any, Protocol

from attrs import frozen
from nacl.signing import SigningKey

from rdserver.wire import pb
from tests.integration.peers.answers import Answers, Arrived, Repeats
from tests.integration.peers.doors import Doors
from tests.integration.peers.line import Line, secure
from tests.integration.peers.profile import Mode, Path, Profile
from tests.integration.peers.scope import Scope
from tests.integration.peers.session import TALK_S, talk
from tests.integration.process import Ports

_TICK_S = 0.05
READY_S = 20.0


class _Talk(Protocol):
    """How B talks to the ID server: a :class:`Line`, or a UDP socket."""

    def send(self, message: pb.RendezvousMessage) -> None: ...

    def receive(self, timeout_s: float) -> pb.RendezvousMessage | None: ...

    def close(self) -> None: ...


@frozen
class Served:
    """
    A session that B had with A.

    :ivar path: as B knows it: B cannot tell one way by TCP from another one.
    """

    path: Path
    is_encrypted: bool


class Controlled:
    """
    A device that is registered when this returns.

    :param size: how many bytes it sends and expects in a session.
    :ivar served: the sessions that went well.
    :raises AssertionError: the server refuses it, or does not answer in time.
    """

    def __init__(self, ports: Ports, profile: Profile, peer_id: str, size: int) -> None:
        self.id = peer_id
        self.served: Queue[Served] = Queue()
        self._profile = profile
        self._size = size
        self._doors = Doors(ports, profile)
        self._identity = SigningKey.generate()
        self._scope = Scope()
        self._result: int | None = None
        self._answered = threading.Event()
        answers = Answers(self._doors, peer_id, self._identity, self._serve, self._scope)
        holes, relays = Repeats(), Repeats()
        self._asked: dict[str | None, tuple[Callable[..., None], Repeats]] = {
            "punch_hole": (answers.punch, holes),
            "fetch_local_addr": (answers.fetch_local_addr, holes),
            "request_relay": (answers.request_relay, relays),
        }
        self._line: _Talk = self._scope.keep(self._connect())
        self._register()
        self._scope.start(self._run)
        if not self._answered.wait(READY_S) or self._result != pb.RegisterPkResponse.OK:
            self.close()
            raise AssertionError(f"{peer_id} is not registered: {self._result}")

    @property
    def errors(self) -> list[Exception]:
        """What went wrong, besides what the server may answer."""
        return self._scope.errors

    def _connect(self) -> _Talk:
        if self._profile.mode is Mode.UDP:
            return self._doors.udp()
        line = self._doors.main()
        if self._profile.mode is not Mode.WEBSOCKET:
            secure(line, self._profile.key, self._profile.timing.secure_s)
        return line

    def _register(self) -> None:
        request = pb.RegisterPk(
            id=self.id.encode(),
            uuid=b"machine-" + self.id.encode(),
            pk=bytes(self._identity.verify_key),
        )
        self._line.send(pb.RendezvousMessage(register_pk=request))

    def _run(self) -> None:
        heard_s = time.monotonic()
        while not self._scope.is_over.is_set():
            try:
                message = self._line.receive(_TICK_S)
            except TimeoutError:
                heard_s = self._beat(heard_s)
                continue
            if message is None:
                raise ConnectionError("the server closes what B registered on")
            heard_s = time.monotonic()
            self._take(message)

    def _beat(self, heard_s: float) -> float:
        """Say that B is there, if it is time and it registers by UDP."""
        is_time = time.monotonic() - heard_s > self._profile.timing.heartbeat_s
        if not is_time or self._profile.mode is not Mode.UDP:
            return heard_s
        beat = pb.RegisterPeer(id=self.id.encode(), serial=3)
        self._line.send(pb.RendezvousMessage(register_peer=beat))
        return time.monotonic()

    def _take(self, message: pb.RendezvousMessage) -> None:
        kind = message.WhichOneof("union")
        if kind is None and isinstance(self._line, Line):
            self._line.echo()
        elif kind == "register_pk_response":
            self._result = message.register_pk_response.result
            self._answered.set()
        elif kind == "register_peer_response" and message.register_peer_response.request_pk:
            self._register()
        elif kind in self._asked:
            self._answer(getattr(message, kind), *self._asked[kind])

    def _answer(self, push: Any, answer: Callable[..., None], repeats: Repeats) -> None:
        if not repeats.is_repeat(push.socket_addr):
            self._scope.start(partial(answer, push))

    def _serve(self, arrived: Arrived) -> None:
        line = arrived.line
        try:
            if arrived.greeting is not None:
                answer = line.hear(TALK_S)
                if answer is None:
                    return  # A took another way
                arrived.greeting.agree(line, answer)
            talk(line, self._size)
            self.served.put(Served(arrived.path, line.channel is not None))
        finally:
            line.close()

    def close(self) -> None:
        """End all that is open."""
        self._scope.close()
