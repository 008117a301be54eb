"""What is taken for granted of a site before anything is learned: who may call whom how often."""

import math
from array import array
from collections.abc import Iterator

from sensor import _core
from sensor.correlate.soft.kinds import Kinds, service_class
from sensor.correlate.soft.options import NOBODY, Manner
from sensor.correlate.soft.window import Window
from sensor.correlate.soft.work import PIECE_US, Work

COUNTS = _core.CAUSES_COUNTS
# Histograms of a site: 14 kB each. What a site has more of is explained by the parent's own events.
GROUPS_MAX = 4096
_COUNT_LOG_LEAST, _MEAN_LEAST = -12.0, 1e-4
# Means at which a request seems to make one call of a kind, and what is made of them first.
_ONE_MEAN = 0.75, 1.25
_ONE_LOG = [math.log(each) for each in (0.05, 0.95, *[1e-5] * (COUNTS - 2))]


def span_ns(window: Window) -> int:
    times = [span.start_ns for span in (*window.parents, *window.children)]
    return max(times) - min(times) + 1 if times else 1


def mean_calls(window: Window) -> Work[list[float]]:
    """[row][kind], every parent that a child may have being as likely."""
    kinds, options = window.kinds.kind_count, window.options
    sums = [0.0] * (window.kinds.row_count * kinds)
    cost_us = 0.0
    for child, kind in enumerate(window.child_kind):
        span = window.span_of(child)
        share = 1 / max(1, len(span) - 1)
        for parent in options.parent[span.start : span.stop]:
            if parent != NOBODY:
                sums[window.parent_row[parent] * kinds + kind] += share
        cost_us += 1 + 0.2 * len(span)
        if cost_us > PIECE_US:
            yield int(cost_us)
            cost_us = 0
    parents = [0] * window.kinds.row_count
    for row in window.parent_row:
        parents[row] += 1
    return [each / max(1, parents[i // kinds]) for i, each in enumerate(sums)]


def groups_of(mean: list[float], kinds: Kinds) -> "array[int]":
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
    tables = {row_class: array("i", [-1]) * ((count + 2) * (count + 1)) for row_class in of_class}
    for number, (_, row_class, effect, trigger) in enumerate(sorted(wanted)[:GROUPS_MAX]):
        tables[row_class][effect * (count + 1) + trigger] = number
    found = array("i")
    for row_class in kinds.class_of_row:
        found.extend(tables[row_class])
    return found


def first_counts(mean: list[float], kinds: Kinds, manners: dict[str, Manner]) -> Iterator[float]:
    """One call of a kind for each request, where it looks so; else any number."""
    services = ["", *(service_class(row[0]) for row in kinds.rows)]
    for i, each in enumerate(mean):
        manner = manners.get(services[i // kinds.kind_count])
        if manner and manner.nested and _ONE_MEAN[0] < each < _ONE_MEAN[1]:
            yield from _ONE_LOG
        else:
            yield from _poisson_log(each)


def _poisson_log(mean: float) -> Iterator[float]:
    mean = max(mean, _MEAN_LEAST)
    for i in range(COUNTS):
        yield max(_COUNT_LOG_LEAST, i * math.log(mean) - mean - math.lgamma(i + 1))
