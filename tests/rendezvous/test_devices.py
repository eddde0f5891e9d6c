"""Tests for enrolment, bans and what an operator does with devices, by the console."""

from __future__ import annotations

from hashlib import sha256

from attrs import evolve

from rdserver.rendezvous.effects import Answer, Close, Keep
from rdserver.rendezvous.enrolment import KEPT_S, MAX_APPLICANTS, MAX_PER_ADDRESS
from rdserver.rendezvous.events import Event
from rdserver.rendezvous.stream_state import Happening
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    ALICE,
    BOB,
    BOB_ID,
    BOB_TCP,
    KEY,
    OTHER_PK,
    PK,
    STRANGER,
    UUID,
    RoomsTests,
    result_name,
)

OTHER_ID = "234567890"


def machine(uuid: bytes) -> str:
    """Return what the console calls a machine."""
    return sha256(uuid).hexdigest()[:16]


class ApprovalTests(RoomsTests):
    """With enrolment approve, who is stored may be here."""

    def setUp(self) -> None:
        self.furnish(needs_approval=True)

    def test_unknown(self) -> None:
        """An unknown device is not deployed, and not stored; it waits."""
        self.assertEqual("NOT_DEPLOYED", self.register())
        self.assertIsNone(self.stored())
        self.assertEqual(
            f"{BOB_ID} waiting {BOB.host} machine {machine(UUID)}\n",
            self.console("devices waiting"),
        )
        self.assertEqual(1, self.notices.counts[Event.NOT_DEPLOYED])

    def test_log(self) -> None:
        """The log tells once how to let it in."""
        for _ in range(3):
            self.register()
        expected = "wants to join, and waits for: rustdesk-utils admin id approve"
        self.assertEqual([f"{BOB_ID} at {BOB.host} {expected}"], self.lines())

    def test_stored(self) -> None:
        """A device that was stored before is approved."""
        self.furnish()
        self.register()
        self.furnish(store=self.store, needs_approval=True)
        self.assertFalse(self.heartbeat())
        self.assertEqual("OK", self.register())

    def test_approved(self) -> None:
        """One that waits and is approved joins; nobody else gets its id."""
        self.register()
        self.assertEqual(f"{BOB_ID} may join\n", self.console(f"approve {BOB_ID}"))
        self.assertEqual("none\n", self.console("devices waiting"))
        self.assertEqual("UUID_MISMATCH", self.register(uuid=b"thief"))
        self.assertEqual("OK", self.register())
        self.assertTrue(self.is_online())

    def test_approved_before_it_asks(self) -> None:
        """An id that nobody asked for goes to the first machine that does."""
        self.console(f"approve {BOB_ID}")
        self.assertEqual(f"{BOB_ID} offline - free\n", self.console("devices"))
        self.assertEqual("OK", self.register())
        self.assertEqual("UUID_MISMATCH", self.register(uuid=b"late"))
        stored = self.stored()
        self.assertEqual((UUID, PK), stored and (stored.uuid, stored.pk))

    def test_two_machines(self) -> None:
        """Of two that wait under one id the operator chooses."""
        self.register()
        self.register(uuid=b"second", origin=STRANGER)
        answer = self.console(f"approve {BOB_ID}")
        self.assertIn(machine(UUID), answer)
        self.assertIn(machine(b"second"), answer)
        self.assertIn("no machine 2 waits", self.console(f"approve {BOB_ID} 2"))
        self.assertIsNone(self.stored())
        self.register()  # the order of those who wait does not matter
        self.console(f"approve {BOB_ID} {machine(b'second')}")
        self.assertEqual("UUID_MISMATCH", self.register())
        self.assertEqual("OK", self.register(uuid=b"second", origin=STRANGER))

    def test_twice(self) -> None:
        """Who is approved is not approved again."""
        self.console(f"approve {BOB_ID}")
        self.assertIn("approved already", self.console(f"approve {BOB_ID}"))

    def test_unlisted(self) -> None:
        """A device that is not to be listed must be approved all the same."""
        fields = {"id": BOB_ID.encode(), "uuid": UUID, "pk": PK, "no_register_device": True}
        effects = self.effects(self.datagram("register_pk", fields, BOB))
        self.assertEqual("NOT_DEPLOYED", result_name(effects))


