"""Statements 8.5: RegisterPeer over UDP P."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from rdserver.wire import pb
from rdserver.wire.address import decode_address
from tests.conformance.world import (
    Message,
    ServerTests,
    fresh_id,
    own_address,
    require_batches,
)
from tests.integration.client import Controller, Device, online
from tests.integration.process import Ports, ServerProcess
from tests.integration.sockets import fresh_host


class HeartbeatTests(ServerTests):
    def is_online(self, peer_id: str) -> bool:
        return online(self.ports, fresh_host(), [peer_id])[0]

    def test_045_unknown(self) -> None:
        """request_pk is true, and no peer becomes online."""
        device = self.device()
        self.assertTrue(device.heartbeat())
        self.assertTrue(device.heartbeat())
        self.assertFalse(self.is_online(device.id))

    def test_046_empty_id(self) -> None:
        """There is no reply."""
        message = Message(register_peer=pb.RegisterPeer(serial=3))
        self.assert_ignored(self.udp(), pb.encode(message))

    def test_047_registered(self) -> None:
        """request_pk is false, and the peer is online."""
        device = self.registered()
        self.assertFalse(device.heartbeat())
        self.assertTrue(self.is_online(device.id))

    def test_048_new_port(self) -> None:
        """Pushes go to the new port, perhaps only after another RegisterPk."""
        before = self.registered()
        after = self.again(before).register()
        self.punched(self.controller(), after)
        self.assertEqual("punch_hole", after.next_push().WhichOneof("union"))
        before.socket.setblocking(False)
        self.assertRaises(BlockingIOError, before.receive, 0)

    def test_049_other_address(self) -> None:
        """request_pk is true, and the stored address and time are unchanged."""
        device = self.registered()
        host = own_address()
        elsewhere = Ports(self.ports.main, self.ports.relay, host)
        moved = self.keep(Device(elsewhere, device.id, host))
        self.assertTrue(moved.heartbeat())
        self.punched(self.controller(), device)
        self.assertEqual("punch_hole", device.next_push().WhichOneof("union"))
        self.assert_not_asked(device)

    def test_050_loopback(self) -> None:
        """From a loopback sender another IP alone does not ask for RegisterPk."""
        device = self.registered()
        self.assertFalse(self.again(device, fresh_host()).heartbeat())

    def test_051_no_key(self) -> None:
        """A peer entry without pk is asked for it."""
        device = self.device()
        self.put_row(device.id, pk=b"", ip=device.address.host)
        self.assertTrue(device.heartbeat())
        self.assertEqual("OFFLINE", self.failure(self.controller(), device.id))


class SerialTests(ServerTests):
    options = ("-s", "5", "-R", "127.0.0.7,127.0.0.8:21116")

    def test_052_serial(self) -> None:
        """A lower serial gets a second datagram, an equal or higher one does not."""
        device = self.device()
        for serial in (3, 4):
            device.heartbeat(serial)
            update = device.next_push().configure_update
            self.assertEqual(5, update.serial)
            self.assertEqual(
                [b"127.0.0.7", b"127.0.0.8:21116"], list(update.rendezvous_servers)
            )
        for serial in (5, 6):
            device.heartbeat(serial)
        device.heartbeat(5)
        self.assertEqual(0, len(device._pushes))


class RestartTests(ServerTests):
    instance = "054"

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.server = ServerProcess(folder, *self.options)
        self.addCleanup(self.server.kill)
        self.ports = self.server.start().ports

    def test_054_restart(self) -> None:
        """A stored peer that comes from its stored IP is online at once."""
        device = self.registered()
        self.server.stop()
        self.server.start()
        self.assertFalse(online(self.ports, fresh_host(), [device.id])[0])
        self.assertFalse(device.heartbeat())
        self.assertEqual(
            [True, False], online(self.ports, fresh_host(), [device.id, fresh_id()])
        )
        stream = self.keep(Controller(self.ports, self.key).punch(device.id))
        push = device.next_push().punch_hole
        self.assertEqual(stream.address, decode_address(push.socket_addr))


class PlainHeartbeatTests(HeartbeatTests):
    """The same where datagrams are taken one by one."""

    options = ("--udp-path=plain",)


class PlainSerialTests(SerialTests):
    options = (*SerialTests.options, "--udp-path=plain")


class PlainRestartTests(RestartTests):
    options = ("--udp-path=plain",)


class BatchHeartbeatTests(HeartbeatTests):
    """The same where they must be taken in batches."""

    options = ("--udp-path=batch",)

    def setUp(self) -> None:
        require_batches()
        super().setUp()
