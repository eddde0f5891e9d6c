"""
The file of old keys: those that clients may still have after the server's key changed.

One key on a line, in base64; what follows ``#`` is a comment.  An ID server needs whole
key pairs, because it signs for these clients with them.  A relay that runs on its own
only compares, so it is content with public keys.

Source: protocol.md sections 2.5 and 6.4.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from attrs import frozen
from twisted.logger import Logger

from rdserver.errors import ConfigError
from rdserver.keys import PUBLIC_BYTES, SECRET_BYTES, KeyPair, decode_base64

MAX_OLD_KEYS = 16
"""Each request is compared with all of them."""

_log = Logger()

Key = TypeVar("Key")


@frozen
class _Line:
    """
    A line that holds something.

    :ivar place: where it is, as messages call it.
    """

    place: str
    text: bytes


@frozen
class _File:
    """
    What was read.

    :ivar is_exposed: whether other users of the machine can read or write the file.
    """

    path: str
    lines: tuple[_Line, ...]
    is_exposed: bool


def load_old_keys(path: str, current: str) -> tuple[KeyPair, ...]:
    """
    Return the key pairs that *path* holds, without *current* and without repeats.

    :param path: empty for none.
    :param current: the text of the public key in force.
    :raises ConfigError: the file cannot be read, other users of the machine can read it,
        or a line is no key pair.
    """
    if not path:
        return ()
    file = _read(path)
    pairs = [(line, _pair(line)) for line in file.lines]
    if pairs:
        _refuse_exposed(file)
    return _chosen(file, pairs, lambda pair: pair.public_text, current)


def load_old_public_keys(path: str, current: str) -> tuple[str, ...]:
    """
    Return the texts of the public keys that *path* holds, as :func:`load_old_keys` does.

    A line may be a public key alone; a file of nothing else is no secret.

    :raises ConfigError: as there.
    """
    if not path:
        return ()
    file = _read(path)
    keys = [(line, _public_text(line)) for line in file.lines]
    if any(_length(line) == SECRET_BYTES for line in file.lines):
        _refuse_exposed(file)
    return _chosen(file, keys, lambda text: text, current)


def _read(path: str) -> _File:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as e:
        raise ConfigError(f"old-keys: {path} cannot be read: {e.strerror or e}") from e
    return _File(path, tuple(_lines(path, content)), bool(mode & 0o077))


def _lines(path: str, content: bytes) -> Iterator[_Line]:
    for number, line in enumerate(content.splitlines(), 1):
        text = line.partition(b"#")[0].strip()
        if text:
            yield _Line(f"line {number} of {path}", text)


def _refuse_exposed(file: _File) -> None:
    if file.is_exposed:
        raise ConfigError(
            f"old-keys: {file.path} holds private keys, and other users of this machine "
            "can read or write it; mend that with: chmod 600"
        )


def _length(line: _Line) -> int:
    return len(decode_base64(line.text) or b"")


def _pair(line: _Line) -> KeyPair:
    key = decode_base64(line.text) or b""
    if len(key) == PUBLIC_BYTES:
        raise ConfigError(
            f"old-keys: {line.place} is a public key alone; the ID server signs with old "
            f"keys, so it must be the content of the old id_ed25519 ({SECRET_BYTES} bytes "
            "in base64)"
        )
    if len(key) != SECRET_BYTES:
        raise ConfigError(
            f"old-keys: {line.place} must be a key pair, {SECRET_BYTES} bytes in base64"
        )
    try:
        return KeyPair(key)
    except ValueError as e:
        raise ConfigError(f"old-keys: {line.place}: {e}") from e


def _public_text(line: _Line) -> str:
    key = decode_base64(line.text) or b""
    if len(key) == PUBLIC_BYTES:
        return b64encode(key).decode()
    if len(key) == SECRET_BYTES:
        return _pair(line).public_text
    raise ConfigError(
        f"old-keys: {line.place} must be a public key of {PUBLIC_BYTES} bytes, or a key "
        f"pair of {SECRET_BYTES}, in base64"
    )


def _chosen(
    file: _File,
    keys: list[tuple[_Line, Key]],
    public_text: Callable[[Key], str],
    current: str,
) -> tuple[Key, ...]:
    """Return the keys that are old, each once."""
    chosen: dict[str, Key] = {}
    for line, key in keys:
        text = public_text(key)
        if text == current:
            _log.warn("old-keys: {place} is the key in force; left out", place=line.place)
        elif text in chosen:
            _log.warn("old-keys: {place} is there twice; left out", place=line.place)
        else:
            chosen[text] = key
    if len(chosen) > MAX_OLD_KEYS:
        raise ConfigError(f"old-keys: {file.path} holds more than {MAX_OLD_KEYS} keys")
    return tuple(chosen.values())
