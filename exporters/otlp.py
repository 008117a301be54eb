"""OTLP/HTTP logs in their JSON encoding: a chain is a trace, each of its records a span's event.

https://opentelemetry.io/docs/specs/otlp/#otlphttp and opentelemetry/proto/logs/v1/logs.proto.
In JSON trace and span ids are hex, and 64-bit integers are texts.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring as _quoted
from typing import Any

from exporters.httpclient import Answer, HttpClient, HttpEndpoint
from exporters.outbox import SinkError
from exporters.payload import one_line, parts
from exporters.transport import Refused, Tree

PATH = "/v1/logs"
BATCH_BYTES_MAX = 2 << 20  # half of what Fluent Bit's in_opentelemetry buffers
INFO, WARN = (9, "INFO"), (13, "WARN")  # SeverityNumber
SEVERITIES = {"alert": WARN, "gap": WARN}
RETRYABLE = {429, 502, 503, 504}  # the specification names them; all others are not to be retried
OF_A_RECORD = {400, 413, 422}
REQUEST_RECORDS_BOUND = 1024  # a request that may have more is not bound at all
SCOPE = "hoptap"
_HEX = re.compile(r"[0-9a-f]{32}")


class Otlp:
    """One collector. `resource`: attributes beside service.name, as "host.name"."""

    acknowledges = True

    def __init__(
        self, endpoint: HttpEndpoint, *, token: str = "", resource: Mapping[str, str] = {}
    ) -> None:
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = HttpClient("otlp", endpoint, PATH, headers)
        named = {"service.name": "hoptap", **resource}
        attributes = ",".join(_attribute(name, value) for name, value in named.items() if value)
        self._head = (
            f'{{"resourceLogs":[{{"resource":{{"attributes":[{attributes}]}},'
            f'"scopeLogs":[{{"scope":{{"name":"{SCOPE}"}},"logRecords":['
        ).encode("utf-8", "backslashreplace")
        self._has_taken = False
        self._request_records_max = 0  # 0: no bound; after a partial success 1, then ever more

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        logs = [log_record(record) for record in records]
        refused: list[Refused] = []
        waiting = [list(part) for part in parts(logs, BATCH_BYTES_MAX)][::-1]
        done = 0  # records from the first on that are settled
        while waiting:
            asked = waiting.pop()
            most = self._request_records_max or len(asked)
            if len(asked) > most:
                waiting.append(asked[most:])
                asked = asked[:most]
            answer = self._post([logs[number] for number in asked])
            written = refused[0].index if refused else done
            if answer.status in OF_A_RECORD:
                self._ensure_served(written)
                if len(asked) > 1:
                    middle = len(asked) // 2
                    waiting += [asked[middle:], asked[:middle]]
                    continue
                refused.append(Refused(asked[0], _said(answer)))
            elif 200 <= answer.status < 300:
                self._has_taken = True
                reason = self._rejection(answer, len(asked))
                refused += [Refused(number, reason) for number in asked if reason]
            else:
                raise self._error(answer, written)
            done += len(asked)
        return refused

    def probe(self) -> str:
        """A request without log records, which a receiver has to accept."""
        return f"{self._http.name}: {self._ensure_served(0).line()}"

    def close(self) -> None:
        self._http.close()

    def _post(self, logs: Sequence[bytes]) -> Answer:
        return self._http.post(self._head + b",".join(logs) + b"]}]}]}")

    def _ensure_served(self, written: int) -> Answer:
        """Tell a bad record from a receiver that takes none."""
        answer = self._post([])
        # Some refuse the empty request that the protocol allows: what was taken tells as much.
        if 200 <= answer.status < 300 or (self._has_taken and answer.status in OF_A_RECORD):
            return answer
        raise self._error(answer, written)

    def _error(self, answer: Answer, written: int) -> SinkError:
        return self._http.error(
            _said(answer), written=written, final=answer.status not in RETRYABLE
        )

    def _rejection(self, answer: Answer, count: int) -> str:
        """Why records of this request were rejected, or "".

        A partial success tells how many were, not which, and forbids to send any of them again. So
        all of them are told as refused, and the next requests are small until one is clean.
        """
        rejected, message = _partial_success(answer)
        if not rejected:
            doubled = self._request_records_max * 2
            self._request_records_max = doubled if doubled <= REQUEST_RECORDS_BOUND else 0
            return ""
        self._request_records_max = 1
        if rejected >= count:
            return message
        return one_line(f"{rejected} of {count} in one request, not told which: {message}")


def log_record(record: Tree) -> bytes:
    """The record as a LogRecord, whose body is its whole tree.

    Written as text at once: building dicts and encoding them takes five times as long.
    """
    number, text = SEVERITIES.get(str(record["kind"]), INFO)
    chain = record.get("chain") or {}
    attributes = ",".join(_attribute(name, value) for name, value in _facts(record) if value)
    ids = ""
    if identity := chain.get("id"):
        ids += f',"traceId":"{trace_id(str(identity))}"'
    if identity := record.get("id"):
        ids += f',"spanId":"{span_id(str(identity))}"'
    # A passive sensor observes when it happens.
    log = (
        f'{{"timeUnixNano":"{record["ts"]}","observedTimeUnixNano":"{record["ts"]}",'
        f'"severityNumber":{number},"severityText":"{text}",'
        f'"eventName":{_quoted("hop." + str(record["kind"]))},"body":{_value(record)},'
        f'"attributes":[{attributes}]{ids}}}'
    )
    return log.encode("utf-8", "backslashreplace")


def trace_id(identity: str) -> str:
    """16 bytes of a chain's id, in hex: the UUID that it is, else a digest of it."""
    digits = identity.replace("-", "").lower()
    if _HEX.fullmatch(digits) and digits.strip("0"):
        return digits
    return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def span_id(identity: str) -> str:
    """8 bytes of a record's id, in hex: the random end of a UUIDv7."""
    digits = trace_id(identity)[16:]
    return digits if digits.strip("0") else "0" * 15 + "1"


