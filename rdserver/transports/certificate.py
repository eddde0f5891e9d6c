"""The certificate that TLS ports present: renewed while they serve, watched as it ages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from rdserver.errors import ConfigError
from rdserver.operator_files import ChangingFiles
from rdserver.transports.pem import CERT_SETTING, Pair, load_pair

WARN_DAYS = 14
"""So long before the certificate expires a warning is logged, each day."""

DAY_S = 86400

_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secret, authenticated.  TLS 1.3 has no others."""

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE

_ALPN = b"http/1.1"


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """
    A certificate chain and its private key, for all TLS connections of this server.

    What changes is for connections that come afterwards; nobody is dropped.  It may stand
    wherever Twisted takes a context factory for servers.

    :param cert_path: PEM file with the server's certificate and those of its issuers.
    :param key_path: PEM file with the private key; empty: it is in the same file.
    :param wall: wall clock, in seconds since 1970.
    :ivar not_after: when the certificate in use expires, in seconds since 1970.
    :raises ConfigError: there is no usable pair.
    """

    _log = Logger()

    def __init__(self, cert_path: str, key_path: str, wall: Callable[[], float]) -> None:
        self._cert_path = Path(cert_path)
        self._key_path = Path(key_path or cert_path)
        self._wall = wall
        self._files = ChangingFiles(
            (self._cert_path, self._key_path),
            self._load,
            "the certificate that was read before stays in use",
        )
        self._files.load()

    @property
    def days_left(self) -> float:
        """How long the certificate in use is still valid; negative: no more."""
        return (self.not_after - self._wall()) / DAY_S

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802
        """Return OpenSSL's side of a new connection, with the newest pair."""
        return SSL.Connection(self._context, None)

    def look(self) -> None:
        """Take a renewed pair, say if it is time to renew; to be called every minute."""
        if self._files.reload_if_changed():
            self._tell()
        self._warn_of_expiry()

    def reload(self) -> None:
        """Read the files again; where they are no good, say so and keep what is in use."""
        if self._files.reload():
            self._tell()

    def _tell(self) -> None:
        self._log.info(
            "the certificate in {path} is in use from now on, it is valid until {until}",
            path=str(self._cert_path),
            until=_date(self.not_after),
        )

    def _load(self) -> None:
        pair = load_pair(self._cert_path, self._key_path)
        self._context = _context(pair, self._cert_path)
        self.not_after = _not_after(pair.chain[0])
        self._warned_on = -1
        self._warn_of_expiry()

    def _warn_of_expiry(self) -> None:
        today = int(self._wall() // DAY_S)
        if self.days_left > WARN_DAYS or today == self._warned_on:
            return
        self._warned_on = today
        if self.days_left < 0:
            message = "the certificate in {path} has expired on {until}: clients refuse it"
        else:
            message = "the certificate in {path} expires on {until}: renew it"
        self._log.warn(message, path=str(self._cert_path), until=_date(self.not_after))


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _not_after(certificate: x509.Certificate) -> float:
    try:
        return certificate.not_valid_after_utc.timestamp()
    except AttributeError:  # cryptography before 42
        return certificate.not_valid_after.replace(tzinfo=UTC).timestamp()


def _context(pair: Pair, path: Path) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection keeps no buffers
    # Clients resume with tickets; a cache of ours would only grow.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(_choose)
    try:
        _install(context, pair)
    except (SSL.Error, crypto.Error, TypeError) as e:
        raise ConfigError(
            f"{CERT_SETTING}: the certificate in {path} cannot be used for TLS:"
            f" {_reason(e)}"
        ) from e
    context.set_cipher_list(_CIPHERS)  # nothing can be set afterwards
    return context


def _install(context: SSL.Context, pair: Pair) -> None:
    own, *issuers = pair.chain
    _give(context.use_certificate, own, crypto.X509.from_cryptography)
    for issuer in issuers:
        _give(context.add_extra_chain_cert, issuer, crypto.X509.from_cryptography)
    _give(context.use_privatekey, pair.key, crypto.PKey.from_cryptography_key)
    context.check_privatekey()


def _give(take: Callable[[Any], None], item: Any, convert: Callable[[Any], Any]) -> None:
    try:
        take(item)
    except TypeError:  # pyOpenSSL 23 takes only objects of its own
        take(convert(item))


def _reason(error: Exception) -> str:
    """Return the last of OpenSSL's words, without where in its code it said them."""
    errors = error.args[0] if error.args else ""
    return str(errors[-1][-1]) if isinstance(errors, list) and errors else str(error)


def _choose(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    # Who speaks other protocols too gets this one without being told.
    return _ALPN if _ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS
