"""
The server's Ed25519 key: where it comes from, its files, and what it signs.

Only the ID role reads or makes the private key; the relay role is content with
the public one.  Nothing here writes a key to a log, and no ``repr`` shows one.

Source: protocol.md sections 2.5 and 6.4.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen
from nacl.signing import SigningKey
from twisted.logger import Logger

from rdserver import durable
from rdserver.errors import ConfigError, UnavailableError
from rdserver.wire import pb

PRIVATE_KEY_FILE = "id_ed25519"
PUBLIC_KEY_FILE = "id_ed25519.pub"
SECRET_BYTES = 64
PUBLIC_BYTES = 32
RELAY_KEY_WAIT_S = 5.0

_SEED_BYTES = 32
_FROM_FILE = (None, "-", "_")
_GENERATION_ATTEMPTS = 300
_POLL_S = 0.1
_log = Logger()


@frozen
class KeyPair:
    """
    An Ed25519 key pair whose halves belong together.

    :ivar secret: 64 bytes, the seed and then the public key.
    :ivar signing_key: the same for PyNaCl.
    :raises ValueError: *secret* has another length, or halves of different keys.
    """

    secret: bytes = field(repr=False)
    signing_key: SigningKey = field(init=False, repr=False, eq=False)

    @signing_key.default
    def _checked(self) -> SigningKey:
        if len(self.secret) != SECRET_BYTES:
            raise ValueError("a secret key has 64 bytes")
        key = SigningKey(self.secret[:_SEED_BYTES])
        if bytes(key.verify_key) != self.public:
            raise ValueError("the two halves of the secret key do not belong together")
        return key

    @classmethod
    def generate(cls) -> KeyPair:
        """Return a new pair from the system's randomness."""
        key = SigningKey.generate()
        return cls(bytes(key) + bytes(key.verify_key))

    @property
    def public(self) -> bytes:
        """The 32 bytes of the public key."""
        return self.secret[_SEED_BYTES:]

    @property
    def public_text(self) -> str:
        """The public key as clients are given it: base64 with padding."""
        return b64encode(self.public).decode()

    @property
    def secret_text(self) -> str:
        """The secret key as its file holds it: base64 with padding."""
        return b64encode(self.secret).decode()

    def sign(self, message: bytes) -> bytes:
        """Return *message* with its 64-byte signature in front."""
        return bytes(self.signing_key.sign(message))

    def sign_id_pk(self, peer_id: str, pk: bytes) -> bytes:
        """
        Vouch for device *peer_id* having the public key *pk* (32 bytes).

        Source: protocol.md section 2.5.
        """
        # Serialised field by field in order of their numbers, as clients expect.
        return self.sign(pb.IdPk(id=peer_id.encode(), pk=pk).SerializeToString())


@frozen
class ServerKey:
    """
    What the key setting means to the ID server.

    :ivar required: the text clients must present; empty: whoever asks is served.
    :ivar pair: what answers are signed with; None: they go unsigned.
    :ivar old: pairs of former times, for clients that still have their public keys.
    """

    required: str = field(repr=False)
    pair: KeyPair | None
    old: tuple[KeyPair, ...] = ()

    @property
    def public_text(self) -> str:
        """What clients are given as their key."""
        return self.required if self.pair is None else self.pair.public_text


@frozen
class RelayKeys:
    """
    What the relay compares with; it signs nothing.

    :ivar required: the text clients must present; empty: whoever asks is served.
    :ivar old: old public keys, as good as *required*.
    """

    required: str = field(repr=False)
    old: tuple[str, ...] = ()


