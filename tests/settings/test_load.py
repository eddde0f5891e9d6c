"""Tests for :mod:`rdserver.settings.load`: what texts mean, and what wrong ones do."""

from __future__ import annotations

from ipaddress import IPv4Network

from rdserver.settings.config import SETTINGS
from rdserver.settings.kinds import SelfTest
from tests.settings.folder import FolderCase

# A wrong text of each lenient setting, the reason why it is, and what is used instead.
IGNORED = {
    "SERIAL": ("x", "a whole number from -2147483648 to 2147483647", "0"),
    "RMEM": ("-1", "a whole number from 0 to 2147483647 (bytes)", "0 bytes"),
    "MASK": ("lan", "an IPv4 network such as 192.168.0.0/16", "off"),
    "ALWAYS_USE_RELAY": ("yes", "Y (on) or N (off)", "N"),
    "TOTAL_BANDWIDTH": ("0", "a number from 0.001 to 1000000000 (Mb/s)", "no limit"),
    "SINGLE_BANDWIDTH": ("nan", "a number from 0.001 to 1000000000 (Mb/s)", "no limit"),
    "LIMIT_SPEED": ("-1", "a number from 0.001 to 1000000000 (Mb/s)", "32 Mb/s"),
    "DOWNGRADE_THRESHOLD": ("66%", "a number from 0.001 to 1000", "0.66"),
    "DOWNGRADE_START_CHECK": (
        "0.5",
        "a whole number from 1 to 1000000000 (seconds)",
        "1800 seconds",
    ),
}
# A wrong text of each of our own settings, and the sentence that refuses it.
REFUSED = {
    "role": ("both", "role must be all, id or relay, not 'both'"),
    "data-dir": ("", "data-dir must be a path that is not empty, not ''"),
    "relay-port": (
        "x",
        "Invalid port: relay-port must be a whole number from 3 to 65533, not 'x'",
    ),
    "api-url": (
        "ftp://x",
        "api-url must be an address such as http://127.0.0.1:21114, not 'ftp://x'",
    ),
    "old-keys": ("", "old-keys must be a path that is not empty, not ''"),
    "enrolment": ("closed", "enrolment must be open or approve, not 'closed'"),
    "key-exchange-delay": (
        "-1",
        "key-exchange-delay must be a whole number from 0 to 10000 (ms), not '-1'",
    ),
    "keep-alive": (
        "49",
        "keep-alive must be 0, or a whole number from 50 to 86400 (seconds), not '49'",
    ),
    "relay-path": ("fast", "relay-path must be auto, splice or copy, not 'fast'"),
    "udp-path": ("fast", "udp-path must be auto, batch or plain, not 'fast'"),
    "relay-auth": ("none", "relay-auth must be ticket, key or open, not 'none'"),
    "connections-per-address": (
        "0",
        "connections-per-address must be a whole number from 1 to 10000000, not '0'",
    ),
    "max-connections": (
        "10000001",
        "max-connections must be a whole number from 1 to 10000000, not '10000001'",
    ),
    "relay-waiting-per-address": (
        "",
        "relay-waiting-per-address must be a whole number from 1 to 10000000, not ''",
    ),
    "relay-waiting-total": (
        "-1",
        "relay-waiting-total must be a whole number from 1 to 10000000, not '-1'",
    ),
    "access-file": ("", "access-file must be a path that is not empty, not ''"),
    "tls-cert": ("", "tls-cert must be a path that is not empty, not ''"),
    "tls-key": ("", "tls-key must be a path that is not empty, not ''"),
    "https-port": (
        "70000",
        "https-port must be a whole number from 0 to 65535, not '70000'",
    ),
    "trusted-proxies": (
        "nginx",
        "trusted-proxies must be addresses or networks such as 127.0.0.0/8,::1 separated "
        "by commas, or none, not 'nginx'",
    ),
    "proxy-protocol": (
        "v2",
        "proxy-protocol must be Y, yes, true, 1 or on, or else N, no, false, 0 or off, "
        "not 'v2'",
    ),
    "tcp-console": (
        "perhaps",
        "tcp-console must be Y, yes, true, 1 or on, or else N, no, false, 0 or off, "
        "not 'perhaps'",
    ),
    "log-level": ("trace", "log-level must be debug, info, warn or error, not 'trace'"),
    "log-format": ("xml", "log-format must be text or json, not 'xml'"),
}


