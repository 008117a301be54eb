"""Calls in flight: those whose parent is not decided, and those that may still be parents.

They arrive in any order and are admitted in that of their ends, so that the order of arrival does
not show in anything that follows.
"""

import heapq
from bisect import insort
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sensor.correlate.soft.kinds import Row, row_of, service_class
from sensor.correlate.soft.options import Manner, ids_above, last_ns
from sensor.correlate.spans import Identity, Span


@dataclass(slots=True, eq=False)
class Call:
    span: Span
    row: Row
    children: tuple["Call", ...] = ()  # that were decided to be its own
    likely: "Call | None" = None  # its parent, by the last window that it was not decided in

    @classmethod
    def of(cls, span: Span) -> "Call":
        return cls(span, row_of(span))


def in_end_order(span: Span) -> tuple[int, str]:
    return span.end_ns, str(span.id)


class Calls:
    def __init__(self, calls_max: int) -> None:
        self._calls_max = calls_max
        self._by_id: dict[Identity, Call] = {}
        self._arrived: list[tuple[int, str, Call]] = []  # heap, by end; not admitted yet
        self._ended: list[tuple[int, str, Identity]] = []  # heap; ends of tasks to come
        self._at: defaultdict[str, list[Call]] = defaultdict(list)  # may be parents, by service
        self._pending: deque[Call] = deque()  # admitted, by end
        self._named: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, span: Span) -> None:
        call = Call.of(span)
        self._by_id[span.id] = call
        heapq.heappush(self._arrived, (span.end_ns, str(span.id), call))
        while len(self._by_id) > self._calls_max:
            self._evict()

    def end_task(self, identity: Identity, done_ns: int) -> bool:
        """False if the call is not here any more."""
        if identity not in self._by_id:
            return False
        heapq.heappush(self._ended, (done_ns, str(identity), identity))
        return True

    def admit(self, until_ns: int) -> list[Call]:
        """Those that ended by then; what ended later does not show."""
        found = []
        while self._arrived and self._arrived[0][0] <= until_ns:
            found.append(self._admit(heapq.heappop(self._arrived)[2]))
        while self._ended and self._ended[0][0] <= until_ns:
            done_ns, _, identity = heapq.heappop(self._ended)
            if (call := self._by_id.get(identity)) is not None:
                call.span = replace(call.span, done_ns=done_ns)
        return found

    def _admit(self, call: Call) -> Call:
        span = call.span
        self._at[span.callee].append(call)
        if span.operation_id:
            self._named[span.callee, span.operation_id].append(call)
        if self._pending and self._pending[-1].span.end_ns > span.end_ns:  # it is late
            insort(self._pending, call, key=lambda each: in_end_order(each.span))
        else:
            self._pending.append(call)
        return call

    def ripe(self, until_ns: int) -> list[Call]:
        """Calls that ended by then; they are pending no longer."""
        found = []
        while self._pending and self._pending[0].span.end_ns <= until_ns:
            found.append(self._pending.popleft())
        return found

    @property
    def next_ripe_ns(self) -> int | None:
        first = self._pending[0].span.end_ns if self._pending else None
        if not self._arrived:
            return first
        return self._arrived[0][0] if first is None else min(first, self._arrived[0][0])

    @property
    def undecided(self) -> int:
        return len(self._pending) + len(self._arrived)

    def pending(self, until_ns: int) -> list[Call]:
        """Those that began by then."""
        return [call for call in self._pending if call.span.start_ns <= until_ns]

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

    def lists(self) -> dict[str, list[Call]]:
        """Where each call is; `restore` takes it back."""
        return {
            "known": list(self._by_id.values()),
            "arrived": [call for _, _, call in self._arrived],
            "admitted": [call for calls in self._at.values() for call in calls],
            "pending": list(self._pending),
        }

    def ends(self) -> list[tuple[int, Identity]]:
        return [(done_ns, identity) for done_ns, _, identity in self._ended]

    def restore(self, lists: dict[str, list[Call]], ends: Iterable[tuple[int, Identity]]) -> None:
        self._by_id = {call.span.id: call for call in lists["known"]}
        self._arrived = [(*in_end_order(call.span), call) for call in lists["arrived"]]
        for call in lists["admitted"]:
            self._at[call.span.callee].append(call)
            if call.span.operation_id:
                self._named[call.span.callee, call.span.operation_id].append(call)
        self._pending = deque(lists["pending"])
        self._ended = [(done_ns, str(identity), identity) for done_ns, identity in ends]

    def _evict(self) -> None:
        """The oldest request leaves before its time."""
        if not self._at:
            self._admit(heapq.heappop(self._arrived)[2])
        service = min(self._at, key=lambda each: in_end_order(self._at[each][0].span))
        call = self._at[service].pop(0)
        if not self._at[service]:
            del self._at[service]
        self._leave(call)
        self.evicted += 1

    def _leave(self, call: Call) -> None:
        self._by_id.pop(call.span.id, None)
        call.children, call.likely = (), None
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


def _end_ns(span: Span, manner: Manner, horizon_ns: int) -> int:
    return (span.replied_ns if manner.nested else last_ns(span, horizon_ns)) + manner.slack_ns
