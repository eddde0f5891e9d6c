"""The command line of ``rustdesk-utils``: what is printed, where, and the exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from base64 import b64encode
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any
from unittest.mock import patch

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import admin, utils
from rdserver.keys import KeyPair, decode_base64

# protocol.md section 2.6.
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SECRET = (
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8D"
    "oQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
)
OTHER = KeyPair.generate()
# protocol.md section 5, letter by letter.
ORIGINAL_HELP = """\
Usage:
    rustdesk-utils [command]

Available Commands:
    genkeypair                                   Generate a new keypair
    validatekeypair [public key] [secret key]    Validate an existing keypair
    doctor [rustdesk-server]                     Check for server connection problems
"""


@frozen
class Ran:
    """What a run came to."""

    status: int
    out: str
    err: str


def run(*arguments: str) -> Ran:
    """Run the program in this process."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = utils.main(arguments)
    return Ran(status, out.getvalue(), err.getvalue())


def run_process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the program in a process of its own."""
    command = [sys.executable, "-m", "rdserver.cli.utils", *arguments]
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        command, env={"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True, **options
    )


class HelpTests(SynchronousTestCase):
    def test_original_lines(self) -> None:
        """The help begins with the original's lines; ours come behind."""
        self.assertTrue(utils.HELP.startswith(ORIGINAL_HELP))
        self.assertIn("\n    admin [id|relay] [command]     ", utils.HELP)

    def test_fits_a_terminal(self) -> None:
        """No line is longer than 90 columns."""
        self.assertTrue(max(map(len, utils.HELP.splitlines())) <= 90)

    def test_no_command(self) -> None:
        """Statement 169: without a command the help is printed and the status is 1."""
        self.assertEqual(Ran(1, utils.HELP, ""), run())

    def test_unknown_command(self) -> None:
        """Statement 169: the same for a command that there is not."""
        for name in ("", "genkey", "--version", " genkeypair"):
            self.assertEqual(Ran(1, utils.HELP, ""), run(name, "word"))

    def test_asked_for(self) -> None:
        """Who asks for help gets it with status 0."""
        for name in ("--help", "-h", "help", "HELP"):
            self.assertEqual(Ran(0, utils.HELP, ""), run(name))

    def test_missing_arguments(self) -> None:
        """What is missing is named above the help, and the status is 1."""
        pair = "You must supply both the public and the secret key"
        host = "You must supply the rustdesk-server address"
        text = "You must supply a console command; h lists them"
        for message, *arguments in (
            (pair, "validatekeypair"),
            (pair, "validatekeypair", PUBLIC),
            (host, "doctor"),
            (text, "admin"),
            (text, "admin", "relay"),
        ):
            expected = Ran(1, f"ERROR: {message}\n\n{utils.HELP}", "")
            self.assertEqual(expected, run(*arguments))


class KeyPairTests(SynchronousTestCase):
    def test_generated(self) -> None:
        """Statement 167: two lines, and their keys are a valid pair."""
        for name in ("genkeypair", "GenKeyPair"):
            ran = run(name)
            first, second = ran.out.splitlines()
            self.assertEqual((0, ""), (ran.status, ran.err))
            public = first.removeprefix("Public Key:  ")
            secret = second.removeprefix("Secret Key:  ")
            sizes = [len(decode_base64(text) or b"") for text in (public, secret)]
            self.assertEqual([32, 64], sizes)
            self.assertEqual(
                Ran(0, "Key pair is VALID\n", ""), run("validatekeypair", public, secret)
            )

    def assert_verdict(self, message: str, public: str, secret: str) -> None:
        status = 0 if message == "Key pair is VALID" else 1
        expected = Ran(status, f"{message}\n", "")
        self.assertEqual(expected, run("validatekeypair", public, secret))

    def test_valid(self) -> None:
        """Statement 168: a matching pair is valid, padded or not."""
        self.assert_verdict("Key pair is VALID", PUBLIC, SECRET)
        self.assert_verdict("Key pair is VALID", PUBLIC.rstrip("="), SECRET.rstrip("="))

    def test_more_arguments(self) -> None:
        """What stands behind the two keys is not looked at."""
        ran = run("ValidateKeyPair", PUBLIC, SECRET, "more")
        self.assertEqual(Ran(0, "Key pair is VALID\n", ""), ran)

    def test_not_a_pair(self) -> None:
        """Statement 168: two good keys that do not belong together are invalid."""
        self.assert_verdict("Key pair is INVALID", OTHER.public_text, SECRET)
        self.assert_verdict("Key pair is INVALID", PUBLIC, OTHER.secret_text)

    def test_halves_of_two_keys(self) -> None:
        """A secret key put together from two is invalid with either public key."""
        seed = (decode_base64(SECRET) or b"")[:32]
        mixed = b64encode(seed + OTHER.public).decode()
        self.assert_verdict("Key pair is INVALID", PUBLIC, mixed)
        self.assert_verdict("Key pair is INVALID", OTHER.public_text, mixed)

    def test_bad_keys(self) -> None:
        """Statement 168: the four messages; capitals tell a wrong length."""
        self.assert_verdict("Invalid secret key", PUBLIC, "no base64")
        self.assert_verdict("Invalid Secret key", PUBLIC, PUBLIC)
        self.assert_verdict("Invalid public key", "no base64", SECRET)
        self.assert_verdict("Invalid Public key", SECRET, SECRET)

    def test_order_of_checks(self) -> None:
        """The secret key is looked at first."""
        self.assert_verdict("Invalid secret key", "no base64", "no base64")
        self.assert_verdict("Invalid Secret key", "no base64", PUBLIC)


class AdminTests(SynchronousTestCase):
    def test_answer(self) -> None:
        """The answer is printed as it came, and the status is 0."""
        asked: list[admin.Question] = []

        def ask(question: admin.Question) -> str:
            asked.append(question)
            return '"1.2.3.4"'

        with patch.object(admin, "ask", ask):
            ran = run("admin", "--data-dir", "elsewhere", "id", "tg", "1.2.3.4")
        self.assertEqual(Ran(0, '"1.2.3.4"', ""), ran)
        self.assertEqual(["tg 1.2.3.4"], [question.command for question in asked])

    def test_data_folder_from_the_environment(self) -> None:
        """Without an option the data folder is the one the server's variable names."""
        with patch.dict(os.environ, {"RDSERVER_DATA_DIR": "/nowhere"}):
            ran = run("admin", "relay", "u")
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertIn("/nowhere/admin-relay.sock", ran.err)

    def test_nobody_to_ask(self) -> None:
        """The cause goes to the standard error as one line, and the status is 1."""
        ran = run("admin", f"--data-dir={self.mktemp()}", "h")
        self.assertEqual((1, ""), (ran.status, ran.out))
        self.assertTrue(ran.err.startswith("rustdesk-utils: there is no "))
        self.assertEqual(1, ran.err.count("\n"))


class DoctorTests(SynchronousTestCase):
    def test_status(self) -> None:
        """The doctor gets the address, and its status becomes the program's."""
        ran = run("Doctor", "host:2")
        self.assertEqual(Ran(1, "ERROR: host:2 is no HOST or HOST:PORT\n", ""), ran)

    def test_interrupted(self) -> None:
        """Ctrl-C ends a check without a traceback, with the status shells expect."""
        with patch.object(utils.Doctor, "examine", side_effect=KeyboardInterrupt):
            self.assertEqual(Ran(130, "", ""), run("doctor", "localhost"))


class ProcessTests(SynchronousTestCase):
    def test_arguments_of_the_process(self) -> None:
        """As a program it takes its own command line and exits with the status."""
        process = run_process("validatekeypair", PUBLIC, PUBLIC, stdout=subprocess.PIPE)
        out, err = process.communicate(timeout=30)
        self.assertEqual((1, "Invalid Secret key\n", ""), (process.returncode, out, err))

    def test_reader_is_gone(self) -> None:
        """Printing to a program that has ended, as head does, is no traceback."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            process = run_process("genkeypair", stdout=writing)
        finally:
            os.close(writing)
        _, err = process.communicate(timeout=30)
        self.assertEqual((1, ""), (process.returncode, err))
