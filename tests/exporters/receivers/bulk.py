"""A _bulk endpoint after Elasticsearch's documents, with one data stream's rules.

https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
"""

import base64
import json
import threading
from typing import Any
from zlib import crc32

from tests.exporters.receivers.web import Request, Response, Store, parser, serve

MEDIA = ("application/x-ndjson", "application/json")


def failure(status: int, kind: str, reason: str) -> Response:
    return status, {"error": {"type": kind, "reason": reason}, "status": status}


class Cluster:
    def __init__(self, options: Any) -> None:
        self.options = options
        self.store = Store(options.store)
        self.lock = threading.Lock()
        with open(options.store) as file:
            self.ids = {json.loads(line)["_id"] for line in file}
        self.crowded: set[str] = set()

    def respond(self, request: Request) -> Response:
        if not self.is_known(request.headers.get("authorization", "")):
            return failure(401, "security_exception", "unable to authenticate user [hoptap]")
        if request.method == "GET" and request.path == "/":
            return 200, {"cluster_name": "test", "version": {"number": "9.2.0"}}
        parts = request.path.strip("/").split("/")
        if request.method != "POST" or parts[-1] != "_bulk":
            return failure(405, "method_not_allowed", "allowed: [POST]")
        if request.headers.get("content-type") not in MEDIA:
            return failure(406, "media_type_header_exception", "Content-Type is not supported")
        if not request.body.endswith(b"\n"):
            reason = "The bulk request must be terminated by a newline [\\n]"
            return failure(400, "illegal_argument_exception", reason)
        stream = parts[0] if len(parts) == 2 else ""
        with self.lock:
            items = self.items(request.body.decode(), stream)
        return 200, {"took": 1, "errors": any("error" in each["create"] for each in items),
                     "items": items}  # fmt: skip

    def is_known(self, given: str) -> bool:
        if self.options.api_key:
            return given == f"ApiKey {self.options.api_key}"
        if self.options.user:
            return given == "Basic " + base64.b64encode(self.options.user.encode()).decode()
        return True

    def items(self, body: str, stream: str) -> list[dict[str, Any]]:
        lines = body.split("\n")[:-1]
        assert len(lines) % 2 == 0, "an action without its document"
        stored: list[Any] = []
        items = []
        for action_line, document in zip(lines[::2], lines[1::2], strict=True):
            [(action, meta)] = json.loads(action_line).items()
            assert action == "create", "a data stream knows no other action"
            index = meta.get("_index", stream)
            item = self.item(meta["_id"], index, document, stored)
            items.append({"create": {"_index": index, "_id": meta["_id"], **item}})
        self.store.add(stored)
        return items

    def item(self, identity: str, index: str, text: str, stored: list[Any]) -> dict[str, Any]:
        if self.options.stream and index != self.options.stream:
            return wrong(404, "index_not_found_exception", f"no such index [{index}]")
        if self.options.read_only:
            reason = f"index [{index}] blocked by: [FORBIDDEN/12/index read-only];"
            return wrong(403, "cluster_block_exception", reason)
        if (
            self.options.crowded
            and identity not in self.crowded
            and crc32(identity.encode()) % 7 == 0
        ):
            self.crowded.add(identity)
            return wrong(429, "es_rejected_execution_exception", "rejected execution of primary")
        if self.options.always_crowded:
            return wrong(429, "es_rejected_execution_exception", "rejected execution of primary")
        if identity in self.ids:
            reason = (
                f"[{identity}]: version conflict, document already exists (current version [1])"
            )
            return wrong(409, "version_conflict_engine_exception", reason)
        try:
            source = json.loads(text)
        except ValueError as error:
            return wrong(400, "document_parsing_exception", f"failed to parse: {error}")
        if not isinstance(source.get("@timestamp"), str):
            reason = "data stream timestamp field [@timestamp] is missing"
            return wrong(400, "document_parsing_exception", reason)
        if '"poison"' in text:
            reason = "failed to parse field [extra.poison] of type [long]"
            return wrong(400, "document_parsing_exception", reason)
        self.ids.add(identity)
        stored.append({"_id": identity, "_index": index, "_source": source})
        return {"status": 201, "result": "created", "_version": 1}


def wrong(status: int, kind: str, reason: str) -> dict[str, Any]:
    return {"status": status, "error": {"type": kind, "reason": reason}}


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--user", default="", help="NAME:PASSWORD")
    arguments.add_argument("--api-key", default="")
    arguments.add_argument("--stream", default="", help="the only one that there is")
    arguments.add_argument("--read-only", action="store_true")
    arguments.add_argument("--crowded", action="store_true", help="429 to some items, once each")
    arguments.add_argument("--always-crowded", action="store_true")
    chosen = arguments.parse_args()
    busy = failure(429, "es_rejected_execution_exception", "too many requests")
    serve(chosen, Cluster(chosen).respond, busy)
