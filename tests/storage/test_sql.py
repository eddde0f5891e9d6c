from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import StorageError
from rdserver.storage.interface import PeerStore, StoredPeer
from rdserver.storage.sql import SqlPeers
from rdserver.storage.sqlite import IN_MEMORY, open_database
from tests.storage.contract import ALICE, BOB, PeerStoreContract


def device(number: int) -> StoredPeer:
    return evolve(ALICE, id=f"device-{number}", guid=number.to_bytes(16, "big"))


def execute(peers: SqlPeers, statement: str, *values: object) -> Any:
    """Run a statement that another program might have run."""
    with peers.engine.begin() as connection:
        result = connection.exec_driver_sql(statement, values)
        return result.fetchall() if result.returns_rows else None


@frozen
class InThisThread:
    """A PeerStore that waits for the database, one request at a time."""

    peers: SqlPeers

    def find(self, peer_id: str) -> Deferred[Any]:
        return self._fired(self.peers.find([peer_id]))

    def save(self, peer: StoredPeer) -> Deferred[Any]:
        return self._fired(self.peers.save([peer]))

    def page(self, after: str, count: int) -> Deferred[Any]:
        return succeed(self.peers.page(after, count))

    def bans(self) -> Deferred[Any]:
        return succeed(self.peers.bans())

    def ban(self, peer_id: str) -> Deferred[Any]:
        return succeed(self.peers.set_ban(peer_id, True))

    def unban(self, peer_id: str) -> Deferred[Any]:
        return succeed(self.peers.set_ban(peer_id, False))

    def _fired(self, results: Any) -> Deferred[Any]:
        (result,) = results
        return fail(result) if isinstance(result, StorageError) else succeed(result)


class SqlPeersContractTests(PeerStoreContract, SynchronousTestCase):
    def make_store(self) -> PeerStore:
        peers = open_database(IN_MEMORY)
        self.addCleanup(peers.close)
        return InThisThread(peers)


class SqlPeersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.peers = open_database(IN_MEMORY)
        self.addCleanup(self.peers.close)

    def find(self, peer_id: str) -> Any:
        (found,) = self.peers.find([peer_id])
        return found

    def set_info(self, info: object) -> None:
        execute(self.peers, "UPDATE peer SET info = ?", info)

    def info(self) -> str:
        ((info,),) = execute(self.peers, "SELECT info FROM peer")
        return info

    def count_statements(self) -> list[str]:
        statements: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            statements.append(statement.split(maxsplit=1)[0])

        event.listen(self.peers.engine, "before_cursor_execute", note)
        return statements

    def break_statements(self, word: str) -> Callable[[], None]:
        """Let the disk fail under statements that begin with *word*; return the cure."""

        def failing(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith(word):
                raise OperationalError(statement, {}, Exception("disk I/O error"))

        event.listen(self.peers.engine, "before_cursor_execute", failing)
        return lambda: event.remove(self.peers.engine, "before_cursor_execute", failing)

    def test_many(self) -> None:
        """Answers come in the order of the questions, over every size of a chunk."""
        for count in (0, 1, 499, 500, 501, 1001):
            devices = [device(number) for number in range(count)]
            self.assertEqual([None] * count, self.peers.save(devices))
            ids = [peer.id for peer in devices]
            self.assertEqual(devices[::-1], self.peers.find(ids[::-1]))

    def test_same_id_twice(self) -> None:
        """Two questions for one device have the same answer."""
        self.peers.save([ALICE])
        answers = self.peers.find([ALICE.id, "nobody", ALICE.id])
        self.assertEqual([ALICE, None, ALICE], answers)

    def test_one_query(self) -> None:
        """Many finds are one query."""
        statements = self.count_statements()
        self.peers.find([f"device-{number}" for number in range(500)])
        self.assertEqual(["BEGIN", "SELECT"], statements)

    def test_one_transaction(self) -> None:
        """Many saves, of known and of new devices, are one transaction."""
        self.peers.save([device(number) for number in range(100)])
        statements = self.count_statements()
        self.peers.save([device(number) for number in range(200)])
        self.assertEqual(["BEGIN", "SELECT", "UPDATE", "INSERT"], statements)

    def test_same_device_twice(self) -> None:
        """Of two saves of one new device the last wins, but for the uuid."""
        second = evolve(ALICE, uuid=b"thief", pk=b"second", ip="198.51.100.2")
        self.assertEqual([None, None], self.peers.save([ALICE, second]))
        self.assertEqual(evolve(second, uuid=ALICE.uuid), self.find(ALICE.id))

    def test_bad_row_among_good(self) -> None:
        """A row that cannot be saved fails alone, and its neighbours share one commit."""
        self.peers.save([ALICE])
        statements = self.count_statements()
        thief = evolve(BOB, id=ALICE.id)
        results = self.peers.save([device(1), thief, device(2)])
        self.assertEqual(2, statements.count("BEGIN"))
        self.assertEqual([None, None], [results[0], results[2]])
        self.assertIsInstance(results[1], StorageError)
        found = self.peers.find([ALICE.id, device(1).id, device(2).id])
        self.assertEqual([ALICE, device(1), device(2)], found)

    def test_two_claim_one_id(self) -> None:
        """Of two new devices that claim one id in one batch the first has it."""
        results = self.peers.save([ALICE, evolve(BOB, id=ALICE.id)])
        self.assertIsNone(results[0])
        self.assertIsInstance(results[1], StorageError)
        self.assertEqual(ALICE, self.find(ALICE.id))

    def test_error_holds_no_values(self) -> None:
        """The text of an error names the column, never what was to be stored."""
        self.peers.save([ALICE])
        (error,) = self.peers.save([evolve(BOB, id=ALICE.id, uuid=b"secret-uuid")])
        self.assertIn("peer.id", str(error))
        self.assertNotIn("secret-uuid", str(error))
        self.assertNotIn("INSERT", str(error))

    def test_id_that_is_no_text(self) -> None:
        """An id that cannot be encoded fails alone, found or saved."""
        bad = evolve(BOB, id="\udcff")
        results = self.peers.save([ALICE, bad])
        self.assertIsNone(results[0])
        self.assertIsInstance(results[1], StorageError)
        found = self.peers.find([ALICE.id, bad.id])
        self.assertEqual(ALICE, found[0])
        self.assertIsInstance(found[1], StorageError)

    def test_row_of_wrong_types(self) -> None:
        """A row with text where bytes belong cannot be read; the others can."""
        self.peers.save([ALICE, BOB])
        execute(self.peers, "UPDATE peer SET pk = 'text' WHERE id = ?", ALICE.id)
        found = self.peers.find([ALICE.id, BOB.id])
        self.assertIsInstance(found[0], StorageError)
        self.assertEqual(BOB, found[1])

    def test_failing_disk(self) -> None:
        """A database that fails, fails every request once, each with its own error."""
        statements = self.count_statements()
        mend = self.break_statements("INSERT")
        one, other = self.peers.save([ALICE, BOB])
        self.assertIn("disk I/O error", str(one))
        self.assertIsInstance(other, StorageError)
        self.assertIsNot(one, other)
        self.assertEqual(1, statements.count("BEGIN"))
        mend()
        self.assertEqual([None, None], self.peers.find([ALICE.id, BOB.id]))
        self.assertEqual([None, None], self.peers.save([ALICE, BOB]))

    def test_disk_fails_during_the_second_try(self) -> None:
        """A disk that fails while rows are tried alone fails them all; none is saved."""
        self.peers.save([ALICE])
        mend = self.break_statements("RELEASE")
        results = self.peers.save([BOB, evolve(BOB, guid=bytes(16), id=ALICE.id)])
        self.assertEqual([StorageError, StorageError], [type(r) for r in results])
        mend()
        self.assertIsNone(self.find(BOB.id))

    def test_failing_query(self) -> None:
        """A query that fails is a StorageError, and the next one works."""
        mend = self.break_statements("SELECT")
        self.assertIsInstance(self.find(ALICE.id), StorageError)
        mend()
        self.assertIsNone(self.find(ALICE.id))

    def test_unreadable_info(self) -> None:
        """Whatever stands in info, the device is found, without an address."""
        self.peers.save([ALICE])
        for info in (
            "", "{", "null", "[]", '"1.2.3.4"', "{}", '{"ip": 5}', '{"ip": null}',
            '{"ip": "::\\u0000"}', '{"ip": "::\\ud800"}', "[" * 100_000, "9" * 10_000,
            b"\xff\xfe\xfd", b"\0",
        ):  # fmt: skip
            self.set_info(info)
            self.assertEqual(evolve(ALICE, ip=""), self.find(ALICE.id), info[:20])

    def test_text_that_is_no_utf8(self) -> None:
        """Nor does text in another encoding hide the device."""
        self.peers.save([ALICE])
        execute(self.peers, "UPDATE peer SET info = CAST(? AS TEXT)", b'{"ip":"\xe4"}')
        self.assertEqual(evolve(ALICE, ip="\ufffd"), self.find(ALICE.id))

    def test_mapped_address(self) -> None:
        """IPv4 that the reference stored in an IPv6 disguise is read as IPv4."""
        self.peers.save([ALICE])
        for text, ip in (
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::1", "::1"),
            ("", ""),
        ):
            self.set_info(f'{{"ip":"{text}"}}')
            self.assertEqual(evolve(ALICE, ip=ip), self.find(ALICE.id))

    def test_form_of_info(self) -> None:
        """Info is written as the reference writes it."""
        self.peers.save([ALICE])
        self.assertEqual('{"ip":"192.0.2.1"}', self.info())

    def test_foreign_keys_in_info_survive(self) -> None:
        """What others keep in info beside the address stays through an update."""
        self.peers.save([ALICE])
        self.set_info('{"os":"Linux","ip":"192.0.2.9","tags":[1]}')
        self.peers.save([ALICE])
        self.assertEqual('{"os":"Linux","ip":"192.0.2.1","tags":[1]}', self.info())

    def test_broken_info_is_mended(self) -> None:
        """An update replaces info that cannot be read."""
        self.peers.save([ALICE])
        for info in ("{", "[]", b"\xff"):
            self.set_info(info)
            self.peers.save([ALICE])
            self.assertEqual('{"ip":"192.0.2.1"}', self.info())
