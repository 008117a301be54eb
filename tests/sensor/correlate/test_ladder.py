"""Without ids: objects, verbs and time, and how sure that may make."""

import pytest

from decoders.message import OperationClass, Outcome, Target
from sensor.correlate.chains import CERTAIN
from sensor.service_settings import ServiceSettings
from sensor.site import Site
from tests.sensor.talk import ADMIN, ALICE, BOB, CAROL, ESX1, ESX2, VC, VCD, Talk, vapp, vm


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    for client, user in ((BOB, "bob@acme"), (ALICE, "alice@acme"), (CAROL, "carol@acme")):
        talk.login(client, VCD, user)
    return talk


def make_vm(talk: Talk, client: str, app: str, host: str, morefs: tuple[str, str]) -> None:
    """A vApp of one VM comes to be, on all three levels; everything is said of it."""
    upper, lower = morefs
    name = f"{app}-1"
    talk.call(client, VCD, "instantiateVAppTemplate", related=[vapp(app)], task=f"new-{app}")
    talk.call(VCD, VC, "CloneVM_Task", vm("vm-39"), [vm("", name)], task=f"clone-{upper}")
    talk.call(VC, host, "CreateVM_Task", related=[vm("", name)], task=f"create-{lower}")
    talk.task(VC, host, f"create-{lower}", result=vm(lower))
    talk.task(VCD, VC, f"clone-{upper}", result=vm(upper))
    talk.task(client, VCD, f"new-{app}")
    talk.wait(3)


def test_object_verb_and_time_name_who_asked(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    make_vm(talk, ALICE, "mail", ESX2, ("vm-62", "22"))
    talk.call(BOB, VCD, "DELETE vApp", vapp("shop"), task="del-shop")
    talk.call(ALICE, VCD, "DELETE vApp", vapp("mail"), task="del-mail")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-62"), task="t-62")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"), task="t-61")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"))
    talk.call(VC, ESX2, "Destroy_Task", vm("22"))
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.path("Destroy_Task", ESX2) == "VCD:alice@acme:VC:vCloudService:ESX:vpxuser"
    cause, confidence = talk.cause("Destroy_Task", ESX1)
    assert cause == "correlated" and CERTAIN <= confidence < 0.99
    assert "target" in talk.evidence("Destroy_Task", ESX1)
    assert "container" in talk.evidence("Destroy_Task", VC)


def test_a_moref_used_again_is_another_vm(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    talk.call(BOB, VCD, "DELETE vApp", vapp("shop"), task="del-shop")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"), task="t-61")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"), task="e-22")
    talk.task(VC, ESX1, "e-22")
    talk.task(VCD, VC, "t-61")
    talk.task(BOB, VCD, "del-shop")
    talk.wait(3)
    make_vm(talk, ALICE, "mail", ESX1, ("vm-62", "22"))
    talk.call(ALICE, VCD, "DELETE vApp", vapp("mail"), task="del-mail")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-62"), task="t-62")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"))
    talk.finish()
    assert talk.path("Destroy_Task", ESX1, 0) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.path("Destroy_Task", ESX1, 1) == "VCD:alice@acme:VC:vCloudService:ESX:vpxuser"


def test_rivals_for_one_object_are_listed_and_nobody_is_named(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    for client in (BOB, ALICE, CAROL):
        talk.call(client, VCD, "DELETE vApp", vapp("shop"), task=f"del-{client}")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"), task="t-61")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"))
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "VCD:?:VC:vCloudService:ESX:vpxuser"
    assert talk.cause("Destroy_Task", ESX1)[0] == "ambiguous"
    candidates = talk.candidates("Destroy_Task", ESX1)
    assert set(candidates) == {"bob@acme", "alice@acme", "carol@acme"}
    assert sum(candidates.values()) <= 1 and max(candidates.values()) < 0.5
    hop = talk.find("Destroy_Task", ESX1).hop
    assert hop is not None
    requests = {each.id for each in talk.records if each.op and each.op.name == "DELETE vApp"}
    assert {each.id for each in hop.candidates} == requests
    assert {each.path for each in hop.candidates} == {
        f"VCD:{user}@acme:VC:vCloudService:ESX:vpxuser" for user in ("bob", "alice", "carol")
    }


