"""Tests for :mod:`rdserver.log`: one event, one line, whatever is in it."""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from twisted.logger import Logger, LogLevel, globalLogBeginner
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from rdserver import log

MIDNIGHT = 1_700_006_400.0  # 2023-11-15T00:00:00Z
STAMP = "2023-11-15T00:00:00Z"


class Unprintable:
    """A field whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Reason(StrEnum):
    BAD = "bad key"


def failure_of(text: str) -> Failure:
    """Return a failure with a traceback."""
    try:
        raise ValueError(text)
    except ValueError:
        return Failure()


class LogCase(SynchronousTestCase):
    """Logs into a text of our own."""

    log_format = "text"

    def setUp(self) -> None:
        self.stream = StringIO()

    def log(
        self,
        text: str | None,
        importance: Any = LogLevel.warn,
        at: str = "info",
        namespace: str = "rdserver.x",
        **fields: Any,
    ) -> None:
        """Log an event, at midnight, where *at* is the least level wanted."""
        observe = log.observer(at, self.log_format, self.stream)
        logger = Logger(
            namespace, observer=lambda event: observe({**event, "log_time": MIDNIGHT})
        )
        logger.emit(importance, text, **fields)

    def lines(self) -> list[str]:
        """Return the lines since the last call; each has an end."""
        text = self.stream.getvalue()
        self.assertTrue(text == "" or text.endswith("\n"))
        self.stream.seek(0)
        self.stream.truncate()
        return text.split("\n")[:-1]


class JournalTests(SynchronousTestCase):
    """Lines for systemd's journal, which has the time already."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.stream = self.open(self.path)
        status = os.fstat(self.stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        self.patch(os, "environ", environ)

    def open(self, path: str) -> TextIO:
        """Return a file to log into."""
        stream = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed at the end
        self.addCleanup(stream.close)
        return stream

    def written(self, path: str, log_format: str = "text") -> list[str]:
        """Return what two events become, the second with a stranger's text."""
        observe = log.observer("debug", log_format, self.open(path))
        midnight = {"log_time": MIDNIGHT}
        logger = Logger("rdserver.x", observer=lambda event: observe({**event, **midnight}))
        logger.debug("all is well")
        logger.critical("id {peer_id}", peer_id="1\n<7>2")
        return Path(path).read_text("utf-8").splitlines()

    def test_level_instead_of_time(self) -> None:
        """A line begins with its priority; what others sent never does."""
        self.patch(log, "is_journal", lambda stream, environ: True)
        self.assertEqual(["<7>all is well", "<2>id 1 | <7>2"], self.written(self.mktemp()))

    def test_who_is_the_journal(self) -> None:
        """Only the very stream that systemd named is; a text in memory never is."""
        self.assertTrue(log.is_journal(self.stream, os.environ))
        self.assertFalse(log.is_journal(self.open(self.mktemp()), os.environ))
        self.assertFalse(log.is_journal(StringIO(), os.environ))
        self.assertFalse(log.is_journal(self.stream, {}))

    def test_elsewhere(self) -> None:
        """A file has the time, and so has JSON, whoever reads it."""
        self.assertEqual(f"{STAMP} debug all is well", self.written(self.mktemp())[0])
        [line, _] = self.written(self.mktemp(), "json")
        self.assertEqual(STAMP, json.loads(line)["time"])


class TextTests(LogCase):
    """Lines for people."""

    def test_line(self) -> None:
        """Time in UTC, level, message with its fields."""
        self.log("{remote} is {reason}", remote="192.0.2.1", reason=Reason.BAD)
        self.log("all is well", LogLevel.info)
        self.assertEqual(
            [f"{STAMP} warn  192.0.2.1 is bad key", f"{STAMP} info  all is well"],
            self.lines(),
        )

    def test_strangers_text(self) -> None:
        """What others sent cannot begin a line, move the cursor or turn the text."""
        nasty = "a\nb\rc\x1b[2Jd\x00e\x7ff\x85g\u2028h\u202ei\u2066j\ud800k\tl"
        self.log("id {peer_id}", peer_id=nasty)
        [line] = self.lines()
        self.assertEqual(
            f"{STAMP} warn  id a | b\\x0dc\\x1b[2Jd\\x00e\\x7ff\\x85g"
            "\\u2028h\\u202ei\\u2066j\\ud800k\\x09l",
            line,
        )
        self.assertTrue(line.isprintable())

    def test_letters_stay(self) -> None:
        """Letters of all languages are shown as they are."""
        self.log("host {name}", name="büro-主机")
        self.assertEqual([f"{STAMP} warn  host büro-主机"], self.lines())

    def test_traceback(self) -> None:
        """An exception is one line, with all of its traceback."""
        self.log("it failed", LogLevel.critical, log_failure=failure_of("two\nlines"))
        [line] = self.lines()
        self.assertTrue(line.startswith(f"{STAMP} critical it failed | Traceback"), line)
        self.assertIn("in failure_of |     raise ValueError(text) | ", line)
        self.assertTrue(line.endswith("ValueError: two | lines"), line)

    def test_braces(self) -> None:
        """A format that cannot be filled in costs the message, not the line."""
        self.log("{a} and {b}", a=Unprintable())
        self.log("{missing}")
        lines = self.lines()
        self.assertEqual(2, len(lines))
        for line in lines:
            self.assertTrue(line.startswith(f"{STAMP} warn  "), line)

    def test_braces_of_strangers(self) -> None:
        """A stranger's text is never a format."""
        self.log("id {peer_id}", peer_id="{remote} {0}", remote="secret")
        self.assertEqual([f"{STAMP} warn  id {{remote}} {{0}}"], self.lines())

    def test_empty_message(self) -> None:
        """An event without a message is a line all the same."""
        self.log(None)
        self.assertEqual(f"{STAMP} warn", self.lines()[0].strip())

    def test_poor_terminal(self) -> None:
        """Letters that the output cannot show are escaped; the line is not lost."""
        raw = BytesIO()
        self.stream = TextIOWrapper(raw, encoding="latin-1")
        self.log("host {name}", name="büro-主机")
        self.assertEqual(
            f"{STAMP} warn  host büro-\\u4e3b\\u673a\n".encode("latin-1"), raw.getvalue()
        )


class JsonTests(LogCase):
    """Lines for programs."""

    log_format = "json"

    def record(self) -> dict[str, Any]:
        """Return the only line, which is JSON to the letter."""
        [line] = self.lines()
        self.assertTrue(line.isascii() and line.isprintable(), line)
        record: dict[str, Any] = json.loads(line, parse_constant=self.fail)
        return record

    def test_record(self) -> None:
        """Time, level, source and message, and each field by its name."""
        self.log("{remote} sent {bytes}", remote="192.0.2.1", bytes=5, reason=Reason.BAD)
        self.assertEqual(
            {
                "time": STAMP,
                "level": "warn",
                "source": "rdserver.x",
                "message": "192.0.2.1 sent 5",
                "remote": "192.0.2.1",
                "bytes": 5,
                "reason": "bad key",
            },
            self.record(),
        )

    def test_plain_values(self) -> None:
        """Values that JSON has a form for keep it."""
        fields = {"a": None, "b": True, "c": -5, "d": 0.5, "e": "x\n\u2028\ud800"}
        self.log("x", **fields)
        self.assertEqual(fields, {k: v for k, v in self.record().items() if len(k) == 1})

    def test_other_values(self) -> None:
        """Whatever else a field holds becomes text, and never costs the line."""
        loop: list[Any] = []
        loop.append(loop)
        fields = {
            "nan": float("nan"),
            "infinite": float("-inf"),
            "data": b"\xff\x00",
            "error": OSError("no\nroute"),
            "wrong": failure_of("x"),
            "pairs": {("a", 1): 2},
            "loop": loop,
            "none": Unprintable(),
        }
        self.log("x", **fields)
        record = self.record()
        self.assertEqual("nan", record["nan"])
        self.assertEqual("-inf", record["infinite"])
        self.assertEqual("b'\\xff\\x00'", record["data"])
        self.assertEqual("no\nroute", record["error"])
        self.assertIn("ValueError", record["wrong"])
        self.assertEqual("{('a', 1): 2}", record["pairs"])
        self.assertEqual("[[...]]", record["loop"])
        self.assertEqual("<Unprintable>", record["none"])

    def test_names(self) -> None:
        """Fields whose names only begin like Twisted's are kept."""
        fields = {"timeout_s": 5, "messages": 2, "formats": 3, "failures": 4, "systems": 5}
        self.log("x", **fields)
        self.assertEqual(fields, {k: v for k, v in self.record().items() if k in fields})

    def test_names_taken(self) -> None:
        """A field cannot take the place of what every line has."""
        self.log("x", source="fake", message="fake", time=0)
        record = self.record()
        self.assertEqual(("warn", "rdserver.x"), (record["level"], record["source"]))
        self.assertEqual(("x", STAMP), (record["message"], record["time"]))

    def test_nothing_internal(self) -> None:
        """Twisted's own fields are not shown."""
        self.log("x", log_trace=[1], log_system="s", isError=1, system="-", why="y")
        self.assertEqual({"time", "level", "source", "message"}, set(self.record()))

    def test_traceback(self) -> None:
        """An exception is part of the message."""
        self.log("it failed", log_failure=failure_of("x"))
        message = self.record()["message"]
        self.assertTrue(message.startswith("it failed\nTraceback"), message)
        self.assertIn("ValueError: x", message)


class LevelTests(LogCase):
    """What is logged at all."""

    def shown(self, at: str, namespace: str = "rdserver.x") -> list[str]:
        """Return the levels that are logged where *at* is wanted."""
        for level in LogLevel.iterconstants():
            self.log("x", level, at, namespace)
        return [line.split()[1] for line in self.lines()]

    def test_levels(self) -> None:
        """What is less important than the set level is not logged."""
        levels = ["debug", "info", "warn", "error", "critical"]
        for number, at in enumerate(levels[:4]):
            self.assertEqual(levels[number:], self.shown(at), at)

    def test_twisted(self) -> None:
        """Of Twisted itself only warnings and worse, never less than of ourselves."""
        for namespace in ("twisted.internet.tcp", "log_legacy"):
            self.assertEqual(["warn", "error", "critical"], self.shown("info", namespace))
            self.assertEqual(["error", "critical"], self.shown("error", namespace))
            self.assertEqual("debug", self.shown("debug", namespace)[0])

    def test_no_level(self) -> None:
        """An event without a level is nobody's."""
        log.observer("debug", "text", self.stream)({"log_format": "x", "log_time": 0.0})
        self.assertEqual([], self.lines())


class StartTests(SynchronousTestCase):
    """All events of the process."""

    def test_start(self) -> None:
        """They go to what standard output was when logging began."""
        begun: list[Any] = []
        output, later = StringIO(), StringIO()
        self.patch(globalLogBeginner, "beginLoggingTo", begun.extend)
        self.patch(sys, "stdout", output)
        log.start("info", "text")
        self.patch(sys, "stdout", later)
        [observer] = begun
        Logger("rdserver", observer=observer).info("hello")
        self.assertTrue(output.getvalue().endswith(" info  hello\n"))
        self.assertEqual("", later.getvalue())
