"""Calls made up with their parents: nested ones without keys, tasks with ids."""

from dataclasses import dataclass, replace
from random import Random

from sensor.correlate.spans import NOT_SEEN, Identity, Span

US, MS, S = 1_000, 1_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Traffic:
    spans: list[Span]
    parents: dict[Identity, Identity | None]

    def share_right(self, found: dict[Identity, Identity | None]) -> float:
        """Of the calls that services made."""
        made = [span.id for span in self.spans if span.caller != "client"]
        return sum(found[each] == self.parents[each] for each in made) / len(made)


def requests(count: int, rate_s: float, seed: int = 1) -> Traffic:
    """client -> front -> (search -> geo), profile; everything inside what asked for it."""
    random = Random(seed)
    spans: list[Span] = []
    parents: dict[Identity, Identity | None] = {}
    now = S

    def gap(typical: int) -> int:
        return round(random.lognormvariate(0, 0.35) * typical)

    def add(parent: int | None, caller: str, callee: str, start: int, end: int) -> int:
        number = len(spans)
        spans.append(Span(number, caller, callee, f"/{callee}", start, end, start, end))
        parents[number] = parent
        return number

    for _ in range(count):
        now += round(random.expovariate(rate_s) * S)
        front = add(None, "client", "front", now, now)
        search_start = now + gap(300 * US)
        geo_start = search_start + gap(200 * US)
        geo_end = geo_start + gap(4 * MS)
        search_end = geo_end + gap(150 * US)
        search = add(front, "front", "search", search_start, search_end)
        add(search, "search", "geo", geo_start, geo_end)
        profile_start = search_end + gap(250 * US)
        profile_end = profile_start + gap(3 * MS)
        add(front, "front", "profile", profile_start, profile_end)
        end = profile_end + gap(200 * US)
        spans[front] = replace(spans[front], end_ns=end, replied_ns=end)
    spans.sort(key=lambda span: span.start_ns)
    return Traffic(spans, parents)


def keyed(count: int, rate_s: float, seed: int = 1) -> Traffic:
    """user -> cloud -> center -> host: tasks that outlast their answer, ids handed down."""
    random = Random(seed)
    spans: list[Span] = []
    parents: dict[Identity, Identity | None] = {}
    now = S
    for i in range(count):
        now += round(random.expovariate(rate_s) * S)
        parent: int | None = None
        start = now
        names = (("client", "cloud"), ("cloud", "center"), ("center", f"host{i % 8}"))
        for level, (caller, callee) in enumerate(names):
            number = len(spans)
            end = start + round(random.uniform(5, 20) * MS)
            done = NOT_SEEN if level == 2 else end + round(random.uniform(1, 2) * S)
            identity = f"op{i}" + "-a" * level
            span = Span(number, caller, callee, f"power{level}", start, end, start, end, done)
            spans.append(replace(span, target=f"{callee}/{i % 50}", operation_id=identity))
            parents[number] = parent
            parent, start = number, end + round(random.uniform(1, 50) * MS)
    spans.sort(key=lambda span: span.start_ns)
    return Traffic(spans, parents)
