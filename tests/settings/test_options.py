"""Tests for :mod:`rdserver.settings.options`."""

from __future__ import annotations

import io
import sys

from twisted.python.usage import UsageError

import rdserver
from rdserver.settings.config import SETTINGS
from rdserver.settings.options import HbbrOptions, HbbsOptions
from tests.settings.folder import FolderCase


class PrintingCase(FolderCase):
    """Catches what options print before they end the process."""

    def printed(self, *arguments: str) -> str:
        """Return what is printed before an exit with status 0."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        error = self.assertRaises(SystemExit, self.load, *arguments)
        self.assertEqual(0, error.code)
        return out.getvalue()

    def words(self, *arguments: str) -> str:
        """Return what is printed, with any blanks and line ends as one blank."""
        return " ".join(self.printed(*arguments).split())


class OptionsTests(PrintingCase):
    """The command line of ``rustdesk-server``."""

    def test_every_setting_is_an_option(self) -> None:
        """Help explains each of them with what it must be and its default."""
        help_text = self.words("--help")
        for setting in SETTINGS:
            self.assertIn(f"--{setting.name}", help_text)
            self.assertIn(setting.meaning, help_text)
            if not setting.kind.is_flag:
                needs = f"[{setting.needs}; default: {setting.shown_default}]"
                self.assertIn(needs, help_text)

    def test_help_is_wrapped(self) -> None:
        """Help fits on a terminal."""
        self.patch(sys.modules["os"], "environ", {"COLUMNS": "80"})
        lines = self.printed("-h").splitlines()
        self.assertEqual("Usage: rustdesk-server [options]", lines[0])
        self.assertEqual([], [line for line in lines if len(line) > 80])

    def test_version(self) -> None:
        """Both spellings print name and version."""
        expected = f"rustdesk-server {rdserver.__version__}\n"
        self.assertEqual(expected, self.printed("--version"))
        self.assertEqual(expected, self.printed("-V"))

    def test_letters(self) -> None:
        """A letter is its long flag, with the value behind it or after a blank."""
        config = self.load("-p30000", "-b", "::1", "-k-", "-M", "5")
        self.assertEqual(
            (30000, "::1", "-", 5),
            (config.port, config.bind, config.key, config.rmem_bytes),
        )
        self.assertEqual("-", self.load("-k", "-").key)

    def test_letters_with_equals_sign(self) -> None:
        """Between a letter and its value may be an equals sign, as with the original."""
        config = self.load("-p=30000", "-k=_", "-r=host:21117", "-u=http://x/?a=b", "-b=")
        self.assertEqual((30000, "_", ""), (config.port, config.key, config.bind))
        self.assertEqual(("host:21117",), config.relay_servers)
        self.assertEqual("http://x/?a=b", config.software_url)
        self.assertEqual("=x", self.load("--key==x").key)
        self.assert_refused("option -x not recognized", "-x=1")

    def test_last_counts(self) -> None:
        """Of an option given twice the last value counts, so that ARGS can override."""
        config = self.load("--data-dir=a", "-p", "4", "--port=5", "--data-dir", "b")
        self.assertEqual((5, "b"), (config.port, config.data_dir))

    def test_zero_is_a_value(self) -> None:
        """A 0 on the command line hides what is said elsewhere."""
        self.assertEqual(0, self.load("-s", "0", SERIAL="5").serial)

    def test_flags(self) -> None:
        """Flags take no value and are off unless they are given."""
        config = self.load("--tcp-console", "--always-use-relay")
        self.assertEqual((True, True), (config.tcp_console, config.always_use_relay))
        config = self.load()
        self.assertEqual((False, False), (config.tcp_console, config.always_use_relay))
        self.assertRaises(UsageError, self.load, "--tcp-console=no")

    def test_flag_goes_before_files(self) -> None:
        """A flag counts although .env says otherwise."""
        self.write(".env", "RDSERVER_TCP_CONSOLE=no")
        self.assertFalse(self.load().tcp_console)
        self.assertTrue(self.load("--tcp-console").tcp_console)

    def test_not_an_option(self) -> None:
        """What is no option is refused by name."""
        self.assert_refused("'start' is not an option", "start")
        self.assert_refused("option --prot not recognized", "--prot=1")
        self.assert_refused("option -x not recognized", "-x")
        self.assert_refused("option --port requires argument", "--port")

    def test_inherited_environment(self) -> None:
        """Unless told otherwise, the process's own variables and folder are read."""
        self.write(".env", "SERIAL=7")
        self.patch(sys.modules["os"], "environ", {"PORT": "30000"})
        options = self.program(directory=self.folder)
        options.parseOptions([])
        self.assertEqual((30000, 7), (options.config.port, options.config.serial))


