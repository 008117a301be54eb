"""When a record leaves, what may still come, and what amends it."""

import pickle
from collections import Counter
from typing import Any

import pytest

from decoders.message import Outcome
from sensor.analysis import AnalysisLimits
from sensor.correlate import chains
from sensor.correlate.actions import Action, Actions, Pairs, Verdict
from sensor.correlate.limits import Limits
from tests.sensor.talk import ADMIN, ALICE, BOB, ESX1, VC, VCD, Talk, vapp, vm

MS = 10**6


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.login(BOB, VCD, "bob@acme")
    talk.login(ADMIN, VC, "admin")
    talk.wait(3)
    talk.records.clear()
    return talk


def test_an_action_waits_for_its_task(talk: Talk) -> None:
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-1"), task="task-1")
    assert talk.records == []
    [record] = talk.task(ADMIN, VC, "task-1", outcome=Outcome.FAILURE, fault="InvalidPowerState")
    assert (record.kind, record.outcome, record.fault) == ("action", "failure", "InvalidPowerState")
    assert record.task == "task-1"


def test_it_waits_no_longer_than_the_hold_and_is_amended_once(talk: Talk) -> None:
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-1"), task="task-1")
    assert talk.wait(1.9) == []
    [record] = talk.wait(0.2)
    assert (record.kind, record.outcome) == ("action", "unknown")
    [amendment] = talk.task(ADMIN, VC, "task-1")
    assert (amendment.kind, amendment.outcome) == ("chain", "success")
    assert (amendment.amends, amendment.reason) == (record.id, "task ended")
    assert amendment.id != record.id and amendment.chain == record.chain
    assert talk.task(ADMIN, VC, "task-1") == []


def test_a_task_that_ends_hours_later_still_amends(talk: Talk) -> None:
    talk.call(ADMIN, VC, "CloneVM_Task", vm("vm-1"), task="task-1")
    talk.wait(5 * 3600)
    [amendment] = talk.task(ADMIN, VC, "task-1")
    assert amendment.reason == "task ended"


def test_a_call_refused_outright_has_no_task_to_wait_for(talk: Talk) -> None:
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-1"), outcome=Outcome.FAILURE, fault="NoPermission")
    [record] = talk.records
    assert (record.outcome, record.fault) == ("failure", "NoPermission")


def test_a_parent_that_completes_after_its_child(talk: Talk) -> None:
    """A synchronous call ends after all that it caused."""
    talk.call(BOB, VCD, "runScript", vapp("app"), request_id="q", task="t", at=10.0)
    talk.call(VC, ESX1, "StartProgramInGuest", vm("22"), operation_id="q-59", at=10.02)
    assert talk.records == []
    talk.call(VCD, VC, "StartProgramInGuest", vm("vm-1"), operation_id="q", at=10.01, lasts=0.05)
    assert talk.path("StartProgramInGuest", VC) == "VCD:bob@acme:VC:vCloudService"
    talk.wait(3)
    assert talk.path("StartProgramInGuest", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.amendments() == []


def test_a_parent_out_of_order_within_the_hold(talk: Talk) -> None:
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="q-1-2", at=10.03)
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1", "web"), operation_id="q-1", at=10.02)
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q-1", at=10.01)
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.amendments() == []


def test_a_parent_after_the_hold_amends_the_whole_chain(talk: Talk) -> None:
    """The cloud answered after many seconds; everything below had been said by then."""
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1", "web"), operation_id="q-1", at=10.02)
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="q-1-2", at=10.03)
    talk.wait(10)
    assert talk.path("Destroy_Task", ESX1) == "?:?:VC:vCloudService:ESX:vpxuser"
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q-1", at=10.01, lasts=12)
    assert talk.path("Destroy_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    assert talk.path("Destroy_Task", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.amendments() == ["parent seen", "parent seen"]


def test_a_parent_is_begun_before_its_child(talk: Talk) -> None:
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), operation_id="q-1", at=10.0)
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q-1", at=10.02)
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "?:?:VC:vCloudService"


def test_a_service_that_becomes_known_within_the_hold(talk: Talk) -> None:
    """The first that is seen of a cloud is what it does, the next what it is asked."""
    other = "10.0.2.11"
    talk.login(other, VC, "vCloudService")
    talk.call(other, VC, "Destroy_Task", vm("vm-1"))
    talk.login(ALICE, other, "alice@acme", api="vcloud")
    talk.wait(3)
    assert talk.path("Destroy_Task", VC) == "?:?:VC:vCloudService"


def test_a_loop_of_ids_ends(talk: Talk) -> None:
    """Two services that call each other under one id."""
    talk.login(VC, VCD, "vc@system")
    for number in range(50):
        client, server = ((VC, VCD), (VCD, VC))[number % 2]
        talk.call(client, server, "Destroy_Task", vm("vm-1"), operation_id="same")
    talk.finish()
    paths = [each.chain.path for each in talk.records if each.chain and each.kind == "action"]
    assert len(paths) == 50
    assert max(len(path) for path in paths) < 1000


