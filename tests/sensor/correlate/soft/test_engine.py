"""The engine: blind to the order of arrival, whole after a restart, bounded, mostly right."""

import json
import pickle
import time
import tracemalloc
from dataclasses import replace
from random import Random

import msgpack
import pytest

from sensor.correlate.soft.engine import KEYED, Bounds, Engine
from sensor.correlate.soft.learning import Effort
from sensor.correlate.spans import NOT_SEEN, Assignment, Identity, Span
from tests.accuracy.traffic import MS, S, Traffic, keyed, requests

QUICK = Bounds(effort=Effort(4, 24, 24))


def arrivals(spans: list[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.end_ns)


def feed(engine: Engine, spans: list[Span], late_ns: int = 0) -> list[Assignment]:
    found: list[Assignment] = []
    for span in spans:
        found += engine.add(span)
        found += engine.advance(span.end_ns - late_ns)
    return found


def parents_of(found: list[Assignment]) -> dict[Identity, Identity | None]:
    assert len({each.span for each in found}) == len(found)
    return {each.span: each.parent for each in found}


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return requests(400, 150)


def test_it_is_right_where_the_latest_request_is_not(traffic: Traffic) -> None:
    engine = Engine(bounds=QUICK)
    found = feed(engine, arrivals(traffic.spans)) + engine.finish()
    assert traffic.share_right(parents_of(found)) > 0.97
    for each in found:
        assert sum(one.probability for one in each.candidates) < 1.0001
        assert not each.candidates or each.candidates[0].parent == each.parent


def test_the_order_of_arrival_does_not_show(traffic: Traffic) -> None:
    late_ns = 500 * MS
    random = Random(3)
    shuffled = sorted(traffic.spans, key=lambda span: span.end_ns + random.randrange(late_ns))
    straight, other = Engine(bounds=QUICK), Engine(bounds=QUICK)
    first = feed(straight, arrivals(traffic.spans), late_ns) + straight.finish()
    second = feed(other, shuffled, late_ns) + other.finish()
    assert shuffled != arrivals(traffic.spans)
    assert other.late == 0
    assert second == first


@pytest.mark.parametrize("cut", [40, 900, 1500])
def test_a_restart_in_the_middle_changes_nothing(traffic: Traffic, cut: int) -> None:
    spans = arrivals(traffic.spans)
    whole, engine = Engine(bounds=QUICK), Engine(bounds=QUICK)
    wanted = feed(whole, spans) + whole.finish()
    found = feed(engine, spans[:cut])
    pickled: Engine = pickle.loads(pickle.dumps(engine))
    saved = json.dumps(engine.state())
    assert msgpack.unpackb(msgpack.packb(engine.state())) == json.loads(saved)
    resumed = Engine.from_state(json.loads(saved), bounds=QUICK)
    for each in (pickled, resumed):
        assert found + feed(each, spans[cut:]) + each.finish() == wanted


def test_tasks_and_ids_are_in_the_state() -> None:
    spans = keyed(60, 20).spans
    events = sorted(
        [(span.end_ns, 0, i) for i, span in enumerate(spans)]
        + [(span.done_ns, 1, i) for i, span in enumerate(spans) if span.done_ns != NOT_SEEN]
    )

    def play(engine: Engine, some: list[tuple[int, int, int]]) -> list[Assignment]:
        found: list[Assignment] = []
        for time_ns, is_task, i in some:
            if is_task:
                engine.end_task(spans[i].id, spans[i].done_ns)
            else:
                hidden = replace(spans[i], done_ns=NOT_SEEN, operation_id=f"op{i % 3}")
                found += engine.add(hidden)
            found += engine.advance(time_ns)
        return found

    whole, engine = Engine(bounds=QUICK), Engine(bounds=QUICK)
    wanted = play(whole, events) + whole.finish()
    found = play(engine, events[:150])
    resumed = Engine.from_state(json.loads(json.dumps(engine.state())), bounds=QUICK)
    assert found + play(resumed, events[150:]) + resumed.finish() == wanted


def test_what_was_learned_survives_a_restart(traffic: Traffic) -> None:
    spans = arrivals(traffic.spans)
    engine = Engine(bounds=QUICK)
    found = feed(engine, spans[:1000]) + engine.finish()
    tree = json.loads(json.dumps(engine.learned()))
    assert len(json.dumps(tree)) < 2_000_000
    again, afresh = Engine(bounds=QUICK), Engine(bounds=QUICK)
    again.recall(tree)
    assert again.learned() == tree
    rest = feed(again, spans[1000:]) + again.finish()
    begun = feed(afresh, spans[1000:]) + afresh.finish()
    right = traffic.share_right(parents_of(found + rest))
    assert right > 0.96
    assert right >= traffic.share_right(parents_of(found + begun))


def test_what_was_not_learned_is_not_recalled(traffic: Traffic) -> None:
    engine = Engine(bounds=QUICK)
    assert engine.learned() is None
    feed(engine, arrivals(traffic.spans))
    tree = json.loads(json.dumps(engine.learned()))
    for path, value in (
        (("version",), 0),
        (("site", "model", "gap"), [[-1], [1.0]]),
        (("site", "model", "gap"), [[1 << 40], [1.0]]),
        (("site", "model", "groups"), [[1, 0, 7000]]),
        (("site", "model", "rows"), None),
        (("site", "model", "samples"), 0),
        (("site", "manners"), [["front", True]]),
        (("site",), {}),
        (("targets",), [["vm-1", "vapp-1", "many"]]),
    ):
        damaged = json.loads(json.dumps(tree))
        at = damaged
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
        fresh = Engine(bounds=QUICK)
        with pytest.raises(ValueError, match="not what was learned"):
            fresh.recall(damaged)
        assert fresh.learned() is None
    with pytest.raises(ValueError, match="no state"):
        Engine.from_state({"version": 1}, bounds=QUICK)


def test_no_call_waits_for_learning() -> None:
    """What is worked on at once is bounded: its pieces, and what a step may spend on them."""
    spans = arrivals(requests(1200, 150).spans)
    engine = Engine(bounds=replace(QUICK, learned_from=1024))
    spent: list[float] = []
    for span in spans:
        began = time.process_time()
        engine.add(span)
        engine.advance(span.end_ns)
        spent.append(time.process_time() - began)
    learned = engine.learned()
    assert learned is not None
    assert learned["sample"] == 1024
    spent.sort()
    # One in a thousand may have been disturbed by others on the machine.
    assert spent[-len(spent) // 1000] < 0.05


def test_it_tells_how_right_it_is(traffic: Traffic) -> None:
    engine = Engine(bounds=QUICK)
    assert engine.self_estimate() == {}
    assert engine.reliability() == {}
    found = feed(engine, arrivals(traffic.spans)) + engine.finish()
    estimate = engine.self_estimate()
    calls = sum(count for _, count in estimate.values())
    share = sum(right * count for right, count in estimate.values()) / calls
    assert abs(share - traffic.share_right(parents_of(found))) <= 0.02
    assert ("front /front", "search /search") in estimate
    assert engine.reliability() == {}  # no ids, so none to hide


def test_hidden_ids_tell_how_right_it_would_be_without() -> None:
    calls = keyed(300, 40)
    engine = Engine(bounds=QUICK)
    feed(engine, arrivals(calls.spans))
    reliable = engine.reliability()
    assert reliable == engine.reliability()
    share, count = reliable["center power1", "host power2"]
    assert count > 200
    assert 0.3 < share < 1


def test_ids_decide_at_once() -> None:
    traffic = keyed(300, 20)
    engine = Engine(bounds=QUICK)
    found = feed(engine, arrivals(traffic.spans)) + engine.finish()
    assert traffic.share_right(parents_of(found)) > 0.995


def test_a_call_of_nobody_seen_is_nobodys(traffic: Traffic) -> None:
    engine = Engine(bounds=QUICK)
    last = max(span.end_ns for span in traffic.spans)
    lone = Span("lone", "front", "profile", "/profile", last + S, last + S + MS, last + S, last + S)
    found = feed(engine, [*arrivals(traffic.spans), lone]) + engine.finish()
    [verdict] = [each for each in found if each.span == "lone"]
    assert verdict.parent is None
    assert verdict.probability > 0.9


def test_memory_is_bounded_and_what_is_lost_is_counted(traffic: Traffic) -> None:
    spans = arrivals(traffic.spans)
    engine = Engine(bounds=replace(QUICK, calls_max=1000))
    found = feed(engine, spans)
    assert len(engine) <= 1000
    assert engine.evicted > 0
    found += engine.finish()
    sure = sum(each.probability for each in found) / len(found)
    whole = Engine(bounds=QUICK)
    all_found = feed(whole, spans) + whole.finish()
    assert sure < sum(each.probability for each in all_found) / len(all_found)


def test_too_many_undecided_calls_are_decided_early(traffic: Traffic) -> None:
    engine = Engine(bounds=replace(QUICK, undecided_max=200))
    found: list[Assignment] = []
    for span in arrivals(traffic.spans)[:600]:
        found += engine.add(span)
    assert engine.hurried > 0
    assert len(found) >= 400


def test_a_task_that_ends_later_is_amended() -> None:
    engine = Engine(bounds=QUICK)
    span = keyed(1, 1).spans[0]
    engine.add(replace(span, done_ns=NOT_SEEN))
    engine.end_task(span.id, span.done_ns)
    engine.end_task("unknown", span.done_ns)
    assert [each.span for each in engine.finish()] == [span.id]


def test_a_call_in_flight_is_small() -> None:
    spans = keyed(4000, 2000).spans
    bounds = replace(QUICK, first_learned_at=10**9, learned_from=1)
    tracemalloc.start()
    try:
        engine = Engine(bounds=bounds)
        before = tracemalloc.get_traced_memory()[0]
        for span in spans:
            engine.add(span)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(engine) == len(spans)
    assert used / len(spans) <= 512


def test_an_id_that_the_target_contradicts_does_not_decide() -> None:
    links = [("vapp-1", "vm-1"), ("vapp-2", "vm-2")]
    first = Span(1, "user", "VCD", "x", S, S + MS, S, S + MS, target="vapp-1", operation_id="op")
    child = Span(
        2, "VCD", "VC", "y", S + 2 * MS, S + 3 * MS, S + 2 * MS, S + 3 * MS, operation_id="op-1"
    )
    for target, sure in (("vm-1", True), ("vm-2", False), ("", True)):
        engine = Engine(links, QUICK)
        found = feed(engine, [first, replace(child, target=target)]) + engine.finish()
        verdict = next(each for each in found if each.span == 2)
        assert (verdict.parent == 1 and verdict.probability == KEYED) == sure


def test_traffic_of_a_new_kind_is_learned_soon(traffic: Traffic) -> None:
    """And what was learned before it is learned again when it comes back."""
    engine = Engine(bounds=replace(QUICK, learned_from=1024))
    begin = {"first": 0, "other": 100 * S, "again": 200 * S}
    found: dict[Identity, Identity | None] = {}
    for name, later in begin.items():
        calls = keyed(300, 100) if name == "other" else traffic
        for span in arrivals(calls.spans):
            moved = replace(
                span,
                id=f"{name}{span.id}",
                start_ns=span.start_ns + later,
                end_ns=span.end_ns + later,
                served_ns=span.served_ns + later,
                replied_ns=span.replied_ns + later,
                done_ns=NOT_SEEN if span.done_ns == NOT_SEEN else span.done_ns + later,
            )
            found |= parents_of(engine.add(moved) + engine.advance(moved.end_ns))
    found |= parents_of(engine.finish())
    again = {
        span.id: None
        if found[f"again{span.id}"] is None
        else int(str(found[f"again{span.id}"])[5:])
        for span in traffic.spans
    }
    assert traffic.share_right({**again}) > 0.9
