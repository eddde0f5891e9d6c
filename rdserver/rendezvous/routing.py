"""Who shares a network with the server, and which relay a session is given."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_address


class Lan:
    """
    The network that the server shares with some of its clients.

    :param network: None where the feature is off.
    :param local_ip: how clients inside reach the relay.

    Source: protocol.md section 3.12.
    """

    def __init__(self, network: IPv4Network | None, local_ip: str) -> None:
        self._network = network
        self.local_ip = local_ip if network is not None else ""

    def __contains__(self, host: object) -> bool:
        if self._network is None or not isinstance(host, str) or ":" in host:
            return False
        return ip_address(host) in self._network


class Relays:
    """
    The relays that clients are given, one after the other.

    :param configured: ``host`` or ``host:port`` each, as an operator wrote them.
    :ivar always: whether every session must go through a relay.

    Source: protocol.md section 3.9 (b), 3.18 no. 13.
    """

    def __init__(self, configured: Iterable[str], always: bool = False) -> None:
        self.always = always
        self._next = 0
        self.replace(configured)

    def replace(self, configured: Iterable[str]) -> None:
        """Take another list; all of it counts as usable until a check says otherwise."""
        self.configured = tuple(configured)
        self.usable = self.configured

    def checked(self, asked: tuple[str, ...], alive: Iterable[str]) -> None:
        """
        Take the result of a health check of the relays *asked*.

        Ignored if none is alive (a broken check must not take away every relay) or
        if the list was replaced meanwhile.  The configured order is kept.
        """
        found = frozenset(alive)
        if found and asked == self.configured:
            self.usable = tuple(relay for relay in self.configured if relay in found)

    def choose(self) -> str:
        """Return the relay whose turn it is; empty text where there is none."""
        if not self.usable:
            return ""
        self._next += 1
        return self.usable[(self._next - 1) % len(self.usable)]
