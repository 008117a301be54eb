"""Elasticsearch's and OpenSearch's _bulk: each record created once in a data stream.

A document's id is that of its record and the action is `create`: a record that was taken before
answers 409, which is as good as taken.
https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk
"""

import base64
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from exporters.formats.format import Format
from exporters.httpclient import Answer, HttpClient, HttpEndpoint
from exporters.payload import document_of, json_bytes, one_line, parts
from exporters.transport import Refused, Tree

BATCH_BYTES_MAX = 5 << 20  # the guides of both say 5 to 15 MB; http.max_content_length is 100 MB
PAUSES_S = (0.1, 0.4, 1.6)  # between attempts with the items that the receiver had no room for
# Wanted of each item and no more: the whole answer is as long as the request.
QUERY = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"
# Types of errors that say something of the index or of us, not of the document.
OF_THE_INDEX = {
    "cluster_block_exception", "index_closed_exception", "index_not_found_exception",
    "invalid_alias_name_exception", "invalid_index_name_exception", "security_exception",
    "validation_exception",  # as of too many shards
}  # fmt: skip


@dataclass(slots=True)
class _Batch:
    actions: Sequence[bytes]  # action and document, two lines each
    delivered: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    crowded: dict[int, str] = field(default_factory=dict)  # what had no room at the last attempt
    wrong: str = ""  # what is wrong with the index

    def written(self) -> int:
        """Records from the first on that the receiver has."""
        count = 0
        while count in self.delivered:
            count += 1
        return count


class Bulk:
    """One cluster. `api_key` as Elasticsearch encodes it; OpenSearch knows basic auth only."""

    acknowledges = True

    def __init__(
        self,
        endpoint: HttpEndpoint,
        format: Format,
        *,
        stream: str = "logs-hoptap.hop-default",
        username: str = "",
        password: str = "",
        api_key: str = "",
    ) -> None:
        self._format = format
        self._stream = stream
        headers = {"Content-Type": "application/x-ndjson"}
        if api_key:
            headers["Authorization"] = f"ApiKey {api_key}"
        elif username:
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        self._http = HttpClient("elasticsearch", endpoint, "", headers)
        self._base = self._http.path.rstrip("/")
        self._path = f"{self._base}/{quote(stream)}/_bulk?{QUERY}"

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        batch = _Batch([self._action(record) for record in records])
        numbers = list(range(len(records)))
        for pause_s in (*PAUSES_S, None):
            batch.crowded.clear()
            self._post(batch, numbers)
            if not batch.crowded:
                break
            numbers = sorted(batch.crowded)
            if pause_s is None:
                count, reason = len(numbers), batch.crowded[numbers[0]]
                what = f"has no room for {count} of {len(records)} records: {reason}"
                raise self._http.error(what, written=batch.written())
            time.sleep(pause_s)
        return [Refused(number, reason) for number, reason in sorted(batch.refused.items())]

    def probe(self) -> str:
        answer = self._http.get(f"{self._base}/")
        if answer.status != 200:
            raise self._http.error(_said(answer), final=_is_final(answer))
        said = answer.json()
        version = said.get("version") if isinstance(said, dict) else None
        if not isinstance(version, dict) or "number" not in version:
            raise self._http.error("answers, but is neither Elasticsearch nor OpenSearch")
        name = "OpenSearch" if version.get("distribution") == "opensearch" else "Elasticsearch"
        cluster = f"cluster {said.get('cluster_name', '?')}"
        return one_line(f"{self._http.name}: {name} {version['number']}, {cluster}")

    def close(self) -> None:
        self._http.close()

    def _action(self, record: Tree) -> bytes:
        document = document_of(self._format, record)
        if "@timestamp" not in document:
            document = {"@timestamp": _timestamp(int(record["ts"])), **document}
        create = {"create": {"_id": record["id"]} if record.get("id") else {}}
        return json_bytes(create) + b"\n" + json_bytes(document) + b"\n"

    def _post(self, batch: _Batch, numbers: Sequence[int]) -> None:
        """These records, in requests of a size that the receiver takes."""
        chosen = [batch.actions[number] for number in numbers]
        waiting = [[numbers[at] for at in part] for part in parts(chosen, BATCH_BYTES_MAX)][::-1]
        while waiting:
            asked = waiting.pop()
            answer = self._http.post(
                b"".join(batch.actions[number] for number in asked), path=self._path
            )
            if answer.status == 413:
                if len(asked) == 1:
                    batch.refused[asked[0]] = _said(answer)
                    continue
                middle = len(asked) // 2
                waiting += [asked[middle:], asked[:middle]]
            elif answer.status in (200, 201):
                self._walk(batch, asked, answer)
            else:
                raise self._http.error(
                    _said(answer), written=batch.written(), final=_is_final(answer)
                )

    def _walk(self, batch: _Batch, asked: Sequence[int], answer: Answer) -> None:
        items = list(_items(answer))
        if len(items) != len(asked):
            what = (
                f"has no answer of Elasticsearch or OpenSearch: {len(items)} of {len(asked)} items"
            )
            raise self._http.error(what, written=batch.written())
        wrong = ""
        for number, (status, kind, reason) in zip(asked, items, strict=True):
            if status in (200, 201, 409):
                batch.delivered.add(number)
            elif status == 429 or status >= 500:
                batch.crowded[number] = f"{status} {reason}"
            elif status in (401, 403, 404) or kind in OF_THE_INDEX:
                wrong = wrong or f"{self._stream}: {status} {reason}"
            else:
                batch.refused[number] = f"{status} {reason}"
        if wrong:
            raise self._http.error(wrong, written=batch.written(), final=True)


def _items(answer: Answer) -> Iterator[tuple[int, str, str]]:
    """Status, type and reason of each item."""
    said = answer.json()
    items = said.get("items") if isinstance(said, dict) else None
    for item in items if isinstance(items, list) else []:
        result = next(iter(item.values()), None) if isinstance(item, dict) else None
        if not isinstance(result, dict) or not isinstance(result.get("status"), int):
            return
        yield result["status"], *_type_and_reason(result.get("error"))


def _type_and_reason(error: Any) -> tuple[str, str]:
    if not isinstance(error, dict):
        return "", one_line(str(error or ""))
    kind = str(error.get("type", ""))
    return kind, one_line(f"{kind}: {error.get('reason', '')}")


def _said(answer: Answer) -> str:
    said = answer.json()
    error = said.get("error") if isinstance(said, dict) else None
    return answer.line(_type_and_reason(error)[1] if error else "")


def _is_final(answer: Answer) -> bool:
    return answer.status in (400, 401, 403, 404, 405)


def _timestamp(time_ns: int) -> str:
    seconds, rest_ns = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"
