"""What a transport sends is what its format makes of the record, whatever the format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporters.bulk import Bulk
from exporters.endpoint import Endpoint
from exporters.formats.format import Format
from exporters.formats.registry import FORMATS
from exporters.forward import Forward
from exporters.hec import Hec
from exporters.httpclient import HttpEndpoint
from exporters.payload import payload_of
from exporters.transport import Transport
from sensor.sink_types import FORMATS_OF
from tests.exporters.delivering import deliver
from tests.exporters.receivers.process import python
from tests.exporters.sample import trees

Make = Callable[[int, Format], Transport]
Read = Callable[[Any], Any]


def http(port: int) -> HttpEndpoint:
    return HttpEndpoint(f"http://127.0.0.1:{port}")


KINDS: dict[str, tuple[str, Make, Read]] = {
    "forward": (
        "forward",
        lambda port, format: Forward(Endpoint("127.0.0.1", port, 5, 20), format),
        lambda line: line["record"],
    ),
    "hec": (
        "hec",
        lambda port, format: Hec(http(port), format, token="token", acknowledge=False),
        lambda line: line["event"],
    ),
    "elasticsearch": (
        "bulk",
        lambda port, format: Bulk(http(port), format),
        lambda line: line["_source"],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format(kind: str, tmp_path: Path) -> None:
    formats = [FORMATS[name] for name in FORMATS_OF[kind]]
    module, make, read = KINDS[kind]
    sent = [trees(50) for _ in formats]
    with python(module, tmp_path / "store") as receiver:
        for format, records in zip(formats, sent, strict=True):
            transport = make(receiver.port, format)
            assert deliver(transport, records) == []
            transport.close()
        total = sum(map(len, sent))
        stored = [read(line) for line in receiver.stored()]
        while len(stored) < total:  # HEC indexes a moment later
            stored = [read(line) for line in receiver.stored()]
    wanted = [
        expected(kind, format, record)
        for format, records in zip(formats, sent, strict=True)
        for record in records
    ]
    assert stored == wanted


def expected(kind: str, format: Format, record: dict[str, Any]) -> Any:
    rendered = format.render(record)
    document: Any = {"message": rendered} if isinstance(rendered, str) else rendered
    if kind == "hec":
        document = document.get("event", document)
    document = json.loads(json.dumps(document))  # tuples are lists there
    if kind == "elasticsearch" and "@timestamp" not in document:
        seconds, rest_ns = divmod(record["ts"], 10**9)
        assert seconds // 60 == 1_795_290_000 // 60
        second = seconds - 1_795_290_000
        document["@timestamp"] = f"2026-11-21T19:40:{second:02d}.{rest_ns:09d}Z"
    return document


@pytest.mark.parametrize("name", FORMATS_OF["kafka"])
def test_message_of_a_bus(name: str) -> None:
    [record] = trees(1)
    payload = payload_of(FORMATS[name], record)
    if name == "msgpack":
        import msgpack

        assert msgpack.unpackb(payload) == record
    elif FORMATS[name].is_text:
        assert payload.decode() == FORMATS[name].render(record)
    else:
        assert json.loads(payload) == json.loads(json.dumps(FORMATS[name].render(record)))


def test_text_that_is_no_unicode_is_escaped_everywhere(tmp_path: Path) -> None:
    """A lone surrogate, as a user name off the wire may have it."""
    [record] = trees(1)
    record["to"] = {"user": "a\udc80b"}
    hop = FORMATS["hop"]
    assert json.loads(payload_of(hop, record))["to"]["user"] == "a\udc80b"
    with python("forward", tmp_path / "a") as receiver:
        transport: Transport = Forward(Endpoint("127.0.0.1", receiver.port, 5, 20), hop)
        assert transport.send([record]) == []
        transport.close()
        assert next(receiver.stored())["record"]["to"]["user"] == "a\\udc80b"
    with python("bulk", tmp_path / "b") as receiver:
        transport = Bulk(http(receiver.port), hop)
        assert transport.send([record]) == []
        transport.close()
        assert next(receiver.stored())["_source"]["to"]["user"] == "a\udc80b"
