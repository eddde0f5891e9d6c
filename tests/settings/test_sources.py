"""Tests for :mod:`rdserver.settings.sources`: which of several texts counts."""

from __future__ import annotations

from itertools import combinations

from rdserver.settings.sources import spelled
from tests.settings.folder import FolderCase

SPELLINGS = (
    "RELAY-SERVERS",
    "RELAY_SERVERS",
    "relay-servers",
    "relay_servers",
    "RELAY-Servers",
    "Relay_Servers",
    "relay_Servers",
)


class SpelledTests(FolderCase):
    """Which spelling of a variable counts. Source: protocol.md section 6.3."""

    def test_each_alone(self) -> None:
        """Any spelling does."""
        for spelling in SPELLINGS:
            self.assertEqual(spelling, spelled("RELAY_SERVERS", [spelling]))

    def test_each_pair(self) -> None:
        """Of two, the one that is earlier in the list above counts."""
        for first, second in combinations(SPELLINGS, 2):
            self.assertEqual(first, spelled("RELAY_SERVERS", [second, first]))

    def test_none(self) -> None:
        """Other names are other variables."""
        self.assertIsNone(
            spelled("RELAY_SERVERS", ["RELAY", "RELAYSERVERS", "RELAY__SERVERS"])
        )


class PrecedenceTests(FolderCase):
    """Command line, file of --config, .env, environment, default, in this order."""

    def winner(self, places: tuple[str, ...], name: str, variable: str) -> str:
        """Return the place whose value counts when each gives its own name as value."""
        file = self.write("more.ini", f"{name}=file" if "file" in places else "")
        self.write(".env", f"{variable}=.env" if ".env" in places else "")
        environ = {variable: "environment"} if "environment" in places else {}
        typed = [f"--{name}=line"] if "line" in places else []
        config = self.load_from([*typed, "-c", str(file)], environ)
        value = getattr(config, name.replace("-", "_"))
        return str(value[0] if isinstance(value, tuple) else value)

    def test_each_pair(self) -> None:
        """Of two places the earlier one counts, for settings of the original and ours."""
        order = ("line", "file", ".env", "environment")
        for first, second in combinations(order, 2):
            for name, variable in (
                ("relay-servers", "RELAY_SERVERS"),
                ("data-dir", "RDSERVER_DATA_DIR"),
            ):
                self.assertEqual(first, self.winner((first, second), name, variable))

    def test_each_alone(self) -> None:
        """Each place is enough."""
        for place in ("line", "file", ".env", "environment"):
            self.assertEqual(place, self.winner((place,), "key", "KEY"))
            self.assertEqual(place, self.winner((place,), "data-dir", "RDSERVER_DATA_DIR"))

    def test_default(self) -> None:
        """What is given nowhere has its default."""
        self.assertEqual(".", self.winner((), "data-dir", "RDSERVER_DATA_DIR"))

    def test_spelling_does_not_outrank_place(self) -> None:
        """The worst spelling in .env goes before the best one in the environment."""
        self.write(".env", "relay_servers=x\n")
        config = self.load_from([], {"RELAY-SERVERS": "y"})
        self.assertEqual(("x",), config.relay_servers)
        self.assertEqual(
            ("z",), self.load_from(["-r", "z"], {"RELAY-SERVERS": "y"}).relay_servers
        )

    def test_spellings_everywhere(self) -> None:
        """All spellings work in the environment, in .env and in the file."""
        for spelling in SPELLINGS:
            self.write(".env", "")
            self.assertEqual(("x",), self.load_from([], {spelling: "x"}).relay_servers)
            self.write(".env", f"{spelling}=y")
            self.assertEqual(("y",), self.load().relay_servers)
            self.write("more.ini", f"{spelling}=z")
            self.assertEqual(("z",), self.load("-c", "more.ini").relay_servers)

    def test_spellings_of_ours(self) -> None:
        """The prefix too may be spelled in any way."""
        for spelling in ("RDSERVER_DATA_DIR", "RDSERVER-DATA-DIR", "rdserver_data_dir"):
            self.assertEqual("x", self.load_from([], {spelling: "x"}).data_dir)

    def test_empty_counts_as_given(self) -> None:
        """An empty key hides the one of a later place, and differs from none."""
        self.assertIsNone(self.load().key)
        self.assertEqual("", self.load("-k", "", KEY="secret").key)
        self.assertEqual("", self.load(KEY="").key)
        self.write(".env", "KEY=")
        self.assertEqual("", self.load(KEY="secret").key)

    def test_ours_need_their_prefix(self) -> None:
        """ROLE, set for something else, changes nothing in the environment and .env."""
        self.write(".env", "ROLE=id\nDATA_DIR=x")
        config = self.load(ROLE="relay", LOG_LEVEL="loud")
        self.assertEqual(
            ("all", ".", "info"), (config.role, config.data_dir, config.log_level)
        )
        self.assertEqual((), config.warnings)

    def test_config_is_not_read_elsewhere(self) -> None:
        """Only the command line names the file. Source: protocol.md section 6.1."""
        self.write(".env", "CONFIG=missing.ini")
        self.assertEqual("", self.load(CONFIG="missing.ini").config_file)
        self.assertEqual("", self.load(RDSERVER_LOG_LEVEL="warn").config_file)


