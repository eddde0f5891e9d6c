"""A session through the relay of the server that runs here: ``session.py DATA_DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from rdserver.wire import pb
from tests.integration.client import Controller, Device
from tests.integration.process import Ports
from tests.integration.relayed import Exchange, join_relay, new_session

PORTS = Ports(21116, 21117)
RELAY = "127.0.0.1:21117"
SIZE = 5_000_000


def main(data_dir: str) -> None:
    """Let A ask for B at the ID server, and both send 5 MB by the relay."""
    key = Path(data_dir, "id_ed25519.pub").read_text()
    device = Device(PORTS, "123123123").register()
    controller = Controller(PORTS, key)
    session = new_session()
    waiting = controller.punch(device.id, nat_type=pb.SYMMETRIC)
    push = device.next_push().punch_hole
    answered = device.answer_with_relay(push, RELAY, session)
    b_side = join_relay(PORTS, session, device.address.host, licence_key=key.encode())
    response = waiting.receive()
    assert response is not None, "A was not answered"
    assert pb.text(response.relay_response.uuid) == session, "A was told of another session"
    a_side = join_relay(PORTS, session, controller.host, licence_key=key.encode())
    Exchange(a_side, b_side, SIZE)
    answered.close()


if __name__ == "__main__":
    main(sys.argv[1])
