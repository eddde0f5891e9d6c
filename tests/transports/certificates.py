"""Certificates for tests: elliptic curve keys, signed by nobody or by a CA made here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOSTS = ("localhost",)
ADDRESSES = ("127.0.0.1", "::1")


@frozen
class Authority:
    """
    A certification authority.

    :ivar chain: its certificate, and those of its issuers below the root, in PEM form:
        what a server presents behind its own.
    :ivar root: the certificate that clients trust, in PEM form.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: bytes
    root: bytes

    @classmethod
    def make(cls, name: str = "Test CA", issuer: Authority | None = None) -> Authority:
        """Return a new authority, a root if it has no *issuer*."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, timedelta(days=365), issuer)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        certificate = _sign(builder, key, issuer)
        pem = certificate.public_bytes(Encoding.PEM)
        if issuer is None:
            return cls(certificate, key, b"", pem)
        return cls(certificate, key, pem + issuer.chain, issuer.root)

    def save(self, folder: Path) -> Path:
        """Write the root's certificate and return where."""
        path = folder / "ca.pem"
        path.write_bytes(self.root)
        return path


@frozen
class PairFiles:
    """
    A pair on the disk.

    :ivar cert: the PEM file with the certificate and its chain.
    :ivar key: the PEM file with the private key.
    """

    cert: Path
    key: Path


def make_pair(
    folder: Path,
    name: str,
    *,
    days: float = 90,
    ca: Authority | None = None,
    passphrase: bytes = b"",
) -> PairFiles:
    """
    Write a certificate for this machine, valid for *days* from now, and its key.

    :param name: of the files, and in the certificate.
    :param days: may be negative: it has expired then.
    :param ca: who signs; None: it is signed with its own key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(host) for host in HOSTS]
    addresses = [x509.IPAddress(ip_address(address)) for address in ADDRESSES]
    builder = (
        _builder(name, key, timedelta(days=days), ca)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca is None, None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
    )
    certificate = _sign(builder, key, ca)
    files = PairFiles(folder / f"{name}.pem", folder / f"{name}.key")
    chain = ca.chain if ca else b""
    files.cert.write_bytes(certificate.public_bytes(Encoding.PEM) + chain)
    lock: KeySerializationEncryption = NoEncryption()
    if passphrase:
        lock = BestAvailableEncryption(passphrase)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return files


def _builder(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    validity: timedelta,
    issuer: Authority | None,
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    ends = now + validity
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, ends) - timedelta(days=1))
        .not_valid_after(ends)
        .add_extension(identifier, critical=False)
    )


def _sign(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    issuer: Authority | None,
) -> x509.Certificate:
    signer = issuer.key if issuer else key
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(authority, critical=False)
    return builder.sign(signer, hashes.SHA256())
