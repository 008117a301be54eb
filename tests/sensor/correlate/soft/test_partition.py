"""Parts of a site: they need no more than their own calls, and find what the whole finds."""

import pytest

from sensor.correlate.soft.engine import Bounds, Engine
from sensor.correlate.soft.learning import Effort
from sensor.correlate.soft.partition import decided, parts_of, result, shared_out
from sensor.correlate.spans import Identity, Span
from tests.accuracy.traffic import Traffic, keyed, requests

QUICK = Bounds(effort=Effort(4, 24, 24))


def call(number: int, caller: str, callee: str) -> Span:
    return Span(number, caller, callee, "/", 1, 4, 2, 3)


def test_a_call_goes_to_its_caller_and_to_its_callee() -> None:
    spans = [call(1, "user", "VC"), call(2, "VC", "ESX01"), call(3, "ESX02", "VC")]
    assert parts_of(spans[1]) == ("VC", "ESX")
    assert shared_out(spans) == {"VC": spans, "ESX": spans[1:]}
    assert shared_out([call(1, "VC", "VC")]) == {"VC": [call(1, "VC", "VC")]}


@pytest.mark.parametrize("traffic", [requests(200, 100), keyed(150, 20)], ids=["nested", "keyed"])
def test_the_workers_do_not_show(traffic: Traffic) -> None:
    found = result(traffic.spans).assignments
    assert [each.span for each in found] == [span.id for span in traffic.spans]
    assert result(traffic.spans, workers=2).assignments == found
    assert traffic.share_right({each.span: each.parent for each in found}) > 0.97


def test_an_engine_of_each_part_finds_the_parents() -> None:
    traffic = requests(400, 150)
    parents: dict[Identity, Identity | None] = {span.id: None for span in traffic.spans}
    for part, spans in shared_out(traffic.spans).items():
        engine = Engine(bounds=QUICK)
        found = []
        for span in sorted(spans, key=lambda span: span.end_ns):
            found += engine.add(span) + engine.advance(span.end_ns)
        mine = decided(part, found + engine.finish(), spans)
        assert {each.span for each in mine} == {
            span.id for span in traffic.spans if parts_of(span)[0] == part
        }
        parents |= {each.span: each.parent for each in mine}
    assert traffic.share_right(parents) > 0.97
