"""Lists of addresses that an operator keeps: whom to slow down, whom to refuse."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from twisted.logger import Logger

from rdserver.wire.address import v4_normalise

BLACKLIST_FILE = "blacklist.txt"
BLOCKLIST_FILE = "blocklist.txt"
"""The original's names of the two lists, in the data folder."""

_NAMED_IN_WARNING = 5
_MAPPED_PREFIX_BITS = 96


class AddressList:
    """
    A set of IP addresses and CIDR networks, IPv4 and IPv6.

    Entries are compared by meaning and shown as they were given.  A look-up costs one
    dictionary access, and one more for each length of prefix that occurs.

    :param name: for the log.
    """

    _log = Logger()

    def __init__(self, name: str) -> None:
        self._name = name
        self._hosts: dict[str, str] = {}
        self._networks: dict[tuple[int, int], dict[int, str]] = {}

    def load(self, text: str) -> None:
        """
        Add the entries of a file: on each line the text before the first space.

        What cannot be read is left out, with one warning for all of it.

        Source: protocol.md section 4.1 no. 3.
        """
        words = (line.strip().split(" ")[0] for line in text.split("\n"))
        entries = (word for word in words if word and not word.startswith("#"))
        self._warn([entry for entry in entries if not self._put(entry)])

    def add(self, entry: str) -> None:
        """Add an address or network; what cannot be read is left out, with a warning."""
        if not self._put(entry):
            self._warn([entry])

    def remove(self, entry: str) -> None:
        """Take out an address or network that was added, however it was spelt."""
        key = _parse(entry)
        if isinstance(key, str):
            self._hosts.pop(key, None)
        elif key is not None:
            length, prefix = _key(key)
            networks = self._networks.get(length, {})
            networks.pop(prefix, None)
            if not networks:
                self._networks.pop(length, None)

    def clear(self) -> None:
        """Take out everything."""
        self._hosts.clear()
        self._networks.clear()

    def matches(self, host: str) -> bool:
        """Return whether the normalised *host* is listed itself or in a listed network."""
        if not self._hosts and not self._networks:
            return False
        host = host.partition("%")[0]
        if host in self._hosts:
            return True
        return bool(self._networks) and self._in_network(host)

    def is_listed(self, entry: str) -> bool:
        """Return whether the address or network *entry*, in any spelling, is covered."""
        key = _parse(entry)
        if isinstance(key, str):
            return self.matches(key)
        if key is None:
            return False
        length, prefix = _key(key)
        return prefix in self._networks.get(length, {})

    def __iter__(self) -> Iterator[str]:
        yield from self._hosts.values()
        for networks in self._networks.values():
            yield from networks.values()

    def _put(self, entry: str) -> bool:
        key = _parse(entry)
        if key is None:
            return False
        if isinstance(key, str):
            self._hosts[key] = entry
        else:
            length, prefix = _key(key)
            self._networks.setdefault(length, {})[prefix] = entry
        return True

    def _in_network(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        value = int(address)
        return any(
            version == address.version and value >> shift in prefixes
            for (version, shift), prefixes in self._networks.items()
        )

    def _warn(self, entries: list[str]) -> None:
        if entries:
            self._log.warn(
                "{count} entries of the {list} are no IP address or network, for example "
                "{entries}",
                count=len(entries),
                list=self._name,
                entries=entries[:_NAMED_IN_WARNING],
            )


def _key(network: IPv4Network | IPv6Network) -> tuple[tuple[int, int], int]:
    shift = network.max_prefixlen - network.prefixlen
    return (network.version, shift), int(network.network_address) >> shift


def _parse(entry: str) -> str | IPv4Network | IPv6Network | None:
    """Return a host's normalised text, a network, or None for what is neither."""
    host, slash, length = entry.partition("/")
    host = host.partition("%")[0]
    try:
        # Both spellings of one IPv4 address are one; ours are never IPv4-mapped.
        plain = v4_normalise(str(ip_address(host)))
        if not slash:
            return plain
        if plain != host and ":" not in plain:
            length = str(int(length) - _MAPPED_PREFIX_BITS)
        return ip_network(f"{plain}/{length}", strict=False)
    except ValueError:
        return None
