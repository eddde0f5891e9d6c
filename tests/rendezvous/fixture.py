"""
An ID server without edges: messages in, effects out, on a clock of our own.

Every message goes through the wire's encoding both ways, so what a test asks with is
what a client could send, and what it sees is what a client would be sent.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, TypeVar

from nacl.signing import SigningKey, VerifyKey
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import StorageError
from rdserver.id_rooms import Choices, IdRooms, Surroundings
from rdserver.keys import KeyPair
from rdserver.notices import Notices
from rdserver.rendezvous.access import ALLOWED, AccessPolicy, AccessRequest, Door, Judged
from rdserver.rendezvous.effects import (
    Answer,
    Close,
    Effect,
    Keep,
    Outcome,
    Send,
    Stream,
)
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.identity import Credential, Identity
from rdserver.rendezvous.routing import Lan
from rdserver.storage.interface import StoredPeer
from rdserver.storage.memory import MemoryPeerStore
from rdserver.wire import pb
from rdserver.wire.address import Address

T = TypeVar("T")
Message = pb.RendezvousMessage

WALL_S = 1_700_000_000.0
"""The wall clock when a test begins: 2023-11-14T22:13:20Z."""

_SEED = bytes(range(32))
PAIR = KeyPair(_SEED + bytes(SigningKey(_SEED).verify_key))
KEY = PAIR.public_text

ALICE = Address("198.51.100.10", 40000)
"""Where A connects from."""
BOB = Address("203.0.113.20", 50000)
"""Where B's datagrams come from."""
BOB_TCP = Address("203.0.113.20", 50001)
"""Where B's answers come from."""
STRANGER = Address("192.0.2.66", 6666)

JUDGED = Judged(AccessRequest(door=Door.PUNCH, host=ALICE.host), ALLOWED)
"""What everybody is told where there is no access policy."""

SHOWN = Credential(PAIR)
"""What a client has shown that has the key."""

BOB_ID = "123456789"
UUID = b"uuid-0001"
PK = bytes(range(0x40, 0x60))
OTHER_PK = bytes(range(0x80, 0xA0))