class MeaningTests(FolderCase):
    """Every variable of the original and what it sets."""

    def test_original(self) -> None:
        """Its variables set what they always set."""
        config = self.load(
            BIND=" ::1 ",
            PORT="30000",
            KEY="k",
            RELAY_SERVERS=" a , b:1,",
            RENDEZVOUS_SERVERS="c",
            SERIAL="-3",
            SOFTWARE_URL="https://example.org/x",
            RMEM="1048576",
            MASK="192.168.0.0/16",
            LOCAL_IP="192.168.0.2",
            ALWAYS_USE_RELAY="y",
            TEST_HBBS="no",
            DB_URL="other.sqlite3",
        )
        self.assertEqual(
            ("::1", 30000, 30001, "k"),
            (config.bind, config.port, config.relay_port, config.key),
        )
        self.assertEqual(
            (("a", "b:1"), ("c",)), (config.relay_servers, config.rendezvous_servers)
        )
        self.assertEqual(
            (-3, "https://example.org/x"), (config.serial, config.software_url)
        )
        self.assertEqual(
            (1048576, IPv4Network("192.168.0.0/16")), (config.rmem_bytes, config.mask)
        )
        self.assertEqual(("192.168.0.2", True), (config.local_ip, config.always_use_relay))
        self.assertEqual(
            (SelfTest(enabled=False), "other.sqlite3"), (config.test_hbbs, config.db_url)
        )
        self.assertEqual((), config.warnings)

    def test_bandwidth(self) -> None:
        """The relay's five keep their units: Mb/s, a fraction, seconds."""
        config = self.load(
            TOTAL_BANDWIDTH="1024",
            SINGLE_BANDWIDTH="128.5",
            LIMIT_SPEED="0.5",
            DOWNGRADE_THRESHOLD="0.9",
            DOWNGRADE_START_CHECK="60",
        )
        self.assertEqual(
            (1024, 128.5),
            (config.total_bandwidth_mbit_per_s, config.single_bandwidth_mbit_per_s),
        )
        self.assertEqual(
            (0.5, 0.9, 60),
            (
                config.limit_speed_mbit_per_s,
                config.downgrade_threshold,
                config.downgrade_start_check_s,
            ),
        )

    def test_ours(self) -> None:
        """Our variables set what their flags do."""
        config = self.load(
            RDSERVER_ROLE="relay",
            RDSERVER_DATA_DIR="data",
            RDSERVER_RELAY_PORT="4000",
            RDSERVER_RELAY_AUTH="OPEN",
            RDSERVER_CONNECTIONS_PER_ADDRESS="1",
            RDSERVER_MAX_CONNECTIONS="2",
            RDSERVER_RELAY_WAITING_PER_ADDRESS="3",
            RDSERVER_RELAY_WAITING_TOTAL="4",
            RDSERVER_TCP_CONSOLE="on",
            RDSERVER_LOG_LEVEL="warn",
            RDSERVER_LOG_FORMAT="json",
        )
        self.assertEqual(
            ("relay", "data", 4000, "open"),
            (config.role, config.data_dir, config.relay_port, config.relay_auth),
        )
        self.assertEqual((1, 2), (config.connections_per_address, config.max_connections))
        self.assertEqual(
            (3, 4), (config.relay_waiting_per_address, config.relay_waiting_total)
        )
        self.assertEqual(
            (True, "warn", "json"),
            (config.tcp_console, config.log_level, config.log_format),
        )
        self.assertEqual((), config.warnings)


class LenientTests(FolderCase):
    """What the original ignores is ignored, and told once."""

    def test_all_are_listed(self) -> None:
        """No lenient setting is forgotten in the tests below."""
        lenient = {s.variable for s in SETTINGS if s.lenient and not s.without_effect}
        self.assertEqual(set(IGNORED), lenient)

    def test_wrong_values(self) -> None:
        """The warning names variable, value, place, reason and what is used instead."""
        default = self.load()
        for setting in SETTINGS:
            if setting.variable not in IGNORED:
                continue
            text, needs, instead = IGNORED[setting.variable]
            config = self.load_from([], {setting.variable: text})
            expected = (
                f"{setting.name} {text!r} ({setting.variable} in the environment) is "
                f"ignored: it must be {needs}; used instead: {instead}",
            )
            self.assertEqual(expected, config.warnings)
            self.assertEqual(
                getattr(default, setting.field), getattr(config, setting.field)
            )

    def test_places(self) -> None:
        """A wrong value hides those of later places, as in the original."""
        self.write("more.ini", "# first\nserial=x")
        self.write(".env", "RMEM=y")
        config = self.load(
            "-c", "more.ini", "--mask=z", SERIAL="5", RMEM="5", MASK="10.0.0.0/8"
        )
        self.assertEqual((0, 0, None), (config.serial, config.rmem_bytes, config.mask))
        places = [warning.partition(" is ignored")[0] for warning in config.warnings]
        expected = [
            "serial 'x' (serial in 'more.ini' line 2)",
            "rmem 'y' (RMEM in .env line 1)",
        ]
        self.assertEqual([*expected, "mask 'z' (--mask)"], places)

    def test_blank(self) -> None:
        """A blank value is none, which is nothing to warn of."""
        config = self.load_from([], dict.fromkeys(IGNORED, " "))
        self.assertEqual((), config.warnings)
        self.assertEqual(self.load(), config)

    def test_long_values_are_cut(self) -> None:
        """One line of the log is not a whole file, nor two lines."""
        (warning,) = self.load(SERIAL="x" * 81 + "y\n").warnings
        self.assertIn(f"serial '{'x' * 80}' (", warning)
        (warning,) = self.load(SERIAL="1\n2").warnings
        self.assertIn(r"'1\n2'", warning)

    def test_without_effect(self) -> None:
        """A setting that does nothing says so, whatever its value."""
        for text in ("10", "many"):
            config = self.load(MAX_DATABASE_CONNECTIONS=text)
            expected = (
                "max-database-connections (MAX_DATABASE_CONNECTIONS in the environment) "
                "has no effect",
            )
            self.assertEqual(expected, config.warnings)
            self.assertEqual(1, config.max_database_connections)


