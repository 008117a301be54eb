"""A slow, plain second reader of captures: the oracle that the C core is held against.

    transactions(pcap_path) -> Iterator[tuple[flow tuple, Transaction]]

yields every HTTP/1 transaction of a capture, whatever any rule would ask for, with both bodies
whole (de-chunked, decompressed), in order of `end_ns` (ties: request_ns). The flow tuple has the
fields and order of sensor/_core.pyi FlowTuple; its `uid` is "" because only the core can make one.

How it reads, and where it differs from the core:
- The whole file is read first, then each TCP flow is assembled by sequence number (the first copy
  of a byte wins) with no limit of time or memory. A byte's time is that of the packet that made it
  deliverable, so times agree with the core's on captures without loss or reordering.
- A hole that never fills ends that direction: what comes after it is not read, and a message cut by
  it has the REQUEST_GAP or RESPONSE_GAP flag. The core resynchronises; compare captures with loss
  by other means.
- A PROXY protocol header is skipped. After CONNECT the tunnel is read on, TUNNELLED set.
- Heads have CRLF between the lines only; the core ends the last line with one too. `end_ns` of a
  request without response is the flow's last packet; the core's is when it gave up.
- NEW_TOKEN and the *_CUT flags are never set. No TLS, no HTTP/2: such flows yield nothing.
- IPv4 and IPv6 over Ethernet with any number of VLAN tags, or raw IP; no tunnels, no IP fragments.
"""

import base64
import hashlib
import ipaddress
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from scapy.utils import RawPcapReader

from decoders.message import Transaction, TransactionFlag

FlowTuple = tuple[int, str, int, str, int, int, str, str, str, int]
_ENVELOPES = {
    "{http://schemas.xmlsoap.org/soap/envelope/}",
    "{http://www.w3.org/2003/05/soap-envelope}",
}
_METHODS = (
    b"GET ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"HEAD ",
    b"OPTIONS ",
    b"PATCH ",
    b"CONNECT ",
    b"TRACE ",
)
_SYN, _ACK = 0x02, 0x10
_LINK_ETHERNET = 1


@dataclass
class _Stream:
    """One direction: its bytes from the first on, and when each stretch of them came."""

    base: int = -1  # sequence number of the first byte
    segments: list[tuple[int, int, bytes]] = field(default_factory=list)  # offset, time, payload
    data: bytes = b""
    arrivals: list[tuple[int, int]] = field(default_factory=list)  # (end offset, time), both rising
    holed: bool = False

    def add(self, sequence: int, payload: bytes, time_ns: int) -> None:
        if self.base < 0:
            self.base = sequence
        offset = (sequence - self.base) & 0xFFFFFFFF
        if offset >= 1 << 31:  # before the first byte we know of
            return
        self.segments.append((offset, time_ns, payload))

    def assemble(self) -> None:
        """Deliver in arrival order what is contiguous, as a receiver would."""
        data, waiting = bytearray(), dict[int, bytes]()
        for offset, time_ns, payload in self.segments:
            waiting.setdefault(offset, payload)
            before = len(data)
            moved = True
            while moved:
                moved = False
                for start in sorted(waiting):
                    if start > len(data):
                        break
                    data += waiting.pop(start)[len(data) - start :]
                    moved = True
            if len(data) > before:
                self.arrivals.append((len(data), time_ns))
        self.data, self.holed = bytes(data), bool(waiting)
        self.segments.clear()

    def time_at(self, offset: int) -> int:
        """When the byte at `offset` could be delivered."""
        low, high = 0, len(self.arrivals) - 1
        while low < high:
            middle = (low + high) // 2
            if self.arrivals[middle][0] > offset:
                high = middle
            else:
                low = middle + 1
        return self.arrivals[low][1] if self.arrivals else 0


@dataclass
class _Flow:
    client: tuple[str, int]
    server: tuple[str, int]
    vlan: int
    serial: int  # client's initial sequence number, to tell a reused 5-tuple apart
    to_server: _Stream = field(default_factory=_Stream)
    to_client: _Stream = field(default_factory=_Stream)
    last_ns: int = 0

    def as_tuple(self) -> FlowTuple:
        (client, client_port), (server, server_port) = self.client, self.server
        identity = _community_id(self.client, self.server)
        return (6, client, client_port, server, server_port, self.vlan, "", identity, "", 0)


@dataclass
class _Message:
    """A request or a response as framed."""

    start: str = ""
    head: bytes = b""
    body: bytes = b""
    first_ns: int = 0
    end_ns: int = 0
    gap: bool = False
    interim: bool = False
    tunnelled: bool = False

    def header(self, name: bytes) -> str:
        for line in self.head.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.strip().lower() == name:
                return value.strip().decode("latin-1")
        return ""