def _facts(record: Tree) -> list[tuple[str, Any]]:
    """Attributes: what a receiver filters by without looking into the body."""
    chain, hop, op = (record.get(name) or {} for name in ("chain", "hop", "op"))
    parent = hop.get("parent_id")
    return [
        ("log.record.uid", record.get("id")),  # by semantic conventions: equal ids, one record
        ("hop.kind", record["kind"]),
        ("hop.path", chain.get("path")),
        ("hop.operation", op.get("name")),
        ("hop.cause", hop.get("cause")),
        ("hop.outcome", record.get("outcome")),
        ("hop.parent_span_id", span_id(str(parent)) if parent else ""),
    ]


def _attribute(name: str, value: Any) -> str:
    return f'{{"key":{_quoted(name)},"value":{_value(value)}}}'


def _value(value: Any) -> str:
    """An AnyValue."""
    if isinstance(value, str):
        return f'{{"stringValue":{_quoted(value)}}}'
    if isinstance(value, Mapping):
        pairs = ",".join([_attribute(str(name), each) for name, each in value.items()])
        return f'{{"kvlistValue":{{"values":[{pairs}]}}}}'
    if isinstance(value, list | tuple):
        return f'{{"arrayValue":{{"values":[{",".join([_value(each) for each in value])}]}}}}'
    if isinstance(value, bool):
        return f'{{"boolValue":{str(value).lower()}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{value!r}}}'
    return f'{{"stringValue":{_quoted(str(value))}}}'


def _partial_success(answer: Answer) -> tuple[int, str]:
    """How many records were rejected, and why."""
    said = answer.json()
    partial = said.get("partialSuccess") if isinstance(said, dict) else None
    if not isinstance(partial, dict):
        return 0, ""
    try:
        rejected = int(partial.get("rejectedLogRecords") or 0)
    except (TypeError, ValueError):
        rejected = 0
    return rejected, one_line(str(partial.get("errorMessage") or "no reason given"))


def _said(answer: Answer) -> str:
    """The message of a google.rpc.Status, which a failure brings."""
    said = answer.json()
    message = said.get("message") if isinstance(said, dict) else None
    return answer.line(message if isinstance(message, str) else "")
