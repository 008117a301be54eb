"""OTLP/HTTP: requests are what the protocol's own schema reads, and its refusals are understood."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from exporters.httpclient import HttpEndpoint
from exporters.otlp import Otlp, span_id, trace_id
from tests.exporters.delivering import deliver, failure_of
from tests.exporters.receivers.otlp import bodies_of
from tests.exporters.receivers.process import Receiver, python
from tests.exporters.sample import trees


def otlp(receiver: Receiver, **options: Any) -> Otlp:
    return Otlp(HttpEndpoint(f"http://127.0.0.1:{receiver.port}", 5, 20), **options)


def logs_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    [resource] = request["resourceLogs"]
    [scope] = resource["scopeLogs"]
    logs: list[dict[str, Any]] = scope["logRecords"]
    return logs


def parsed(request: dict[str, Any]) -> Any:
    """By OpenTelemetry's schema. protobuf's JSON has bytes in base64 where OTLP has hex."""
    request = copy.deepcopy(request)
    for log in logs_of(request):
        for name in ("traceId", "spanId"):
            if name in log:
                log[name] = base64.b64encode(bytes.fromhex(log[name])).decode()
    return json_format.Parse(json.dumps(request), ExportLogsServiceRequest())


def plain(value: Any) -> Any:
    """An AnyValue message as Python has it."""
    assert isinstance(value, AnyValue)
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {each.key: plain(each.value) for each in value.kvlist_value.values}
    if kind == "array_value":
        return [plain(each) for each in value.array_value.values]
    return getattr(value, str(kind))


def test_the_schema_reads_every_field(tmp_path: Path) -> None:
    records = trees(200)
    resource = {"host.name": "sensor-1", "service.version": "1.0"}
    with python("otlp", tmp_path / "store", token="t") as receiver:
        transport = otlp(receiver, token="t", resource=resource)
        assert deliver(transport, records) == []
        transport.close()
    [request] = receiver.stored()
    message = parsed(request)
    [told] = message.resource_logs
    attributes = {each.key: plain(each.value) for each in told.resource.attributes}
    assert attributes == {"service.name": "hoptap", **resource}
    [scope] = told.scope_logs
    assert scope.scope.name == "hoptap"
    for log, record in zip(scope.log_records, records, strict=True):
        compare(log, record)


def compare(log: LogRecord, record: dict[str, Any]) -> None:
    assert log.time_unix_nano == log.observed_time_unix_nano == record["ts"]
    assert log.event_name == f"hop.{record['kind']}"
    assert plain(log.body) == record
    alarming = record["kind"] in ("alert", "gap")
    warn, info = SeverityNumber.SEVERITY_NUMBER_WARN, SeverityNumber.SEVERITY_NUMBER_INFO
    assert log.severity_number == (warn if alarming else info)
    chain = record.get("chain")
    assert log.trace_id.hex() == (chain["id"].replace("-", "") if chain else "")
    assert log.span_id.hex() == record["id"].replace("-", "")[16:]
    attributes = {each.key: plain(each.value) for each in log.attributes}
    assert attributes["log.record.uid"] == record["id"]
    if "hop" in record:
        assert attributes["hop.cause"] == "correlated"
        assert attributes["hop.parent_span_id"] == span_id(record["hop"]["parent_id"])


def test_ids_are_never_zero_nor_short() -> None:
    for identity in ("", "record 1", "0" * 32, "00000000-0000-0000-0000-000000000000", "ü" * 50):
        assert len(bytes.fromhex(trace_id(identity))) == 16
        assert any(bytes.fromhex(trace_id(identity)))
        assert len(bytes.fromhex(span_id(identity))) == 8
        assert any(bytes.fromhex(span_id(identity)))
    assert trace_id("record 1") != trace_id("record 2")


def test_a_partial_success_sends_nothing_again(tmp_path: Path) -> None:
    """It does not say which: all of that request are told as refused, and later ones are small."""
    records = trees(60)
    for bad in (5, 25, 26, 59):
        records[bad]["poison"] = "x"
    with python("otlp", tmp_path / "store") as receiver:
        transport = otlp(receiver)
        first = transport.send(records[:20])
        later = transport.send(records[20:])
        transport.close()
    ambiguous = "1 of 20 in one request, not told which: a key is not allowed"
    assert [(each.index, each.reason) for each in first] == [(at, ambiguous) for at in range(20)]
    told = {each.index + 20: each.reason for each in later}
    assert {25, 26, 59} <= set(told)
    assert len(told) < 20
    there = [body["id"] for body in bodies_of(receiver.stored())]
    assert there == [record["id"] for record in records if "poison" not in record]


def test_a_bad_request_is_searched_for_the_bad_record(tmp_path: Path) -> None:
    records = trees(40)
    for bad in (0, 17, 39):
        records[bad]["poison"] = "x"
    with python("otlp", tmp_path / "store", strict=True) as receiver:
        transport = otlp(receiver)
        refused = transport.send(records)
        transport.close()
    reason = "400 Bad Request: a log record has a key that is not allowed"
    assert [(each.index, each.reason) for each in refused] == [(bad, reason) for bad in (0, 17, 39)]
    there = [body["id"] for body in bodies_of(receiver.stored())]
    assert there == [record["id"] for record in records if "poison" not in record]


def test_a_receiver_that_refuses_empty_requests_has_taken_others(tmp_path: Path) -> None:
    records = trees(40)
    records[30]["poison"] = "x"
    with python("otlp", tmp_path / "store", strict=True, nothing_empty=True) as receiver:
        transport = otlp(receiver)
        assert transport.send(records[:20]) == []
        [refused] = transport.send(records[20:])
        transport.close()
        there = [body["id"] for body in bodies_of(receiver.stored())]
    assert refused.index == 10
    assert there == [record["id"] for record in records if "poison" not in record]


@pytest.mark.parametrize(
    ("options", "said", "final"),
    [
        ({"token": "t"}, "401 Unauthorized: token is missing or wrong", True),
        ({"takes_nothing": True}, "400 Bad Request: JSON is not accepted here", True),
        ({"busy": 9}, "503 Service Unavailable: try again later", False),
    ],
)
def test_what_refuses_no_record(
    options: dict[str, Any], said: str, final: bool, tmp_path: Path
) -> None:
    with python("otlp", tmp_path / "store", **options) as receiver:
        error = failure_of(otlp(receiver, token="other"), trees(5))
    assert str(error) == f"otlp 127.0.0.1:{receiver.port}: {said}"
    assert (error.written, error.final) == (0, final)


def test_probe(tmp_path: Path) -> None:
    with python("otlp", tmp_path / "store") as receiver:
        transport = otlp(receiver)
        assert transport.probe() == f"otlp 127.0.0.1:{receiver.port}: 200 OK: {{}}"
        transport.close()
    assert list(receiver.stored()) == [] or logs_of(next(receiver.stored())) == []
