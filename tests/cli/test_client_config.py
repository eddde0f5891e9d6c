"""Tests for :mod:`rdserver.cli.client_config`: what a client is given."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from contextlib import redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli import client_config as module
from rdserver.cli import installed, utils
from rdserver.cli.client_config import ClientConfig, client_config
from rdserver.errors import ConfigError
from rdserver.keys import KeyPair
from rdserver.settings.config import Config
from rdserver.transports import local
from tests.cli.test_utils import PUBLIC, SECRET, run

HOST = "rd.example.org"
CLIENT = ClientConfig(host=HOST, relay=HOST, api="", key=PUBLIC)


class FolderCase(SynchronousTestCase):
    """Tests with the data folder of a server that has run."""

    def setUp(self) -> None:
        """Make the folder; no other one is looked into."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "id_ed25519.pub").write_text(PUBLIC)
        self.patch(installed, "DATA_DIR", self.folder / "nowhere")

    def config(self, **values: object) -> Config:
        """Return settings with this data folder."""
        return Config(data_dir=str(self.folder), **values)


class FieldTests(FolderCase):
    """Which value is in which field."""

    def assert_fields(self, host: str, relay: str, **values: object) -> None:
        """Check the two servers that clients are told."""
        client = client_config(self.config(**values), HOST)
        self.assertEqual((host, relay), (client.host, client.relay))

    def test_usual_ports(self) -> None:
        """Clients know them."""
        self.assert_fields(HOST, HOST)

    def test_other_ports(self) -> None:
        """Others are told."""
        self.assert_fields(f"{HOST}:31116", f"{HOST}:31117", port=31116)

    def test_relay_elsewhere(self) -> None:
        """Relays that the ID server names are not repeated in each client."""
        self.assert_fields(HOST, "", role="id")
        self.assert_fields(HOST, "", relay_servers=("other.example.org",))

    def test_api(self) -> None:
        """The API server is told, if there is one."""
        client = client_config(self.config(api_url="https://api.example.org"), HOST)
        self.assertEqual("https://api.example.org", client.api)

    def test_api_of_this_machine(self) -> None:
        """An address that only the server reaches is of no use to a client."""
        for url in ("http://127.0.0.1:21114", "http://localhost:21114", "http://[::1]:21114"):
            self.assertEqual("", client_config(self.config(api_url=url), HOST).api)

    def test_key(self) -> None:
        """It is the public one, wherever the server has its pair from."""
        other = KeyPair.generate()
        for expected, key in (
            (PUBLIC, None),
            (PUBLIC, "_"),
            (PUBLIC, ""),
            (other.public_text, other.secret_text),
            ("a text", "a text"),
        ):
            self.assertEqual(expected, client_config(self.config(key=key), HOST).key)

    def test_no_key_yet(self) -> None:
        """Before the first start there is nothing to enter."""
        for content in (None, "", "rubbish"):
            (self.folder / "id_ed25519.pub").unlink(missing_ok=True)
            if content is not None:
                (self.folder / "id_ed25519.pub").write_text(content)
            error = self.assertRaises(ConfigError, client_config, self.config(), HOST)
            self.assertIn("at its first start", str(error))

    def test_ports(self) -> None:
        """Each role has its own, and the port for everything if there is one."""
        self.assertEqual(
            [*(f"{port}/tcp" for port in range(21115, 21120)), "21116/udp"],
            module.ports(self.config()),
        )
        self.assertEqual(
            ["21117/tcp", "21119/tcp"], module.ports(self.config(role="relay", key="k"))
        )
        self.assertIn("443/tcp", module.ports(self.config(tls_cert="c.pem")))


