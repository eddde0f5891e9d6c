"""``openssl s_client``: which TLS a port speaks, and with which certificate."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import frozen

from tests.interop.case import run_program
from tests.interop.daemon import Daemon, need
from tests.transports.certificates import PairFiles

PERMISSIVE = """\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = everything
[everything]
MinProtocol = TLSv1
CipherString = DEFAULT:@SECLEVEL=0
"""


def permissive(folder: Path) -> dict[str, str]:
    """
    Return an environment in which OpenSSL speaks any TLS.

    Debian's would refuse the old ones by itself, and say nothing about a program's own
    settings.
    """
    path = folder / "openssl.cnf"
    path.write_text(PERMISSIVE)
    return {"OPENSSL_CONF": str(path)}


@frozen
class Handshake:
    """
    What came of an attempt.

    :ivar version: for example "TLSv1.3"; empty if nothing was agreed on.
    :ivar is_trusted: whether the chain leads to the authority, for this name.
    :ivar output: everything that the program said.
    """

    version: str
    is_trusted: bool
    output: str

    @property
    def is_complete(self) -> bool:
        """Whether all was well."""
        return bool(self.version) and self.is_trusted

    @property
    def serial(self) -> str:
        """The certificate's serial number in hexadecimal."""
        done = run_program("openssl", "x509", "-noout", "-serial", sent=self.output)
        return done.stdout.strip().removeprefix("serial=")


def handshake(port: int, version: str, ca_file: Path) -> Handshake:
    """
    Connect to *port* of this machine and return what came of it.

    :param version: such as "1.2", and no other.
    """
    done = run_program(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}"),
        # Older ones are not spoken by Debian's openssl itself, unless it is told to.
        *(f"-tls{version.replace('.', '_')}", "-cipher", "ALL:@SECLEVEL=0"),
        *("-CAfile", str(ca_file), "-no-CApath", "-no-CAstore"),
        *("-verify_return_error", "-verify_hostname", "localhost"),
        *("-servername", "localhost"),
    )
    output = done.stdout + done.stderr
    agreed = re.search(r"^New, (TLSv1\.\d), Cipher is (?!\(NONE\))", output, re.M)
    is_trusted = "Verification: OK" in output and done.returncode == 0
    return Handshake(agreed[1] if agreed else "", is_trusted, output)


def serve(folder: Path, pair: PairFiles, port: int) -> Daemon:
    """Start ``openssl s_server``, which takes any TLS on *port*."""
    command = [need("openssl"), "s_server", "-accept", f"127.0.0.1:{port}", "-quiet"]
    files = ["-cert", str(pair.cert), "-key", str(pair.key)]
    old = ["-cipher", "ALL:@SECLEVEL=0"]
    return Daemon(folder, "s_server", [*command, *files, *old], permissive(folder))
