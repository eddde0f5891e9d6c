"""
``rustdesk-utils import`` and ``export``: the state of a server, copied between folders.

Copied, never moved: what was there before stays as it is, for the way back.
Source: protocol.md sections 3.15, 4.2 and 6.4 for the files of the original.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from rdserver import durable
from rdserver.cli.installed import DATA_DIR
from rdserver.errors import ConfigError
from rdserver.keys import PRIVATE_KEY_FILE, PUBLIC_KEY_FILE
from rdserver.relay.lists import BLACKLIST_FILE, BLOCKLIST_FILE
from rdserver.storage.copying import LOGS, whole_database
from rdserver.storage.sqlite import FILE_NAME as DATABASE_FILE

# The private key comes last: where it is, the copy is complete.
_MODES = {
    BLACKLIST_FILE: 0o600,
    BLOCKLIST_FILE: 0o600,
    DATABASE_FILE: 0o600,
    PUBLIC_KEY_FILE: 0o644,
    PRIVATE_KEY_FILE: 0o600,
}

_SETTINGS = ".env"


@frozen
class Order:
    """
    What to copy.

    :ivar folder: the other folder.
    :ivar data_dir: the server's own.
    :ivar dry_run: whether to say only what would be done.
    """

    folder: Path
    data_dir: Path
    dry_run: bool


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Order:
    """
    Read ``[--dry-run] [--data-dir DIR] FOLDER``.

    :raises ConfigError: there is another option, or not one folder.
    """
    default = DATA_DIR if DATA_DIR.is_dir() else Path()
    data_dir = Path(environ.get("RDSERVER_DATA_DIR") or default)
    words, folders, dry_run = list(arguments), [], False
    while words:
        word = words.pop(0)
        if word == "--dry-run":
            dry_run = True
        elif word == "--data-dir" and words:
            data_dir = Path(words.pop(0))
        elif word.startswith("--data-dir="):
            data_dir = Path(word.partition("=")[2])
        elif word.startswith("-"):
            raise ConfigError(f"{word}: the options are --dry-run and --data-dir DIR")
        else:
            folders.append(Path(word))
    if len(folders) != 1:
        raise ConfigError("name one folder")
    return Order(folders[0], data_dir, dry_run)


def copy_state(
    source: Path, target: Path, *, dry_run: bool = False, for_owner: bool = False
) -> Iterator[str]:
    """
    Copy key pair, database and lists; yield a line for each file.

    What an attempt that was interrupted has copied already is left as it is.

    :param target: made if it is missing.
    :param for_owner: whether root's copies are for the owner of *target*.
    :raises ConfigError: there is no key in *source*, another file of a name is in
        *target*, or one cannot be read or written.
    :raises StorageError: the database cannot be read.
    """
    if not _is_plain(source / PRIVATE_KEY_FILE):
        raise ConfigError(f"there is no {PRIVATE_KEY_FILE} in {source}: nothing is copied")
    names = [name for name in _MODES if _is_plain(source / name)]
    missing = [name for name in names if not _is_there(source / name, target / name)]
    if DATABASE_FILE in missing:
        _refuse_logs(target)
    for name in names:
        if name not in missing:
            yield f"{target / name} is there already"
        elif dry_run:
            yield f"would copy {source / name} to {target / name}"
        else:
            _copy_file(source / name, target / name, for_owner=for_owner)
            yield f"copied {source / name} to {target / name}"
    if _is_plain(settings := source / _SETTINGS):
        yield f"not copied: {settings}; it may name the old folder: take over what you need"


def _is_plain(path: Path) -> bool:
    """Return whether *path* is a file; links are never followed."""
    return os.path.isfile(path) and not os.path.islink(path)


def _is_there(source: Path, target: Path) -> bool:
    if not os.path.lexists(target):
        return False
    if _is_plain(target) and _content(source) == _content(target):
        return True
    raise ConfigError(f"another {target} is there already: nothing is copied")


def _refuse_logs(folder: Path) -> None:
    # SQLite would play them back into the copy, which they do not belong to.
    for end in LOGS:
        log = folder / f"{DATABASE_FILE}{end}"
        if os.path.lexists(log):
            raise ConfigError(f"{log} of another database is there: nothing is copied")


def _content(path: Path) -> bytes:
    """Return what is in a file, in a database also what only its log has."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            content = whole_database(path) if path.name == DATABASE_FILE else file.read()
            # SQLite opens by name, and would follow a link that came meanwhile.
            if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                raise ConfigError(f"{path} has been replaced meanwhile: nothing is copied")
            return content
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror}") from e


def _copy_file(source: Path, target: Path, *, for_owner: bool) -> None:
    content = _content(source)
    try:
        target.parent.mkdir(mode=0o750, exist_ok=True)
        durable.write_new(target, content, _MODES[source.name])
        if for_owner and os.geteuid() == 0:
            owner = target.parent.stat()
            os.chown(target, owner.st_uid, owner.st_gid, follow_symlinks=False)
    except OSError as e:
        raise ConfigError(f"{source} cannot be copied: {e}") from e
