"""
The ID server's console: one function a command, text in, text out.

Source: protocol.md section 3.13; the outputs are an interface that scripts read.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime

from attrs import frozen

from rdserver.admin.console import Command
from rdserver.admin.device_commands import HELP as DEVICES_HELP
from rdserver.admin.key_commands import HELP as KEYS_HELP
from rdserver.admin.words import LARGEST_INDEX, PAGE, bucket, number, page
from rdserver.rendezvous.journal import AddressChanges, PunchLog
from rdserver.rendezvous.limits import RegistrationLimit
from rdserver.rendezvous.routing import Relays
from rdserver.rendezvous.slices import at_once

_HELP = """\
relay-servers(rs) <separated by ,>
reload-geo(rg)
ip-blocker(ib) [<ip>|<number>] [-]
ip-changes(ic) [<id>|<number>] [-]
punch-requests(pr) [<number>] [-]
always-use-relay(aur)
test-geo(tg) <ip1> <ip2>
"""


def id_commands(
    relays: Relays, limit: RegistrationLimit, changes: AddressChanges, punches: PunchLog
) -> dict[str, Command]:
    """Return every command of the ID server by its long and its short name."""
    console = _IdConsole(relays, limit, changes, punches)
    named: dict[tuple[str, ...], Command] = {
        ("h",): lambda _: _HELP,
        ("help",): lambda _: _HELP + DEVICES_HELP + KEYS_HELP,
        ("rs", "relay-servers"): console.relay_servers,
        ("rg", "reload-geo"): lambda _: "",
        ("ib", "ip-blocker"): console.ip_blocker,
        ("ic", "ip-changes"): console.ip_changes,
        ("pr", "punch-requests"): console.punch_requests,
        ("aur", "always-use-relay"): console.always_use_relay,
        ("tg", "test-geo"): console.test_geo,
    }
    return {name: command for names, command in named.items() for name in names}


@frozen
class _IdConsole:
    _relays: Relays
    _limit: RegistrationLimit
    _changes: AddressChanges
    _punches: PunchLog

    def relay_servers(self, args: list[str]) -> str:
        if not args:
            return "".join(f"{relay}\n" for relay in self._relays.usable)
        self._relays.replace(item for item in args[0].split(",") if item)
        return ""

    def ip_blocker(self, args: list[str]) -> str:
        at_once(self._limit.sweep())
        count = f"{len(self._limit)}\n"
        if not args or args[0].isdecimal():
            return count + page(self._limit.rows(), args)
        address = bucket(args[0])
        line = _line(self._limit.describe(address))
        if args[1:2] == ["-"]:
            self._limit.remove(address)
        return count + line

    def ip_changes(self, args: list[str]) -> str:
        self._changes.purge()
        count = f"{len(self._changes)}\n"
        if not args or _is_index(args[0]):
            return count + page(self._changes.rows(), args)
        line = _line(self._changes.describe(args[0]))
        if args[1:2] == ["-"]:
            self._changes.remove(args[0])
        return count + line

    def punch_requests(self, args: list[str]) -> str:
        if args[:1] == ["-"]:
            self._punches.clear()
            return ""
        start, count = number(args, 0), number(args, 1) or PAGE
        lines = (
            f"{_utc(punch.at)} {punch.from_host} -> {punch.to_id}@{punch.to_host}\n"
            for punch in self._punches.page(start, count)
        )
        return "".join(lines)

    def always_use_relay(self, args: list[str]) -> str:
        if not args:
            return f"ALWAYS_USE_RELAY: {'true' if self._relays.always else 'false'}\n"
        self._relays.always = args[0].upper() == "Y"
        return ""

    def test_geo(self, args: list[str]) -> str:
        if not args or not all(map(_is_ip, args[:2])):
            return ""
        return f'"{self._relays.choose()}"'


def _line(description: str | None) -> str:
    return "" if description is None else f"{description}\n"


def _is_index(text: str) -> bool:
    """Return whether a word that may be an id is not (ids are as long as that)."""
    return text.isdecimal() and int(text) <= LARGEST_INDEX


def _is_ip(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
            return True
        except OSError:
            continue
    return False


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