class ApplicantTests(RoomsTests):
    def setUp(self) -> None:
        self.furnish(needs_approval=True)

    def test_one_address(self) -> None:
        """One address has so many places, and pushes out its own, those of others never."""
        self.register(origin=STRANGER)
        for n in range(MAX_PER_ADDRESS + 5):
            self.clock.advance(61)
            self.register(f"invented-{n}")
        waiting = self.rooms._enrolment.waiting()
        self.assertEqual(MAX_PER_ADDRESS + 1, len(waiting))
        self.assertEqual(STRANGER, waiting[0].claim.origin)
        self.assertEqual("invented-5", waiting[1].claim.peer_id)
        self.clock.advance(61)
        self.register()
        self.assertEqual(BOB_ID, self.rooms._enrolment.waiting()[-1].claim.peer_id)

    def test_many_addresses(self) -> None:
        """There are so many places in all; the one not heard of longest goes."""
        for n in range(MAX_APPLICANTS + 3):
            self.register(f"device-{n}", Address(f"10.0.{n >> 8}.{n & 255}", 5))
        waiting = self.rooms._enrolment.waiting()
        self.assertEqual(MAX_APPLICANTS, len(waiting))
        self.assertEqual("device-3", waiting[0].claim.peer_id)

    def test_forgotten(self) -> None:
        """Who has given up is forgotten; who asks again is not."""
        self.register()
        self.clock.advance(KEPT_S - 1)
        self.register(OTHER_ID)
        self.clock.advance(1)
        self.sweep()
        self.assertEqual([OTHER_ID], [a.claim.peer_id for a in self._waiting()])
        self.clock.advance(KEPT_S)
        self.sweep()
        self.assertEqual({}, self.rooms._enrolment._per_address)

    def _waiting(self) -> list[object]:
        return self.rooms._enrolment.waiting()


class BanTests(RoomsTests):
    def setUp(self) -> None:
        super().setUp()
        self.register()

    def test_banned(self) -> None:
        """A banned device is offline, cannot come back, and nobody is led to it."""
        self.assertEqual(f"{BOB_ID} is banned\n", self.console(f"ban {BOB_ID}"))
        self.assertFalse(self.is_online())
        self.assertTrue(self.heartbeat())
        self.assertEqual("NOT_DEPLOYED", self.register())
        self.assertFalse(self.is_online())
        refusal = self.refusal(self.punch(stream := self.stream()), stream)
        self.assertEqual(b"This device is disabled on the ID server", refusal.other_failure)

    def test_relay(self) -> None:
        """No relay is asked for either."""
        self.asked(self.stream())
        self.console(f"ban {BOB_ID}")
        stream = self.stream()
        refusal = self.refusal(self.ask_relay(stream), stream)
        self.assertIn(b"disabled", refusal.refuse_reason)

    def test_expected_heartbeat(self) -> None:
        """The heartbeat that is known by its bytes is not known any more."""
        self.rooms.heartbeats.learn(
            b"key", pb.encode(pb.RendezvousMessage(register_peer={"id": b"123456789"})), BOB
        )
        self.assertEqual(1, self.rooms.heartbeats.recognise([b"key"], 0))
        self.console(f"ban {BOB_ID}")
        self.assertEqual(0, self.rooms.heartbeats.recognise([b"key"], 0))

    def test_connection(self) -> None:
        """The connection of a banned device is closed."""
        stream = self.stream(BOB_TCP)
        fields = {"id": BOB_ID.encode(), "uuid": UUID, "pk": PK}
        _answer, keep = self.effects(self.frame("register_pk", fields, stream))
        self.assertEqual(Keep(stream.id, Happening.REGISTRATION), keep)
        self.console(f"ban {BOB_ID}")
        self.assertEqual([Close(stream.id)], self.performed)

    def test_after_a_restart(self) -> None:
        """A ban is kept; an id that no device has can be banned too."""
        self.console(f"ban {OTHER_ID}")
        banned = self.result_of(self.store.bans())
        self.furnish(store=self.store, banned=banned)
        self.assertEqual("NOT_DEPLOYED", self.register(OTHER_ID))

    def test_answer_afterwards(self) -> None:
        """B's answer comes too late: A is told, and the relay is not."""
        for command, text in (("ban", "disabled"), ("release", "offline")):
            self.setUp()
            for answer in (self.hole, self.relay_response):
                self.register()
                alice, sender = self.stream(), self.stream(BOB_TCP)
                hole = self.asked(alice)
                self.console(f"{command} {BOB_ID}")
                fields = {"id": BOB_ID.encode(), "uuid": b"session"}
                if answer == self.hole:
                    effects = self.hole(hole.socket_addr, sender)
                else:
                    fields["socket_addr"] = hole.socket_addr
                    effects = self.relay_response(sender, **fields)
                response = self.answer(effects, alice, sender)
                self.assertIn(text, response.other_failure.decode())
                self.assertEqual(b"", response.socket_addr)
                self.console(f"unban {BOB_ID}")
            self.assertEqual([], self.announced)

    def test_unban(self) -> None:
        """An id that is free again serves as before."""
        self.console(f"ban {BOB_ID}")
        self.assertIn("banned", self.console("devices"))
        self.assertEqual(
            f"{BOB_ID} is not banned any more\n", self.console(f"unban {BOB_ID}")
        )
        self.assertEqual("OK", self.register())
        self.assertIn("is not banned", self.console(f"unban {BOB_ID}"))


