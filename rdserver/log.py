"""
How log events become lines: one line an event, in UTC, nothing below the set level.

twistd's own observer has no level, and a stranger could make it write two lines
where one was meant; so the service brings this one, unless the operator asked twistd
for another (``--logfile``, ``--syslog``, ``--logger``).
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from zope.interface import implementer

# Line ends and other controls, what turns the direction of writing, lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_CHATTY = ("twisted", "log_legacy")
"""What Twisted says of itself at info level: each port it opens and closes."""

_PRIORITIES = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}
"""Of syslog, which systemd takes from the beginning of a line (sd-daemon(3))."""

_INTERNAL_PREFIX = "log_"
_LEGACY = frozenset(
    ("format", "message", "time", "isError", "system", "failure", "why", "logLevel")
)
"""Fields of Twisted's old log, which say nothing that a line does not say anyway."""


def observer(log_level: str, log_format: str, stream: TextIO | None = None) -> ILogObserver:
    """
    Return an observer that writes to *stream*, standard output by default.

    :param log_level: ``debug``, ``info``, ``warn`` or ``error``.
    :param log_format: ``text`` or ``json``.
    """
    stream = stream or sys.stdout
    text_line = _journal_line if is_journal(stream, os.environ) else _text_line
    line = {"text": text_line, "json": _json_line}[log_format]
    level = LogLevel.lookupByName(log_level)
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    if level is LogLevel.info:
        for namespace in _CHATTY:
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(_Writer(line, stream), [predicate])


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether *stream* is the one that systemd connected to its journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a text in memory
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def start(log_level: str, log_format: str) -> None:
    """Send all log events of this process to standard output."""
    globalLogBeginner.beginLoggingTo([observer(log_level, log_format)])


@implementer(ILogObserver)
class _Writer:
    def __init__(self, line: Callable[[LogEvent], str], stream: TextIO) -> None:
        self._line = line
        # sys.stdout itself is replaced by twistd once logging has begun.
        self._stream = stream

    def __call__(self, event: LogEvent) -> None:
        line = self._line(event) + "\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        # A terminal that cannot show a letter must not cost the line.
        self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


def _text_line(event: LogEvent) -> str:
    level = event["log_level"].name
    return f"{_time(event)} {level:<5} {_on_one_line(_message(event).strip())}"


def _journal_line(event: LogEvent) -> str:
    """The journal has the time, and a place for the level: "journalctl -p warning"."""
    priority = _PRIORITIES[event["log_level"].name]
    return f"<{priority}>{_on_one_line(_message(event).strip())}"


def _json_line(event: LogEvent) -> str:
    record: dict[str, Any] = {
        "time": _time(event),
        "level": event["log_level"].name,
        "source": event.get("log_namespace", ""),
        "message": _message(event),
    }
    for name, value in event.items():
        if not name.startswith(_INTERNAL_PREFIX) and name not in _LEGACY:
            record.setdefault(name, _plain(value))
    return json.dumps(record)


def _plain(value: object) -> object:
    """Return what JSON has a form for; other things as text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _message(event: LogEvent) -> str:
    message = formatEvent(event)
    failure = event.get("log_failure")
    return message if failure is None else f"{message}\n{failure.getTraceback()}"


def _time(event: LogEvent) -> str:
    return datetime.fromtimestamp(event["log_time"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _on_one_line(text: str) -> str:
    """Keep what others sent from looking like a line of ours."""
    return _CONTROL.sub(_escaped, text.replace("\n", " | "))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
