"""Statements 8.6: RegisterPk over UDP P."""

from __future__ import annotations

from rdserver.wire import pb
from tests.conformance.world import (
    Message,
    ServerTests,
    database,
    fresh_id,
    require_batches,
    tcp_console,
)
from tests.integration.client import Device, online
from tests.integration.sockets import fresh_host

OTHER_PK = b"\x22" * 32


class RegistrationTests(ServerTests):
    options = ("--tcp-console",)

    def is_online(self, peer_id: str) -> bool:
        return online(self.ports, fresh_host(), [peer_id])[0]

    def proven_pk(self, device: Device) -> bytes:
        """Return the public key that the server vouches for when asked now."""
        controller = self.controller()
        waiting = self.punched(controller, device)
        self.keep(device.answer_punch(device.next_push().punch_hole))
        return controller.proven_pk(self.answer(waiting).punch_hole_response.pk, device.id)

    def test_055_empty_uuid_or_pk(self) -> None:
        """There is no reply."""
        peer_id = fresh_id().encode()
        for fields in ({"uuid": b"machine"}, {"pk": bytes(32)}, {}):
            request = pb.RegisterPk(id=peer_id, **fields)
            self.assert_ignored(self.udp(), pb.encode(Message(register_pk=request)))
        self.assertIsNone(self.row(peer_id.decode()))

    def test_056_short_id(self) -> None:
        """It is refused: ours says INVALID_ID_FORMAT, which does not make clients move."""
        for peer_id in ("1", "12345"):
            result = self.result(self.device(peer_id=peer_id))
            self.assertIn(result, ("INVALID_ID_FORMAT", "UUID_MISMATCH"))
            self.assertIsNone(self.row(peer_id))
        self.assertEqual("OK", self.result(self.device(peer_id="123456")))

    def test_057_new_id(self) -> None:
        """OK; the row has guid, uuid, pk and ip; the peer is online at its address."""
        device = self.device()
        self.assertEqual("OK", self.result(device))
        row = self.row(device.id)
        assert row is not None
        self.assertEqual(16, len(bytes(row["guid"])))  # type: ignore[arg-type]
        self.assertEqual((device.uuid, device.pk), (row["uuid"], row["pk"]))
        self.assertEqual(device.address.host, row["ip"])
        self.assertTrue(self.is_online(device.id))
        self.punched(self.controller(), device)
        self.assertEqual("punch_hole", device.next_push().WhichOneof("union"))

    def test_058_other_uuid(self) -> None:
        """UUID_MISMATCH, and nothing changes."""
        device = self.registered()
        before = self.row(device.id)
        thief = self.again(device, fresh_host(), machine=b"another machine")
        self.assertEqual("UUID_MISMATCH", self.result(thief))
        neighbour = self.again(device, machine=b"another machine", pk=OTHER_PK)
        self.assertEqual("UUID_MISMATCH", self.result(neighbour))
        self.assertEqual(before, self.row(device.id))
        self.assertEqual(device.pk, self.proven_pk(device))

    def test_059_other_address(self) -> None:
        """OK; address and ip are updated, and the change is recorded."""
        device = self.registered()
        first = self.again(device, fresh_host())
        self.assertEqual("OK", self.result(first))
        second = self.again(device, fresh_host())
        self.assertEqual("OK", self.result(second))
        row = self.row(device.id)
        self.assertEqual(second.address.host, row and row["ip"])
        self.assertEqual(device.pk, self.proven_pk(second))
        changes = tcp_console(self.ports.main - 1, f"ic {device.id}\n".encode()).decode()
        for moved in (first, second):
            self.assertIn(f'"{moved.address.host}": 1', changes)

    def test_060_other_key(self) -> None:
        """OK, and the pk is replaced in memory and database."""
        device = self.registered()
        guid = (self.row(device.id) or {})["guid"]
        renewed = self.again(device, pk=OTHER_PK)
        self.assertEqual("OK", self.result(renewed))
        row = self.row(device.id) or {}
        self.assertEqual((guid, OTHER_PK), (row["guid"], row["pk"]))
        self.assertEqual(OTHER_PK, self.proven_pk(renewed))

    def test_061_other_key_and_address(self) -> None:
        """UUID_MISMATCH, and nothing changes."""
        device = self.registered()
        before = self.row(device.id)
        self.assertEqual(
            "UUID_MISMATCH", self.result(self.again(device, fresh_host(), pk=OTHER_PK))
        )
        self.assertEqual(before, self.row(device.id))
        self.assertEqual(device.pk, self.proven_pk(device))

    def test_065_unchanged(self) -> None:
        """OK, and the peer is online at the sender's address immediately."""
        device = self.registered()
        again = self.again(device)
        self.assertEqual("OK", self.result(again))
        self.punched(self.controller(), device)
        self.assertEqual("punch_hole", again.next_push().WhichOneof("union"))

    def test_066_database_failure(self) -> None:
        """SERVER_ERROR; nothing is remembered, and afterwards it works."""
        device = self.device()
        with database(self.server) as db:
            db.execute(
                "CREATE TRIGGER full BEFORE INSERT ON peer WHEN NEW.id = "
                f"'{device.id}' BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
            )
        self.assertEqual("SERVER_ERROR", self.result(device))
        self.assertTrue(device.heartbeat())
        self.assertFalse(self.is_online(device.id))
        self.assertTrue(self.logged("disk is full"))
        with database(self.server) as db:
            db.execute("DROP TRIGGER full")
        self.assertEqual("OK", self.result(device))

    def test_067_known_devices_are_not_counted(self) -> None:
        """RegisterPk that match stored uuid and pk leave the address's budget alone."""
        host = fresh_host()
        devices = [self.registered(host) for _ in range(11)]
        for device in devices:
            self.assertEqual(["OK", "OK"], [self.result(device), self.result(device)])
        new = [self.result(self.device(host)) for _ in range(22)]
        self.assertEqual(["OK"] * 21 + ["TOO_FREQUENT"], new)

    def test_068_odd_ids(self) -> None:
        """They are refused without creating state."""
        for peer_id in ("x" * 101, "12345\n678", "1234567\x00", "é" * 51, "12345\x7f78"):
            device = self.device(peer_id=peer_id)
            self.assertNotEqual("OK", self.result(device))
            self.assertTrue(device.heartbeat())
            self.assertIsNone(self.row(peer_id))
        self.assertEqual("OK", self.result(self.device(peer_id="x" * 100)))


class PlainRegistrationTests(RegistrationTests):
    """The same where datagrams are taken one by one."""

    options = (*RegistrationTests.options, "--udp-path=plain")


class BatchRegistrationTests(RegistrationTests):
    """The same where they must be taken in batches."""

    options = (*RegistrationTests.options, "--udp-path=batch")

    def setUp(self) -> None:
        require_batches()
        super().setUp()
