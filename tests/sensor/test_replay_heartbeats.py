"""What a replay says of the heartbeats in a capture: how many, and how many were lost."""

import struct
from ipaddress import IPv4Address
from pathlib import Path

from tests.command import hoptap, read_records, write_config
from tests.conversation import START_NS
from tests.impair import Packet, write_pcap
from tests.scapy_layers.heartbeat import Heartbeat

VC, HOSTS = "10.0.3.10", {"10.0.4.11": b"host-10", "10.0.4.12": b"host-11"}
OLD_BYTES, NEW_BYTES = 66, 334
BEAT_NS = 10 * 10**9
LOST = {"10.0.4.11": (5, 6, 13), "10.0.4.12": (8,)}
BEATS = 20


def beat(host: str, number: int) -> Packet:
    """Counters of the second host wrap on the way; it sends the shorter form."""
    is_old = host == "10.0.4.12"
    counter = (2**32 - 5 + number) % 2**32 if is_old else 100 + number
    said = bytes(
        Heartbeat(host_key=HOSTS[host], build_number=20_000, address=host.encode(), counter=counter)
    )
    payload = said.ljust(OLD_BYTES if is_old else NEW_BYTES, b"\0")
    udp = struct.pack(">HHHH", 902, 902, 8 + len(payload), 0) + payload
    ends = IPv4Address(host).packed + IPv4Address(VC).packed
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + ends
    frame = bytes(12) + b"\x08\x00" + ip + udp
    return Packet(START_NS + number * BEAT_NS + is_old, frame, len(frame))


def test_lost_heartbeats_are_counted(tmp_path: Path) -> None:
    packets = [
        beat(host, number) for number in range(BEATS) for host in HOSTS if number not in LOST[host]
    ]
    capture, out = write_pcap(tmp_path / "beats.pcap", packets), tmp_path / "out.ndjson"
    done = hoptap("replay", "-c", write_config(tmp_path), "--out", out, capture)
    assert f"heartbeats of hosts: {2 * BEATS - 4} received, 4 missed\n" in done.stderr
    assert read_records(out) == []  # nothing of it is anybody's doing


def test_a_capture_without_them_says_nothing_of_them(tmp_path: Path) -> None:
    capture = write_pcap(tmp_path / "none.pcap", [])
    done = hoptap("replay", "-c", write_config(tmp_path), "--out", tmp_path / "o", capture)
    assert "heartbeat" not in done.stderr
