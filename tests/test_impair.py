"""The impairments do what they say, judged by tshark where it can tell."""

import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests import impair

CLIENT, SERVER = b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02"
SEGMENT_BYTES = 100


def segment(number: int) -> impair.Packet:
    """The number-th data segment of one stream."""
    payload = bytes([number % 251]) * SEGMENT_BYTES
    tcp = struct.pack(">HHIIBBHHH", 40000, 80, 1000 + number * 100, 1, 0x50, 0x10, 512, 0, 0)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 140, number, 0, 64, 6, 0, CLIENT, SERVER)
    frame = bytearray(bytes(12) + b"\x08\x00" + ip + tcp)
    impair._write_checksums(frame, 34, payload)
    return impair.Packet(
        1_700_000_000_000_000_000 + number * 1_000_000, bytes(frame) + payload, 154
    )


PACKETS = [segment(number) for number in range(1000)]


def tshark(path: Path, *fields: str, display_filter: str = "") -> list[list[str]]:
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-o", "tcp.check_checksum:TRUE"]
    for field in fields:
        command += ["-e", field]
    if display_filter:
        command += ["-Y", display_filter]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def frames(packets: list[impair.Packet]) -> Counter[bytes]:
    return Counter(packet.frame for packet in packets)


def times_sorted(packets: list[impair.Packet]) -> bool:
    times = [packet.time_ns for packet in packets]
    return times == sorted(times)


def test_pcap_round_trip(tmp_path: Path) -> None:
    assert impair.read_pcap(impair.write_pcap(tmp_path / "a.pcap", PACKETS)) == PACKETS


@pytest.mark.parametrize("carry_times", [False, True])
def test_reorder_keeps_packets(carry_times: bool) -> None:
    moved = impair.reorder(PACKETS, 0.01, 1, carry_times=carry_times)
    assert frames(moved) == frames(PACKETS)
    displaced = sum(a.frame != b.frame for a, b in zip(moved, PACKETS, strict=True))
    assert 10 <= displaced <= 20
    assert times_sorted(moved) is not carry_times


def test_retransmission_and_overlap(tmp_path: Path) -> None:
    if not shutil.which("tshark"):
        pytest.skip("no tshark")
    again = impair.retransmit(PACKETS, 0.05, 1)
    path = impair.write_pcap(tmp_path / "a.pcap", again)
    known = frames(PACKETS)
    repeated = sum(count - 1 for count in frames(again).values() if count > 1)
    overlaps = sum(packet.frame not in known for packet in again)
    assert repeated > 10
    assert overlaps > 10
    assert repeated + overlaps == len(again) - len(PACKETS)
    assert times_sorted(again)
    bad = "ip.checksum.status == Bad || tcp.checksum.status == Bad"
    assert tshark(path, "frame.number", display_filter=bad) == []
    # within 3 ms tshark calls a repeated segment out of order
    again_or_late = "tcp.analysis.retransmission || tcp.analysis.out_of_order"
    assert len(tshark(path, "tcp.len", display_filter=again_or_late)) >= repeated


def test_drop_and_second_span() -> None:
    left = impair.drop(PACKETS, 0.05, 1)
    assert 900 < len(left) < 990
    assert not frames(left) - frames(PACKETS)
    late = impair.second_span(PACKETS, 1)
    assert frames(late) == frames(PACKETS)
    assert times_sorted(late)
    assert all(a.time_ns > b.time_ns for a, b in zip(late, PACKETS, strict=True))


def test_containers(tmp_path: Path) -> None:
    if not shutil.which("tshark"):
        pytest.skip("no tshark")
    plain = impair.write_pcap(tmp_path / "a.pcap", PACKETS)
    others = [
        impair.write_pcapng(tmp_path / "a.pcapng", PACKETS),
        impair.write_gzip(tmp_path / "a.pcap.gz", plain.read_bytes()),
        impair.write_zstd(tmp_path / "a.pcap.zst", plain.read_bytes()),
    ]
    fields = ("frame.time_epoch", "ip.id", "tcp.seq_raw")
    expected = tshark(plain, *fields)
    assert len(expected) == len(PACKETS)
    for path in others:
        assert tshark(path, *fields) == expected, path.name
    assert {row[0] for row in tshark(others[0], "frame.interface_id")} == {"0", "1"}