def test_a_late_cause_of_a_loop_is_followed_once(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two services ask each other under one id, each within the other; the outermost comes last."""
    talk.login(VC, VCD, "vc@system")
    start, drawn = talk.now_ns, []
    draw = chains.paths_of

    def paths_of(action: Action, verdict: Verdict, own: Pairs, actions: Actions) -> Any:
        drawn.append(action.seq)
        return draw(action, verdict, own, actions)

    for number in range(100, 0, -1):
        client, server = ((VCD, VC), (VC, VCD))[number % 2]
        span: dict[str, Any] = {
            "time_ns": start + number * MS,
            "end_ns": start + (2000 - number) * MS,
        }
        if number == 1:
            talk.wait(5)
            monkeypatch.setattr(chains, "paths_of", paths_of)
            client = ADMIN
        talk.call(client, server, f"Op{number}_Task", vm("vm-1"), operation_id="same", **span)
    talk.finish()
    assert max(Counter(drawn).values()) == 1 and len(drawn) <= 100
    assert talk.path("Op2_Task").startswith("VCD:")
    assert talk.analysis.gauges()["redraws_shed"] == 0


def test_a_full_table_sheds_the_oldest_and_counts() -> None:
    talk = Talk(limits=AnalysisLimits(correlate=Limits(actions_max=10)))
    talk.login(ADMIN, VC, "admin")
    for number in range(50):
        talk.call(ADMIN, VC, "Destroy_Task", vm(f"vm-{number}"), task=f"task-{number}")
    gauges = talk.analysis.gauges()
    assert gauges["actions"] <= 11 and gauges["actions_shed"] >= 39
    talk.finish()
    assert sum(each.kind == "action" for each in talk.records) == 50


def test_old_actions_leave_by_age(talk: Talk) -> None:
    for number in range(20):
        talk.call(ADMIN, VC, "Destroy_Task", vm(f"vm-{number}"), operation_id=f"id-{number}")
    talk.wait(2000)
    assert talk.analysis.gauges()["actions"] == 0
    assert talk.analysis.gauges()["actions_shed"] == 0


def test_the_state_is_plain_enough_to_be_stored_at_any_moment(talk: Talk) -> None:
    """Cut a conversation anywhere, store and load the analysis, go on: the same records."""

    def say(part: int, talk: Talk) -> None:
        match part:
            case 0:
                talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q", task="t")
            case 1:
                talk.call(VC, ESX1, "Destroy_Task", vm("22"), operation_id="q-1-2", token="?")
            case 2:
                talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), operation_id="q-1", task="t-1")
            case 3:
                talk.task(VCD, VC, "t-1")
            case 4:
                talk.task(BOB, VCD, "t", lower_tasks=("t-1",))

    for cut in range(6):
        whole, parted = pickle.loads(pickle.dumps(talk)), pickle.loads(pickle.dumps(talk))
        for part in range(5):
            say(part, whole)
            if part == cut:
                parted = pickle.loads(pickle.dumps(parted))
            say(part, parted)
        whole.finish()
        parted.finish()
        assert whole.records == parted.records
        assert len(whole.records) >= 3


def test_calls_inside_calls_under_one_id_cost_little(talk: Talk) -> None:
    """The innermost ends first, so each new one is above all that were seen."""
    talk.login(VC, VCD, "vc@system")
    correlator, drawn = talk.analysis.knowledge.correlator, 0

    def own_pairs(action: Action) -> Pairs:
        nonlocal drawn
        drawn += 1
        return ((action.server, action.call.user),)

    correlator._own_pairs = own_pairs
    for number in range(40, 0, -1):
        client, server = ((VC, VCD), (VCD, VC))[number % 2]
        at, lasts = 10 + number * 1e-4, (41 - number) * 2e-4
        span = talk.span(at, lasts)
        talk.call(client, server, "Destroy_Task", vm("vm-1"), operation_id="same", **span)
    talk.finish()
    assert sum(each.kind == "action" for each in talk.records) == 40
    assert drawn < 40 * 40 * 4


def test_children_of_a_long_task_leave_with_age(talk: Talk) -> None:
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="q", task="never-ends")
    actions = talk.analysis.knowledge.correlator.actions
    [parent] = actions.with_id("q")
    for number in range(10):
        talk.call(VCD, VC, "Destroy_Task", vm(f"vm-{number}"), operation_id=f"q-{number}")
        talk.wait(300)
    talk.wait(2000)
    talk.call(VCD, VC, "Destroy_Task", vm("vm-last"), operation_id="q-last")
    talk.finish()
    assert actions.get(parent.seq) is parent
    assert [actions.get(seq) is not None for seq in parent.children] == [True]
