"""What a network does to what is seen, always the same for the same seed."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from sensor.correlate.spans import NOT_SEEN, Identity, Span


def lossy(spans: Sequence[Span], share: float, seed: int = 1) -> list[Span]:
    random = Random(seed)
    return [span for span in spans if random.random() >= share]


def seen_parents(
    parents: dict[Identity, Identity | None], spans: Sequence[Span]
) -> dict[Identity, Identity | None]:
    """The parent of each, or None where it was lost."""
    seen = {span.id for span in spans}
    found = {}
    for span in spans:
        parent = parents[span.id]
        found[span.id] = parent if parent in seen else None
    return found


def jittered(spans: Sequence[Span], deviation_ns: float, seed: int = 1) -> list[Span]:
    """Each time is off by itself: the worst that clocks can do."""
    random = Random(seed)
    found = []
    for span in spans:

        def off(time_ns: int) -> int:
            return time_ns + round(random.gauss(0, deviation_ns))

        start, served = off(span.start_ns), off(span.served_ns)
        found.append(
            replace(
                span,
                start_ns=start,
                end_ns=max(start, off(span.end_ns)),
                served_ns=served,
                replied_ns=max(served, off(span.replied_ns)),
                done_ns=NOT_SEEN if span.done_ns == NOT_SEEN else off(span.done_ns),
            )
        )
    return found
