"""Targets, manners of services, narrowing by ids, counts: what goes into the likelihood."""

from array import array

import pytest

from sensor import _core
from sensor.correlate.soft import offline
from sensor.correlate.soft.fitting import fit, roles
from sensor.correlate.soft.kinds import Kinds, service_class
from sensor.correlate.soft.learning import Effort
from sensor.correlate.soft.manners import Order, manners
from sensor.correlate.soft.model import COUNTS
from sensor.correlate.soft.options import ids_above, narrowed
from sensor.correlate.soft.targets import Relation, Targets
from sensor.correlate.soft.work import done
from sensor.correlate.spans import Span
from tests.accuracy.impairments import jittered, lossy
from tests.accuracy.traffic import MS, keyed, requests


def call(identity: int, target: str = "", operation_id: str = "") -> Span:
    return Span(identity, "VCD", "VC", "x", 0, 1, 0, 1, target=target, operation_id=operation_id)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ESX01", "ESX"), ("GOS-vm-1093", "GOS-vm"), ("VC", "VC"), ("10", "10"), ("a1b", "a1b")],
)
def test_instances_are_one_class(name: str, expected: str) -> None:
    assert service_class(name) == expected


def test_rare_kinds_share_a_number() -> None:
    spans = [Span(i, "a", "b", f"/{min(i, 500)}", 0, 1, 0, 1) for i in range(600)]
    kinds = Kinds.of(spans, spans)
    assert kinds.kind(spans[-1]) != 0
    assert sum(kinds.kind(span) == 0 for span in spans) > 300
    assert kinds.kind(Span(0, "x", "y", "z", 0, 1, 0, 1)) == 0


def test_targets_that_belong_together() -> None:
    targets = Targets([("vapp-1", "vm-1"), ("vapp-1", "vm-2"), ("vapp-2", "vm-3")])
    assert targets.relation("vm-1", "vapp-1") is Relation.LINKED
    assert targets.relation("vm-1", "vm-1") is Relation.LINKED
    assert targets.relation("vm-1", "vapp-2") is Relation.APART
    assert targets.relation("vm-9", "vapp-1") is Relation.PARENT_KNOWN
    assert targets.relation("vm-9", "vapp-9") is Relation.UNKNOWN


def odds_log(
    targets: Targets, parent: str, relation: Relation = Relation.UNKNOWN, own: float = 0.0
) -> float:
    """Of a child on vm-1 under that parent, if it itself voted for it."""
    votes, of_shape = targets.votes("vm-1", parent)
    options = (
        array("i", [0, 2]), array("i", [0, -1]), array("i", [0, -1]), array("i", [0]),
        array("d", [0.0, 0.0]), array("d", [0.0]),
    )  # fmt: skip
    pair = array("d", [votes]), array("d", [of_shape]), array("d", [100.0]), array("B", [relation])
    log = array("d", [0.0, 0.0])
    _core.causes_weigh(options, pair, array("d", [own, 0.0]), log)
    return log[0]


def test_what_was_under_a_target_is_likely_to_be_again() -> None:
    targets = Targets()
    assert odds_log(targets, "vapp-1") == pytest.approx(0)
    for _ in range(3):
        targets.vote("vm-1", "vapp-1", 0.3)
    assert odds_log(targets, "vapp-1") > 4
    assert odds_log(targets, "vapp-2") < -1
    assert odds_log(targets, "vapp-2", Relation.LINKED) > 4
    assert odds_log(targets, "vapp-1", Relation.APART) < -0.5
    # its own votes are no evidence
    assert odds_log(targets, "vapp-1", own=0.9) == pytest.approx(0)
    targets.forget()
    assert odds_log(targets, "vapp-1") == pytest.approx(0)


def test_ids_and_known_targets_narrow_the_choice() -> None:
    targets = Targets([("vapp-1", "vm-1"), ("vapp-2", "vm-2")])
    parents = [
        call(1, "vapp-1", "op-7"),
        call(2, "vapp-2", "op-7"),
        call(3, "vapp-1"),
        call(4, "vapp-3"),
    ]
    near = [0, 1, 2, 3]
    assert narrowed(call(9, "vm-1", "op-7-4a"), near, [0, 1], parents, targets) == [0]
    assert narrowed(call(9, "", "op-7-4a"), near, [0, 1], parents, targets) == [0, 1]
    assert narrowed(call(9, "vm-1"), near, [], parents, targets) == [0, 2]
    assert narrowed(call(9, "vm-5"), near, [], parents, targets) == near


def test_calls_inside_requests_are_noticed_and_clocks_forgiven() -> None:
    spans = requests(300, 50).spans
    exact = done(manners(*roles(spans)))
    assert {name: (each.nested, each.slack_ns) for name, each in exact.items()} == {
        "front": (True, 0),
        "search": (True, 0),
    }
    lost = done(manners(*roles(lossy(spans, 0.05))))
    assert all(each.nested for each in lost.values())
    noisy = done(manners(*roles(jittered(spans, MS // 10))))
    assert all(each.nested and 0 < each.slack_ns <= 2 * MS for each in noisy.values())
    outlasting = done(manners(*roles(keyed(200, 5).spans)))
    assert not outlasting["cloud"].nested


def test_only_services_that_keep_the_order_are_taken_to() -> None:
    # requests that overlap and answer in the order they came
    fifo = [
        Span(i, "client", "loop", "/", i * 10, i * 10 + 25, i * 10, i * 10 + 25) for i in range(80)
    ]
    calls = [Span(100 + i, "loop", "db", "/q", i * 10 + 12, i * 10 + 14, 0, 0) for i in range(80)]
    order = Order(fifo, calls)
    keepers = order.keepers()
    assert keepers["loop"] > 4
    assert set(order.bonus(keepers)) == {(i, i) for i in range(80)}
    parents, children = roles(requests(400, 300).spans)
    assert "search" not in Order(parents, children).keepers()


def test_a_template_is_learned() -> None:
    parents, children = roles(requests(300, 80).spans)
    site = fit(parents, children, Targets(), Effort(4, 24, 24)).site
    kinds = site.model.kinds
    row = kinds.rows["front", "/front", ""]
    for name in ("search", "profile"):
        at = (row * kinds.kind_count + kinds.kinds["front", name, f"/{name}"]) * COUNTS
        logs = site.model.count_log[at : at + COUNTS]
        assert logs[1] > -0.1
        assert max(logs[0], *logs[2:]) < -3


def test_ids_with_suffixes_lead_to_those_without() -> None:
    assert list(ids_above("op-7.4a:b")) == ["op-7.4a:b", "op-7.4a", "op-7", "op"]
    assert list(ids_above("op")) == ["op"]
    assert list(ids_above("-x")) == ["-x"]


@pytest.mark.parametrize("rate_s", [60, 400])
def test_a_rehearsal_tells_how_right_it_is(rate_s: float) -> None:
    traffic = requests(400, rate_s)
    result = offline.result(traffic.spans, effort=Effort(5, 40, 80))
    right = traffic.share_right({each.span: each.parent for each in result.assignments})
    made = [span.id for span in traffic.spans if span.caller != "client"]
    expected = sum(result.expected[each] for each in made) / len(made)
    assert abs(expected - right) <= 0.02


def test_nothing_to_assign() -> None:
    assert offline.result([]).assignments == []
    [only] = offline.result([call(1)]).assignments
    assert (only.parent, only.probability, only.candidates) == (None, 1.0, ())
