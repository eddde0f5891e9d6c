"""
The text console of each server: a line of words in, some lines of text out.

The tables of commands live beside this module; what carries the text, in
``port.py`` and ``unix.py``.  ``rustdesk-utils admin`` is the other end.

Source: protocol.md sections 3.13 and 4.7.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from twisted.logger import Logger

MAX_COMMAND_BYTES = 1024
"""The longest command, without its newline."""

ID_SOCKET = "admin-id.sock"
RELAY_SOCKET = "admin-relay.sock"
"""Where the two consoles are found in the data folder."""

Text: TypeAlias = str | Coroutine[Any, Any, str]
"""Known at once, or once the database has been asked."""

Command = Callable[[list[str]], Text]
"""Takes the words behind its name, returns what to print, newlines included."""


class Console:
    """
    Answers commands.

    :param commands: by every name they go by; names are case-sensitive.
    """

    _log = Logger()

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = dict(commands)

    def answer(self, text: str) -> Text:
        """
        Return what the command in *text* prints; nothing for an unknown one.

        A command that fails is logged and prints nothing: that is our mistake, and it
        costs one answer.
        """
        name, *words = text.strip().split(" ")
        command = self._commands.get(name)
        if command is None:
            return ""
        try:
            answer = command(words)
        except Exception:
            return self._failed(name)
        return answer if isinstance(answer, str) else self._guard(name, answer)

    async def _guard(self, name: str, answer: Coroutine[Any, Any, str]) -> str:
        try:
            return await answer
        except Exception:
            return self._failed(name)

    def _failed(self, name: str) -> str:
        self._log.failure("console command {command} failed", command=name)
        return ""
