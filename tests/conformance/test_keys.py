"""Statement 240: wrong keys."""

from __future__ import annotations

import hmac
from unittest.mock import patch

from rdserver.wire import pb
from tests.conformance.world import ServerTests
from tests.integration.relayed import join_relay, new_session
from tests.integration.sockets import Stream, fresh_host
from tests.rendezvous.fixture import ALICE, BOB_ID, KEY, STRANGER, RoomsTests

_FAILURE = pb.PunchHoleResponse


class GuessingTests(RoomsTests):
    def setUp(self) -> None:
        super().setUp()
        self.register()

    def refused(self, key: str) -> pb.PunchHoleResponse:
        stream = self.stream(ALICE)
        return self.refusal(self.punch(stream, licence_key=key.encode()), stream)

    def test_240_at_the_id_server(self) -> None:
        """After 20 wrong keys in a minute even the right one is told to wait, for 10 s."""
        for n in range(20):
            self.clock.advance(2.9)
            self.assertEqual(_FAILURE.LICENSE_MISMATCH, self.refused(f"{n}").failure)
        self.heartbeat()
        refusal = self.refused(KEY)
        self.assertIn(b"wait 10 seconds", refusal.other_failure)
        self.asked(self.stream(STRANGER))
        self.clock.advance(10)
        self.asked(self.stream(ALICE))

    def test_240_constant_time(self) -> None:
        """Keys are compared by what takes the same time for any two."""
        with patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
            self.refused("wrong")
        compare.assert_called_once_with(KEY.encode(), b"wrong")
        self.assertTrue(self.is_online(BOB_ID))


class RelayGuessingTests(ServerTests):
    options = ("--relay-auth=key",)

    def join(self, host: str, key: bytes) -> Stream:
        session = new_session()
        return self.keep(join_relay(self.ports, session, host, licence_key=key))

    def test_240_at_the_relay(self) -> None:
        """After 20 wrong keys the right one is closed too, of that address alone."""
        right = self.controller().key.encode()
        host = fresh_host()
        for n in range(20):
            self.assertTrue(self.join(host, b"wrong %d" % n).is_closed())
        self.assertTrue(self.join(host, right).is_closed())
        self.assertFalse(self.join(fresh_host(), right).is_closed(0.5))
