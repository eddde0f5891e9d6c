"""Where the server's key comes from, what its files look like, what it signs."""

from __future__ import annotations

import errno
import os
from base64 import b64encode
from pathlib import Path
from unittest.mock import patch

from nacl.signing import VerifyKey
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rdserver import keys
from rdserver.errors import ConfigError, UnavailableError
from rdserver.keys import (
    PRIVATE_KEY_FILE,
    PUBLIC_KEY_FILE,
    KeyPair,
    ServerKey,
    decode_base64,
    generate_key_pair,
    load_relay_key,
    load_server_key,
)

# protocol.md section 2.6: the seed is the bytes 00 to 1f.
PUBLIC_TEXT = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
SECRET_TEXT = (
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8D"
    "oQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="
)
SIGNED_ID_PK = (
    "0bf802644f0c87b399e13af6a1d43de586fcd44c49fbd90d035b8479b4803f13"
    "6303c6a215ac82f1a8981b5470e124699a5dabdd93f68e30395687630706e30f"
    "0a093132333435363738391220404142434445464748494a4b4c4d4e4f"
    "505152535455565758595a5b5c5d5e5f"
)
PAIR = KeyPair(decode_base64(SECRET_TEXT) or b"")
ANOTHER = KeyPair.generate()


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


class FolderCase(SynchronousTestCase):
    """A test with a data folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.private = self.folder / PRIVATE_KEY_FILE
        self.public = self.folder / PUBLIC_KEY_FILE

    def write_private(self, text: str, mode: int = 0o600) -> None:
        self.private.write_text(text)
        self.private.chmod(mode)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))


class KeyPairTests(SynchronousTestCase):
    def test_vector(self) -> None:
        """The texts of a pair are those of the protocol's test vector."""
        self.assertEqual((PUBLIC_TEXT, SECRET_TEXT), (PAIR.public_text, PAIR.secret_text))

    def test_signed_id_pk(self) -> None:
        """A device's id and key are signed as the protocol's test vector has it."""
        signed = PAIR.sign_id_pk("123456789", bytes(range(0x40, 0x60)))
        self.assertEqual(SIGNED_ID_PK, signed.hex())

    def test_signature_comes_first(self) -> None:
        """What is signed can be verified with the public key, and holds the message."""
        signed = ANOTHER.sign(b"message")
        self.assertEqual(b"message", VerifyKey(ANOTHER.public).verify(signed))
        self.assertEqual(b"message", signed[64:])

    def test_wrong_length(self) -> None:
        """63 and 65 bytes are no secret key."""
        for secret in (PAIR.secret[:-1], PAIR.secret + b"\0", b""):
            self.assertRaises(ValueError, KeyPair, secret)

    def test_halves_of_two_pairs(self) -> None:
        """A seed with another key's public half is refused."""
        self.assertRaises(ValueError, KeyPair, PAIR.secret[:32] + ANOTHER.public)

    def test_no_secret_in_repr(self) -> None:
        """Neither a pair nor what the server requires can slip into a log."""
        shown = repr([PAIR, ServerKey(PUBLIC_TEXT, PAIR)])
        for secret in (repr(PAIR.secret)[2:-1], SECRET_TEXT, PUBLIC_TEXT):
            self.assertNotIn(secret, shown)

    def test_pairs_compare_by_key(self) -> None:
        """Two pairs are equal exactly if their keys are."""
        self.assertEqual(PAIR, KeyPair(PAIR.secret))
        self.assertNotEqual(PAIR, ANOTHER)