def test_ten_rivals_are_ten_actions_and_an_id_settles_it(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    for number in range(10):
        client = f"10.0.1.{100 + number}"
        talk.login(client, VCD, f"user{number}@acme")
        talk.call(
            client, VCD, "DELETE vApp", vapp("shop"), task=f"d-{number}", request_id=f"q-{number}"
        )
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"), operation_id="q-7", task="t-61")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"), operation_id="q-7-3f")
    talk.finish()
    deletes = [each for each in talk.records if each.op and each.op.name == "DELETE vApp"]
    assert len({each.chain.path for each in deletes if each.chain}) == 10
    assert talk.path("Destroy_Task", ESX1) == "VCD:user7@acme:VC:vCloudService:ESX:vpxuser"
    assert talk.cause("Destroy_Task", ESX1)[1] >= CERTAIN


def test_an_administrator_and_a_cloud_user_at_the_same_vm(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    talk.login(ADMIN, VC, "admin")
    talk.call(BOB, VCD, "DELETE vApp", vapp("shop"), task="del-shop")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"), task="t-61")
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-61"), task="t-62")
    talk.call(VC, ESX1, "Destroy_Task", vm("22"))
    talk.finish()
    assert talk.path("Destroy_Task", VC, 1) == "VC:admin"
    assert set(talk.candidates("Destroy_Task", ESX1)) == {"bob@acme", "admin"}
    assert talk.path("Destroy_Task", ESX1) == "VC:?:ESX:vpxuser"


def test_one_persons_two_requests_are_one_person(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    for number in range(2):
        talk.call(BOB, VCD, "DELETE vApp", vapp("shop"), task=f"del-{number}")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"))
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    cause, confidence = talk.cause("Destroy_Task", VC)
    assert cause == "correlated" and confidence >= CERTAIN


def test_an_impossible_verb_is_no_parent(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    talk.call(ALICE, VCD, "powerOn", vapp("shop"), task="on")
    talk.call(BOB, VCD, "DELETE vApp", vapp("shop"), task="del")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-61"))
    talk.finish()
    assert talk.path("Destroy_Task", VC) == "VCD:bob@acme:VC:vCloudService"


def test_a_request_that_was_over_is_no_parent(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    talk.call(ALICE, VCD, "powerOff", vapp("shop"), task="a")
    talk.task(ALICE, VCD, "a")
    talk.wait(1)
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.finish()
    assert talk.path("PowerOffVM_Task", VC) == "VCD:bob@acme:VC:vCloudService"


def test_a_refused_request_is_no_parent(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    talk.call(ALICE, VCD, "powerOff", vapp("shop"), outcome=Outcome.FAILURE, fault="HTTP 403")
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.finish()
    assert talk.path("PowerOffVM_Task", VC) == "VCD:bob@acme:VC:vCloudService"


def test_a_new_vms_name_that_begins_with_its_vapps(talk: Talk) -> None:
    for client, app in ((BOB, "shop"), (ALICE, "mail"), (CAROL, "shopping")):
        talk.call(client, VCD, "instantiateVAppTemplate", related=[vapp(app)], task=f"t-{app}")
    talk.call(VCD, VC, "CloneVM_Task", vm("vm-39"), [vm("", "shop-1 (abc)")], task="c-1")
    talk.finish()
    assert talk.path("CloneVM_Task", VC) == "VCD:bob@acme:VC:vCloudService"
    cause, confidence = talk.cause("CloneVM_Task", VC)
    assert cause == "correlated" and CERTAIN <= confidence < 0.98


def test_time_alone_says_little(talk: Talk) -> None:
    talk.call(BOB, VCD, "deploy", vapp("shop"), task="t")
    talk.call(VCD, VC, "PowerOnVM_Task", vm("vm-61"))
    talk.finish()
    assert talk.path("PowerOnVM_Task", VC) == "?:?:VC:vCloudService"
    cause, confidence = talk.cause("PowerOnVM_Task", VC)
    assert cause == "ambiguous" and 0.3 < confidence < 0.62
    candidates = talk.candidates("PowerOnVM_Task", VC)
    assert set(candidates) == {"bob@acme", ""}
    assert sum(candidates.values()) == pytest.approx(1, abs=0.001)


def test_a_candidate_that_would_have_passed_on_its_own_id(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.call(ADMIN, VC, "PowerOnVM_Task", vm("vm-61", "web"), operation_id="his", task="t")
    talk.call(VC, ESX1, "PowerOnVM_Task", vm("22", "web"), operation_id="vpxd-own-1")
    talk.finish()
    cause, confidence = talk.cause("PowerOnVM_Task", ESX1)
    assert cause == "ambiguous" and confidence < CERTAIN


def test_guest_operations_go_all_the_way_down(talk: Talk) -> None:
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    talk.call(BOB, VCD, "runScript", vapp("shop"), task="t")
    talk.call(VC, ESX1, "StartProgramInGuest", vm("22"), guest_user="appadmin", at=10.02)
    talk.call(VCD, VC, "StartProgramInGuest", vm("vm-61"), at=10.01, lasts=0.05)
    talk.finish()
    below = "VCD:bob@acme:VC:vCloudService:ESX:vpxuser:GST:appadmin"
    assert talk.path("StartProgramInGuest", ESX1) == below
    assert talk.path("StartProgramInGuest", VC) == "VCD:bob@acme:VC:vCloudService"
    assert talk.find("StartProgramInGuest", ESX1).guest_user == "appadmin"


def test_a_service_account_acts_for_somebody_wherever_it_calls_from() -> None:
    """The segment above was not tapped: its client is not known to serve anybody."""
    talk = Talk(site=Site([ServiceSettings("VCD", accounts=("vCloudService",))]))
    for user in ("vCloudService", "bob"):
        talk.call(ADMIN, VC, f"Destroy_{user}", vm("vm-1"), user=user)
    talk.login(ADMIN, VC, "com.example.plugin", extension=True)
    talk.call(ADMIN, VC, "Destroy_extension", vm("vm-1"))
    talk.finish()
    assert talk.path("Destroy_vCloudService") == "?:?:VC:vCloudService"
    assert talk.cause("Destroy_vCloudService") == ("none", 0.0)
    assert talk.cause("Destroy_bob") == ("none", 1.0)
    assert talk.path("Destroy_extension") == "?:?:VC:com.example.plugin"


def test_a_service_whose_cause_was_not_seen(talk: Talk) -> None:
    talk.call(VC, ESX1, "Destroy_Task", vm("22"))
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"))
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "?:?:ESX:vpxuser"
    assert talk.path("Destroy_Task", VC) == "?:?:VC:vCloudService"
    assert talk.cause("Destroy_Task", ESX1) == ("none", 0.0)


def test_an_unseen_cause_is_passed_down_as_unseen(talk: Talk) -> None:
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1", "web"), operation_id="x")
    talk.call(VC, ESX1, "Destroy_Task", vm("22", "web"), operation_id="x-01")
    talk.finish()
    assert talk.path("Destroy_Task", ESX1) == "?:?:VC:vCloudService:ESX:vpxuser"
    assert talk.cause("Destroy_Task", ESX1) == ("none", 0.0)
    assert talk.find("Destroy_Task", ESX1).hop is not None
    hop = talk.find("Destroy_Task", ESX1).hop
    assert hop and hop.parent_id == talk.find("Destroy_Task", VC).id


def test_a_call_without_object_is_no_match_for_everything(talk: Talk) -> None:
    talk.call(BOB, VCD, "PUT org/settings", Target("Org", "acme"), task="t")
    talk.call(VCD, VC, "AcquireTicket", vm("vm-1"), operation_class=OperationClass.CONSOLE)
    talk.finish()
    assert talk.path("AcquireTicket") == "?:?:VC:vCloudService"


def test_a_namesake_that_is_known_as_another_vm_is_no_match(talk: Talk) -> None:
    """Every template's VM is called web."""
    webs = {"vm-6": (BOB, vm("vm-aaaa", "web")), "vm-7": (CAROL, vm("vm-bbbb", "web"))}
    for moref, (client, web) in webs.items():
        talk.call(client, VCD, "powerOn", web, request_id=f"q-{moref}", task=f"t-{moref}")
        talk.call(VCD, VC, "PowerOnVM_Task", vm(moref, "web"), operation_id=f"q-{moref}")
        talk.task(client, VCD, f"t-{moref}")
        talk.wait(5)
    talk.call(BOB, VCD, "powerOff", webs["vm-6"][1], task="b")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-7", "web"))
    talk.finish()
    assert talk.cause("PowerOffVM_Task", VC)[0] == "ambiguous"
    assert talk.path("PowerOffVM_Task", VC) == "?:?:VC:vCloudService"