class ReleaseTests(RoomsTests):
    def test_release(self) -> None:
        """The next machine gets the id, and keeps it; the row is the same."""
        self.register()
        before = self.stored()
        self.console(f"release {BOB_ID}")
        self.assertFalse(self.is_online())
        self.assertEqual("OK", self.register(uuid=b"new machine", pk=OTHER_PK))
        self.assertEqual("UUID_MISMATCH", self.register())
        after = self.stored()
        assert before is not None
        self.assertEqual(evolve(before, uuid=b"new machine", pk=OTHER_PK), after)

    def test_unknown(self) -> None:
        """An id that nobody has cannot be released."""
        answer = self.console(f"release {BOB_ID}")
        self.assertEqual(f"there is no device {BOB_ID}\n", answer)


class RenameTests(RoomsTests):
    def setUp(self) -> None:
        super().setUp()
        self.register()

    def test_rename(self) -> None:
        """The row has the new id; the old one is unknown."""
        self.assertIn("--set-id newname", self.console(f"rename {BOB_ID} newname"))
        self.assertIsNone(self.stored())
        self.assertEqual("OK", self.register("newname"))
        refusal = self.refusal(self.punch(stream := self.stream()), stream)
        self.assertEqual(pb.PunchHoleResponse.ID_NOT_EXIST, refusal.failure)

    def test_refused(self) -> None:
        """Bad ids, unknown ones and those of others are refused with a sentence."""
        self.register("taken-1", uuid=b"another", origin=STRANGER)
        self.console("ban banned-1")
        for words, text in (
            (f"{BOB_ID} taken-1", "belongs to another"),
            (f"{BOB_ID} banned-1", "is banned"),
            (f"{BOB_ID} 1abcdef", "is no id"),
            ("nobody-1 newname", "there is no device"),
            (BOB_ID, "usage: rename"),
        ):
            self.assertIn(text, self.console(f"rename {words}"))
        self.assertIsNotNone(self.stored())


