"""
Every setting, stated once, and the frozen values that the program runs with.

Nothing here reads a file, the environment or the command line.
Source: protocol.md sections 4.2 and 6.
"""
# ruff: noqa: RUF009 - setting() declares a field, as attrs.field does.

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network, ip_network
from typing import Literal

from attrs import Factory, frozen

from rdserver.settings import agreement, kinds
from rdserver.settings.kinds import IPNetwork, SelfTest
from rdserver.settings.model import setting, settings_of

Role = Literal["all", "id", "relay"]
RelayAuth = Literal["ticket", "key", "open"]
RelayPath = Literal["auto", "splice", "copy"]
Enrolment = Literal["open", "approve"]
UdpPath = Literal["auto", "batch", "plain"]
LogLevel = Literal["debug", "info", "warn", "error"]
LogFormat = Literal["text", "json"]

DEFAULT_HTTPS_PORT = 443

_BIGGEST_INT32 = 2**31 - 1
_PORT = kinds.whole(agreement.LOWEST_PORT, agreement.HIGHEST_PORT)
_COUNT = kinds.whole(1, 10_000_000)

_of_id_server = partial(setting, used_by="ID server")
_of_relay = partial(setting, used_by="relay")
_speed_limit = partial(
    _of_relay, kinds.number(0.001, 1_000_000_000), unit="Mb/s", lenient=True
)


def _default_relay_auth(config: Config) -> RelayAuth:
    if config.role != "relay":
        return "ticket"
    return "open" if config.key == "" else "key"


