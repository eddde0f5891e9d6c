"""What all rows need to know: how long, how many, which server of ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench import servers
from bench.devices import SOURCE, store_devices
from bench.servers import RULES, Build, Server
from rdserver.storage.sqlite import FILE_NAME


@frozen
class Setting:
    """
    One benchmark.

    :ivar seconds: length of the measured part of a run.
    :ivar quick: a smoke test: everything small and short.
    :ivar build: our server.
    :ivar options: for our server, besides ports and folder.
    :ivar store: folder for databases that several runs use.
    """

    seconds: float
    quick: bool
    build: Build
    options: tuple[str, ...]
    store: Path

    def scaled(self, count: int, quick: int) -> int:
        """Return *count*, or *quick* in a smoke test."""
        return quick if self.quick else count

    @contextmanager
    def server(
        self,
        candidate: str,
        options: tuple[str, ...] = RULES,
        devices: int = 0,
        source: str = SOURCE,
    ) -> Iterator[Server]:
        """
        Run a candidate with a fresh process.

        :param options: for ours, instead of the limits that are never reached.
        :param devices: ours has so many stored.
        :param source: the first of their addresses.
        """
        if candidate != "ours":
            with servers.peer(candidate) as server:
                yield server
            return
        with servers.temporary_folder() as folder:
            if devices:
                shutil.copy(self.stored(devices, source), folder / FILE_NAME)
            choices = (*options, *self.options)
            with servers.ours(folder, choices, self.build) as server:
                yield server

    def stored(self, devices: int, source: str = SOURCE) -> Path:
        """Return a database with so many devices; it is made once."""
        folder = self.store / f"{devices}-{source}"
        if not folder.exists():
            folder.mkdir()
            store_devices(folder, devices, SOCKETS, source)
        return folder / FILE_NAME


SOCKETS = 16
"""How many sockets, with an address each, all devices share."""
