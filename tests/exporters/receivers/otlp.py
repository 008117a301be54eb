"""An OTLP/HTTP receiver of logs in JSON, after the specification: requests are stored as they come.

https://opentelemetry.io/docs/specs/otlp/#otlphttp-request ; its schema is applied by whoever reads.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.exporters.receivers.web import Request, Response, Store, parser, serve


def status(number: int, message: str) -> Response:
    """google.rpc.Status"""
    return number, {"code": 3, "message": message}


class Collector:
    def __init__(self, options: Any) -> None:
        self.options = options
        self.store = Store(options.store)

    def respond(self, request: Request) -> Response:
        if stranger := self.stranger(request):
            return stranger
        try:
            logs = self.logs(json.loads(request.body))
        except (ValueError, KeyError, TypeError) as error:
            return status(400, f"cannot be parsed: {error!r}")
        if not logs and self.options.nothing_empty:
            return status(400, "no logs")
        # A site's own rule, so that a log record can be one that is refused.
        poisoned = []
        if b'"poison"' in request.body:
            poisoned = [log for log in logs if '"poison"' in json.dumps(log)]
        if poisoned and self.options.strict:
            return status(400, "a log record has a key that is not allowed")
        if not poisoned:
            self.store.add_line(request.body)
            return 200, {}
        if good := [log for log in logs if log not in poisoned]:
            self.store.add([{"resourceLogs": [{"scopeLogs": [{"logRecords": good}]}]}])
        rejected = {
            "rejectedLogRecords": str(len(poisoned)),
            "errorMessage": "a key is not allowed",
        }
        return 200, {"partialSuccess": rejected}

    def stranger(self, request: Request) -> Response | None:
        wanted = f"Bearer {self.options.token}" if self.options.token else ""
        if request.method != "POST" or request.path != "/v1/logs":
            return status(404, "not found")
        if request.headers.get("content-type") != "application/json":
            return status(415, "unsupported media type")
        if wanted and request.headers.get("authorization") != wanted:
            return status(401, "token is missing or wrong")
        if self.options.takes_nothing:
            return status(400, "JSON is not accepted here")
        return None

    def logs(self, sent: Any) -> list[Any]:
        return [
            log
            for resource in sent["resourceLogs"]
            for scope in resource["scopeLogs"]
            for log in scope["logRecords"]
        ]


def bodies_of(requests: Iterable[Any]) -> Iterator[Any]:
    """What each log record has as its body, by OTLP's JSON encoding."""
    for request in requests:
        for log in request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]:
            yield value_of(log["body"])


def value_of(value: dict[str, Any]) -> Any:
    """An AnyValue's."""
    [(kind, content)] = value.items()
    if kind == "kvlistValue":
        return {each["key"]: value_of(each["value"]) for each in content["values"]}
    if kind == "arrayValue":
        return [value_of(each) for each in content["values"]]
    return int(content) if kind == "intValue" else content


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--token", default="")
    arguments.add_argument("--strict", action="store_true", help="400 instead of partial success")
    arguments.add_argument("--nothing-empty", action="store_true")
    arguments.add_argument("--takes-nothing", action="store_true")
    chosen = arguments.parse_args()
    serve(chosen, Collector(chosen).respond, status(503, "try again later"))
