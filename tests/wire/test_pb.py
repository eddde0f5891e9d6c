"""Tests for :mod:`rdserver.wire.pb` and the schema behind it."""

from __future__ import annotations

import random
import struct

from twisted.trial.unittest import SynchronousTestCase

from rdserver.errors import ProtocolError
from rdserver.wire import pb, rendezvous_pb2
from tests.vectors import VECTORS, message

NAMELESS_GROUP = b"\xa3\x06"  # start of a group numbered 100, which nobody knows
NAMELESS_GROUP_END = b"\xa4\x06"


def varint(value: int) -> bytes:
    """Encode as protobuf does."""
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


# protocol.md section 2.2, and of section 2.3 the numbers of all fields whose type
# is string (a pair names a field inside another).
STRING_FIELDS: dict[int, tuple[str, list[int | tuple[int, int]]]] = {
    6: ("register_peer", [1]),
    8: ("punch_hole_request", [1, 3, 5, 6, 11]),
    9: ("punch_hole", [2, (9, 1)]),
    10: ("punch_hole_sent", [2, 3, 5]),
    11: ("punch_hole_response", [4, 7]),
    12: ("fetch_local_addr", [2, (5, 1)]),
    13: ("local_addr", [3, 4, 5]),
    14: ("configure_update", [2]),
    15: ("register_pk", [1, 4]),
    17: ("software_update", [1]),
    18: ("request_relay", [1, 2, 4, 6, 8, 11, (10, 1)]),
    19: ("relay_response", [2, 3, 4, 6, 7]),
    21: ("test_nat_response", [(2, 2)]),
    22: ("peer_discovery", [1, 2, 3, 4, 5, 6, 7]),
    23: ("online_request", [1, 2]),
    26: ("hc", [1]),
    27: ("http_proxy_request", [1, 2, (3, 1), (3, 2)]),
    28: ("http_proxy_response", [4, (2, 1), (2, 2)]),
}

# The bytes fields of the same section: any content is fine.
BYTES_FIELDS: dict[int, tuple[str, list[int]]] = {
    8: ("punch_hole_request", [10]),
    9: ("punch_hole", [1, 7]),
    10: ("punch_hole_sent", [1, 7]),
    11: ("punch_hole_response", [1, 2, 11]),
    12: ("fetch_local_addr", [1, 3]),
    13: ("local_addr", [1, 2, 6]),
    15: ("register_pk", [2, 3]),
    18: ("request_relay", [3]),
    19: ("relay_response", [1, 5, 10]),
    24: ("online_response", [1]),
    25: ("key_exchange", [1]),
    27: ("http_proxy_request", [4]),
    28: ("http_proxy_response", [3]),
}


