"""Tests for :mod:`rdserver.settings.kinds`."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

from twisted.trial.unittest import SynchronousTestCase

from rdserver.settings import kinds
from rdserver.settings.kinds import Kind, SelfTest


class KindCase(SynchronousTestCase):
    """Asserts about what a kind takes for what."""

    def assert_means(self, kind: Kind, meanings: dict[str, object]) -> None:
        self.assertEqual(meanings, {text: kind.parse(text) for text in meanings})

    def assert_refuses(self, kind: Kind, *texts: str) -> None:
        for text in texts:
            self.assertRaises(ValueError, kind.parse, text)


class NumberTests(KindCase):
    """Numbers within bounds."""

    def test_whole(self) -> None:
        """Both bounds belong to the range, and blanks around do not matter."""
        kind = kinds.whole(3, 10)
        self.assert_means(kind, {"3": 3, "10": 10, " 7\n": 7, "+7": 7, "007": 7})
        self.assert_refuses(kind, "2", "11", "-3", "99999999999999999999999")

    def test_whole_has_digits_only(self) -> None:
        """Python's liberties with numbers are not taken."""
        kind = kinds.whole(0, 1000)
        self.assert_refuses(kind, "", " ", "1_0", "1.0", "0x1", "1e2", "seven", "٣")

    def test_negative(self) -> None:
        """A range may reach below zero."""
        self.assert_means(kinds.whole(-5, 5), {"-5": -5})
        self.assert_refuses(kinds.whole(-5, 5), "-6")

    def test_number(self) -> None:
        """Fractions are taken, both bounds included."""
        kind = kinds.number(0.001, 1000)
        self.assert_means(
            kind, {"0.001": 0.001, "1000": 1000.0, " 1.5 ": 1.5, "1e2": 100.0}
        )
        self.assert_refuses(kind, "0", "0.0009", "1000.1", "-1", "", "fast")

    def test_number_is_finite(self) -> None:
        """Infinity and not-a-number are no values to calculate with."""
        self.assert_refuses(kinds.number(0, 1e300), "inf", "-inf", "nan", "1e400")

    def test_number_has_digits_only(self) -> None:
        """Points may stand anywhere; Python's other liberties are not taken."""
        kind = kinds.number(0, 1000)
        self.assert_means(kind, {".5": 0.5, "5.": 5.0, "+0.5": 0.5, "5E-1": 0.5})
        self.assert_refuses(kind, "1_0", "٣", "0x1", ".", "1,5", "e1")

    def test_bounds_are_told(self) -> None:
        """What is needed reads as a number that one could type."""
        self.assertEqual("a whole number from 3 to 65533", kinds.whole(3, 65533).needs)
        self.assertEqual(
            "a number from 0.001 to 1000000000", kinds.number(0.001, 1_000_000_000).needs
        )


class WordTests(KindCase):
    """Texts, words and switches."""

    def test_text(self) -> None:
        """Text is taken as it is, with its blanks."""
        self.assert_means(kinds.text(), {"": "", " a ": " a ", "ä": "ä"})

    def test_text_is_unicode(self) -> None:
        """Bytes that are not UTF-8 could not be sent to a client."""
        self.assert_refuses(kinds.text(), "\udcff")
        self.assert_refuses(kinds.items(), "a,\udcff")

    def test_path(self) -> None:
        """Any name but the empty one, also one that is not UTF-8."""
        self.assert_means(kinds.path(), {".": ".", "\udcff": "\udcff"})
        self.assert_refuses(kinds.path(), "", "a\0b")

    def test_items(self) -> None:
        """Blanks and empty items are dropped."""
        meanings = {"": (), " , ,": (), "a": ("a",), " a , b:1 ,,": ("a", "b:1")}
        self.assert_means(kinds.items(), dict(meanings))

    def test_choice(self) -> None:
        """Words of the list in any case, and no others."""
        kind = kinds.choice("all", "id", "relay")
        self.assert_means(kind, {"all": "all", " ID ": "id"})
        self.assert_refuses(kind, "", "both", "al")
        self.assertEqual("all, id or relay", kind.needs)

    def test_switch(self) -> None:
        """Ten words for on and off."""
        on = dict.fromkeys(("Y", "y", "yes", "TRUE", "1", "on"), True)
        off = dict.fromkeys(("N", "n", "no", "False", "0", "off"), False)
        self.assert_means(kinds.switch(), {**on, **off})
        self.assert_refuses(kinds.switch(), "", "2", "ja")

    def test_only_y(self) -> None:
        """The original turns on for Y alone; other words for on are not understood."""
        self.assert_means(kinds.only_y(), {"Y": True, "y": True, "N": False, "off": False})
        self.assert_refuses(kinds.only_y(), "yes", "true", "1", "on", "")


class AddressTests(KindCase):
    """Addresses and networks."""

    def test_interface(self) -> None:
        """An address of either family in its usual form; blank is all."""
        meanings = {"": "", " ": "", " 127.0.0.1": "127.0.0.1", "::": "::", "0:0::1": "::1"}
        self.assert_means(kinds.interface(), dict(meanings))
        self.assert_refuses(kinds.interface(), "localhost", "1.2.3", "1.2.3.4:5", "[::1]")

    def test_ipv4_network(self) -> None:
        """A network, an address in it with the prefix, or one address."""
        meanings = {
            "192.168.0.0/16": IPv4Network("192.168.0.0/16"),
            " 192.168.7.1/16 ": IPv4Network("192.168.0.0/16"),
            "10.1.2.3": IPv4Network("10.1.2.3/32"),
        }
        self.assert_means(kinds.ipv4_network(), dict(meanings))
        self.assert_refuses(kinds.ipv4_network(), "", "10.0.0.0/33", "fe80::/64", "lan")

    def test_networks(self) -> None:
        """Networks and addresses of both families, or none at all."""
        meanings = {
            "": (),
            "None": (),
            "10.1.2.3/8, ::1,": (ip_network("10.0.0.0/8"), ip_network("::1/128")),
        }
        self.assert_means(kinds.networks(), dict(meanings))
        self.assert_refuses(kinds.networks(), "proxy", "10.0.0.0/33", "none,::1", "1.2.3")

    def test_self_test(self) -> None:
        """No test, the own address, or a given one with its port."""
        meanings = {
            "": SelfTest(),
            "NO": SelfTest(enabled=False),
            "127.0.0.1:21116": SelfTest(target=("127.0.0.1", 21116)),
            "[::1]:65535": SelfTest(target=("::1", 65535)),
        }
        self.assert_means(kinds.self_test(), dict(meanings))

    def test_self_test_refusals(self) -> None:
        """An address without port, or with none that exists, cannot be asked."""
        self.assert_refuses(
            kinds.self_test(),
            "yes",
            "127.0.0.1",
            "localhost:1",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:x",
            "::1:21116",
            "[127.0.0.1]:1",
        )
