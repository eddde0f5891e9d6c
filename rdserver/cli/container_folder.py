"""
The data folder of a container: which it is, and whether its user may work in it.

The original's containers run as root, and so leave files behind that no other user may
write.  Started as root, ours gives them to its own user, which it becomes then.
"""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from rdserver.errors import ConfigError
from rdserver.keys import PRIVATE_KEY_FILE, PUBLIC_KEY_FILE
from rdserver.relay.lists import BLACKLIST_FILE, BLOCKLIST_FILE
from rdserver.settings.config import Config
from rdserver.storage.sqlite import database_path

USER = "rustdesk-server"
_MOUNTS = Path("/proc/self/mountinfo")
_MOUNT_POINT = 4
_READ = os.R_OK
_WRITE = os.R_OK | os.W_OK


@frozen
class User:
    """Whom the server runs as, by number."""

    uid: int
    gid: int

    def become(self) -> None:
        """
        Give up what root may.

        :raises ConfigError: the container's root may not.
        """
        try:
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)
        except OSError as e:
            raise _powerless_root(f"become user {self.uid}", e) from e


@frozen
class Place:
    """
    A folder that the server writes to.

    :ivar folder: its whole path.
    :ivar files: what it may hold, by name, with the rights that the server needs.
    """

    folder: Path
    files: dict[str, int]

    def give_to(self, user: User) -> None:
        """
        Let *user* own the folder and the files in it; what is a link stays as it is.

        :raises ConfigError: the container's root may not, or the folder is behind a link.
        """
        folder = _open_folder(self.folder)
        try:
            for name in self.files:
                _give(folder, name, user)
            os.fchown(folder, user.uid, user.gid)
        except OSError as e:
            raise _powerless_root(f"give {self.folder} to user {user.uid}", e) from e
        finally:
            os.close(folder)

    def check(self) -> None:
        """
        Make sure that this process can work here.

        :raises ConfigError: it cannot; the sentence says what to do.
        """
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except PermissionError as e:
            raise _not_ours(self.folder) from e
        except OSError as e:
            raise ConfigError(f"data-dir: {self.folder}: {e.strerror or e}") from e
        for name, rights in self.files.items():
            path = self.folder / name
            if path.exists() and not os.access(path, rights):
                raise _not_ours(path)


def image_user() -> User:
    """
    Return the user that the image was made with.

    :raises ConfigError: there is none.
    """
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        raise ConfigError(f"there is no user {USER} to run as in this image") from None
    return User(entry.pw_uid, entry.pw_gid)


def usual_folder(root: Path = Path("/"), mounts: Path = _MOUNTS) -> Path:
    """
    Return the folder of whoever names none: ``/data``, or ``/root`` of old compose files.

    :param root: where both are.
    :param mounts: the kernel's list of what is mounted.
    """
    data, old = root / "data", root / "root"
    has_key = os.path.exists(data / PRIVATE_KEY_FILE)
    return old if not has_key and str(old) in _mount_points(mounts) else data


def places(config: Config, folder: Path) -> Iterator[Place]:
    """Yield the data folder, and that of the database where it is another."""
    files = dict.fromkeys((PUBLIC_KEY_FILE, BLACKLIST_FILE, BLOCKLIST_FILE, ".env"), _READ)
    if config.role != "relay":
        files[PRIVATE_KEY_FILE] = _READ
        database = folder / database_path(config.db_url, str(folder))
        names = {database.name + end: _WRITE for end in ("", "-wal", "-shm")}
        if database.parent == folder:
            files |= names
        elif os.path.isdir(database.parent):
            yield Place(database.parent, names)
    yield Place(folder, files)


def _mount_points(mounts: Path) -> set[str]:
    with suppress(OSError):
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
        return {_unescaped(line.split(" ")[_MOUNT_POINT]) for line in lines}
    return set()


def _unescaped(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _open_folder(path: Path) -> int:
    # Step by step: the server's user may have put a link in the place of a folder of his,
    # and would be given what that leads to.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    root, *names = path.parts
    folder = os.open(root, flags)
    for name in names:
        try:
            below = os.open(name, flags, dir_fd=folder)
        except OSError as e:
            if e.errno in (errno.ENOTDIR, errno.ELOOP):
                raise _link(path, name) from e
            raise _powerless_root(f"open {path}", e) from e
        finally:
            os.close(folder)
        folder = below
    return folder


def _link(path: Path, name: str) -> ConfigError:
    return ConfigError(
        f"{path} is not given to the server's user, for {name!r} in it is a link or no"
        " folder: name the folder itself"
    )


def _give(folder: int, name: str, user: User) -> None:
    # Not to wait for a pipe, nor to reach a file elsewhere by a link of either kind.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        raise
    try:
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            os.fchown(file, user.uid, user.gid)
    finally:
        os.close(file)


def _powerless_root(what: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"root of this container may not {what} ({error.strerror}): start it without"
        " cap_drop, or with cap_add of CHOWN, DAC_OVERRIDE, SETGID and SETUID"
    )


def _not_ours(path: Path) -> ConfigError:
    uid, gid = os.geteuid(), os.getegid()
    return ConfigError(
        f"data-dir: user {uid} of this container may not read and write {path}: on the"
        f" host, run chown -R {uid}:{gid} on what is mounted there, or start the container"
        " once with user: root and without cap_drop, and it does that itself"
    )
