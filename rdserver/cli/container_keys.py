"""
A key pair from outside a container: variables, or secrets, for the first start.

Source: protocol.md section 6.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from rdserver import durable
from rdserver.errors import ConfigError
from rdserver.keys import (
    PRIVATE_KEY_FILE,
    PUBLIC_BYTES,
    PUBLIC_KEY_FILE,
    SECRET_BYTES,
    KeyPair,
    decode_base64,
)

SECRETS = Path("/run/secrets")


@frozen(repr=False)
class _Half:
    """A text and where it was found, as the operator knows that place."""

    name: str
    text: str


def given_pair(environ: Mapping[str, str], secrets: Path = SECRETS) -> KeyPair | None:
    """
    Return the pair of KEY_PUB and KEY_PRIV, or of the secrets with these names.

    :return: None if there is neither half.
    :raises ConfigError: one is missing, or wrong, or they do not belong together.
    """
    public = _half("KEY_PUB", environ, secrets)
    secret = _half("KEY_PRIV", environ, secrets)
    if public is None and secret is None:
        return None
    if public is None or secret is None:
        given, missing = ("KEY_PUB", "KEY_PRIV") if public else ("KEY_PRIV", "KEY_PUB")
        raise ConfigError(f"{given} was given without {missing}: give both, or neither")
    if _decoded(public, PUBLIC_BYTES) != (pair := _pair(secret)).public:
        raise ConfigError(f"{public.name} and {secret.name} do not belong together")
    return pair


def keep(pair: KeyPair, folder: Path) -> None:
    """
    Write the pair's files, unless it is there already.

    :raises ConfigError: another key is there, which stays, or nothing can be written.
    """
    public, private = folder / PUBLIC_KEY_FILE, folder / PRIVATE_KEY_FILE
    try:
        if durable.read(private) is None:
            _refuse_other(public, pair.public)
        with suppress(FileExistsError):
            durable.write_new(private, pair.secret_text, 0o600)
        _refuse_other(private, pair.secret)
        with suppress(FileExistsError):
            durable.write_new(public, pair.public_text, 0o644)
    except OSError as e:
        raise ConfigError(f"the keys cannot be kept in {folder}: {e.strerror or e}") from e


def _half(name: str, environ: Mapping[str, str], secrets: Path) -> _Half | None:
    if text := environ.get(name, "").strip():
        return _Half(name, text)
    path = secrets / name.lower()
    try:
        text = (durable.read(path) or b"").decode("utf-8", "replace").strip()
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror or e}") from e
    return _Half(str(path), text) if text else None


def _decoded(half: _Half, size_bytes: int) -> bytes:
    key = decode_base64(half.text)
    if key is None or len(key) != size_bytes:
        raise ConfigError(f"{half.name} must be base64 of {size_bytes} bytes")
    return key


def _pair(secret: _Half) -> KeyPair:
    try:
        return KeyPair(_decoded(secret, SECRET_BYTES))
    except ConfigError:
        raise
    except ValueError as e:
        raise ConfigError(f"{secret.name}: {e}") from e


def _refuse_other(path: Path, wanted: bytes) -> None:
    found = durable.read(path)
    if found is not None and decode_base64(found.strip()) != wanted:
        raise ConfigError(
            f"{path} holds another key than the one that was given: to keep it, do not give"
            " one; to replace it, move it and the file beside it away"
        )
