"""Tests for :mod:`rdserver.rendezvous.access_rules`."""

from __future__ import annotations

import fnmatch
from ipaddress import ip_network
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous.access import ALLOWED, NO_USERS, AccessRequest, Door, Verdict
from rdserver.rendezvous.access_rules import AccessRules, Rule

HOST = "192.0.2.1"


def rule(patterns: str, networks: str = "", *, says: str = "no") -> Rule:
    """Return a rule with lists separated by blanks; without networks it is for all."""
    sources = frozenset(map(ip_network, networks.split())) if networks else None
    return Rule(tuple(patterns.split()), sources, Verdict(refusal=says))


def request(peer_id: str, host: str = HOST, door: Door = Door.PUNCH) -> AccessRequest:
    return AccessRequest(door=door, host=host, peer_id=peer_id)


class RulesCase(SynchronousTestCase):
    def refusal(self, rules: AccessRules, peer_id: str, host: str = HOST) -> str:
        """Return what an asker is told; nothing if it is allowed."""
        return rules.decide(request(peer_id, host)).refusal


class PatternTests(RulesCase):
    """Which ids a pattern means."""

    def assert_fits(self, pattern: str, *peer_ids: str) -> None:
        rules = AccessRules([rule(pattern)])
        for peer_id in peer_ids:
            self.assertEqual("no", self.refusal(rules, peer_id), (pattern, peer_id))

    def assert_no_fit(self, pattern: str, *peer_ids: str) -> None:
        rules = AccessRules([rule(pattern)])
        for peer_id in peer_ids:
            self.assertEqual("", self.refusal(rules, peer_id), (pattern, peer_id))

    def test_literal(self) -> None:
        """Without wildcards it is that id alone, and case counts."""
        self.assert_fits("Server-1", "Server-1")
        self.assert_no_fit("Server-1", "server-1", "Server-12", "Server-", "", "xServer-1")

    def test_end(self) -> None:
        """A star at the end is any text, also none."""
        self.assert_fits("12345*", "12345", "123456", "12345 \n")
        self.assert_no_fit("12345*", "1234", "012345")
        self.assert_fits("*", "", "123456", "\n")

    def test_anywhere(self) -> None:
        """So is one elsewhere, or several."""
        self.assert_fits("*-srv", "-srv", "a-srv", "a-srv-srv")
        self.assert_no_fit("*-srv", "a-srv1", "a-srv\n", "srv")
        self.assert_fits("a*b*c", "abc", "a1b2c", "abcbc", "a\nbc")
        self.assert_no_fit("a*b*c", "ac", "acb", "abcd")

    def test_one_character(self) -> None:
        """A question mark is one character, whichever."""
        self.assert_fits("site-??", "site-01", "site-\u00e4b")
        self.assert_no_fit("site-??", "site-1", "site-012")
        self.assert_fits("?*9", "19", "1239")
        self.assert_no_fit("?*9", "9")

    def test_nothing_else_is_special(self) -> None:
        """Characters that mean something to other programs mean themselves."""
        for text in ("[ab]", "a.c", "a+", "(a|b)", "\\d", "[!x]", "{a}", "^a$"):
            self.assert_fits(text, text)
            self.assert_fits(f"?{text}*", f"x{text}y")
            self.assert_no_fit(f"?{text}*", "xay", "xabc", "x1")

    def test_many_stars(self) -> None:
        """A pattern that could be tried in very many ways is decided all the same."""
        self.assert_no_fit("*a" * 40 + "b", "a" * 100)

    def test_long_id(self) -> None:
        """Of an id that no device can have only the beginning counts."""
        self.assert_fits("a*", "a" * 60_000)
        self.assert_no_fit("*b", "a" * 60_000 + "b")


class SourceTests(RulesCase):
    """Which askers a rule means."""

    def assert_from(self, networks: str, inside: str, outside: str) -> None:
        rules = AccessRules([rule("*", networks)])
        for host in inside.split():
            self.assertEqual("no", self.refusal(rules, "123456", host), host)
        for host in outside.split():
            self.assertEqual("", self.refusal(rules, "123456", host), host)

    def test_networks(self) -> None:
        """Networks and addresses of both families."""
        self.assert_from("10.0.0.0/8", "10.0.0.0 10.255.255.255", "11.0.0.0 9.9.9.9 ::1")
        self.assert_from("192.0.2.7", "192.0.2.7", "192.0.2.8 192.0.2.6")
        self.assert_from("2001:db8::/32", "2001:db8::1 2001:db8:ffff::", "2001:db9::1")
        self.assert_from("0.0.0.0/0", "192.0.2.1", "::1")
        self.assert_from("::/0", "::1 fe80::1", "192.0.2.1")

    def test_several(self) -> None:
        """One of several is enough."""
        self.assert_from("10.0.0.0/8 ::1 10.1.0.0/16", "10.1.2.3 10.2.0.1 ::1", "::2")

    def test_spellings(self) -> None:
        """An IPv4 network in the form of IPv6, and addresses with a zone."""
        self.assert_from("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3")
        self.assert_from("fe80::/10", "fe80::1%eth0", "2001:db8::1%eth0")

    def test_no_address(self) -> None:
        """Who has no address that can be read is in no network, but somewhere."""
        rules = AccessRules([rule("a", "0.0.0.0/0 ::/0", says="net"), rule("a b")])
        for host in ("", "proxy", "10.1", "fe80::1%" + "x" * 100):
            self.assertEqual("no", self.refusal(rules, "a", host))

    def test_remembered(self) -> None:
        """What is remembered of askers is bounded."""
        rules = AccessRules([rule("*", "10.0.0.0/8")])
        for number in range(3000):
            self.refusal(rules, "a", f"10.0.{number >> 8}.{number & 255}")
            self.refusal(rules, "a", f"fe80::1%{number:0100}")
        self.assertLess(rules._sources._remembered.cache_info().currsize, 3000)


