"""A real server that many tests share, one after the other."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import ClassVar

from tests.integration.namespace import Namespace
from tests.integration.process import Ports, ServerProcess


class Home:
    """
    A server for all tests of a class; trial's synchronous tests know no ``setUpClass``.

    :param ports: where it is reached; free ones if not given.
    :param network: what it is in.
    """

    _current: ClassVar[dict[type, Home]] = {}

    def __init__(
        self,
        *options: str,
        ports: Ports | None = None,
        network: Namespace | None = None,
    ) -> None:
        # Not mktemp(): the path of a Unix socket in it must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="rdserver-"))
        self.network = network
        with self.entered():
            self.server = ServerProcess(self.folder, *options, ports=ports).start()

    @classmethod
    def of(cls, case: type, make: Callable[[], Home]) -> Home:
        """Return the home of the tests in *case*; there is one at a time."""
        if case not in cls._current:
            cls.end()
            cls._current[case] = make()
        return cls._current[case]

    @classmethod
    def end(cls) -> None:
        """Stop the server that runs, if one does."""
        for home in cls._current.values():
            home.close()
        cls._current.clear()

    def entered(self) -> AbstractContextManager[None]:
        """Return what to be in while clients run."""
        return nullcontext() if self.network is None else self.network.entered()

    def close(self) -> None:
        """Stop the server and remove what it leaves."""
        self.server.stop()
        shutil.rmtree(self.folder)
        if self.network is not None:
            self.network.close()


atexit.register(Home.end)