class ListTests(RoomsTests):
    def test_pages(self) -> None:
        """Devices come by id, so many, from the one named on."""
        for n in range(5):
            self.register(f"device-{n}")
            self.clock.advance(40)
        self.assertEqual(5, len(self.console("devices").splitlines()))
        self.assertEqual(
            f"device-3 offline {BOB.host}\ndevice-4 offline {BOB.host}\n",
            self.console("devices device-2"),
        )
        self.assertEqual(f"device-0 offline {BOB.host}\n", self.console("devices  1"))
        self.assertIn("usage: devices", self.console("devices x y"))

    def test_broken_database(self) -> None:
        """What fails is told."""
        self.store.failing = {"page"}
        self.assertEqual("the disk is full\n", self.console("devices"))


class ChangeTests(RoomsTests):
    """The device itself wants another id."""

    def setUp(self) -> None:
        super().setUp()
        self.register()

    def change(self, new_id: str, uuid: bytes = UUID, old_id: str = BOB_ID) -> str:
        """Ask for *new_id*; return the result."""
        stream = self.stream(BOB_TCP)
        fields = {"id": new_id.encode(), "uuid": uuid, "old_id": old_id.encode()}
        effects = self.effects(self.frame("register_pk", fields, stream))
        answer, close = effects
        assert isinstance(answer, Answer)
        self.assertEqual(Close(stream.id), close)
        result = answer.message.register_pk_response.result
        return pb.RegisterPkResponse.Result.Name(result)

    def test_renamed(self) -> None:
        """A free id is given to the row, which stays the same."""
        before = self.stored()
        self.assertEqual("OK", self.change("my-laptop"))
        assert before is not None
        self.assertEqual(evolve(before, id="my-laptop"), self.stored("my-laptop"))
        self.assertIsNone(self.stored())

    def test_availability(self) -> None:
        """Whether an id is free is answered without a device; one's own is."""
        self.assertEqual("OK", self.change("my-laptop", old_id="nobody-1"))
        self.assertIsNone(self.stored("my-laptop"))
        self.assertEqual("OK", self.change("my-laptop"))
        self.assertEqual("OK", self.change("my-laptop", old_id="my-laptop"))

    def test_at_the_same_time(self) -> None:
        """Of two that want one id at the same time exactly one gets it."""
        self.register(OTHER_ID, uuid=b"another", origin=STRANGER)
        self.store.holding = True
        outcomes = []
        for old_id, uuid in ((BOB_ID, UUID), (OTHER_ID, b"another")):
            fields = {"id": b"my-laptop", "uuid": uuid, "old_id": old_id.encode()}
            outcome = self.frame("register_pk", fields, self.stream(BOB_TCP))
            outcomes.append(self.begin(outcome))
        while self.store.held:
            self.store.give()
        results = [
            effects[0].message.register_pk_response.result
            for effects in map(self.successResultOf, outcomes)
        ]
        self.assertEqual(
            [pb.RegisterPkResponse.OK, pb.RegisterPkResponse.TOO_FREQUENT], results
        )
        stored = self.stored("my-laptop")
        self.assertEqual(UUID, stored and stored.uuid)

    def test_while_it_registers(self) -> None:
        """A device that registers at this moment must ask again; so must an operator."""
        self.store.holding = True
        registering = self.begin(self.claim(pk=OTHER_PK))
        self.store.holding = False
        self.assertEqual("TOO_FREQUENT", self.change("my-laptop"))
        for command in ("release", "approve"):
            self.assertIn("try again", self.console(f"{command} {BOB_ID}"))
        self.assertIn("try again", self.console(f"rename {BOB_ID} my-laptop"))
        self.store.give()
        self.assertEqual("OK", result_name(list(self.successResultOf(registering))))
        self.assertEqual("OK", self.change("my-laptop"))

    def test_banned_while_it_registers(self) -> None:
        """A device that is banned while it is being stored is refused."""
        self.store.holding = True
        registering = self.begin(self.claim(pk=OTHER_PK))
        self.console(f"ban {BOB_ID}")
        self.store.give()
        result = result_name(list(self.successResultOf(registering)))
        self.assertEqual("NOT_DEPLOYED", result)
        self.assertFalse(self.is_online())

    def test_free(self) -> None:
        """An id that was released, or approved for nobody yet, may be taken."""
        self.register("released", uuid=b"another", origin=STRANGER)
        self.console("release released")
        self.console("approve approved")
        for new_id in ("released", "approved"):
            self.assertEqual("OK", self.change(new_id))
            self.assertEqual("OK", self.register(new_id))
            self.clock.advance(10)

    def test_refusals(self) -> None:
        """Foreign and banned ids, no uuid, a broken database, too often."""
        self.register(OTHER_ID, uuid=b"another", origin=STRANGER)
        self.console("ban banned-1")
        self.assertEqual("INVALID_ID_FORMAT", self.change(OTHER_ID))
        self.assertEqual("SERVER_ERROR", self.change("my-laptop", uuid=b""))
        self.assertEqual("NOT_DEPLOYED", self.change("banned-1"))
        self.assertEqual("UUID_MISMATCH", self.change("my-laptop", old_id=OTHER_ID))
        self.store.failing = {"save"}
        self.assertEqual("SERVER_ERROR", self.change("my-laptop"))
        for _ in range(40):
            last = self.change("my-laptop")
        self.assertEqual("TOO_FREQUENT", last)

    def test_by_datagram(self) -> None:
        """By UDP it is ignored."""
        fields = {"id": b"my-laptop", "uuid": UUID, "old_id": BOB_ID.encode()}
        self.assertEqual([], self.effects(self.datagram("register_pk", fields, BOB)))

    def test_connection_that_is_held(self) -> None:
        """The device goes on with its connection, and registers there again."""
        stream = self.stream(BOB_TCP)
        fields = {"id": BOB_ID.encode(), "uuid": UUID, "pk": PK}
        self.effects(self.frame("register_pk", fields, stream))
        self.assertEqual("OK", self.change("my-laptop"))
        self.assertFalse(self.is_online())
        self.effects(self.frame("register_pk", {**fields, "id": b"my-laptop"}, stream))
        self.assertTrue(self.is_online("my-laptop"))


