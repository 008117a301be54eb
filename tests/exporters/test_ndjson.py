"""A record as a line of JSON, to a file and to standard output."""

import json
import os
import threading
from pathlib import Path

import pytest

from exporters.linefile import LineFile
from exporters.ndjson import LINE_START, FileSink, StreamSink
from exporters.outbox import ReaderGone, SinkError
from sensor.metrics import ExportCounts
from sensor.records import Chain, Endpoint, Operation, Record, encode_ndjson

RECORD = Record(
    kind="action",
    ts=1_763_730_000_123_456_789,
    id="0197",
    op=Operation("Destroy_Task", "vim25", "delete"),
    source=Endpoint(ip="10.0.0.1", port=40001),
    chain=Chain("c", "VCD:bob\\\\acme:VC:svc", ("bob\\acme", "svc"), ("VCD", "VC"), 2),
)


def counts() -> ExportCounts:
    made = ExportCounts()
    made.start("ndjson", 1, lambda: 0)
    return made


def test_a_record_is_one_line_in_schema_order() -> None:
    line = encode_ndjson(RECORD)
    assert line.startswith(LINE_START)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    body = json.loads(line)
    assert list(body) == ["schema", "kind", "ts", "id", "visibility", "chain", "from", "op"]
    assert body["ts"] == RECORD.ts
    assert body["op"] == {"name": "Destroy_Task", "api": "vim25", "class": "delete"}
    assert body["chain"]["path"] == "VCD:bob\\\\acme:VC:svc"


@pytest.mark.parametrize(
    "text", ["Zoë", "名前", "a\nb\r\x00\x1b[2J", '"quoted" \\', "\udce9 lone", "\u2028", "😀"]
)
def test_any_text_of_the_network_survives_the_line(text: str) -> None:
    line = encode_ndjson(Record(kind="login", ts=1, fault=text))
    assert line.count(b"\n") == 1
    line.decode("utf-8")
    assert json.loads(line)["fault"] == text


def test_a_file_gets_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "hop.ndjson"
    sink = FileSink(
        LineFile(path, counts(), "ndjson", line_start=LINE_START, report=lambda line: None)
    )
    sink.write([RECORD, RECORD])
    sink.close()
    assert path.read_bytes() == encode_ndjson(RECORD) * 2


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 10_000):
            got.append(data)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        StreamSink(writer, counts(), encode_ndjson).write([RECORD] * 3000)
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    assert b"".join(got) == encode_ndjson(RECORD) * 3000


def test_a_reader_that_left_is_known() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(ReaderGone):
        StreamSink(writer, counts(), encode_ndjson).write([RECORD])
    os.close(writer)


def test_a_full_device_behind_standard_output_is_a_final_error() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(SinkError, match="standard output: No space left on device") as caught:
        StreamSink(descriptor, counts(), encode_ndjson).write([RECORD])
    os.close(descriptor)
    assert caught.value.final
