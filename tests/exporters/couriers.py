"""Outbox, spool and courier as a live sensor has them, to a collector in a process of its own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exporters.courier import Courier, SpooledSink
from exporters.deadletter import DeadLetters
from exporters.delivery import Delivery
from exporters.formats.format import Format
from exporters.formats.hop import FORMAT
from exporters.hec import Hec
from exporters.httpclient import HttpEndpoint
from exporters.linefile import Durability
from exporters.outbox import Outbox, WhenFull
from exporters.spool import Bounds, Spool
from exporters.transport import Transport, Tree
from sensor.metrics import ExportCounts
from sensor.records import Record, as_dict
from tests.exporters.receivers.process import Receiver

WAIT_S = 20.0
NAME = "siem"


class Case:
    """Outbox, spool and courier as a live sensor has them, and what they said."""

    def __init__(
        self,
        directory: Path,
        transport: Transport,
        *,
        format: Format = FORMAT,
        records_max: int = 50,
        prepare: Callable[[Record], Tree | None] = as_dict,
        bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    ) -> None:
        self.counts = ExportCounts()
        self.errors: list[str] = []
        self.notices: list[str] = []
        self.letters = directory / "refused" / "siem.ndjson"
        self.spool = Spool(
            directory / "spool",
            bounds=bounds,
            durability=Durability("never"),
            report=self.errors.append,
            dropped=lambda why, count: self.counts.records.add(NAME, "lost", by=count),
        )
        delivery = Delivery(
            NAME,
            transport,
            format,
            DeadLetters(self.letters, NAME, self.errors.append),
            self.counts,
            report=self.errors.append,
        )
        self.courier = Courier(
            self.spool,
            delivery,
            records_max=records_max,
            bytes_max=1 << 20,
            report=self.errors.append,
            notice=self.notices.append,
            retry_first_s=0.02,
            retry_longest_s=0.1,
        )
        self.courier.start()
        sink = SpooledSink(self.spool, self.courier, delivery, prepare, drain_s=WAIT_S)
        self.outbox = Outbox(
            sink,
            self.counts,
            records_max=100_000,
            when_full=WhenFull.SHED,
            report=self.errors.append,
            tick_s=0.05,
            counts_written=False,
        )
        self.outbox.start()

    def count(self, result: str) -> int:
        return self.counts.records.value(NAME, result)

    def stop(self) -> None:
        self.outbox.stop(WAIT_S)


def records(count: int, first: int = 0, **changes: Any) -> list[Record]:
    return [
        Record(kind="action", ts=number + 1, id=f"r{number}", **changes)
        for number in range(first, first + count)
    ]


def wait_for(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.01)


def collector(port: int, **options: Any) -> Hec:
    endpoint = HttpEndpoint(f"http://127.0.0.1:{port}", 2.0, options.pop("ack_timeout_s", WAIT_S))
    return Hec(endpoint, FORMAT, token=options.pop("token", "token"), **options)


def ids(receiver: Receiver) -> list[str]:
    return [line["event"]["id"] for line in receiver.stored()]


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"r{number}" for number in range(first, first + count)]
