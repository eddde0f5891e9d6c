"""The server's key is changed while clients still have the old one: docs/keys.md."""

from __future__ import annotations

from rdserver.wire import pb
from tests.conformance.world import unix_console
from tests.integration.case import ProcessTests
from tests.integration.client import Controller, Device
from tests.integration.relayed import Exchange, join_relay, new_session

KIB = 1 << 10


class KeyChangeTests(ProcessTests):
    def proven(self, controller: Controller, device: Device) -> bytes:
        """Let A ask for B; return B's key as A gets it signed."""
        waiting = self.keep(controller.punch(device.id))
        self.keep(device.answer_punch(device.next_push().punch_hole))
        answer = waiting.receive()
        assert answer is not None, "closed without an answer"
        signed = answer.punch_hole_response.pk
        return controller.proven_pk(signed, device.id)

    def change_key(self) -> None:
        """Move the key pair into the file of old keys."""
        private = self.folder / "id_ed25519"
        old_keys = self.folder / "old_keys"
        private.rename(old_keys)
        self.assertEqual(0o600, old_keys.stat().st_mode & 0o777)
        (self.folder / "id_ed25519.pub").unlink()

    def test_change(self) -> None:
        """
        Clients with the old key and with the new one reach a device, each believing its
        own key only; they meet at the relay; the console shows how many are left.
        """
        server = self.server("--relay-auth=key").start()
        old = self.controller(server.ports)
        server.stop()
        self.change_key()

        server = self.server("--relay-auth=key", f"--old-keys={self.folder}/old_keys")
        ports = server.start().ports
        device = self.device(ports, "123456789").register()
        old, new = Controller(ports, old.key), self.controller(ports)
        self.assertNotEqual(old.key, new.key)
        for controller in (old, new):
            self.assertEqual(device.pk, self.proven(controller, device))

        session = new_session()
        legs = [
            self.keep(join_relay(ports, session, licence_key=one.key.encode()))
            for one in (old, new)
        ]
        Exchange(*legs, KIB)

        for name in ("admin-id.sock", "admin-relay.sock"):
            shown = unix_console(self.folder / name, "old-keys")
            begin = f"{old.key[:8]}: 1 addresses in the last day, last used "
            self.assertEqual(begin, shown[: len(begin)])

    def test_without_old_keys(self) -> None:
        """Without the file a client with the old key is told that its key is wrong."""
        server = self.server().start()
        old = self.controller(server.ports)
        server.stop()
        self.change_key()
        server.start()
        waiting = self.keep(Controller(server.ports, old.key).punch("123456789"))
        answer = waiting.receive()
        assert answer is not None, "closed without an answer"
        failure = answer.punch_hole_response.failure
        self.assertEqual(pb.PunchHoleResponse.LICENSE_MISMATCH, failure)