def transactions(pcap_path: str) -> Iterator[tuple[FlowTuple, Transaction]]:
    """Every HTTP/1 transaction of the capture in order of end_ns; see the module's docstring."""
    found: list[tuple[FlowTuple, Transaction]] = []
    for flow in flows_of(pcap_path):
        flow.to_server.assemble()
        flow.to_client.assemble()
        described = flow.as_tuple()
        found += [(described, transaction) for transaction in _pair(flow)]
    found.sort(key=lambda each: (each[1].end_ns, each[1].request_ns))
    yield from found


def flows_of(pcap_path: str) -> list[_Flow]:
    open_flows: dict[frozenset[tuple[str, int]], _Flow] = {}
    all_flows: list[_Flow] = []
    for time_ns, vlan, source, destination, segment in _segments(pcap_path):
        source_port, destination_port, sequence = struct.unpack_from("!HHI", segment)
        header_bytes, flags = (segment[12] >> 4) * 4, segment[13]
        ends = ((source, source_port), (destination, destination_port))
        key = frozenset(ends)
        flow = open_flows.get(key)
        opening = flags & _SYN and not flags & _ACK
        if flow is None or (opening and flow.serial != sequence):
            flow = _new_flow(ends, vlan, flags, sequence)
            open_flows[key] = flow
            all_flows.append(flow)
        flow.last_ns = time_ns
        stream = flow.to_server if ends[0] == flow.client else flow.to_client
        if flags & _SYN:
            stream.base = (sequence + 1) & 0xFFFFFFFF
            sequence += 1
        if len(segment) > header_bytes:
            stream.add(sequence, segment[header_bytes:], time_ns)
    return all_flows


def _new_flow(
    ends: tuple[tuple[str, int], tuple[str, int]], vlan: int, flags: int, sequence: int
) -> _Flow:
    source, destination = ends
    from_client = not flags & _ACK if flags & _SYN else source[1] >= destination[1]
    client, server = (source, destination) if from_client else (destination, source)
    return _Flow(client, server, vlan, sequence if flags & _SYN else -1)


def _segments(pcap_path: str) -> Iterator[tuple[int, int, str, str, bytes]]:
    """(time_ns, vlan or -1, source, destination, TCP header and payload) of every TCP packet."""
    reader: Any = RawPcapReader(pcap_path)
    nano = getattr(reader, "nano", False)
    for frame, meta in reader:
        if hasattr(meta, "tshigh"):
            time_ns = ((meta.tshigh << 32) + meta.tslow) * 1_000_000_000 // meta.tsresol
        else:
            time_ns = meta.sec * 1_000_000_000 + meta.usec * (1 if nano else 1000)
        vlan, at, kind = -1, 0, 0x0800
        link = getattr(meta, "linktype", None) or reader.linktype
        if link == _LINK_ETHERNET:
            kind, at = struct.unpack_from("!H", frame, 12)[0], 14
            while kind in (0x8100, 0x88A8):
                vlan = struct.unpack_from("!H", frame, at)[0] & 0xFFF
                kind, at = struct.unpack_from("!H", frame, at + 2)[0], at + 4
        elif frame[0] >> 4 == 6:
            kind = 0x86DD
        if kind == 0x0800 and frame[at + 9] == 6:
            start = at + (frame[at] & 15) * 4
            end = at + struct.unpack_from("!H", frame, at + 2)[0]
            yield time_ns, vlan, *_addresses(frame[at + 12 : at + 20]), frame[start:end]
        elif kind == 0x86DD and frame[at + 6] == 6:
            end = at + 40 + struct.unpack_from("!H", frame, at + 4)[0]
            yield time_ns, vlan, *_addresses(frame[at + 8 : at + 40]), frame[at + 40 : end]
    reader.close()


def _addresses(pair: bytes) -> tuple[str, str]:
    half = len(pair) // 2
    return str(ipaddress.ip_address(pair[:half])), str(ipaddress.ip_address(pair[half:]))


def _community_id(client: tuple[str, int], server: tuple[str, int]) -> str:
    """Version 1, seed 0, https://github.com/corelight/community-id-spec"""
    one, two = sorted((ipaddress.ip_address(host).packed, port) for host, port in (client, server))
    packed = b"\0\0" + one[0] + two[0] + b"\x06\0" + struct.pack("!HH", one[1], two[1])
    return "1:" + base64.b64encode(hashlib.sha1(packed).digest()).decode()


def _pair(flow: _Flow) -> Iterator[Transaction]:
    responses = _responses(flow, requests := list(_requests(flow)))
    for request in requests:
        yield _transaction(flow, request, next(responses, None))


def _transaction(flow: _Flow, request: _Message, response: _Message | None) -> Transaction:
    method, target, _ = (request.start + "  ").split(" ", 2)
    operation, this_type, this_id, operation_id = _soap(request.body)
    flags = TransactionFlag.REQUEST_GAP if request.gap else 0
    flags |= TransactionFlag.TUNNELLED if request.tunnelled else 0
    if response is None:
        flags |= TransactionFlag.NO_RESPONSE
        response = _Message(end_ns=flow.last_ns)
    flags |= TransactionFlag.RESPONSE_GAP if response.gap else 0
    flags |= TransactionFlag.INTERIM if response.interim else 0
    return Transaction(
        request.first_ns,
        response.first_ns,
        response.end_ns,
        method,
        target.strip(),
        _status(response),
        request.head,
        response.head,
        request.body,
        response.body,
        operation,
        this_type,
        this_id,
        operation_id,
        flags,
    )


