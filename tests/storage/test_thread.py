from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from queue import SimpleQueue
from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import StorageError
from rdserver.storage.interface import PeerStore, StoredPeer
from rdserver.storage.sqlite import open_database
from rdserver.storage.thread import BlockingPeers, StorageTrouble, StoreThread
from tests.storage.contract import ALICE, BOB, PeerStoreContract
from tests.storage.test_sql import device, execute

PATIENCE_S = 20.0


class FakeReactorThread:
    """Collects what ``callFromThread`` is given; the test runs it."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def call_from_thread(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def next_call(self) -> Callable[[], None]:
        """Wait for what the reactor would run next."""
        return self._calls.get(timeout=PATIENCE_S)

    def settle(self, *answers: Any) -> None:
        """Run until each of these Deferreds has fired."""
        while not all(answer.called for answer in answers):
            self.next_call()()


class GatedPeers:
    """Devices in a dict behind a gate; notes what it was asked at once."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.calls: list[tuple[str, int]] = []
        self.peers: dict[str, StoredPeer] = {}
        self.error: Exception | None = None
        self.closed = False

    def find(self, ids: Sequence[str]) -> Sequence[StoredPeer | StorageError | None]:
        self._enter("find", len(ids))
        return [self.peers.get(peer_id) for peer_id in ids]

    def save(self, peers: Sequence[StoredPeer]) -> Sequence[StorageError | None]:
        self._enter("save", len(peers))
        self.peers.update({peer.id: peer for peer in peers})
        return [None] * len(peers)

    def close(self) -> None:
        self.closed = True
        self._fail()

    def _enter(self, what: str, count: int) -> None:
        self.calls.append((what, count))
        self.entered.release()
        if not self.gate.wait(PATIENCE_S):
            raise AssertionError("the test never opened the gate")
        self._fail()

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class StoreThreadCase(SynchronousTestCase):
    limit = 20_000

    def setUp(self) -> None:
        self.reactor = FakeReactorThread()
        self.clock = Clock()
        self.peers = GatedPeers()
        self.store = self.make_thread(lambda: self.peers)
        self.addCleanup(self.end, self.store)

    def make_thread(self, connect: Callable[[], BlockingPeers]) -> StoreThread:
        return StoreThread(
            connect, self.reactor.call_from_thread, self.clock.seconds, self.limit
        )

    def end(self, store: StoreThread) -> None:
        self.peers.gate.set()
        self.reactor.settle(store.close())
        self.assertEqual(0, store.outstanding)
        self.assertEqual([], self.threads())

    def threads(self) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "storage"]

    def result(self, answer: Deferred[Any]) -> Any:
        self.reactor.settle(answer)
        return self.successResultOf(answer)

    def error(self, answer: Deferred[Any]) -> str:
        self.reactor.settle(answer)
        return str(self.failureResultOf(answer, StorageError).value)

    def hold(self) -> Deferred[None]:
        """Let the thread be busy with one save until the gate opens."""
        self.peers.gate.clear()
        answer = self.store.save(device(0))
        self.assertTrue(self.peers.entered.acquire(timeout=PATIENCE_S))
        return answer


class StoreThreadContractTests(PeerStoreContract, StoreThreadCase):
    """The whole way: reactor's thread, storage thread, file, and back."""

    def setUp(self) -> None:
        StoreThreadCase.setUp(self)
        PeerStoreContract.setUp(self)

    def make_store(self) -> PeerStore:
        path = self.mktemp()
        store = self.make_thread(lambda: open_database(path))
        store.open()
        self.addCleanup(self.end, store)
        return store

    def settle(self, answer: Awaitable[object]) -> None:
        self.reactor.settle(answer)

    def test_find_behind_a_save(self) -> None:
        """A find asked for behind a save that is under way sees it."""
        answers = [self.store.save(ALICE), self.store.find(ALICE.id)]
        answers += [self.store.save(evolve(ALICE, pk=b"new")), self.store.find(ALICE.id)]
        self.reactor.settle(*answers)
        self.assertEqual(evolve(ALICE, pk=b"new"), self.successResultOf(answers[3]))

    def test_bad_row_among_good(self) -> None:
        """Of many saves at once, only the one that takes another's id fails."""
        self.result(self.store.save(ALICE))
        good = [self.store.save(device(number)) for number in range(10)]
        bad = self.store.save(evolve(BOB, id=ALICE.id))
        self.reactor.settle(*good, bad)
        self.failureResultOf(bad, StorageError)
        self.assertEqual([None] * 10, [self.successResultOf(answer) for answer in good])


