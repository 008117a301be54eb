"""Counters and histograms of our own: closed label sets, at zero from the start, with exemplars.

An exemplar names the record that was counted last; only OpenMetrics text shows it.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OTHER = "other"  # where a label value outside the closed set is counted
EXEMPLAR_LABEL = "record_id"
EXEMPLAR_CHARS_MAX = 128 - len(EXEMPLAR_LABEL)  # OpenMetrics 1.0, names and values together


@dataclass(frozen=True, slots=True)
class Example:
    """The record behind a count."""

    record_id: str
    value: float
    time_s: float


Row = tuple[str, ...]


class Counted:
    """A counter by label values; only rises. `rows` are there from the start."""

    def __init__(
        self, name: str, help_text: str, labels: tuple[str, ...], rows: Iterable[Row] = ()
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.labels = labels
        self._values = dict.fromkeys(rows, 0)
        self._examples: dict[Row, Example] = {}
        self._lock = threading.Lock()

    def start(self, *row: str) -> None:
        """Make a row known, at zero."""
        with self._lock:
            self._values.setdefault(row, 0)

    def add(self, *row: str, by: int = 1, record_id: str = "") -> None:
        with self._lock:
            if row not in self._values:
                row = (OTHER,) * len(self.labels)
            self._values[row] = self._values.get(row, 0) + by
            if 0 < len(record_id) <= EXEMPLAR_CHARS_MAX:
                self._examples[row] = Example(record_id, by, time.time())

    def value(self, *row: str) -> int:
        with self._lock:
            return self._values.get(row, 0)

    def rows(self) -> list[tuple[Row, int]]:
        with self._lock:
            return list(self._values.items())

    def examples(self) -> dict[Row, Example]:
        with self._lock:
            return dict(self._examples)


class Observed:
    """A classic histogram of seconds, without labels."""

    def __init__(self, name: str, help_text: str, bounds_s: Sequence[float]) -> None:
        self.name = name
        self.help_text = help_text
        self.bounds_s = tuple(bounds_s)
        self._counts = [0] * (len(self.bounds_s) + 1)
        self._examples: list[Example | None] = [None] * (len(self.bounds_s) + 1)
        self._sum_s = 0.0
        self._lock = threading.Lock()

    def observe(self, value_s: float, record_id: str = "") -> None:
        at = bisect_left(self.bounds_s, value_s)
        with self._lock:
            self._counts[at] += 1
            self._sum_s += value_s
            if 0 < len(record_id) <= EXEMPLAR_CHARS_MAX:
                self._examples[at] = Example(record_id, value_s, time.time())

    def buckets(self) -> tuple[list[int], list[Example | None], float]:
        """Counts and examples of each bound, then of what is above all, and the sum."""
        with self._lock:
            return list(self._counts), list(self._examples), self._sum_s
