"""
``rustdesk-utils client-config``: what to enter in a client, in each of the ways it takes.

The text to import is a JSON object in URL-safe base64 without padding, reversed; the QR
code, which the mobile client scans, holds the object as it is behind ``config=``.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import segno
from attrs import frozen

from rdserver import durable
from rdserver.errors import ConfigError
from rdserver.keys import PUBLIC_BYTES, PUBLIC_KEY_FILE, decode_base64, load_server_key
from rdserver.settings.config import Config
from rdserver.wire.address import Address
from rdserver.wire.networks import plain_address

_NAME = re.compile(r"[\w.-]+")
_ID_PORT, _RELAY_PORT = 21116, 21117


@frozen(kw_only=True)
class ClientConfig:
    """
    What a client is given.

    :ivar host: the ID server, with its port where that is not 21116.
    :ivar relay: the relay likewise; empty: the ID server names it.
    :ivar api: URL of the API server; empty: there is none.
    :ivar key: the public key.
    """

    host: str
    relay: str
    api: str
    key: str

    @property
    def json(self) -> str:
        """The object that clients read."""
        fields = {"host": self.host, "relay": self.relay, "api": self.api, "key": self.key}
        return json.dumps(fields, separators=(",", ":"))

    @property
    def import_text(self) -> str:
        """What the client imports: from the clipboard, or by ``rustdesk --config``."""
        return urlsafe_b64encode(self.json.encode()).decode().rstrip("=")[::-1]

    @property
    def qr_text(self) -> str:
        """What the mobile client scans."""
        return f"config={self.json}"


def parse(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """
    Take ``--host HOST`` out of *arguments*.

    :return: the host, empty if there is none, and the other arguments.
    :raises ConfigError: it is no host.
    """
    host, words, others = "", list(arguments), []
    while words:
        word = words.pop(0)
        if word == "--host":
            if not words:
                raise ConfigError("--host needs a value")
            host = _checked(words.pop(0))
        elif word.startswith("--host="):
            host = _checked(word.partition("=")[2])
        else:
            others.append(word)
    return host, others


def _checked(host: str) -> str:
    bare = host.removeprefix("[").removesuffix("]")
    if plain_address(bare) is not None:
        return bare
    if not _NAME.fullmatch(host):
        raise ConfigError(
            f"--host must be a name or an address, without scheme, port or path: {host!r}"
        )
    return host


def client_config(config: Config, host: str) -> ClientConfig:
    """
    Return what clients of a server with these settings are given.

    :param host: how they reach it.
    :raises ConfigError: there is no key yet.
    """
    here = _with_port(host, config.relay_port, _RELAY_PORT)
    return ClientConfig(
        host=_with_port(host, config.port, _ID_PORT),
        relay=here if _is_told_relay(config) else "",
        api=_api(config.api_url),
        key=_key(config),
    )


def _is_told_relay(config: Config) -> bool:
    # An ID server names its relays itself.
    return config.role == "relay" or (config.role == "all" and not config.relay_servers)


def lines(client: ClientConfig, config: Config) -> Iterator[str]:
    """Say it to a person."""
    if config.role == "relay":
        yield from _relay_lines(client, config)
        return
    yield "Enter in each client, under Settings > Network > ID/Relay server:"
    yield f"  ID server:     {client.host}"
    yield f"  Relay server:  {client.relay or '(may stay empty)'}"
    if client.api:
        yield f"  API server:    {client.api}"
    yield f"  Key:           {client.key}"
    yield "Or import this text there, or run: rustdesk --config TEXT"
    yield f"  {client.import_text}"
    yield f"Ports to open: {', '.join(ports(config))}"


def _relay_lines(client: ClientConfig, config: Config) -> Iterator[str]:
    yield "This is a relay alone. Enter in each client the ID server's values, and here:"
    yield f"  Relay server:  {client.relay}"
    yield f"Its key:         {client.key}"
    yield f"Ports to open: {', '.join(ports(config))}"


def ports(config: Config) -> list[str]:
    """Return the ports that clients need, each with its protocol."""
    nat, main, websocket = config.id_ports
    relay, relay_websocket = config.relay_ports
    tcp = [] if config.role == "relay" else [nat, main, websocket]
    tcp += [] if config.role == "id" else [relay, relay_websocket]
    tcp += [config.unified_port] if config.unified_port else []
    udp = [] if config.role == "relay" else [f"{main}/udp"]
    return [*(f"{port}/tcp" for port in sorted(tcp)), *udp]


def doubt(host: str) -> str:
    """Say what is wrong with *host* for clients elsewhere; empty: nothing."""
    try:
        if ip_address(host).is_global:
            return ""
    except ValueError:
        return ""
    return (
        f"{host} is known in this network only. For clients elsewhere run: "
        "rustdesk-utils client-config --host NAME (the public name or address)"
    )


def qr_code(text: str) -> str:
    """Draw *text* for a terminal, which is taken to be dark."""
    drawing = StringIO()
    segno.make(text, error="l", micro=False).terminal(drawing, border=2, compact=True)
    return drawing.getvalue()


def _key(config: Config) -> str:
    folder = Path(config.data_dir)
    if config.key and config.key not in ("-", "_"):
        return load_server_key(config.key, folder).public_text
    try:
        public = (durable.read(folder / PUBLIC_KEY_FILE) or b"").strip()
    except OSError as e:
        raise ConfigError(f"{folder / PUBLIC_KEY_FILE} cannot be read: {e.strerror}") from e
    if len(decode_base64(public) or b"") != PUBLIC_BYTES:
        raise ConfigError(
            f"there is no key in {folder} yet: the server makes it at its first start"
        )
    return public.decode()


def _api(url: str) -> str:
    """Return the API server's address, unless it is one that only this machine knows."""
    host = urlsplit(url).hostname or ""
    try:
        is_here = ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return "" if is_here else url


def _with_port(host: str, port: int, usual: int) -> str:
    return host if port == usual else str(Address(host, port))