class StoreThreadTests(StoreThreadCase):
    def setUp(self) -> None:
        super().setUp()
        self.store.open()

    def test_answers_in_the_reactor_thread(self) -> None:
        """A Deferred fires when the reactor gets to it, in the reactor's thread."""
        seen: list[threading.Thread] = []
        answer = self.hold()
        answer.addCallback(lambda _: seen.append(threading.current_thread()))
        self.peers.gate.set()
        call = self.reactor.next_call()
        self.assertEqual([], seen)
        call()
        self.assertEqual([threading.current_thread()], seen)

    def test_gathered(self) -> None:
        """What queued up meanwhile is one save and one find, up to 500 requests."""
        first = self.hold()
        answers: list[Deferred[Any]] = []
        for number in range(200):
            answers.append(self.store.save(device(number)))
            answers.append(self.store.find(f"device-{number}"))
        answers += [self.store.find("nobody") for _ in range(101)]
        self.assertEqual(502, self.store.outstanding)
        self.peers.gate.set()
        self.reactor.settle(first, *answers)
        calls = [("save", 1), ("save", 200), ("find", 300), ("find", 1)]
        self.assertEqual(calls, self.peers.calls)
        self.assertEqual(device(7), self.successResultOf(answers[15]))
        self.assertIsNone(self.successResultOf(answers[-1]))

    def test_daemon(self) -> None:
        """The thread does not keep a process alive whose reactor is gone."""
        self.assertEqual([True], [thread.daemon for thread in self.threads()])

    def test_cancelled(self) -> None:
        """An answer that nobody waits for any more is dropped; the others arrive."""
        first = self.hold()
        gone, other = self.store.find("gone"), self.store.find("device-0")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.peers.gate.set()
        self.reactor.settle(first, other)
        self.assertEqual(device(0), self.successResultOf(other))

    def test_bug(self) -> None:
        """An unexpected exception costs its batch and one log entry; the thread goes on."""
        first = self.hold()
        others = [self.store.find("a"), self.store.save(BOB)]
        self.peers.error = ZeroDivisionError("in the code")
        self.peers.gate.set()
        for answer in (first, *others):
            self.assertIn("bug", self.error(answer))
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.peers.error = None
        self.assertIsNone(self.result(self.store.save(ALICE)))

    def test_close_serves_what_is_queued(self) -> None:
        """Closing waits for all that was asked before; answers come first."""
        fired: list[str] = []
        self.hold().addCallback(lambda _: fired.append("first"))
        self.store.save(ALICE).addCallback(lambda _: fired.append("second"))
        closed = self.store.close().addCallback(lambda _: fired.append("closed"))
        self.assertEqual([], fired)
        self.peers.gate.set()
        self.reactor.settle(closed)
        self.assertEqual(["first", "second", "closed"], fired)
        self.assertEqual(ALICE, self.peers.peers[ALICE.id])
        self.assertTrue(self.peers.closed)
        self.assertEqual([], self.threads())

    def test_close_behind_a_full_batch(self) -> None:
        """The end is found wherever it falls: before, at and behind the last of a batch."""
        for count in (0, 499, 500, 501):
            self.peers = GatedPeers()
            self.store = self.make_thread(lambda: self.peers)
            self.store.open()
            answers = [self.hold(), *(self.store.find("nobody") for _ in range(count))]
            closed = self.store.close()
            self.peers.gate.set()
            self.reactor.settle(closed)
            self.assertTrue(all(answer.called for answer in answers))
            self.assertEqual((0, True), (self.store.outstanding, self.peers.closed))

    def test_closing_refuses(self) -> None:
        """While closing and when closed, requests fail at once."""
        first = self.hold()
        closed = self.store.close()
        self.failureResultOf(self.store.find("a"), StorageError)
        self.failureResultOf(self.store.save(ALICE), StorageError)
        self.peers.gate.set()
        self.reactor.settle(first, closed)
        self.failureResultOf(self.store.find("a"), StorageError)
        self.assertEqual(3, self.store.notices.counts[StorageTrouble.CLOSED])

    def test_close_twice(self) -> None:
        """Whoever asks to close is told when it is closed, then or later."""
        first, second = self.store.close(), self.store.close()
        self.assertFalse(first.called)
        self.reactor.settle(first, second)
        self.assertIsNone(self.successResultOf(self.store.close()))

    def test_bug_while_closing(self) -> None:
        """Even if the database cannot be closed, the server can stop."""
        self.peers.error = ZeroDivisionError("in the code")
        self.assertIsNone(self.result(self.store.close()))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))


