"""Tests for :mod:`rdserver.rendezvous.admission`, and for what signs A's answers."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent

from rdserver.key_watch import KeyEvent
from rdserver.keys import KeyPair
from rdserver.rendezvous.events import Event
from rdserver.wire import pb
from rdserver.wire.address import Address
from tests.rendezvous.fixture import (
    ALICE,
    BOB_ID,
    BOB_TCP,
    KEY,
    PAIR,
    PK,
    STRANGER,
    RoomsTests,
    proven,
)

OLD = KeyPair.generate()
OLD_KEY = OLD.public_text.encode()
VERSION = {"version": b"1.4.9"}


class KeyTests(RoomsTests):
    def setUp(self) -> None:
        self.furnish(old_pairs=(OLD,))
        self.register()

    def relayed(self, licence_key: bytes, alice: Address = ALICE) -> bytes:
        """Punch, ask for a relay on another connection; return the proof that comes."""
        self.asked(self.stream(alice), licence_key=licence_key)
        return self.relay_proof(alice)

    def relay_proof(self, alice: Address = ALICE) -> bytes:
        """Ask for a relay; return the proof that comes."""
        waiting, bob = self.stream(alice), self.stream(BOB_TCP)
        request = self.pushed(self.ask_relay(waiting), "request_relay")
        fields = {"socket_addr": request.socket_addr, "id": BOB_ID.encode(), **VERSION}
        return self.answer(self.relay_response(bob, **fields), waiting, bob).pk


class OldKeyTests(KeyTests):
    """A client that still has a key of former times."""

    def test_punch(self) -> None:
        """What it is told of B is signed with the key that it has."""
        for key, pair in ((OLD_KEY, OLD), (KEY.encode(), PAIR)):
            waiting, bob = self.stream(), self.stream(BOB_TCP)
            hole = self.asked(waiting, licence_key=key)
            effects = self.hole(hole.socket_addr, bob, **VERSION)
            proof = self.answer(effects, waiting, bob).pk
            self.assertEqual((BOB_ID, PK), proven(proof, pair))

    def test_local_addr(self) -> None:
        """So it is where A and B share a network."""
        waiting, bob = self.stream(BOB_TCP._replace(port=7)), self.stream(BOB_TCP)
        effects = self.punch(waiting, licence_key=OLD_KEY)
        fetch = self.pushed(effects, "fetch_local_addr")
        effects = self.local(fetch.socket_addr, bob, **VERSION)
        proof = self.answer(effects, waiting, bob).pk
        self.assertEqual((BOB_ID, PK), proven(proof, OLD))

    def test_same_connection_another_key(self) -> None:
        """The key of its last request counts."""
        waiting, bob = self.stream(), self.stream(BOB_TCP)
        self.asked(waiting, licence_key=OLD_KEY)
        hole = self.asked(waiting)
        effects = self.hole(hole.socket_addr, bob, **VERSION)
        self.assertEqual((BOB_ID, PK), proven(self.answer(effects, waiting, bob).pk))

    def test_relay(self) -> None:
        """A relay request, which shows no key, has the one of the punch before it."""
        self.assertEqual((BOB_ID, PK), proven(self.relayed(OLD_KEY), OLD))
        self.assertEqual((BOB_ID, PK), proven(self.relayed(KEY.encode())))
        self.assertEqual((BOB_ID, PK), proven(self.relayed(OLD_KEY, STRANGER), OLD))
        self.assertEqual((BOB_ID, PK), proven(self.relay_proof()))

    def test_relay_where_no_key_is_asked_for(self) -> None:
        """Who never punched is answered with the key in force, who did with its own."""
        self.furnish(required_key="", old_pairs=(OLD,))
        self.register()
        self.assertEqual((BOB_ID, PK), proven(self.relay_proof()))
        self.assertEqual((BOB_ID, PK), proven(self.relayed(OLD_KEY), OLD))

    def test_noted(self) -> None:
        """It is counted, the log names it once, the console shows how many there are."""
        with capturedLogs() as events:
            for _ in range(3):
                self.asked(self.stream(), licence_key=OLD_KEY)
            self.asked(self.stream(STRANGER))
        name = OLD.public_text[:8]
        line = f"ID server: {ALICE.host} still has the old key {name}"
        self.assertEqual([line], [formatEvent(event) for event in events])
        self.assertEqual(3, self.rooms.keys.notices.counts[KeyEvent.OLD_KEY])
        self.notices.count(Event.HANDSHAKE_GIVEN_UP)
        shown = (
            f"{name}: 1 addresses in the last day, last used 0s ago\n"
            "key exchanges given up since the start: 1\n"
        )
        self.assertEqual(shown, self.console("old-keys"))

    def test_sweep(self) -> None:
        """After a day it is forgotten."""
        self.asked(self.stream(), licence_key=OLD_KEY)
        self.clock.advance(86_400)
        self.sweep()
        self.assertIn(": 0 addresses", self.console("old-keys"))


class PenaltyTests(KeyTests):
    """An address that presents wrong keys."""

    def refused(self, alice: Address = ALICE, **fields: Any) -> pb.PunchHoleResponse:
        """Punch; return the refusal."""
        stream = self.stream(alice)
        refusal = self.refusal(self.punch(stream, **fields), stream)
        self.assertEqual(b"", refusal.socket_addr)
        return refusal

    def guess(self, times: int = 20) -> None:
        """Present wrong keys; each is answered as one."""
        for n in range(times):
            refusal = self.refused(licence_key=f"guess {n}".encode())
            self.assertEqual(
                (pb.PunchHoleResponse.LICENSE_MISMATCH, b""),
                (refusal.failure, refusal.other_failure),
            )

    def test_penalty(self) -> None:
        """After twenty it is told to wait, with the right key or a wrong one."""
        self.guess()
        self.clock.advance(2.5)
        for key in (KEY.encode(), b"guess"):
            text = self.refused(licence_key=key).other_failure.decode()
            self.assertEqual(
                "Too many wrong keys came from your network: wait 8 seconds", text
            )
        self.assertEqual(20, self.notices.counts[Event.BAD_KEY])
        self.asked(self.stream(STRANGER))
        self.clock.advance(7.5)
        self.asked(self.stream())

    def test_not_compared(self) -> None:
        """During a penalty no key is noted, be it wrong or old."""
        self.guess()
        self.refused(licence_key=OLD_KEY)
        self.assertIn("0 addresses", self.console("old-keys"))
        self.clock.advance(10)
        self.guess()
        shown = self.console(f"key-failures {ALICE.host}")
        self.assertIn("penalty 2, refused for 20s", shown)

    def test_lifted(self) -> None:
        """An operator can end it."""
        self.guess()
        self.console(f"key-failures {ALICE.host} -")
        self.asked(self.stream())

    def test_right_keys(self) -> None:
        """Right keys, old ones too, are never counted as failures."""
        for _ in range(30):
            self.asked(self.stream())
            self.asked(self.stream(), licence_key=OLD_KEY)
            self.clock.advance(1)
        self.assertEqual("0\n", self.console("key-failures"))

    def test_no_key(self) -> None:
        """Where no key is asked for none is wrong."""
        self.furnish(required_key="")
        self.register()
        for _ in range(30):
            self.asked(self.stream(), licence_key=b"whatever")
        self.assertEqual("0\n", self.console("key-failures"))

    def test_sweep(self) -> None:
        """After an hour it is forgotten."""
        self.guess()
        self.clock.advance(3600)
        self.sweep()
        self.assertEqual(0, len(self.rooms.keys.penalties))
