"""How services call others, told from times alone: nested or not, in order or not."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence

from sensor.correlate.soft.kinds import Kind, kind_of, service_class
from sensor.correlate.soft.options import Manner
from sensor.correlate.soft.work import PIECE_US, Work
from sensor.correlate.spans import Span

# Slack to try, until a longer one explains no more calls.
_SLACKS_NS = (0, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000)
_GAIN_LEAST = 0.001
# Of the calls of a service whose calls are nested, so many have an open request around them; those
# of the others were lost.
_NESTED_LEAST = 0.85
_CALLS_LOOKED_AT, _PARENTS_LOOKED_AT = 1000, 200
# Where calls outlast requests, clocks matter less: sensors without a common clock are within this.
_LOOSE = Manner(False, 50_000_000)

# An event loop goes on in order: pairing the k-th in with the k-th out breaks nesting hardly ever.
_BROKEN_MOST, _PAIRS_LEAST = 0.004, 50
_ORDER_LOG_MOST = 9.0
_Period = tuple[int, int, list[int]]  # from, to, requests


def manners(parents: Sequence[Span], children: Sequence[Span]) -> Work[dict[str, Manner]]:
    """Of each class of services that calls others."""
    at_service: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(parents, key=lambda each: each.served_ns):
        at_service[span.callee].append(span)
    calls: dict[str, list[Span]] = defaultdict(list)
    for span in children:
        if span.caller in at_service:
            calls[service_class(span.caller)].append(span)
    services = {service: _Served(spans) for service, spans in at_service.items()}
    yield 2 * (len(parents) + len(children))
    found = {}
    cost_us = 0
    for service, spans in calls.items():
        needed = []
        for span in spans[:: max(1, len(spans) // _CALLS_LOOKED_AT)]:
            need, looked_at = services[span.caller].slack_needed(span)
            needed.append(need)
            cost_us += 2 + looked_at // 2
            if cost_us > PIECE_US:
                yield cost_us
                cost_us = 0
        found[service] = _manner(needed)
    return found


class _Served:
    """Requests at one service in the order of their start."""

    def __init__(self, spans: list[Span]) -> None:
        self._spans = spans
        self._starts = [span.served_ns for span in spans]
        self._life_ns = max(span.replied_ns - span.served_ns for span in spans)

    def slack_needed(self, child: Span) -> tuple[float, int]:
        """The least slack with which some request is around the call; requests looked at."""
        last = bisect_right(self._starts, child.start_ns + _SLACKS_NS[-1])
        ended = child.end_ns - _SLACKS_NS[-1] - self._life_ns
        first = max(0, last - _PARENTS_LOOKED_AT, bisect_left(self._starts, ended, 0, last))
        least = math.inf
        for i in range(last - 1, first - 1, -1):
            parent = self._spans[i]
            need = max(0, self._starts[i] - child.start_ns, child.end_ns - parent.replied_ns)
            least = min(least, need)
            if not least:
                return least, last - i
        return least, last - first


def _manner(needed: list[float]) -> Manner:
    shares = [sum(each <= slack for each in needed) / len(needed) for slack in _SLACKS_NS]
    for slack, share, longer in zip(_SLACKS_NS, shares, shares[1:], strict=False):
        if share > _NESTED_LEAST and longer - share < _GAIN_LEAST:
            return Manner(True, slack)
    return _LOOSE


class Order:
    """Requests and calls of the same number at each service, as if it went on in order."""

    def __init__(self, parents: Sequence[Span], children: Sequence[Span]) -> None:
        at_service: dict[str, list[int]] = defaultdict(list)
        for i, span in enumerate(parents):
            at_service[span.callee].append(i)
        calls: dict[str, dict[Kind, list[int]]] = defaultdict(dict)
        for i, span in enumerate(children):
            if span.caller in at_service:
                calls[span.caller].setdefault(kind_of(span), []).append(i)
        self._paired: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._tested: dict[str, list[bool]] = defaultdict(list)  # broken?
        for service, numbers in at_service.items():
            periods = list(_busy(sorted(numbers, key=lambda i: _in_order(parents[i])), parents))
            for found in calls[service].values():
                found.sort(key=lambda i: (children[i].start_ns, children[i].end_ns, i))
                self._pair(service_class(service), periods, found, parents, children)

    def _pair(
        self,
        service: str,
        periods: list[_Period],
        numbers: list[int],
        parents: Sequence[Span],
        children: Sequence[Span],
    ) -> None:
        for parent, child, crowded in _pairs(periods, numbers, children):
            nested = _nested(parents[parent], children[child])
            if crowded:
                self._tested[service].append(not nested)
            if nested:
                self._paired[service].append((child, parent))

    def keepers(self) -> dict[str, float]:
        """Classes of services that keep the order -> log-odds that a pair belongs together."""
        found = {}
        for service, tested in self._tested.items():
            count, broken = len(tested), sum(tested)
            if count >= _PAIRS_LEAST and broken < _BROKEN_MOST * count:
                worth = 1 + math.log(count / (1 + 10 * broken))
                found[service] = min(_ORDER_LOG_MOST, worth)
        return found

    def bonus(self, keepers: dict[str, float]) -> dict[tuple[int, int], float]:
        """(child, parent) -> log-odds."""
        return {
            pair: keepers[service]
            for service, pairs in self._paired.items()
            if service in keepers
            for pair in pairs
        }


def _in_order(span: Span) -> tuple[int, int]:
    return span.served_ns, span.replied_ns


def _nested(parent: Span, child: Span) -> bool:
    return parent.served_ns <= child.start_ns and child.end_ns <= parent.replied_ns


def _busy(numbers: list[int], parents: Sequence[Span]) -> Iterator[_Period]:
    """Requests with no pause between them."""
    period: list[int] = []
    first = end = 0
    for i in numbers:
        parent = parents[i]
        if period and parent.served_ns > end:
            yield first, end, period
            period = []
        if not period:
            first, end = parent.served_ns, parent.replied_ns
        period.append(i)
        end = max(end, parent.replied_ns)
    if period:
        yield first, end, period


def _pairs(
    periods: list[_Period], numbers: list[int], children: Sequence[Span]
) -> Iterator[tuple[int, int, bool]]:
    """The k-th request with the k-th call, of periods that have as many; was it one of several?"""
    at = 0
    for first, last, period in periods:
        inside = []
        while at < len(numbers) and children[numbers[at]].start_ns <= last:
            if children[numbers[at]].start_ns >= first:
                inside.append(numbers[at])
            at += 1
        if len(inside) == len(period):
            for parent, child in zip(period, inside, strict=True):
                yield parent, child, len(period) > 1
