"""The soft layer over a million calls: calls a second, memory, how long a call waits.

    python -m tests.bench.correlation [--calls N] [KIND ...]

Traffic is made up in batches that follow each other in time and is not kept. Learning goes on all
the while. Memory is flat if the last quarter needs no more than the first did.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sensor.correlate.soft.engine import Engine
from sensor.correlate.spans import NOT_SEEN, Span
from tests.accuracy.traffic import S, Traffic, keyed, requests

MEAN_LIFE_S = 0.0088  # of a request of traffic.requests
BATCH = 1000  # actions
PASS_NS = S // 20  # as batches of packets bring the time along
GROWTH_MOST = 1.1


@dataclass(frozen=True, slots=True)
class Measured:
    calls: int
    rate_s: float
    resident_mb: tuple[float, float]  # most, in the first quarter after warming up, and the last
    pass_ms: float  # that 99 % of the passes take at most
    evicted: int


def batches(make: Callable[[int, int], Traffic], calls: int) -> Iterator[list[Span]]:
    """Spans of one batch after another, in the order of their ends, with numbers of their own."""
    begin, number, seed = S, 0, 0
    while number < calls:
        seed += 1
        spans = make(BATCH, seed).spans
        shift = begin - min(span.start_ns for span in spans)
        moved = [_moved(span, shift, number) for span in spans]
        yield sorted(moved, key=lambda span: span.end_ns)
        number += len(spans)
        begin = max(span.start_ns for span in moved)


def _moved(span: Span, by: int, number: int) -> Span:
    return replace(
        span,
        id=number + int(span.id),
        operation_id=span.operation_id and f"{number}{span.operation_id}",
        start_ns=span.start_ns + by,
        end_ns=span.end_ns + by,
        served_ns=span.served_ns + by,
        replied_ns=span.replied_ns + by,
        done_ns=NOT_SEEN if span.done_ns == NOT_SEEN else span.done_ns + by,
    )


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def run(make: Callable[[int, int], Traffic], calls: int) -> Measured:
    engine = Engine()
    seen, spent_s, next_ns = 0, 0.0, 0
    quarters = [0.0] * 4
    slow: list[float] = []
    for spans in batches(make, calls):
        spent_s -= time.process_time()
        for span in spans:
            engine.add(span)
            if span.end_ns >= next_ns:
                began = time.perf_counter()
                engine.advance(span.end_ns)
                slow.append(time.perf_counter() - began)
                next_ns = span.end_ns + PASS_NS
        spent_s += time.process_time()
        seen += len(spans)
        quarter = min(3, 4 * seen // calls)
        quarters[quarter] = max(quarters[quarter], resident_mb())
        if 10 * seen // calls > 10 * (seen - len(spans)) // calls:
            so_far = f"{seen:>20,} {seen / spent_s:>9,.0f} {resident_mb():>31.0f}"
            print(so_far, file=sys.stderr, flush=True)
    slow.sort()
    memory = quarters[0], quarters[3]
    return Measured(
        seen, seen / spent_s, memory, slow[len(slow) * 99 // 100] * 1000, engine.evicted
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="of traffic; default: all")
    options = parser.parse_args()
    calls = options.calls
    kinds: list[tuple[str, float, Callable[[int, int], Traffic]]] = [
        ("with ids", 50_000, lambda count, seed: keyed(count, 200, seed)),
        ("1 open", 20_000, lambda count, seed: requests(count, 1 / MEAN_LIFE_S, seed)),
        ("5 open", 20_000, lambda count, seed: requests(count, 5 / MEAN_LIFE_S, seed)),
        ("32 open", 10_000, lambda count, seed: requests(count, 32 / MEAN_LIFE_S, seed)),
    ]
    print(f"{'traffic':<10} {'calls':>9} {'calls/s':>9} {'goal':>9} {'MB, first':>10} "
          f"{'MB, last':>9} {'p99 pass ms':>11} {'evicted':>8}", flush=True)  # fmt: skip
    missed = 0
    for name, goal, make in [
        each for each in kinds if not options.kinds or each[0] in options.kinds
    ]:
        gc.collect()
        found = run(make, calls)
        missed += found.rate_s < goal or found.resident_mb[1] > GROWTH_MOST * found.resident_mb[0]
        print(
            f"{name:<10} {found.calls:>9,} {found.rate_s:>9,.0f} {goal:>9,.0f} "
            f"{found.resident_mb[0]:>10.0f} {found.resident_mb[1]:>9.0f} "
            f"{found.pass_ms:>11.0f} {found.evicted:>8,}",
            flush=True,
        )
    print(f"{missed} kinds of traffic missed a goal" if missed else "all goals reached")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
