"""Which part of a site needs which calls. Parts share nothing, so they may run anywhere.

Whoever caused a call asked the service that made it. A call therefore goes to two parts: to that of
its caller, where its parent is looked for, and to that of its callee, where it may be the parent of
others. A part is a service with all its instances, as they behave alike and are learned together.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from sensor.correlate.soft import offline
from sensor.correlate.soft.kinds import service_class
from sensor.correlate.soft.offline import Result
from sensor.correlate.spans import Assignment, Identity, Span

_Part = tuple[str, list[Span]]


def parts_of(span: Span) -> tuple[str, str]:
    """The part that decides whose call it is, and the one in which it may be a parent."""
    return service_class(span.caller), service_class(span.callee)


def shared_out(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """The calls that each part needs. A caller whom nobody calls is no part: it asks by itself."""
    parts: defaultdict[str, list[Span]] = defaultdict(list)
    callers, callees = set[str](), set[str]()
    for span in spans:
        caller, callee = parts_of(span)
        callers.add(caller)
        callees.add(callee)
        for part in {caller, callee}:
            parts[part].append(span)
    return {part: parts[part] for part in sorted(callers & callees)}


def decided(
    part: str, assignments: Iterable[Assignment], spans: Iterable[Span]
) -> list[Assignment]:
    """Those that are this part's to decide, of the assignments of these spans."""
    callers = {span.id: parts_of(span)[0] for span in spans}
    return [each for each in assignments if callers[each.span] == part]


def result(
    spans: Sequence[Span],
    links: Iterable[tuple[str, str]] = (),
    workers: int = 1,
    *,
    rehearsed: bool = False,
) -> Result:
    """The parent of each span, in the order given, which does not depend on the workers."""
    parts = sorted(shared_out(spans).items(), key=lambda part: -len(part[1]))
    work = partial(_assigned, list(links), rehearsed)
    found: dict[Identity, Assignment] = {}
    expected: dict[Identity, float] = {}
    for mine in _done(work, parts, workers):
        found |= {each.span: each for each in mine.assignments}
        expected |= mine.expected
    assignments = [found.get(span.id) or Assignment(span.id, None, 1.0, ()) for span in spans]
    return Result(assignments, expected)


def _done(work: Callable[[_Part], Result], parts: list[_Part], workers: int) -> Iterator[Result]:
    if workers == 1 or len(parts) < 2:
        yield from map(work, parts)
        return
    with ProcessPoolExecutor(min(workers, len(parts))) as pool:
        yield from pool.map(work, parts)


def _assigned(links: list[tuple[str, str]], rehearsed: bool, part: _Part) -> Result:
    name, spans = part
    whole = offline.result(spans, links, rehearsed=rehearsed)
    mine = decided(name, whole.assignments, spans)
    names = {each.span for each in mine}
    return Result(mine, {span: whole.expected[span] for span in whole.expected if span in names})
