"""A sensor without its capture: numbered records to the sinks of a configuration.

    python -m tests.exporters.feeding CONFIG FIRST COUNT

says "accepted N" whenever the sinks have taken more, so that a test can kill it in the midst; after
the last one it stops as the sensor does.
"""

import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from exporters.outbox import WhenFull
from sensor import config, hashing, terminal
from sensor.metrics import Metrics
from sensor.outputs import Outputs
from sensor.records import Chain, Endpoint, Operation, Record
from sensor.sinks import Sinks

GROUP = 20
PAUSE_S = 0.005  # of a busy site
STOP_S = 10.0


def numbered(first: int, count: int) -> Iterator[Record]:
    for number in range(first, first + count):
        yield Record(
            kind="action",
            ts=1_763_730_000 * 10**9 + number,
            id=f"r{number}",
            chain=Chain(f"r{number}", "VCD:bob@acme:VC:svc", ("bob@acme", "svc"), ("VCD", "VC"), 2),
            to=Endpoint("10.0.0.1", 443, "VC", "svc"),
            op=Operation("Destroy_Task", "vim25", "delete"),
        )


def main(path: str, first: int, count: int) -> None:
    logging.basicConfig(handlers=[terminal.stderr_handler()], level=logging.INFO)
    settings, metrics = config.load(Path(path)), Metrics("")
    hasher = hashing.installation_hasher(settings.hash_key_path)
    sinks = Sinks(settings, hasher, metrics.exports)
    outputs = Outputs(metrics, WhenFull.SHED, logging.error)
    for each, sink in sinks.spooled():
        outputs.add(sink, each.queue_records_max, counts_written=not each.is_spooled)
    records = list(numbered(first, count))
    offered = accepted = 0
    while accepted < count:
        group = records[offered : offered + GROUP]
        outputs.deliver(group)
        offered += len(group)
        time.sleep(PAUSE_S)
        taken = offered - max(length() for _, length in metrics.exports.queues.values())
        if taken > accepted:
            accepted = taken
            print(f"accepted {accepted}", flush=True)
    outputs.stop(STOP_S)
    for row, number in metrics.exports.records.rows():
        print(*row, number)
    outputs.raise_failure()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
