"""What is learned of a site: gaps after triggers, calls per parent, rates of causeless calls."""

import math
from array import array
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from mmap import mmap
from typing import TYPE_CHECKING, cast

from sensor import _core
from sensor.correlate.soft.firsts import first_counts, groups_of, span_ns
from sensor.correlate.soft.kinds import Kind, Kinds, Row, service_class
from sensor.correlate.soft.options import Manner
from sensor.correlate.soft.window import Window
from sensor.correlate.soft.work import PIECE_US, Work

if TYPE_CHECKING:
    from sensor._core import CausesModel, CausesTally

__all__ = ["BINS", "COUNTS", "SLOTS", "Model", "Tally", "span_ns"]

BINS, SLOTS, COUNTS = _core.CAUSES_BINS, _core.CAUSES_SLOTS, _core.CAUSES_COUNTS
_GROUP_CELLS = SLOTS * BINS
# Per nanosecond: a gap that no trigger explains.
FLOOR = 1e-13
# Share of calls that are taken to have no cause before anything is known.
_FIRST_ORPHANS = 0.03
# Observations that smoothing takes for granted.
_GAP_PRIOR, _COUNT_PRIOR, _CLASS_COUNT_PRIOR, _ORPHANS_PRIOR = 2.0, 2.0, 0.5, 0.3
_MASS_LEAST = 0.5
# Parents from which a model is learned as well as it can be.
_SURE_AT = 2000
# Microseconds: to smooth a histogram, to sum one up, to learn the counts of a row and a kind, to
# find what is not zero in a histogram.
_SMOOTH_US, _SUM_US, _COUNTS_US, _CELLS_US = 100, 1, 45, 20
# To make the first counts of a row and a kind; to fill the histograms of a group.
_FIRST_COUNTS_US, _SPREAD_US = 15, 12
_SUMS_AT_ONCE = 1000


