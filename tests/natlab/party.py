"""
One of the two clients, in a process of its own inside its namespace.

``python -m tests.natlab.party controlled|controlling PLAN``, the plan in JSON.  Says what
comes of it on lines of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from attrs import evolve

from tests.integration.peers.controlled import Controlled
from tests.integration.peers.controlling import call
from tests.integration.peers.doors import with_measured_nat
from tests.integration.peers.profile import Mode, Path, Profile
from tests.integration.process import Ports

SESSION_BYTES = 1_000_000
SERVED_S = 40.0


def profile_of(plan: dict[str, Any], ports: Ports) -> Profile:
    """Return the client that *plan* describes, after its NAT test."""
    profile = Profile(
        key=plan["key"],
        mode=Mode(plan.get("mode", "udp")),
        udp_punch=plan.get("udp_punch", False),
        ipv6=plan.get("ipv6", ""),
        token=plan.get("token", ""),
        closed=frozenset(map(Path, plan.get("closed", ()))),
    )
    # Other computers take a few milliseconds to be reached; here it is none.
    timing = evolve(profile.timing, least_udp_test_s=0.5)
    return with_measured_nat(ports, evolve(profile, timing=timing))


def say(**fields: object) -> None:
    """Say one line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def controlled(plan: dict[str, Any], ports: Ports, profile: Profile) -> None:
    """Register, and serve one session."""
    device = Controlled(ports, profile, plan["id"], SESSION_BYTES)
    say(registered=plan["id"], nat=int(profile.nat_type))
    served = device.served.get(timeout=SERVED_S)
    say(path=served.path.value, encrypted=served.is_encrypted)
    device.close()


def controlling(plan: dict[str, Any], ports: Ports, profile: Profile) -> None:
    """Have one session with the device."""
    outcome = call(ports, profile, plan["id"], SESSION_BYTES)
    say(path=outcome.path.value, proven=outcome.is_proven, nat=int(profile.nat_type))


def main() -> None:
    """Be one of the two."""
    side, text = sys.argv[1:]
    plan = json.loads(text)
    ports = Ports(plan["port"], plan["port"] + 1, plan["server"])
    {"controlled": controlled, "controlling": controlling}[side](
        plan, ports, profile_of(plan, ports)
    )


if __name__ == "__main__":
    main()
