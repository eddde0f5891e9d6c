"""
``rustdesk-utils admin``: asks a server on this machine, over its console's socket.

Blocking, for the program ends with the answer.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from rdserver.admin.console import ID_SOCKET, MAX_COMMAND_BYTES, RELAY_SOCKET
from rdserver.cli.installed import DATA_DIR

ANSWER_S = 60.0
"""How long the server may be silent."""

_SOCKETS = {"id": ID_SOCKET, "relay": RELAY_SOCKET}
_NAMES = {"id": "ID server", "relay": "relay"}
_READ_BYTES = 65536


class AdminError(Exception):
    """Nothing could be asked; ``str(self)`` is a sentence for the operator."""


@frozen
class Question:
    """
    A command and whom to ask.

    :ivar role: ``id`` or ``relay``.
    :ivar command: one line; empty if none was given.
    """

    data_dir: Path
    role: str
    command: str

    @property
    def path(self) -> Path:
        """The socket where the answer is to be had."""
        return self.data_dir / _SOCKETS[self.role]


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Question:
    """
    Read ``[--data-dir DIR] [id|relay] COMMAND...``.

    :raises AdminError: an option that is unknown or incomplete.
    """
    words = list(arguments)
    folder = environ.get("RDSERVER_DATA_DIR") or _usual_folder()
    role = None
    while words:
        if words[0] == "--data-dir" and words[1:]:
            folder = words[1]
            del words[:2]
        elif words[0].startswith("--data-dir="):
            folder = words.pop(0).partition("=")[2] or "."
        elif words[0].startswith("--"):
            raise AdminError(f"{words[0]}: the only option is --data-dir DIR")
        elif role is None and words[0] in _SOCKETS:
            role = words.pop(0)
        else:
            break
    data_dir = Path(folder)
    return Question(data_dir, role or _role_in(data_dir), " ".join(words))


def ask(question: Question, answer_s: float = ANSWER_S) -> str:
    """
    Return the whole answer.

    :raises AdminError: there is none.
    """
    command = question.command.encode("utf-8", "surrogateescape")
    if len(command) > MAX_COMMAND_BYTES or b"\n" in command:
        raise AdminError(f"a command is one line of at most {MAX_COMMAND_BYTES} bytes")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(answer_s)
            connection.connect(os.fspath(question.path))
            connection.sendall(command + b"\n")
            pieces = iter(lambda: connection.recv(_READ_BYTES), b"")
            return b"".join(pieces).decode("utf-8", "replace")
    except OSError as e:
        raise AdminError(_cause(e, question)) from e


def _usual_folder() -> str:
    """Return the working directory, or the package's where only that has a socket."""
    # os.path and not Path, which fails where this user may not look.
    here = any(map(os.path.exists, _SOCKETS.values()))
    return str(DATA_DIR) if os.path.isdir(DATA_DIR) and not here else "."


def _role_in(data_dir: Path) -> str:
    """Return the role to ask when none was given: the relay only if it is alone."""
    if os.path.exists(data_dir / RELAY_SOCKET) and not os.path.exists(data_dir / ID_SOCKET):
        return "relay"
    return "id"


def _cause(error: OSError, question: Question) -> str:
    path, name = question.path.absolute(), _NAMES[question.role]
    if isinstance(error, FileNotFoundError):
        return (
            f"there is no {path}: the {name} is not running, or its data folder is another"
            " one (name it with --data-dir)"
        )
    if isinstance(error, ConnectionRefusedError):
        return f"nobody answers on {path}: the {name} that made it has ended"
    if isinstance(error, PermissionError):
        return f"no right to use {path}: ask as root, or as a user of the server's group"
    if isinstance(error, TimeoutError):
        return f"no answer on {path}: the {name} is busy or stuck"
    return f"{path}: {error.strerror or error}"
