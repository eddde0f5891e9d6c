from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from rdserver.storage.interface import PeerStore
from rdserver.storage.memory import MemoryPeerStore
from tests.storage.contract import PeerStoreContract


class MemoryPeerStoreTests(PeerStoreContract, SynchronousTestCase):
    """The store that other tests use behaves as the database does."""

    def make_store(self) -> PeerStore:
        return MemoryPeerStore()
