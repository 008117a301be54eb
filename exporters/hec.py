"""Splunk's HTTP Event Collector: envelopes in a row, gzipped, acknowledged by the indexers.

Codes of its answers:
https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector
The collector reads a request up to the first bad event, whose number it tells; what came before may
be indexed. So the bad one is left out and all others are sent again: twice perhaps, lost never.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from exporters.formats.format import Document, Format
from exporters.httpclient import Answer, HttpClient, HttpEndpoint
from exporters.outbox import SinkError
from exporters.payload import document_of, json_bytes, one_line, parts
from exporters.transport import Refused, Tree

COLLECTOR = "/services/collector"
EVENT_PATH = f"{COLLECTOR}/event"
BATCH_BYTES_MAX = 1_000_000  # limits.conf [http_input] max_content_length was 1,000,000 for years
SOURCE = "hoptap"
SOURCETYPE = "hoptap:hop"
POLL_FIRST_S = 0.02
POLL_LONGEST_S = 1.0
UNTOLD = -1  # where there is no code
LATE_S = 300.0  # after that what was posted counts as lost
# What no other event would fare better with: the token, its index, the channel, query strings.
OF_CONFIGURATION = {1, 2, 3, 4, 7, 10, 11, 14, 16}


@dataclass(slots=True)
class _Taken:
    """A batch that was posted."""

    ids: Sequence[object]  # of its records
    connections: int
    since: float
    pending: dict[int, int] = field(default_factory=dict)  # ackId -> events to be acknowledged
    refused: dict[int, str] = field(default_factory=dict)


class Hec:
    """One collector. With `acknowledge` the token needs indexer acknowledgement (useACK)."""

    def __init__(
        self,
        endpoint: HttpEndpoint,
        format: Format,
        *,
        token: str,
        index: str = "",
        hostname: str = "",
        acknowledge: bool = True,
    ) -> None:
        self.acknowledges = acknowledge
        self._format = format
        self._index = index
        self._hostname = hostname
        self._ack_timeout_s = endpoint.ack_timeout_s
        headers = {"Authorization": f"Splunk {token}", "Content-Type": "application/json"}
        self._http = HttpClient("hec", endpoint, EVENT_PATH, headers)
        self._channel = str(uuid.uuid4())
        self._last_ack_id = -1
        self._late: _Taken | None = None

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        ids = [record.get("id") for record in records]
        taken = self._taken_before(ids)
        try:
            if taken is None:
                taken = self._post([self._event(record) for record in records], ids)
            self._await(taken)
        except BaseException:
            if self._late is None:
                self.close()  # the next attempt begins in a channel of its own
            raise
        return [Refused(number, reason) for number, reason in sorted(taken.refused.items())]

    def probe(self) -> str:
        """An empty request: a good token is told that it brings no data."""
        answer = self._http.post(b"", headers=self._channel_header())
        if _code(answer) == 5 or answer.status == 200:
            return f"{self._http.name}: the token is accepted"
        if _is_of_an_event(answer) and _code(answer) == UNTOLD:  # no Splunk, but its like
            return f"{self._http.name}: {answer.line()}"
        raise self._error(answer)

    def close(self) -> None:
        self._http.close()
        self._late = None
        self._channel = str(uuid.uuid4())
        self._last_ack_id = -1

    def _event(self, record: Tree) -> bytes:
        envelope = document_of(self._format, record)
        if "event" not in envelope:
            envelope = self._enveloped(envelope, record)
        if self._index:
            envelope = {**envelope, "index": self._index}
        if self._hostname:
            envelope = {"host": self._hostname, **envelope}
        return json_bytes(envelope)

    def _enveloped(self, event: Document, record: Tree) -> Document:
        seconds, rest_ns = divmod(int(record["ts"]), 10**9)
        time_text = f"{seconds}.{rest_ns // 1000:06d}"  # a float of this size has no nanoseconds
        return {"time": time_text, "source": SOURCE, "sourcetype": SOURCETYPE, "event": event}

    def _taken_before(self, ids: Sequence[object]) -> "_Taken | None":
        """What was posted already and waits for nothing but its acknowledgement.

        Splunk may index a small batch only after minutes. Posting it again would not be quicker.
        """
        late, self._late = self._late, None
        if late is None or late.ids != ids or late.connections != self._http.connections:
            return None
        return late if time.monotonic() - late.since < LATE_S else None

    def _post(self, events: Sequence[bytes], ids: Sequence[object]) -> "_Taken":
        taken = _Taken(ids, self._http.connections, time.monotonic())
        for part in parts(events, BATCH_BYTES_MAX):
            self._deliver(list(part), events, taken)
        taken.connections = self._http.connections
        return taken

    def _deliver(self, numbers: list[int], events: Sequence[bytes], taken: "_Taken") -> None:
        """Post these events, less those that the collector refuses."""
        waiting = [numbers]
        while waiting:
            numbers = waiting.pop()
            answer = self._http.post(
                b"".join(events[number] for number in numbers), headers=self._channel_header()
            )
            if answer.status == 200:
                if self.acknowledges:
                    taken.pending[self._ack_id(answer)] = len(numbers)
                continue
            if not _is_of_an_event(answer):
                raise self._error(answer)
            bad = _bad_event(answer, len(numbers))
            if bad is None:
                self.probe()  # tells a bad event from a collector that takes none
                bad = 0 if len(numbers) == 1 else None
            if bad is not None:
                taken.refused[numbers[bad]] = _said(answer)
                halves = numbers[:bad], numbers[bad + 1 :]
            else:
                halves = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
            waiting += [half for half in reversed(halves) if half]

    def _ack_id(self, answer: Answer) -> int:
        """Ids rise within a channel; where they do not, the collector has begun anew."""
        said = answer.json()
        ack_id = said.get("ackId") if isinstance(said, dict) else None
        if not isinstance(ack_id, int):
            raise self._http.error(
                "gives no ackId: enable indexer acknowledgement of the token,"
                " or set acknowledge = false",
                final=True,
            )
        if ack_id <= self._last_ack_id:
            raise self._http.error("was restarted before it acknowledged")
        self._last_ack_id = ack_id
        return ack_id

    def _await(self, taken: "_Taken") -> None:
        """Poll until all are indexed. The collector tells of each once."""
        give_up_at = time.monotonic() + self._ack_timeout_s
        delay_s = POLL_FIRST_S
        while taken.pending:
            for ack_id in self._poll(set(taken.pending)):
                del taken.pending[ack_id]
            if not taken.pending:
                return
            if time.monotonic() + delay_s > give_up_at:
                self._late = taken
                count, seconds = sum(taken.pending.values()), f"{self._ack_timeout_s:g} s"
                raise self._http.error(f"took {count} events, but did not index them in {seconds}")
            time.sleep(delay_s)
            delay_s = min(delay_s * 2, POLL_LONGEST_S)

    def _poll(self, ack_ids: set[int]) -> set[int]:
        path = f"{self._http.path.partition(COLLECTOR)[0]}{COLLECTOR}/ack"
        body = json_bytes({"acks": sorted(ack_ids)})
        answer = self._http.post(
            body, path=f"{path}?channel={self._channel}", headers=self._channel_header()
        )
        said = answer.json()
        acks = said.get("acks") if isinstance(said, dict) else None
        if answer.status != 200 or not isinstance(acks, dict):
            raise self._error(answer)
        return {each for each in ack_ids if acks.get(str(each)) is True}

    def _channel_header(self) -> dict[str, str]:
        return {"X-Splunk-Request-Channel": self._channel} if self.acknowledges else {}

    def _error(self, answer: Answer) -> SinkError:
        return self._http.error(_said(answer), final=_is_final(answer))


def _field(answer: Answer, name: str) -> object:
    said = answer.json()
    return said.get(name) if isinstance(said, dict) else None


def _code(answer: Answer) -> int:
    code = _field(answer, "code")
    return code if isinstance(code, int) else UNTOLD


def _said(answer: Answer) -> str:
    """ "400 Bad Request: Invalid data format (code 6)" """
    text = _field(answer, "text")
    if not isinstance(text, str) or _code(answer) == UNTOLD:
        return answer.line()
    return answer.line(one_line(f"{text} (code {_code(answer)})"))


def _is_final(answer: Answer) -> bool:
    return answer.status in (401, 403, 404) or _code(answer) in OF_CONFIGURATION


def _is_of_an_event(answer: Answer) -> bool:
    """Whether an event, or the size of the request, is why it was refused."""
    return answer.status in (400, 413) and _code(answer) not in OF_CONFIGURATION


def _bad_event(answer: Answer, count: int) -> int | None:
    """The number of the event that is refused, as told."""
    number = _field(answer, "invalid-event-number")
    if answer.status == 400 and isinstance(number, int) and 0 <= number < count:
        return number
    return None
