"""The certificate: what TLS it makes, what is wrong with it, its renewal and its age."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.logger import LogLevel, capturedLogs, formatEvent

from rdserver.errors import ConfigError
from rdserver.transports import certificate, pem
from rdserver.transports.certificate import DAY_S, WARN_DAYS, Certificate
from tests.transports.certificates import PairFiles, make_pair
from tests.transports.tls_client import TlsCase, TlsClient

BEGIN = b"-----BEGIN CERTIFICATE-----\n"
PARAMETERS = b"""-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
"""


class NegotiationTests(TlsCase):
    """What a client and this server agree on."""

    def assert_refused(self, client: TlsClient, reason: str) -> None:
        """There was no handshake, and the server had this *reason*."""
        self.assertFalse(client.wire.connected)
        self.assertIn(reason, str(self.served.lost[0]))

    def test_chain(self) -> None:
        """The whole chain is presented: a client that trusts only the root is content."""
        client = self.client(ca=self.root)
        self.assertIsNone(client.error)
        chain = [one.get_subject().CN for one in client.tls.get_peer_cert_chain()]
        self.assertEqual(["own", "Test Issuer"], chain)

    def test_versions(self) -> None:
        """TLS 1.3 and 1.2 are spoken, the newest that the client speaks."""
        for newest, name in (
            (SSL.TLS1_3_VERSION, "TLSv1.3"),
            (SSL.TLS1_2_VERSION, "TLSv1.2"),
        ):
            client = self.client(newest=newest)
            client.send(name.encode())
            self.assertEqual(name, client.tls.get_protocol_version_name())
            self.assertEqual(name.encode(), self.served.received)

    def test_old_version(self) -> None:
        """TLS 1.1 is refused, however lax OpenSSL itself is."""
        self.patch(certificate, "_CIPHERS", b"ALL:@SECLEVEL=0")
        self.certificate = self.make_certificate(self.pair)
        self.port = self.make_port()
        self.assert_refused(self.client(newest=SSL.TLS1_1_VERSION), "unsupported protocol")

    def test_old_ciphers(self) -> None:
        """Ciphers that are not forward secret, or not authenticated, are refused."""
        for cipher in (b"AES128-GCM-SHA256", b"ECDHE-ECDSA-AES128-SHA"):
            client = self.client(
                newest=SSL.TLS1_2_VERSION, ciphers=cipher + b":@SECLEVEL=0"
            )
            self.assert_refused(client, "no shared cipher")

    def test_server_chooses_the_cipher(self) -> None:
        """What the client would like best does not count."""
        wanted = b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384"
        client = self.client(newest=SSL.TLS1_2_VERSION, ciphers=wanted)
        self.assertEqual("ECDHE-ECDSA-AES256-GCM-SHA384", client.tls.get_cipher_name())

    def test_no_renegotiation(self) -> None:
        """A second handshake on one connection is refused; the connection may go on."""
        client = self.client(newest=SSL.TLS1_2_VERSION)
        client.tls.renegotiate()
        client.run()
        self.assertIn("no renegotiation", str(client.error))

    def test_alpn(self) -> None:
        """HTTP/1.1 is chosen where it is offered; who offers only others gets no answer."""
        offers = ([b"h2", b"http/1.1"], [b"h2"], None)
        clients = [self.client(alpn=offer) for offer in offers]
        chosen = [client.tls.get_alpn_proto_negotiated() for client in clients]
        self.assertEqual([b"http/1.1", b"", b""], chosen)
        self.assertEqual([None] * 3, [client.error for client in clients])

    def test_key_in_the_same_file(self) -> None:
        """Without a key's path the key is looked for beside the certificate."""
        both = self.folder / "both.pem"
        both.write_bytes(self.pair.key.read_bytes() + self.pair.cert.read_bytes())
        self.certificate = Certificate(str(both), "", lambda: 0.0)
        self.port = self.make_port()
        self.assertIsNone(self.client(ca=self.root).error)

    def test_key_with_parameters(self) -> None:
        """A key in the older form, behind its curve's parameters, is taken."""
        key = load_pem_private_key(self.pair.key.read_bytes(), None)
        older = key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        self.pair.key.write_bytes(PARAMETERS + older)
        self.certificate = self.make_certificate(self.pair)
        self.port = self.make_port()
        self.assertIsNone(self.client(ca=self.root).error)


