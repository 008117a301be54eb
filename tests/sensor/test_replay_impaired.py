"""The same records however a span port mangled the capture, or a `gap` for what is missing."""

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests import impair
from tests.command import DEMO_CAPTURE, Record, comparable, replay, write_config

INPUT_ERROR = 4  # README.md, exit codes
HTTP_PORT = (80).to_bytes(2)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("impaired"))


@pytest.fixture(scope="module")
def packets() -> list[impair.Packet]:
    return impair.read_pcap(DEMO_CAPTURE)


@pytest.fixture(scope="module")
def clean(config: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    records = replay(config, [DEMO_CAPTURE], tmp_path_factory.mktemp("clean") / "out.ndjson")
    kinds = Counter(record["kind"] for record in records)
    assert kinds["action"] > 50 and kinds["login"] > 10
    return records


def same(found: list[Record], expected: list[Record], *, times: bool) -> None:
    ours, theirs = comparable(found, times=times), comparable(expected, times=times)
    assert list((ours - theirs).elements()) == []
    assert list((theirs - ours).elements()) == []


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers(workers: int, config: Path, clean: list[Record], tmp_path: Path) -> None:
    found = replay(config, [DEMO_CAPTURE], tmp_path / "out.ndjson", "--workers", str(workers))
    same(found, clean, times=True)
    assert [record["ts"] for record in found] == [record["ts"] for record in clean]


@pytest.mark.parametrize("container", ["pcap-ns", "pcapng", "gzip", "zstd"])
def test_containers(
    container: str, config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    path = tmp_path / "capture"
    impair.write_pcap(path, packets)
    match container:
        case "pcapng":
            impair.write_pcapng(path, packets)
        case "gzip":
            impair.write_gzip(path, path.read_bytes())
        case "zstd":
            impair.write_zstd(path, path.read_bytes())
    same(replay(config, [path], tmp_path / "out.ndjson"), clean, times=True)


def test_split_in_two_files(
    config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    half = len(packets) // 2
    first = impair.write_pcap(tmp_path / "1.pcap", packets[:half])
    second = impair.write_pcap(tmp_path / "2.pcap", packets[half:])
    same(replay(config, [first, second], tmp_path / "a.ndjson"), clean, times=True)
    same(replay(config, [second, first], tmp_path / "b.ndjson"), clean, times=True)


def test_directions_in_two_files(
    config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    """An optical tap delivers each direction on an interface of its own."""
    files = [
        impair.write_pcap(
            tmp_path / f"{way}.pcap",
            [packet for packet in packets if (packet.frame[26:30] < packet.frame[30:34]) is way],
        )
        for way in (False, True)
    ]
    same(replay(config, files, tmp_path / "out.ndjson"), clean, times=True)


def test_two_capture_points_with_clocks_of_their_own(
    config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    """Both are streamed at once; what one of them has not yet told, the other waits for."""
    hosts = {bytes(each.frame[30:34]) for each in packets if each.frame[36:38] == HTTP_PORT}
    lowest = max(hosts)
    below = [each for each in packets if lowest in (each.frame[26:30], each.frame[30:34])]
    above = [each for each in packets if lowest not in (each.frame[26:30], each.frame[30:34])]
    assert len(below) > 100 and len(above) > 100
    files = [
        impair.write_pcap(tmp_path / "above.pcap", above),
        impair.write_pcap(tmp_path / "below.pcap", impair.noisy_clock(below, 100_000, seed=1)),
    ]
    streams = [file.with_suffix(".fifo") for file in files]
    for stream in streams:
        os.mkfifo(stream)
    for file, stream in zip(files, streams, strict=True):
        threading.Thread(target=stream.write_bytes, args=(file.read_bytes(),), daemon=True).start()
    same(replay(config, streams, tmp_path / "out.ndjson"), clean, times=False)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("carry_times", [False, True])
def test_reordered(
    seed: int,
    carry_times: bool,
    config: Path,
    packets: list[impair.Packet],
    clean: list[Record],
    tmp_path: Path,
) -> None:
    moved = impair.reorder(packets, 0.01, seed, carry_times=carry_times)
    path = impair.write_pcap(tmp_path / "a.pcap", moved)
    same(replay(config, [path], tmp_path / "out.ndjson"), clean, times=False)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_retransmitted_and_overlapping(
    seed: int, config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    path = impair.write_pcap(tmp_path / "a.pcap", impair.retransmit(packets, 0.005, seed))
    same(replay(config, [path], tmp_path / "out.ndjson"), clean, times=False)


def test_second_span_port(
    config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    first = impair.write_pcap(tmp_path / "1.pcap", packets)
    second = impair.write_pcap(tmp_path / "2.pcap", impair.second_span(packets, 1))
    same(replay(config, [first, second], tmp_path / "out.ndjson"), clean, times=False)


def test_truncated_file(config: Path, packets: list[impair.Packet], tmp_path: Path) -> None:
    """Every whole packet counts, and the end is said to be missing."""
    whole = impair.write_pcap(tmp_path / "whole.pcap", packets[:1500])
    expected = replay(config, [whole], tmp_path / "whole.ndjson")
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(impair.write_pcap(tmp_path / "more.pcap", packets[:1501]).read_bytes()[:-7])
    found = replay(config, [cut], tmp_path / "cut.ndjson", exit_code=INPUT_ERROR)
    assert expected
    same(found, expected, times=True)


def users(records: list[Record]) -> set[str]:
    """Every user that a record or a chain names."""
    accounts = {record["to"]["user"] for record in records if "user" in record.get("to", {})}
    chains = [record.get("chain", {}).get("users", []) for record in records]
    return accounts.union(*chains) - {"?"}


def missing(found: list[Record], expected: list[Record]) -> int:
    """How many of the actions expected are not found, judged by operation, target and user."""

    def actions(records: list[Record]) -> Counter[tuple[str, str, str]]:
        return Counter(
            (
                record["op"]["name"],
                record.get("target", {}).get("id", ""),
                record["to"].get("user", ""),
            )
            for record in records
            if record["kind"] == "action"
        )

    return (actions(expected) - actions(found)).total()


@pytest.mark.parametrize("rate", [0.005, 0.05])
def test_lost_packets(
    rate: float, config: Path, packets: list[impair.Packet], clean: list[Record], tmp_path: Path
) -> None:
    """What loss takes away is announced by gaps, and nothing is made up in its place."""
    path = impair.write_pcap(tmp_path / "a.pcap", impair.drop(packets, rate, 1))
    found = replay(config, [path], tmp_path / "out.ndjson")
    gaps = [record for record in found if record["kind"] == "gap"]
    assert gaps and all(record["gap_bytes"] > 0 for record in gaps)
    assert missing(found, clean) <= 2 * len(gaps)
    # A user never heard of would be invented; one lost with his login is absent or unknown.
    assert users(found) <= users(clean)


def test_short_snap_length(config: Path, packets: list[impair.Packet], tmp_path: Path) -> None:
    """Bodies that were cut away are gaps, not silence."""
    path = impair.write_pcap(tmp_path / "a.pcap", impair.cut_frames(packets, 200))
    found = replay(config, [path], tmp_path / "out.ndjson")
    assert any(record["kind"] == "gap" for record in found)