class FakeStore(MemoryPeerStore):
    """
    A store that can be slow, or broken.

    :ivar asked: ``find <id>`` and ``save <id>``, as they were asked for.
    :ivar failing: which of ``find``, ``save`` and ``page`` fail.
    :ivar holding: whether answers wait for :meth:`give`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.failing: set[str] = set()
        self.holding = False
        self._held: list[Callable[[], None]] = []

    def find(self, peer_id: str) -> Deferred[StoredPeer | None]:
        return self._do("find", peer_id, lambda: super(FakeStore, self).find(peer_id))

    def save(self, peer: StoredPeer) -> Deferred[None]:
        return self._do("save", peer.id, lambda: super(FakeStore, self).save(peer))

    def page(self, after: str, count: int) -> Deferred[list[StoredPeer]]:
        return self._do("page", after, lambda: super(FakeStore, self).page(after, count))

    def give(self, index: int = 0) -> None:
        """Do the work of one held request, the oldest by default, and answer it."""
        self._held.pop(index)()

    @property
    def held(self) -> int:
        """How many answers wait."""
        return len(self._held)

    def _do(self, name: str, peer_id: str, work: Callable[[], Deferred[T]]) -> Deferred[T]:
        self.asked.append(f"{name} {peer_id}")
        if name in self.failing:
            return fail(StorageError("the disk is full"))
        if not self.holding:
            return work()
        answer: Deferred[T] = Deferred()
        self._held.append(lambda: work().chainDeferred(answer))
        return answer


class CountingPair:
    """A key pair that counts its signatures."""

    def __init__(self) -> None:
        self.signed = 0

    def sign_id_pk(self, peer_id: str, pk: bytes) -> bytes:
        self.signed += 1
        return PAIR.sign_id_pk(peer_id, pk)


class RoomsTests(SynchronousTestCase):
    """
    Base of the tests of an ID server's decisions.

    :ivar clock: all its time; :meth:`furnish` starts over with a new server.
    :ivar announced: the uuids that the relay was told.
    :ivar performed: effects of console commands.
    """

    def setUp(self) -> None:
        self.furnish()

    def furnish(
        self,
        *,
        store: FakeStore | None = None,
        required_key: str = KEY,
        pair: Any = PAIR,
        old_pairs: tuple[KeyPair, ...] = (),
        lan: Lan | None = None,
        access: AccessPolicy | None = None,
        api: Any = None,
        **choices: Any,
    ) -> None:
        """Start a server with an empty memory; by default an empty database too."""
        self.clock = Clock()
        self.clock.advance(1000)
        self.store = store or FakeStore()
        self.announced: list[str] = []
        self.performed: list[Effect] = []
        self.events: list[dict[str, Any]] = []
        self.notices = Notices(
            Logger("test", observer=self.events.append), Event, self.clock.seconds
        )
        rng = random.Random(1)
        self._stream_ids = count(1)
        self.rooms = IdRooms(
            choices=Choices(lan=lan or Lan(None, ""), **choices),
            identity=Identity(required_key, pair, old_pairs),
            store=self.store,
            announce=self.announced.append,
            notices=self.notices,
            world=Surroundings(
                now=self.clock.seconds,
                wall=lambda: WALL_S + self.clock.seconds() - 1000,
                random32=lambda: rng.getrandbits(32),
                new_guid=lambda: rng.randbytes(16),
            ),
            access=access,
            api=api,
            perform=self.performed.extend,
        )
        self.core = self.rooms.core

    # Asking, and what comes of it.

    def begin(self, outcome: Outcome) -> Deferred[list[Effect]]:
        """Begin a decision that may wait for the database."""
        if isinstance(outcome, (tuple, list)):
            done: Deferred[Any] = Deferred()
            done.callback(outcome)
        else:
            done = Deferred.fromCoroutine(outcome)  # type: ignore[arg-type]
        return done.addCallback(list)

    def effects(self, outcome: Outcome) -> list[Effect]:
        """Return what a decision, made by now, asks for; its messages as read by others."""
        decided = self.begin(outcome) if not isinstance(outcome, Deferred) else outcome
        return [_as_read(effect) for effect in self.successResultOf(decided)]

    def datagram(self, member: str, fields: Any, origin: Address) -> Outcome:
        """Put one datagram to the server."""
        return self.core.datagram(_message(member, fields), origin)

    def frame(self, member: str, fields: Any, stream: Stream) -> Outcome:
        """Put one frame on TCP P to the server."""
        return self.core.main_frame(_message(member, fields), stream)

    def nat_frame(self, member: str, fields: Any, stream: Stream) -> Outcome:
        """Put one frame on TCP P-1 to the server."""
        return self.core.nat_frame(_message(member, fields), stream)

    def stream(self, address: Address = ALICE, websocket: bool = False) -> Stream:
        """Return a new connection."""
        return Stream(next(self._stream_ids), address, websocket)

    def console(self, command: str) -> str:
        """Return what the console answers."""
        name, *words = command.split(" ")
        answer = self.rooms.commands[name](words)
        if isinstance(answer, str):
            return answer
        return self.successResultOf(Deferred.fromCoroutine(answer))

    def lines(self) -> list[str]:
        """Return what was logged since the last call."""
        lines = [formatEvent(event) for event in self.events]
        self.events.clear()
        return lines

    def result_of(self, awaitable: Awaitable[T]) -> T:
        """Return what the store answers."""
        return self.successResultOf(awaitable)

    # What devices do.

    def heartbeat(
        self, peer_id: str = BOB_ID, origin: Address = BOB, serial: int = 3
    ) -> bool | None:
        """Send a RegisterPeer; return whether RegisterPk is asked for, None: no answer."""
        fields = {"id": peer_id.encode(), "serial": serial}
        effects = self.effects(self.datagram("register_peer", fields, origin))
        if not effects:
            return None
        self.assertEqual(origin, self.sent(effects[0]).to)
        self.assertEqual("register_peer_response", kind(effects[0]))
        return effects[0].message.register_peer_response.request_pk

    def claim(
        self,
        peer_id: str = BOB_ID,
        origin: Address = BOB,
        uuid: bytes = UUID,
        pk: bytes = PK,
    ) -> Outcome:
        """Send a RegisterPk."""
        fields = {"id": peer_id.encode(), "uuid": uuid, "pk": pk}
        return self.datagram("register_pk", fields, origin)

    def register(self, *args: Any, **fields: Any) -> str | None:
        """Send a RegisterPk as :meth:`claim` does; return the result, None: no answer."""
        return result_name(self.effects(self.claim(*args, **fields)))

    def is_online(self, peer_id: str = BOB_ID) -> bool:
        """Ask the server on P-1 whether a device is online."""
        fields = {"id": b"asker", "peers": [peer_id.encode()]}
        answer, _close = self.effects(
            self.nat_frame("online_request", fields, self.stream(STRANGER))
        )
        return answer.message.online_response.states == b"\x80"

    def sweep(self) -> None:
        """Do a whole sweep at once."""
        for _slice in self.rooms.sweep():
            pass

    def stored(self, peer_id: str = BOB_ID) -> StoredPeer | None:
        """Return what the database holds."""
        return self.result_of(MemoryPeerStore.find(self.store, peer_id))

    # What A does, and B's answers.

    def punch(self, stream: Stream, peer_id: str = BOB_ID, **fields: Any) -> list[Effect]:
        """Send a PunchHoleRequest with the right key."""
        request = {"id": peer_id.encode(), "licence_key": KEY.encode(), **fields}
        return self.effects(self.frame("punch_hole_request", request, stream))

    def pushed(self, effects: list[Effect], member: str, to: Address = BOB) -> Any:
        """Return the only message, which must be a push of *member* to B."""
        [push] = effects
        self.assertEqual((to, member), (self.sent(push).to, kind(push)))
        return getattr(push.message, member)

    def asked(self, stream: Stream, **fields: Any) -> pb.PunchHole:
        """Punch, and return what B is pushed."""
        return self.pushed(self.punch(stream, **fields), "punch_hole")

    def hole(self, disguise: bytes, sender: Stream, **fields: Any) -> list[Effect]:
        """Send B's PunchHoleSent."""
        sent = {"socket_addr": disguise, "id": BOB_ID.encode(), **fields}
        return self.effects(self.frame("punch_hole_sent", sent, sender))

    def local(self, disguise: bytes, sender: Stream, **fields: Any) -> list[Effect]:
        """Send B's LocalAddr."""
        local = {"socket_addr": disguise, "id": BOB_ID.encode(), **fields}
        return self.effects(self.frame("local_addr", local, sender))

    def ask_relay(self, stream: Stream, **fields: Any) -> list[Effect]:
        """Send A's RequestRelay."""
        request = {"id": BOB_ID.encode(), "uuid": b"session-1", **fields}
        return self.effects(self.frame("request_relay", request, stream))

    def relay_response(self, sender: Stream, **fields: Any) -> list[Effect]:
        """Send B's RelayResponse."""
        return self.effects(self.frame("relay_response", fields, sender))

    def answer(self, effects: list[Effect], waiting: Stream, sender: Stream) -> Any:
        """Return what A gets, which must be all that happens but closing B's connection."""
        answer, close = effects
        self.assertEqual(Close(sender.id), close)
        assert isinstance(answer, Answer), answer
        self.assertEqual(waiting.id, answer.stream)
        return getattr(answer.message, kind(answer))

    def refusal(self, effects: list[Effect], stream: Stream) -> Any:
        """Return what A gets, which must be all that happens."""
        [answer] = effects
        assert isinstance(answer, Answer), answer
        self.assertEqual(stream.id, answer.stream)
        return getattr(answer.message, kind(answer))

    def sent(self, effect: Effect) -> Send:
        assert isinstance(effect, Send), effect
        return effect


def kind(effect: Effect) -> str:
    """Return which message an effect sends."""
    assert not isinstance(effect, (Close, Keep)), effect
    return effect.message.WhichOneof("union")


def result_name(effects: list[Effect]) -> str | None:
    """Return the result in the only effect, which answers a RegisterPk; None: no effect."""
    if not effects:
        return None
    [send] = effects
    assert isinstance(send, Send), send
    number = send.message.register_pk_response.result
    return pb.RegisterPkResponse.Result.Name(number)


def proven(signed: bytes, pair: KeyPair = PAIR) -> tuple[str, bytes]:
    """Return id and key of a device from what the server's key, or an old one, signed."""
    proof = pb.IdPk.FromString(VerifyKey(pair.public).verify(signed))
    return proof.id.decode(), proof.pk


def _message(member: str, fields: Any) -> Message:
    return pb.decode(pb.encode(Message(**{member: fields})))


def _as_read(effect: Effect) -> Effect:
    if isinstance(effect, (Close, Keep)):
        return effect
    return type(effect)(*_target(effect), pb.decode(pb.encode(effect.message)))


def _target(effect: Send | Answer) -> tuple[Any]:
    return (effect.to,) if isinstance(effect, Send) else (effect.stream,)
