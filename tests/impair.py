"""Captures as span ports deliver them: reordered, repeated, cut, doubled, in other containers.

Pure functions over packets; every random choice comes from a seed.
"""

import ctypes
import ctypes.util
import functools
import gzip
import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

LINKTYPE_ETHERNET = 1
ETHERTYPE_IPV4 = 0x0800
PROTOCOL_TCP = 6
SNAP_BYTES = 262144  # tcpdump's default
ETHERNET_BYTES = 14

# draft-ietf-opsawg-pcap: magic, as written by a little-endian machine -> ns per time unit
PCAP_MAGIC = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}


@dataclass(frozen=True, slots=True)
class Packet:
    time_ns: int
    frame: bytes
    wire_bytes: int


def read_pcap(path: Path) -> list[Packet]:
    """The whole packets of a classic pcap file of Ethernet frames, compressed or plain."""
    content = decompressed(path.read_bytes())
    order = "<" if struct.unpack_from("<I", content)[0] in PCAP_MAGIC else ">"
    magic, *_, link = struct.unpack_from(order + "IHHiIII", content)
    assert link & 0xFFFF == LINKTYPE_ETHERNET, f"{path}: link type {link}"
    packets, at = [], 24
    while len(content) - at >= 16:
        seconds, fraction, captured, wire = struct.unpack_from(order + "IIII", content, at)
        frame = content[at + 16 : at + 16 + captured]
        if len(frame) < captured:
            break
        time_ns = seconds * 1_000_000_000 + fraction * PCAP_MAGIC[magic]
        packets.append(Packet(time_ns, frame, wire))
        at += 16 + captured
    return packets


