"""What a client is and how it is set up."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from rdserver.wire import pb


class Mode(Enum):
    """How a client reaches the ID server; B registers so, too."""

    UDP = "udp"  # and A by TCP
    TCP = "tcp"
    PROXY = "proxy"  # the client knows of a proxy, which is as good as none here
    WEBSOCKET = "websocket"


class Path(Enum):
    """How two peers talk in the end."""

    LAN = "lan"
    TCP = "tcp"
    UDP = "udp"
    IPV6 = "ipv6"
    RELAY = "relay"


@frozen(kw_only=True)
class Timing:
    """
    How long a client waits.  Defaults are those of client 1.4.9, in seconds.

    :ivar answers_s: for the answer to each sending of a request.
    :ivar direct_s: for a direct connection, unless it is in the same network.
    :ivar least_udp_test_s: for the UDP NAT test, even if the server is near.  A client
        gives it half of the time that its TCP connection took; on one machine that is
        nothing.
    """

    answers_s: tuple[float, ...] = (3.0, 6.0, 9.0)
    connect_s: float = 18.0
    secure_s: float = 18.0
    relay_answer_s: float = 18.0
    direct_s: float = 18.0
    lan_s: float = 1.0
    heartbeat_s: float = 15.0
    listen_s: float = 18.0
    least_udp_test_s: float = 0.0


@frozen(kw_only=True)
class Profile:
    """
    A client's version, settings and surroundings.

    :ivar host: its address; empty for any.
    :ivar key: the server's public key, as a user configures it.
    :ivar version: decides what it knows (protocol.md section 7.14).
    :ivar nat_type: what its NAT test found.
    :ivar token: of the user who is logged in.
    :ivar ipv6: its global IPv6 address; empty if it has none, or may not use it.
    :ivar closed: the ways that lead nowhere, as if a firewall dropped all that goes there.
        The UDP of section 7.4 and the IPv6 of 7.5 are ways of their own.
    """

    key: str
    host: str = ""
    mode: Mode = Mode.UDP
    version: str = "1.4.9"
    nat_type: pb.NatType = pb.ASYMMETRIC
    token: str = ""
    always_relay: bool = False
    udp_punch: bool = False
    ipv6: str = ""
    closed: frozenset[Path] = frozenset()
    timing: Timing = Timing()

    def knows(self, since: str) -> bool:
        """Return whether this version has what clients have *since* another one."""
        return _number(self.version) >= _number(since)

    @property
    def cannot_be_reached(self) -> bool:
        """Whether all must go through servers: nothing comes through a proxy."""
        return self.mode in (Mode.PROXY, Mode.WEBSOCKET)

    @property
    def wants_relay(self) -> bool:
        """Whether A insists on a relay (protocol.md section 7.6)."""
        return self.always_relay or self.cannot_be_reached

    @property
    def known_nat_type(self) -> pb.NatType:
        """What it tells of its NAT: there is no NAT test by these modes."""
        return pb.SYMMETRIC if self.cannot_be_reached else self.nat_type


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
