"""Tests for :mod:`rdserver.settings.config` and what settings agree on."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError
from rdserver.settings.config import SETTINGS, Config


class RefusalCase(SynchronousTestCase):
    """Asserts about refused configurations."""

    def assert_refused(self, sentence: str, **values: object) -> None:
        error = self.assertRaises(ConfigError, Config, **values)
        self.assertEqual(sentence, str(error))


class DefaultTests(SynchronousTestCase):
    """What a server does that was told nothing."""

    def test_ports(self) -> None:
        """ID server and relay take the original's ports."""
        config = Config()
        self.assertEqual((21115, 21116, 21118), config.id_ports)
        self.assertEqual((21117, 21119), config.relay_ports)

    def test_relay_port_follows_port(self) -> None:
        """The relay is one above the ID server unless it has a port of its own."""
        self.assertEqual(30001, Config(port=30000).relay_port)
        self.assertEqual(40000, Config(port=30000, relay_port=40000).relay_port)

    def test_bandwidth(self) -> None:
        """Nothing limits a relay's bandwidth; downgrading is as in the original."""
        config = Config()
        self.assertIsNone(config.total_bandwidth_mbit_per_s)
        self.assertIsNone(config.single_bandwidth_mbit_per_s)
        self.assertEqual(32, config.limit_speed_mbit_per_s)
        self.assertEqual(0.66, config.downgrade_threshold)
        self.assertEqual(1800, config.downgrade_start_check_s)

    def test_caps(self) -> None:
        """Connections are bounded without any setting."""
        config = Config()
        self.assertEqual(
            (1000, 20000), (config.connections_per_address, config.max_connections)
        )
        waiting = (config.relay_waiting_per_address, config.relay_waiting_total)
        self.assertEqual((100, 10000), waiting)

    def test_frozen(self) -> None:
        """What the program runs with does not change."""
        self.assertRaises(
            attrs.exceptions.FrozenInstanceError, setattr, Config(), "port", 1
        )

    def test_secrets_are_not_printed(self) -> None:
        """A printed configuration shows neither key nor database password."""
        printed = repr(Config(key="abracadabra", db_url="postgresql://me:sesame@host/db"))
        self.assertNotIn("abracadabra", printed)
        self.assertNotIn("sesame", printed)


class StatementTests(SynchronousTestCase):
    """Each setting is stated once, and completely."""

    def test_every_field_is_a_setting(self) -> None:
        """Only the warnings are no setting."""
        fields = {field.name for field in attrs.fields(Config)}
        self.assertEqual({"warnings"}, fields - {setting.field for setting in SETTINGS})

    def test_names_are_unique(self) -> None:
        """No flag, letter or variable means two things."""
        for names in (
            [setting.name for setting in SETTINGS],
            [setting.variable for setting in SETTINGS],
            [setting.short for setting in SETTINGS if setting.short],
        ):
            self.assertEqual(len(names), len(set(names)))

    def test_ours_are_prefixed(self) -> None:
        """Our own variables begin with RDSERVER_, those of the original do not."""
        for setting in SETTINGS:
            self.assertEqual(setting.ours, setting.variable.startswith("RDSERVER_"))

    def test_letters_of_the_original(self) -> None:
        """Its one-letter flags mean what they meant."""
        letters = {s.short: s.name for s in SETTINGS if s.short}
        expected = {
            "b": "bind",
            "c": "config",
            "k": "key",
            "M": "rmem",
            "p": "port",
            "R": "rendezvous-servers",
            "r": "relay-servers",
            "s": "serial",
            "u": "software-url",
        }
        self.assertEqual(expected, letters)

    def test_shown_defaults(self) -> None:
        """A default that is a plain value is told as it is, with its unit."""
        shown = {setting.name: setting.shown_default for setting in SETTINGS}
        self.assertEqual("21116", shown["port"])
        self.assertEqual("1800 seconds", shown["downgrade-start-check"])
        self.assertEqual("no limit", shown["total-bandwidth"])


class PortTests(RefusalCase):
    """Ports exist and do not collide."""

    def test_highest(self) -> None:
        """The WebSocket port, two above, must be a port too."""
        self.assertEqual(65533, Config(role="id", port=65533).port)
        self.assertEqual(65533, Config(role="all", port=65532).relay_port)
        self.assert_refused(
            "Invalid port: port must be a whole number from 3 to 65533, not 65534",
            role="id",
            port=65534,
        )
        self.assert_refused(
            "Invalid port: relay-port must be a whole number from 3 to 65533, not 65534",
            port=65533,
        )

    def test_lowest(self) -> None:
        """Below 3 the original refuses to start."""
        self.assertEqual(3, Config(port=3).port)
        self.assert_refused(
            "Invalid port: port must be a whole number from 3 to 65533, not 2", port=2
        )

    def test_other_role(self) -> None:
        """A port of the server that does not run here is not looked at."""
        self.assertEqual(5, Config(role="relay", port=0, relay_port=5).relay_port)
        self.assertEqual(5, Config(role="id", port=5, relay_port=0).port)

    def test_collision(self) -> None:
        """With both servers in one process no port may be used twice."""
        for relay_port in (21113, 21114, 21115, 21116, 21118):
            error = self.assertRaises(ConfigError, Config, relay_port=relay_port)
            self.assertIn(
                f"relay-port {relay_port} collides with the ID server", str(error)
            )

    def test_collision_sentence(self) -> None:
        """The sentence names all ports of both."""
        self.assert_refused(
            "relay-port 21114 collides with the ID server, which uses the ports "
            "21115, 21116, 21118, while the relay uses 21114, 21116",
            relay_port=21114,
        )

    def test_neighbours(self) -> None:
        """What is beside the ID server's ports is free."""
        for relay_port in (21112, 21117, 21119, 21120):
            self.assertEqual(relay_port, Config(relay_port=relay_port).relay_port)

    def test_separate_roles_may_share(self) -> None:
        """One role alone collides with nothing."""
        self.assertEqual(21116, Config(role="relay", relay_port=21116).relay_port)


