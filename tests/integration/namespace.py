"""Networks of our own: Linux network namespaces, which end with the tests."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import SkipTest

_CLONE_NEWNET = 0x4000_0000
_COMMAND_S = 60.0  # the kernel may be taking other namespaces down, one after the other
_LONGEST_LIFE = "900"  # seconds
_OWN = "/proc/thread-self/ns/net"


class Namespace:
    """
    A network with nothing but a loopback interface, held by a process of its own.

    It has no name, so nothing is left of it when that process ends; and that ends with
    the tests, even if they are killed.

    :raises SkipTest: this is not allowed here.
    """

    def __init__(self) -> None:
        # The line says that the namespace is there.
        held = ["unshare", "--net", "sh", "-c", f"echo; exec sleep {_LONGEST_LIFE}"]
        self._holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *held],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._holder.stdout is not None
        is_there = self._holder.stdout.readline()
        self._holder.stdout.close()
        if not is_there:
            self.close()
            raise SkipTest("needs the right to make network namespaces, as root has")
        self.pid = self._holder.pid
        self.run("ip", "link", "set", "lo", "up")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """
        Let this thread be in the namespace.

        What it opens or starts there stays there: sockets, threads and processes.
        """
        before = os.open(_OWN, os.O_RDONLY)
        inside = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            _enter(inside)
            yield
        finally:
            _enter(before)
            os.close(before)
            os.close(inside)

    def run(self, *command: str, sent: str = "") -> str:
        """
        Run a program inside; return what it writes.

        :raises AssertionError: it fails.
        """
        with self.entered():
            return succeed(*command, sent=sent)

    def close(self) -> None:
        """End the holder; the namespace goes with the last socket in it."""
        self._holder.kill()
        self._holder.wait()


def succeed(*command: str, sent: str = "") -> str:
    """
    Run a program that configures a network; return what it writes.

    :raises AssertionError: it fails.
    """
    done = subprocess.run(
        command,
        input=sent,
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
