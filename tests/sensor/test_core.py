"""The extension keeps its contract, sensor/_core.pyi."""

import itertools
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensor import _core
from tests.conversation import Conversation, request, response
from tests.impair import write_pcap, write_pcapng
from tests.sensor.core_events import (
    CLIENT,
    SERVER,
    RawEvent,
    batches_of,
    events_of,
    everything,
    limits,
    packets_of,
    source_of,
    talks_file,
)

untyped: Any = _core  # for arguments that the types forbid

TALKS, TALK_PACKETS = 60, 8
NEEDLES_MAX = 32
SECRETS_BLOCK, TLS_KEY_LOG = 0x0A, 0x544C534B  # draft-ietf-opsawg-pcapng, section 4.7


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return talks_file(tmp_path / "talks.pcap", TALKS)


def wrong_sources() -> Iterator[tuple[str, type[Exception], dict[str, Any]]]:
    known = {"interest": everything(), "limits": limits(), "files": ("x.pcap",)}
    missing = {name: limit for name, limit in limits().items() if name != "flows_max"}
    wrong: list[tuple[str, type[Exception], dict[str, Any]]] = [
        ("no interest", TypeError, {"interest": None}),
        ("no limits", TypeError, {"limits": None}),
        ("a limit is missing", KeyError, {"limits": missing}),
        ("a limit is text", TypeError, {"limits": limits() | {"flows_max": "1"}}),
        ("a limit below 0", OverflowError, {"limits": limits(flows_max=-1)}),
        ("no input", ValueError, {"files": ()}),
        ("a list of files", TypeError, {"files": ["x.pcap"]}),
        ("a file that is no text", TypeError, {"files": (1,)}),
        ("no worker of so many", ValueError, {"worker": 2, "workers": 2}),
        ("no workers", ValueError, {"workers": 0}),
        ("too many ports", ValueError, {"interfaces": ("lo",), "ports": tuple(range(257))}),
        ("an unknown name", TypeError, {"colour": 1}),
    ]
    yield from ((name, error, known | changed) for name, error, changed in wrong)


@pytest.mark.parametrize(
    ("error", "arguments"), [pytest.param(*row[1:], id=row[0]) for row in wrong_sources()]
)
def test_wrong_arguments(error: type[Exception], arguments: dict[str, Any], capture: Path) -> None:
    if arguments["files"] == ("x.pcap",):
        arguments = arguments | {"files": (str(capture),)}
    with pytest.raises(error):
        untyped.Source(**arguments)


NEEDLES = ("x",) * 65


