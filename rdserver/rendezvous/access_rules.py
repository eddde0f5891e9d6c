"""
The access policy of an operator who writes rules: which devices, from which networks.

The rules are looked up rather than tried in turn, for an online query asks for some
thousand devices at once.

Source: protocol.md section 7.7.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from attrs import frozen

from rdserver.rendezvous.access import ALLOWED, NO_USERS, AccessRequest, Door, Verdict
from rdserver.rendezvous.directory import MAX_ID_BYTES
from rdserver.wire.networks import LONGEST_HOST, plain_address, plain_network

IPNetwork = IPv4Network | IPv6Network

_ANY = 0
_REMEMBERED_HOSTS = 1024
_WILDCARD = re.compile(r"[*?]")

_Fits = Callable[[str], object]
"""Tells of an id, which begins as the pattern does, whether it fits the whole of it."""


@frozen
class Rule:
    """
    Decides for some devices and some askers.

    :ivar patterns: of device ids; ``*`` is any text, ``?`` one character, and case counts.
    :ivar networks: where the asker is; None is anywhere.
    """

    patterns: tuple[str, ...]
    networks: frozenset[IPNetwork] | None
    verdict: Verdict


class AccessRules:
    """
    A list of rules, of which the first that fits decides.

    :param default: decides where none fits.
    """

    is_open = False

    def __init__(self, rules: Sequence[Rule] = (), default: Verdict = ALLOWED) -> None:
        self._verdicts = (*(rule.verdict for rule in rules), default)
        self._sources = _Sources()
        # By source and by what the pattern begins with; the number is the rule's.
        self._entries: dict[tuple[int, str], list[tuple[int, _Fits]]] = {}
        for number, rule in enumerate(rules):
            source = self._sources.add(rule.networks)
            for pattern in rule.patterns:
                key = source, _head(pattern)
                self._entries.setdefault(key, []).append((number, _fits(pattern)))
        self._head_lengths = sorted({len(head) for _source, head in self._entries})

    def decide(self, request: AccessRequest) -> Verdict:
        """Return the verdict of the first rule that fits."""
        if request.door is Door.CONTROL:
            return NO_USERS
        # No device has a longer one; a stranger's could take long to compare.
        peer_id = request.peer_id[: MAX_ID_BYTES + 1]
        number = len(self)
        for source in self._sources.of(request.host):
            number = self._first(source, peer_id, number)
        return self._verdicts[number]

    def _first(self, source: int, peer_id: str, before: int) -> int:
        """Return the number of a source's first rule that fits, or *before*."""
        for entries in self._candidates(source, peer_id):
            for number, fits in entries:
                if number >= before:
                    break
                if fits(peer_id):
                    before = number
        return before

    def _candidates(self, source: int, peer_id: str) -> Iterator[list[tuple[int, _Fits]]]:
        """Yield the patterns that begin as *peer_id* does."""
        for length in self._head_lengths:
            if length > len(peer_id):
                return
            entries = self._entries.get((source, peer_id[:length]))
            if entries is not None:
                yield entries

    def __len__(self) -> int:
        return len(self._verdicts) - 1


def is_costly(pattern: str) -> bool:
    """Return whether *pattern* has a wildcard other than ``*`` at its end."""
    return _WILDCARD.search(pattern.removesuffix("*")) is not None


def _head(pattern: str) -> str:
    """Return what stands before the first wildcard."""
    return _WILDCARD.split(pattern, maxsplit=1)[0]


def _fits(pattern: str) -> _Fits:
    if is_costly(pattern):
        # Brackets mean themselves.  What fnmatch makes of stars does not try in vain each
        # way to share an id out among them.
        return re.compile(fnmatch.translate(pattern.replace("[", "[[]"))).match
    return _always if pattern.endswith("*") else pattern.__eq__


def _always(_peer_id: str) -> bool:
    return True


class _Sources:
    """The sets of networks that rules name, each with a number."""

    def __init__(self) -> None:
        self._numbers: dict[frozenset[IPNetwork], int] = {}
        # By family and by how many bits are left of a network, then by what these are.
        self._networks: dict[tuple[int, int], dict[int, list[int]]] = {}
        self._remembered = lru_cache(_REMEMBERED_HOSTS)(self._look_up)

    def add(self, networks: Iterable[IPNetwork] | None) -> int:
        """Return the number of a set, a new one if it is new; None is anywhere."""
        if networks is None:
            return _ANY
        plain = frozenset(map(plain_network, networks))
        known = self._numbers.get(plain)
        if known is not None:
            return known
        number = self._numbers[plain] = _ANY + 1 + len(self._numbers)
        for network in plain:
            shift = network.max_prefixlen - network.prefixlen
            prefixes = self._networks.setdefault((network.version, shift), {})
            prefix = int(network.network_address) >> shift
            prefixes.setdefault(prefix, []).append(number)
        return number

    def of(self, host: str) -> tuple[int, ...]:
        """Return the numbers of the sets that *host* is in."""
        # Longer ones are made up, and would fill the memory.
        return (_ANY,) if len(host) > LONGEST_HOST else self._remembered(host)

    def _look_up(self, host: str) -> tuple[int, ...]:
        address = plain_address(host)
        if address is None:
            return (_ANY,)
        found = {_ANY}
        for (version, shift), prefixes in self._networks.items():
            if version == address.version:
                found.update(prefixes.get(int(address) >> shift, ()))
        return tuple(found)