# Samples by the beginning of their description, built from their fields.
BUILT = {
    "RegisterPeer{": pb.RendezvousMessage(
        register_peer=pb.RegisterPeer(id=b"123456789", serial=3)
    ),
    "RegisterPeerResponse{request_pk true}": pb.RendezvousMessage(
        register_peer_response=pb.RegisterPeerResponse(request_pk=True)
    ),
    "RegisterPk{": pb.RendezvousMessage(
        register_pk=pb.RegisterPk(id=b"123456789", uuid=b"uuid-0001", pk=b"\x01\x02\x03")
    ),
    "RegisterPkResponse{OK}": pb.RendezvousMessage(
        register_pk_response=pb.RegisterPkResponse(result=pb.RegisterPkResponse.OK)
    ),
    "RegisterPkResponse{OK, keep_alive": pb.RendezvousMessage(
        register_pk_response=pb.RegisterPkResponse(keep_alive=60)
    ),
    "PunchHoleRequest{": pb.RendezvousMessage(
        punch_hole_request=pb.PunchHoleRequest(
            id=b"123456789",
            nat_type=pb.ASYMMETRIC,
            licence_key=b"k",
            version=b"1.4.9",
            udp_port=40000,
            force_relay=True,
        )
    ),
    "PunchHole{": pb.RendezvousMessage(
        punch_hole=pb.PunchHole(
            socket_addr=b"\x7c\x52",
            relay_server=b"r",
            nat_type=pb.SYMMETRIC,
            udp_port=40000,
            force_relay=True,
        )
    ),
    "PunchHoleResponse ID_NOT_EXIST": pb.RendezvousMessage(
        punch_hole_response=pb.PunchHoleResponse(failure=pb.PunchHoleResponse.ID_NOT_EXIST)
    ),
    'PunchHoleResponse{other_failure "no"}': pb.RendezvousMessage(
        punch_hole_response=pb.PunchHoleResponse(other_failure=b"no")
    ),
    'PunchHoleResponse{socket_addr "a", is_local': pb.RendezvousMessage(
        punch_hole_response=pb.PunchHoleResponse(socket_addr=b"a", is_local=True)
    ),
    'PunchHoleResponse{socket_addr "a", nat_type': pb.RendezvousMessage(
        punch_hole_response=pb.PunchHoleResponse(socket_addr=b"a", nat_type=pb.UNKNOWN_NAT)
    ),
    "RequestRelay{": pb.RendezvousMessage(
        request_relay=pb.RequestRelay(
            id=b"123456789", uuid=b"u", relay_server=b"r", secure=True
        )
    ),
    'RelayResponse{uuid "u"': pb.RendezvousMessage(
        relay_response=pb.RelayResponse(
            uuid=b"u", relay_server=b"r", id=b"123456789", version=b"1.4.9"
        )
    ),
    "RelayResponse{refuse_reason": pb.RendezvousMessage(
        relay_response=pb.RelayResponse(refuse_reason=b"x")
    ),
    "TestNatResponse{port 40000}": pb.RendezvousMessage(
        test_nat_response=pb.TestNatResponse(port=40000)
    ),
    "TestNatResponse{port 40000, cu": pb.RendezvousMessage(
        test_nat_response=pb.TestNatResponse(
            port=40000, cu=pb.ConfigUpdate(serial=5, rendezvous_servers=[b"a.b"])
        )
    ),
    "OnlineRequest{": pb.RendezvousMessage(
        online_request=pb.OnlineRequest(id=b"me", peers=[b"111111111", b"222222222"])
    ),
    "OnlineResponse{": pb.RendezvousMessage(
        online_response=pb.OnlineResponse(states=b"\x80")
    ),
    "HealthCheck{": pb.RendezvousMessage(hc=pb.HealthCheck(token=b"tok")),
    "HttpProxyResponse{": pb.RendezvousMessage(
        http_proxy_response=pb.HttpProxyResponse(status=200, body=b"{}")
    ),
    "SoftwareUpdate{": pb.RendezvousMessage(
        software_update=pb.SoftwareUpdate(url=b"1.1.9")
    ),
}


