"""Framed messages as the core hands them up, and a flow of them told to a decoder."""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from decoders.decoder import StreamDecoder
from decoders.message import (
    DecodeError,
    Direction,
    Framed,
    FramedFlag,
    Framing,
    Message,
)

START_NS = 1_795_000_000 * 10**9
STEP_NS = 1_000  # between messages
C, S = Direction.TO_SERVER, Direction.TO_CLIENT
SESSION = "flow:C1"
BANNER = "220 VMware Authentication Daemon Version 1.10: SSL Required, ServerDaemonProtocol:SOAP, "
ESX = BANNER + "MKSDisplayProtocol:VNC , VMXARGS supported, NFCSSL supported/t, SHA256 supported"
PLAIN = "220 VMware Authentication Daemon Version 1.0, ServerDaemonProtocol:SOAP, , ,"
TICKET = "52907082-809b-4e7a-98fd-2fff98c84771"
VMX = "/vmfs/volumes/5f3c2a1b-9d8e7f60/web 01/web01.vmx"


class Said(NamedTuple):
    direction: Direction
    framed: Framed


class Sealed(NamedTuple):
    """A TLS handshake; `is_open`: it can be read."""

    tls_session: int
    is_open: bool
    after_ns: int = 0


class Lost(NamedTuple):
    direction: Direction
    size_bytes: int


Step = Said | Sealed | Lost


def line(direction: Direction, text: str, flags: int = 0) -> Said:
    data = text.encode()
    return Said(direction, Framed(Framing.AUTHD, flags, 0, len(data) + 2, 0, data))


def secret(verb: str = "PASS") -> Said:
    """As the core blanks it: the argument is left out."""
    return Said(C, Framed(Framing.AUTHD, FramedFlag.BLANKED, 0, 16, 0, verb.encode()))


def classic(direction: Direction, number: int, fields: bytes = b"", rest: bytes = b"") -> Said:
    data = (struct.pack("<I", number) + fields).ljust(264, b"\0") + rest
    return Said(direction, Framed(Framing.NFC, 0, 0, len(data), 0, data))


def aio(
    direction: Direction, number: int, operation_id: int, payload: bytes = b"", rest: bytes = b""
) -> Said:
    head = struct.pack("<IIII", 0xA100DA7A, number, len(payload), operation_id)
    data = head + payload + rest
    return Said(direction, Framed(Framing.NFC_AIO, 0, 0, len(data), 0, data))


def bulk(direction: Direction, size_bytes: int, framing: Framing = Framing.NFC_AIO) -> Said:
    return Said(direction, Framed(framing, FramedFlag.BULK, 0, size_bytes, 0, b""))


def open_file(operation_id: int, path: str, flags: int, file_type: int = 2) -> Said:
    name = path.encode()
    payload = struct.pack("<I12xII", len(name), file_type, flags).ljust(60, b"\0")
    return aio(C, 4, operation_id, payload, name)


def opened_file(operation_id: int, handle: int) -> Said:
    return aio(S, 4, operation_id, struct.pack("<8xQ", handle).ljust(60, b"\0"))


def close_file(operation_id: int, handle: int) -> list[Step]:
    payload = struct.pack("<Q", handle)
    return [aio(C, 5, operation_id, payload), aio(S, 5, operation_id, bytes(8))]


def tell(
    decoder: StreamDecoder, steps: Iterable[Step], totals: tuple[int, int] = (0, 0)
) -> list[Message]:
    """Everything that the decoder says; each step one time step after the one before."""
    said: list[Message] = []
    time_ns = START_NS
    for step in steps:
        time_ns += STEP_NS
        match step:
            case Said(direction, framed):
                said += decoder.message(direction, framed._replace(start_ns=time_ns), time_ns)
            case Sealed(tls_session, is_open, after_ns):
                time_ns += after_ns
                said += decoder.tls(tls_session, is_open, time_ns)
            case Lost(direction, size_bytes):
                said += decoder.gap(direction, size_bytes, time_ns)
    return said + decoder.close(time_ns + STEP_NS, *totals)


def at(step: int) -> int:
    """Time of the step with this number, from 1."""
    return START_NS + step * STEP_NS


def only_decode_errors(decoder: StreamDecoder, steps: Iterable[Step]) -> str:
    """What it says of broken input, as text; any other exception is a bug."""
    try:
        return repr(tell(decoder, steps))
    except DecodeError:
        return ""
