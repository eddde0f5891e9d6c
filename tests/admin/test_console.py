"""A line of words in, lines of text out."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from rdserver.admin.console import Console


def fail(_words: list[str]) -> str:
    raise RuntimeError("a bug in a command")


class ConsoleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.console = Console({"rs": repr, "b": lambda _: "small", "B": lambda _: "big"})

    def test_that_waits(self) -> None:
        """A command may have to wait for its answer; if it fails that is logged."""

        async def wait(words: list[str]) -> str:
            return words[0]  # a bug without words

        console = Console({"wait": wait})
        good, bad = (Deferred.fromCoroutine(console.answer(t)) for t in ("wait x", "wait"))
        self.assertEqual("x", self.successResultOf(good))
        self.assertEqual("", self.successResultOf(bad))
        self.assertEqual(1, len(self.flushLoggedErrors(IndexError)))

    def test_words(self) -> None:
        """A command gets the words behind its name."""
        self.assertEqual("['a,b', '-']", self.console.answer("rs a,b -"))

    def test_without_words(self) -> None:
        """A name alone is a command too."""
        self.assertEqual("[]", self.console.answer("rs"))

    def test_trimmed(self) -> None:
        """White space around the text does not count."""
        self.assertEqual("['a']", self.console.answer("\t rs a \r\n"))

    def test_single_spaces(self) -> None:
        """Words end at each single space, so two spaces hold an empty word."""
        self.assertEqual(r"['', 'a\tb']", self.console.answer("rs  a\tb"))

    def test_case(self) -> None:
        """Case matters: b and B are two commands, RS is none."""
        answers = [self.console.answer(text) for text in ("b", "B", "RS")]
        self.assertEqual(["small", "big", ""], answers)

    def test_unknown(self) -> None:
        """Statement 133: an unknown command, or none, gives an empty answer."""
        for text in ("nonsense", "", " ", "\n", "r s"):
            self.assertEqual("", self.console.answer(text))

    def test_failing_command(self) -> None:
        """A bug in a command is logged and gives an empty answer, nothing worse."""
        console = Console({"bad": fail, "good": lambda _: "still here"})
        self.assertEqual("", console.answer("bad word"))
        self.assertEqual(1, len(self.flushLoggedErrors(RuntimeError)))
        self.assertEqual("still here", console.answer("good"))

    def test_table_is_its_own(self) -> None:
        """Later changes of the table it was given do not reach the console."""
        table = {"x": lambda _: "old"}
        console = Console(table)
        table.clear()
        self.assertEqual("old", console.answer("x"))
