"""
The text console of each server: a line of words in, some lines of text out.

The tables of commands live beside this module; what carries the text, in
``port.py`` and ``unix.py``.  ``rustdesk-utils admin`` is the other end.

Source: protocol.md sections 3.13 and 4.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.logger import Logger

MAX_COMMAND_BYTES = 1024
"""The longest command, without its newline."""

ID_SOCKET = "admin-id.sock"
RELAY_SOCKET = "admin-relay.sock"
"""Where the two consoles are found in the data folder."""

Command = Callable[[list[str]], str]
"""Takes the words behind its name, returns what to print, newlines included."""


class Console:
    """
    Answers commands.

    :param commands: by every name they go by; names are case-sensitive.
    """

    _log = Logger()

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = dict(commands)

    def answer(self, text: str) -> str:
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
            return command(words)
        except Exception:
            self._log.failure("console command {command} failed", command=name)
            return ""