class GenerateTests(SynchronousTestCase):
    def pair_for(self, public_texts: list[str]) -> str:
        """Return what is chosen when pairs with these public texts are made in turn."""
        made = iter(public_texts)

        class Made:
            def __init__(self) -> None:
                self.public_text = next(made)

        return generate_key_pair(Made).public_text  # type: ignore[arg-type]  # a stand-in

    def test_public_key_without_slash(self) -> None:
        """Pairs are made until the public text fits into a file name."""
        self.assertEqual("good", self.pair_for(["a/b", "/", "good", "better"]))

    def test_300_attempts(self) -> None:
        """The 300th pair may still be a good one."""
        self.assertEqual("good", self.pair_for(["/"] * 299 + ["good", "better"]))

    def test_no_more_attempts(self) -> None:
        """After 300 attempts the last pair is taken as it is."""
        self.assertEqual("last/", self.pair_for(["/"] * 299 + ["last/", "good"]))

    def test_real_pairs(self) -> None:
        """A pair made here differs from the one before and has no slash."""
        one, other = generate_key_pair(), generate_key_pair()
        self.assertNotEqual(one, other)
        self.assertNotIn("/", one.public_text + other.public_text)


class Base64Tests(SynchronousTestCase):
    def test_padding_is_optional(self) -> None:
        """The standard alphabet is decoded with and without padding."""
        self.assertEqual(b"\xff\xefa", decode_base64("/+9h"))
        self.assertEqual([b"ab", b"ab"], [decode_base64("YWI="), decode_base64(b"YWI")])

    def test_anything_else(self) -> None:
        """Other alphabets, spaces, wrong lengths and other scripts are not base64."""
        for text in ("_-9h", "YW I=", "Y", "YWI===", "schlüssel", "\udcff", "YWI=\n"):
            self.assertIsNone(decode_base64(text), text)


class KeySettingTests(FolderCase):
    """What the ID server makes of the key setting (protocol.md section 6.4)."""

    def test_fresh_folder(self) -> None:
        """Without a key setting a pair is made, kept, and required of clients."""
        key = load_server_key(None, self.folder)
        assert key.pair is not None
        self.assertEqual(key.pair.public_text, key.required)
        self.assertEqual(key.pair.secret_text, self.private.read_text())
        self.assertEqual(key.required, self.public.read_text())
        self.assertEqual([PRIVATE_KEY_FILE, PUBLIC_KEY_FILE], self.names())

    def test_restart(self) -> None:
        """The next start finds the same pair, and so do ``-`` and ``_``."""
        first = load_server_key(None, self.folder)
        for setting in (None, "-", "_"):
            self.assertEqual(first, load_server_key(setting, self.folder))

    def test_empty(self) -> None:
        """An empty key means no check, but answers are signed all the same."""
        key = load_server_key("", self.folder)
        self.assertEqual(
            ("", key.pair), (key.required, load_server_key("-", self.folder).pair)
        )
        self.assertIsNotNone(key.pair)

    def test_private_key_as_setting(self) -> None:
        """64 bytes in base64, padded or not, are the pair; no file is touched."""
        for setting in (SECRET_TEXT, SECRET_TEXT.rstrip("=")):
            self.assertEqual(
                ServerKey(PUBLIC_TEXT, PAIR), load_server_key(setting, self.folder)
            )
        self.assertEqual([], self.names())

    def test_private_key_of_two_halves(self) -> None:
        """64 bytes that are no key stop the start; the message does not repeat them."""
        secret = b64encode(PAIR.secret[:32] + ANOTHER.public).decode()
        error = self.assertRaises(ConfigError, load_server_key, secret, self.folder)
        self.assertTrue(str(error).startswith("key: "))
        self.assertNotIn(secret[:10], str(error))

    def test_literal(self) -> None:
        """Any other text is required as it stands and signs nothing."""
        for setting in ("secret", PUBLIC_TEXT, "--", " "):
            self.assertEqual(
                ServerKey(setting, None), load_server_key(setting, self.folder)
            )
        self.assertEqual([], self.names())


