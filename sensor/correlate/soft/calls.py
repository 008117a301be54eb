"""Calls in flight: those whose parent is not decided, and those that may still be parents."""

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from sensor.correlate.soft.fitting import in_time_order
from sensor.correlate.soft.kinds import Row, row_of, service_class
from sensor.correlate.soft.window import Manner, last_ns
from sensor.correlate.spans import Identity, Span

_SUFFIX_MARKS = "-.:/"


@dataclass(slots=True, eq=False)
class Call:
    span: Span
    row: Row
    children: tuple["Call", ...] = ()  # that were decided to be its own


class Calls:
    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._by_id: dict[Identity, Call] = {}
        self._at: defaultdict[str, list[Call]] = defaultdict(list)  # may be parents, by service
        self._pending: list[tuple[int, str, Call]] = []  # heap, by end
        self._named: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, span: Span) -> Call:
        call = Call(span, row_of(span))
        self._by_id[span.id] = call
        self._at[span.callee].append(call)
        if span.operation_id:
            self._named[span.callee, span.operation_id].append(call)
        heapq.heappush(self._pending, (span.end_ns, str(span.id), call))
        while len(self._by_id) > self._calls_max:
            self._evict()
        return call

    def end_task(self, identity: Identity, done_ns: int) -> bool:
        """False if the call is not here any more."""
        call = self._by_id.get(identity)
        if call is not None:
            call.span = replace(call.span, done_ns=done_ns)
        return call is not None

    def ripe(self, until_ns: int) -> list[Call]:
        """Calls that ended by then; they are pending no longer."""
        found = []
        while self._pending and self._pending[0][0] <= until_ns:
            found.append(heapq.heappop(self._pending)[2])
        return found

    @property
    def next_ripe_ns(self) -> int | None:
        return self._pending[0][0] if self._pending else None

    @property
    def undecided(self) -> int:
        return len(self._pending)

    def pending(self, until_ns: int) -> list[Call]:
        """Those that began by then."""
        return [call for _, _, call in self._pending if call.span.start_ns <= until_ns]

    def at(self, service: str) -> list[Call]:
        return self._at.get(service, [])

    def services(self) -> list[str]:
        return list(self._at)

    def expire(
        self, before_ns: int, manners: dict[str, Manner], loose: Manner, horizon_ns: int
    ) -> None:
        """Those that can have no further children leave."""
        for service in list(self._at):
            manner = manners.get(service_class(service))
            if manner is None and manners:  # it never calls
                manner = Manner(True, 0)
            kept = []
            for call in self._at[service]:
                if _end_ns(call.span, manner or loose, horizon_ns) >= before_ns:
                    kept.append(call)
                else:
                    self._leave(call)
            if kept:
                self._at[service] = kept
            else:
                del self._at[service]

    def _evict(self) -> None:
        """The oldest request leaves before its time."""
        service = min(self._at, key=lambda each: in_time_order(self._at[each][0].span))
        call = self._at[service].pop(0)
        if not self._at[service]:
            del self._at[service]
        self._leave(call)
        self.evicted += 1

    def _leave(self, call: Call) -> None:
        self._by_id.pop(call.span.id, None)
        call.children = ()
        key = call.span.callee, call.span.operation_id
        if key in self._named:
            self._named[key].remove(call)
            if not self._named[key]:
                del self._named[key]

    def named(self, child: Span) -> list[Call]:
        """Requests whose id the call carries, perhaps with a suffix, begun before it."""
        for identity in ids_above(child.operation_id):
            found = self._named.get((child.caller, identity))
            if found:
                return found
        return []


def ids_above(identity: str) -> Iterator[str]:
    """The id itself, then without what suffixes it may have."""
    while identity:
        yield identity
        identity = identity[: max(0, *(identity.rfind(mark) for mark in _SUFFIX_MARKS))]


class Requests:
    """Those at each service in the order of their start, as they are now."""

    def __init__(self, calls: Calls, horizon_ns: int) -> None:
        self._calls, self._horizon_ns = calls, horizon_ns
        self._at: dict[str, tuple[list[int], list[Call], int]] = {}

    def near(self, child: Span, manner: Manner, never: frozenset[Row]) -> list[Call]:
        """Requests that may have caused the call, but for kinds that never do."""
        starts, calls, life_ns = self._at.get(child.caller) or self._sorted(child.caller)
        slack = manner.slack_ns
        last = bisect_right(starts, child.start_ns + slack)
        if manner.nested:
            first = bisect_left(starts, child.end_ns - slack - life_ns, 0, last)
            end = child.end_ns - slack
            return [call for call in calls[first:last] if call.span.replied_ns >= end]
        earliest = child.start_ns - slack
        return [
            call
            for call in calls[:last]
            if call.row not in never and last_ns(call.span, self._horizon_ns) >= earliest
        ]

    def _sorted(self, service: str) -> tuple[list[int], list[Call], int]:
        calls = sorted(self._calls.at(service), key=lambda call: in_time_order(call.span))
        starts = [call.span.served_ns for call in calls]
        if any(a > b for a, b in pairwise(starts)):  # the server saw another order
            calls.sort(key=lambda call: call.span.served_ns)
            starts.sort()
        life_ns = max((call.span.replied_ns - call.span.served_ns for call in calls), default=0)
        self._at[service] = found = starts, calls, life_ns
        return found


def _end_ns(span: Span, manner: Manner, horizon_ns: int) -> int:
    return (span.replied_ns if manner.nested else last_ns(span, horizon_ns)) + manner.slack_ns
