"""
What must hold between settings: each is right by itself, and together they are not.

Refusals are :class:`rdserver.errors.ConfigError` with one sentence for the operator.
"""

from __future__ import annotations

from rdserver.errors import ConfigError

# Two above the port must still be a port: WebSocket clients use it.
HIGHEST_PORT = 65533
# Below the ID server's port is the NAT test's, and the original refuses less than 3.
LOWEST_PORT = 3


def id_ports(port: int) -> tuple[int, int, int]:
    """Ports of the ID server: NAT test (TCP), main (UDP and TCP), WebSocket (TCP)."""
    return port - 1, port, port + 2


def relay_ports(relay_port: int) -> tuple[int, int]:
    """TCP ports of the relay: main, WebSocket."""
    return relay_port, relay_port + 2


def check_ports(role: str, port: int, relay_port: int, https_port: int) -> None:
    """
    Refuse ports that do not exist or that two servers would use.

    :param https_port: 0 is none.
    """
    if role != "relay":
        _check_port("port", port)
    if role != "id":
        _check_port("relay-port", relay_port)
    by_id, by_relay = id_ports(port), relay_ports(relay_port)
    taken = (by_id if role != "relay" else ()) + (by_relay if role != "id" else ())
    if https_port in taken:
        raise ConfigError(
            f"https-port {https_port} is taken by this server itself, which also uses the "
            f"ports {_listed(taken)}"
        )
    if role == "all" and set(by_id) & set(by_relay):
        raise ConfigError(
            f"relay-port {relay_port} collides with the ID server, which uses the ports "
            f"{_listed(by_id)}, while the relay uses {_listed(by_relay)}"
        )


def _check_port(name: str, port: int) -> None:
    if not LOWEST_PORT <= port <= HIGHEST_PORT:
        raise ConfigError(
            f"Invalid port: {name} must be a whole number from {LOWEST_PORT} to "
            f"{HIGHEST_PORT}, not {port}"
        )


def _listed(ports: tuple[int, ...]) -> str:
    return ", ".join(map(str, ports))


def check_tls(tls_cert: str, tls_key: str, https_port: int | None) -> None:
    """Refuse half of a certificate, and a port for TLS without any."""
    if tls_key and not tls_cert:
        raise ConfigError("tls-key is given without tls-cert: name the certificate too")
    if https_port and not tls_cert:
        raise ConfigError("https-port needs a certificate: give tls-cert and tls-key")


def check_console(tcp_console: bool, proxy_protocol: bool) -> None:
    """Refuse consoles for whoever a proxy says is local: its own machine, perhaps."""
    if tcp_console and proxy_protocol:
        raise ConfigError(
            "tcp-console would trust what proxies say with proxy-protocol: use the "
            "consoles' sockets in the data folder instead"
        )


def check_relay_auth(role: str, relay_auth: str, key: str | None) -> None:
    """Refuse a way of choosing the relay's users that cannot work with the rest."""
    if role == "relay" and relay_auth == "ticket":
        raise ConfigError(
            "relay-auth ticket needs the ID server in the same process: use role all, or "
            "relay-auth key or open"
        )
    if role != "id" and relay_auth == "key" and key == "":
        raise ConfigError(
            "relay-auth key needs a key, but key is explicitly empty: give a key, or use "
            "relay-auth ticket with role all, or relay-auth open"
        )
    if role == "relay" and relay_auth == "open" and key:
        raise ConfigError(
            "relay-auth open would leave the key unasked: give relay-auth key, or no key"
        )
