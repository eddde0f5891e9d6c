"""What old clients are told to change: their server list, and their software."""

from __future__ import annotations

from collections.abc import Iterable

from rdserver.rendezvous.effects import Effects, Send
from rdserver.rendezvous.limits import RateLimit
from rdserver.wire import pb
from rdserver.wire.address import Address, is_loopback


class ServerList:
    """
    The list of ID servers that clients with an older serial are sent.

    :param serial: 0 sends nothing to anybody, since clients say at least 3.
    :param limit: of datagrams that are longer than what they answer.

    Source: protocol.md sections 3.3 step 3, 3.5 and 7.12.
    """

    def __init__(self, serial: int, servers: Iterable[str], limit: RateLimit) -> None:
        self._serial = serial
        self._servers = tuple(servers)
        self._limit = limit

    @property
    def serial(self) -> int:
        """The number of the list.  It only grows."""
        return self._serial

    def newer_than(self, serial: int) -> pb.ConfigUpdate | None:
        """Return the list if *serial*, a client's, is older."""
        if self._serial <= serial:
            return None
        servers = [server.encode() for server in self._servers]
        return pb.ConfigUpdate(serial=self._serial, rendezvous_servers=servers)

    def update_for(self, serial: int, origin: Address) -> Effects:
        """Return what to send a client beside the answer to its heartbeat."""
        update = self.newer_than(serial)
        if update is None or not self._limit.admit(origin.host):
            return ()
        return (Send(origin, pb.RendezvousMessage(configure_update=update)),)

    def configure_update(self, message: pb.RendezvousMessage, origin: Address) -> Effects:
        """Take a newer list from this machine; nobody is answered."""
        update = message.configure_update
        if is_loopback(origin.host) and update.serial > self._serial:
            self._serial = update.serial
            self._servers = tuple(pb.text(s) for s in update.rendezvous_servers if s)
        return ()


class Software:
    """
    Where old clients find the newest version.

    :param url: as configured; empty where there is none.
    :param limit: of datagrams that are longer than what they answer.

    Source: protocol.md section 3.5.
    """

    def __init__(self, url: str, limit: RateLimit) -> None:
        self._url = url
        self._version = version_in(url)
        self._limit = limit

    def software_update(self, message: pb.RendezvousMessage, origin: Address) -> Effects:
        """Tell a client of another version where to go."""
        if not self._version or pb.text(message.software_update.url) == self._version:
            return ()
        if not self._limit.admit(origin.host):
            return ()
        update = pb.SoftwareUpdate(url=self._url.encode())
        return (Send(origin, pb.RendezvousMessage(software_update=update)),)


def version_in(url: str) -> str:
    """
    Return the version that a download URL ends with: what follows the last ``-``.

    A last part after a dot that is not a number is a file's extension, not version.
    """
    _before, dash, version = url.rpartition("-")
    if not dash or "." not in url:
        return ""
    stem, dot, last = version.rpartition(".")
    return stem if dot and not last.isdecimal() else version
