"""
Proxies before a server: the files of docs/proxies, whole, in the real programs.

What stands around them here (folders, logs, the machine's defaults) is what Debian's own
configuration puts around them, without the paths that only one such program can have.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from tests.integration.process import Ports
from tests.interop.daemon import Daemon, free_port, need
from tests.interop.snippets import shipped, with_changes
from tests.interop.tls import permissive
from tests.transports.certificates import PairFiles

HOST = "127.0.0.1"
NAME = "rustdesk.example.com"
LETSENCRYPT = f"/etc/letsencrypt/live/{NAME}"


@frozen
class Site:
    """
    What an admin decides: where the proxy is, what it presents, and what it stands before.

    :ivar server: the ports of the server behind it.
    :ivar pair: certificate and key.
    """

    folder: Path
    https: int
    http: int
    server: Ports
    pair: PairFiles

    @property
    def backends(self) -> dict[str, object]:
        """What all files say about the server."""
        return {
            "127.0.0.1:21118": f"{HOST}:{self.server.main + 2}",
            "127.0.0.1:21119": f"{HOST}:{self.server.relay + 2}",
        }

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder and return where."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path


def ipv6_loopback() -> str:
    """Return ``[::1]``, or another address of this machine if it has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return "127.0.0.2"
    return "[::1]"


def start_nginx(site: Site) -> Daemon:
    """Start nginx."""
    program = need("nginx")
    snippet = with_changes(
        shipped("nginx.conf"),
        {
            "listen 80": f"listen {HOST}:{site.http}",
            "listen [::]:80": f"listen {ipv6_loopback()}:{site.http}",
            "listen 443": f"listen {HOST}:{site.https}",
            "listen [::]:443": f"listen {ipv6_loopback()}:{site.https}",
            NAME: "localhost",
            f"{LETSENCRYPT}/fullchain.pem": site.pair.cert,
            f"{LETSENCRYPT}/privkey.pem": site.pair.key,
            **site.backends,
        },
    )
    site.write("rustdesk.conf", snippet)
    temporary = "".join(
        f"{kind}_temp_path {site.folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = site.write(
        "main.conf",
        "daemon off;\n"
        f"{'user www-data;' if os.geteuid() == 0 else ''}\n"
        f"pid {site.folder}/nginx.pid;\n"
        "error_log stderr;\n"
        "events { worker_connections 768; }\n"
        "http {\n"
        f"{temporary}"
        "sendfile on; tcp_nopush on; gzip on; access_log off;\n"
        "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;\n"
        f"include {site.folder}/rustdesk.conf;\n"
        "}\n",
    )
    command = [program, "-p", str(site.folder), "-e", "stderr", "-c", str(main)]
    return Daemon(site.folder, "nginx", command, permissive(site.folder))


HAPROXY_DEFAULTS = """\
global
    ssl-default-bind-options ssl-min-ver TLSv1.0
defaults
    mode http
    option dontlognull
    timeout connect 5000
    timeout client 50000
    timeout server 50000
"""


def start_haproxy(site: Site) -> Daemon:
    """Start HAProxy in HTTP mode."""
    both = site.pair.cert.read_text() + site.pair.key.read_text()
    certificate = site.write("both.pem", both)
    snippet = with_changes(
        shipped("haproxy.cfg"),
        {
            "bind *:80": f"bind {HOST}:{site.http}",
            "bind [::]:80 v6only": f"bind {ipv6_loopback()}:{site.http}",
            "bind *:443": f"bind {HOST}:{site.https}",
            "bind [::]:443 v6only": f"bind {ipv6_loopback()}:{site.https}",
            f"/etc/haproxy/certs/{NAME}.pem": certificate,
            **site.backends,
        },
    )
    return run_haproxy(site.folder, snippet)


def start_haproxy_tcp(
    folder: Path, server: Ports, https: int, changes: dict[str, object]
) -> Daemon:
    """
    Start HAProxy in TCP mode, on the same ports as the server behind it.

    :param https: the one for TLS.
    :param changes: besides those of the addresses.
    """
    ports = f"{server.main - 1}-{server.relay}"
    here, here_6 = HOST, ipv6_loopback()
    snippet = with_changes(
        shipped("haproxy-tcp.cfg"),
        {
            "bind *:21115-21117": f"bind {here}:{ports}",
            "bind [::]:21115-21117 v6only": f"bind {here_6}:{ports}",
            "bind *:443": f"bind {here}:{https}",
            "bind [::]:443 v6only": f"bind {here_6}:{https}",
            "server rustdesk 10.0.0.2": f"server rustdesk {server.host}",
            **changes,
        },
    )
    return run_haproxy(folder, snippet)


