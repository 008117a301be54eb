"""Explicit keys: operation ids, task references, and what contradicts them."""

import pytest

from decoders.message import Outcome, ServerSeen, TicketIssued
from sensor.correlate.chains import CERTAIN
from tests.sensor.talk import ADMIN, ALICE, BOB, ESX1, ESX2, VC, VCD, Talk, vapp, vm


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.login(BOB, VCD, "bob@acme")
    talk.login(ALICE, VCD, "alice@acme")
    return talk


def test_an_id_carried_down_names_who_asked(talk: Talk) -> None:
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="req-1")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61", "web"), operation_id="req-1")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="req-1-5c")
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.path("Destroy_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    assert talk.path("DELETE vApp") == "VCD:bob@acme"
    cause, confidence = talk.cause("Destroy_Task", ESX1)
    assert cause == "explicit" and confidence >= CERTAIN
    assert talk.evidence("Destroy_Task", ESX1) == ["operation_id", "target"]


def test_the_record_says_where_it_stands_in_the_chain(talk: Talk) -> None:
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="req-1")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61", "web"), operation_id="req-1")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="req-1-5c")
    talk.finish()
    top, middle, leaf = (
        talk.find("DELETE vApp"),
        talk.find("Destroy_Task", VC),
        talk.find("Destroy_Task", ESX1),
    )
    assert leaf.hop and middle.hop and top.hop and leaf.chain
    assert [each.hop.index for each in (top, middle, leaf) if each.hop] == [0, 1, 2]
    assert leaf.hop.parent_id == middle.id and middle.hop.parent_id == top.id
    assert top.hop.parent_id == ""
    assert leaf.chain.users == ("bob@acme", "vCloudService", "vpxuser")
    assert leaf.chain.services == ("VCD", "VC", "ESX")
    assert (leaf.source.service, leaf.source.user) == ("VC", "vCloudService")
    assert leaf.to.service == "ESX"
    assert (top.source.ip, top.source.service) == (BOB, "")


def test_what_the_keys_decide_is_said_at_once(talk: Talk) -> None:
    talk.wait(3)
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="req-1")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61", "web"), operation_id="req-1")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="req-1-5c")
    kinds = [each.op.name for each in talk.records if each.kind == "action" and each.op]
    assert kinds == ["DELETE vApp", "Destroy_Task", "Destroy_Task"]


def test_the_longest_common_id_wins(talk: Talk) -> None:
    """One client's ids that begin alike: the child of root-2a is not that of root."""
    talk.login(ADMIN, VC, "admin")
    talk.login(ALICE, VC, "alice")
    talk.call(ADMIN, VC, "PowerOffVM_Task", vm("vm-1"), operation_id="root")
    talk.call(ALICE, VC, "PowerOffVM_Task", vm("vm-2"), operation_id="root-2a")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("7"), operation_id="root-2a-01")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "VC:alice:ESX:vpxuser"


def test_an_id_is_no_parents_beyond_the_level_above(talk: Talk) -> None:
    """The host's call has the id of the cloud's request, but vCenter called the host."""
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="req-1")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"), operation_id="req-1-5c")
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "?:?:ESX:vpxuser"


def test_ids_of_background_work_lead_to_nobody(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "ReconfigVM_Task", vm("vm-1", "web"))
    talk.call(VC, ESX1, "ReconfigVM_Task", vm("22", "web"), operation_id="HB-host-4018@101-32-2d")
    talk.finish()
    assert talk.path("ReconfigVM_Task", ESX1) == "ESX:vpxuser"
    assert talk.evidence("ReconfigVM_Task", ESX1) == ["background"]


def test_a_person_who_poses_as_background_work_is_told_of(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-1", "web"), operation_id="HB-host-1@2-3")
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VC:admin"
    assert talk.alerts() == ["background_operation_id"]


def test_a_constant_id_is_narrowed_by_what_is_acted_on(talk: Talk) -> None:
    """One program sends one id for its whole life, under two people's sessions."""
    talk.login(ADMIN, VC, "admin")
    talk.login(ALICE, VC, "alice")
    for number, client in enumerate((ADMIN, ALICE), 1):
        name = f"web-{number}"
        talk.object(VC, ESX1, vm(f"2{number}", name))
        talk.call(client, VC, "PowerOffVM_Task", vm(f"vm-{number}", name), operation_id="tool")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("21"), operation_id="tool-01")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), operation_id="tool-02")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1, 0) == "VC:admin:ESX:vpxuser"
    assert talk.path("PowerOffVM_Task", ESX1, 1) == "VC:alice:ESX:vpxuser"
    assert talk.cause("PowerOffVM_Task", ESX1) == ("explicit", 0.96)