class ConfigFileTests(FolderCase):
    """The file of --config is asked for, so it must be there and be right."""

    def test_relative(self) -> None:
        """A relative name starts from the working directory."""
        self.write("more.ini", "port = 30000\nrole = id\n")
        config = self.load("-c", "more.ini")
        self.assertEqual(
            (30000, "id", "more.ini"), (config.port, config.role, config.config_file)
        )
        self.assertEqual((), config.warnings)

    def test_missing(self) -> None:
        """A file that is not there stops the start."""
        self.assert_refused(
            "config 'no.ini' cannot be read: No such file or directory", "-c", "no.ini"
        )

    def test_folder(self) -> None:
        """So does a folder."""
        self.assert_refused("config '.' cannot be read: Is a directory", "--config=.")

    def test_not_text(self) -> None:
        """So does a file of something else."""
        (self.folder / "more.ini").write_bytes(b"key=\xff\xfe")
        self.assert_refused(
            "config 'more.ini' cannot be read: it is not text in UTF-8", "-c", "more.ini"
        )

    def test_byte_order_mark(self) -> None:
        """The mark that some editors write is no part of the first name."""
        (self.folder / "more.ini").write_bytes(b"\xef\xbb\xbfport=30000")
        self.assertEqual(30000, self.load("-c", "more.ini").port)

    def test_bad_line(self) -> None:
        """A line that says nothing stops the start, and is not repeated."""
        self.write("more.ini", "port=30000\n# fine\nsesame\n")
        self.assert_refused(
            "config 'more.ini' line 3 is wrong: there is no = or :", "-c", "more.ini"
        )

    def test_unknown_name(self) -> None:
        """A name that is no setting is told and ignored."""
        self.write("more.ini", "prot=1\nconfig=x\nRDSERVER_ROLE=id\nport=30000")
        config = self.load("-c", "more.ini")
        expected = [
            "'prot' in 'more.ini' line 1 is ignored: there is no such setting",
            "'config' in 'more.ini' line 2 is ignored: there is no such setting",
            "'RDSERVER_ROLE' in 'more.ini' line 3 is ignored: there is no such setting",
        ]
        self.assertEqual(expected, list(config.warnings))
        self.assertEqual((30000, "all"), (config.port, config.role))

    def test_key_file(self) -> None:
        """A private key that is read by mistake is not repeated in the log."""
        self.write("id_ed25519", "k" * 86 + "==")
        place = "a name of 86 letters in 'id_ed25519' line 1"
        expected = f"{place} is ignored: there is no such setting"
        self.assertEqual((expected,), self.load("-c", "id_ed25519").warnings)

    def test_section(self) -> None:
        """What a section hides is told."""
        self.write("more.ini", "serial=1\n[id]\nport=30000")
        config = self.load("-c", "more.ini")
        self.assertEqual(
            ("'more.ini' is ignored from line 2 on: a section begins there",),
            config.warnings,
        )
        self.assertEqual((1, 21116), (config.serial, config.port))


class EnvFileTests(FolderCase):
    """.env is read if it happens to be there, so it never stops the start."""

    def test_missing(self) -> None:
        """Most folders have none."""
        self.assertEqual((), self.load().warnings)

    def test_unreadable(self) -> None:
        """One that cannot be read is told and ignored."""
        (self.folder / ".env").mkdir()
        self.assertEqual((".env is ignored: Is a directory",), self.load().warnings)

    def test_not_text(self) -> None:
        """One of something else is told and ignored."""
        (self.folder / ".env").write_bytes(b"\xff")
        self.assertEqual(
            (".env is ignored: it is not text in UTF-8",), self.load().warnings
        )

    def test_bad_line(self) -> None:
        """A bad line is told and skipped; the others count."""
        self.write(".env", "port=30000\nsesame\nkey='x\nserial=7")
        config = self.load()
        expected = (
            ".env line 2 is ignored: there is no = or :",
            ".env line 3 is ignored: the quote is not closed",
        )
        self.assertEqual(expected, config.warnings)
        self.assertEqual((30000, 7), (config.port, config.serial))

    def test_other_names(self) -> None:
        """Other programs' names are none of our business, unless they have our prefix."""
        self.write(".env", "COMPOSE_PROJECT_NAME=x\nRDSERVER_RLOE=id")
        expected = ("'RDSERVER_RLOE' in .env line 2 is ignored: there is no such setting",)
        self.assertEqual(expected, self.load().warnings)


class EnvironmentTests(FolderCase):
    """The environment belongs to everybody."""

    def test_other_names(self) -> None:
        """Only our prefix makes an unknown variable worth a warning."""
        config = self.load_from(
            [], {"PATH": "/bin", "RDSERVER_PORT": "1", "rdserver-x": ""}
        )
        expected = (
            "'RDSERVER_PORT' in the environment is ignored: there is no such setting",
            "'rdserver-x' in the environment is ignored: there is no such setting",
        )
        self.assertEqual(expected, config.warnings)