class OpeningTests(StoreThreadCase):
    def test_not_open(self) -> None:
        """Before it is open, requests fail and there is nothing to close."""
        self.failureResultOf(self.store.find("a"), StorageError)
        self.assertIsNone(self.successResultOf(self.store.close()))

    def test_refused(self) -> None:
        """A database that cannot be opened fails the caller, and no thread is left."""

        def connect() -> BlockingPeers:
            raise StorageError("x is not a database")

        store = self.make_thread(connect)
        self.assertRaises(StorageError, store.open)
        self.assertEqual([], self.threads())
        self.failureResultOf(store.find("a"), StorageError)
        self.assertIsNone(self.successResultOf(store.close()))


class LimitTests(StoreThreadCase):
    limit = 3

    def setUp(self) -> None:
        super().setUp()
        self.store.open()

    def test_limit(self) -> None:
        """One request more than the limit fails at once; answered ones make room."""
        answers = [self.hold(), self.store.find("a"), self.store.save(ALICE)]
        self.assertEqual(3, self.store.outstanding)
        for refused in (self.store.find("b"), self.store.save(BOB)):
            error = self.failureResultOf(refused, StorageError)
            self.assertIn("busy", str(error.value))
        self.assertEqual(3, self.store.outstanding)
        self.peers.gate.set()
        self.reactor.settle(*answers)
        self.assertIsNone(self.result(self.store.save(BOB)))
        self.assertEqual(2, self.store.notices.counts[StorageTrouble.BUSY])


class FailingDatabaseTests(StoreThreadCase):
    def setUp(self) -> None:
        super().setUp()
        self.sql = open_database(self.mktemp())
        self.store = self.make_thread(lambda: self.sql)
        self.store.open()
        self.addCleanup(self.end, self.store)
        # The connection is ours while the thread has nothing to do.
        execute(self.sql, "PRAGMA max_page_count = 8")

    def save_many(self) -> list[str]:
        """Save more than there is room for; return the errors."""
        answers = [self.store.save(evolve(device(n), pk=bytes(8000))) for n in range(20)]
        self.reactor.settle(*answers)
        errors: list[str] = []
        for answer in answers:
            answer.addErrback(
                lambda f: errors.append(str(f.trap(StorageError) and f.value))
            )
        return errors

    def test_full_and_mended(self) -> None:
        """A full disk fails saves, not the thread; with room again it works again."""
        self.assertIn("full", self.save_many()[-1])
        self.assertIsNone(self.result(self.store.find("nobody")))
        execute(self.sql, "PRAGMA max_page_count = 100000")
        self.assertEqual([], self.save_many())
        self.assertEqual(bytes(8000), self.result(self.store.find("device-19")).pk)

    def test_log(self) -> None:
        """However many requests fail, the log has one line a minute that says why."""
        with capturedLogs() as events:
            failed = len(self.save_many()) + len(self.save_many())
            self.assertEqual(1, len(events))
            self.clock.advance(59.9)
            failed += len(self.save_many())
            self.assertEqual(1, len(events))
            self.clock.advance(0.1)
            failed += len(self.save_many())
        self.assertEqual(2, len(events))
        self.assertIn("database or disk is full", events[0]["error"])
        self.assertEqual(failed, self.store.notices.counts[StorageTrouble.FAILED])