@dataclass(slots=True)
class Tally:
    """What one or several samples saw, added up."""

    gap: "array[float]"
    count: "array[float]"
    unexplained: "array[float]"
    repeat: "array[float]"

    def arrays(self) -> "CausesTally":
        return self.gap, self.count, self.unexplained, self.repeat


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a model was learned from last: cells that are not zero, of everything tallied."""

    gap: tuple["array[int]", "array[float]"]
    count: tuple["array[int]", "array[float]"]
    unexplained: tuple["array[int]", "array[float]"]
    repeat: "array[float]"
    samples: float
    orphans: list[float]
    span_ns: int


class Model:
    def __init__(self, kinds: Kinds, slack: list[int], group: "array[int]", pace: list[float]):
        """Knows nothing yet but who may call whom, and calls of each kind per ns."""
        self.kinds, self.slack, self.group, self.pace = kinds, array("q", slack), group, pace
        self.groups = max(self.group) + 1
        self.density = array("f")  # see spread and again
        self._effects = _effects(self.group, kinds)
        self.count_log = array("f", bytes(4 * kinds.row_count * kinds.kind_count * COUNTS))
        self.repeat_log = array("f", [0.0, -2.0, 0.0])
        self.rate = [each * _FIRST_ORPHANS for each in pace]  # of those without a cause
        self.loose = [True] * kinds.kind_count  # may its calls outlast what caused them?
        self.lesson: Lesson | None = None
        self.sureness = 0.0  # how well it was learned, up to 1

    @classmethod
    def first(cls, window: Window, manners: dict[str, Manner], mean: list[float]) -> Work["Model"]:
        """`mean` calls of each kind for each row; see firsts.mean_calls."""
        kinds = window.kinds
        slack = [0, *(_slack(manners, row[0]) for row in kinds.rows)]
        children = [0.0] * kinds.kind_count
        for kind in window.child_kind:
            children[kind] += 1
        pace = [max(each, 1.0) / span_ns(window) for each in children]
        yield 3 * len(mean)
        model = cls(kinds, slack, groups_of(mean, kinds), pace)
        yield _FIRST_COUNTS_US * len(mean)
        model.count_log = array("f", first_counts(mean, kinds, manners))
        yield from model.spread()
        return model

    def copy(self) -> Work["Model"]:
        """To be learned further; what is not learned is shared."""
        other = copy(self)
        yield self.groups * _SPREAD_US
        other.density, other.count_log = self.density[:], self.count_log[:]
        other.repeat_log = self.repeat_log[:]
        return other

    def heed(self, manners: dict[str, Manner]) -> None:
        """A call inside its cause has few that it may be taken by."""
        nested = {service for service, manner in manners.items() if manner.nested}
        self.loose = [True, *(kind[0] not in nested for kind in self.kinds.kinds)]

    def tables(self) -> "CausesModel":
        arrays = self.group, self.density, self.count_log, self.repeat_log, self.slack
        return self.kinds.kind_count, self.kinds.row_count, FLOOR, arrays

    def never(self) -> dict[Kind, frozenset[Row]]:
        """Kinds of parents that are known well, and not to make calls of a kind."""
        kinds = self.kinds.kind_count
        found: dict[Kind, frozenset[Row]] = {}
        for kind, number in self.kinds.kinds.items():
            found[kind] = frozenset(
                row
                for row, at in self.kinds.rows.items()
                if self.count_log[(at * kinds + number) * COUNTS] > _NEVER_LOG
            )
        return found

    def rate_logs(self, lost: float, stray_log: float) -> list[float]:
        """Of calls of each kind without a cause, per ns; this share of causes was lost besides."""
        return [
            math.log(rate + lost * pace) + stray_log * self.sureness * is_loose
            for rate, pace, is_loose in zip(self.rate, self.pace, self.loose, strict=True)
        ]

    def tally(self) -> Tally:
        rows, kinds = self.kinds.row_count, self.kinds.kind_count
        return Tally(
            _mapped(len(self.density)),
            _zeros(len(self.count_log)),
            _zeros(rows * (kinds + 2)),
            _zeros(_core.CAUSES_REPEATS),
        )

    def learn(self, tally: Tally, samples: float, orphans: list[float], span_ns: int) -> Work[None]:
        """`tally` is of `samples` samples; `orphans` are children of each kind without parent."""
        yield from self._learn_gaps(tally, samples)
        yield from self._learn_counts(tally, samples)
        elsewhere, again = tally.repeat[0] / samples, tally.repeat[1] / samples
        self.repeat_log[1] = math.log((again + 0.05) / (elsewhere + again + 1))
        self.rate = [(each + _ORPHANS_PRIOR) / span_ns for each in orphans]
        self.sureness = min(1.0, sum(tally.count) / samples / self.kinds.kind_count / _SURE_AT)

    def keep(self, tally: Tally, samples: float, orphans: list[float], span_ns: int) -> Work[None]:
        """So that it can be learned again in another life."""
        sums = yield from self._sums(tally)
        cells, counts = array("i"), array("d")
        for number, mass in enumerate(sums):
            if mass:
                some, of_some = _cells(tally.gap[number * BINS : (number + 1) * BINS])
                cells.extend([number * BINS + each for each in some])
                counts.extend(of_some)
                if number % 64 == 0:
                    yield 64 * _CELLS_US
        yield (len(tally.count) + len(tally.unexplained)) // 20
        parts = (cells, counts), _cells(tally.count), _cells(tally.unexplained)
        self.lesson = Lesson(*parts, tally.repeat, samples, orphans, span_ns)

    def again(self, lesson: Lesson) -> Work[None]:
        """What was learned in another life; the model is of the same kinds."""
        yield from self.spread()
        tally = self.tally()
        parts = (
            (tally.gap, lesson.gap),
            (tally.count, lesson.count),
            (tally.unexplained, lesson.unexplained),
        )
        for into, (cells, counts) in parts:
            for cell, count in zip(cells, counts, strict=True):
                into[cell] = count
        tally.repeat[:] = lesson.repeat
        yield from self.learn(tally, lesson.samples, lesson.orphans, lesson.span_ns)
        self.lesson = lesson

    def _learn_gaps(self, tally: Tally, samples: float) -> Work[None]:
        unexplained = self._unexplained(tally)
        sums = yield from self._sums(tally)
        cost_us = 0
        for effect, groups in self._effects.items():
            cells = [group * SLOTS + slot for group in groups for slot in range(SLOTS)]
            total = sum(sums[cell] for cell in cells) + unexplained.get(effect, 0.0) + samples
            for cell in cells:
                at, mass = cell * BINS, sums[cell] / samples
                cost_us += 1
                if mass < _MASS_LEAST:
                    self.density[at : at + BINS] = _NO_DENSITY
                    continue
                share = sums[cell] / total
                _core.causes_smooth(tally.gap, self.density, at, share, _GAP_PRIOR)
                cost_us += _SMOOTH_US
                if cost_us > PIECE_US:
                    yield cost_us
                    cost_us = 0
        yield cost_us

    def _sums(self, tally: Tally) -> "Work[array[float]]":
        """Of each histogram."""
        found, gap = array("d"), cast("memoryview[float]", memoryview(tally.gap))
        for first in range(0, self.groups * SLOTS, _SUMS_AT_ONCE):
            some = _zeros(min(_SUMS_AT_ONCE, self.groups * SLOTS - first))
            yield len(some) * _SUM_US
            _core.causes_masses(gap[first * BINS : (first + len(some)) * BINS], some)
            found.extend(some)
        return found

    def _unexplained(self, tally: Tally) -> dict[tuple[int, int], float]:
        sums: dict[tuple[int, int], float] = {}
        for at, mass in enumerate(tally.unexplained):
            if mass:
                row, effect = divmod(at, self.kinds.kind_count + 2)
                key = self.kinds.class_of_row[row], effect
                sums[key] = sums.get(key, 0.0) + mass
        return sums

    def _learn_counts(self, tally: Tally, samples: float) -> Work[None]:
        kinds = self.kinds.kind_count
        size = kinds * COUNTS
        by_class: dict[int, list[float]] = {}
        for row, row_class in enumerate(self.kinds.class_of_row):
            sums = by_class.setdefault(row_class, [0.0] * size)
            for i, count in enumerate(tally.count[row * size : (row + 1) * size]):
                sums[i] += count / samples
        yield self.kinds.row_count * size // 5
        for row, row_class in enumerate(self.kinds.class_of_row):
            base = by_class[row_class]
            counts = [each / samples for each in tally.count[row * size : (row + 1) * size]]
            for at in range(0, size, COUNTS):
                logs = _counts_log(counts[at : at + COUNTS], base[at : at + COUNTS])
                self.count_log[row * size + at : row * size + at + COUNTS] = array("f", logs)
            yield kinds * _COUNTS_US

    def spread(self) -> Work[None]:
        """All triggers are equally likely, and all orders of magnitude of a gap."""
        yield self.groups * _SPREAD_US
        self.density = array("f", [0.0]) * (self.groups * _GROUP_CELLS)
        cost_us = 0
        for groups in self._effects.values():
            some = array("f", [each * 0.15 / len(groups) for each in _FLAT]) * SLOTS
            cost_us += _SMOOTH_US + len(groups) * _SPREAD_US
            for group in groups:
                self.density[group * _GROUP_CELLS : (group + 1) * _GROUP_CELLS] = some
            if cost_us > PIECE_US:
                yield cost_us
                cost_us = 0


# A parent that makes no such call with this log-probability is not looked at.
_NEVER_LOG = math.log(1 - 5e-3)
_FLAT = [1 / _core.causes_bin_width(bin) / BINS for bin in range(BINS)]
_NO_DENSITY = array("f", bytes(4 * BINS))
_SHAPE = [math.exp(-1.5 * i) for i in range(COUNTS)]
_COUNT_SHAPE = [each / sum(_SHAPE) for each in _SHAPE]


def _zeros(size: int) -> "array[float]":
    return array("d", [0.0]) * size


def _mapped(size: int) -> "array[float]":
    """Zeros that take no time to make, nor memory where they stay; as good as an array here."""
    table = memoryview(mmap(-1, max(1, size) * 8)).cast("d")[:size]
    return cast("array[float]", table)


def _cells(counts: "array[float]") -> tuple["array[int]", "array[float]"]:
    found = array("i", [at for at, count in enumerate(counts) if count])
    return found, array("d", [counts[at] for at in found])


def _slack(manners: dict[str, Manner], service: str) -> int:
    manner = manners.get(service_class(service))
    return manner.slack_ns if manner else 0


def _effects(group: "array[int]", kinds: Kinds) -> dict[tuple[int, int], list[int]]:
    """Histograms that explain an effect (a kind, a response, an end of task) together."""
    width, effects = kinds.kind_count + 1, kinds.kind_count + 2
    found: dict[tuple[int, int], list[int]] = {}
    for row, row_class in enumerate(kinds.class_of_row):
        if (row_class, 0) in found:
            continue
        for effect in range(effects):
            at = (row * effects + effect) * width
            found[row_class, effect] = [each for each in group[at : at + width] if each >= 0]
    return {key: groups for key, groups in found.items() if groups}


def _others(counts: list[float]) -> list[float]:
    """What others say of a parent with that many calls: it is no evidence for itself."""
    return [counts[0], *(max(0.0, count - 1) for count in counts[1:])]


def _counts_log(counts: list[float], of_class: list[float]) -> Iterator[float]:
    """The row's own counts, with those of its class where they are few, and neighbours a little."""
    total, of_class_total = sum(counts), sum(of_class)
    base = [
        (each + _CLASS_COUNT_PRIOR * shape) / (of_class_total + _CLASS_COUNT_PRIOR)
        for each, shape in zip(_others(of_class), _COUNT_SHAPE, strict=True)
    ]
    padded = [0.0, *base, 0.0]
    for i, count in enumerate(_others(counts)):
        near = 0.9 * base[i] + 0.1 * (0.25 * padded[i] + 0.5 * base[i] + 0.25 * padded[i + 2])
        yield math.log((count + _COUNT_PRIOR * near) / (total + _COUNT_PRIOR) + 1e-7)
