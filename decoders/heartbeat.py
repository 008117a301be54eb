"""A hypervisor's heartbeat to its vCenter, UDP 902 (PROTOCOLS section 4).

Reverse engineered, not published: the magic and the signature are passed over, so all else has to
fit. Old hosts send 66 bytes, current ones 334.
"""

import ipaddress
from struct import Struct

from decoders.message import DecodeError, HostBeat, Message

PORT = 902
DATAGRAM_BYTES_MAX = 1472  # one packet of an Ethernet; 334 are seen
_HEAD = Struct("<4xIIB")  # magic, build, server id, length of the key
_COUNTS = Struct("<iiiIB")  # change, spec and bundle generation; counter; length of the address
_ADDRESS_CHARS = (7, 15)
_EARLY = Struct("<I")


class Heartbeat:
    name = "heartbeat"

    def datagram(self, payload: bytes, time_ns: int) -> list[Message]:
        if not _HEAD.size < len(payload) <= DATAGRAM_BYTES_MAX:
            raise DecodeError("no heartbeat's length")
        build, _server_id, key_length = _HEAD.unpack_from(payload)
        at = _HEAD.size
        host_key = _ascii(payload, at, key_length)
        at += key_length
        if len(payload) - at < _COUNTS.size:
            raise DecodeError("cut before the counter")
        change, _spec, _bundle, counter, address_length = _COUNTS.unpack_from(payload, at)
        # Senders other than ESXi have it a byte early, and equal to the change generation.
        (early,) = _EARLY.unpack_from(payload, at + 11)
        if early and early == change & 0xFFFFFFFF:
            counter = early
        low, high = _ADDRESS_CHARS
        if not low <= address_length <= high:
            raise DecodeError("no IPv4 address has this length")
        address = _ascii(payload, at + _COUNTS.size, address_length)
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            raise DecodeError("no IPv4 address") from None
        return [
            HostBeat(
                time_ns=time_ns,
                end_ns=time_ns,
                host_key=host_key,
                address=address,
                build=build,
                counter=counter,
            )
        ]


def _ascii(payload: bytes, at: int, length: int) -> str:
    if not length or length > len(payload) - at:
        raise DecodeError("a text of no length, or beyond the end")
    text = payload[at : at + length]
    if not text.isascii() or not text.decode("ascii").isprintable():
        raise DecodeError("a text that is none")
    return text.decode("ascii")
