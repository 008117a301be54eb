"""`make bench-export`: the evidence log, written by its sink with a key, then verified."""

import argparse
import io
import itertools
import os
import platform
import time
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.evidence import EvidenceSink, Plan
from sensor import evidence, verify
from sensor.metrics import ExportCounts
from sensor.records import encode_ndjson
from tests.certificates import public_half, signing_key
from tests.command import DEMO_CAPTURE
from tests.exporters.recorded import records_of

BATCH_RECORDS = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=50_000)
    count = parser.parse_args().records
    records = list(itertools.islice(itertools.cycle(records_of(DEMO_CAPTURE)), count))
    size = sum(len(encode_ndjson(record)) for record in records) / count
    with TemporaryDirectory() as directory:
        key, log = signing_key(Path(directory, "evidence.key")), Path(directory, "evidence.ndjson")
        sink = EvidenceSink(
            log,
            ExportCounts(),
            plan=Plan(checkpoint_records=10_000),
            sensor="bench",
            report=print,
            announce=lambda line: None,
            signer=evidence.read_signer(str(key)),
        )
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for first in range(0, count, BATCH_RECORDS):
            sink.write(records[first : first + BATCH_RECORDS])
        sink.close()
        written = (time.perf_counter() - wall_s, time.process_time() - cpu_s)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        with redirect_stdout(io.StringIO()):
            public = public_half(key, Path(directory, "evidence.pub"))
            verdict = verify.verify(verify.Options((str(log),), (str(public),)))
        verified = (time.perf_counter() - wall_s, time.process_time() - cpu_s)
    assert verdict == 0
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}"
    print(f"evidence log, {machine}: {count:,} records of {size:.0f} B on average")
    for what, (wall_s, cpu_s) in (("written", written), ("verified", verified)):
        print(
            f"{what:>9}  {count / wall_s:8,.0f} records/s  {cpu_s / count * 1e6:5.1f} us CPU each"
        )


if __name__ == "__main__":
    main()
