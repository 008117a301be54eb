"""The same events in the same order with any number of workers, and threads that end."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from sensor import _core, workers
from sensor.workers import Event, InputError, Watermark, Workers
from tests import impair
from tests.sensor.core_events import CAPTURES, packets_of, plain, source_of, talks_file

NO_TIME_MS = 0  # fills of 256 packets, so that workers are at different places
WORKERS_MAX = 4

Items = Generator[Event | Watermark, None, None]


def workers_of(count: int, *files: Path) -> Workers:
    return Workers([source_of(*files, worker=number, workers=count) for number in range(count)])


def items_of(made: Workers) -> Items:
    return cast(Items, iter(made))


def events_of(made: Workers) -> list[Event]:
    return [item for item in made if isinstance(item, Event)]


def running() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("worker-")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert running() == []


def captures_of(name: str, directory: Path) -> list[Path]:
    if name != "two files":
        return [plain(CAPTURES / name / "capture.pcap.zst", directory)]
    packets = impair.read_pcap(CAPTURES / "chain-small-clear" / "capture.pcap.zst")
    return [
        impair.write_pcap(
            directory / f"{way}.pcap",
            [packet for packet in packets if (packet.frame[26:30] < packet.frame[30:34]) is way],
        )
        for way in (False, True)
    ]


@pytest.mark.parametrize("name", ["chain-small-clear", "haproxy-term-proxyv2", "two files"])
def test_any_number_of_workers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = captures_of(name, tmp_path)
    expected = events_of(workers_of(1, *files))
    assert len(expected) > 400
    monkeypatch.setattr(workers, "FILL_TIMEOUT_MS", NO_TIME_MS)
    for count in range(1, WORKERS_MAX + 1):
        assert events_of(workers_of(count, *files)) == expected


def test_flows_that_end_with_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last packet is the last of a fill."""
    monkeypatch.setattr(workers, "FILL_TIMEOUT_MS", NO_TIME_MS)
    packets = packets_of(256)
    files = [
        impair.write_pcap(tmp_path / "all.pcap", packets),
        impair.write_pcap(tmp_path / "cut.pcap", packets[: 6 * 256]),  # before any FIN
    ]
    for file in files:
        expected = events_of(workers_of(1, file))
        ends = [event for event in expected if event.kind == _core.FLOW_END]
        assert len(ends) == 256
        assert [event.flow.uid for event in ends] == sorted(event.flow.uid for event in ends)
        for count in range(2, WORKERS_MAX + 1):
            assert events_of(workers_of(count, file)) == expected


@pytest.mark.parametrize("count", [1, 3])
def test_watermarks(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "FILL_TIMEOUT_MS", NO_TIME_MS)
    reached, marks = 0, 0
    for item in workers_of(count, talks_file(tmp_path / "talks.pcap", 300)):
        assert item.time_ns >= reached
        if isinstance(item, Watermark):
            reached, marks = item.time_ns, marks + 1
    assert marks > 5


@pytest.mark.parametrize("count", [1, 3])
def test_truncated(count: int, tmp_path: Path) -> None:
    """Everything before the cut, then one line that says where it is."""
    packets = packets_of(50)
    whole = impair.write_pcap(tmp_path / "whole.pcap", packets[:-1])
    cut = impair.write_pcap(tmp_path / "cut.pcap", packets)
    cut.write_bytes(cut.read_bytes()[:-1])
    found = []
    with pytest.raises(InputError) as caught:
        for item in workers_of(count, cut):
            found += [item] if isinstance(item, Event) else []
    assert str(caught.value) == f"{cut}: truncated packet at offset {whole.stat().st_size}"
    assert found == events_of(workers_of(1, whole))


def test_stop(tmp_path: Path) -> None:
    """What waits for the reader is less than this capture holds, so it ends before its end."""
    capture = plain(CAPTURES / "chain-large-clear" / "capture.pcap.zst", tmp_path)
    made = workers_of(1, capture)
    items = items_of(made)
    first = next(item for item in items if isinstance(item, Event))
    made.stop()
    found = [first, *(item for item in items if isinstance(item, Event))]
    flows = {event.flow for event in found}
    ended = [event.flow for event in found if event.kind == _core.FLOW_END]
    assert len(ended) == len(set(ended)) and set(ended) == flows
    (source,) = made.sources
    assert 0 < source.counters()["packets"] < len(impair.read_pcap(capture))
    assert source.gauges()["flows"] == 0


@pytest.mark.parametrize("count", [1, 3])
def test_abandoned(count: int, tmp_path: Path) -> None:
    """While the threads wait for a place in the queue."""
    capture = plain(CAPTURES / "chain-large-clear" / "capture.pcap.zst", tmp_path)
    made = workers_of(count, capture)
    with closing(items_of(made)) as items:
        next(items)
        assert running() != []
    assert running() == []
    for source in made.sources:
        source.close()  # refused if a thread still filled it


@pytest.mark.parametrize("broken", [0, 2])
def test_an_error_of_a_thread_surfaces(broken: int, tmp_path: Path) -> None:
    made = workers_of(3, talks_file(tmp_path / "talks.pcap", 50))
    made.sources[broken].close()
    with pytest.raises(RuntimeError, match=r"^the source is closed$"):
        events_of(made)
    assert running() == []
