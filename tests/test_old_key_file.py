"""Tests for :mod:`rdserver.old_key_file`."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ConfigError
from rdserver.keys import KeyPair
from rdserver.old_key_file import MAX_OLD_KEYS, load_old_keys, load_old_public_keys

CURRENT, FIRST, SECOND = (KeyPair.generate() for _ in range(3))
HALVES = FIRST.secret[:32] + SECOND.secret[32:]


class FileCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def write(self, *lines: str, mode: int = 0o600) -> str:
        """Write the file; return its path."""
        self.path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        self.path.chmod(mode)
        return str(self.path)

    def load(self, *lines: str, mode: int = 0o600) -> tuple[KeyPair, ...]:
        """Load the file as an ID server does; what it logs is in ``self.logged``."""
        with capturedLogs() as events:
            pairs = load_old_keys(self.write(*lines, mode=mode), CURRENT.public_text)
        self.logged = [formatEvent(event) for event in events]
        return pairs

    def load_public(self, *lines: str, mode: int = 0o600) -> tuple[str, ...]:
        """Load the file as a relay on its own does."""
        path = self.write(*lines, mode=mode)
        return load_old_public_keys(path, CURRENT.public_text)

    def refusal(self, *lines: str, mode: int = 0o600) -> str:
        """Return the sentence that refuses such a file; no key is in it."""
        error = self.assertRaises(ConfigError, self.load, *lines, mode=mode)
        return self.sentence(error, lines)

    def relay_refusal(self, *lines: str, mode: int = 0o600) -> str:
        """Return the sentence that refuses such a file to a relay; no key is in it."""
        error = self.assertRaises(ConfigError, self.load_public, *lines, mode=mode)
        return self.sentence(error, lines)

    def sentence(self, error: ConfigError, lines: tuple[str, ...]) -> str:
        text = str(error)
        self.assertEqual(1, len(text.splitlines()))
        for line in lines:
            self.assertNotIn(line[:12] or "\n", text)
        return text


class KeyPairsTests(FileCase):
    """What an ID server reads."""

    def test_no_file(self) -> None:
        """Without the setting there are no old keys."""
        self.assertEqual(((), ()), (load_old_keys("", "k"), load_old_public_keys("", "k")))

    def test_lines(self) -> None:
        """One pair on a line, in their order; blank lines and comments are skipped."""
        pairs = self.load(
            "# until 2025",
            FIRST.secret_text,
            "",
            f"  {SECOND.secret_text.rstrip('=')}  # of the old office",
        )
        self.assertEqual(((FIRST, SECOND), []), (pairs, self.logged))

    def test_empty_file(self) -> None:
        """A file without a key is none."""
        self.assertEqual((), self.load("# nothing yet"))

    def test_line_ends_of_windows(self) -> None:
        """They do no harm."""
        self.assertEqual((FIRST,), self.load(f"{FIRST.secret_text}\r"))

    def test_key_in_force(self) -> None:
        """It is no old key: a warning says where it stands."""
        self.assertEqual((FIRST,), self.load(FIRST.secret_text, CURRENT.secret_text))
        line = f"old-keys: line 2 of {self.path} is the key in force; left out"
        self.assertEqual([line], self.logged)

    def test_repeated(self) -> None:
        """A key that stands there again is left out with a warning."""
        self.assertEqual((FIRST,), self.load(FIRST.secret_text, FIRST.secret_text))
        line = f"old-keys: line 2 of {self.path} is there twice; left out"
        self.assertEqual([line], self.logged)

    def test_most(self) -> None:
        """Sixteen keys are taken, one more is not; what is left out does not count."""
        texts = [KeyPair.generate().secret_text for _ in range(MAX_OLD_KEYS)]
        self.assertEqual(16, len(self.load(*texts, texts[0], CURRENT.secret_text)))
        sentence = self.refusal(*texts, FIRST.secret_text)
        self.assertEqual(f"old-keys: {self.path} holds more than 16 keys", sentence)

    def test_no_key(self) -> None:
        """A line that is none is named by its number."""
        needed = "must be a key pair, 64 bytes in base64"
        for text in ("no key", "AAAA", "ü" * 88, FIRST.secret_text[:-4]):
            sentence = self.refusal("# comment", FIRST.secret_text, text)
            self.assertEqual(f"old-keys: line 3 of {self.path} {needed}", sentence)

    def test_bytes_that_are_no_text(self) -> None:
        """Any bytes are a line that is no key."""
        self.path.write_bytes(b"\xff\xfe\x00")
        self.path.chmod(0o600)
        error = self.assertRaises(ConfigError, load_old_keys, str(self.path), "k")
        self.assertIn(f"line 1 of {self.path} must be a key pair", str(error))

    def test_public_key(self) -> None:
        """A public key cannot sign, and the sentence says what is needed."""
        sentence = self.refusal(FIRST.public_text)
        self.assertIn(f"line 1 of {self.path} is a public key alone", sentence)
        self.assertIn("id_ed25519", sentence)

    def test_halves_of_two_keys(self) -> None:
        """What is no pair is refused, as it is in the key setting."""
        sentence = self.refusal(b64encode(HALVES).decode())
        self.assertIn(f"line 1 of {self.path}: the two halves", sentence)

    def test_readable_by_others(self) -> None:
        """Private keys that other users can read stop the start."""
        for mode in (0o640, 0o604, 0o620):
            sentence = self.refusal(FIRST.secret_text, mode=mode)
            self.assertTrue(sentence.startswith(f"old-keys: {self.path} holds private "))
            self.assertTrue(sentence.endswith("chmod 600"))
        self.assertEqual((FIRST,), self.load(FIRST.secret_text, mode=0o400))

    def test_unreadable(self) -> None:
        """A file that is not there, or is a folder, stops the start."""
        missing = f"{self.path}-missing"
        error = self.assertRaises(ConfigError, load_old_keys, missing, "k")
        sentence = f"old-keys: {missing} cannot be read: No such file or directory"
        self.assertEqual(sentence, str(error))
        self.path.mkdir()
        error = self.assertRaises(ConfigError, load_old_public_keys, str(self.path), "k")
        self.assertIn("cannot be read: Is a directory", str(error))


class PublicKeysTests(FileCase):
    """What a relay on its own reads."""

    def test_lines(self) -> None:
        """Public keys and pairs may be mixed; of a pair the public key counts."""
        keys = self.load_public(FIRST.public_text.rstrip("="), SECOND.secret_text)
        self.assertEqual((FIRST.public_text, SECOND.public_text), keys)

    def test_left_out(self) -> None:
        """The key in force and repeats are left out here too, in whichever form."""
        lines = (FIRST.public_text, FIRST.secret_text, CURRENT.public_text)
        with capturedLogs() as events:
            keys = self.load_public(*lines)
        self.assertEqual(((FIRST.public_text,), 2), (keys, len(events)))

    def test_no_key(self) -> None:
        """The sentence says that both forms would do."""
        sentence = self.relay_refusal(FIRST.public_text, "no key at all")
        self.assertEqual(
            f"old-keys: line 2 of {self.path} must be a public key of 32 bytes, or a key "
            "pair of 64, in base64",
            sentence,
        )

    def test_readable_by_others(self) -> None:
        """Public keys are no secret; a single private one makes the file one."""
        self.assertEqual(1, len(self.load_public(FIRST.public_text, mode=0o644)))
        sentence = self.relay_refusal(FIRST.public_text, SECOND.secret_text, mode=0o644)
        self.assertIn("chmod 600", sentence)
