"""Both data paths keep the one contract where a side is a WebSocket."""

from __future__ import annotations

from tests.transports import message_contract as contract
from tests.transports.path_case import Copies, Splices


class CopyMessageBytesTests(Copies, contract.MessageBytesContract):
    pass


class LoopMessageBytesTests(Splices, contract.MessageBytesContract):
    pass


class CopyMessagePressureTests(Copies, contract.MessagePressureContract):
    pass


class LoopMessagePressureTests(Splices, contract.MessagePressureContract):
    pass


class CopyMessageEndTests(Copies, contract.MessageEndContract):
    pass


class LoopMessageEndTests(Splices, contract.MessageEndContract):
    pass


class CopyMessageLimitTests(Copies, contract.MessageLimitContract):
    pass


class LoopMessageLimitTests(Splices, contract.MessageLimitContract):
    pass
