"""The fixed headers of VIX messages (open-vm-tools, vixCommands.h): packed, little endian."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from decoders.message import DecodeError

_COMMON = struct.Struct("<IHIIIIB")
_REQUEST = struct.Struct("<IIIQII")
_RESPONSE = struct.Struct("<QIIIII")
_MAGIC, _VERSION = 0xD00D0001, 5
HEADER_BYTES = 51  # of a request and of a response
MESSAGE_BYTES_MAX = 16 << 20


class CommonFlag(IntEnum):
    REQUEST = 0x01
    EVENT = 0x02
    FORWARD_TO_GUEST = 0x04


REQUIRES_INTERACTIVE = 0x008  # of requestFlags


@dataclass(frozen=True, slots=True)
class VixRequest:
    flags: int  # CommonFlag
    opcode: int
    request_flags: int
    cookie: int
    handle: int  # the client's, of a VM or host
    credential_type: int
    body: bytes = field(repr=False)
    credential: bytes = field(repr=False)  # what follows the body; cut like the message


@dataclass(frozen=True, slots=True)
class VixResponse:
    cookie: int
    error: int
    additional_error: int
    is_event: bool
    body: bytes = field(repr=False)


def parse(data: bytes, is_cut: bool) -> VixRequest | VixResponse:
    """Raises DecodeError where VixMsg_ValidateMessage and its sisters refuse."""
    if len(data) < HEADER_BYTES:
        raise DecodeError("VIX message shorter than its header")
    magic, version, total, header, body, credential, flags = _COMMON.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise DecodeError("no VIX message")
    if header < HEADER_BYTES or total > MESSAGE_BYTES_MAX or header > total:
        raise DecodeError("VIX message with a wrong length")
    if body > total - header or credential > total - header - body:
        raise DecodeError("VIX message with a wrong length")
    if not is_cut and len(data) < total:
        raise DecodeError("VIX message shorter than it says")
    body_end = header + body
    if not flags & CommonFlag.REQUEST:
        cookie, _, _, error, additional, _ = _RESPONSE.unpack_from(data, _COMMON.size)
        is_event = bool(flags & CommonFlag.EVENT)
        return VixResponse(cookie, error, additional, is_event, data[header:body_end])
    opcode, request_flags, _, cookie, handle, kind = _REQUEST.unpack_from(data, _COMMON.size)
    return VixRequest(
        flags,
        opcode,
        request_flags,
        cookie,
        handle,
        kind,
        data[header:body_end],
        data[body_end : body_end + credential],
    )