def write_pcap(path: Path, packets: Iterable[Packet]) -> Path:
    """A classic pcap file with nanoseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAP_BYTES, LINKTYPE_ETHERNET)]
    for packet in packets:
        seconds, nanoseconds = divmod(packet.time_ns, 1_000_000_000)
        parts.append(
            struct.pack("<IIII", seconds, nanoseconds, len(packet.frame), packet.wire_bytes)
        )
        parts.append(packet.frame)
    path.write_bytes(b"".join(parts))
    return path


def write_pcapng(
    path: Path, packets: Iterable[Packet], interfaces: int = 2, secrets: bytes = b""
) -> Path:
    """A pcapng file: packets dealt in turn to interfaces that count nanoseconds (if_tsresol 9).

    `secrets` is a TLS key log for a decryption secrets block after the last packet.
    """
    parts = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    resolution = struct.pack("<HHB3x", 9, 1, 9) + struct.pack("<HH", 0, 0)
    for _ in range(interfaces):
        parts.append(_block(1, struct.pack("<HHI", LINKTYPE_ETHERNET, 0, SNAP_BYTES) + resolution))
    for number, packet in enumerate(packets):
        high, low = packet.time_ns >> 32, packet.time_ns & 0xFFFFFFFF
        head = struct.pack(
            "<IIIII", number % interfaces, high, low, len(packet.frame), packet.wire_bytes
        )
        parts.append(_block(6, head + packet.frame))
    if secrets:
        parts.append(_block(10, struct.pack("<II", 0x544C534B, len(secrets)) + secrets))
    path.write_bytes(b"".join(parts))
    return path


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def write_gzip(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content, mtime=0))
    return path


def write_zstd(path: Path, content: bytes) -> Path:
    """Compressed by the libzstd that the core links; Python has none of its own before 3.14."""
    library = _libzstd()
    room = library.ZSTD_compressBound(len(content))
    out = ctypes.create_string_buffer(room)
    size = library.ZSTD_compress(out, room, content, len(content), 3)
    assert not library.ZSTD_isError(size)
    path.write_bytes(out.raw[:size])
    return path


def decompressed(content: bytes) -> bytes:
    """A gzip or zstd file's content; any other file's as it is."""
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if not content.startswith(b"\x28\xb5\x2f\xfd"):
        return content
    library = _libzstd()
    room = library.ZSTD_getFrameContentSize(content, len(content))
    out = ctypes.create_string_buffer(room)
    size = library.ZSTD_decompress(out, room, content, len(content))
    assert not library.ZSTD_isError(size)
    return out.raw[:size]


@functools.cache
def _libzstd() -> ctypes.CDLL:
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    size, text = ctypes.c_size_t, ctypes.c_char_p
    signatures = {
        "ZSTD_compressBound": (size, [size]),
        "ZSTD_compress": (size, [text, size, text, size, ctypes.c_int]),
        "ZSTD_getFrameContentSize": (ctypes.c_ulonglong, [text, size]),
        "ZSTD_decompress": (size, [text, size, text, size]),
        "ZSTD_isError": (ctypes.c_uint, [size]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def reorder(
    packets: Sequence[Packet], rate: float, seed: int, *, carry_times: bool
) -> list[Packet]:
    """Swaps this share of the packets with one of the three that follow.

    With `carry_times` each packet keeps its own time, so that the file's times go backwards;
    without, the times stay sorted and the packets change places.
    """
    rng = random.Random(seed)
    moved = list(packets)
    for at in rng.sample(range(len(moved) - 3), int(len(moved) * rate)):
        other = at + rng.randint(1, 3)
        moved[at], moved[other] = moved[other], moved[at]
    if carry_times:
        return moved
    return [
        replace(packet, time_ns=place.time_ns) for packet, place in zip(moved, packets, strict=True)
    ]


def drop(packets: Sequence[Packet], rate: float, seed: int) -> list[Packet]:
    rng = random.Random(seed)
    return [packet for packet in packets if rng.random() >= rate]


def cut_frames(packets: Iterable[Packet], frame_bytes: int) -> list[Packet]:
    """As a capture with a short snap length has them."""
    return [replace(packet, frame=packet.frame[:frame_bytes]) for packet in packets]


def second_span(packets: Iterable[Packet], seed: int) -> list[Packet]:
    """The same packets as another span port delivers them: 20 to 400 microseconds later."""
    rng = random.Random(seed)
    late = [
        replace(packet, time_ns=packet.time_ns + rng.randint(20_000, 400_000)) for packet in packets
    ]
    return sorted(late, key=lambda packet: packet.time_ns)


def noisy_clock(packets: Iterable[Packet], by_ns: int, seed: int) -> list[Packet]:
    """The same packets by a clock of another machine, which is off by about so much."""
    rng = random.Random(seed)
    moved = [
        replace(packet, time_ns=packet.time_ns + round(rng.gauss(0, by_ns))) for packet in packets
    ]
    return sorted(moved, key=lambda packet: packet.time_ns)


def retransmit(packets: Sequence[Packet], rate: float, seed: int) -> list[Packet]:
    """Repeats this share of the TCP data segments a little later, whole or as overlaps of two."""
    rng = random.Random(seed)
    last_of_stream: dict[bytes, Packet] = {}
    out: list[tuple[int, Packet]] = [(packet.time_ns, packet) for packet in packets]
    for packet in packets:
        stream = _stream_key(packet.frame)
        if stream is None or not _payload(packet.frame):
            continue
        if rng.random() < rate:
            delay_ns = rng.randint(100_000, 3_000_000)
            again = _overlap(last_of_stream.get(stream), packet) if rng.random() < 0.5 else packet
            time_ns = packet.time_ns + delay_ns
            out.append((time_ns, replace(again, time_ns=time_ns)))
        last_of_stream[stream] = packet
    return [packet for _, packet in sorted(out, key=lambda each: each[0])]


def _stream_key(frame: bytes) -> bytes | None:
    """Addresses and ports of a TCP segment over IPv4; None for anything else."""
    if len(frame) < 54 or struct.unpack_from(">H", frame, 12)[0] != ETHERTYPE_IPV4:
        return None
    if frame[23] != PROTOCOL_TCP:
        return None
    tcp = ETHERNET_BYTES + (frame[14] & 0xF) * 4
    return frame[26:34] + frame[tcp : tcp + 4]


def _offsets(frame: bytes) -> tuple[int, int, int]:
    """Where the TCP header, its payload and the padding behind start."""
    tcp = ETHERNET_BYTES + (frame[14] & 0xF) * 4
    end = ETHERNET_BYTES + int(struct.unpack_from(">H", frame, 16)[0])
    return tcp, tcp + (frame[tcp + 12] >> 4) * 4, end


def _payload(frame: bytes) -> bytes:
    _, data, end = _offsets(frame)
    return frame[data:end]


def _overlap(previous: Packet | None, packet: Packet) -> Packet:
    """The second half of `previous` and the first half of `packet`, when they adjoin."""
    if previous is None:
        return packet
    tcp, data, _ = _offsets(previous.frame)
    before, after = _payload(previous.frame), _payload(packet.frame)
    sequence: int = struct.unpack_from(">I", previous.frame, tcp + 4)[0]
    next_sequence = struct.unpack_from(">I", packet.frame, _offsets(packet.frame)[0] + 4)[0]
    if (sequence + len(before)) & 0xFFFFFFFF != next_sequence:
        return packet
    half = len(before) // 2
    payload = (before[half:] + after[: len(after) // 2 + 1])[:1448]
    header = bytearray(previous.frame[:data])
    struct.pack_into(">H", header, 16, data - ETHERNET_BYTES + len(payload))
    struct.pack_into(">I", header, tcp + 4, (sequence + half) & 0xFFFFFFFF)
    _write_checksums(header, tcp, payload)
    frame = bytes(header) + payload
    return Packet(packet.time_ns, frame, len(frame))


def _write_checksums(header: bytearray, tcp: int, payload: bytes) -> None:
    struct.pack_into(">H", header, 24, 0)
    struct.pack_into(">H", header, 24, _checksum(header[ETHERNET_BYTES:tcp]))
    struct.pack_into(">H", header, tcp + 16, 0)
    segment = bytes(header[tcp:]) + payload
    pseudo = bytes(header[26:34]) + struct.pack(">HH", PROTOCOL_TCP, len(segment))
    struct.pack_into(">H", header, tcp + 16, _checksum(pseudo + segment))


def _checksum(content: bytes | bytearray) -> int:
    """RFC 1071."""
    content = bytes(content) + bytes(len(content) % 2)
    total: int = sum(struct.unpack(f">{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