@frozen(kw_only=True)
class Config:
    """
    The values of all settings; each field's meaning is the text beside it.

    Fields without a unit in their name have none. ``key`` is ``None`` when nothing was
    given, which is not the same as the empty text: that one asks for no key check.
    ``relay_port`` and ``relay_auth`` are always decided, also when they were not given.

    :ivar warnings: one line for each thing that was ignored, to be logged at start.
    :raises ConfigError: when the values contradict each other.
    """

    role: Role = setting(
        kinds.choice("all", "id", "relay"),
        "all",
        "What this process is: the ID server, the relay, or both",
        ours=True,
    )
    data_dir: str = setting(
        kinds.path(),
        ".",
        "Folder of the key pair, the database, the lists of addresses and the "
        "administration sockets",
        shown_default="the working directory",
        ours=True,
    )
    config_file: str = setting(
        kinds.path(),
        "",
        "INI file with further settings, one name=value on a line",
        name="config",
        short="c",
        shown_default="none",
        command_line_only=True,
    )
    bind: str = setting(
        kinds.interface(),
        "",
        "The only IP address to listen on",
        short="b",
        shown_default="all addresses",
    )
    port: int = _of_id_server(
        _PORT,
        21116,
        "UDP and TCP port of the ID server; port-1 is for the NAT test and port+2 for "
        "WebSocket",
        short="p",
        complaint="Invalid port: ",
    )
    relay_port: int = _of_relay(
        _PORT,
        Factory(lambda config: config.port + 1, takes_self=True),
        "TCP port of the relay; relay-port+2 is for WebSocket",
        shown_default="port+1",
        ours=True,
        complaint="Invalid port: ",
    )
    key: str | None = setting(
        kinds.text(),
        None,
        "Key that clients must present: a private key of 64 bytes in base64, any other "
        "text literally, - or _ for the key pair in the data folder, or empty for no "
        "check (which makes a relay on its own an open one)",
        short="k",
        shown_default="-",
        secret=True,
    )
    old_keys: str = setting(
        kinds.path(),
        "",
        "File of former key pairs, base64 of 64 bytes on each line, mode 0600: clients "
        "that have such a key are still served; a relay on its own takes public keys too",
        shown_default="none",
        ours=True,
    )
    enrolment: Enrolment = _of_id_server(
        kinds.choice("open", "approve"),
        "open",
        "Which devices may join: all (open), or only those that are stored already or "
        "that an operator has approved (approve)",
        ours=True,
    )
    key_exchange_delay_ms: int = _of_id_server(
        kinds.whole(0, 10_000),
        150,
        "How long a TCP client must say nothing until the server begins a key exchange, "
        "for which signed-in clients wait; 0 is at once",
        name="key-exchange-delay",
        unit="ms",
        ours=True,
    )
    keep_alive_s: int = _of_id_server(
        kinds.whole_or_zero(50, 86_400),  # two heartbeats at least (protocol.md 7.15)
        0,
        "What devices that hold a connection are told: without a sign of life from the "
        "server for 1.5 times as long they connect again; 0 leaves it to them (60 s)",
        name="keep-alive",
        unit="seconds",
        ours=True,
    )
    api_url: str = _of_id_server(
        kinds.http_url(),
        "",
        "The HTTP API server, to which requests of clients are passed on that cannot reach "
        "it themselves and send them to the ID server",
        shown_default="none",
        ours=True,
    )
    relay_auth: RelayAuth = _of_relay(
        kinds.choice("ticket", "key", "open"),
        Factory(_default_relay_auth, takes_self=True),
        "Whom the relay serves: sessions that the ID server of this process announced "
        "(ticket), whoever presents the key (key), or everybody (open)",
        shown_default="ticket with role all; key with role relay, open if the key is "
        "explicitly empty",
        ours=True,
    )
    relay_servers: tuple[str, ...] = _of_id_server(
        kinds.items(),
        (),
        "Relays that clients are sent to, each HOST or HOST:PORT, separated by commas",
        short="r",
        shown_default="none",
    )
    rendezvous_servers: tuple[str, ...] = _of_id_server(
        kinds.items(),
        (),
        "ID servers that clients are told to use instead, separated by commas (obsolete)",
        short="R",
        shown_default="none",
    )
    serial: int = _of_id_server(
        kinds.whole(-_BIGGEST_INT32 - 1, _BIGGEST_INT32),
        0,
        "Number of the list of rendezvous-servers: clients with a lower one are told the "
        "list (obsolete)",
        short="s",
        lenient=True,
    )
    software_url: str = _of_id_server(
        kinds.text(),
        "",
        "Address of the newest client, told to clients that ask (obsolete)",
        short="u",
        shown_default="none",
    )
    rmem_bytes: int = _of_id_server(
        kinds.whole(0, _BIGGEST_INT32),
        0,
        "Receive buffer of the UDP socket; 0 asks the system for 4 MiB. More than the "
        "sysctl net.core.rmem_max is not granted",
        name="rmem",
        unit="bytes",
        short="M",
        lenient=True,
    )
    udp_path: UdpPath = _of_id_server(
        kinds.choice("auto", "batch", "plain"),
        "auto",
        "How datagrams are taken from the system: many by one call (batch), or one by "
        "one (plain); auto takes the first where the system has it",
        ours=True,
    )
    mask: IPv4Network | None = _of_id_server(
        kinds.ipv4_network(),
        None,
        "Network of server and clients behind one router: clients in it are sent to the "
        "relay by its local address",
        shown_default="off",
        lenient=True,
    )
    local_ip: str = _of_id_server(
        kinds.text(),
        "",
        "Local address of the relay that clients inside mask are given",
        shown_default="the machine's primary address",
    )
    always_use_relay: bool = _of_id_server(
        kinds.only_y(),
        False,
        "Send every connection through a relay, also those that could be direct",
        shown_default="N",
        lenient=True,
    )
    access_file: str = _of_id_server(
        kinds.path(),
        "",
        "File of rules which devices may be reached from where (docs/access.md), read "
        "again when it changes",
        shown_default="none, everybody may reach every device",
        ours=True,
    )
    test_hbbs: SelfTest = _of_id_server(
        kinds.self_test(),
        SelfTest(),
        "What the self test asks: an IP address with UDP port, or no for no test",
        shown_default="the own address",
    )
    db_url: str = _of_id_server(
        kinds.text(),
        "",
        "Database: the path of an SQLite file, or its URL",
        shown_default="db_v2.sqlite3 in the data folder",
        secret=True,
    )
    max_database_connections: int = _of_id_server(
        _COUNT,
        1,
        "Has no effect; it is accepted so that old start scripts work",
        lenient=True,
        without_effect=True,
    )
    total_bandwidth_mbit_per_s: float | None = _speed_limit(
        None,
        "Limit for all relayed sessions together",
        name="total-bandwidth",
        shown_default="no limit",
    )
    single_bandwidth_mbit_per_s: float | None = _speed_limit(
        None,
        "Limit for each relayed session",
        name="single-bandwidth",
        shown_default="no limit",
    )
    limit_speed_mbit_per_s: float = _speed_limit(
        32.0,
        "Limit for a downgraded session and for addresses of blacklist.txt",
        name="limit-speed",
        shown_default="32 Mb/s",
    )
    downgrade_threshold: float = _of_relay(
        kinds.number(0.001, 1000),
        0.66,
        "Part of single-bandwidth: a session that has used more on average is downgraded; "
        "without single-bandwidth none is",
        lenient=True,
    )
    downgrade_start_check_s: int = _of_relay(
        kinds.whole(1, 1_000_000_000),
        1800,
        "Age from which a session can be downgraded",
        name="downgrade-start-check",
        unit="seconds",
        lenient=True,
    )
    connections_per_address: int = setting(
        _COUNT,
        1000,
        "Open TCP connections of one IP address (of one /64 in IPv6) for each listening "
        "port; further ones are closed",
        ours=True,
    )
    max_connections: int = setting(
        _COUNT,
        20000,
        "Open TCP connections for each listening port; further ones are closed",
        ours=True,
    )
    relay_path: RelayPath = _of_relay(
        kinds.choice("auto", "splice", "copy"),
        "auto",
        "How relayed bytes move: by the kernel where it can (splice), or through this "
        "process (copy); auto takes the first where the system has it",
        ours=True,
    )
    relay_waiting_per_address: int = _of_relay(
        _COUNT,
        100,
        "Relay connections of one IP address (of one /64 in IPv6) that may wait for their "
        "partner",
        ours=True,
    )
    relay_waiting_total: int = _of_relay(
        _COUNT,
        10000,
        "Relay connections that may wait for their partner, all together",
        ours=True,
    )
    tls_cert: str = setting(
        kinds.path(),
        "",
        "Certificate for TLS: a PEM file with the whole chain (fullchain.pem), read again "
        "when it changes",
        shown_default="none",
        ours=True,
    )
    tls_key: str = setting(
        kinds.path(),
        "",
        "Private key of the certificate, a PEM file",
        shown_default="in the file of tls-cert",
        ours=True,
    )
    https_port: int | None = setting(
        kinds.whole(0, 65535),
        None,
        "One TCP port for everything over TLS: /ws/id, /ws/relay and /healthz; 0 is none",
        shown_default="443 where there is a certificate, else none",
        ours=True,
    )
    trusted_proxies: tuple[IPNetwork, ...] = setting(
        kinds.networks(),
        (ip_network("127.0.0.0/8"), ip_network("::1/128")),
        "Whom to believe what address a client has (X-Real-IP, X-Forwarded-For, and the "
        "PROXY protocol): addresses and networks separated by commas",
        shown_default="127.0.0.0/8,::1",
        ours=True,
    )
    proxy_protocol: bool = setting(
        kinds.switch(),
        False,
        "Every connection from trusted-proxies must begin with a header of the PROXY "
        "protocol, version 1 or 2, on all TCP ports",
        shown_default="off",
        ours=True,
    )
    tcp_console: bool = setting(
        kinds.switch(),
        False,
        "Also serve the consoles to connections from this machine on the original's TCP "
        "ports, without any authentication",
        shown_default="off",
        ours=True,
    )
    log_level: LogLevel = setting(
        kinds.choice("debug", "info", "warn", "error"),
        "info",
        "Least important messages that are still logged; the original's RUST_LOG is read "
        "from the environment if this is not given",
        ours=True,
    )
    log_format: LogFormat = setting(
        kinds.choice("text", "json"),
        "text",
        "Shape of the log: lines of text, or one JSON object on each line",
        ours=True,
    )
    warnings: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        agreement.check_tls(self.tls_cert, self.tls_key, self.https_port)
        agreement.check_console(self.tcp_console, self.proxy_protocol)
        unified = self.https_port or 0
        agreement.check_ports(self.role, self.port, self.relay_port, unified)
        agreement.check_relay_auth(self.role, self.relay_auth, self.key)

    @property
    def unified_port(self) -> int:
        """The port for everything over TLS; 0 is none."""
        if self.https_port is None:
            return DEFAULT_HTTPS_PORT if self.tls_cert else 0
        return self.https_port

    @property
    def id_ports(self) -> tuple[int, int, int]:
        """Ports of the ID server: NAT test, main, WebSocket."""
        return agreement.id_ports(self.port)

    @property
    def relay_ports(self) -> tuple[int, int]:
        """Ports of the relay: main, WebSocket."""
        return agreement.relay_ports(self.relay_port)


SETTINGS = settings_of(Config)