class UnlistedTests(RoomsTests):
    """Devices that are not to be in the list (no_register_device)."""

    def setUp(self) -> None:
        super().setUp()
        self.unlisted()

    def unlisted(self, **changed: object) -> str | None:
        fields = {
            "id": BOB_ID.encode(),
            "uuid": UUID,
            "pk": PK,
            "no_register_device": True,
            **changed,
        }
        return result_name(self.effects(self.datagram("register_pk", fields, BOB)))

    def test_reachable(self) -> None:
        """It is reachable, and not stored."""
        self.assertTrue(self.is_online())
        self.assertTrue(self.asked(self.stream(ALICE), licence_key=KEY.encode()))
        self.assertIsNone(self.stored())
        self.assertEqual("none\n", self.console("devices"))

    def test_owner(self) -> None:
        """While it is known nobody else gets its id; a new key does not store it."""
        self.assertEqual("UUID_MISMATCH", self.register(uuid=b"another"))
        self.assertEqual("OK", self.unlisted(pk=OTHER_PK))
        self.assertIsNone(self.stored())

    def test_listed_later(self) -> None:
        """Without the flag it is stored like any other."""
        self.assertEqual("OK", self.register(pk=OTHER_PK))
        stored = self.stored()
        self.assertEqual((16, OTHER_PK), stored and (len(stored.guid), stored.pk))

    def test_not_for_others(self) -> None:
        """No other device is given its id by the operator."""
        self.register("another-1", uuid=b"another", origin=STRANGER)
        for command in (f"approve {BOB_ID}", "rename another-1 unlisted"):
            self.unlisted(id=b"unlisted")
            self.assertIn("asked not to be listed", self.console(command))

    def test_other_id(self) -> None:
        """Its id may change like any other."""
        fields = {"id": b"my-laptop", "uuid": UUID, "old_id": BOB_ID.encode()}
        self.effects(self.frame("register_pk", fields, self.stream(BOB_TCP)))
        self.assertFalse(self.is_online())
        self.assertEqual("OK", self.unlisted(id=b"my-laptop"))
        self.assertTrue(self.is_online("my-laptop"))
