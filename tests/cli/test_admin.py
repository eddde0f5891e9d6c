"""Asking a server over its console's socket."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from shutil import rmtree
from threading import Thread
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import admin
from rdserver.cli.admin import AdminError, Question, ask, parse

LIMIT = 1024  # protocol.md section 3.13


class FolderCase(SynchronousTestCase):
    """A test with a folder whose path is short enough for sockets."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rd"))
        self.addCleanup(rmtree, self.folder)


class ParseTests(FolderCase):
    def setUp(self) -> None:
        super().setUp()
        self.package = self.folder / "package"
        self.patch(admin, "DATA_DIR", self.package)

    def parse(self, *arguments: str, **environ: str) -> tuple[str, str, str]:
        question = parse(arguments, environ)
        return str(question.data_dir), question.role, question.command

    def test_command(self) -> None:
        """The words behind the role are the command, single spaces between them."""
        self.assertEqual(
            (".", "relay", "ba 1.2.3.4 -"), self.parse("relay", "ba", "1.2.3.4", "-")
        )
        self.assertEqual((".", "id", "ib 0"), self.parse("id", "ib 0"))

    def test_role_only_once(self) -> None:
        """A second role is a word of the command, and so is an option behind a word."""
        self.assertEqual((".", "id", "relay h"), self.parse("id", "relay", "h"))
        self.assertEqual((".", "id", "h --data-dir x"), self.parse("h", "--data-dir", "x"))

    def test_data_folder(self) -> None:
        """The option may stand before or behind the role; the last one counts."""
        for arguments in (
            ("--data-dir", "x", "relay", "u"),
            ("relay", "--data-dir", "x", "u"),
            ("--data-dir=x", "relay", "u"),
            ("--data-dir=y", "--data-dir", "x", "relay", "u"),
        ):
            self.assertEqual(
                ("x", "relay", "u"), self.parse(*arguments, RDSERVER_DATA_DIR="z")
            )

    def test_default_folder(self) -> None:
        """Without the option the server's variable counts, then the working directory."""
        self.assertEqual("z", self.parse("h", RDSERVER_DATA_DIR="z")[0])
        self.assertEqual(".", self.parse("h", RDSERVER_DATA_DIR="")[0])
        self.assertEqual(".", self.parse("--data-dir=", "h")[0])

    def test_folder_of_the_package(self) -> None:
        """It counts where it exists, unless a server runs in the working directory."""
        self.package.mkdir()
        self.assertEqual(str(self.package), self.parse("h")[0])
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        (self.folder / "admin-relay.sock").touch()
        self.assertEqual((".", "relay", "h"), self.parse("h"))

    def test_unknown_option(self) -> None:
        """Any other option, or one without its value, is refused by name."""
        for arguments in (("--data", "x", "h"), ("--data-dir",), ("id", "--help")):
            error = self.assertRaises(AdminError, parse, arguments, {})
            self.assertIn("the only option is --data-dir DIR", str(error))

    def test_no_command(self) -> None:
        """Whether a command is there is for the caller to see."""
        self.assertEqual("", self.parse("id")[2])
        self.assertEqual("", self.parse()[2])

    def test_role_by_what_is_there(self) -> None:
        """Without a role the ID server is asked, unless only a relay's socket is there."""
        found = []
        for name in ("", "admin-relay.sock", "admin-id.sock"):
            if name:
                (self.folder / name).touch()
            found.append(self.parse(f"--data-dir={self.folder}", "h")[1])
        self.assertEqual(["id", "relay", "id"], found)


class AskTests(FolderCase):
    """A server of one connection in a thread, and our question to it."""

    def setUp(self) -> None:
        super().setUp()
        self.question = Question(self.folder, "id", "ib 0")
        self.heard = bytearray()

    def serve(self, answer: bytes) -> None:
        """Hear one line, answer and close."""
        listener = self.listener()

        def converse() -> None:
            with listener.accept()[0] as connection:
                while not self.heard.endswith(b"\n"):
                    self.heard.extend(connection.recv(100))
                connection.sendall(answer)

        thread = Thread(target=converse)
        thread.start()
        self.addCleanup(thread.join)

    def listener(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(str(self.question.path))
        listener.listen()
        return listener

    def assert_fails(self, *parts: str) -> None:
        message = str(self.assertRaises(AdminError, ask, self.question, 0.01))
        for part in parts:
            self.assertIn(part, message)

    def test_answer(self) -> None:
        """The command goes as one line, the answer comes back as it is."""
        self.serve("1\nä: 2\n".encode())
        self.assertEqual("1\nä: 2\n", ask(self.question))
        self.assertEqual(b"ib 0\n", bytes(self.heard))

    def test_empty_answer(self) -> None:
        """Nothing is an answer too."""
        self.serve(b"")
        self.assertEqual("", ask(self.question))

    def test_long_answer(self) -> None:
        """An answer of megabytes is returned whole."""
        self.serve(b"0123456789\n" * 300_000)
        self.assertEqual("0123456789\n" * 300_000, ask(self.question))

    def test_relay(self) -> None:
        """The relay has a socket of its own."""
        self.question = Question(self.folder, "relay", "u")
        self.assertEqual(self.folder / "admin-relay.sock", self.question.path)
        self.serve(b"yes")
        self.assertEqual("yes", ask(self.question))

    def test_longest_command(self) -> None:
        """1024 bytes are sent, 1025 are refused here."""
        self.question = Question(self.folder, "id", "é" * (LIMIT // 2))
        self.serve(b"yes")
        self.assertEqual("yes", ask(self.question))
        self.question = Question(self.folder, "id", "é" * (LIMIT // 2) + "x")
        self.assert_fails("at most 1024 bytes")

    def test_one_line(self) -> None:
        """A command of two lines is refused: the server would take the first."""
        self.question = Question(self.folder, "id", "rs a\nb")
        self.assert_fails("one line")

    def test_not_running(self) -> None:
        """Without a socket the message says where it was looked for, and what to do."""
        self.assert_fails(f"there is no {self.question.path}", "ID server", "--data-dir")

    def test_ended(self) -> None:
        """A socket that was left behind means that its server has ended."""
        self.listener().close()
        self.assert_fails(str(self.question.path), "ended")

    def test_no_rights(self) -> None:
        """Who may not use the socket is told who may."""
        with patch.object(socket.socket, "connect", side_effect=PermissionError):
            self.assert_fails(str(self.question.path), "root", "group")

    def test_stuck(self) -> None:
        """A server that does not answer in time is not waited for."""
        self.listener()
        self.assert_fails(str(self.question.path), "no answer")

    def test_other_causes(self) -> None:
        """Any other cause is given in the system's words."""
        self.question = Question(self.folder / ("x" * 100), "id", "h")
        self.assert_fails(os.fspath(self.question.path), "too long")
