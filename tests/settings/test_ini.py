"""Tests for :mod:`rdserver.settings.ini`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.settings.ini import BadLine, Entry, Ini, canonical, parse_ini


class CanonicalTests(SynchronousTestCase):
    """One form for all spellings."""

    def test_spellings(self) -> None:
        """Case and the kind of dash do not matter."""
        for name in ("relay-servers", "RELAY_SERVERS", "Relay_Servers", "RELAY-SERVERS"):
            self.assertEqual("RELAY-SERVERS", canonical(name))


class ParseTests(SynchronousTestCase):
    """What a settings file says."""

    def values(self, text: str) -> dict[str, str]:
        """Return the values of a file that is all right."""
        ini = parse_ini(text)
        self.assertEqual((), ini.bad_lines)
        return {name: entry.value for name, entry in ini.entries.items()}

    def assert_bad(self, line: str, reason: str) -> None:
        """A bad line costs itself and nothing around it."""
        ini = parse_ini(f"a=1\n{line}\nb=2")
        self.assertEqual((BadLine(2, reason),), ini.bad_lines)
        self.assertEqual(["A", "B"], list(ini.entries))

    def test_empty(self) -> None:
        """A file without a line says nothing."""
        self.assertEqual(Ini({}), parse_ini(""))

    def test_separators(self) -> None:
        """The first = or : separates, later ones belong to the value."""
        text = "port=1\nbind: ::1\nkey=ab==\nrelay-servers=a:1,b:2\nsoftware-url:x=y"
        expected = {
            "PORT": "1",
            "BIND": "::1",
            "KEY": "ab==",
            "RELAY-SERVERS": "a:1,b:2",
            "SOFTWARE-URL": "x=y",
        }
        self.assertEqual(expected, self.values(text))

    def test_blanks(self) -> None:
        """Blanks around names, values and lines do not matter, nor do DOS line ends."""
        self.assertEqual({"A": "1 2", "B": ""}, self.values("\n  a  =  1 2  \r\n\tb =\r\n"))

    def test_comments(self) -> None:
        """Whole lines are comments; a value may hold the same signs."""
        self.assertEqual({"A": "1 # ; 2"}, self.values("# x=1\n ; y=2\na=1 # ; 2"))

    def test_quotes(self) -> None:
        """Quotes keep blanks; those inside a value are part of it."""
        text = "a=\" 1 \"\nb=' 2 '\nc=''\nd=it's\ne=\"it's\""
        expected = {"A": " 1 ", "B": " 2 ", "C": "", "D": "it's", "E": "it's"}
        self.assertEqual(expected, self.values(text))

    def test_escapes(self) -> None:
        """A backslash stands for a control character or takes the next one as it is."""
        text = r"a=x\ny\tz\\" + "\n" + r'b="\"\#\q"'
        self.assertEqual({"A": "x\ny\tz\\", "B": '"#q'}, self.values(text))

    def test_last_counts(self) -> None:
        """Of two lines for one name, in whatever spelling, the second counts."""
        ini = parse_ini("relay-servers=a\nRELAY_SERVERS=b")
        self.assertEqual({"RELAY-SERVERS": Entry("RELAY_SERVERS", "b", 2)}, ini.entries)

    def test_sections(self) -> None:
        """Nothing behind a section is read, not even a bad line."""
        ini = parse_ini("a=1\n[later]\nb=2\nnonsense")
        self.assertEqual(Ini({"A": Entry("a", "1", 1)}, (), 2), ini)

    def test_bad_lines(self) -> None:
        """What states nothing is reported with its line and without its text."""
        self.assert_bad("nonsense", "there is no = or :")
        self.assert_bad(" = 3", "there is no name")
        self.assert_bad("[section", "the [ is not closed")
        self.assert_bad('c="3', "the quote is not closed")
        self.assert_bad("c='", "the quote is not closed")
