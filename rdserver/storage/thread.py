"""
The thread that waits for the database so that the reactor need not.

Knows nothing of SQL.  What queued up while the disk was busy is served together:
one query, one transaction, one answer to the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread, current_thread
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from rdserver.errors import StorageError
from rdserver.notices import Notices
from rdserver.storage.interface import StoredPeer

# More in one transaction is hardly faster (performance.md section 7), and the first
# would wait longer for the last.
_BATCH_LIMIT = 500

# A disk that is full stays so for a while, and every device asks again.
_LOG_BURST = 1
_LOG_INTERVAL_S = 60.0


class BlockingPeers(Protocol):
    """
    Devices behind calls that wait, many requests in each.

    An answer has one entry for each request, in order; a :class:`StorageError`
    in place of it fails that request alone.
    """

    def find(self, ids: Sequence[str]) -> Sequence[StoredPeer | StorageError | None]:
        """Return the device with each of *ids*, or None."""

    def save(self, peers: Sequence[StoredPeer]) -> Sequence[StorageError | None]:
        """Insert or update each of *peers*; safe on the disk on return."""

    def page(self, after: str, count: int) -> Sequence[StoredPeer]:
        """Return devices whose ids follow *after*; may raise :class:`StorageError`."""

    def bans(self) -> Sequence[str]:
        """Return the ids that are banned; may raise :class:`StorageError`."""

    def set_ban(self, peer_id: str, is_banned: bool) -> None:
        """Ban an id, or no more; may raise :class:`StorageError`."""

    def close(self) -> None:
        """Let go of the database."""


class StorageTrouble(StrEnum):
    """Why a request was not served."""

    FAILED = "failed"
    BUSY = "busy"
    CLOSED = "closed"


@frozen
class _Find:
    peer_id: str
    answer: Deferred[StoredPeer | None]


@frozen
class _Save:
    peer: StoredPeer
    answer: Deferred[None]


@frozen
class _Do:
    work: Callable[[BlockingPeers], Any]
    answer: Deferred[Any]


_Request = _Find | _Save | _Do
_Answers = list[tuple[Deferred[Any], Any]]


class StoreThread:
    """
    A PeerStore on a thread of its own; has one life, from open to close.

    Everything public is called in the reactor's thread, and every Deferred fires
    there.  A find sees every save that was asked for before it.

    :param connect: opens the database; may raise :class:`StorageError`.
    :param call_from_thread: runs a function in the reactor's thread, soon.
    :param now: monotonic clock, in seconds.
    :param outstanding_limit: requests not yet answered, above which one fails at once.
    :ivar notices: counts of the requests that were not served.
    """

    _log = Logger()

    def __init__(
        self,
        connect: Callable[[], BlockingPeers],
        call_from_thread: Callable[[Callable[[], None]], object],
        now: Callable[[], float],
        outstanding_limit: int = 20_000,
    ) -> None:
        self._connect = connect
        self._call_from_thread = call_from_thread
        self._outstanding_limit = outstanding_limit
        self._outstanding = 0
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._accepting = False
        self._closed: list[Deferred[None]] = []
        self.notices = Notices(self._log, StorageTrouble, now, _LOG_BURST, _LOG_INTERVAL_S)

    @property
    def outstanding(self) -> int:
        """How many requests wait for their answer."""
        return self._outstanding

    def open(self) -> None:
        """
        Open the database, waiting for it, and start the thread.

        :raises StorageError: when it cannot be used; nothing is left open then.
        """
        peers = self._connect()
        # A daemon: were the reactor to crash, the process must not stay for us.
        self._thread = Thread(target=self._run, args=(peers,), name="storage", daemon=True)
        self._accepting = True
        self._thread.start()

    def find(self, peer_id: str) -> Deferred[StoredPeer | None]:
        """Return the device with this id, or None if it never registered."""
        answer: Deferred[StoredPeer | None] = Deferred()
        return self._refusal() or self._ask(_Find(peer_id, answer), answer)

    def save(self, peer: StoredPeer) -> Deferred[None]:
        """Insert the device, or update id, pk and ip of the row with its guid."""
        answer: Deferred[None] = Deferred()
        return self._refusal() or self._ask(_Save(peer, answer), answer)

    def page(self, after: str, count: int) -> Deferred[Sequence[StoredPeer]]:
        """Return up to *count* devices whose ids follow *after*, in the ids' order."""
        return self._do(lambda peers: peers.page(after, count))

    def bans(self) -> Deferred[Sequence[str]]:
        """Return the ids that are banned."""
        return self._do(lambda peers: peers.bans())

    def ban(self, peer_id: str) -> Deferred[None]:
        """Ban an id."""
        return self._do(lambda peers: peers.set_ban(peer_id, True))

    def unban(self, peer_id: str) -> Deferred[None]:
        """Ban an id no more."""
        return self._do(lambda peers: peers.set_ban(peer_id, False))

    def _do(self, work: Callable[[BlockingPeers], Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        return self._refusal() or self._ask(_Do(work, answer), answer)

    def close(self) -> Deferred[None]:
        """Serve what is queued, close the database, end the thread; then fire."""
        if self._thread is None:
            return succeed(None)
        if self._accepting:
            self._accepting = False
            self._queue.put(None)
        closed: Deferred[None] = Deferred()
        self._closed.append(closed)
        return closed

    def _refusal(self) -> Deferred[Any] | None:
        if not self._accepting:
            self.notices.count(StorageTrouble.CLOSED)
            return fail(StorageError("the database is not open"))
        if self._outstanding >= self._outstanding_limit:
            text = f"the database is busy: {self._outstanding} requests wait for it"
            self.notices.error(StorageTrouble.BUSY, "{error}", error=text)
            return fail(StorageError(text))
        return None

    def _ask(self, request: _Request, answer: Deferred[Any]) -> Deferred[Any]:
        self._outstanding += 1
        self._queue.put(request)
        return answer

    def _deliver(self, answers: _Answers) -> None:
        self._outstanding -= len(answers)
        for answer, result in answers:
            if isinstance(result, StorageError):
                self.notices.error(
                    StorageTrouble.FAILED, "storage: {error}", error=str(result)
                )
                answer.errback(result)
            else:
                answer.callback(result)

    def _ended(self, thread: Thread) -> None:
        thread.join()
        self._thread = None
        waiting, self._closed = self._closed, []
        for closed in waiting:
            closed.callback(None)

    def _run(self, peers: BlockingPeers) -> None:
        """All that happens in the thread; touches no state but the queue."""
        while batch := _next_batch(self._queue):
            try:
                answers = _serve(peers, batch)
            except Exception:
                answers = self._bug(batch)
            self._call_from_thread(partial(self._deliver, answers))
        try:
            peers.close()
        except Exception:
            self._bug([])
        self._call_from_thread(partial(self._ended, current_thread()))

    def _bug(self, batch: Sequence[_Request]) -> _Answers:
        """Log the current exception in the reactor's thread; it costs one batch."""
        failure = Failure()
        text = "the storage thread failed; this is a bug"
        self._call_from_thread(lambda: self._log.failure(text, failure))
        return [(request.answer, StorageError(text)) for request in batch]


def _next_batch(queue: SimpleQueue[_Request | None]) -> list[_Request]:
    """Wait for a request and take what else is there; empty when it is the end."""
    batch: list[_Request] = []
    request = queue.get()
    while request is not None:
        batch.append(request)
        if len(batch) == _BATCH_LIMIT:
            return batch
        try:
            request = queue.get_nowait()
        except Empty:
            return batch
    if batch:
        queue.put(None)  # nothing comes behind the end, so it is still the last
    return batch


def _serve(peers: BlockingPeers, batch: Sequence[_Request]) -> _Answers:
    saves = [request for request in batch if isinstance(request, _Save)]
    finds = [request for request in batch if isinstance(request, _Find)]
    # Saves first: a find may see one that was asked for later, never miss an earlier one.
    saved = peers.save([request.peer for request in saves]) if saves else []
    found = peers.find([request.peer_id for request in finds]) if finds else []
    answers: _Answers = [(r.answer, result) for r, result in zip(saves, saved, strict=True)]
    answers.extend((r.answer, result) for r, result in zip(finds, found, strict=True))
    others = [request for request in batch if isinstance(request, _Do)]
    answers.extend((request.answer, _done(peers, request)) for request in others)
    return answers


def _done(peers: BlockingPeers, request: _Do) -> Any:
    try:
        return request.work(peers)
    except StorageError as e:
        return e
