"""Who has the key."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.admission import KeyCheck, RelayAuth


class KeyCheckTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Each way of choosing with and without a key of its own and of the client."""
        for auth, key, presented, fits in [
            (RelayAuth.KEY, "k", b"k", True),
            (RelayAuth.KEY, "k", b"", False),
            (RelayAuth.KEY, "k", b"K", False),
            (RelayAuth.TICKET, "k", b"k", True),
            (RelayAuth.TICKET, "k", b"", True),
            (RelayAuth.TICKET, "k", b"x", False),
            (RelayAuth.TICKET, "", b"x", True),
            (RelayAuth.OPEN, "", b"", True),
            (RelayAuth.OPEN, "", b"x", True),
            (RelayAuth.OPEN, "k", b"k", True),
            (RelayAuth.OPEN, "k", b"", True),
        ]:
            self.assertEqual(fits, KeyCheck(auth, key).fits(presented), (auth, presented))

    def test_key_that_is_no_ascii(self) -> None:
        """Any text can be a key, and any bytes can be presented."""
        check = KeyCheck(RelayAuth.KEY, "schlüssel")
        self.assertTrue(check.fits("schlüssel".encode()))
        self.assertFalse(check.fits(b"\xff\x00"))

    def test_key_without_a_key(self) -> None:
        """A missing key never means that everybody may come in."""
        self.assertRaises(ValueError, KeyCheck, RelayAuth.KEY, "")

    def test_names(self) -> None:
        """The names are those of the setting."""
        self.assertEqual(["ticket", "key", "open"], [str(auth) for auth in RelayAuth])