def test_a_constant_id_that_nothing_narrows_lists_everybody(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.login(ALICE, VC, "alice")
    talk.call(ADMIN, VC, "PowerOffVM_Task", vm("vm-1"), operation_id="tool")
    talk.call(ALICE, VC, "PowerOffVM_Task", vm("vm-2"), operation_id="tool")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), operation_id="tool-01")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "VC:?:ESX:vpxuser"
    candidates = talk.candidates("PowerOffVM_Task", ESX1)
    assert set(candidates) == {"admin", "alice"}
    assert max(candidates.values()) < CERTAIN and sum(candidates.values()) <= 1


def test_one_users_constant_id_names_him_though_not_which_call(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    for number in range(3):
        talk.call(ADMIN, VC, "PowerOffVM_Task", vm(f"vm-{number}"), operation_id="tool")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), operation_id="tool-01")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "VC:admin:ESX:vpxuser"
    assert talk.cause("PowerOffVM_Task", ESX1) == ("explicit", 0.97)


def test_an_id_over_a_crowd_still_finds_its_target(talk: Talk) -> None:
    """More calls under one id than are remembered under it."""
    talk.login(ADMIN, VC, "admin")
    talk.login(ALICE, VC, "alice")
    talk.call(ALICE, VC, "PowerOffVM_Task", vm("vm-1", "hers"), operation_id="tool")
    for number in range(200):
        target = vm(f"vm-9{number}", f"his-{number}")
        talk.call(ADMIN, VC, "PowerOffVM_Task", target, operation_id="tool", lasts=0.001)
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22", "hers"), operation_id="tool-01")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "VC:alice:ESX:vpxuser"


def test_an_old_id_used_again_is_not_the_old_requests(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "PowerOffVM_Task", vm("vm-1"), operation_id="tool")
    talk.wait(1000)
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), operation_id="tool-01")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "?:?:ESX:vpxuser"


def test_an_id_stays_good_while_its_task_runs(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "CloneVM_Task", vm("vm-1"), operation_id="tool", task="task-1")
    talk.wait(3000)
    talk.call(VC, ESX1, "CreateVM_Task", operation_id="tool-01")
    talk.finish()
    assert talk.path("CreateVM_Task", ESX1) == "VC:admin:ESX:vpxuser"


def test_an_id_against_what_is_acted_on_names_nobody_for_certain(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "PowerOffVM_Task", vm("vm-1", "web"), operation_id="tool")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22", "db"), operation_id="tool-01")
    talk.finish()
    assert talk.cause("PowerOffVM_Task", ESX1)[1] < CERTAIN
    assert "key_conflict" in talk.evidence("PowerOffVM_Task", ESX1)
    assert talk.alerts() == ["key_conflict"]


def test_a_request_id_leads_to_its_request_though_the_parent_was_missed(talk: Talk) -> None:
    """One request deletes two VMs; vCenter's call for one of them was lost."""
    talk.call(BOB, VCD, "DELETE vApp", vapp("app"), request_id="req-1")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1", "one"), operation_id="req-1")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "two"), operation_id="req-1-2f")
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.alerts() == []


def test_where_ids_are_passed_on_an_unknown_one_has_an_unseen_cause(talk: Talk) -> None:
    """The request of the last call was lost; that of somebody else fits in all but the id."""
    for number in range(20):
        talk.call(BOB, VCD, "powerOn", vapp("app"), request_id=f"req-{number}")
        talk.call(VCD, VC, "PowerOnVM_Task", vm(f"vm-{number}"), operation_id=f"req-{number}")
    talk.wait(10)
    talk.call(ALICE, VCD, "powerOff", vapp("app"), request_id="req-seen", task="t")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-1"), operation_id="req-lost")
    talk.finish()
    assert talk.path("PowerOffVM_Task") == "?:?:VC:vCloudService"


def test_a_clouds_task_names_the_task_it_started(talk: Talk) -> None:
    """No id is passed on; both clouds' requests are under way; the task list tells them apart."""
    for client, app in ((BOB, "one"), (ALICE, "two")):
        talk.call(client, VCD, "DELETE vApp", vapp(app), task=f"vcd-{app}", request_id=f"r-{app}")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), task="task-7")
    talk.task(ALICE, VCD, "vcd-two", lower_tasks=("task-7",))
    talk.task(VCD, VC, "task-7")
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:alice@acme:VC:vCloudService"
    assert talk.cause("Destroy_Task", VC) == ("explicit", 0.999)
    assert talk.evidence("Destroy_Task", VC) == ["task"]


