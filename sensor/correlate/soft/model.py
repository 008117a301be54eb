"""What is learned of a site: gaps after triggers, calls per parent, rates of causeless calls."""

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensor import _core
from sensor.correlate.soft.kinds import Kind, Kinds, Row, service_class
from sensor.correlate.soft.window import NOBODY, Manner, Window

if TYPE_CHECKING:
    from sensor._core import CausesModel, CausesTally

BINS, SLOTS, COUNTS = _core.CAUSES_BINS, _core.CAUSES_SLOTS, _core.CAUSES_COUNTS
_GROUP_CELLS = SLOTS * BINS
# Histograms of a site: 14 kB each. What a site has more of is explained by the parent's own events.
GROUPS_MAX = 4096
# Per nanosecond: a gap that no trigger explains.
FLOOR = 1e-13
# Share of calls that are taken to have no cause before anything is known.
_FIRST_ORPHANS = 0.03
_FIRST_COUNT_LOG_LEAST, _FIRST_MEAN_LEAST = -12.0, 1e-4
# Observations that smoothing takes for granted.
_GAP_PRIOR, _COUNT_PRIOR, _CLASS_COUNT_PRIOR, _ORPHANS_PRIOR = 2.0, 2.0, 0.5, 0.3
_MASS_LEAST = 0.5


@dataclass(slots=True)
class Tally:
    """What one or several samples saw, added up."""

    gap: "array[float]"
    count: "array[float]"
    unexplained: "array[float]"
    repeat: "array[float]"

    def arrays(self) -> "CausesTally":
        return self.gap, self.count, self.unexplained, self.repeat