def run_haproxy(folder: Path, snippet: str) -> Daemon:
    """Start HAProxy with Debian's defaults and *snippet*, as one file is read."""
    program = need("haproxy")
    path = folder / "haproxy.cfg"
    path.write_text(HAPROXY_DEFAULTS + snippet, "utf-8")
    command = [program, "-db", "-f", str(path)]
    return Daemon(folder, "haproxy", command, permissive(folder))


MODS = Path("/etc/apache2/mods-available")
# What Debian enables by itself, as far as it could matter.
APACHE_MODS = ("mpm_event", "authz_core", "deflate", "filter", "mime", "reqtimeout")


def start_apache(site: Site) -> Daemon:
    """Start Apache with Debian's main file, and the modules that our file names."""
    program = need("apache2")
    text = shipped("apache.conf")
    snippet = with_changes(
        text,
        {
            "<VirtualHost *:80>": f"<VirtualHost {HOST}:{site.http}>",
            "<VirtualHost *:443>": f"<VirtualHost {HOST}:{site.https}>",
            NAME: "localhost",
            f"{LETSENCRYPT}/fullchain.pem": site.pair.cert,
            f"{LETSENCRYPT}/privkey.pem": site.pair.key,
            **site.backends,
        },
    )
    sites, mods = site.folder / "sites-enabled", site.folder / "mods-enabled"
    sites.mkdir()
    mods.mkdir()
    (sites / "rustdesk.conf").write_text(snippet, "utf-8")
    wanted = re.search(r"a2enmod (.*)", text)
    assert wanted is not None
    for file in _module_files([*APACHE_MODS, *wanted[1].split()]):
        (mods / file.name).symlink_to(file)
    site.write("ports.conf", f"Listen {HOST}:{site.http}\nListen {HOST}:{site.https}\n")
    variables = {
        "APACHE_RUN_USER": "www-data",
        "APACHE_RUN_GROUP": "www-data",
        "APACHE_RUN_DIR": str(site.folder),
        "APACHE_LOCK_DIR": str(site.folder),
        "APACHE_LOG_DIR": str(site.folder),
        "APACHE_PID_FILE": str(site.folder / "apache2.pid"),
        **permissive(site.folder),
    }
    main = ["-d", str(site.folder), "-f", "/etc/apache2/apache2.conf"]
    command = [program, *main, "-D", "FOREGROUND", "-E", "/dev/stderr"]
    return Daemon(site.folder, "apache", command, variables)


def _module_files(names: list[str]) -> Iterator[Path]:
    """Yield what a2enmod would link: the modules, and those that they depend on."""
    left, done = list(names), set()
    while left:
        name = left.pop()
        if name in done:
            continue
        done.add(name)
        load = MODS / f"{name}.load"
        yield load
        if (settings := MODS / f"{name}.conf").exists():
            yield settings
        for depends in re.findall(r"# Depends: (.*)", load.read_text()):
            left += depends.split()


def start_caddy(site: Site) -> Daemon:
    """Start Caddy, with a certificate of its admin's own."""
    program = need("caddy")
    snippet = with_changes(
        shipped("Caddyfile"),
        {
            NAME: "localhost",
            "# tls /etc/ssl/rustdesk/fullchain.pem": f"tls {site.pair.cert}",
            "/etc/ssl/rustdesk/privkey.pem": site.pair.key,
            **site.backends,
        },
    )
    options = (
        f"{{\nadmin off\nhttp_port {site.http}\nhttps_port {site.https}\n"
        f"default_bind {HOST}\n}}\n"
    )
    path = site.write("Caddyfile", options + snippet)
    command = [program, "run", "--adapter", "caddyfile", "--config", str(path)]
    folders = {"XDG_DATA_HOME": str(site.folder), "XDG_CONFIG_HOME": str(site.folder)}
    return Daemon(site.folder, "caddy", command, folders)


def new_site(folder: Path, server: Ports, pair: PairFiles) -> Site:
    """Return a site in an empty *folder*, on free ports."""
    https = free_port()
    return Site(folder, https, free_port(besides=https), server, pair)
