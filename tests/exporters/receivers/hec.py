"""An HTTP Event Collector after Splunk's documents.

Events are taken into memory, indexed by another thread a moment later, and acknowledged only then:
whoever takes "Success" for the acknowledgement loses records when this process is killed.
https://docs.splunk.com/Documentation/Splunk/latest/Data/HECRESTendpoints (and AboutHECIDXAck,
TroubleshootHTTPEventCollector for the codes).
"""

import json
import queue
import threading
import time
import uuid
from typing import Any

from tests.exporters.receivers.web import Request, Response, Store, parser, serve

PATHS = ("/services/collector", "/services/collector/event", "/services/collector/event/1.0")
TEXTS = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    9: (503, "Server is busy"),
    10: (400, "Data channel is missing"),
    11: (400, "Invalid data channel"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    14: (400, "ACK is disabled"),
    15: (400, "Error in handling indexed fields"),
}
DECODER = json.JSONDecoder()


def reply(code: int, **more: Any) -> Response:
    status, text = TEXTS[code]
    return status, {"text": text, "code": code, **more}


class Collector:
    def __init__(self, options: Any) -> None:
        self.options = options
        self.store = Store(options.store)
        self.lock = threading.Lock()
        self.channels: dict[str, dict[int, bool]] = {}
        self.next_ids: dict[str, int] = {}
        self.memory: queue.Queue[tuple[list[Any], str, int]] = queue.Queue()
        threading.Thread(target=self.index, daemon=True).start()

    def index(self) -> None:
        while True:
            events, channel, ack_id = self.memory.get()
            time.sleep(self.options.index_s)
            self.store.add(events)
            if channel and not self.options.never_index:
                with self.lock:
                    self.channels[channel][ack_id] = True

    def respond(self, request: Request) -> Response:
        if code := self.stranger(request):
            return reply(code)
        if request.path == "/services/collector/ack":
            return self.acks(request)
        if request.path not in PATHS:
            return 404, {"text": "The requested URL was not found on this server.", "code": 404}
        channel = self.channel_of(request)
        if self.options.ack and not channel:
            return reply(10)
        if self.options.ack and not is_guid(channel):
            return reply(11)
        if not request.body.strip():
            return reply(5) if not self.options.terse else (400, {})
        events, bad = self.read(request.body.decode())
        if bad is not None and self.options.terse:
            return 400, {}
        if bad is not None:
            self.memory.put((events, "", 0))  # what came before is indexed, and nobody told
            code, number = bad
            return reply(code, **{"invalid-event-number": number})
        if not self.options.ack:
            self.memory.put((events, "", 0))
            return reply(0)
        with self.lock:
            ack_id = self.next_ids.get(channel, 0)
            self.next_ids[channel] = ack_id + 1
            self.channels.setdefault(channel, {})[ack_id] = False
        self.memory.put((events, channel, ack_id))
        return reply(0, ackId=ack_id)

    def stranger(self, request: Request) -> int:
        given = request.headers.get("authorization", "")
        if not given:
            return 2
        if not given.startswith("Splunk "):
            return 3
        if given != f"Splunk {self.options.token}":
            return 4
        return 1 if self.options.disabled else 0

    def channel_of(self, request: Request) -> str:
        header = request.headers.get("x-splunk-request-channel", "")
        return header or request.query.get("channel", [""])[0]

    def acks(self, request: Request) -> Response:
        if not self.options.ack:
            return reply(14)
        channel = self.channel_of(request)
        if not channel:
            return reply(10)
        with self.lock:
            states = self.channels.get(channel, {})
            asked = json.loads(request.body)["acks"]
            told = {str(each): states.get(each, False) for each in asked}
            for each in asked:
                if states.get(each):
                    del states[each]  # told once
        return 200, {"acks": told}

    def read(self, text: str) -> tuple[list[Any], tuple[int, int] | None]:
        """The events up to the first bad one, and that one's code and number."""
        events: list[Any] = []
        at = 0
        is_poisoned = '"poison"' in text  # a site's own rule, so that a whole record can be refused
        while (at := past_space(text, at)) < len(text):
            try:
                event, at = DECODER.raw_decode(text, at)
            except ValueError:
                return events, (6, len(events))
            code = self.code_of(event)
            if not code and is_poisoned and '"poison"' in json.dumps(event["event"]):
                code = 6
            if code:
                return events, (code, len(events))
            events.append(event)
        return events, None

    def code_of(self, event: Any) -> int:
        if not isinstance(event, dict):
            return 6
        if "event" not in event:
            return 12
        if event["event"] == "":
            return 13
        if event.get("index") not in (None, "", *self.options.index):
            return 7
        fields = event.get("fields", {})
        if not isinstance(fields, dict) or any(isinstance(each, dict) for each in fields.values()):
            return 15
        try:
            float(event.get("time", 0))
        except ValueError:
            return 6
        return 0


def past_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def is_guid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--token", default="token")
    arguments.add_argument("--terse", action="store_true", help="no codes, as others' collectors")
    arguments.add_argument("--disabled", action="store_true")
    arguments.add_argument("--index-s", type=float, default=0.005, help="from memory to the index")
    arguments.add_argument("--ack", action="store_true")
    arguments.add_argument("--never-index", action="store_true", help="acknowledge nothing")
    arguments.add_argument("--index", action="append", default=[])
    chosen = arguments.parse_args()
    serve(chosen, Collector(chosen).respond, reply(9))
