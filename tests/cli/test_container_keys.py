"""Tests for :mod:`rdserver.cli.container_keys`: a key pair from outside a container."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from rdserver.cli.container_keys import given_pair, keep
from rdserver.errors import ConfigError
from rdserver.keys import KeyPair
from tests.cli.test_utils import OTHER, PUBLIC, SECRET


class GivenTests(SynchronousTestCase):
    """Where the pair is taken from."""

    def setUp(self) -> None:
        self.secrets = Path(self.mktemp())
        self.secrets.mkdir()

    def given(self, **environ: str) -> KeyPair | None:
        return given_pair(environ, self.secrets)

    def assert_refused(self, sentence: str, **environ: str) -> None:
        """The sentence is the whole of it."""
        error = self.assertRaises(ConfigError, self.given, **environ)
        self.assertEqual(sentence, str(error))

    def test_none(self) -> None:
        """Nobody has to give one."""
        self.assertIsNone(self.given())
        self.assertIsNone(self.given(KEY_PUB="", KEY_PRIV=" "))

    def test_variables(self) -> None:
        """Both halves as variables."""
        pair = self.given(KEY_PUB=PUBLIC, KEY_PRIV=f"{SECRET}\n")
        self.assertEqual((PUBLIC, SECRET), (pair.public_text, pair.secret_text))

    def test_secrets(self) -> None:
        """Both halves as secrets; a variable goes before the secret."""
        (self.secrets / "key_pub").write_text(f"{OTHER.public_text}\n")
        (self.secrets / "key_priv").write_text(f"{OTHER.secret_text}\n")
        self.assertEqual(OTHER, self.given())
        self.assertEqual(SECRET, self.given(KEY_PUB=PUBLIC, KEY_PRIV=SECRET).secret_text)

    def test_one_half(self) -> None:
        """Both or neither."""
        self.assert_refused(
            "KEY_PUB was given without KEY_PRIV: give both, or neither", KEY_PUB=PUBLIC
        )
        self.assert_refused(
            "KEY_PRIV was given without KEY_PUB: give both, or neither", KEY_PRIV=SECRET
        )

    def test_wrong(self) -> None:
        """What is no key, or not the other's half, is named, never shown."""
        self.assert_refused(
            "KEY_PRIV must be base64 of 64 bytes", KEY_PUB=PUBLIC, KEY_PRIV=PUBLIC
        )
        self.assert_refused(
            "KEY_PUB must be base64 of 32 bytes", KEY_PUB="x y", KEY_PRIV=SECRET
        )
        self.assert_refused(
            "KEY_PUB and KEY_PRIV do not belong together",
            KEY_PUB=OTHER.public_text,
            KEY_PRIV=SECRET,
        )
        mixed = KeyPair.generate().secret_text[:40] + SECRET[40:]
        self.assert_refused(
            "KEY_PRIV: the two halves of the secret key do not belong together",
            KEY_PUB=PUBLIC,
            KEY_PRIV=mixed,
        )

    def test_unreadable(self) -> None:
        """A secret that cannot be read is named."""
        (self.secrets / "key_pub").mkdir()
        self.assert_refused(f"{self.secrets}/key_pub cannot be read: Is a directory")


class KeepTests(SynchronousTestCase):
    """The files of the pair."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.private = self.folder / "id_ed25519"
        self.public = self.folder / "id_ed25519.pub"

    def test_first_start(self) -> None:
        """The private key is for its owner alone."""
        keep(OTHER, self.folder)
        self.assertEqual(OTHER.secret_text, self.private.read_text())
        self.assertEqual(OTHER.public_text, self.public.read_text())
        self.assertEqual(0o600, self.private.stat().st_mode & 0o777)

    def test_same_key(self) -> None:
        """Later starts find it there; white space is no difference."""
        self.private.write_text(f"{OTHER.secret_text}\n")
        self.public.write_text("a copy that somebody spoilt")
        keep(OTHER, self.folder)
        self.assertEqual(f"{OTHER.secret_text}\n", self.private.read_text())

    def test_other_key(self) -> None:
        """Another key stays, even if only the public half is there."""
        for path in (self.private, self.public):
            path.write_text(SECRET if path is self.private else PUBLIC)
            error = self.assertRaises(ConfigError, keep, OTHER, self.folder)
            self.assertIn(f"{path} holds another key", str(error))
            self.assertEqual([path], list(self.folder.iterdir()))
            path.unlink()

    def test_unwritable(self) -> None:
        """A folder that takes no file is named."""
        folder = self.folder / "none"
        error = self.assertRaises(ConfigError, keep, OTHER, folder)
        self.assertIn(f"the keys cannot be kept in {folder}: ", str(error))
