"""Request ids from who did not get them: an id alone makes nobody a service, and blames nobody."""

from typing import Any

import pytest

from decoders.message import SessionSeen
from sensor.alert_settings import AlertSettings
from sensor.correlate.chains import CERTAIN
from sensor.correlate.passed import ORIGINS_MAX, PassedIds
from sensor.service_settings import ServiceSettings
from sensor.site import Site
from tests.sensor.talk import ADMIN, ALICE, BOB, CAROL, ESX1, PROXY, VC, VCD, Talk, vapp, vm

CELL, MALLORY = "10.0.2.99", "10.0.9.66"
OPERATION = "PowerOffVM_Task"


def cloud_of(**settings: Any) -> Talk:
    talk = Talk(**settings)
    for client, user in ((BOB, "bob"), (ALICE, "alice"), (CAROL, "carol")):
        talk.login(client, VCD, f"{user}@acme")
    return talk


@pytest.fixture
def talk() -> Talk:
    return cloud_of()


def request(talk: Talk, client: str, identity: str) -> None:
    talk.call(client, VCD, "powerOff", vapp("app"), request_id=identity)


def copy_ids(talk: Talk, count: int = 4) -> None:
    """Somebody at vCenter sends ids that the cloud made for two people."""
    for number in range(count):
        request(talk, (BOB, ALICE)[number % 2], f"r-{number}")
        talk.call(MALLORY, VC, OPERATION, vm("vm-1"), operation_id=f"r-{number}")
        talk.wait(3)


def test_who_copies_ids_of_two_people_blames_neither(talk: Talk) -> None:
    talk.login(MALLORY, VC, "mallory")
    copy_ids(talk)
    for number in range(4):
        assert talk.path(OPERATION, VC, number) == "VC:mallory"
        victim = ("bob@acme", "alice@acme")[number % 2]
        assert talk.candidates(OPERATION, VC, number) == {"mallory": 0.5, victim: 0.5}
        assert talk.cause(OPERATION, VC, number) == ("ambiguous", 0.5)
    assert talk.analysis.services.of_client(MALLORY) == ""
    assert talk.alerts() == ["request_id_reused"]  # the cloud has another account there