def test_a_task_list_that_comes_first_is_remembered(talk: Talk) -> None:
    talk.call(ALICE, VCD, "DELETE vApp", vapp("two"), task="vcd-two")
    talk.call(BOB, VCD, "DELETE vApp", vapp("one"), task="vcd-one")
    talk.task(ALICE, VCD, "vcd-two", lower_tasks=("task-7",))
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), task="task-7")
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:alice@acme:VC:vCloudService"


def test_a_task_list_that_comes_late_amends(talk: Talk) -> None:
    for client, app in ((BOB, "one"), (ALICE, "two")):
        talk.call(client, VCD, "DELETE vApp", vapp(app), task=f"vcd-{app}")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1", "web"), task="task-7")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="own-1")
    talk.task(VCD, VC, "task-7")
    talk.wait(5)
    assert talk.path("Destroy_Task", VC) == "?:?:VC:vCloudService"
    before = talk.find("Destroy_Task", VC)
    talk.task(ALICE, VCD, "vcd-two", lower_tasks=("task-7",))
    after = talk.find("Destroy_Task", VC)
    assert talk.path("Destroy_Task", VC) == "VCD:alice@acme:VC:vCloudService"
    assert after.kind == "chain" and after.amends == before.id and after.reason == "parent seen"
    assert after.chain and before.chain and after.chain.id == before.chain.id
    assert talk.path("Destroy_Task", ESX1) == "VCD:alice@acme:VC:vCloudService:ESX:vpxuser"


def test_a_parent_task_is_a_reference_too(talk: Talk) -> None:
    """An extension runs a task below the one that a person started."""
    plugin = "10.0.3.50"
    talk.login(ADMIN, VC, "admin")
    talk.login(plugin, VC, "com.example.patch")
    talk.call(ADMIN, VC, "PatchHost_Task", vm("vm-1"), task="task-1")
    talk.call(plugin, VC, "RebootHost_Task", vm("vm-2"), task="task-2")
    talk.task(plugin, VC, "task-2", parent_task="task-1")
    talk.finish()
    assert talk.path("RebootHost_Task") == "VC:admin:VC:com.example.patch"


def test_keys_that_contradict_each_other_are_told_and_not_averaged(talk: Talk) -> None:
    for client, app in ((BOB, "one"), (ALICE, "two")):
        talk.call(client, VCD, "DELETE vApp", vapp(app), task=f"vcd-{app}", request_id=f"r-{app}")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), task="task-7", operation_id="r-one")
    talk.task(ALICE, VCD, "vcd-two", lower_tasks=("task-7",))
    talk.task(VCD, VC, "task-7")
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:?:VC:vCloudService"
    assert talk.candidates("Destroy_Task", VC) == {"alice@acme": 0.5, "bob@acme": 0.5}
    assert "key_conflict" in talk.evidence("Destroy_Task", VC)
    assert talk.alerts() == ["key_conflict"]


def test_a_request_id_from_a_cell_behind_a_load_balancer(talk: Talk) -> None:
    """The cell's own address is not known to be the cloud's, until several people's ids come."""
    cell = "10.0.2.99"
    talk.login(cell, VC, "vCloudService")
    for number, client in enumerate((BOB, ALICE, BOB)):
        talk.call(client, VCD, "powerOff", vapp("app"), request_id=f"r-{number}")
        talk.call(cell, VC, "PowerOffVM_Task", vm("vm-1"), operation_id=f"r-{number}")
        talk.wait(3)
    paths = [talk.path("PowerOffVM_Task", VC, number) for number in range(3)]
    assert paths == [f"VCD:{user}@acme:VC:vCloudService" for user in ("bob", "alice", "bob")]
    weights = [talk.cause("PowerOffVM_Task", VC, number)[1] for number in range(3)]
    assert weights[0] < CERTAIN and weights[2] >= CERTAIN


def test_his_own_request_id_does_not_make_a_person_a_service(talk: Talk) -> None:
    talk.login(BOB, VC, "bob")
    for number in range(3):
        talk.call(BOB, VCD, "powerOff", vapp("app"), request_id=f"r-{number}")
        talk.call(BOB, VC, "PowerOffVM_Task", vm("vm-1"), operation_id=f"r-{number}")
    talk.wait(3)
    talk.call(BOB, VC, "Destroy_Task", vm("vm-1"))
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VC:bob"
    assert talk.cause("Destroy_Task", VC) == ("none", 1.0)