@pytest.mark.parametrize(
    ("error", "method", "arguments"),
    [
        (TypeError, "operation", ("Login",)),
        (TypeError, "operation", ("Login", 1, ["a", "list"])),
        (TypeError, "operation", ("Login", 1, (b"bytes",))),
        (ValueError, "operation", ("Login", 1, NEEDLES)),
        (ValueError, "operation", ("Login", 1, (), NEEDLES)),
        (ValueError, "operation", ("Log\0in", 1)),
        (TypeError, "path", ("GET", "/")),
        (ValueError, "path", ("GET", "/", 1, NEEDLES)),
        (TypeError, "token_header", (1,)),
        (TypeError, "token_cookie", ()),
        (TypeError, "object_property", (None,)),
        (TypeError, "port", ("tcp", 80)),
        (OverflowError, "port", (256, 80)),
    ],
)
def test_wrong_interest(error: type[Exception], method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(error):
        getattr(_core.Interest(), method)(*arguments)


def test_as_many_needles_as_may_be() -> None:
    _core.Interest().operation("Login", 1, NEEDLES[:NEEDLES_MAX], NEEDLES[:NEEDLES_MAX])


@pytest.mark.parametrize("name", ["Batch", "BatchIterator"])
def test_only_the_core_makes_batches(name: str, capture: Path) -> None:
    batch = source_of(capture).fill(1000)
    made = {"Batch": type(batch), "BatchIterator": type(iter(batch))}[name]
    with pytest.raises(TypeError):
        made()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"", "empty, not a capture"),
        (b"#!/bin/sh\n" * 10, "not a pcap or pcapng file"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 9, 4, 0, 0, 1, 1), "unsupported pcap version 9"),
    ],
)
def test_no_capture(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "some.pcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OSError) as caught:
        source_of(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: {says}") and "\n" not in line


def test_no_interface() -> None:
    with pytest.raises(OSError, match=r"^nowhere9: [^\n]+$"):
        _core.Source(everything(), limits(), interfaces=("nowhere9",))


def test_truncated(tmp_path: Path) -> None:
    packets = packets_of(TALKS)
    whole = write_pcap(tmp_path / "whole.pcap", packets[:-1])
    cut = write_pcap(tmp_path / "cut.pcap", packets)
    cut.write_bytes(cut.read_bytes()[:-5])
    source = source_of(cut)
    *before, last = batches_of(source)
    assert [batch.error for batch in before] == [None] * len(before)
    assert last.error == f"{cut}: truncated packet at offset {whole.stat().st_size}"
    found = [event for batch in (*before, last) for event in batch]
    assert found == events_of(source_of(whole))


def test_after_the_end(capture: Path) -> None:
    source = source_of(capture)
    *_, last = batches_of(source)
    assert last.end and last.error is None
    again = source.fill(0)
    assert again.end and len(again) == 0


def test_closed(capture: Path) -> None:
    source = source_of(capture)
    batch = source.fill(1000)
    events = list(batch)
    source.close()
    with pytest.raises(RuntimeError, match="closed"):
        source.fill(0)
    source.stop()
    source.close()
    assert source.counters()["packets"] == TALKS * TALK_PACKETS
    assert source.secrets() == []
    del source
    assert list(batch) == events  # what was handed up is the reader's


def test_a_batch_is_read_as_often_as_one_likes(capture: Path) -> None:
    batch = source_of(capture).fill(1000)
    assert len(batch) == TALKS * 3
    assert list(batch) == list(batch)
    halfway = iter(batch)
    first = next(halfway)
    assert [first, *halfway] == list(batch)


def test_events(capture: Path) -> None:
    """Of each flow what it is, what was said on it, and what it came to; in this order."""
    flows: dict[int, list[tuple[int, Any]]] = {}
    for kind, flow, _, _, _, value in events_of(source_of(capture)):
        flows.setdefault(flow, []).append((kind, value))
    targets, uids = set(), set()
    for (first, flow_value), (second, transaction), (last, totals) in flows.values():
        assert (first, second, last) == (_core.FLOW, _core.TRANSACTION, _core.FLOW_END)
        said = len(request("GET", transaction[4])), len(response(200, body=b"answer"))
        assert totals == (5, 3, *said)
        assert transaction[4] == f"/api/{flow_value[2] - 40_000}"  # the client's port
        targets.add(transaction[4])
        uids.add(flow_value[8])
    assert len(targets) == len(uids) == len(flows) == TALKS


def key_of(event: RawEvent) -> tuple[int, int]:
    return event[3], event[4]


@pytest.mark.parametrize("timeout_ms", [0, 1000])
@pytest.mark.parametrize("count", [256, 300])  # a fill of no time takes 256 packets
def test_order(count: int, timeout_ms: int, tmp_path: Path) -> None:
    """By packet, and never before what was said to be complete, however short the fills are."""
    source = source_of(talks_file(tmp_path / "many.pcap", count))
    said, keys = (0, 0), list[tuple[int, int]]()
    batches = list(batches_of(source, timeout_ms))
    for batch in batches:
        found = [key_of(event) for event in batch]
        assert all(key >= said for key in found)
        said = max(said, (batch.watermark_ns, batch.watermark_ordinal))
        assert all(key <= said for key in found)
        keys += found
    assert keys == sorted(keys)
    assert len(batches) > 1 or timeout_ms


def test_stop_before_anything(capture: Path) -> None:
    source = source_of(capture)
    source.stop()
    batch = source.fill(1000)
    assert batch.end and batch.error is None and len(batch) == 0


def test_counts(capture: Path) -> None:
    sources = [source_of(capture, worker=worker, workers=2) for worker in range(2)]
    found = [event for source in sources for event in events_of(source)]
    assert all(list(source.counters()) == list(_core.COUNTERS) for source in sources)
    counted = {name: sum(each.counters()[name] for each in sources) for name in _core.COUNTERS}
    sizes = [packet.wire_bytes for packet in packets_of(TALKS)]
    expected = {
        "packets": len(sizes),
        "packet_bytes": sum(sizes),
        "tcp_segments": len(sizes),
        "flows": TALKS,
        "flows_expired": TALKS,
        "http_requests": TALKS,
        "http_responses": TALKS,
        "http_transactions": TALKS,
        "http_transactions_handed_up": TALKS,
    }
    assert {name: count for name, count in counted.items() if count} == expected
    assert sum(event[0] == _core.TRANSACTION for event in found) == TALKS
    last_ns = max(packet.time_ns for packet in packets_of(TALKS))
    received = {"received": len(sizes), "last_ns": last_ns}
    shed = dict.fromkeys(("dropped", "frozen", "truncated", "secrets_shed"), 0)
    assert [each.source_stats() for each in sources] == [[received | shed]] * 2


def test_operations(tmp_path: Path) -> None:
    talk = Conversation(CLIENT, 40_000, SERVER)
    for method, target, status in (
        ("GET", "/api/x", 200),
        ("GET", "/api/y?z", 404),
        ("GET", "/api/x", 200),
        ("PUT", "/", 204),
        ("PUT", "/", 0),
    ):
        talk.say(request(method, target))
        if status:
            talk.answer(response(status))
    source = source_of(write_pcap(tmp_path / "made.pcap", talk.packets()))
    events_of(source)
    assert source.operations() == [("api", "GET", 2, 1, 0), ("", "PUT", 1, 0, 1)]


def test_gauges(capture: Path) -> None:
    source = source_of(capture)
    assert source.gauges() == {"flows": 0, "memory_bytes": 0, "memory_bytes_limit": 0}
    batch = source.fill(0)
    gauges = source.gauges()
    assert not batch.end and gauges["flows"] == TALKS
    assert 0 < gauges["memory_bytes"] < gauges["memory_bytes_limit"]
    assert gauges["memory_bytes_limit"] == limits()["memory_bytes_max"]
    events_of(source)
    assert source.gauges()["flows"] == 0
    assert source.gauges()["memory_bytes"] < gauges["memory_bytes"]


def test_secrets(tmp_path: Path) -> None:
    plain = write_pcapng(tmp_path / "plain.pcapng", packets_of(1), interfaces=1)
    keys = b"CLIENT_RANDOM 00 11\n"
    blocks = b""
    for kind, contents in ((TLS_KEY_LOG, keys), (0x57474B4C, b"odd"), (TLS_KEY_LOG, b"")):
        body = struct.pack("<II", kind, len(contents)) + contents + bytes(-len(contents) % 4)
        total = len(body) + 12
        blocks += struct.pack("<II", SECRETS_BLOCK, total) + body + struct.pack("<I", total)
    path = tmp_path / "keyed.pcapng"
    path.write_bytes(plain.read_bytes() + blocks)
    source = source_of(path)
    assert events_of(source) == events_of(source_of(plain))
    assert source.secrets() == [(TLS_KEY_LOG, keys), (0x57474B4C, b"odd"), (TLS_KEY_LOG, b"")]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_leaks(capture: Path, tmp_path: Path) -> None:
    """What one source holds is some MiB, so that keeping any of 200 would show."""
    interest, numbers = everything(), limits()
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-1])

    def cycle() -> None:
        source = _core.Source(interest, numbers, files=(str(cut), str(capture)))
        batch = source.fill(1000)
        next(iter(batch))
        source.secrets(), source.operations(), source.counters(), source.source_stats()
        source.close()
        with pytest.raises(OSError):
            _core.Source(interest, numbers, files=(str(capture), str(tmp_path / "none")))

    for _ in range(20):
        cycle()
    given = [interest, *numbers.values()]

    def references() -> list[int]:
        return [sys.getrefcount(each) for each in given]

    held = references()
    before = resident_bytes()
    for _ in itertools.repeat(None, 200):
        cycle()
    assert resident_bytes() - before < 8 << 20
    # a small number is one for the whole interpreter, and others hold it too
    grown = [now - then for now, then in zip(references(), held, strict=True)]
    assert grown[0] == 0 and max(grown) < 100
