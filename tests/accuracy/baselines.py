"""What others would say: four simple rules, one choice for each call, no probabilities."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence

from sensor.correlate.soft.fitting import roles
from sensor.correlate.soft.kinds import kind_of
from sensor.correlate.spans import NOT_SEEN, Assignment, Candidate, Identity, Span

HORIZON_NS = 90_000_000_000
LOOKED_AT = 512  # requests before a call

Choose = Callable[[Span, list[Span]], Span | None]


class Requests:
    """Those at each service, in the order of their start."""

    def __init__(self, spans: Sequence[Span]) -> None:
        parents, self.children = roles(spans)
        self._at: dict[str, list[Span]] = defaultdict(list)
        for span in sorted(parents, key=lambda each: each.served_ns):
            self._at[span.callee].append(span)
        self._starts = {
            service: [each.served_ns for each in found] for service, found in self._at.items()
        }

    def before(self, child: Span) -> list[Span]:
        starts = self._starts.get(child.caller, [])
        last = bisect_right(starts, child.start_ns)
        first = max(0, last - LOOKED_AT, bisect_right(starts, child.start_ns - HORIZON_NS))
        return self._at[child.caller][first:last] if starts else []


def _is_open(parent: Span, child: Span) -> bool:
    last = parent.replied_ns if parent.done_ns == NOT_SEEN else parent.done_ns
    return last >= child.start_ns


def nearest(child: Span, before: list[Span]) -> Span | None:
    """The latest request."""
    return before[-1] if before else None


def nested(child: Span, before: list[Span]) -> Span | None:
    """The latest request that is still to be answered when the call ends."""
    return next((each for each in reversed(before) if each.replied_ns >= child.end_ns), None)


class FirstCome:
    """The oldest request still open that did not make this call yet."""

    def __init__(self) -> None:
        self._served: set[tuple[Identity, tuple[str, str, str]]] = set()

    def __call__(self, child: Span, before: list[Span]) -> Span | None:
        kind = kind_of(child)
        for parent in before:
            if _is_open(parent, child) and (parent.id, kind) not in self._served:
                self._served.add((parent.id, kind))
                return parent
        return None


class Wap5:
    """The most likely request under exponential delays, as WAP5 has them (WWW 2006).

    An exponential is densest at nothing, so that is the latest request; none is if it is more
    than four mean delays away.
    """

    def __init__(self, requests: Requests) -> None:
        delays: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for child in requests.children:
            parent = nearest(child, requests.before(child))
            if parent:
                delays[kind_of(child)].append(child.start_ns - parent.served_ns)
        self._mean = {kind: sum(each) / len(each) for kind, each in delays.items()}

    def __call__(self, child: Span, before: list[Span]) -> Span | None:
        parent = nearest(child, before)
        if parent and child.start_ns - parent.served_ns <= 4 * self._mean[kind_of(child)]:
            return parent
        return None


def assignments(spans: Sequence[Span], name: str) -> list[Assignment]:
    requests = Requests(spans)
    rules: dict[str, Callable[[], Choose]] = {
        "nearest": lambda: nearest,
        "nested": lambda: nested,
        "FCFS": FirstCome,
        "WAP5": lambda: Wap5(requests),
    }
    choose = rules[name]()
    found = []
    for child in requests.children:
        parent = choose(child, requests.before(child))
        identity = parent.id if parent else None
        found.append(Assignment(child.id, identity, 1.0, (Candidate(identity, 1.0),)))
    return found


NAMES = ("nearest", "nested", "FCFS", "WAP5")
