"""The data folder of the original server is used as it is, and can go back."""

from __future__ import annotations

import sqlite3
from base64 import b64encode
from contextlib import closing

from nacl.signing import SigningKey

from rdserver.wire import pb
from tests.integration.case import ProcessTests
from tests.integration.client import online
from tests.storage.test_sqlite import REFERENCE_SCHEMA

INSERT = "INSERT INTO peer (guid, id, uuid, pk, info) VALUES (?, ?, ?, ?, ?)"
KNOWN, OTHER = "800000001", "800000002"


class OriginalDataTests(ProcessTests):
    def setUp(self) -> None:
        super().setUp()
        pair = SigningKey.generate()
        self.public = b64encode(bytes(pair.verify_key)).decode()
        self.secret = b64encode(bytes(pair) + bytes(pair.verify_key)).decode()
        (self.folder / "id_ed25519").write_text(self.secret)
        (self.folder / "id_ed25519.pub").write_text(self.public)
        self.database = self.folder / "db_v2.sqlite3"
        with closing(sqlite3.connect(self.database)) as db, db:
            db.executescript(REFERENCE_SCHEMA)
            # As the original stores it: a dual-stack socket's view of an IPv4 client.
            for n, (peer_id, ip) in enumerate([(KNOWN, "::ffff:127.0.7.1"), (OTHER, "")]):
                guid, pk = bytes([n]) * 16, bytes([n + 1]) * 32
                info = f'{{"ip":"{ip}"}}'
                db.execute(INSERT, (guid, peer_id, b"machine", pk, info))

    def rows(self) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute("SELECT guid, id, uuid, pk FROM peer ORDER BY id").fetchall()

    def test_same_key_and_devices(self) -> None:
        """Clients notice nothing: the key is the same, and devices are known at once."""
        before = self.rows()
        server = self.server().start()
        self.assertEqual(self.public, (self.folder / "id_ed25519.pub").read_text())
        self.assertEqual(self.secret, (self.folder / "id_ed25519").read_text())
        fields = {"host": "127.0.7.1", "machine": b"machine", "pk": b"\x01" * 32}
        device = self.device(server.ports, KNOWN, **fields)  # type: ignore[arg-type]
        self.assertFalse(device.heartbeat())
        self.assertEqual([True, False], online(server.ports, "127.0.7.2", [KNOWN, OTHER]))

        controller = self.controller(server.ports)
        waiting = self.keep(controller.punch(KNOWN))
        self.keep(device.answer_punch(device.next_push().punch_hole))
        answer = waiting.receive()
        assert answer is not None
        signed = answer.punch_hole_response.pk
        self.assertEqual(b"\x01" * 32, controller.proven_pk(signed, KNOWN))
        refused = self.keep(controller.punch(OTHER)).receive()
        assert refused is not None
        self.assertEqual(pb.PunchHoleResponse.OFFLINE, refused.punch_hole_response.failure)
        server.stop()
        self.assertEqual(before, self.rows())

    def test_way_back(self) -> None:
        """After an orderly stop all is in one file, as the original reads and writes it."""
        server = self.server().start()
        new = self.device(server.ports, "800000003").register()
        server.stop()
        self.assertEqual([], list(self.folder.glob("db_v2.sqlite3-*")))
        self.assertEqual([KNOWN, OTHER, new.id], [row[1] for row in self.rows()])
        with closing(sqlite3.connect(self.database)) as db, db:
            self.assertEqual((0,), db.execute("PRAGMA user_version").fetchone())
            db.execute("PRAGMA journal_mode = delete")
            db.execute(INSERT, (bytes(16)[:15] + b"x", "800000004", b"u", b"k", "{}"))
            self.assertEqual([("ok",)], db.execute("PRAGMA integrity_check").fetchall())
        server.start()
        self.assertEqual([False], online(server.ports, "127.0.7.2", ["800000004"]))