class StrictTests(FolderCase):
    """A wrong value of our own stops the start with a sentence that names it."""

    def test_all_are_listed(self) -> None:
        """None of our own settings is forgotten in the tests below."""
        self.assertEqual(set(REFUSED), {s.name for s in SETTINGS if s.ours})

    def test_in_the_environment(self) -> None:
        """The sentence says which variable it was."""
        for setting in SETTINGS:
            if setting.ours:
                text, sentence = REFUSED[setting.name]
                origin = f"{setting.variable} in the environment"
                self.assert_refused(f"{sentence} ({origin})", **{setting.variable: text})

    def test_in_files(self) -> None:
        """The sentence says which line it was."""
        for setting in SETTINGS:
            if setting.ours:
                text, sentence = REFUSED[setting.name]
                self.write("more.ini", f"\n{setting.name}={text}")
                origin = f"{setting.name} in 'more.ini' line 2"
                self.assert_refused(f"{sentence} ({origin})", "-c", "more.ini")

    def test_on_the_command_line(self) -> None:
        """The sentence says which option it was."""
        for name, (text, sentence) in REFUSED.items():
            if name not in ("tcp-console", "proxy-protocol"):
                self.assert_refused(f"{sentence} (--{name})", f"--{name}={text}")

    def test_original(self) -> None:
        """The original too refuses a port, an address and a target that are none."""
        port = "Invalid port: port must be a whole number from 3 to 65533, not"
        for text in ("2", "65534", "", "x", "-1"):
            self.assert_refused(f"{port} {text!r} (--port)", "-p", text)
        self.assert_refused(f"{port} 'x' (PORT in the environment)", PORT="x")
        self.assert_refused(
            "bind must be an IP address, or empty for all, not 'lo' (--bind)", "-b", "lo"
        )
        self.assert_refused(
            "test-hbbs must be no, or an IP address with a port such as 127.0.0.1:21116, "
            "not 'yes' (TEST_HBBS in the environment)",
            TEST_HBBS="yes",
        )

    def test_secrets_are_not_repeated(self) -> None:
        """A key that cannot be used does not land in a log."""
        self.assert_refused(
            "key must be text in UTF-8, not this (KEY in the environment)",
            KEY="sesame\udcff",
        )

    def test_contradictions(self) -> None:
        """What settings disagree on is one sentence too."""
        self.assert_refused(
            "relay-auth ticket needs the ID server in the same process: use role all, or "
            "relay-auth key or open",
            "--role=relay",
            "--relay-auth=ticket",
        )


class LogLevelTests(FolderCase):
    """RUST_LOG is read, from the environment alone, when our own setting is silent."""

    def test_words(self) -> None:
        """Its words are ours, and our debug is the most there is."""
        words = {"error": "error", "warn": "warn", "INFO": "info", "debug": "debug"}
        for text, level in {**words, "trace": "debug", "Trace": "debug"}.items():
            config = self.load(RUST_LOG=text)
            self.assertEqual((level, ()), (config.log_level, config.warnings))

    def test_ours_wins(self) -> None:
        """Wherever log-level is given, RUST_LOG is not looked at."""
        self.assertEqual("warn", self.load("--log-level=warn", RUST_LOG="error").log_level)
        config = self.load(RDSERVER_LOG_LEVEL="warn", RUST_LOG="nonsense")
        self.assertEqual(("warn", ()), (config.log_level, config.warnings))

    def test_not_in_files(self) -> None:
        """Source: protocol.md section 6.1."""
        self.write(".env", "RUST_LOG=error")
        self.assertEqual("info", self.load().log_level)

    def test_other_words(self) -> None:
        """What the original's filter language says beyond words is ignored and told."""
        config = self.load(RUST_LOG="hbbs=debug")
        self.assertEqual("info", config.log_level)
        expected = (
            "rust-log 'hbbs=debug' (RUST_LOG in the environment) is ignored: it must be "
            "error, warn, info, debug or trace; used instead: info",
        )
        self.assertEqual(expected, config.warnings)