def decode_base64(text: str | bytes) -> bytes | None:
    """Decode the standard alphabet, padded or not; None: it is something else."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    try:
        return b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except ValueError:
        return None


def generate_key_pair(generate: Callable[[], KeyPair] = KeyPair.generate) -> KeyPair:
    """
    Return a new pair whose public text fits into file names and URLs.

    That is: without ``/`` (nor ``:``, which base64 never has), if that can be had
    in 300 attempts; every second one succeeds.
    """
    for _ in range(_GENERATION_ATTEMPTS):
        pair = generate()
        if "/" not in pair.public_text:
            break
    return pair


def load_server_key(key_setting: str | None, data_dir: Path) -> ServerKey:
    """
    Return what the ID server checks and signs with; make the key files if needed.

    :param key_setting: the key setting's text; None: not given.
    :raises ConfigError: the key asked for cannot be had.

    Source: protocol.md section 6.4.
    """
    if key_setting in _FROM_FILE:
        pair = _load_or_create(data_dir)
        return ServerKey(pair.public_text, pair)
    if not key_setting:
        return ServerKey("", _load_or_create(data_dir))
    given = _pair_in_setting(key_setting)
    return ServerKey(given.public_text if given else key_setting, given)


def load_relay_key(
    key_setting: str | None,
    data_dir: Path,
    sleep: Callable[[float], None],
    now: Callable[[], float],
) -> str:
    """
    Return the key text that a relay on its own asks of clients.

    The public key's file is waited for, up to 5 s, because an ID server that was
    started at the same time may be about to write it.  The private key is neither
    needed nor read.

    :param key_setting: the key setting's text; None: not given.  Empty stays
        empty, which means no check: whether that is wanted is the caller's to ask.
    :param sleep: blocks for so many seconds; the server is not serving yet.
    :param now: monotonic clock, in seconds.
    :raises ConfigError: there is no key.

    Source: protocol.md section 6.4.
    """
    if key_setting not in _FROM_FILE:
        given = _pair_in_setting(key_setting or "")
        return given.public_text if given else key_setting or ""
    deadline = now() + RELAY_KEY_WAIT_S
    while (public := _read_public_key(data_dir)) is None and now() < deadline:
        sleep(_POLL_S)
    if public is None:
        raise _no_relay_key(data_dir)
    return b64encode(public).decode()


def _pair_in_setting(key_setting: str) -> KeyPair | None:
    secret = decode_base64(key_setting)
    if secret is None or len(secret) != SECRET_BYTES:
        return None
    try:
        return KeyPair(secret)
    except ValueError as e:
        raise ConfigError(f"key: {e}") from e


def _load_or_create(data_dir: Path) -> KeyPair:
    try:
        pair = _load_pair(data_dir)
        if pair is None:
            return _create_pair(data_dir)
        _mend_public_key(data_dir, pair)
    except OSError as e:
        raise _inaccessible(data_dir, e) from e
    return pair


def _load_pair(data_dir: Path) -> KeyPair | None:
    path = data_dir / PRIVATE_KEY_FILE
    text = durable.read(path)
    if text is None:
        return None
    if path.stat().st_mode & 0o077:
        _log.warn(
            "{path} can be read by other users of this machine; mend that with: chmod 600",
            path=str(path),
        )
    try:
        return KeyPair(decode_base64(text.strip()) or b"")
    except ValueError as e:
        raise ConfigError(
            f"Fatal error: malformed private key in {PRIVATE_KEY_FILE}. {path} must hold"
            f" base64 of {SECRET_BYTES} bytes: {e}; restore it from a backup, or move it"
            " away for a new key, which every client must then be given"
        ) from e


def _create_pair(data_dir: Path) -> KeyPair:
    pair = generate_key_pair()
    # Never over another one: two servers that start together in one folder would
    # work with two keys until one of them restarts.
    durable.write_new(data_dir / PRIVATE_KEY_FILE, pair.secret_text, 0o600)
    _write_public_key(data_dir, pair)
    _log.info("new key pair made in {folder}", folder=str(data_dir))
    return pair


def _mend_public_key(data_dir: Path, pair: KeyPair) -> None:
    """Let the public key's file say what the private key says; a relay may read it."""
    path = data_dir / PUBLIC_KEY_FILE
    if (durable.read(path) or b"").strip() != pair.public_text.encode():
        _log.warn("{path} did not fit the private key; written anew", path=str(path))
        _write_public_key(data_dir, pair)


def _write_public_key(data_dir: Path, pair: KeyPair) -> None:
    durable.replace(data_dir / PUBLIC_KEY_FILE, pair.public_text, 0o644)


def _read_public_key(data_dir: Path) -> bytes | None:
    try:
        text = durable.read(data_dir / PUBLIC_KEY_FILE)
    except OSError as e:
        raise _inaccessible(data_dir, e) from e
    public = decode_base64((text or b"").strip())
    return public if public and len(public) == PUBLIC_BYTES else None


def _inaccessible(data_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"data-dir: the key files in {data_dir} cannot be read or written:"
        f" {error.strerror or error}"
    )


def _no_relay_key(data_dir: Path) -> ConfigError:
    return UnavailableError(
        f"key: no usable {PUBLIC_KEY_FILE} in {data_dir.absolute()}; copy {PUBLIC_KEY_FILE}"
        " of the ID server here, give its text with --key, or let everybody use this"
        " relay with --relay-auth open"
    )
