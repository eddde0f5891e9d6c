"""Tests for :mod:`rdserver.rendezvous.access_lines`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.rendezvous import access_lines
from rdserver.rendezvous.access import ALLOWED, AccessRequest, Door, Verdict
from rdserver.rendezvous.access_lines import (
    DEFAULT_REFUSAL,
    MAX_COSTLY,
    MAX_REFUSAL_CHARS,
    MAX_RULES,
    PERMISSIONS,
    read_rules,
)

EXAMPLE = """\
# The first rule that fits decides.
allow  12345*              from 10.0.0.0/8, 192.168.0.0/16
allow  12345*              from any   with keyboard=off file=off
deny   server-*,*-server   from any   "Ask the helpdesk, #7, for access"   # a comment

allow  printer             from 2001:db8::/32,192.0.2.7
deny   printer
"""


class LinesCase(SynchronousTestCase):
    def decide(self, text: str, peer_id: str, host: str = "198.51.100.1") -> Verdict:
        request = AccessRequest(door=Door.PUNCH, host=host, peer_id=peer_id)
        return read_rules(text).decide(request)

    def refusal(self, text: str) -> str:
        """Return what is wrong with *text*."""
        return str(self.assertRaises(ValueError, read_rules, text))


class MeaningTests(LinesCase):
    """What a file says is what is decided."""

    def test_example(self) -> None:
        """Rules, lists, comments and empty lines."""
        for peer_id, host, expected in (
            ("123456", "192.168.0.1", ALLOWED),
            ("123456", "198.51.100.1", Verdict(permissions=0b01_000001)),
            ("server-1", "10.0.0.1", Verdict(refusal="Ask the helpdesk, #7, for access")),
            ("1-server", "::1", Verdict(refusal="Ask the helpdesk, #7, for access")),
            ("printer", "192.0.2.7", ALLOWED),
            ("printer", "192.0.2.8", Verdict(refusal=DEFAULT_REFUSAL)),
            ("987654", "192.0.2.8", ALLOWED),
        ):
            self.assertEqual(expected, self.decide(EXAMPLE, peer_id, host))
        self.assertEqual(5, len(read_rules(EXAMPLE)))

    def test_empty(self) -> None:
        """Without rules everything is allowed."""
        for text in ("", "\n\n", "# nothing", "  # nothing\r\n\t\r\n"):
            self.assertEqual((0, ALLOWED), (len(read_rules(text)), self.decide(text, "1")))

    def test_default(self) -> None:
        """The default may stand anywhere, and be a refusal with a text."""
        for text, expected in (
            ("default allow", ALLOWED),
            ("default deny\nallow 1*", Verdict(refusal=DEFAULT_REFUSAL)),
            ('allow 1*\ndefault deny "Sorry"', Verdict(refusal="Sorry")),
        ):
            self.assertEqual(expected, self.decide(text, "2"))
        self.assertEqual(ALLOWED, self.decide("default deny\nallow 1*", "1"))

    def test_line_ends(self) -> None:
        """Line ends of Windows, and a last line without one, are fine."""
        text = "deny 1*\r\ndeny 2*"
        for peer_id in ("1", "2"):
            self.assertEqual(DEFAULT_REFUSAL, self.decide(text, peer_id).refusal)

    def test_permissions(self) -> None:
        """Each permission has two bits: 1 is off, 2 is on."""
        for number, name in enumerate(PERMISSIONS):
            for word, value in (("off", 1), ("on", 2)):
                verdict = self.decide(f"allow * with {name}={word}", "1")
                self.assertEqual(value << 2 * number, verdict.permissions)
        self.assertEqual(13, len(PERMISSIONS))
        text = "allow * with keyboard=on, privacy_mode=off audio=on from any"
        self.assertEqual(2 | 1 << 24 | 2 << 8, self.decide(text, "1").permissions)

    def test_longest_text(self) -> None:
        """A refusal may be as long as the bound, and in any language."""
        text = "\u00e4" * MAX_REFUSAL_CHARS
        self.assertEqual(text, self.decide(f'deny * "{text}"', "1").refusal)

    def test_hash_in_a_word(self) -> None:
        """A comment begins where a word does; within a pattern it is a mistake."""
        self.assertEqual(DEFAULT_REFUSAL, self.decide("deny a* #b", "a1").refusal)
        self.assertIn("a comment begins behind a blank", self.refusal("deny 123456#Bob"))

    def test_fits_no_device(self) -> None:
        """A pattern that fits no id at all is a mistake: somebody meant something."""
        for pattern in ("12345", "123\u200b456", "[0-9]*", "123456[7]", "1" * 101):
            self.assertIn("no id", self.refusal(f"deny {pattern}"), pattern)
        for pattern in ("1*", "123456", "??????", "1" * 100):
            read_rules(f"deny {pattern}")

    def test_old_line_ends(self) -> None:
        """A carriage return alone ends no line, and so would hide what stands behind it."""
        self.assertIn("carriage return", self.refusal("# rules\rdeny *\r"))
        self.assertEqual(DEFAULT_REFUSAL, self.decide("# rules\r\ndeny *\r\n", "1").refusal)


class MistakeTests(LinesCase):
    """Each mistake is one sentence with the number of its line."""

    def assert_mistake(self, sentence: str, *lines: str) -> None:
        for line in lines:
            refusal = self.refusal(f"# a comment\n\n{line}\nallow *")
            self.assertEqual(f"line 3: {sentence}", refusal)

    def test_verb(self) -> None:
        """A line begins with one of three words."""
        self.assert_mistake(
            "it must begin with allow, deny or default",
            *("permit 1*", "Allow 1*", "1*", '"text"', "from any", ", allow 1*"),
            *("default: deny", "\u201cdeny\u201d *", "\ufeffdeny *"),
        )

    def test_no_device(self) -> None:
        """Devices are named, if only by a star."""
        self.assert_mistake("nothing stands behind deny", "deny", "deny from any")
        self.assert_mistake("nothing stands behind allow", "allow with file=on")
        for address in ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32"):
            self.assert_mistake(
                f"{address!r} is an address, and those stand behind from; write * for all "
                "devices",
                f"deny {address}",
                f"deny 1*, {address} from any",
            )

    def test_commas(self) -> None:
        """Items of a list have one comma between them: a misspelt "from" is no device."""
        self.assert_mistake("a comma is missing before 'form'", "allow 1* form 10.0.0.0/8")
        self.assert_mistake(
            "a comma is missing before '10.0.0.0/8'", "allow 1* from 192.0.2.1 10.0.0.0/8"
        )
        self.assert_mistake(
            "there is a comma too many",
            *("deny 1*,", "deny ,1*", "deny 1*,,2*", "deny 1*, from any"),
            "deny 1* from ::1,",
        )

    def test_networks(self) -> None:
        """What is neither address nor network is not skipped."""
        for word in ("10.0.0.0/33", "10.0.0", "proxy", "::1/129", "ANY", "10.0.0.0/"):
            self.assert_mistake(
                f"{word!r} is no address and no network such as 10.0.0.0/8; any stands "
                "alone",
                f"deny 1* from {word}",
                f"deny 1* from ::1,{word}",
            )
        self.assertIn("'any' is no address", self.refusal("deny 1* from any, ::1"))
        self.assert_mistake("nothing stands behind from", "deny 1* from", "deny 1* from #")

    def test_clauses(self) -> None:
        """A part of a rule stands there once."""
        self.assert_mistake("from stands there twice", "deny 1* from any from ::1")
        self.assert_mistake("with stands there twice", "allow 1* with file=on with file=on")

    def test_permissions(self) -> None:
        """Permissions have known names and values, each once, and belong to allow."""
        names = ", ".join(PERMISSIONS)
        for word in ("file", "file=", "file=yes", "files=on", "=on", "File=on"):
            self.assert_mistake(
                f"{word!r} must be NAME=on or NAME=off, with one of the names {names}",
                f"allow 1* with {word}",
            )
        self.assert_mistake("file stands there twice", "allow 1* with file=on file=off")
        self.assert_mistake("no permission stands behind with", "allow 1* with")
        self.assert_mistake("only allow has permissions", "deny 1* with file=off")

    def test_text(self) -> None:
        """A text is one, at the end of a deny line, in quotation marks, and readable."""
        self.assert_mistake("only deny has a text", 'allow 1* "Welcome"', 'allow 1* ""')
        self.assert_mistake("a quotation mark is missing", 'deny 1* "No', 'deny 1* No"')
        self.assert_mistake(
            "nothing may stand behind the text in quotation marks",
            *('deny "No" 1*', 'deny 1* "No" "No"', 'deny 1* "No" from any', 'deny * "",'),
        )
        self.assert_mistake(
            f"the text must have 1 to {MAX_REFUSAL_CHARS} characters that can be printed",
            *('deny 1* ""', 'deny 1* "  "', 'deny 1* "a\tb"', 'deny 1* "\u202eon"'),
            f'deny 1* "{"a" * (MAX_REFUSAL_CHARS + 1)}"',
        )

    def test_default(self) -> None:
        """The default has no conditions, and there is one."""
        self.assert_mistake(
            "default must be followed by allow or deny, and by no conditions",
            *("default", "default no", "default deny from any", "default allow deny"),
            *("default allow, deny", "default with file=on"),
        )
        self.assert_mistake("only deny has a text", 'default allow "Welcome"')
        self.assertEqual(
            "line 3: the default is stated for the second time",
            self.refusal("default deny\n\ndefault deny"),
        )

    def test_long_word(self) -> None:
        """Of a long word a sentence quotes the beginning, and no control characters."""
        refusal = self.refusal("deny 1* from " + "x" * 500)
        self.assertIn(f"{'x' * 40}...", refusal)
        self.assertLess(len(refusal), 150)
        self.assertTrue(self.refusal("deny 1* from \x1b[2J").isprintable())


class BoundTests(LinesCase):
    def test_rules(self) -> None:
        """There can be so many rules."""
        text = "deny 1*\n" * MAX_RULES
        self.assertEqual(MAX_RULES, len(read_rules(text)))
        self.assertEqual(
            f"line {MAX_RULES + 1}: there are more than {MAX_RULES} rules",
            self.refusal(text + "deny 1*\n"),
        )

    def test_costly_patterns(self) -> None:
        """Patterns that are tried one by one are few, those with a star at the end not."""
        costly = "deny *-1, a?*\n" * (MAX_COSTLY // 2)
        read_rules(costly + "deny *, a*, bbbbbb\n" * 100)
        self.assertEqual(
            f"line {MAX_COSTLY // 2 + 1}: more than {MAX_COSTLY} patterns have wildcards "
            "elsewhere than at the end",
            self.refusal(costly + "deny a*b"),
        )

    def test_addresses_are_not_tried_in_vain(self) -> None:
        """An id that cannot be an address is not read as one, which takes long."""
        self.patch(access_lines, "ip_network", self.fail)
        read_rules("deny 12345*, server-1")
