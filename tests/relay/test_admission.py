"""Who has the key."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.admission import KeyCheck, RelayAuth


def fitting(check: KeyCheck, presented: bytes) -> bool:
    """Return whether a client that presents such a key comes in."""
    return not check.asks(presented) or check.find(presented) is not None


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
            check = KeyCheck(auth, key)
            self.assertEqual(fits, fitting(check, presented), (auth, presented))

    def test_key_that_is_no_ascii(self) -> None:
        """Any text can be a key, and any bytes can be presented."""
        check = KeyCheck(RelayAuth.KEY, "schlüssel")
        self.assertTrue(fitting(check, "schlüssel".encode()))
        self.assertFalse(fitting(check, b"\xff\x00"))

    def test_old_keys(self) -> None:
        """An old key is as good as the one in force, and has a name."""
        for auth in (RelayAuth.KEY, RelayAuth.TICKET):
            check = KeyCheck(auth, "k", ["0123456789", "ab"])
            presented = (b"0123456789", b"ab", b"k", b"01234567", b"x")
            found = [check.find(key) for key in presented]
            self.assertEqual(["01234567", "ab", "", None, None], found)
            self.assertEqual([auth is RelayAuth.KEY, True], [*map(check.asks, (b"", b"x"))])
            self.assertEqual(("0123456789", "ab"), check.old_keys)

    def test_old_keys_where_none_is_asked_for(self) -> None:
        """Where everybody may come in old keys are not looked at."""
        for auth, key in ((RelayAuth.OPEN, "k"), (RelayAuth.TICKET, "")):
            check = KeyCheck(auth, key, ["old"])
            self.assertEqual(((), False), (check.old_keys, check.asks(b"old")))

    def test_key_without_a_key(self) -> None:
        """A missing key never means that everybody may come in."""
        self.assertRaises(ValueError, KeyCheck, RelayAuth.KEY, "")

    def test_names(self) -> None:
        """The names are those of the setting."""
        self.assertEqual(["ticket", "key", "open"], [str(auth) for auth in RelayAuth])