class RefusalTests(TlsCase):
    """A pair that is no good is refused with one sentence that says what to mend."""

    def refusal(self, pair: PairFiles) -> str:
        """Return why *pair* is no good."""
        error = self.assertRaises(ConfigError, self.make_certificate, pair)
        self.assertNotIn("\n", str(error))
        return str(error)

    def assert_refused(self, expected: str, data: bytes, *, of_key: bool = False) -> None:
        """A pair is refused with *expected*, once *data* is in one of its files."""
        path = self.pair.key if of_key else self.pair.cert
        path.write_bytes(data)
        setting = "tls-key" if of_key else "tls-cert"
        self.assertEqual(
            f"{setting}: {expected.format(path=path)}", self.refusal(self.pair)
        )

    def test_no_file(self) -> None:
        """A file that is not there is named with its setting."""
        nowhere = self.folder / "nowhere"
        self.assertEqual(
            f"tls-cert: {nowhere} cannot be read: No such file or directory",
            self.refusal(PairFiles(nowhere, self.pair.key)),
        )
        self.assertEqual(
            f"tls-key: {nowhere} cannot be read: No such file or directory",
            self.refusal(PairFiles(self.pair.cert, nowhere)),
        )

    def test_no_regular_file(self) -> None:
        """A folder is no file, and nobody waits for what may come through a pipe."""
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        for path in (self.folder, pipe):
            self.assertEqual(
                f"tls-key: {path} cannot be read: it is not a file",
                self.refusal(PairFiles(self.pair.cert, path)),
            )

    def test_no_permission(self) -> None:
        """A file that the server's user may not read says so."""

        def deny(*args: Any) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(Path, "open", deny)
        self.assertEqual(
            f"tls-cert: {self.pair.cert} cannot be read: the user that this server runs as"
            " may not read it, or not enter its folder",
            self.refusal(self.pair),
        )

    def test_endless_file(self) -> None:
        """A file that is too long is not read to its end."""
        os.truncate(self.pair.cert, 2**36)  # nearly all of it takes no room on the disk
        self.assertEqual(
            f"tls-cert: {self.pair.cert} is too long to be a PEM file",
            self.refusal(self.pair),
        )

    def test_no_certificate(self) -> None:
        """A file with something else in it says what is missing."""
        for data in (b"", b"text", self.pair.key.read_bytes()):
            self.assert_refused("{path} holds no certificate in PEM form", data)

    def test_damaged_certificate(self) -> None:
        """The place of a damaged certificate in its file is told."""
        own = self.pair.cert.read_bytes()
        damaged = BEGIN + b"AAAA\n-----END CERTIFICATE-----\n"
        self.assert_refused(
            "certificate number 3 in {path} is damaged, or of an unknown kind",
            own + damaged,
        )

    def test_half_a_chain(self) -> None:
        """A chain that is cut off is not taken as if it were shorter."""
        data = self.pair.cert.read_bytes()[:-40]
        self.assert_refused("{path} ends in the middle of a certificate", data)

    def test_no_key(self) -> None:
        """A file without a private key says so, also that of the certificate."""
        data = self.pair.cert.read_bytes()
        self.assert_refused("{path} holds no private key in PEM form", data, of_key=True)
        alone = PairFiles(self.pair.cert, Path())
        error = self.assertRaises(
            ConfigError, Certificate, str(alone.cert), "", lambda: 0.0
        )
        self.assertEqual(
            f"tls-key: {alone.cert} holds no private key in PEM form", str(error)
        )

    def test_damaged_key(self) -> None:
        """A key that makes no sense says so."""
        data = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        self.assert_refused(
            "the private key in {path} is damaged, or of an unknown kind",
            data,
            of_key=True,
        )

    def test_passphrase(self) -> None:
        """A key with a passphrase is refused in both forms; nobody is asked for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
            data = key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"secret"))
            self.assert_refused(
                "the private key in {path} is protected by a passphrase, which nobody"
                " enters here: store it without one",
                data,
                of_key=True,
            )

    def test_mismatch(self) -> None:
        """A key of another certificate, or for something else, is refused."""
        other = self.make_pair("other").key.read_bytes()
        agreement = x25519.X25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        for data in (other, agreement):
            self.assert_refused(
                "the private key in {path} does not belong to the certificate in "
                + str(self.pair.cert),
                data,
                of_key=True,
            )

    def test_order(self) -> None:
        """A chain that begins with an issuer is told apart from a wrong key."""
        _, own, issuer = self.pair.cert.read_bytes().split(BEGIN)
        self.assert_refused(
            "the server's own certificate must come first in {path}, before those of its"
            " issuers",
            BEGIN + issuer + BEGIN + own,
        )

    def test_weak(self) -> None:
        """What OpenSSL finds too weak is refused in its words."""

        def refuse(*args: Any) -> None:
            raise SSL.Error([("SSL routines", "", "ee key too small")])

        self.patch(SSL.Context, "use_certificate", refuse)
        self.assertEqual(
            f"tls-cert: the certificate in {self.pair.cert} cannot be used for TLS:"
            " ee key too small",
            self.refusal(self.pair),
        )

    def test_key_is_not_shown(self) -> None:
        """No representation shows the private key."""
        pair = pem.load_pair(self.pair.cert, self.pair.key)
        self.assertNotIn("key=", repr(pair))


class RenewalTests(TlsCase):
    def replace(self, cert: PairFiles, key: PairFiles | None = None) -> None:
        """Put the certificate, and the key if one is given, in the place of ours."""
        self.pair.cert.write_bytes(cert.cert.read_bytes())
        if key is not None:
            self.pair.key.write_bytes(key.key.read_bytes())

    def lines(self, look: Any) -> list[str | None]:
        """Return what *look* writes to the log."""
        with capturedLogs() as events:
            look()
        return [formatEvent(event) for event in events]

    def name(self) -> str:
        """Return the name in the certificate that the next client is shown."""
        shown = self.client(ca=self.root).tls.get_peer_certificate()
        return str(shown.get_subject().CN)

    def test_unchanged(self) -> None:
        """While the files stay as they are they are not read."""
        self.patch(Path, "open", self.fail)
        self.assertEqual([], self.lines(self.certificate.look))

    def test_renewal(self) -> None:
        """A new pair is taken at the next look, and its dates count."""
        renewed = self.make_pair("renewed", days=200)
        self.replace(renewed, renewed)
        lines = self.lines(self.certificate.look)
        self.assertEqual("renewed", self.name())
        until = datetime.fromtimestamp(self.certificate.not_after, UTC)
        self.assertEqual(
            [
                f"the certificate in {self.pair.cert} is in use from now on, it is valid"
                f" until {until:%Y-%m-%d %H:%M} UTC"
            ],
            lines,
        )
        self.assertEqual(199, (until - datetime.now(UTC)).days)
        self.assertEqual([], self.lines(self.certificate.look))

    def test_links(self) -> None:
        """Links that point to other files now, as certbot leaves them, are a change."""
        live = PairFiles(self.folder / "live.pem", self.folder / "live.key")
        live.cert.symlink_to(self.pair.cert.name)
        live.key.symlink_to(self.pair.key.name)
        self.certificate = self.make_certificate(live)
        self.port = self.make_port()
        renewed = self.make_pair("renewed")
        for link, path in ((live.cert, renewed.cert), (live.key, renewed.key)):
            link.unlink()
            link.symlink_to(path.name)
        self.certificate.look()
        self.assertEqual("renewed", self.name())

    def test_half_a_renewal(self) -> None:
        """A certificate without its key yet is complained about once, then taken."""
        renewed = self.make_pair("renewed")
        self.replace(renewed)
        complaint = (
            f"tls-key: the private key in {self.pair.key} does not belong to the"
            f" certificate in {self.pair.cert}; the certificate that was read before stays"
            " in use"
        )
        self.assertEqual([complaint], self.lines(self.certificate.look))
        self.assertEqual([], self.lines(self.certificate.look))
        self.assertEqual("own", self.name())
        self.replace(renewed, renewed)
        self.assertEqual(1, len(self.lines(self.certificate.look)))
        self.assertEqual("renewed", self.name())

    def test_each_state_is_complained_about(self) -> None:
        """What is wrong in another way, or with other files, is said again."""
        self.pair.key.unlink()
        self.assertEqual(1, len(self.lines(self.certificate.look)))
        for data in (b"text", b"another text"):
            self.pair.key.write_bytes(data)
            self.assertEqual(1, len(self.lines(self.certificate.look)))
            self.assertEqual([], self.lines(self.certificate.look))

    def test_trouble_that_no_date_shows(self) -> None:
        """A pair is tried again also when its files look the same as before."""
        renewed = self.make_pair("renewed")
        self.replace(renewed, renewed)
        patch = self.patch(SSL.Context, "check_privatekey", self.deny)
        self.assertEqual(1, len(self.lines(self.certificate.look)))
        patch.restore()
        self.certificate.look()
        self.assertEqual("renewed", self.name())

    def deny(self, *args: Any) -> None:
        raise SSL.Error([])

    def test_asked_for(self) -> None:
        """Who asks for it is told each time what came of it."""
        self.assertEqual(1, len(self.lines(self.certificate.reload)))
        self.pair.cert.unlink()
        for _ in range(2):
            self.assertEqual(
                [
                    f"tls-cert: {self.pair.cert} cannot be read: No such file or directory;"
                    " the certificate that was read before stays in use"
                ],
                self.lines(self.certificate.reload),
            )
        self.assertEqual("own", self.name())


class ExpiryTests(TlsCase):
    """A certificate that is about to expire is a line in the log, each day."""

    now_s = 0.0

    def make(self) -> Certificate:
        return Certificate(str(self.pair.cert), str(self.pair.key), lambda: self.now_s)

    def set_days(self, days: float) -> None:
        """Let the wall clock show so many days before the end."""
        self.now_s = self.certificate.not_after - days * DAY_S

    def warnings(self, look: Any) -> list[str | None]:
        """Return what *look* warns of."""
        with capturedLogs() as events:
            look()
        return [formatEvent(e) for e in events if e["log_level"] is LogLevel.warn]

    def message(self, what: str, certificate: Certificate) -> str:
        until = datetime.fromtimestamp(certificate.not_after, UTC)
        return f"the certificate in {self.pair.cert} " + what.format(
            until=f"{until:%Y-%m-%d %H:%M} UTC"
        )

    def test_days_left(self) -> None:
        """The rest of the validity is told in days."""
        self.certificate = self.make()
        self.set_days(2.5)
        self.assertAlmostEqual(2.5, self.certificate.days_left)

    def test_warning_each_day(self) -> None:
        """From WARN_DAYS before the end there is one warning on each day."""
        certificate = self.certificate = self.make()
        self.set_days(WARN_DAYS + 0.1)
        self.assertEqual([], self.warnings(certificate.look))
        counts = []
        for hours in range(0, 72, 4):
            self.now_s = certificate.not_after // DAY_S * DAY_S - (5 * 24 - hours) * 3600
            counts.append(len(self.warnings(certificate.look)))
        self.assertEqual([1, 0, 0, 0, 0, 0] * 3, counts)

    def test_words(self) -> None:
        """It says which file, and until when it is good."""
        certificate = self.certificate = self.make()
        self.set_days(3)
        self.assertEqual(
            [self.message("expires on {until}: renew it", certificate)],
            self.warnings(certificate.look),
        )

    def test_expired(self) -> None:
        """An expired certificate is served, with a warning at the start."""
        self.pair = make_pair(self.folder, "expired", days=-1)
        self.now_s = datetime.now(UTC).timestamp()
        warnings = self.warnings(lambda: setattr(self, "certificate", self.make()))
        what = "has expired on {until}: clients refuse it"
        self.assertEqual([self.message(what, self.certificate)], warnings)
        self.port = self.make_port()
        self.assertIsNone(self.client().error)

    def test_renewed_one_is_good(self) -> None:
        """After a renewal nothing is warned of, until that one is old too."""
        certificate = self.certificate = self.make()
        self.set_days(3)
        certificate.look()
        renewed = self.make_pair("renewed", days=200)
        renewed.cert.replace(self.pair.cert)
        renewed.key.replace(self.pair.key)
        self.assertEqual([], self.warnings(certificate.look))
        self.now_s += DAY_S
        self.assertEqual([], self.warnings(certificate.look))
