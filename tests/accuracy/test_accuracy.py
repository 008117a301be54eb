"""The method on a sample of simulated delegated calls; the whole table is `make accuracy`."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sensor.correlate.soft import offline
from sensor.correlate.soft.engine import Engine
from sensor.correlate.soft.learning import Effort
from sensor.correlate.spans import (
    Assignment,
    Identity,
    Span,
    read_inventory,
    read_spans,
    smallest_set,
)
from tests.accuracy import baselines
from tests.accuracy.impairments import jittered, lossy, seen_parents
from tests.accuracy.traffic import Traffic, requests

SAMPLE = Path(__file__).parent / "sample"


def truth_of(name: str) -> dict[Identity, dict[str, Any]]:
    with gzip.open(SAMPLE / f"{name}.truth.ndjson.gz", "rt") as lines:
        return {row["id"]: row for row in map(json.loads, lines)}


def scored(found: list[Assignment], name: str) -> dict[str, float]:
    """Of calls of services whose parent was not lost."""
    truth = truth_of(name)
    callers = {span.id: span.caller for span in read_spans(str(SAMPLE / f"{name}.spans.ndjson.gz"))}
    cases = [
        (each, truth[each.span]["parent"])
        for each in found
        if callers[each.span] != "client" and not truth[each.span]["parent_dropped"]
    ]
    right = [each.parent == parent for each, parent in cases]
    sure = [ok for ok, (each, _) in zip(right, cases, strict=True) if each.probability >= 0.95]
    covered = [
        parent in {one.parent for one in smallest_set(each.candidates)}
        for each, parent in cases
        if each.candidates
    ]
    stated = sum(each.probability for each, _ in cases) / len(cases)
    return {
        "right": sum(right) / len(right),
        "sure": len(sure) / len(cases),
        "sure_right": sum(sure) / len(sure),
        "covered": sum(covered) / len(covered),
        "over": stated - sum(right) / len(right),
    }


@pytest.mark.parametrize(("name", "right"), [("poisson_r2", 0.98), ("noopid_r2", 0.97)])
def test_sample(name: str, right: float) -> None:
    spans = read_spans(str(SAMPLE / f"{name}.spans.ndjson.gz"))
    links = read_inventory(str(SAMPLE / f"{name}.inventory.json.gz"))
    figures = scored(
        offline.result(spans, links, Effort(4, 32, 60), rehearsed=False).assignments, name
    )
    assert figures["right"] >= right
    assert figures["sure"] >= 0.9
    assert figures["sure_right"] >= 0.985
    assert figures["covered"] >= 0.98
    assert abs(figures["over"]) <= 0.02
    simple = [scored(baselines.assignments(spans, each), name)["right"] for each in baselines.NAMES]
    assert max(simple) < 0.75


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return requests(900, 120)


def streamed(spans: list[Span]) -> list[Assignment]:
    engine, found = Engine(), []
    for span in sorted(spans, key=lambda span: span.end_ns):
        found += engine.add(span) + engine.advance(span.end_ns)
    return found + engine.finish()


def right_and_claimed(traffic: Traffic, spans: list[Span]) -> tuple[float, float]:
    """Of calls whose parent was seen, and of the others that services made."""
    parents = seen_parents(traffic.parents, spans)
    made = {span.id for span in spans if span.caller != "client"}
    found = [each for each in streamed(spans) if each.span in made]
    right = [each.parent == parents[each.span] for each in found if parents[each.span] is not None]
    claimed = [
        each.parent is not None and each.probability > 0.5
        for each in found
        if parents[each.span] is None
    ]
    return sum(right) / len(right), sum(claimed) / max(1, len(claimed))


def test_lost_calls_cost_little(traffic: Traffic) -> None:
    whole, _ = right_and_claimed(traffic, traffic.spans)
    left, claimed = right_and_claimed(traffic, lossy(traffic.spans, 0.05))
    assert whole > 0.99
    assert whole - left <= 0.01
    assert claimed <= 0.05


def test_clocks_that_disagree_a_little_cost_little(traffic: Traffic) -> None:
    """Two sensors, each off by 100 us at every time that it takes."""
    whole, _ = right_and_claimed(traffic, traffic.spans)
    blurred, _ = right_and_claimed(traffic, jittered(traffic.spans, 100_000))
    assert whole - blurred <= 0.02
