"""What the records say, counted: logins, hops by what is known of their cause, and its delay."""

import re
from collections.abc import Iterable
from itertools import product

from decoders.message import OperationClass
from decoders.systems import SYSTEMS
from sensor.counted import OTHER, Counted, Observed
from sensor.records import Record

RECORD_KINDS = ("login", "logout", "action", "chain", "alert", "gap")
OUTCOMES = ("success", "failure", "unknown")
HOP_RESULTS = ("attributed", "ambiguous", "unattributed")
SERVICES = (*SYSTEMS, OTHER)
CLASSES = (*(each.value for each in OperationClass), OTHER)
# An action waits up to correlate.hold_ms, two seconds, for what explains it.
DELAYS_S = (0.1, 0.5, 1, 2, 3, 5, 10, 30, 120)
NS_PER_S = 10**9
_HEAD_UNSEEN = re.compile(r"[^:]*:\?(:|$)|$")  # the first user is "?", sensor.records.path_of


class RecordCounts:
    def __init__(self) -> None:
        self.kinds = Counted(
            "hoptap_records_total", "Records made, by kind.", ("kind",), _rows(RECORD_KINDS)
        )
        self.logins = Counted(
            "hoptap_logins_total",
            "Logins, by the service that was logged in to.",
            ("service", "result"),
            _rows(SERVICES, OUTCOMES),
        )
        self.hops = Counted(
            "hoptap_hops_total",
            "Actions, by whether the head of their chain is named, one of several, or not seen.",
            ("service", "result"),
            _rows(SERVICES, HOP_RESULTS),
        )
        self.actions = Counted(
            "hoptap_actions_total",
            "Actions, by class and outcome.",
            ("class", "outcome"),
            _rows(CLASSES, OUTCOMES),
        )
        self.amendments = Counted(
            "hoptap_amendments_total",
            "Amended records, by what is known of the head of the chain since.",
            ("result",),
            _rows(HOP_RESULTS),
        )
        self.delay = Observed(
            "hoptap_correlation_delay_seconds",
            "Packet time from the end of an action to its record.",
            DELAYS_S,
        )
        self._services = set(SERVICES)

    def start_services(self, services: Iterable[str]) -> None:
        """Those of the site's own, as its configuration names them."""
        for service in services:
            self._services.add(service)
            for result in OUTCOMES:
                self.logins.start(service, result)
            for result in HOP_RESULTS:
                self.hops.start(service, result)

    def count(self, records: Iterable[Record], reached_ns: int) -> None:
        """Of records made when the capture had come to this packet time."""
        for record in records:
            self.kinds.add(record.kind)
            if record.amends:
                self.amendments.add(hop_result(record))
            elif record.kind == "login":
                service, outcome = self._service(record.to.service), _outcome(record)
                self.logins.add(service, outcome, record_id=record.id)
            elif record.kind == "action":
                self._action(record, reached_ns)

    def _action(self, record: Record, reached_ns: int) -> None:
        service = self._service(record.hop.service if record.hop else record.to.service)
        self.hops.add(service, hop_result(record), record_id=record.id)
        cls = record.op.cls if record.op and record.op.cls in CLASSES else OTHER
        self.actions.add(cls, _outcome(record), record_id=record.id)
        ended_ns = record.ts_end or record.ts
        self.delay.observe(max(0, reached_ns - ended_ns) / NS_PER_S, record.id)

    def _service(self, service: str) -> str:
        return service if service in self._services else OTHER


def hop_result(record: Record) -> str:
    """Whether one person is named at the head of the record's chain."""
    if record.hop is not None and record.hop.cause == "ambiguous":
        return "ambiguous"
    if record.chain is None or _HEAD_UNSEEN.match(record.chain.path):
        return "unattributed"
    return "attributed"


def _outcome(record: Record) -> str:
    return record.outcome if record.outcome in OUTCOMES else "unknown"


def _rows(*labels: Iterable[str]) -> list[tuple[str, ...]]:
    return list(product(*labels))