def _status(response: _Message) -> int:
    return int(response.start.split(" ")[1]) if response.start else 0


def _requests(flow: _Flow) -> Iterator[_Message]:
    stream, at, tunnelled = flow.to_server, 0, False
    if stream.data.startswith(b"PROXY ") or stream.data.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
        at = _proxy_header_bytes(stream.data)
    while stream.data[at:].startswith(_METHODS):
        message, at = _message(stream, at, with_body=True)
        message.tunnelled = tunnelled
        yield message
        tunnelled = tunnelled or message.start.startswith("CONNECT ")


def _proxy_header_bytes(data: bytes) -> int:
    if data.startswith(b"PROXY "):
        return data.find(b"\r\n") + 2
    return 16 + int(struct.unpack_from("!H", data, 14)[0])


def _responses(flow: _Flow, requests: list[_Message]) -> Iterator[_Message]:
    stream, at = flow.to_client, 0
    for request in requests:
        interim = False
        while True:
            if not stream.data[at:].startswith(b"HTTP/"):
                return
            method = request.start.split(" ")[0]
            message, at = _message(stream, at, with_body=method not in ("HEAD", "CONNECT"))
            if 100 <= _status(message) < 200:
                interim = True
                continue
            message.interim = interim
            yield message
            break


def _message(stream: _Stream, at: int, with_body: bool) -> tuple[_Message, int]:
    """The message that starts at `at`, and where the next one starts."""
    message = _Message(first_ns=stream.time_at(at))
    end = stream.data.find(b"\r\n\r\n", at)
    if end < 0:
        message.gap, end = True, len(stream.data)
    start, _, message.head = stream.data[at:end].partition(b"\r\n")
    message.start = start.decode("latin-1")
    body_at = min(end + 4, len(stream.data))
    status = _status(message) if message.start.startswith("HTTP/") else None
    if with_body and not (status is not None and (status < 200 or status in (204, 304))):
        body_at = _read_body(stream, message, body_at, is_response=status is not None)
    message.end_ns = stream.time_at(max(at, body_at - 1))
    return message, body_at


def _read_body(stream: _Stream, message: _Message, at: int, is_response: bool) -> int:
    if "chunked" in message.header(b"transfer-encoding").lower():
        at = _read_chunks(stream, message, at)
    else:
        length = message.header(b"content-length")
        wanted = int(length) if length else (len(stream.data) - at if is_response else 0)
        message.body = stream.data[at : at + wanted]
        message.gap = message.gap or len(message.body) < wanted
        at += len(message.body)
    encoding = message.header(b"content-encoding").lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        message.body = _unpacked(message.body)
    return at


def _unpacked(body: bytes) -> bytes:
    """gzip, zlib, or the bare deflate that some send in its name."""
    try:
        return zlib.decompressobj(47).decompress(body)
    except zlib.error:
        return zlib.decompressobj(-15).decompress(body)


def _read_chunks(stream: _Stream, message: _Message, at: int) -> int:
    parts = []
    while True:
        line_end = stream.data.find(b"\r\n", at)
        if line_end < 0:
            message.gap = True
            break
        size = int(stream.data[at:line_end].split(b";")[0], 16)
        at = line_end + 2
        if size == 0:
            trailer_end = stream.data.find(b"\r\n", at)
            while trailer_end > at:  # trailer fields
                at, trailer_end = trailer_end + 2, stream.data.find(b"\r\n", trailer_end + 2)
            at = trailer_end + 2
            break
        parts.append(stream.data[at : at + size])
        at += size + 2
    message.body = b"".join(parts)
    return min(at, len(stream.data))


def _soap(body: bytes) -> tuple[str, str, str, str]:
    """(operation, type of _this, _this, operationID) of a SOAP request; four times "" otherwise."""
    try:
        envelope = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError):
        return "", "", "", ""
    name = envelope.tag.partition("}")
    if name[2] != "Envelope" or name[0] + "}" not in _ENVELOPES:
        return "", "", "", ""
    operation = this_type = this_id = operation_id = ""
    for part in envelope:
        if part.tag.endswith("}Header"):
            for entry in part:
                if _local(entry.tag) == "operationID":
                    operation_id = entry.text or ""
        elif part.tag.endswith("}Body") and len(part):
            operation = _local(part[0].tag)
            for argument in part[0]:
                if _local(argument.tag) == "_this":
                    this_type, this_id = argument.get("type", ""), argument.text or ""
    return operation, this_type, this_id, operation_id


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