def test_nor_does_who_copies_them_through_a_proxy(talk: Talk) -> None:
    talk.analysis.services.proxy(PROXY)
    talk.login(PROXY, VC, "mallory")
    request(talk, BOB, "r-1")
    talk.call(PROXY, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    assert talk.path(OPERATION) == "VC:mallory"


def test_what_follows_from_a_copied_id_is_not_the_victims_either(talk: Talk) -> None:
    talk.login(MALLORY, VC, "mallory")
    request(talk, BOB, "r-1")
    talk.call(MALLORY, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.call(VC, ESX1, OPERATION, vm("22"), operation_id="r-1-5c")
    talk.finish()
    assert talk.path(OPERATION, ESX1) == "VC:mallory:ESX:vpxuser"
    assert set(talk.candidates(OPERATION, ESX1)) == {"mallory", "bob@acme"}


def test_the_cloud_is_believed_though_its_id_was_copied(talk: Talk) -> None:
    talk.login(MALLORY, VC, "mallory")
    request(talk, BOB, "r-1")
    talk.call(VCD, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.wait(3)
    talk.call(MALLORY, VC, "Destroy_Task", vm("vm-2"), operation_id="r-1")
    talk.finish()
    assert talk.path(OPERATION) == "VCD:bob@acme:VC:vCloudService"
    assert talk.cause(OPERATION) == ("explicit", 0.99)
    assert talk.path("Destroy_Task") == "VC:mallory"
    assert "key_conflict" in talk.evidence("Destroy_Task")
    assert talk.alerts() == ["request_id_reused"]


@pytest.mark.parametrize("is_first", [True, False])
def test_one_id_from_two_sides_is_told_of_once(talk: Talk, is_first: bool) -> None:
    talk.login(MALLORY, VC, "mallory")
    for number in range(3):
        request(talk, BOB, f"r-{number}")
        for client in (MALLORY, VCD) if is_first else (VCD, MALLORY):
            talk.call(client, VC, OPERATION, vm("vm-1"), operation_id=f"r-{number}-0a")
            talk.wait(3)
    talk.finish()
    [alert] = [each for each in talk.records if each.kind == "alert"]
    assert alert.reason == "request_id_reused"
    before = "" if is_first else f"{VCD} vCloudService; "
    assert alert.extra["value"] == f"r-0: {before}{MALLORY} mallory"
    assert alert.source.ip == MALLORY
    assert not [each for each in talk.records if each.kind == "chain"]


def test_a_copy_seen_before_its_request_is_told_of(talk: Talk) -> None:
    """A cloud answers when the work below is done, so its id is known last."""
    talk.login(MALLORY, VC, "mallory")
    start = talk.now_ns
    below: dict[str, Any] = {"operation_id": "r-1", "target": vm("vm-1")}
    talk.call(VCD, VC, OPERATION, **below, time_ns=start + 10**8, end_ns=start + 2 * 10**8)
    talk.call(MALLORY, VC, OPERATION, **below, time_ns=start + 3 * 10**8, end_ns=start + 4 * 10**8)
    talk.call(
        BOB, VCD, "powerOff", vapp("app"), request_id="r-1",
        time_ns=start + 1, end_ns=start + 5 * 10**8,
    )  # fmt: skip
    talk.finish()
    assert talk.alerts() == ["request_id_reused"]
    assert talk.path(OPERATION, VC, 0) == "VCD:bob@acme:VC:vCloudService"
    assert talk.path(OPERATION, VC, 1) == "VC:mallory"


@pytest.mark.parametrize("is_cloud_seen", [True, False])
def test_a_header_does_not_make_him_the_cloud(talk: Talk, is_cloud_seen: bool) -> None:
    """He says in X-Forwarded-For that the cloud sends it."""
    talk.login(MALLORY, VC, "mallory", forwarded_for=VCD)
    request(talk, BOB, "r-1")
    if is_cloud_seen:
        talk.call(VCD, VC, "Reset", vm("vm-1"), operation_id="r-1")
        talk.wait(3)
    talk.call(MALLORY, VC, OPERATION, vm("vm-1"), operation_id="r-1", forwarded_for=VCD)
    talk.finish()
    assert talk.path(OPERATION) == "VC:mallory"
    assert set(talk.candidates(OPERATION)) == {"mallory", "bob@acme"}
    assert talk.alerts() == ["request_id_reused"]


def test_a_cloud_behind_a_proxy_that_names_it_is_the_cloud(talk: Talk) -> None:
    talk.login(PROXY, VC, "vCloudService", forwarded_for=VCD)
    for number in range(3):
        request(talk, BOB, f"r-{number}")
        for client, header in ((PROXY, VCD), (VCD, "")):
            talk.call(
                client, VC, OPERATION, vm("vm-1"), operation_id=f"r-{number}", forwarded_for=header
            )
    talk.finish()
    assert talk.path(OPERATION, VC, 0) == "VCD:bob@acme:VC:vCloudService"
    assert talk.cause(OPERATION, VC, 0) == ("explicit", 0.99)
    assert talk.alerts() == []


def test_it_can_be_switched_off() -> None:
    talk = cloud_of(alerts=AlertSettings(request_id_reused=False))
    talk.login(MALLORY, VC, "mallory")
    request(talk, BOB, "r-1")
    for client in (VCD, MALLORY):
        talk.call(client, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    assert talk.alerts() == []


def test_two_accounts_behind_one_address_are_two_sides(talk: Talk) -> None:
    """A load balancer in front of vCenter hides who sends."""
    talk.login(PROXY, VC, "vCloudService", "t-cloud")
    talk.login(PROXY, VC, "mallory", "t-mallory")
    request(talk, BOB, "r-1")
    for token in ("t-cloud", "t-mallory"):
        talk.call(PROXY, VC, OPERATION, vm("vm-1"), operation_id="r-1", token=token)
    talk.finish()
    assert talk.alerts() == ["request_id_reused"]


def test_an_address_that_the_site_calls_no_service_heads_its_own_chain() -> None:
    talk = cloud_of(site=Site(no_services=[f"{MALLORY}/32"]))
    talk.login(MALLORY, VC, "vCloudService")
    request(talk, BOB, "r-1")
    for client in (VCD, MALLORY):
        talk.call(client, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    assert talk.path(OPERATION, VC, 0) == "VCD:bob@acme:VC:vCloudService"
    assert talk.path(OPERATION, VC, 1) == "VC:vCloudService"
    assert talk.cause(OPERATION, VC, 1) == ("none", 1.0)
    assert talk.evidence(OPERATION, VC, 1) == ["operation_id"]
    assert talk.alerts() == ["request_id_reused"]


def test_two_strangers_are_told_of_where_no_account_of_the_cloud_is_known() -> None:
    talk = Talk(strangers=True)
    for client, server, user in ((BOB, VCD, "bob"), (CELL, VC, "svc"), (MALLORY, VC, "mallory")):
        talk.login(client, server, user)
    request(talk, BOB, "r-1")
    for client in (CELL, MALLORY):
        talk.call(client, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    [alert] = [each for each in talk.records if each.kind == "alert"]
    assert alert.extra["value"] == f"r-1: {CELL} svc; {MALLORY} mallory"


# ---- what is usual stays silent


def test_a_cell_whose_account_nothing_shows_is_in_doubt_and_silent() -> None:
    """Only a load balancer is known as the cloud."""
    talk = Talk(strangers=True)
    for client, server, user in ((BOB, VCD, "bob"), (ALICE, VCD, "alice"), (CELL, VC, "svc")):
        talk.login(client, server, user)
    for number in range(4):
        request(talk, (BOB, ALICE)[number % 2], f"r-{number}")
        talk.call(CELL, VC, OPERATION, vm("vm-1"), operation_id=f"r-{number}")
        talk.wait(3)
    assert talk.path(OPERATION, VC, 3) == "?:svc"
    assert talk.candidates(OPERATION, VC, 3) == {"svc": 0.5, "alice": 0.5}
    assert talk.alerts() == []


def test_who_asked_may_send_his_own_id_on(talk: Talk) -> None:
    """A script names its work at vCenter by the request that it made."""
    talk.login(BOB, VC, "CORP\\Bob")
    request(talk, BOB, "r-1")
    for client in (BOB, VCD, BOB):
        talk.call(client, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    assert talk.alerts() == []
    assert set(talk.candidates(OPERATION, VC, 0)) == {"CORP\\Bob", "bob@acme"}


def test_nobody_else_at_his_machine_may(talk: Talk) -> None:
    talk.login(BOB, VC, "mallory")
    request(talk, BOB, "r-1")
    talk.call(BOB, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    assert talk.alerts() == ["request_id_reused"]


def test_cells_of_one_cloud_share_requests(talk: Talk) -> None:
    """Each has the cloud's account; one is not known as the cloud's yet."""
    talk.login(CELL, VC, "vCloudService")
    for number, client in enumerate((BOB, ALICE, BOB, ALICE)):
        request(talk, client, f"r-{number}")
        for cell in (CELL, VCD) if number % 2 else (VCD, CELL):
            talk.call(cell, VC, OPERATION, vm("vm-1"), operation_id=f"r-{number}")
        talk.wait(3)
    talk.finish()
    assert talk.alerts() == []


def test_a_cell_that_shares_none_becomes_the_clouds(talk: Talk) -> None:
    talk.login(CELL, VC, "vCloudService")
    for number, client in enumerate((BOB, ALICE, BOB)):
        request(talk, client, f"r-{number}")
        talk.call(CELL, VC, OPERATION, vm("vm-1"), operation_id=f"r-{number}")
        talk.wait(3)
    assert talk.cause(OPERATION, VC, 0)[1] < CERTAIN <= talk.cause(OPERATION, VC, 2)[1]
    assert talk.path(OPERATION, VC, 0) == "VCD:bob@acme:VC:vCloudService"
    assert talk.alerts() == []


def test_calls_below_one_request_its_retries_and_its_levels_are_one_side(talk: Talk) -> None:
    request(talk, BOB, "r-1")
    for number in range(5):
        talk.call(VCD, VC, OPERATION, vm(f"vm-{number}"), operation_id="r-1")
        talk.call(VCD, VC, OPERATION, vm(f"vm-{number}"), operation_id=f"r-1-{number}")
        talk.call(VC, ESX1, OPERATION, vm(f"2{number}"), operation_id=f"r-1-{number}-0a")
    talk.finish()
    assert talk.alerts() == []


def test_two_services_at_work_on_one_request_are_none(talk: Talk) -> None:
    """The portal asks vCenter itself, and through the cloud, with its one id."""
    portal = "10.0.2.30"
    talk.login(BOB, portal, "bob", api="aria")
    talk.login(portal, VCD, "portal@acme")
    talk.login(portal, VC, "svc-portal")
    talk.call(BOB, portal, "Deploy", api="aria", request_id="p-1")
    talk.call(portal, VCD, "powerOff", vapp("app"), operation_id="p-1")
    talk.call(VCD, VC, OPERATION, vm("vm-1"), operation_id="p-1-1")
    talk.call(portal, VC, OPERATION, vm("vm-2"), operation_id="p-1-2")
    talk.finish()
    assert talk.alerts() == []


def test_both_legs_through_a_proxy_are_one_call(talk: Talk) -> None:
    talk.login(VCD, VC, "vCloudService", "t-1")
    request(talk, BOB, "r-1")
    span = talk.span(lasts=0.02)
    inner = {"time_ns": span["time_ns"] + 10**6, "end_ns": span["end_ns"] - 10**6}
    for client, server, times in ((PROXY, VC, inner), (VCD, PROXY, span)):
        talk.call(client, server, OPERATION, vm("vm-1"), operation_id="r-1", token="t-1", **times)
    talk.finish()
    assert talk.path(OPERATION) == "VCD:bob@acme:VC:vCloudService"
    assert talk.alerts() == []


def test_one_tools_constant_id_is_no_requests(talk: Talk) -> None:
    talk.login(ADMIN, VC, "admin")
    talk.login(ALICE, VC, "alice")
    for client in (ADMIN, ALICE):
        talk.call(client, VC, OPERATION, vm("vm-1"), operation_id="tool")
    talk.finish()
    assert talk.alerts() == []


def test_a_session_that_is_named_late_is_compared_then(talk: Talk) -> None:
    request(talk, BOB, "r-1")
    talk.call(MALLORY, VC, OPERATION, vm("vm-1"), operation_id="r-1", token="t-unseen")
    talk.call(VCD, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.wait(3)
    assert talk.alerts() == []
    talk.say(MALLORY, VC, SessionSeen(token="t-unseen", user="mallory", **talk.span()))
    talk.finish()
    assert talk.alerts() == ["request_id_reused"]


# ---- bounds


def test_what_is_remembered_of_ids_is_bounded_and_counted(talk: Talk) -> None:
    request(talk, BOB, "r-1")
    action = next(iter(talk.analysis._calls.correlator.actions.with_id("r-1")))
    passed = PassedIds(10)
    for number in range(30):
        passed.note(action, f"r-{number}")
    assert passed.shed == 20
    for number in range(ORIGINS_MAX + 5):
        action.client = f"10.9.0.{number}"
        passed.note(action, "r-29")
    assert passed.shed == 20 + 6  # the first one had been there before
    assert len(passed.note(action, "r-29")) == ORIGINS_MAX


def test_a_configured_cells_account_is_known_from_the_start() -> None:
    cloud = ServiceSettings("VCD", (VCD, "10.0.2.98/31"), accounts=("vCloudService",))
    talk = cloud_of(site=Site([cloud]))
    talk.login(CELL, VC, "vCloudService")
    request(talk, BOB, "r-1")
    talk.call(CELL, VC, OPERATION, vm("vm-1"), operation_id="r-1")
    talk.finish()
    assert talk.cause(OPERATION) == ("explicit", 0.99)