class Model:
    def __init__(self, window: Window, manners: dict[str, Manner]) -> None:
        """Knows nothing but who calls whom how often."""
        self.kinds = kinds = window.kinds
        rows, count = kinds.row_count, kinds.kind_count
        slacks = [0, *(_slack(manners, row[0]) for row in kinds.rows)]
        self.slack = array("q", slacks)
        mean = _mean_calls(window)
        self.group = array("i", _groups(mean, kinds))
        self.groups = max(self.group) + 1
        self.density = array("f", bytes(4 * self.groups * _GROUP_CELLS))
        self._spread()
        self.count_log = array("f", _first_counts(mean, kinds, manners))
        self.repeat_log = array("f", [0.0, -2.0, 0.0])
        children = [0.0] * count
        for kind in window.child_kind:
            children[kind] += 1
        self.pace = [max(each, 1.0) / span_ns(window) for each in children]  # per ns
        self.rate = [each * _FIRST_ORPHANS for each in self.pace]  # of those without a cause
        assert len(self.count_log) == rows * count * COUNTS

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

    def rate_log(self, kind: int, lost: float) -> float:
        """Of calls without a cause, per ns, if this share of the causes was lost besides."""
        return math.log(self.rate[kind] + lost * self.pace[kind])

    def tally(self) -> Tally:
        rows, kinds = self.kinds.row_count, self.kinds.kind_count
        return Tally(
            _zeros(len(self.density)),
            _zeros(len(self.count_log)),
            _zeros(rows * (kinds + 2)),
            _zeros(_core.CAUSES_REPEATS),
        )

    def learn(self, tally: Tally, samples: float, orphans: list[float], span_ns: int) -> None:
        """`tally` is of `samples` samples; `orphans` are children of each kind without parent."""
        self._learn_gaps(tally, samples)
        self._learn_counts(tally, samples)
        elsewhere, again = tally.repeat[0] / samples, tally.repeat[1] / samples
        self.repeat_log[1] = math.log((again + 0.05) / (elsewhere + again + 1))
        self.rate = [(each + _ORPHANS_PRIOR) / span_ns for each in orphans]

    def _learn_gaps(self, tally: Tally, samples: float) -> None:
        unexplained = self._unexplained(tally)
        for (row_class, effect), groups in self._effects().items():
            masses = [
                sum(tally.gap[at : at + BINS]) / samples
                for group in groups
                for at in range(group * _GROUP_CELLS, (group + 1) * _GROUP_CELLS, BINS)
            ]
            total = sum(masses) + unexplained.get((row_class, effect), 0.0) / samples + 1
            cells = (
                group * _GROUP_CELLS + slot * BINS for group in groups for slot in range(SLOTS)
            )
            for at, mass in zip(cells, masses, strict=True):
                if mass < _MASS_LEAST:
                    self.density[at : at + BINS] = _NO_DENSITY
                else:
                    _core.causes_smooth(tally.gap, self.density, at, mass / total, _GAP_PRIOR)

    def _effects(self) -> dict[tuple[int, int], list[int]]:
        """Histograms that explain an effect (a kind, a response, an end of task) together."""
        kinds = self.kinds.kind_count
        found: dict[tuple[int, int], dict[int, None]] = {}
        width = kinds + 1
        for at in range(0, len(self.group), width):
            row, effect = divmod(at // width, kinds + 2)
            groups = [group for group in self.group[at : at + width] if group >= 0]
            if groups:
                key = self.kinds.class_of_row[row], effect
                found.setdefault(key, {}).update(dict.fromkeys(groups))
        return {key: list(groups) for key, groups in found.items()}

    def _unexplained(self, tally: Tally) -> dict[tuple[int, int], float]:
        sums: dict[tuple[int, int], float] = {}
        for at, mass in enumerate(tally.unexplained):
            if mass:
                row, effect = divmod(at, self.kinds.kind_count + 2)
                key = self.kinds.class_of_row[row], effect
                sums[key] = sums.get(key, 0.0) + mass
        return sums

    def _learn_counts(self, tally: Tally, samples: float) -> None:
        kinds = self.kinds.kind_count
        size = kinds * COUNTS
        by_class: dict[int, list[float]] = {}
        rows = [
            [each / samples for each in tally.count[row * size : (row + 1) * size]]
            for row in range(self.kinds.row_count)
        ]
        for row, counts in enumerate(rows):
            sums = by_class.setdefault(self.kinds.class_of_row[row], [0.0] * size)
            for i, count in enumerate(counts):
                sums[i] += count
        for row, counts in enumerate(rows):
            base = by_class[self.kinds.class_of_row[row]]
            for at in range(0, size, COUNTS):
                logs = _counts_log(counts[at : at + COUNTS], base[at : at + COUNTS])
                self.count_log[row * size + at : row * size + at + COUNTS] = array("f", logs)

    def _spread(self) -> None:
        """All triggers are equally likely, and all orders of magnitude of a gap."""
        flat = [1 / width / BINS for width in _WIDTHS]
        for groups in self._effects().values():
            share = 0.15 / len(groups)
            some = array("f", [each * share for each in flat])
            for group in groups:
                for slot in range(SLOTS):
                    at = group * _GROUP_CELLS + slot * BINS
                    self.density[at : at + BINS] = some


# Means at which a request seems to make one call of a kind, and what is made of them first.
_ONE_MEAN = 0.75, 1.25
_ONE_LOG = [math.log(each) for each in (0.05, 0.95, *[1e-5] * (COUNTS - 2))]
# A parent that makes no such call with this log-probability is not looked at.
_NEVER_LOG = math.log(1 - 5e-3)
_WIDTHS = [_core.causes_bin_width(bin) for bin in range(BINS)]
_NO_DENSITY = array("f", bytes(4 * BINS))
_SHAPE = [math.exp(-1.5 * i) for i in range(COUNTS)]
_COUNT_SHAPE = [each / sum(_SHAPE) for each in _SHAPE]


def _zeros(size: int) -> "array[float]":
    return array("d", bytes(8 * size))


def _slack(manners: dict[str, Manner], service: str) -> int:
    manner = manners.get(service_class(service))
    return manner.slack_ns if manner else 0


def span_ns(window: Window) -> int:
    times = [span.start_ns for span in (*window.parents, *window.children)]
    return max(times) - min(times) + 1 if times else 1


def _mean_calls(window: Window) -> list[float]:
    """[row][kind], every parent that a child may have being as likely."""
    kinds, options = window.kinds.kind_count, window.options
    sums = [0.0] * (window.kinds.row_count * kinds)
    for child, kind in enumerate(window.child_kind):
        span = window.span_of(child)
        share = 1 / max(1, len(span) - 1)
        for option in span:
            if options.parent[option] != NOBODY:
                sums[window.parent_row[options.parent[option]] * kinds + kind] += share
    parents = [0] * window.kinds.row_count
    for row in window.parent_row:
        parents[row] += 1
    return [each / max(1, parents[i // kinds]) for i, each in enumerate(sums)]


def _groups(mean: list[float], kinds: Kinds) -> Iterator[int]:
    """Numbers of histograms, the same for all rows of a class; of too many the likely ones."""
    count = kinds.kind_count
    of_class: dict[int, list[float]] = {}
    for row, row_class in enumerate(kinds.class_of_row):
        sums = of_class.setdefault(row_class, [0.0] * count)
        for kind in range(count):
            sums[kind] += mean[row * count + kind]
    wanted: list[tuple[float, int, int, int]] = []  # weight, class, effect, trigger
    for row_class, means in of_class.items():
        possible = [kind for kind in range(1, count) if means[kind] > 1e-6]
        own = (0, *possible, count, count + 1) if row_class else range(count + 2)
        wanted += ((-1e9, row_class, effect, 0) for effect in own)
        for effect in (*possible, count, count + 1):
            weight = means[effect] if effect < count else 1.0
            wanted += ((-min(weight, means[k]), row_class, effect, 1 + k) for k in possible)
    chosen = sorted(wanted)[:GROUPS_MAX]
    numbers = {each[1:]: number for number, each in enumerate(chosen)}
    for row_class in kinds.class_of_row:
        for effect in range(count + 2):
            for trigger in range(count + 1):
                yield numbers.get((row_class, effect, trigger), -1)


def _first_counts(mean: list[float], kinds: Kinds, manners: dict[str, Manner]) -> Iterator[float]:
    """One call of a kind for each request, where it looks so; else any number."""
    services = ["", *(service_class(row[0]) for row in kinds.rows)]
    for i, each in enumerate(mean):
        manner = manners.get(services[i // kinds.kind_count])
        if manner and manner.nested and _ONE_MEAN[0] < each < _ONE_MEAN[1]:
            yield from _ONE_LOG
        else:
            yield from _poisson_log(each)


def _poisson_log(mean: float) -> Iterator[float]:
    mean = max(mean, _FIRST_MEAN_LEAST)
    for i in range(COUNTS):
        yield max(_FIRST_COUNT_LOG_LEAST, i * math.log(mean) - mean - math.lgamma(i + 1))


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