class SampleTests(SynchronousTestCase):
    """The sample encodings of section 2.6."""

    def test_reencode(self) -> None:
        """Every sample parses, and encodes to the same bytes again."""
        self.assertEqual(23, len(VECTORS["messages"]))
        for name, encoded in VECTORS["messages"].items():
            self.assertEqual(
                encoded, pb.encode(pb.decode(bytes.fromhex(encoded))).hex(), name
            )

    def test_built_from_fields(self) -> None:
        """Messages built from the listed values encode to the listed bytes."""
        for name, built in BUILT.items():
            self.assertEqual(message(name).hex(), pb.encode(built).hex(), name)

    def test_results_and_failures(self) -> None:
        """Every result and failure has the number of section 2.4."""
        results = {
            "OK": "820100",
            "UUID_MISMATCH": "8201020802",
            "ID_EXISTS": "8201020803",
            "TOO_FREQUENT": "8201020804",
            "INVALID_ID_FORMAT": "8201020805",
            "NOT_SUPPORT": "8201020806",
            "SERVER_ERROR": "8201020807",
            "NOT_DEPLOYED": "8201020808",
        }
        for name, expected in results.items():
            response = pb.RegisterPkResponse(
                result=pb.RegisterPkResponse.Result.Value(name)
            )
            encoded = pb.encode(pb.RendezvousMessage(register_pk_response=response))
            self.assertEqual(expected, encoded.hex(), name)
        failures = {
            "ID_NOT_EXIST": "5a00",
            "OFFLINE": "5a021802",
            "LICENSE_MISMATCH": "5a021803",
            "LICENSE_OVERUSE": "5a021804",
        }
        for name, expected in failures.items():
            refusal = pb.PunchHoleResponse(failure=pb.PunchHoleResponse.Failure.Value(name))
            encoded = pb.encode(pb.RendezvousMessage(punch_hole_response=refusal))
            self.assertEqual(expected, encoded.hex(), name)

    def test_nat_test(self) -> None:
        """A NAT test without and with a serial."""
        for serial, expected in [(0, "a20100"), (3, "a201020803")]:
            request = pb.TestNatRequest(serial=serial)
            encoded = pb.encode(pb.RendezvousMessage(test_nat_request=request))
            self.assertEqual(expected, encoded.hex())

    def test_negative_number(self) -> None:
        """A negative number takes ten bytes."""
        request = pb.RendezvousMessage(test_nat_request=pb.TestNatRequest(serial=-1))
        self.assertEqual("a2010b08" + "ff" * 9 + "01", pb.encode(request).hex())
        self.assertEqual(-1, pb.decode(pb.encode(request)).test_nat_request.serial)


class EnumTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """The enumerations have exactly the values of section 2.4."""
        table = {
            rendezvous_pb2.ConnType: "DEFAULT_CONN FILE_TRANSFER PORT_FORWARD RDP "
            "VIEW_CAMERA TERMINAL",
            rendezvous_pb2.NatType: "UNKNOWN_NAT ASYMMETRIC SYMMETRIC",
            pb.ControlPermissions.Permission: "keyboard remote_printer clipboard file "
            "audio camera terminal tunnel restart recording block_input remote_modify "
            "privacy_mode",
        }
        for enum, names in table.items():
            expected = [(name, number) for number, name in enumerate(names.split())]
            self.assertEqual(expected, list(enum.items()))

    def test_unknown_number_is_kept(self) -> None:
        """An enum number that we do not know is carried, not refused."""
        request = pb.decode(field(8, b"\x10\x63"))
        self.assertEqual(99, request.punch_hole_request.nat_type)


