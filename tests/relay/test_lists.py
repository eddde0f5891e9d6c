"""Lists of addresses and networks."""

from __future__ import annotations

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rdserver.relay.lists import AddressList


class AddressListTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.list = AddressList("blacklist")

    def load(self, text: str) -> list[str]:
        """Load *text*; return the warnings' texts."""
        with capturedLogs() as events:
            self.list.load(text)
        return [str(event["entries"]) for event in events]

    def test_empty(self) -> None:
        """An empty list matches nobody."""
        self.assertFalse(self.list.matches("1.2.3.4"))
        self.assertEqual([], list(self.list))

    def test_addresses(self) -> None:
        """A listed address matches, its neighbour does not."""
        self.list.add("1.2.3.4")
        self.list.add("2001:db8::1")
        for host, listed in [
            ("1.2.3.4", True),
            ("1.2.3.5", False),
            ("2001:db8::1", True),
            ("2001:db8::2", False),
        ]:
            self.assertEqual(listed, self.list.matches(host), host)

    def test_spelling(self) -> None:
        """Addresses are compared by meaning and shown as they were given."""
        self.list.add("2001:DB8:0::1")
        self.list.add("::ffff:1.2.3.4")
        self.assertTrue(self.list.matches("2001:db8::1"))
        self.assertTrue(self.list.matches("1.2.3.4"))
        self.assertTrue(self.list.is_listed("2001:db8:0:0::1"))
        self.assertEqual(["2001:DB8:0::1", "::ffff:1.2.3.4"], list(self.list))
        self.list.remove("2001:db8::1")
        self.list.remove("1.2.3.4")
        self.assertEqual([], list(self.list))

    def test_networks(self) -> None:
        """A network holds its first and last address, and no other."""
        self.list.add("10.1.0.0/16")
        self.list.add("10.9.8.7/30")
        self.list.add("2001:db8::/32")
        self.list.add("::ffff:172.16.0.0/108")
        for host, listed in [
            ("10.1.0.0", True),
            ("10.1.255.255", True),
            ("10.2.0.0", False),
            ("10.9.8.4", True),
            ("10.9.8.8", False),
            ("2001:db8:ffff::1", True),
            ("2001:db9::", False),
            ("172.31.255.255", True),
            ("172.32.0.0", False),
            ("not an address", False),
        ]:
            self.assertEqual(listed, self.list.matches(host), host)

    def test_everybody(self) -> None:
        """A prefix of no bits is all of one family."""
        self.list.add("0.0.0.0/0")
        self.assertTrue(self.list.matches("8.8.8.8"))
        self.assertFalse(self.list.matches("2001:db8::1"))

    def test_zone(self) -> None:
        """The zone of a link-local address is not looked at."""
        self.list.add("fe80::1%eth0")
        self.assertTrue(self.list.matches("fe80::1%eth1"))
        self.assertTrue(self.list.matches("fe80::1"))

    def test_remove_networks(self) -> None:
        """A network is removed by itself, not by one of its addresses."""
        self.list.add("10.1.0.0/16")
        self.list.add("10.2.0.0/16")
        self.list.remove("10.1.2.3")
        self.list.remove("10.9.0.0/16")
        self.list.remove("10.9.0.0/17")
        self.list.remove("nonsense")
        self.assertEqual(["10.1.0.0/16", "10.2.0.0/16"], list(self.list))
        self.list.remove("10.1.77.0/16")
        self.assertEqual(["10.2.0.0/16"], list(self.list))
        self.list.remove("10.2.0.0/16")
        self.assertEqual({}, self.list._networks)

    def test_is_listed(self) -> None:
        """An address is listed also by its network, a network only itself."""
        self.list.add("10.1.0.0/16")
        for entry, listed in [
            ("10.1.2.3", True),
            ("10.1.0.0/16", True),
            ("10.1.2.0/24", False),
            ("10.2.2.3", False),
            ("nonsense", False),
        ]:
            self.assertEqual(listed, self.list.is_listed(entry), entry)

    def test_clear(self) -> None:
        """Nothing is left after a clear."""
        self.list.load("1.2.3.4\n10.0.0.0/8")
        self.list.clear()
        self.assertEqual([], list(self.list))
        self.assertFalse(self.list.matches("10.0.0.1"))

    def test_file(self) -> None:
        """Of each line the text before the first space counts; empty lines do not."""
        warnings = self.load("1.2.3.4 some comment\r\n\n  5.6.7.8\n# note\n10.0.0.0/8 x")
        self.assertEqual(["1.2.3.4", "5.6.7.8", "10.0.0.0/8"], list(self.list))
        self.assertEqual([], warnings)

    def test_bad_entries(self) -> None:
        """What is no address stays out; one line says so, with the first few."""
        warnings = self.load(
            "1.2.3\n1.2.3.4\n10.0.0.0/33\nhost\na\nb\nc\n::ffff:1.2.3.4/95"
        )
        self.assertEqual(["1.2.3.4"], list(self.list))
        self.assertEqual(["['1.2.3', '10.0.0.0/33', 'host', 'a', 'b']"], warnings)

    def test_bad_entry_added(self) -> None:
        """An entry that cannot be read is not added, with a warning."""
        with capturedLogs() as events:
            self.list.add("nonsense")
        self.assertEqual(([], 1), (list(self.list), len(events)))
