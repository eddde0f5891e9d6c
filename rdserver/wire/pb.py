"""
The one place that imports generated protobuf code, and its two directions.

Text fields are ``bytes`` in our ``.proto`` (the reason stands there); whoever
needs text calls :func:`text`, which cannot fail on a decoded message.
"""

from __future__ import annotations

import warnings
from operator import attrgetter
from typing import Any

from google.protobuf.message import DecodeError

from rdserver.errors import ProtocolError
from rdserver.wire.rendezvous_pb2 import (
    ASYMMETRIC,
    SYMMETRIC,
    UNKNOWN_NAT,
    ConfigUpdate,
    ControlPermissions,
    FetchLocalAddr,
    HealthCheck,
    HttpProxyRequest,
    HttpProxyResponse,
    IdPk,
    KeyExchange,
    LocalAddr,
    NatType,
    OnlineRequest,
    OnlineResponse,
    PeerDiscovery,
    PunchHole,
    PunchHoleRequest,
    PunchHoleResponse,
    PunchHoleSent,
    RegisterPeer,
    RegisterPeerResponse,
    RegisterPk,
    RegisterPkResponse,
    RelayResponse,
    RendezvousMessage,
    RequestRelay,
    SoftwareUpdate,
    TestNatRequest,
    TestNatResponse,
)

__all__ = [
    "ASYMMETRIC",
    "SYMMETRIC",
    "UNKNOWN_NAT",
    "ConfigUpdate",
    "ControlPermissions",
    "FetchLocalAddr",
    "HealthCheck",
    "HttpProxyRequest",
    "HttpProxyResponse",
    "IdPk",
    "KeyExchange",
    "LocalAddr",
    "NatType",
    "OnlineRequest",
    "OnlineResponse",
    "PeerDiscovery",
    "PunchHole",
    "PunchHoleRequest",
    "PunchHoleResponse",
    "PunchHoleSent",
    "RegisterPeer",
    "RegisterPeerResponse",
    "RegisterPk",
    "RegisterPkResponse",
    "RelayResponse",
    "RendezvousMessage",
    "RequestRelay",
    "SoftwareUpdate",
    "TestNatRequest",
    "TestNatResponse",
    "decode",
    "encode",
    "text",
]

# Debian's runtime warns about bytes behind a stray end-group tag and returns;
# decode() refuses such a message itself, by the length that was consumed.
warnings.filterwarnings("ignore", "Unexpected end-group tag", RuntimeWarning)

_CONTEXT = "controlled_context.conn_audit_ref"
_TEXT_FIELDS: dict[str, tuple[str, ...]] = {
    "register_peer": ("id",),
    "register_pk": ("id", "old_id"),
    "punch_hole_request": ("id", "licence_key", "token", "version", "switch_code"),
    "punch_hole": ("relay_server", _CONTEXT),
    "punch_hole_sent": ("id", "relay_server", "version"),
    "punch_hole_response": ("relay_server", "other_failure"),
    "fetch_local_addr": ("relay_server", _CONTEXT),
    "local_addr": ("relay_server", "id", "version"),
    "configure_update": ("rendezvous_servers",),
    "software_update": ("url",),
    "request_relay": (
        *("id", "uuid", "relay_server", "licence_key", "token", "switch_code"),
        _CONTEXT,
    ),
    "relay_response": ("uuid", "relay_server", "id", "refuse_reason", "version"),
    "test_nat_response": ("cu.rendezvous_servers",),
    "peer_discovery": ("cmd", "mac", "id", "username", "hostname", "platform", "misc"),
    "online_request": ("id", "peers"),
    "hc": ("token",),
    "http_proxy_request": ("method", "path", "headers"),
    "http_proxy_response": ("headers", "error"),
}
"""Which fields of each union member are text, hence must be UTF-8."""

_TEXTS_OF = {kind: [attrgetter(f) for f in names] for kind, names in _TEXT_FIELDS.items()}


def decode(data: bytes) -> RendezvousMessage:
    """
    Parse one rendezvous message.

    :raises ProtocolError: *data* is not a RendezvousMessage, names no union
        member, or has a text field that is not UTF-8.

    Source: protocol.md section 2.1.
    """
    message = RendezvousMessage()
    try:
        consumed = message.ParseFromString(data)
    except DecodeError as e:
        raise ProtocolError("not a RendezvousMessage") from e
    kind = message.WhichOneof("union")
    if kind is None or consumed not in (None, len(data)):
        raise ProtocolError("not a RendezvousMessage, or one without a member")
    member = getattr(message, kind)
    try:
        for text_of in _TEXTS_OF.get(kind, ()):
            _decode_text(text_of(member))
    except UnicodeDecodeError as e:
        raise ProtocolError("text that is not UTF-8") from e
    return message


def encode(message: RendezvousMessage) -> bytes:
    """Serialise *message*: one datagram, one frame's payload or one WebSocket message."""
    return message.SerializeToString()


def text(value: bytes) -> str:
    """Return the text of a field of a decoded message."""
    return value.decode()


def _decode_text(value: Any) -> None:
    """
    Decode a field, each of a repeated one, or both texts of each header entry.

    :raises UnicodeDecodeError: one is not UTF-8.
    """
    if isinstance(value, bytes):
        value.decode()
        return
    for item in value:
        if isinstance(item, bytes):
            item.decode()
        else:
            item.name.decode()
            item.value.decode()
