"""Puts the ID server's decisions together.  Opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from attrs import frozen

from rdserver.admin.device_commands import device_commands
from rdserver.admin.id_commands import id_commands
from rdserver.admin.key_commands import key_commands
from rdserver.key_watch import KeyWatch
from rdserver.notices import Notices
from rdserver.presence.memory import MemoryPresence
from rdserver.rendezvous.access import AccessPolicy, AllowAll
from rdserver.rendezvous.admission import Admission
from rdserver.rendezvous.controlling import Controlling
from rdserver.rendezvous.core import Decisions, Rendezvous
from rdserver.rendezvous.devices import Devices
from rdserver.rendezvous.directory import Directory
from rdserver.rendezvous.effects import Effects
from rdserver.rendezvous.enrolment import Enrolment
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.heartbeats import Heartbeats
from rdserver.rendezvous.http_proxying import Api, HttpProxying
from rdserver.rendezvous.id_change import IdChange
from rdserver.rendezvous.identity import Identity
from rdserver.rendezvous.introductions import Introductions
from rdserver.rendezvous.journal import AddressChanges, PunchLog
from rdserver.rendezvous.limits import RateLimit, RegistrationLimit
from rdserver.rendezvous.pair_memory import PairMemory
from rdserver.rendezvous.pending import PendingTable
from rdserver.rendezvous.punch import Punching
from rdserver.rendezvous.queries import NatTest, OnlineQuery
from rdserver.rendezvous.registration import Registration
from rdserver.rendezvous.relaying import Relaying
from rdserver.rendezvous.routing import Lan, Relays
from rdserver.rendezvous.slices import in_slices
from rdserver.rendezvous.switch_grants import AfterGrants, SwitchGrants
from rdserver.rendezvous.updates import ServerList, Software
from rdserver.storage.interface import PeerStore

# Datagrams longer than what they answer, to one address: its sender may be forged.
# A client's NAT test sends some twenty in two seconds; many may share an address.
_LONG_ANSWER_BURST = 200.0
_LONG_ANSWERS_PER_S = 100.0


@frozen(kw_only=True)
class Surroundings:
    """
    What decisions take from the world.

    :ivar now: monotonic clock, in seconds.
    :ivar wall: wall clock, in seconds since 1970.
    :ivar random32: returns 32 unpredictable bits.
    :ivar new_guid: returns 16 random bytes.
    """

    now: Callable[[], float]
    wall: Callable[[], float]
    random32: Callable[[], int]
    new_guid: Callable[[], bytes]


@frozen(kw_only=True)
class Choices:
    """What the operator decides; see the settings of the same names, and the console."""

    lan: Lan
    relay_servers: tuple[str, ...] = ()
    always_use_relay: bool = False
    serial: int = 0
    rendezvous_servers: tuple[str, ...] = ()
    software_url: str = ""
    keep_alive_s: int = 0
    needs_approval: bool = False
    banned: Collection[str] = ()


class IdRooms:
    """
    All decisions of one ID server, wired.

    :param announce: told each relay session's uuid before the peers are.
    :param perform: closes connections of devices that are not welcome any more.
    :param access: decides who may reach whom; without it everybody may.
    :param api: the HTTP API, if there is one.
    :ivar core: the doors for messages.
    :ivar commands: the console's commands by name.
    :ivar heartbeats: what needs no door.
    :ivar grants: invitations to switch sides; they count where there is a policy.
    :ivar keys: wrong and old keys.
    :ivar relays: for the health check.
    """

    def __init__(
        self,
        *,
        choices: Choices,
        identity: Identity,
        store: PeerStore,
        announce: Callable[[str], None],
        notices: Notices[Event],
        world: Surroundings,
        access: AccessPolicy | None = None,
        api: Api | None = None,
        perform: Callable[[Effects], None] = lambda _effects: None,
    ) -> None:
        self._choices = choices
        self._store = store
        self._notices = notices
        self._world = world
        self._api = api
        self.grants = SwitchGrants(world.now)
        self._access = AllowAll() if access is None else AfterGrants(access, self.grants)
        self._banned = set(choices.banned)
        self._busy: set[str] = set()
        self.keys = KeyWatch("ID server", identity.old_keys, world.now)
        self._enrolment = Enrolment(choices.needs_approval, notices, world.now)
        self.presence = MemoryPresence(world.now)
        self.relays = Relays(choices.relay_servers, choices.always_use_relay)
        self._directory = Directory(self.presence, store, notices, world.now)
        self._limit = RegistrationLimit(world.now)
        self._changes = AddressChanges(world.now)
        self._punches = PunchLog(world.wall)
        self._answers = RateLimit(world.now, _LONG_ANSWER_BURST, _LONG_ANSWERS_PER_S)
        self._servers = ServerList(
            choices.serial, choices.rendezvous_servers, self._answers
        )
        self._introductions = self._introduce(identity)
        registration = self._register()
        self.heartbeats = Heartbeats(
            self.presence, self._servers, self._directory, registration.accept
        )
        self.core = Rendezvous(self._decisions(registration, announce))
        self.commands = {
            **id_commands(self.relays, self._limit, self._changes, self._punches),
            **device_commands(self._devices(perform)),
            **key_commands(
                self.keys, lambda: notices.counts[Event.HANDSHAKE_GIVEN_UP]
            ),
        }

    def _introduce(self, identity: Identity) -> Introductions:
        return Introductions(
            presence=self.presence,
            directory=self._directory,
            admission=Admission(identity, self.keys, self._notices),
            pending=PendingTable(self._world.now, self._world.random32),
            pairs=PairMemory(self._world.now),
            relays=self.relays,
            lan=self._choices.lan,
            access=self._access,
            banned=self._banned,
            notices=self._notices,
            random32=self._world.random32,
        )

    def _register(self) -> Registration:
        return Registration(
            presence=self.presence,
            directory=self._directory,
            store=self._store,
            limit=self._limit,
            changes=self._changes,
            servers=self._servers,
            notices=self._notices,
            now=self._world.now,
            new_guid=self._world.new_guid,
            enrolment=self._enrolment,
            banned=self._banned,
            busy=self._busy,
            keep_alive_s=self._choices.keep_alive_s,
        )

    def _change_ids(self) -> IdChange:
        return IdChange(
            presence=self.presence,
            directory=self._directory,
            store=self._store,
            limit=self._limit,
            banned=self._banned,
            busy=self._busy,
            notices=self._notices,
        )

    def _devices(self, perform: Callable[[Effects], None]) -> Devices:
        return Devices(
            presence=self.presence,
            store=self._store,
            enrolment=self._enrolment,
            banned=self._banned,
            busy=self._busy,
            new_guid=self._world.new_guid,
            perform=perform,
        )

    def _decisions(
        self, registration: Registration, announce: Callable[[str], None]
    ) -> Decisions:
        return Decisions(
            presence=self.presence,
            registration=registration,
            id_change=self._change_ids(),
            punching=Punching(self._introductions, self._punches),
            relaying=Relaying(self._introductions, announce),
            nat_test=NatTest(self._servers, self._answers),
            online=OnlineQuery(self.presence, self._access),
            controlling=Controlling(self._introductions),
            http_proxying=HttpProxying(self._api, self._notices),
            servers=self._servers,
            software=Software(self._choices.software_url, self._answers),
            pending=self._introductions.pending,
        )

    def sweep(self) -> Iterator[None]:
        """Forget what is too old, everywhere, a slice with each step of the result."""
        yield from self.presence.sweep()
        for table in (
            self._directory,
            self._limit,
            self._changes,
            self._answers,
            self._enrolment,
            self.grants,
            self._introductions.pairs,
            self._introductions.pending,
        ):
            yield from table.sweep()
            yield
        yield from in_slices(self.keys.forget_old())
