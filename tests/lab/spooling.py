"""Spools numbered records to every [[sink]]: python -m tests.lab.spooling CONFIG FIRST LAST.

Prints after each batch how many records the spools have by then, counted from 0.
"""

import sys
from pathlib import Path

from sensor import hashing
from sensor.config import load
from sensor.metrics import ExportCounts
from sensor.sinks import Sinks
from tests.lab.manyrecords import as_records

BATCH_RECORDS = 256


def main(config: str, first: str, last: str) -> None:
    settings = load(Path(config))
    sinks = [sink for _, sink in Sinks(settings, hashing.run_hasher(), ExportCounts()).spooled()]
    for at in range(int(first), int(last), BATCH_RECORDS):
        batch = as_records(at, min(at + BATCH_RECORDS, int(last)))
        for sink in sinks:
            sink.write(batch)
        print(at + len(batch), flush=True)
    for sink in sinks:
        sink.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
