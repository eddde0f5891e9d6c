"""Tests for :mod:`rdserver.rendezvous.events`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.events import shown


class ShownTests(SynchronousTestCase):
    def test_ids(self) -> None:
        """What devices are really called is shown as it is, letters of all scripts too."""
        for peer_id in ("123456789", "desk_top-1", "(:test_hbbs:)", "büro-東京", "x" * 100):
            self.assertEqual(peer_id, shown(peer_id))

    def test_one_word(self) -> None:
        """Blanks and control characters of all kinds are not."""
        for odd in " \t\n\r\0\x1b\x7f\x85\xa0\u2028\u3000\u200b\u202e":
            self.assertEqual("a?b", shown(f"a{odd}b"), repr(odd))

    def test_long(self) -> None:
        """An id of 60 KB is cut to 100 characters."""
        self.assertEqual("x" * 100, shown("x" * 60_000))
        self.assertEqual("x" * 100, shown("x" * 101))
