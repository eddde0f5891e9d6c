from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

ASYMMETRIC: NatType
DEFAULT_CONN: ConnType
DESCRIPTOR: _descriptor.FileDescriptor
FILE_TRANSFER: ConnType
PORT_FORWARD: ConnType
RDP: ConnType
SYMMETRIC: NatType
TERMINAL: ConnType
UNKNOWN_NAT: NatType
VIEW_CAMERA: ConnType

class ConfigUpdate(_message.Message):
    __slots__ = ["rendezvous_servers", "serial"]
    RENDEZVOUS_SERVERS_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    rendezvous_servers: _containers.RepeatedScalarFieldContainer[bytes]
    serial: int
    def __init__(self, serial: _Optional[int] = ..., rendezvous_servers: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ControlPermissions(_message.Message):
    __slots__ = ["permissions"]
    class Permission(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    audio: ControlPermissions.Permission
    block_input: ControlPermissions.Permission
    camera: ControlPermissions.Permission
    clipboard: ControlPermissions.Permission
    file: ControlPermissions.Permission
    keyboard: ControlPermissions.Permission
    permissions: int
    privacy_mode: ControlPermissions.Permission
    recording: ControlPermissions.Permission
    remote_modify: ControlPermissions.Permission
    remote_printer: ControlPermissions.Permission
    restart: ControlPermissions.Permission
    terminal: ControlPermissions.Permission
    tunnel: ControlPermissions.Permission
    def __init__(self, permissions: _Optional[int] = ...) -> None: ...

class ControlledContext(_message.Message):
    __slots__ = ["conn_audit_ref"]
    CONN_AUDIT_REF_FIELD_NUMBER: _ClassVar[int]
    conn_audit_ref: bytes
    def __init__(self, conn_audit_ref: _Optional[bytes] = ...) -> None: ...

class FetchLocalAddr(_message.Message):
    __slots__ = ["control_permissions", "controlled_context", "relay_server", "socket_addr", "socket_addr_v6"]
    CONTROLLED_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    control_permissions: ControlPermissions
    controlled_context: ControlledContext
    relay_server: bytes
    socket_addr: bytes
    socket_addr_v6: bytes
    def __init__(self, socket_addr: _Optional[bytes] = ..., relay_server: _Optional[bytes] = ..., socket_addr_v6: _Optional[bytes] = ..., control_permissions: _Optional[_Union[ControlPermissions, _Mapping]] = ..., controlled_context: _Optional[_Union[ControlledContext, _Mapping]] = ...) -> None: ...

class HeaderEntry(_message.Message):
    __slots__ = ["name", "value"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    value: bytes
    def __init__(self, name: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class HealthCheck(_message.Message):
    __slots__ = ["token"]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: bytes
    def __init__(self, token: _Optional[bytes] = ...) -> None: ...

class HttpProxyRequest(_message.Message):
    __slots__ = ["body", "headers", "method", "path"]
    BODY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    headers: _containers.RepeatedCompositeFieldContainer[HeaderEntry]
    method: bytes
    path: bytes
    def __init__(self, method: _Optional[bytes] = ..., path: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[HeaderEntry, _Mapping]]] = ..., body: _Optional[bytes] = ...) -> None: ...

class HttpProxyResponse(_message.Message):
    __slots__ = ["body", "error", "headers", "status"]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    error: bytes
    headers: _containers.RepeatedCompositeFieldContainer[HeaderEntry]
    status: int
    def __init__(self, status: _Optional[int] = ..., headers: _Optional[_Iterable[_Union[HeaderEntry, _Mapping]]] = ..., body: _Optional[bytes] = ..., error: _Optional[bytes] = ...) -> None: ...

class IdPk(_message.Message):
    __slots__ = ["id", "pk"]
    ID_FIELD_NUMBER: _ClassVar[int]
    PK_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    pk: bytes
    def __init__(self, id: _Optional[bytes] = ..., pk: _Optional[bytes] = ...) -> None: ...

class KeyExchange(_message.Message):
    __slots__ = ["keys"]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, keys: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LocalAddr(_message.Message):
    __slots__ = ["id", "local_addr", "relay_server", "socket_addr", "socket_addr_v6", "version"]
    ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDR_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    local_addr: bytes
    relay_server: bytes
    socket_addr: bytes
    socket_addr_v6: bytes
    version: bytes
    def __init__(self, socket_addr: _Optional[bytes] = ..., local_addr: _Optional[bytes] = ..., relay_server: _Optional[bytes] = ..., id: _Optional[bytes] = ..., version: _Optional[bytes] = ..., socket_addr_v6: _Optional[bytes] = ...) -> None: ...

class OnlineRequest(_message.Message):
    __slots__ = ["id", "peers"]
    ID_FIELD_NUMBER: _ClassVar[int]
    PEERS_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    peers: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, id: _Optional[bytes] = ..., peers: _Optional[_Iterable[bytes]] = ...) -> None: ...

class OnlineResponse(_message.Message):
    __slots__ = ["states"]
    STATES_FIELD_NUMBER: _ClassVar[int]
    states: bytes
    def __init__(self, states: _Optional[bytes] = ...) -> None: ...

class PeerDiscovery(_message.Message):
    __slots__ = ["cmd", "hostname", "id", "mac", "misc", "platform", "username"]
    CMD_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    MISC_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    cmd: bytes
    hostname: bytes
    id: bytes
    mac: bytes
    misc: bytes
    platform: bytes
    username: bytes
    def __init__(self, cmd: _Optional[bytes] = ..., mac: _Optional[bytes] = ..., id: _Optional[bytes] = ..., username: _Optional[bytes] = ..., hostname: _Optional[bytes] = ..., platform: _Optional[bytes] = ..., misc: _Optional[bytes] = ...) -> None: ...

class PunchHole(_message.Message):
    __slots__ = ["control_permissions", "controlled_context", "force_relay", "nat_type", "relay_server", "socket_addr", "socket_addr_v6", "udp_port", "upnp_port"]
    CONTROLLED_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    FORCE_RELAY_FIELD_NUMBER: _ClassVar[int]
    NAT_TYPE_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    UDP_PORT_FIELD_NUMBER: _ClassVar[int]
    UPNP_PORT_FIELD_NUMBER: _ClassVar[int]
    control_permissions: ControlPermissions
    controlled_context: ControlledContext
    force_relay: bool
    nat_type: NatType
    relay_server: bytes
    socket_addr: bytes
    socket_addr_v6: bytes
    udp_port: int
    upnp_port: int
    def __init__(self, socket_addr: _Optional[bytes] = ..., relay_server: _Optional[bytes] = ..., nat_type: _Optional[_Union[NatType, str]] = ..., udp_port: _Optional[int] = ..., force_relay: bool = ..., upnp_port: _Optional[int] = ..., socket_addr_v6: _Optional[bytes] = ..., control_permissions: _Optional[_Union[ControlPermissions, _Mapping]] = ..., controlled_context: _Optional[_Union[ControlledContext, _Mapping]] = ...) -> None: ...

class PunchHoleRequest(_message.Message):
    __slots__ = ["conn_type", "force_relay", "id", "licence_key", "nat_type", "socket_addr_v6", "switch_code", "token", "udp_port", "upnp_port", "version"]
    CONN_TYPE_FIELD_NUMBER: _ClassVar[int]
    FORCE_RELAY_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LICENCE_KEY_FIELD_NUMBER: _ClassVar[int]
    NAT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    SWITCH_CODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    UDP_PORT_FIELD_NUMBER: _ClassVar[int]
    UPNP_PORT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    conn_type: ConnType
    force_relay: bool
    id: bytes
    licence_key: bytes
    nat_type: NatType
    socket_addr_v6: bytes
    switch_code: bytes
    token: bytes
    udp_port: int
    upnp_port: int
    version: bytes
    def __init__(self, id: _Optional[bytes] = ..., nat_type: _Optional[_Union[NatType, str]] = ..., licence_key: _Optional[bytes] = ..., conn_type: _Optional[_Union[ConnType, str]] = ..., token: _Optional[bytes] = ..., version: _Optional[bytes] = ..., udp_port: _Optional[int] = ..., force_relay: bool = ..., upnp_port: _Optional[int] = ..., socket_addr_v6: _Optional[bytes] = ..., switch_code: _Optional[bytes] = ...) -> None: ...

class PunchHoleResponse(_message.Message):
    __slots__ = ["failure", "feedback", "is_local", "is_udp", "nat_type", "other_failure", "pk", "relay_server", "socket_addr", "socket_addr_v6", "upnp_port"]
    class Failure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    ID_NOT_EXIST: PunchHoleResponse.Failure
    IS_LOCAL_FIELD_NUMBER: _ClassVar[int]
    IS_UDP_FIELD_NUMBER: _ClassVar[int]
    LICENSE_MISMATCH: PunchHoleResponse.Failure
    LICENSE_OVERUSE: PunchHoleResponse.Failure
    NAT_TYPE_FIELD_NUMBER: _ClassVar[int]
    OFFLINE: PunchHoleResponse.Failure
    OTHER_FAILURE_FIELD_NUMBER: _ClassVar[int]
    PK_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    UPNP_PORT_FIELD_NUMBER: _ClassVar[int]
    failure: PunchHoleResponse.Failure
    feedback: int
    is_local: bool
    is_udp: bool
    nat_type: NatType
    other_failure: bytes
    pk: bytes
    relay_server: bytes
    socket_addr: bytes
    socket_addr_v6: bytes
    upnp_port: int
    def __init__(self, socket_addr: _Optional[bytes] = ..., pk: _Optional[bytes] = ..., failure: _Optional[_Union[PunchHoleResponse.Failure, str]] = ..., relay_server: _Optional[bytes] = ..., nat_type: _Optional[_Union[NatType, str]] = ..., is_local: bool = ..., other_failure: _Optional[bytes] = ..., feedback: _Optional[int] = ..., is_udp: bool = ..., upnp_port: _Optional[int] = ..., socket_addr_v6: _Optional[bytes] = ...) -> None: ...

class PunchHoleSent(_message.Message):
    __slots__ = ["id", "nat_type", "relay_server", "socket_addr", "socket_addr_v6", "upnp_port", "version"]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAT_TYPE_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    UPNP_PORT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    nat_type: NatType
    relay_server: bytes
    socket_addr: bytes
    socket_addr_v6: bytes
    upnp_port: int
    version: bytes
    def __init__(self, socket_addr: _Optional[bytes] = ..., id: _Optional[bytes] = ..., relay_server: _Optional[bytes] = ..., nat_type: _Optional[_Union[NatType, str]] = ..., version: _Optional[bytes] = ..., upnp_port: _Optional[int] = ..., socket_addr_v6: _Optional[bytes] = ...) -> None: ...

class RegisterPeer(_message.Message):
    __slots__ = ["id", "serial"]
    ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    serial: int
    def __init__(self, id: _Optional[bytes] = ..., serial: _Optional[int] = ...) -> None: ...

class RegisterPeerResponse(_message.Message):
    __slots__ = ["request_pk"]
    REQUEST_PK_FIELD_NUMBER: _ClassVar[int]
    request_pk: bool
    def __init__(self, request_pk: bool = ...) -> None: ...

class RegisterPk(_message.Message):
    __slots__ = ["id", "no_register_device", "old_id", "pk", "uuid"]
    ID_FIELD_NUMBER: _ClassVar[int]
    NO_REGISTER_DEVICE_FIELD_NUMBER: _ClassVar[int]
    OLD_ID_FIELD_NUMBER: _ClassVar[int]
    PK_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    no_register_device: bool
    old_id: bytes
    pk: bytes
    uuid: bytes
    def __init__(self, id: _Optional[bytes] = ..., uuid: _Optional[bytes] = ..., pk: _Optional[bytes] = ..., old_id: _Optional[bytes] = ..., no_register_device: bool = ...) -> None: ...

class RegisterPkResponse(_message.Message):
    __slots__ = ["keep_alive", "result"]
    class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    ID_EXISTS: RegisterPkResponse.Result
    INVALID_ID_FORMAT: RegisterPkResponse.Result
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    NOT_DEPLOYED: RegisterPkResponse.Result
    NOT_SUPPORT: RegisterPkResponse.Result
    OK: RegisterPkResponse.Result
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SERVER_ERROR: RegisterPkResponse.Result
    TOO_FREQUENT: RegisterPkResponse.Result
    UUID_MISMATCH: RegisterPkResponse.Result
    keep_alive: int
    result: RegisterPkResponse.Result
    def __init__(self, result: _Optional[_Union[RegisterPkResponse.Result, str]] = ..., keep_alive: _Optional[int] = ...) -> None: ...

class RelayResponse(_message.Message):
    __slots__ = ["feedback", "id", "pk", "refuse_reason", "relay_server", "socket_addr", "socket_addr_v6", "upnp_port", "uuid", "version"]
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PK_FIELD_NUMBER: _ClassVar[int]
    REFUSE_REASON_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_V6_FIELD_NUMBER: _ClassVar[int]
    UPNP_PORT_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    feedback: int
    id: bytes
    pk: bytes
    refuse_reason: bytes
    relay_server: bytes
    socket_addr: bytes
    socket_addr_v6: bytes
    upnp_port: int
    uuid: bytes
    version: bytes
    def __init__(self, socket_addr: _Optional[bytes] = ..., uuid: _Optional[bytes] = ..., relay_server: _Optional[bytes] = ..., id: _Optional[bytes] = ..., pk: _Optional[bytes] = ..., refuse_reason: _Optional[bytes] = ..., version: _Optional[bytes] = ..., feedback: _Optional[int] = ..., socket_addr_v6: _Optional[bytes] = ..., upnp_port: _Optional[int] = ...) -> None: ...

class RendezvousMessage(_message.Message):
    __slots__ = ["configure_update", "fetch_local_addr", "hc", "http_proxy_request", "http_proxy_response", "key_exchange", "local_addr", "online_request", "online_response", "peer_discovery", "punch_hole", "punch_hole_request", "punch_hole_response", "punch_hole_sent", "register_peer", "register_peer_response", "register_pk", "register_pk_response", "relay_response", "request_relay", "software_update", "test_nat_request", "test_nat_response"]
    CONFIGURE_UPDATE_FIELD_NUMBER: _ClassVar[int]
    FETCH_LOCAL_ADDR_FIELD_NUMBER: _ClassVar[int]
    HC_FIELD_NUMBER: _ClassVar[int]
    HTTP_PROXY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    HTTP_PROXY_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    KEY_EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ADDR_FIELD_NUMBER: _ClassVar[int]
    ONLINE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    ONLINE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    PEER_DISCOVERY_FIELD_NUMBER: _ClassVar[int]
    PUNCH_HOLE_FIELD_NUMBER: _ClassVar[int]
    PUNCH_HOLE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PUNCH_HOLE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    PUNCH_HOLE_SENT_FIELD_NUMBER: _ClassVar[int]
    REGISTER_PEER_FIELD_NUMBER: _ClassVar[int]
    REGISTER_PEER_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REGISTER_PK_FIELD_NUMBER: _ClassVar[int]
    REGISTER_PK_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    RELAY_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_RELAY_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_UPDATE_FIELD_NUMBER: _ClassVar[int]
    TEST_NAT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    TEST_NAT_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    configure_update: ConfigUpdate
    fetch_local_addr: FetchLocalAddr
    hc: HealthCheck
    http_proxy_request: HttpProxyRequest
    http_proxy_response: HttpProxyResponse
    key_exchange: KeyExchange
    local_addr: LocalAddr
    online_request: OnlineRequest
    online_response: OnlineResponse
    peer_discovery: PeerDiscovery
    punch_hole: PunchHole
    punch_hole_request: PunchHoleRequest
    punch_hole_response: PunchHoleResponse
    punch_hole_sent: PunchHoleSent
    register_peer: RegisterPeer
    register_peer_response: RegisterPeerResponse
    register_pk: RegisterPk
    register_pk_response: RegisterPkResponse
    relay_response: RelayResponse
    request_relay: RequestRelay
    software_update: SoftwareUpdate
    test_nat_request: TestNatRequest
    test_nat_response: TestNatResponse
    def __init__(self, register_peer: _Optional[_Union[RegisterPeer, _Mapping]] = ..., register_peer_response: _Optional[_Union[RegisterPeerResponse, _Mapping]] = ..., punch_hole_request: _Optional[_Union[PunchHoleRequest, _Mapping]] = ..., punch_hole: _Optional[_Union[PunchHole, _Mapping]] = ..., punch_hole_sent: _Optional[_Union[PunchHoleSent, _Mapping]] = ..., punch_hole_response: _Optional[_Union[PunchHoleResponse, _Mapping]] = ..., fetch_local_addr: _Optional[_Union[FetchLocalAddr, _Mapping]] = ..., local_addr: _Optional[_Union[LocalAddr, _Mapping]] = ..., configure_update: _Optional[_Union[ConfigUpdate, _Mapping]] = ..., register_pk: _Optional[_Union[RegisterPk, _Mapping]] = ..., register_pk_response: _Optional[_Union[RegisterPkResponse, _Mapping]] = ..., software_update: _Optional[_Union[SoftwareUpdate, _Mapping]] = ..., request_relay: _Optional[_Union[RequestRelay, _Mapping]] = ..., relay_response: _Optional[_Union[RelayResponse, _Mapping]] = ..., test_nat_request: _Optional[_Union[TestNatRequest, _Mapping]] = ..., test_nat_response: _Optional[_Union[TestNatResponse, _Mapping]] = ..., peer_discovery: _Optional[_Union[PeerDiscovery, _Mapping]] = ..., online_request: _Optional[_Union[OnlineRequest, _Mapping]] = ..., online_response: _Optional[_Union[OnlineResponse, _Mapping]] = ..., key_exchange: _Optional[_Union[KeyExchange, _Mapping]] = ..., hc: _Optional[_Union[HealthCheck, _Mapping]] = ..., http_proxy_request: _Optional[_Union[HttpProxyRequest, _Mapping]] = ..., http_proxy_response: _Optional[_Union[HttpProxyResponse, _Mapping]] = ...) -> None: ...

class RequestRelay(_message.Message):
    __slots__ = ["conn_type", "control_permissions", "controlled_context", "id", "licence_key", "relay_server", "secure", "socket_addr", "switch_code", "token", "uuid"]
    CONN_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONTROLLED_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CONTROL_PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LICENCE_KEY_FIELD_NUMBER: _ClassVar[int]
    RELAY_SERVER_FIELD_NUMBER: _ClassVar[int]
    SECURE_FIELD_NUMBER: _ClassVar[int]
    SOCKET_ADDR_FIELD_NUMBER: _ClassVar[int]
    SWITCH_CODE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    UUID_FIELD_NUMBER: _ClassVar[int]
    conn_type: ConnType
    control_permissions: ControlPermissions
    controlled_context: ControlledContext
    id: bytes
    licence_key: bytes
    relay_server: bytes
    secure: bool
    socket_addr: bytes
    switch_code: bytes
    token: bytes
    uuid: bytes
    def __init__(self, id: _Optional[bytes] = ..., uuid: _Optional[bytes] = ..., socket_addr: _Optional[bytes] = ..., relay_server: _Optional[bytes] = ..., secure: bool = ..., licence_key: _Optional[bytes] = ..., conn_type: _Optional[_Union[ConnType, str]] = ..., token: _Optional[bytes] = ..., control_permissions: _Optional[_Union[ControlPermissions, _Mapping]] = ..., controlled_context: _Optional[_Union[ControlledContext, _Mapping]] = ..., switch_code: _Optional[bytes] = ...) -> None: ...

class SoftwareUpdate(_message.Message):
    __slots__ = ["url"]
    URL_FIELD_NUMBER: _ClassVar[int]
    url: bytes
    def __init__(self, url: _Optional[bytes] = ...) -> None: ...

class TestNatRequest(_message.Message):
    __slots__ = ["serial"]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    serial: int
    def __init__(self, serial: _Optional[int] = ...) -> None: ...

class TestNatResponse(_message.Message):
    __slots__ = ["cu", "port"]
    CU_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    cu: ConfigUpdate
    port: int
    def __init__(self, port: _Optional[int] = ..., cu: _Optional[_Union[ConfigUpdate, _Mapping]] = ...) -> None: ...

class ConnType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class NatType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
