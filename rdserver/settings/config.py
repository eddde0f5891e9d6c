"""
Every setting, stated once, and the frozen values that the program runs with.

Nothing here reads a file, the environment or the command line.
Source: protocol.md sections 4.2 and 6.
"""
# ruff: noqa: RUF009 - setting() declares a field, as attrs.field does.

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Literal

from attrs import Factory, frozen

from rdserver.errors import ConfigError
from rdserver.settings import kinds
from rdserver.settings.kinds import SelfTest
from rdserver.settings.model import setting, settings_of

Role = Literal["all", "id", "relay"]
RelayAuth = Literal["ticket", "key", "open"]
LogLevel = Literal["debug", "info", "warn", "error"]
LogFormat = Literal["text", "json"]

# Two above the port must still be a port: WebSocket clients use it.
HIGHEST_PORT = 65533
# Below the ID server's port is the NAT test's, and the original refuses less than 3.
LOWEST_PORT = 3
_BIGGEST_INT32 = 2**31 - 1
_SPEED = kinds.number(0.001, 1_000_000_000)
_COUNT = kinds.whole(1, 10_000_000)


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
    port: int = setting(
        kinds.whole(LOWEST_PORT, HIGHEST_PORT),
        21116,
        "UDP and TCP port of the ID server; port-1 is for the NAT test and port+2 for "
        "WebSocket",
        short="p",
        used_by="ID server",
        complaint="Invalid port: ",
    )
    relay_port: int = setting(
        kinds.whole(LOWEST_PORT, HIGHEST_PORT),
        Factory(lambda config: config.port + 1, takes_self=True),
        "TCP port of the relay; relay-port+2 is for WebSocket",
        shown_default="port+1",
        used_by="relay",
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
    relay_auth: RelayAuth = setting(
        kinds.choice("ticket", "key", "open"),
        Factory(_default_relay_auth, takes_self=True),
        "Whom the relay serves: sessions that the ID server of this process announced "
        "(ticket), whoever presents the key (key), or everybody (open)",
        shown_default="ticket with role all; key with role relay, open if the key is "
        "explicitly empty",
        used_by="relay",
        ours=True,
    )
    relay_servers: tuple[str, ...] = setting(
        kinds.items(),
        (),
        "Relays that clients are sent to, each HOST or HOST:PORT, separated by commas",
        short="r",
        shown_default="none",
        used_by="ID server",
    )
    rendezvous_servers: tuple[str, ...] = setting(
        kinds.items(),
        (),
        "ID servers that clients are told to use instead, separated by commas (obsolete)",
        short="R",
        shown_default="none",
        used_by="ID server",
    )
    serial: int = setting(
        kinds.whole(-_BIGGEST_INT32 - 1, _BIGGEST_INT32),
        0,
        "Number of the list of rendezvous-servers: clients with a lower one are told the "
        "list (obsolete)",
        short="s",
        used_by="ID server",
        lenient=True,
    )
    software_url: str = setting(
        kinds.text(),
        "",
        "Address of the newest client, told to clients that ask (obsolete)",
        short="u",
        shown_default="none",
        used_by="ID server",
    )
    rmem_bytes: int = setting(
        kinds.whole(0, _BIGGEST_INT32),
        0,
        "Receive buffer of the UDP socket; 0 leaves it to the system",
        name="rmem",
        unit="bytes",
        short="M",
        used_by="ID server",
        lenient=True,
    )
    mask: IPv4Network | None = setting(
        kinds.ipv4_network(),
        None,
        "Network of server and clients behind one router: clients in it are sent to the "
        "relay by its local address",
        shown_default="off",
        used_by="ID server",
        lenient=True,
    )
    local_ip: str = setting(
        kinds.text(),
        "",
        "Local address of the relay that clients inside mask are given",
        shown_default="the machine's primary address",
        used_by="ID server",
    )
    always_use_relay: bool = setting(
        kinds.only_y(),
        False,
        "Send every connection through a relay, also those that could be direct",
        shown_default="N",
        used_by="ID server",
        lenient=True,
    )
    test_hbbs: SelfTest = setting(
        kinds.self_test(),
        SelfTest(),
        "What the self test asks: an IP address with UDP port, or no for no test",
        shown_default="the own address",
        used_by="ID server",
    )
    db_url: str = setting(
        kinds.text(),
        "",
        "Database: the path of an SQLite file, or its URL",
        shown_default="db_v2.sqlite3 in the data folder",
        used_by="ID server",
        secret=True,
    )
    max_database_connections: int = setting(
        _COUNT,
        1,
        "Has no effect; it is accepted so that old start scripts work",
        used_by="ID server",
        lenient=True,
        without_effect=True,
    )
    total_bandwidth_mbit_per_s: float | None = setting(
        _SPEED,
        None,
        "Limit for all relayed sessions together",
        name="total-bandwidth",
        unit="Mb/s",
        shown_default="no limit",
        used_by="relay",
        lenient=True,
    )
    single_bandwidth_mbit_per_s: float | None = setting(
        _SPEED,
        None,
        "Limit for each relayed session",
        name="single-bandwidth",
        unit="Mb/s",
        shown_default="no limit",
        used_by="relay",
        lenient=True,
    )
    limit_speed_mbit_per_s: float = setting(
        _SPEED,
        32.0,
        "Limit for a downgraded session and for addresses of blacklist.txt",
        name="limit-speed",
        unit="Mb/s",
        shown_default="32 Mb/s",
        used_by="relay",
        lenient=True,
    )
    downgrade_threshold: float = setting(
        kinds.number(0.001, 1000),
        0.66,
        "Part of single-bandwidth: a session that has used more on average is downgraded",
        used_by="relay",
        lenient=True,
    )
    downgrade_start_check_s: int = setting(
        kinds.whole(1, 1_000_000_000),
        1800,
        "Age from which a session can be downgraded",
        name="downgrade-start-check",
        unit="seconds",
        used_by="relay",
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
        "Open TCP connections for each of the two servers; further ones are closed",
        ours=True,
    )
    relay_waiting_per_address: int = setting(
        _COUNT,
        100,
        "Relay connections of one IP address (of one /64 in IPv6) that may wait for their "
        "partner",
        used_by="relay",
        ours=True,
    )
    relay_waiting_total: int = setting(
        _COUNT,
        10000,
        "Relay connections that may wait for their partner, all together",
        used_by="relay",
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
        self._check_ports()
        self._check_relay_auth()

    def _check_ports(self) -> None:
        if self.role != "relay":
            _check_port("port", self.port)
        if self.role != "id":
            _check_port("relay-port", self.relay_port)
        if self.role == "all" and set(self.id_ports) & set(self.relay_ports):
            raise ConfigError(
                f"relay-port {self.relay_port} collides with the ID server: it uses the "
                f"ports {_listed(self.id_ports)}, the relay {_listed(self.relay_ports)}"
            )

    def _check_relay_auth(self) -> None:
        if self.role == "relay" and self.relay_auth == "ticket":
            raise ConfigError(
                "relay-auth ticket needs the ID server in the same process: use role all, "
                "or relay-auth key or open"
            )
        if self.role != "id" and self.relay_auth == "key" and self.key == "":
            raise ConfigError(
                "relay-auth key needs a key, but key is explicitly empty: give a key, or "
                "use relay-auth open"
            )

    @property
    def id_ports(self) -> tuple[int, int, int]:
        """Ports of the ID server: NAT test, main (TCP and UDP), WebSocket."""
        return self.port - 1, self.port, self.port + 2

    @property
    def relay_ports(self) -> tuple[int, int]:
        """TCP ports of the relay: main, WebSocket."""
        return self.relay_port, self.relay_port + 2


def _check_port(name: str, port: int) -> None:
    if not LOWEST_PORT <= port <= HIGHEST_PORT:
        raise ConfigError(
            f"Invalid port: {name} must be a whole number from {LOWEST_PORT} to "
            f"{HIGHEST_PORT}, not {port}"
        )


def _listed(ports: tuple[int, ...]) -> str:
    return ", ".join(map(str, ports))


SETTINGS = settings_of(Config)
