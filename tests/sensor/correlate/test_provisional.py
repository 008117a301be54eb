"""What is certain enough is said early, and said again for good."""

import pytest

from tests.sensor.correlate.test_ladder import make_vm
from tests.sensor.talk import ALICE, BOB, CAROL, ESX1, VC, VCD, Talk, flow_of, vapp, vm

SECOND = 10**9


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    for client, user in ((BOB, "bob@acme"), (ALICE, "alice@acme")):
        talk.login(client, VCD, user)
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    return talk


def said(talk: Talk) -> list[tuple[str, str, str]]:
    """(kind, path, state) of the records of the vCenter's call, in order."""
    return [
        (each.kind, each.chain.path, each.hop.state)
        for each in talk.records
        if each.op and each.op.name == "PowerOffVM_Task" and each.chain and each.hop
    ]


def test_certain_is_said_at_once_and_then_for_good(talk: Talk) -> None:
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.wait(0.1)
    assert said(talk) == []
    talk.wait(0.2)
    path = "VCD:bob@acme:VC:vCloudService"
    assert said(talk) == [("action", path, "provisional")]
    talk.finish()
    assert said(talk) == [("action", path, "provisional"), ("chain", path, "")]
    first, last = (each for each in talk.records if each.op and each.op.name == "PowerOffVM_Task")
    assert (last.amends, last.reason) == (first.id, "final")
    assert first.chain and last.chain and last.chain.id == first.chain.id


def test_what_is_not_certain_waits(talk: Talk) -> None:
    for client in (BOB, ALICE):
        talk.call(client, VCD, "powerOff", vapp("shop"), task=f"t-{client}")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.wait(1)
    assert said(talk) == []
    talk.finish()
    assert said(talk) == [("action", "VCD:?:VC:vCloudService", "")]


def test_who_comes_late_changes_the_final_word(talk: Talk) -> None:
    """Another's request is seen late: captured elsewhere, or its key came late."""
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    begun = talk.span()
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.wait(0.3)
    talk.call(ALICE, VCD, "powerOff", vapp("shop"), task="a", **begun)
    talk.finish()
    assert [path for _, path, _ in said(talk)] == [
        "VCD:bob@acme:VC:vCloudService",
        "VCD:?:VC:vCloudService",
    ]


def test_after_a_gap_nobody_is_named_so_soon(talk: Talk) -> None:
    """Another request may have been among the bytes that were missed."""
    flow = flow_of(ALICE, VCD)
    talk.analysis.gap(flow, 0, 1000, talk.now_ns)
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.finish()
    assert said(talk) == [("action", "?:?:VC:vCloudService", "")]
    assert talk.candidates("PowerOffVM_Task", VC)["bob@acme"] > 0.8


def test_a_final_word_that_waits_for_who_is_above_is_final_all_the_same(talk: Talk) -> None:
    """A client not seen before, who may be a service, is still to be judged at the deadline."""
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    begun = talk.span()
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.wait(0.3)
    late = {"time_ns": begun["time_ns"], "end_ns": begun["end_ns"] + SECOND}
    talk.call(CAROL, VCD, "powerOff", vapp("shop"), user="carol@acme", task="c", **late)
    talk.wait(1.2)
    assert [state for _, _, state in said(talk)] == ["provisional"]
    talk.finish()
    assert [(kind, state) for kind, _, state in said(talk)] == [
        ("action", "provisional"), ("chain", ""),
    ]  # fmt: skip
    assert set(talk.candidates("PowerOffVM_Task", VC)) == {"bob@acme", "carol@acme"}
    assert talk.find("PowerOffVM_Task", VC).reason == "final"