class TlsTests(RefusalCase):
    """When TLS is served, and where."""

    def test_nothing_given(self) -> None:
        """Without a certificate there is no port for TLS."""
        self.assertEqual(0, Config().unified_port)

    def test_certificate(self) -> None:
        """A certificate opens port 443; another port may be named, or none."""
        self.assertEqual(443, Config(tls_cert="a.pem").unified_port)
        self.assertEqual(8443, Config(tls_cert="a.pem", https_port=8443).unified_port)
        self.assertEqual(0, Config(tls_cert="a.pem", https_port=0).unified_port)

    def test_key_without_certificate(self) -> None:
        """A private key alone is of no use."""
        self.assert_refused(
            "tls-key is given without tls-cert: name the certificate too", tls_key="k.pem"
        )

    def test_port_without_certificate(self) -> None:
        """A port for TLS that was asked for needs a certificate."""
        self.assert_refused(
            "https-port needs a certificate: give tls-cert and tls-key", https_port=443
        )
        self.assertEqual(0, Config(https_port=0).unified_port)

    def test_collision(self) -> None:
        """It is none of the other ports of this process."""
        self.assert_refused(
            "https-port 21118 is taken by this server itself, which also uses the ports "
            "21115, 21116, 21118, 21117, 21119",
            tls_cert="a.pem",
            https_port=21118,
        )
        relay = Config(role="relay", tls_cert="a.pem", https_port=21118)
        self.assertEqual(21118, relay.unified_port)


class ProxyTests(SynchronousTestCase):
    """Who is believed."""

    def test_default(self) -> None:
        """A proxy on this machine is believed, and must not speak the PROXY protocol."""
        config = Config()
        self.assertEqual(
            ["127.0.0.0/8", "::1/128"], list(map(str, config.trusted_proxies))
        )
        self.assertFalse(config.proxy_protocol)


class ConsoleTests(RefusalCase):
    """Who may use the consoles."""

    def test_no_console_behind_proxies(self) -> None:
        """A console on the original's ports would be open to a proxy's own machine."""
        self.assert_refused(
            "tcp-console would trust what proxies say with proxy-protocol: use the "
            "consoles' sockets in the data folder instead",
            tcp_console=True,
            proxy_protocol=True,
        )


class RelayAuthTests(RefusalCase):
    """Whom the relay serves when nobody said, and what cannot work."""

    def test_both_roles(self) -> None:
        """With the ID server in the process, it serves announced sessions only."""
        self.assertEqual("ticket", Config().relay_auth)
        self.assertEqual("ticket", Config(key="").relay_auth)

    def test_relay_alone(self) -> None:
        """A relay on its own asks for the key."""
        self.assertEqual("key", Config(role="relay").relay_auth)
        self.assertEqual("key", Config(role="relay", key="-").relay_auth)

    def test_explicitly_empty_key(self) -> None:
        """The original's word for an open relay is understood."""
        self.assertEqual("open", Config(role="relay", key="").relay_auth)

    def test_said(self) -> None:
        """What was said counts."""
        self.assertEqual("key", Config(relay_auth="key").relay_auth)
        self.assertEqual("open", Config(relay_auth="open").relay_auth)
        self.assertEqual("open", Config(key="x", relay_auth="open").relay_auth)

    def test_ticket_without_id_server(self) -> None:
        """Nobody would announce sessions to a relay on its own."""
        self.assert_refused(
            "relay-auth ticket needs the ID server in the same process: use role all, or "
            "relay-auth key or open",
            role="relay",
            relay_auth="ticket",
        )

    def test_key_without_key(self) -> None:
        """Asking for a key that is explicitly none is a contradiction."""
        sentence = (
            "relay-auth key needs a key, but key is explicitly empty: give a key, or use "
            "relay-auth ticket with role all, or relay-auth open"
        )
        self.assert_refused(sentence, relay_auth="key", key="")
        self.assert_refused(sentence, role="relay", relay_auth="key", key="")

    def test_open_with_key(self) -> None:
        """A relay on its own has no other use for a key than to ask for it."""
        sentence = (
            "relay-auth open would leave the key unasked: give relay-auth key, or no key"
        )
        self.assert_refused(sentence, role="relay", relay_auth="open", key="x")
        self.assertEqual("open", Config(role="relay", relay_auth="open").relay_auth)

    def test_id_server_alone(self) -> None:
        """Without a relay it does not matter."""
        for relay_auth in ("ticket", "key", "open"):
            config = Config(role="id", key="", relay_auth=relay_auth)
            self.assertEqual(relay_auth, config.relay_auth)
