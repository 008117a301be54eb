"""Calls a second on one core: with ids, and by times alone under what was learned before."""

import time
from collections.abc import Iterator

from sensor.correlate.soft.engine import Bounds, Engine
from sensor.correlate.soft.fitting import Site, fit, roles
from sensor.correlate.soft.learning import Effort
from sensor.correlate.soft.targets import Targets
from sensor.correlate.spans import Span
from tests.accuracy.traffic import S, keyed, requests

FROZEN = Bounds(learned_from=0)
MEAN_LIFE_S = 0.0088  # of a request of traffic.requests


def learned(spans: list[Span]) -> Site:
    return fit(*roles(spans), Targets(), Effort(5, 40, 40)).site


def fed(engine: Engine, spans: list[Span]) -> float:
    """Seconds of processor time for all of them."""
    began = time.process_time()
    next_ns = 0
    for span in spans:
        engine.add(span)
        if span.end_ns >= next_ns:  # as batches of packets bring the time along
            engine.advance(span.end_ns)
            next_ns = span.end_ns + S // 20
    engine.finish()
    return time.process_time() - began


def rates(scale: int = 1) -> Iterator[tuple[str, float, float]]:
    """(what, goal, calls a second)"""
    spans = sorted(keyed(6000 * scale, 200).spans, key=lambda span: span.end_ns)
    yield "calls/s with ids", 50_000, len(spans) / fed(Engine(bounds=FROZEN), spans)
    for open_requests, goal in ((1, 20_000), (5, 20_000), (32, 10_000)):
        spans = requests(2500 * scale, open_requests / MEAN_LIFE_S).spans
        spans.sort(key=lambda span: span.end_ns)
        half = len(spans) // 2
        engine = Engine(bounds=FROZEN, site=learned(spans[:half]))
        rate = half / fed(engine, spans[half:])
        yield f"calls/s, {open_requests} open", goal, rate
