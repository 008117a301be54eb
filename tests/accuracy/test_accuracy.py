"""The method on a sample of simulated delegated calls; the whole table is `make accuracy`."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sensor.correlate.soft import offline
from sensor.correlate.soft.learning import Effort
from sensor.correlate.spans import Assignment, Identity, read_inventory, read_spans, smallest_set
from tests.accuracy import baselines

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
    figures = scored(list(offline.assign(spans, links, Effort(4, 32, 60))), name)
    assert figures["right"] >= right
    assert figures["sure"] >= 0.9
    assert figures["sure_right"] >= 0.985
    assert figures["covered"] >= 0.98
    assert abs(figures["over"]) <= 0.02
    simple = [scored(baselines.assignments(spans, each), name)["right"] for each in baselines.NAMES]
    assert max(simple) < 0.75