def test_another_vcenter_with_the_same_id_is_no_parent(talk: Talk) -> None:
    other = "10.0.3.77"
    talk.login(ADMIN, other, "admin")
    talk.login(other, ESX2, "vpxuser")
    talk.call(ADMIN, other, "PowerOffVM_Task", vm("vm-1"), operation_id="tool")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), operation_id="tool-01")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "?:?:ESX:vpxuser"


def test_a_denied_request_is_an_action_of_its_own(talk: Talk) -> None:
    talk.call(
        ALICE, VCD, "DELETE vApp", vapp("app"), outcome=Outcome.FAILURE, fault="HTTP 403",
        request_id="r-1",
    )  # fmt: skip
    talk.finish()
    record = talk.find("DELETE vApp")
    assert (record.outcome, record.fault) == ("failure", "HTTP 403")
    assert talk.path("DELETE vApp") == "VCD:alice@acme"


def ticket(talk: Talk, client: str, server: str, operation: str) -> None:
    """A call whose answer hands out ticket x."""
    span = talk.span()
    talk.call(client, server, operation, vm("vm-1"), port=9, **span)
    issued = TicketIssued(kind="mks", ticket="x", token=f"token-of-{client}", **span)
    talk.say(client, server, issued, port=9)


def test_a_ticket_redeemed_elsewhere_leads_to_who_asked_for_it(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    ticket(talk, ADMIN, VC, "InitiateFileTransferToGuest")
    talk.call(BOB, ESX1, "PUT /guestFile", ticket="x", token="")
    talk.finish()
    assert talk.path("PUT /guestFile") == "VC:admin:ESX:?"
    assert talk.cause("PUT /guestFile") == ("explicit", 0.999)
    assert talk.evidence("PUT /guestFile") == ["ticket"]


def test_a_ticket_redeemed_where_it_was_issued_is_the_same_account(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    ticket(talk, ADMIN, VC, "AcquireGenericServiceTicket")
    talk.call(ADMIN, VC, "GET /folder", ticket="x", token="")
    talk.finish()
    assert talk.path("GET /folder") == "VC:admin"
    record = talk.find("GET /folder")
    assert record.to.user == "admin"
    assert record.hop and record.hop.parent_id == talk.find("AcquireGenericServiceTicket").id


def test_a_ticket_handed_on_belongs_to_who_got_it_last(talk: Talk) -> None:
    """vCenter gets it from the host, and gives it to the administrator."""
    talk.login(ADMIN, VC, "admin")
    ticket(talk, VC, ESX1, "AcquireTicket")
    ticket(talk, ADMIN, VC, "AcquireTicket")
    talk.call(ADMIN, ESX1, "GET /ticket", ticket="x", token="")
    talk.finish()
    assert talk.path("GET /ticket") == "VC:admin:ESX:?"


def test_a_ticket_of_unknown_origin_names_nobody(talk: Talk) -> None:
    talk.call(ADMIN, ESX1, "GET /ticket", ticket="y", token="")
    talk.finish()
    assert talk.path("GET /ticket") == "ESX:?"


@pytest.mark.parametrize("is_first", [True, False])
def test_two_vcenters_count_their_tasks_alike(talk: Talk, is_first: bool) -> None:
    """A cloud says which tasks it started, not at which vCenter."""
    other = "10.0.3.11"
    talk.login(VCD, other, "vCloudService")
    talk.say(ADMIN, other, ServerSeen(service="VC", **talk.span()))
    talk.call(BOB, VCD, "powerOn", vapp("shop"), task="vcd-one")
    talk.call(ALICE, VCD, "DELETE vApp", vapp("mail"), task="vcd-two")
    servers = (VC, other) if is_first else (other, VC)
    for server in servers:
        operation = "PowerOnVM_Task" if server == VC else "Destroy_Task"
        talk.call(VCD, server, operation, vm("vm-61"), task="task-7")
    talk.task(BOB, VCD, "vcd-one", lower_tasks=("task-7",))
    talk.task(ALICE, VCD, "vcd-two", lower_tasks=("task-7",))
    talk.finish()
    assert talk.path("PowerOnVM_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    assert talk.path("Destroy_Task", other) == "VCD:alice@acme:VC:vCloudService"


def test_a_task_from_before_the_request_is_another_of_that_name(talk: Talk) -> None:
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), task="task-9")
    talk.wait(30)
    talk.call(BOB, VCD, "DELETE vApp", vapp("shop"), task="vcd-one")
    talk.task(BOB, VCD, "vcd-one", lower_tasks=("task-9",))
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "?:?:VC:vCloudService"
