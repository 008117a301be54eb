"""Captures made from requests and responses: a conversation is one TCP flow, in order and whole."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from tests.impair import Packet

START_NS = 1_790_000_000_000_000_000
STEP_NS = 1_000_000  # between two packets
SEGMENT_BYTES = 1448
SYN, ACK, FIN = 0x02, 0x10, 0x01


@dataclass(slots=True)
class Conversation:
    """A TCP flow; `say` and `answer` add what the client and the server send."""

    client: str
    client_port: int
    server: str
    server_port: int = 80
    parts: list[tuple[bool, bytes]] = field(default_factory=list)  # (from the client, bytes)

    def say(self, content: bytes) -> None:
        self.parts.append((True, content))

    def answer(self, content: bytes) -> None:
        self.parts.append((False, content))

    def packets(self, start_ns: int = START_NS) -> list[Packet]:
        ends = [
            (IPv4Address(self.server), self.server_port),
            (IPv4Address(self.client), self.client_port),
        ]
        sequence = [7000, 1000]  # of the server, of the client
        packets: list[Packet] = []

        def send(by_client: bool, flags: int, payload: bytes = b"") -> None:
            (source, source_port), (target, target_port) = ends[by_client], ends[not by_client]
            acknowledged = sequence[not by_client] if flags & ACK else 0
            tcp = struct.pack(
                ">HHIIBBHHH",
                source_port,
                target_port,
                sequence[by_client],
                acknowledged,
                0x50,
                flags,
                512,
                0,
                0,
            )
            ip = struct.pack(
                ">BBHHHBBH4s4s",
                0x45,
                0,
                40 + len(payload),
                0,
                0x4000,
                64,
                6,
                0,
                source.packed,
                target.packed,
            )
            frame = bytes(12) + b"\x08\x00" + ip + tcp + payload
            packets.append(Packet(start_ns + len(packets) * STEP_NS, frame, len(frame)))
            sequence[by_client] += len(payload) + bool(flags & (SYN | FIN))

        send(True, SYN)
        send(False, SYN | ACK)
        send(True, ACK)
        for by_client, content in self.parts:
            for at in range(0, len(content), SEGMENT_BYTES):
                send(by_client, ACK, content[at : at + SEGMENT_BYTES])
        send(True, FIN | ACK)
        send(False, FIN | ACK)
        send(True, ACK)
        return packets


def request(
    method: str,
    target: str,
    headers: Iterable[str] = (),
    body: bytes = b"",
    host: str = "vc.example.test",
) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def response(status: int, headers: Iterable[str] = (), body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def one_after_another(conversations: Sequence[Conversation]) -> list[Packet]:
    packets: list[Packet] = []
    for conversation in conversations:
        start_ns = packets[-1].time_ns + STEP_NS if packets else START_NS
        packets += conversation.packets(start_ns)
    return packets
