"""A spool under test, what it said and dropped, and numbered records."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from exporters.linefile import Durability
from exporters.spool import Bounds, Spool


@dataclass
class Case:
    """A spool, and what it said and dropped."""

    directory: Path
    bounds: Bounds = Bounds()  # noqa: RUF009 - frozen
    fsync: str = "never"
    now_s: float = 1_000_000.0
    said: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def open(self) -> Spool:
        return Spool(
            self.directory,
            bounds=self.bounds,
            durability=Durability(self.fsync, interval_s=0.0),
            report=self.said.append,
            dropped=lambda why, count: self.dropped.update({why: count}),
            clock=lambda: self.now_s,
        )

    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("*.seg"))


def records(count: int, first: int = 0, size: int = 100) -> list[bytes]:
    return [f"{number} ".encode().ljust(size, b".") for number in range(first, first + count)]


def numbers(payloads: list[bytes]) -> list[int]:
    return [int(each.split()[0]) for each in payloads]


def drained(spool: Spool, records_max: int = 100) -> list[int]:
    """Reads and acknowledges to the end."""
    found: list[int] = []
    while batch := spool.read(records_max, 1 << 20).records:
        found += numbers(batch)
        spool.acknowledge(found[-1])
    return found
