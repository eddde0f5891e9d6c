"""Hosts and routers as network namespaces, cables between them as pairs of interfaces."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from unittest import SkipTest

from tests.integration.namespace import succeed
from tests.interop.daemon import need

ENTERED = "RDSERVER_NAT_LAB"
"""Set by ``make nat-lab``, which enters namespaces that end with it."""


def require_laboratory() -> None:
    """
    Go on inside the laboratory.

    :raises SkipTest: this is outside, or its tools are not installed.
    """
    if not os.environ.get(ENTERED):
        raise SkipTest("runs by make nat-lab, as root")
    for program in ("ip", "nft"):
        need(program)


class Host:
    """One machine: a namespace with a loopback interface."""

    def __init__(self, name: str) -> None:
        self.name = name
        succeed("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")

    def command(self, *command: str) -> list[str]:
        """Return what runs *command* on this machine."""
        return ["ip", "netns", "exec", self.name, *command]

    def ip(self, *arguments: str) -> None:
        """Configure its network."""
        succeed("ip", "-n", self.name, *arguments)

    def nft(self, rules: str) -> None:
        """Load rules of a packet filter."""
        succeed(*self.command("nft", "-f", "-"), sent=rules)

    def address(self, interface: str, address: str) -> None:
        """Give an interface an address, and no time to find out whether it is free."""
        more = ("nodad",) if ":" in address else ()
        self.ip("address", "add", address, "dev", interface, *more)

    def route(self, gateway: str) -> None:
        """Send everything for others to *gateway*."""
        family = "-6" if ":" in gateway else "-4"
        self.ip(family, "route", "add", "default", "via", gateway)

    def switch_on(self, *settings: str) -> None:
        """Set each of the kernel's settings of the network to 1."""
        for setting in settings:
            succeed(*self.command("sh", "-c", f"echo 1 > /proc/sys/net/{setting}"))

    def count(self, ports: Sequence[int]) -> None:
        """Begin to count what comes to and leaves from TCP *ports* here."""
        listed = ", ".join(map(str, ports))
        self.nft(
            f"""
            table inet count {{
                counter relayed {{ }}
                chain in {{
                    type filter hook input priority -10
                    tcp dport {{ {listed} }} counter name relayed
                }}
                chain out {{
                    type filter hook output priority -10
                    tcp sport {{ {listed} }} counter name relayed
                }}
            }}
            """
        )

    def counted_bytes(self) -> int:
        """Return how many bytes were counted, with headers."""
        found = json.loads(succeed(*self.command("nft", "-j", "list", "counters")))
        [counter] = [i["counter"] for i in found["nftables"] if "counter" in i]
        return int(counter["bytes"])

    def remove(self) -> None:
        """Take the machine away; its cables go with it."""
        succeed("ip", "netns", "del", self.name)


class Switch(Host):
    """A machine that connects others, as one cable between all of them would."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._plugs = 0
        self.ip("link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        self.ip("link", "set", "bridge", "up")

    def plug(self, host: Host, interface: str, *addresses: str) -> None:
        """Connect *host* by an interface with these addresses."""
        self._plugs += 1
        plug = f"port{self._plugs}"
        self.ip(
            *("link", "add", plug, "type", "veth"),
            *("peer", "name", interface, "netns", host.name),
        )
        self.ip("link", "set", plug, "master", "bridge", "up")
        host.ip("link", "set", interface, "up")
        for address in addresses:
            host.address(interface, address)


class Router(Switch):
    """
    A switch at home, and behind it the way to everybody else.

    :param masquerade: what nft is to do with what leaves by IPv4: ``masquerade`` keeps
        ports, as endpoint-independent NATs do; ``masquerade fully-random`` gives each
        connection another one, as symmetric NATs do.
    :param blocks_udp: whether no datagrams pass.
    """

    def __init__(
        self,
        name: str,
        outside: Switch,
        addresses: Sequence[str],
        inside: Sequence[str],
        *,
        masquerade: str = "masquerade",
        blocks_udp: bool = False,
    ) -> None:
        super().__init__(name)
        outside.plug(self, "wan", *addresses)
        for address in inside:
            self.address("bridge", address)
        self.switch_on("ipv4/ip_forward", "ipv6/conf/all/forwarding")
        # B's NAT first sees the beginning of one connection and then the answer to another
        # one, from the same port: most take that, Linux only if it is told to.
        self.switch_on("netfilter/nf_conntrack_tcp_be_liberal")
        self.nft(_RULES.format(masquerade=masquerade))
        if blocks_udp:
            self.nft("add rule inet guard forward meta l4proto udp drop")


_RULES = """
table ip translate {{
    chain leaving {{
        type nat hook postrouting priority 100
        oifname "wan" {masquerade}
    }}
}}
table inet guard {{
    chain input {{
        type filter hook input priority 0
        iifname "wan" meta l4proto ipv6-icmp accept
        iifname "wan" ct state established,related accept
        iifname "wan" drop
    }}
    chain forward {{
        type filter hook forward priority 0
        iifname "wan" ct state new,invalid drop
    }}
}}
"""
"""Who was not asked gets no answer, not even a refusal, as with routers at home."""