class OrderTests(RulesCase):
    """Of several rules that fit the first decides."""

    def test_first(self) -> None:
        """Wherever it is in the index: by id, beginning, wildcard, network."""
        kinds = [
            rule("123456", says="id"),
            rule("1234*", says="begins"),
            rule("*3*", says="inside"),
            rule("*", "192.0.2.0/24", says="network"),
            rule("*", says="all"),
        ]
        for turn in range(len(kinds)):
            rules = AccessRules(kinds[turn:] + kinds[:turn])
            self.assertEqual(kinds[turn].verdict.refusal, self.refusal(rules, "123456"))

    def test_default(self) -> None:
        """Where none fits the default decides; of itself it allows."""
        self.assertIs(ALLOWED, AccessRules().decide(request("123456")))
        rules = AccessRules([rule("1*", says="one")], Verdict(refusal="default"))
        self.assertEqual("default", self.refusal(rules, "2"))
        self.assertEqual("one", self.refusal(rules, "1"))

    def test_verdict(self) -> None:
        """All of the rule's verdict counts, not only whether it allows."""
        verdict = Verdict(permissions=6)
        rules = AccessRules([Rule(("1*",), None, verdict)], Verdict(refusal="default"))
        self.assertIs(verdict, rules.decide(request("1")))

    def test_like_one_after_the_other(self) -> None:
        """Whatever the rules, the answer is that of trying each in its turn."""
        random = Random(7)
        networks = ("", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16 2001:db8::/32")
        hosts = ("10.1.0.1", "10.2.0.1", "2001:db8::1", "192.0.2.1")
        for _ in range(300):
            rules = [
                rule(self.word(random, "ab*?") + " " + self.word(random, "ab*"), some)
                for some in random.choices(networks, k=random.randint(1, 8))
            ]
            peer_id, host = self.word(random, "ab"), random.choice(hosts)
            fitting = [n for n, one in enumerate(rules) if self.fits(one, peer_id, host)]
            numbered = [
                Rule(one.patterns, one.networks, Verdict(refusal=str(n)))
                for n, one in enumerate(rules)
            ]
            expected = str(fitting[0]) if fitting else ""
            self.assertEqual(expected, self.refusal(AccessRules(numbered), peer_id, host))

    def word(self, random: Random, letters: str) -> str:
        return "".join(random.choices(letters, k=random.randint(1, 5)))

    def fits(self, one: Rule, peer_id: str, host: str) -> bool:
        if one.networks is not None:
            address = ip_network(host)
            if not any(
                network.version == address.version and address.subnet_of(network)
                for network in one.networks
            ):
                return False
        return any(fnmatch.fnmatchcase(peer_id, pattern) for pattern in one.patterns)


class DoorTests(RulesCase):
    def test_doors(self) -> None:
        """One answer at every door."""
        rules = AccessRules([rule("1*")])
        for door in (Door.PUNCH, Door.RELAY, Door.ONLINE, Door.TICKET):
            self.assertEqual("no", rules.decide(request("1", door=door)).refusal)
            self.assertEqual("", rules.decide(request("2", door=door)).refusal)

    def test_control(self) -> None:
        """Nobody is signed in, so nobody holds a connection while controlling."""
        rules = AccessRules([], ALLOWED)
        self.assertIs(NO_USERS, rules.decide(request("", door=Door.CONTROL)))


class CostTests(RulesCase):
    def test_few_are_tried(self) -> None:
        """Of ten thousand rules those are tried that begin as the id, for that network."""
        rules = AccessRules(
            [rule(f"{number}*", f"10.{number % 256}.0.0/16") for number in range(10_000)]
        )
        self.assertEqual("no", self.refusal(rules, "98765", "10.219.0.1"))
        tried = [
            number
            for source in rules._sources.of("10.219.0.1")
            for entries in rules._candidates(source, "98765")
            for number, _fits in entries
        ]
        self.assertEqual([987], tried)

    def test_networks_are_shared(self) -> None:
        """Rules for the same networks do not make the look-up longer."""
        rules = AccessRules([rule(f"{n}*", "10.0.0.0/8 10.1.0.0/16") for n in range(1000)])
        self.assertEqual(2, len(rules._sources.of("10.1.0.1")))
