"""A certificate with its chain and its private key, from PEM files, or what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from rdserver.errors import ConfigError
from rdserver.operator_files import read_operator_file

if TYPE_CHECKING:
    # Called otherwise in the oldest version that is served.
    from cryptography.hazmat.primitives.asymmetric.types import (
        PrivateKeyTypes,
        PublicKeyTypes,
    )

CERT_SETTING = "tls-cert"
KEY_SETTING = "tls-key"

MAX_BYTES = 1024 * 1024
"""Of one file.  A chain has some kilobytes; the wrong file may have no end."""

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_CERTIFICATE = re.compile(_BEGIN + rb".*?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ((?:\w+ )*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


@frozen
class Pair:
    """
    A certificate and a private key that belong together.

    :ivar chain: the server's own certificate, then those of its issuers, if any.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes = field(repr=False)


def load_pair(cert_path: Path, key_path: Path) -> Pair:
    """
    Read the chain and its key; they may be in one file.

    :raises ConfigError: that cannot be; it names the setting, the file and the reason.
    """
    chain = _chain(cert_path)
    key = _key(key_path)
    _check_match(chain, key, cert_path, key_path)
    return Pair(chain, key)


def _read(setting: str, path: Path) -> bytes:
    return read_operator_file(setting, path, max_bytes=MAX_BYTES, kind="a PEM file")


def _chain(path: Path) -> tuple[x509.Certificate, ...]:
    data = _read(CERT_SETTING, path)
    blocks = _CERTIFICATE.findall(data)
    if data.count(_BEGIN) != len(blocks):
        raise ConfigError(f"{CERT_SETTING}: {path} ends in the middle of a certificate")
    if not blocks:
        raise ConfigError(f"{CERT_SETTING}: {path} holds no certificate in PEM form")
    return tuple(_certificate(n, block, path) for n, block in enumerate(blocks, 1))


def _certificate(number: int, block: bytes, path: Path) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise ConfigError(
            f"{CERT_SETTING}: certificate number {number} in {path} is damaged, or of an"
            " unknown kind"
        ) from e
    return certificate


def _key(path: Path) -> PrivateKeyTypes:
    found = _KEY.search(_read(KEY_SETTING, path))
    if found is None:
        raise ConfigError(f"{KEY_SETTING}: {path} holds no private key in PEM form")
    try:
        return load_pem_private_key(found.group(), password=None)
    except TypeError as e:
        raise ConfigError(
            f"{KEY_SETTING}: the private key in {path} is protected by a passphrase, which"
            " nobody enters here: store it without one"
        ) from e
    except (ValueError, UnsupportedAlgorithm) as e:
        raise ConfigError(
            f"{KEY_SETTING}: the private key in {path} is damaged, or of an unknown kind"
        ) from e


def _check_match(
    chain: tuple[x509.Certificate, ...],
    key: PrivateKeyTypes,
    cert_path: Path,
    key_path: Path,
) -> None:
    ours = _public_bytes(key.public_key())
    fits = [_public_bytes(certificate.public_key()) == ours for certificate in chain]
    if fits[0]:
        return
    if any(fits):
        raise ConfigError(
            f"{CERT_SETTING}: the server's own certificate must come first in {cert_path},"
            " before those of its issuers"
        )
    raise ConfigError(
        f"{KEY_SETTING}: the private key in {key_path} does not belong to the certificate"
        f" in {cert_path}"
    )


def _public_bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
