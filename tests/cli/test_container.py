"""Tests for :mod:`rdserver.cli.container`: the words and variables of a container."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import container, container_server, healthcheck, programs, utils
from rdserver.cli.container_folder import User
from rdserver.settings.config import Config
from rdserver.settings.options import ProgramOptions
from tests.cli.test_utils import OTHER, PUBLIC, SECRET


class ContainerCase(SynchronousTestCase):
    """A container whose data folder is a temporary one; no server really runs."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.addCleanup(os.chdir, Path.cwd())
        self.patch(os, "environ", {})
        self.patch(os, "geteuid", lambda: 10001)
        self.patch(container_server, "usual_folder", lambda: self.folder)
        self.stderr = io.StringIO()
        self.patch(sys, "stderr", self.stderr)
        self.ran: list[tuple[Config, str]] = []
        self.patch(programs, "run", self.run_fake)

    def run_fake(self, options: ProgramOptions, name: str) -> int:
        self.ran.append((options.config, name))
        return 7

    def start(self, *words: str) -> tuple[Config, str]:
        """Return what runs with which settings."""
        self.assertEqual(7, container.main(words), self.stderr.getvalue())
        return self.ran.pop()

    def assert_refused(self, sentence: str, *words: str) -> None:
        """Nothing runs; the sentence is said, and the status is 1."""
        self.assertEqual(1, container.main(words))
        self.assertEqual(f"{sentence}\n", self.stderr.getvalue())
        self.assertEqual([], self.ran)


class WordsTests(ContainerCase):
    """What the words start."""

    def test_servers(self) -> None:
        """Without words, and with options alone, it is the server of both roles."""
        for words, name, role in (
            ((), "rustdesk-server", "all"),
            (("--role=id",), "rustdesk-server", "id"),
            (("rustdesk-server", "--role=relay"), "rustdesk-server", "relay"),
            (("hbbs", "-r", "relay"), "hbbs", "id"),
            (("/usr/bin/hbbr",), "hbbr", "relay"),
        ):
            config, ran = self.start(*words)
            self.assertEqual((name, role), (ran, config.role))

    def test_data_folder(self) -> None:
        """It is the working directory too; another one can be named."""
        config, _name = self.start("hbbs")
        self.assertEqual((str(self.folder), self.folder), (config.data_dir, Path.cwd()))
        other = self.folder / "other"
        other.mkdir()
        for words in (("--data-dir=other",), ("--data-dir", str(other))):
            config, _name = self.start(*words)
            self.assertEqual((str(other), other), (config.data_dir, Path.cwd()))

    def test_utilities(self) -> None:
        """rustdesk-utils is what it is elsewhere, and needs no data folder."""
        self.patch(utils, "main", len)
        self.assertEqual(2, container.main(["rustdesk-utils", "doctor", "host"]))

    def test_other_programs(self) -> None:
        """
        Any other word is a program, which takes the place of this one.

        It can be ended by a broken pipe, as everywhere; this process still cannot.
        """
        executed: list[tuple[str, list[str]]] = []
        ours = signal.getsignal(signal.SIGPIPE)

        def execute(name: str, words: list[str]) -> None:
            self.assertEqual(signal.SIG_DFL, signal.getsignal(signal.SIGPIPE))
            executed.append((name, words))
            raise FileNotFoundError(2, "No such file or directory")

        self.patch(os, "execvp", execute)
        self.assert_refused("sh: cannot be run: No such file or directory", "sh", "-c", "x")
        self.assertEqual([("sh", ["sh", "-c", "x"])], executed)
        self.assertEqual(ours, signal.getsignal(signal.SIGPIPE))

    def test_wrong_setting(self) -> None:
        """The program's own sentence."""
        self.assert_refused("hbbs: 'x' is not an option", "hbbs", "x")

    def test_no_folder(self) -> None:
        """A data folder that is not there is named."""
        self.assert_refused(
            "rustdesk-server: data-dir: /nowhere: No such file or directory",
            "--data-dir=/nowhere",
        )


class VariablesTests(ContainerCase):
    """The variables of the original's images."""

    def test_relay(self) -> None:
        """RELAY names the relay that clients are sent to."""
        os.environ["RELAY"] = "relay.example.com:21117"
        for words in ((), ("hbbs",)):
            config, _name = self.start(*words)
            self.assertEqual(("relay.example.com:21117",), config.relay_servers)

    def test_relay_of_our_own(self) -> None:
        """What names relays in the original's other ways goes before RELAY."""
        os.environ["RELAY"] = "x"
        self.assertEqual(("y",), self.start("hbbs", "-r", "y")[0].relay_servers)
        os.environ["RELAY-SERVERS"] = "z"
        self.assertEqual(("z",), self.start("hbbs")[0].relay_servers)

    def test_empty(self) -> None:
        """Variables that are empty are not there."""
        os.environ.update(RELAY="", ENCRYPTED_ONLY="", KEY_PUB="", KEY_PRIV="")
        config, _name = self.start()
        self.assertEqual(((), None), (config.relay_servers, config.key))

    def test_encrypted_only(self) -> None:
        """ENCRYPTED_ONLY=1 is -k _ for both, whatever KEY is; an option goes before it."""
        os.environ.update(ENCRYPTED_ONLY="1", KEY="")
        for program in ("hbbs", "hbbr", "rustdesk-server"):
            self.assertEqual("_", self.start(program)[0].key)
            self.assertEqual("text", self.start(program, "-k", "text")[0].key)
        os.environ["ENCRYPTED_ONLY"] = "0"
        self.assertEqual("", self.start()[0].key)

    def test_keys(self) -> None:
        """KEY_PUB and KEY_PRIV are kept before the server starts."""
        os.environ.update(KEY_PUB=PUBLIC, KEY_PRIV=SECRET)
        self.start()
        self.assertEqual(SECRET, (self.folder / "id_ed25519").read_text())

    def test_other_key(self) -> None:
        """With another key in the folder nothing starts."""
        os.environ.update(KEY_PUB=PUBLIC, KEY_PRIV=SECRET)
        (self.folder / "id_ed25519").write_text(OTHER.secret_text)
        self.assertEqual(1, container.main([]))
        self.assertIn("holds another key", self.stderr.getvalue())
        self.assertEqual([], self.ran)