class KeyFileTests(FolderCase):
    def load(self) -> KeyPair:
        pair = load_server_key(None, self.folder).pair
        assert pair is not None
        return pair

    def assert_refused(self, *parts: str) -> None:
        message = str(self.assertRaises(ConfigError, self.load))
        for part in parts:
            self.assertIn(part, message)

    def test_modes(self) -> None:
        """Only the owner reads the private key; everybody may read the public one."""
        previous = os.umask(0)
        self.addCleanup(os.umask, previous)
        self.load()
        self.assertEqual([0o600, 0o644], [mode_of(self.private), mode_of(self.public)])

    def test_folder_of_the_original(self) -> None:
        """Files of the original are used as they are."""
        self.write_private(SECRET_TEXT)
        self.public.write_text(PUBLIC_TEXT)
        before = self.public.stat()
        self.assertEqual(PAIR, self.load())
        self.assertEqual(before, self.public.stat())

    def test_white_space(self) -> None:
        """White space around the private key is ignored, as by the original."""
        self.write_private(f"\n  {SECRET_TEXT}\r\n")
        self.assertEqual(PAIR, self.load())

    def test_private_key_for_all_to_read(self) -> None:
        """A private key that others can read is used, with one warning."""
        for mode in (0o644, 0o640, 0o602):
            self.write_private(SECRET_TEXT, mode)
            self.public.write_text(PUBLIC_TEXT)
            with capturedLogs() as events:
                self.assertEqual(PAIR, self.load())
            self.assertEqual(1, len(events))
            self.assertIn("chmod 600", events[0]["log_format"])
            self.assertEqual(mode, mode_of(self.private))

    def test_missing_public_key(self) -> None:
        """The public key's file is written again from the private key, with a warning."""
        self.write_private(SECRET_TEXT)
        with capturedLogs() as events:
            self.load()
        self.assertEqual((PUBLIC_TEXT, 1), (self.public.read_text(), len(events)))

    def test_new_pair_is_no_warning(self) -> None:
        """Making the first pair is worth a line that holds no key, and no warning."""
        with capturedLogs() as events:
            pair = self.load()
        self.assertEqual(["info"], [event["log_level"].name for event in events])
        self.assertNotIn(pair.public_text, repr(events))

    def test_edited_public_key(self) -> None:
        """A public key with a newline, as editors leave it, is left alone."""
        self.write_private(SECRET_TEXT)
        self.public.write_text(PUBLIC_TEXT + "\n")
        with capturedLogs() as events:
            self.load()
        self.assertEqual((PUBLIC_TEXT + "\n", []), (self.public.read_text(), events))

    def test_wrong_public_key(self) -> None:
        """A public key of another pair is replaced, with a warning without keys."""
        self.write_private(SECRET_TEXT)
        for wrong in (ANOTHER.public_text, PUBLIC_TEXT[:-1], "", "\0"):
            self.public.write_text(wrong)
            with capturedLogs() as events:
                self.load()
            self.assertEqual((PUBLIC_TEXT, 1), (self.public.read_text(), len(events)))
            self.assertNotIn(PUBLIC_TEXT, repr(events))

    def test_malformed(self) -> None:
        """A private key's file without a private key stops the start and stays."""
        halves = b64encode(PAIR.secret[:32] + ANOTHER.public).decode()
        for text in ("", "no base64", SECRET_TEXT[:-4], PUBLIC_TEXT, halves, "ä"):
            self.write_private(text)
            self.assert_refused(
                "Fatal error: malformed private key in id_ed25519. ", str(self.private)
            )
            self.assertEqual(text, self.private.read_text())

    def test_unreadable(self) -> None:
        """A private key that is a folder stops the start; the cause is named."""
        self.private.mkdir()
        self.assert_refused("data-dir: ", str(self.folder), "Is a directory")

    def test_missing_folder(self) -> None:
        """No folder, no key."""
        self.folder = self.folder / "missing"
        self.assert_refused("data-dir: ", str(self.folder), "No such file or directory")

    def test_full_disk(self) -> None:
        """A key that cannot be stored is not used, and leaves nothing behind."""
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with patch.object(os, "fsync", side_effect=full):
            self.assert_refused("data-dir: ", "No space left on device")
        self.assertEqual([], self.names())

    def test_private_key_comes_first(self) -> None:
        """Dying between the two files leaves the private one, which is enough."""
        with patch.object(os, "replace", side_effect=OSError(errno.EIO, "died")):
            self.assert_refused("died")
        self.assertEqual([PRIVATE_KEY_FILE], self.names())
        self.assertEqual(self.private.read_text(), self.load().secret_text)

    def test_another_server_was_faster(self) -> None:
        """A key that appears while ours is made is never overwritten."""

        def meanwhile() -> KeyPair:
            self.write_private(SECRET_TEXT)
            return ANOTHER

        with patch.object(keys, "generate_key_pair", meanwhile):
            self.assert_refused("data-dir: ", "File exists")
        self.assertEqual(SECRET_TEXT, self.private.read_text())
        self.assertEqual([PRIVATE_KEY_FILE], self.names())

    def test_folder_without_hard_links(self) -> None:
        """On a file system that knows no hard links the files come all the same."""
        refusal = OSError(errno.EPERM, "Operation not permitted")
        with patch.object(os, "link", side_effect=refusal):
            pair = self.load()
        self.assertEqual(pair.secret_text, self.private.read_text())
        self.assertEqual([PRIVATE_KEY_FILE, PUBLIC_KEY_FILE], self.names())

    def load_where_folders_fail(self, code: int) -> KeyPair:
        """Load while synchronising a folder, but not a file, gives error *code*."""
        fsync = os.fsync

        def only_files(descriptor: int) -> None:
            if os.path.isdir(f"/proc/self/fd/{descriptor}"):
                raise OSError(code, os.strerror(code))
            fsync(descriptor)

        with patch.object(os, "fsync", only_files):
            return self.load()

    def test_folder_that_cannot_be_synchronised(self) -> None:
        """Where folders know no fsync, files are synchronised and that suffices."""
        pair = self.load_where_folders_fail(errno.EINVAL)
        self.assertEqual(pair.public_text, self.public.read_text())

    def test_folder_that_fails(self) -> None:
        """A disk that does not confirm the file's name stops the start."""
        error = self.assertRaises(ConfigError, self.load_where_folders_fail, errno.EIO)
        self.assertIn("Input/output error", str(error))