class DecodeTests(SynchronousTestCase):
    def refused(self, data: bytes) -> None:
        self.assertRaises(ProtocolError, pb.decode, data)

    def test_empty(self) -> None:
        """A message without a member says nothing, so it is refused."""
        self.refused(b"")

    def test_unknown_member(self) -> None:
        """A member that we do not know is as good as none."""
        self.refused(field(5, b"x"))
        self.refused(field(99, b""))

    def test_unknown_fields(self) -> None:
        """Unknown fields beside known ones are skipped, at both levels."""
        data = field(99, b"?") + field(6, field(1, b"123456789") + field(77, b"?"))
        self.assertEqual(b"123456789", pb.decode(data).register_peer.id)

    def test_last_member_wins(self) -> None:
        """Of several members the last one counts."""
        data = message("RegisterPeer{") + message("SoftwareUpdate{")
        self.assertEqual("software_update", pb.decode(data).WhichOneof("union"))

    def test_wrong_wire_type(self) -> None:
        """A known number with another type of content is an unknown field."""
        self.refused(varint(6 << 3) + b"\x05")
        data = field(6, field(1, b"123456789") + varint(2 << 3 | 5) + struct.pack("<I", 7))
        self.assertEqual(0, pb.decode(data).register_peer.serial)

    def test_truncated(self) -> None:
        """A sample cut short is refused or, cut at a field's end, has fewer fields."""
        for name, encoded in VECTORS["messages"].items():
            data = bytes.fromhex(encoded)
            for end in range(len(data)):
                # The outermost field's length no longer fits.
                self.assertRaises(ProtocolError, pb.decode, data[:end])
            self.assertIsNotNone(pb.decode(data).WhichOneof("union"), name)

    def test_trailing_garbage(self) -> None:
        """Bytes behind a message that are no field spoil it."""
        good = message("RegisterPeer{")
        for garbage in (b"\xff", b"\x0c\xff\xff", b"\x00\x01\x02", b"\x3a\x7f"):
            self.refused(good + garbage)

    def test_nested_groups(self) -> None:
        """Deeply nested groups are refused, closed or not; the stack survives."""
        good = b"\xa2\x01\x00"
        self.refused(good + NAMELESS_GROUP * 300_000)
        self.refused(good + NAMELESS_GROUP * 300_000 + NAMELESS_GROUP_END * 300_000)
        self.refused(good + NAMELESS_GROUP * 101 + NAMELESS_GROUP_END * 101)
        self.refused(field(20, NAMELESS_GROUP * 300_000))

    def test_shallow_groups(self) -> None:
        """A few unknown groups are unknown fields like any other."""
        data = b"\xa2\x01\x00" + NAMELESS_GROUP * 20 + NAMELESS_GROUP_END * 20
        self.assertEqual("test_nat_request", pb.decode(data).WhichOneof("union"))

    def test_random_bytes(self) -> None:
        """Garbage gives a message or ProtocolError, nothing else."""
        rng = random.Random(39)
        for _ in range(20_000):
            self.decoded_or_refused(rng.randbytes(rng.randrange(60)))

    def test_damaged_samples(self) -> None:
        """So does a sample with a few wrong bytes, which comes much further."""
        rng = random.Random(40)
        samples = [bytes.fromhex(text) for text in VECTORS["messages"].values()]
        understood = 0
        for _ in range(20_000):
            data = bytearray(rng.choice(samples))
            for _ in range(rng.randrange(1, 4)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            understood += self.decoded_or_refused(bytes(data))
        self.assertGreater(understood, 1000)

    def decoded_or_refused(self, data: bytes) -> bool:
        try:
            pb.encode(pb.decode(data))
        except ProtocolError:
            return False
        return True


class TextTests(SynchronousTestCase):
    def test_text_must_be_utf8(self) -> None:
        """Bad UTF-8 in any string field of section 2.3 spoils the message."""
        for member, (name, fields) in STRING_FIELDS.items():
            for numbers in fields:
                self.assertRaises(
                    ProtocolError, pb.decode, self.nested(member, numbers, b"a\xff")
                )
                decoded = pb.decode(self.nested(member, numbers, "Gerät".encode()))
                self.assertEqual(name, decoded.WhichOneof("union"))

    def nested(self, member: int, numbers: int | tuple[int, int], content: bytes) -> bytes:
        if isinstance(numbers, int):
            return field(member, field(numbers, content))
        outer, inner = numbers
        return field(member, field(outer, field(inner, content)))

    def test_second_of_several(self) -> None:
        """Each of a repeated field's texts is checked."""
        self.assertRaises(
            ProtocolError, pb.decode, field(23, field(2, b"a") + field(2, b"\xff"))
        )

    def test_bytes_may_be_anything(self) -> None:
        """Bytes fields carry what they like."""
        for member, (name, numbers) in BYTES_FIELDS.items():
            for number in numbers:
                decoded = pb.decode(field(member, field(number, b"\x00\xff")))
                self.assertEqual(name, decoded.WhichOneof("union"))

    def test_all_members_are_judged(self) -> None:
        """No member of the union was forgotten in the two tables above."""
        without = {"register_peer_response", "register_pk_response", "test_nat_request"}
        named = {name for name, _ in (*STRING_FIELDS.values(), *BYTES_FIELDS.values())}
        union = pb.RendezvousMessage.DESCRIPTOR.oneofs_by_name["union"]
        self.assertEqual(named | without, {member.name for member in union.fields})

    def test_text(self) -> None:
        """A decoded text field becomes text."""
        decoded = pb.decode(field(6, field(1, "Gerät".encode())))
        self.assertEqual("Gerät", pb.text(decoded.register_peer.id))