class RootTests(ContainerCase):
    """A container that is started as root."""

    def setUp(self) -> None:
        """Root, which gives up its rights only in name."""
        super().setUp()
        self.done: list[object] = []
        self.patch(os, "geteuid", lambda: 0)
        for module in (container, container_server):
            self.patch(module, "image_user", lambda: User(1234, 1235))
        done = self.done

        def become(user: User) -> None:
            done.append(user)

        self.patch(User, "become", become)
        self.patch(os, "fchown", lambda _file, *ids: self.done.append(ids))

    def test_serves_as_the_images_user(self) -> None:
        """Files and folder become that user's, then the process does."""
        (self.folder / "id_ed25519").write_text(SECRET)
        self.start("hbbs")
        self.assertEqual([(1234, 1235), (1234, 1235), User(1234, 1235)], self.done)

    def test_files_do_not_say_what_root_gives(self) -> None:
        """Settings that the server's user may have written name no folder to give."""
        other = self.folder / "other"
        other.mkdir()
        (self.folder / ".env").write_text(f"DB_URL={other}/db\n")
        self.start("hbbs")
        self.assertEqual([(1234, 1235), (1234, 1235), User(1234, 1235)], self.done)
        os.environ["DB_URL"] = f"{other}/db"
        self.start("hbbs")
        self.assertEqual(3 + 4, len(self.done))

    def test_healthcheck(self) -> None:
        """It runs as that user too, and gives nothing away."""
        self.patch(healthcheck, "main", lambda _words, _program: 0)
        self.assertEqual(0, container.main(["healthcheck", "hbbs"]))
        self.assertEqual([User(1234, 1235)], self.done)


class HealthcheckTests(ContainerCase):
    """The first word ``healthcheck``."""

    def setUp(self) -> None:
        """A check that tells what it was asked."""
        super().setUp()
        self.asked: list[tuple[tuple[str, ...], str]] = []
        self.patch(healthcheck, "main", self.ask)

    def ask(self, arguments: tuple[str, ...], options: type[ProgramOptions]) -> int:
        self.asked.append((arguments, options.program.name))
        return 5

    def first_process(self, *words: str) -> None:
        """Let the container have been started so."""
        path = Path(self.mktemp()).absolute()
        path.write_text("".join(f"{word}\0" for word in words))
        self.patch(container_server, "FIRST_PROCESS", path)

    def test_asks_what_runs(self) -> None:
        """Program and options are those of the first process, also behind an init."""
        ours = ("/usr/bin/python3", "-I", "-m", "rdserver.cli.container")
        os.environ["ENCRYPTED_ONLY"] = "1"
        folder = f"--data-dir={self.folder}"
        for init in ((), ("/sbin/docker-init", "--")):
            self.first_process(*init, *ours, "hbbs", "-p", "22116")
            self.assertEqual(5, container.main(["healthcheck"]))
            words = ("--key=_", "-p", "22116", folder)
            self.assertEqual((words, "hbbs"), self.asked.pop())
        self.first_process(*ours)
        container.main(["healthcheck"])
        self.assertEqual("rustdesk-server", self.asked.pop()[1])

    def test_changes_nothing(self) -> None:
        """It writes no key and runs no server."""
        os.environ.update(KEY_PUB=PUBLIC, KEY_PRIV=SECRET)
        container.main(["healthcheck", "hbbr"])
        self.assertEqual(([], []), (os.listdir(self.folder), self.ran))

    def test_named(self) -> None:
        """What runs can be named."""
        self.first_process("/pause")
        self.assertEqual(5, container.main(["healthcheck", "hbbr"]))
        self.assertEqual("hbbr", self.asked.pop()[1])

    def test_no_server(self) -> None:
        """Whoever started something else has nothing healthy."""
        self.first_process("python3", "-m", "rdserver.cli.container", "sh")
        sentence = "healthcheck: what runs in this container is no server"
        self.assert_refused(sentence, "healthcheck")

    def test_strange_process(self) -> None:
        """It does not guess what runs."""
        self.first_process("/pause")
        self.assertEqual(1, container.main(["healthcheck"]))
        self.assertIn("name behind healthcheck what runs in it", self.stderr.getvalue())