class RelayKeyTests(FolderCase):
    """What a relay on its own asks of clients."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()

    def load(self, setting: str | None = None) -> str:
        return load_relay_key(setting, self.folder, self.clock.advance, self.clock.seconds)

    def test_public_key_of_the_folder(self) -> None:
        """Without a setting, or with ``-`` or ``_``, the public key's file says it."""
        self.public.write_text(PUBLIC_TEXT + "\n")
        for setting in (None, "-", "_"):
            self.assertEqual(PUBLIC_TEXT, self.load(setting))
        self.assertEqual(0, self.clock.seconds())

    def test_private_key_is_not_read(self) -> None:
        """A private key beside it, even a broken one, does not matter."""
        self.write_private("broken")
        self.public.write_text(PUBLIC_TEXT)
        self.assertEqual(PUBLIC_TEXT, self.load())
        self.public.unlink()
        self.write_private(SECRET_TEXT)
        self.assertRaises(ConfigError, self.load)

    def test_settings(self) -> None:
        """A private key means its public one, any other text itself, empty no check."""
        self.assertEqual(
            [PUBLIC_TEXT, "literal", PUBLIC_TEXT, ""],
            [self.load(text) for text in (SECRET_TEXT, "literal", PUBLIC_TEXT, "")],
        )

    def test_waits_for_the_id_server(self) -> None:
        """A file that comes, or becomes whole, just before 5 s have passed is used."""
        self.public.write_text(PUBLIC_TEXT[:20])
        self.clock.callLater(4.9, self.public.write_text, PUBLIC_TEXT)
        self.assertEqual(PUBLIC_TEXT, self.load())

    def test_waits_no_longer(self) -> None:
        """After 5 s the start stops, for now, with three cures; nothing was created."""
        message = str(self.assertRaises(UnavailableError, self.load))
        self.assertTrue(5 <= self.clock.seconds() < 5.2)
        for cure in ("copy id_ed25519.pub", "--key", "--relay-auth open"):
            self.assertIn(cure, message)
        self.assertEqual([], self.names())

    def test_unreadable(self) -> None:
        """A file that cannot be read is not waited for; the cause is named."""
        self.public.mkdir()
        message = str(self.assertRaises(ConfigError, self.load))
        self.assertIn("data-dir: ", message)
        self.assertIn("Is a directory", message)
        self.assertEqual(0, self.clock.seconds())
