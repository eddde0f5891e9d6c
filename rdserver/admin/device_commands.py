"""
The console's commands about devices.  Ours: the original has none of them.

Each prints one sentence, or a list, also when it cannot be done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from attrs import frozen

from rdserver.admin.console import Command
from rdserver.errors import StorageError
from rdserver.rendezvous.devices import Device, DeviceError, Devices
from rdserver.rendezvous.enrolment import Applicant
from rdserver.rendezvous.events import shown

HELP = """\
devices [waiting|<id to begin behind>] [<number>]
approve <id> [<machine>]
release <id>
ban <id>
unban <id>
rename <id> <new id>
"""

_PAGE = 50
_MOST = 10_000

Act = Callable[[list[str]], Awaitable[str]]


def device_commands(devices: Devices) -> dict[str, Command]:
    """Return every command about devices by its name."""
    commands = _DeviceConsole(devices)
    named: dict[str, Act] = {
        "devices": commands.page,
        "approve": commands.approve,
        "release": commands.release,
        "ban": commands.ban,
        "unban": commands.unban,
        "rename": commands.rename,
    }
    return {name: _told(name, act) for name, act in named.items()}


def _told(name: str, act: Act) -> Command:
    """Return *act* with its mistakes told."""

    async def command(words: list[str]) -> str:
        try:
            return await act(words)
        except (DeviceError, StorageError) as e:
            return f"{e}\n"
        except (IndexError, ValueError):
            usage = next(line for line in HELP.splitlines() if line.startswith(name))
            return f"usage: {usage}\n"

    return command


@frozen
class _DeviceConsole:
    _devices: Devices

    async def page(self, words: list[str]) -> str:
        if words[:1] == ["waiting"]:
            return _lines(map(_waiting_line, self._devices.waiting()))
        after, count = (*words, "", "")[0], int((*words, "", str(_PAGE))[1] or _PAGE)
        devices = await self._devices.page(after, min(count, _MOST))
        return _lines(map(_device_line, devices))

    async def approve(self, words: list[str]) -> str:
        await self._devices.approve(words[0], *words[1:2])
        return f"{words[0]} may join\n"

    async def release(self, words: list[str]) -> str:
        await self._devices.release(words[0])
        return f"{words[0]} goes to the next machine that registers with it\n"

    async def ban(self, words: list[str]) -> str:
        await self._devices.ban(words[0])
        return f"{words[0]} is banned\n"

    async def unban(self, words: list[str]) -> str:
        await self._devices.unban(words[0])
        return f"{words[0]} is not banned any more\n"

    async def rename(self, words: list[str]) -> str:
        await self._devices.rename(words[0], words[1])
        return (
            f"{words[0]} is {words[1]} now; tell the device too: rustdesk --set-id "
            f"{words[1]}\n"
        )


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines) or "none\n"


def _device_line(device: Device) -> str:
    words = [shown(device.id), "online" if device.is_online else "offline"]
    words.append(device.ip or "-")
    if device.is_banned:
        words.append("banned")
    if not device.is_claimed:
        words.append("free")
    return " ".join(words)


def _waiting_line(applicant: Applicant) -> str:
    peer_id, host = shown(applicant.claim.peer_id), applicant.claim.origin.host
    return f"{peer_id} waiting {host} machine {applicant.machine}"