class TextTests(SynchronousTestCase):
    """What clients import and scan."""

    def test_import_text(self) -> None:
        """Backwards it is URL-safe base64 without padding of a JSON object."""
        text = CLIENT.import_text[::-1]
        self.assertNotIn("=", text)
        decoded = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        self.assertEqual({"host": HOST, "relay": HOST, "api": "", "key": PUBLIC}, decoded)

    def test_known_import_text(self) -> None:
        """Letter by letter, for a small one."""
        client = ClientConfig(host="h", relay="", api="", key="k")
        self.assertEqual('{"host":"h","relay":"","api":"","key":"k"}', client.json)
        self.assertEqual(
            "9JyaiojI5V2aiwiIiojIpBXYiwiIiojI5FGblJnIsICaiojI0N3boJye", client.import_text
        )

    def test_qr_text(self) -> None:
        """The mobile client wants the object itself, behind a word."""
        self.assertEqual(f"config={CLIENT.json}", CLIENT.qr_text)

    def test_qr_code(self) -> None:
        """Two rows of squares are a line; the border is light, which is drawn."""
        lines = module.qr_code(CLIENT.qr_text).splitlines()
        width = len(lines[0])
        self.assertEqual({width}, {len(line) for line in lines})
        self.assertEqual((width + 1) // 2, len(lines))
        self.assertEqual("█" * width, lines[0])
        self.assertTrue(set("".join(lines)) <= set(" ▀▄█"))

    def test_doubt(self) -> None:
        """An address behind a router is of no use outside; a name may be of any."""
        for host in ("192.168.1.5", "127.0.0.1", "fd00::1"):
            self.assertIn("--host", module.doubt(host))
        for host in (HOST, "8.8.8.8"):
            self.assertEqual("", module.doubt(host))


class CommandTests(FolderCase):
    """``rustdesk-utils client-config``."""

    def test_prints(self) -> None:
        """Everything a person needs is there, and the import text."""
        ran = run("client-config", "--host", HOST, f"--data-dir={self.folder}")
        self.assertEqual((0, ""), (ran.status, ran.err))
        for text in (HOST, PUBLIC, CLIENT.import_text, "21116/udp"):
            self.assertIn(text, ran.out)

    def test_terminal_without_such_letters(self) -> None:
        """Where the letters of a QR code cannot be written, the rest is."""
        with patch.object(module, "qr_code", return_value="") as drawn:
            for encoding, times in (("utf-8", 1), ("iso8859-1", 1)):
                out = TextIOWrapper(BytesIO(), encoding=encoding)
                with redirect_stdout(out):
                    status = utils.main(["client-config", f"--data-dir={self.folder}"])
                self.assertEqual((0, times), (status, drawn.call_count))

    def test_relay_alone(self) -> None:
        """It names no ID server, which is elsewhere, and nothing to import."""
        words = f"--data-dir={self.folder}", "--role=relay", "--relay-servers=x"
        ran = run("client-config", "--host", HOST, *words)
        self.assertEqual((0, ""), (ran.status, ran.err))
        self.assertIn(f"Relay server:  {HOST}\n", ran.out)
        self.assertIn(PUBLIC, ran.out)
        for text in ("ID server: ", "import", "21116", "█"):
            self.assertNotIn(text, ran.out)

    def test_address_of_all(self) -> None:
        """To listen on all addresses says nothing of which one is whose."""
        self.patch(local, "primary_address", lambda: "192.0.2.7")
        for bind, host in (("0.0.0.0", "192.0.2.7"), ("::", "192.0.2.7"), ("::1", "::1")):
            ran = run("client-config", f"--data-dir={self.folder}", f"--bind={bind}")
            self.assertIn(f"ID server:     {host}\n", ran.out)

    def test_no_host(self) -> None:
        """What is more or less than a host is refused."""
        for host in ("https://x.example", "x:21116", "x/y", "", "[::1]:5", "a b", "x:y:z"):
            ran = run("client-config", f"--data-dir={self.folder}", "--host", host)
            self.assertEqual((1, ""), (ran.status, ran.out), host)
            self.assertIn("--host must be a name or an address", ran.err)
        ran = run("client-config", f"--data-dir={self.folder}", "--host=[2001:db8::1]")
        self.assertIn("ID server:     2001:db8::1\n", ran.out)

    def test_secret(self) -> None:
        """The private key is never printed, also where it is a setting."""
        settings = self.folder / "settings"
        settings.write_text(f"key={SECRET}\n")
        data = f"--data-dir={self.folder}"
        ran = run("client-config", "--host=h", data, "--config", str(settings.resolve()))
        self.assertIn(PUBLIC, ran.out)
        self.assertNotIn(SECRET[:40], ran.out)

    def test_wrong_options(self) -> None:
        """They are named, and nothing is printed."""
        for argument in ("--hosts=x", "x", "--host", "--port=x"):
            ran = run("client-config", argument)
            self.assertEqual((1, ""), (ran.status, ran.out))
            self.assertIn(argument.partition("=")[0].strip("-"), ran.err)