class HbbsTests(PrintingCase):
    """The original ID server's command line. Source: protocol.md section 6.1."""

    program = HbbsOptions

    def test_original(self) -> None:
        """Every flag of the original, in a start script's way."""
        self.write("more.ini", "software-url=http://x")
        config = self.load(
            *("-b", "127.0.0.1", "-p", "30000", "-s", "3", "-R", "a,b", "-u", "http://y"),
            *("-r", "relay:21117", "-M", "4096", "--mask", "10.0.0.0/8", "-k", "_"),
            *("-c", "more.ini"),
        )
        self.assertEqual(("id", "."), (config.role, config.data_dir))
        self.assertEqual(
            ("127.0.0.1", (29999, 30000, 30002)), (config.bind, config.id_ports)
        )
        self.assertEqual(
            (3, ("a", "b"), "http://y"),
            (config.serial, config.rendezvous_servers, config.software_url),
        )
        self.assertEqual(
            (("relay:21117",), 4096), (config.relay_servers, config.rmem_bytes)
        )
        self.assertEqual(("10.0.0.0/8", "_"), (str(config.mask), config.key))

    def test_long_flags(self) -> None:
        """The long flags of the original exist."""
        config = self.load(
            *("--bind=::1", "--port=30000", "--serial=3", "--rendezvous-servers=a"),
            *("--software-url=u", "--relay-servers=r", "--rmem=1", "--key=k"),
        )
        self.assertEqual((30000, "k"), (config.port, config.key))

    def test_environment(self) -> None:
        """PORT is the ID server's own port."""
        self.assertEqual(22116, self.load(PORT="22116").port)
        self.assertEqual("id", self.load(RDSERVER_ROLE="relay").role)

    def test_invalid_port(self) -> None:
        """A port below 3 is refused in the original's words."""
        self.assert_refused(
            "Invalid port: port must be a whole number from 3 to 65533, not '2' (--port)",
            "-p",
            "2",
        )

    def test_other_options(self) -> None:
        """Ours are taken too, but not what concerns the relay or would change the role."""
        config = self.load("--data-dir=x", "--log-level=debug", "--tcp-console")
        self.assertEqual(
            ("x", "debug", True), (config.data_dir, config.log_level, config.tcp_console)
        )
        for argument in ("--role=all", "--relay-port=5", "--total-bandwidth=1"):
            self.assertRaises(UsageError, self.load, argument)

    def test_relay_settings_are_not_read(self) -> None:
        """What another program of this machine is told does not stop this one."""
        config = self.load(RDSERVER_RELAY_PORT="x", LIMIT_SPEED="x")
        self.assertEqual((), config.warnings)

    def test_version(self) -> None:
        """The line begins with the program's name."""
        self.assertEqual(f"hbbs {rdserver.__version__}\n", self.printed("-V"))
        self.assertIn("Usage: hbbs [options]", self.printed("--help"))


class HbbrTests(PrintingCase):
    """The original relay's command line. Source: protocol.md sections 4.1 and 6.2."""

    program = HbbrOptions

    def test_original(self) -> None:
        """Every flag of the original; the port is the relay's own."""
        config = self.load("-b", "127.0.0.1", "-p", "30000", "-k", "_")
        self.assertEqual(("relay", "."), (config.role, config.data_dir))
        self.assertEqual(("127.0.0.1", "_"), (config.bind, config.key))
        self.assertEqual((30000, 30002), config.relay_ports)

    def test_default_port(self) -> None:
        """Without any port it is the original's."""
        self.assertEqual(21117, self.load().relay_port)

    def test_port_variable(self) -> None:
        """PORT is the ID server's here too, in the environment and in .env."""
        self.assertEqual(22117, self.load(PORT="22116").relay_port)
        self.write(".env", "port=32116")
        self.assertEqual(32117, self.load(PORT="22116").relay_port)
        self.assertEqual(22117, self.load("-p", "22117", PORT="1").relay_port)

    def test_bounds_of_port_variable(self) -> None:
        """One above PORT, and the port two above that, must exist."""
        self.assertEqual(3, self.load(PORT="2").relay_port)
        self.assertEqual(65533, self.load(PORT="65532").relay_port)
        self.assertEqual(21117, self.load(PORT="65533").relay_port)

    def test_unusable_port_variable(self) -> None:
        """A PORT that is none is ignored and told; an empty one is none."""
        self.assertEqual((), self.load(PORT="").warnings)
        for text in ("x", "0", "-5", "1", "65533"):
            config = self.load(PORT=text)
            self.assertEqual(21117, config.relay_port)
            expected = (
                f"port {text!r} (PORT in the environment) is ignored: it must be a whole "
                "number from 2 to 65532; used instead: 21117",
            )
            self.assertEqual(expected, config.warnings)

    def test_our_variable(self) -> None:
        """Our own variable names the relay's port itself, and goes before PORT."""
        config = self.load(RDSERVER_RELAY_PORT="4000", PORT="x")
        self.assertEqual((4000, ()), (config.relay_port, config.warnings))
        config = self.load("-p", "5000", RDSERVER_RELAY_PORT="4000")
        self.assertEqual(5000, config.relay_port)

    def test_invalid_port(self) -> None:
        """A wrong port on the command line is refused in the original's words."""
        sentence = "Invalid port: port must be a whole number from 3 to 65533, not"
        for text in ("2", "65534", "x", ""):
            self.assert_refused(f"{sentence} {text!r} (--port)", "-p", text)

    def test_key(self) -> None:
        """An explicitly empty key is the original's word for an open relay."""
        self.assertEqual("key", self.load().relay_auth)
        self.assertEqual("open", self.load("-k", "").relay_auth)
        self.assertEqual("open", self.load(KEY="").relay_auth)

    def test_bandwidth(self) -> None:
        """The five names of the original are read from the environment."""
        config = self.load(TOTAL_BANDWIDTH="5", DOWNGRADE_START_CHECK="6")
        self.assertEqual(5, config.total_bandwidth_mbit_per_s)
        self.assertEqual(6, config.downgrade_start_check_s)

    def test_other_options(self) -> None:
        """Ours are taken too, but no file and nothing of the ID server."""
        config = self.load("--relay-auth=open", "--limit-speed=1")
        self.assertEqual(("open", 1), (config.relay_auth, config.limit_speed_mbit_per_s))
        for argument in ("--config=x", "-cx", "--role=id", "-ra", "--serial=1"):
            self.assertRaises(UsageError, self.load, argument)

    def test_version(self) -> None:
        """The line begins with the program's name."""
        self.assertEqual(f"hbbr {rdserver.__version__}\n", self.printed("--version"))
