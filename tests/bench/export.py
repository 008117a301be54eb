"""`make bench-export`: records through each sink to a receiver that counts, alone and spooled.

"alone" is the transport with its format; "spooled" is the way of a live sensor: queue, filter,
spool on disk, courier, transport. CPU is that of this process; a receiver inside it counts with it.
Rates are of records that the receiver has.
"""

import argparse
import importlib
import itertools
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.courier import Courier, SpooledSink
from exporters.deadletter import DeadLetters
from exporters.delivery import Delivery
from exporters.formats.hop import FORMAT
from exporters.linefile import Durability
from exporters.outbox import Outbox, WhenFull
from exporters.spool import Bounds, Spool
from exporters.transport import Refused, Tree
from sensor.metrics import ExportCounts
from sensor.records import Record, as_dict, new_id
from tests.bench.receivers import ALONE_ONLY, RECEIVERS, Measured, Start, receiver
from tests.command import DEMO_CAPTURE
from tests.exporters.recorded import records_of

BATCH_RECORDS, BATCH_BYTES = 512, 1 << 20
WAIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    way: str
    records: int
    wall_s: float
    cpu_s: float
    receiver_cpu_s: float

    def cells(self) -> tuple[str, ...]:
        per_record_us = 1e6 / self.records
        receiver = f"{self.receiver_cpu_s * per_record_us:.1f}" if self.receiver_cpu_s else "-"
        return (
            self.name,
            self.way,
            f"{self.records:,}",
            f"{self.records / self.wall_s:,.0f}",
            f"{self.cpu_s * per_record_us:.1f}",
            receiver,
        )


class Nowhere:
    """What the way costs without a receiver at its end."""

    acknowledges = True

    def __init__(self) -> None:
        self.count = 0

    def send(self, records: list[Tree]) -> list[Refused]:
        self.count += len(records)
        return []

    def probe(self) -> str:
        return "nowhere"

    def close(self) -> None: ...


@receiver("nowhere")
@contextmanager
def nowhere(directory: Path) -> Iterator[Measured]:
    transport = Nowhere()
    yield Measured(transport, lambda: transport.count)  # type: ignore[arg-type]


def alone(name: str, start: Start, records: list[Record]) -> Result:
    trees = [as_dict(record) for record in records]
    with TemporaryDirectory() as directory, start(Path(directory)) as measured:
        begun = Clock(measured)
        for first in range(0, len(trees), BATCH_RECORDS):
            measured.transport.send(trees[first : first + BATCH_RECORDS])
        result = begun.result(name, "alone", len(records))
        measured.transport.close()
    return result


def spooled(name: str, start: Start, records: list[Record]) -> Result:
    counts = ExportCounts()
    with TemporaryDirectory() as directory, start(Path(directory)) as measured:
        spool = Spool(
            Path(directory, "spool"),
            bounds=Bounds(),
            durability=Durability(),
            report=print,
            dropped=lambda why, count: None,
        )
        letters = DeadLetters(Path(directory, "refused"), name, print)
        delivery = Delivery(name, measured.transport, FORMAT, letters, counts, report=print)
        courier = Courier(
            spool,
            delivery,
            records_max=BATCH_RECORDS,
            bytes_max=BATCH_BYTES,
            report=print,
            notice=print,
        )
        courier.start()
        sink = SpooledSink(spool, courier, delivery, as_dict, drain_s=WAIT_S)
        outbox = Outbox(
            sink,
            counts,
            records_max=65536,
            when_full=WhenFull.WAIT,
            report=print,
            counts_written=False,
        )
        begun = Clock(measured)
        outbox.start()
        outbox.offer(records)
        outbox.begin_stop(WAIT_S)
        result = begun.result(name, "spooled", len(records))
        outbox.stop(WAIT_S)
    return result


class Clock:
    """From its making to the record that the receiver gets last."""

    def __init__(self, measured: Measured) -> None:
        self._measured = measured
        self._before = measured.received()
        self._receiver_s = measured.receiver_cpu_s()
        self._cpu_s = time.process_time()
        self._wall_s = time.monotonic()

    def result(self, name: str, way: str, records: int) -> Result:
        deadline = time.monotonic() + WAIT_S
        while self._measured.received() - self._before < records:
            if time.monotonic() > deadline:
                got = self._measured.received() - self._before
                raise SystemExit(f"{name}, {way}: the receiver has {got} of {records} records")
            time.sleep(0.002)
        wall_s, cpu_s = time.monotonic() - self._wall_s, time.process_time() - self._cpu_s
        receiver_s = self._measured.receiver_cpu_s() - self._receiver_s
        return Result(name, way, records, wall_s, cpu_s, receiver_s)


def table(results: list[Result]) -> str:
    head = ("sink", "way", "records", "records/s", "CPU us/record", "receiver's CPU us/record")
    rows = [head, *(each.cells() for each in results)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def main() -> None:
    for path in sorted(Path(__file__).parent.glob("receive_*.py")):
        importlib.import_module(f"tests.bench.{path.stem}")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sinks", nargs="*", help=f"of {', '.join(RECEIVERS)}; default: all")
    parser.add_argument("--records", type=int, default=50_000)
    options = parser.parse_args()
    known = records_of(DEMO_CAPTURE)
    # An id of its own each: receivers drop what they have already.
    records = [
        replace(record, id=new_id(record.ts))
        for record in itertools.islice(itertools.cycle(known), options.records)
    ]
    results = []
    for name in options.sinks or RECEIVERS:
        for way in (alone,) if name in ALONE_ONLY else (alone, spooled):
            results.append(way(name, RECEIVERS[name], records))
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}; records of the demo capture")
    print(table(results))


if __name__ == "__main__":
    main()
