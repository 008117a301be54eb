"""Alerts: what fires, what does not, and that each can be switched off."""

from dataclasses import fields, replace
from typing import Any

import pytest

from decoders.message import (
    GuestLogin,
    Login,
    LoginMethod,
    OperationClass,
    Outcome,
    ServerSeen,
    Target,
)
from sensor.alert_settings import AlertSettings
from sensor.alerts.memory import Guessing, Once
from sensor.service_settings import ServiceSettings
from sensor.site import Site
from tests.sensor.talk import ADMIN, ALICE, BOB, ESX1, ESX2, PROXY, VC, VCD, Talk, flow_of, vm

WEB = vm("vm-1", "Web")
SECOND = 10**9
REASONS = [each.name for each in fields(AlertSettings) if each.type is bool]


def talk_with(**settings: Any) -> Talk:
    talk = Talk(alerts=AlertSettings(**settings))
    talk.records.clear()
    return talk


def said(talk: Talk) -> list[tuple[str, str]]:
    """Reason and value of each alert, once everything is decided."""
    talk.finish()
    return [(each.reason, each.extra.get("value", "")) for each in talk.records if _is(each)]


def _is(record: Any) -> bool:
    return bool(record.kind == "alert")


def guest(talk: Talk, client: str = ADMIN, target: Target = WEB, **more: Any) -> None:
    fields: dict[str, Any] = {
        "operation_class": OperationClass.GUEST, "guest_user": "appadmin", **more
    }  # fmt: skip
    talk.call(client, VC, "StartProgramInGuest", target, **fields)


def refuse(talk: Talk, client: str, server: str, user: str = "root", **more: Any) -> None:
    talk.login(client, server, user, outcome=Outcome.FAILURE, fault="InvalidLogin", **more)


def disk(talk: Talk, client: str, user: str, **more: Any) -> None:
    fields: dict[str, Any] = {"operation_class": OperationClass.DISK, "user": user, **more}
    talk.call(client, VC, "NfcGetVmFiles", WEB, **fields)


# ---- guest operations


@pytest.mark.parametrize("place", ["all", "web", "VM-1", VC])
def test_a_guest_operation_where_there_should_be_none(place: str) -> None:
    talk = talk_with(guest_operations_denied=(place,), guest_credentials_unencrypted=False)
    guest(talk)
    guest(talk)
    guest(talk, BOB)
    assert said(talk) == [("guest_operation", "Web")] * 2


def test_a_guest_operation_elsewhere_is_none() -> None:
    talk = talk_with(guest_operations_denied=("db", ESX1), guest_credentials_unencrypted=False)
    guest(talk)
    assert said(talk) == []


def test_guest_credentials_in_clear_once_per_client_and_server() -> None:
    talk = talk_with()
    guest(talk)
    guest(talk, target=vm("vm-2"))
    guest(talk, BOB, guest_user="", guest_ticket="g")
    assert said(talk) == [
        ("guest_credentials_unencrypted", "appadmin"), ("guest_credentials_unencrypted", ""),
    ]  # fmt: skip


def test_guest_credentials_inside_tls_are_none() -> None:
    talk = talk_with()
    span = talk.span()
    login = GuestLogin(
        api="vim25", operation="x", outcome=Outcome.SUCCESS, target=WEB, guest_user="a", **span
    )
    talk.records += talk.analysis.message(flow_of(ADMIN, VC, 7), login, "decrypted")
    assert said(talk) == []


# ---- disks


def test_who_opens_disks_is_learned_first() -> None:
    talk = talk_with(disk_learning_s=60)
    disk(talk, ADMIN, "svc-backup")
    talk.wait(61)
    disk(talk, ADMIN, "svc-backup")
    disk(talk, BOB, "bob")
    disk(talk, BOB, "bob")
    assert said(talk) == [("unusual_disk_access", "VC:bob")]


def test_who_may_open_disks_can_be_said() -> None:
    talk = talk_with(disk_accounts=("SVC-Backup",))
    disk(talk, ADMIN, "svc-backup")
    disk(talk, BOB, "bob")
    disk(talk, BOB, "bob")
    assert said(talk) == [("unusual_disk_access", "VC:bob")]


def test_a_disk_opened_by_nobody_known_is_unusual() -> None:
    talk = talk_with(disk_learning_s=0)
    talk.call(
        BOB, ESX1, "OPEN_FILE", token="", api="nfc", operation_class=OperationClass.DISK, ticket="x"
    )
    assert said(talk) == [("unusual_disk_access", "?:?")]


def test_other_files_are_no_disks() -> None:
    talk = talk_with(disk_learning_s=0)
    talk.call(BOB, VC, "GET /folder", user="bob", operation_class=OperationClass.DISK)
    assert said(talk) == []


# ---- logins to hosts


def test_a_login_to_a_host_past_vcenter() -> None:
    talk = talk_with()
    talk.login(ADMIN, ESX1, "root")
    talk.login(ADMIN, ESX1, "root", "other")
    talk.login(ADMIN, ESX1, "operator")
    talk.login(VC, ESX1, "root")
    assert said(talk) == [("direct_host_login", "root")]


def test_a_login_through_vcenter_or_to_it_is_none() -> None:
    talk = talk_with()
    talk.login(VC, ESX1, "vpxuser")
    talk.login(ADMIN, VC, "root")
    refuse(talk, ADMIN, ESX1)
    assert said(talk) == []


def test_while_no_vcenter_is_known_nobody_is_past_it() -> None:
    talk = Talk(strangers=True)
    talk.say(BOB, ESX1, ServerSeen(service="ESX", **talk.span()))
    talk.login(ADMIN, ESX1, "root")
    talk.login(ALICE, ESX1, "vpxuser")
    assert said(talk) == []


def test_vpxuser_from_elsewhere_also_when_refused() -> None:
    talk = talk_with()
    refuse(talk, ADMIN, ESX1, "vpxuser")
    talk.login(BOB, ESX1, "vpxuser")
    talk.call(BOB, ESX1, "Destroy_Task", vm("22"))
    assert said(talk) == [("vpxuser_elsewhere", ADMIN), ("vpxuser_elsewhere", BOB)]
    assert talk.analysis.services.of_client(BOB) == ""  # and it is not taken for a vCenter


def test_vpxusers_session_used_from_elsewhere() -> None:
    talk = talk_with(session_from_two_addresses=False)
    talk.call(BOB, ESX1, "Destroy_Task", vm("22"), token=f"token-vpxuser-{VC}-{ESX1}")
    assert said(talk) == [("vpxuser_elsewhere", BOB)]
    assert talk.cause("Destroy_Task") == ("none", 0.0)  # and it is nobody's own doing


def test_with_one_of_both_off_the_other_tells_of_vpxuser() -> None:
    talk = talk_with(vpxuser_elsewhere=False)
    talk.login(BOB, ESX1, "vpxuser")
    assert said(talk) == [("direct_host_login", "vpxuser")]


def test_another_vcenter_is_none() -> None:
    """It answers others, so it may be one; what it is, is not known yet."""
    talk = talk_with()
    other = "10.0.3.99"
    talk.call(BOB, other, "Destroy_Task", vm("vm-1"), user="bob")
    talk.login(other, ESX2, "vpxuser")
    assert said(talk) == []
    assert talk.analysis.services.of_client(other) == "VC"


# ---- accounts of a service that the site knows


def talk_of_a_site(**settings: Any) -> Talk:
    cloud = ServiceSettings("VCD", (VCD,), accounts=("vCloudService",))
    talk = Talk(alerts=AlertSettings(**settings), site=Site([cloud]))
    talk.records.clear()
    return talk


def test_a_services_account_used_from_elsewhere() -> None:
    talk = talk_of_a_site()
    talk.login(VCD, VC, "vCloudService")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), user="vCloudService")
    refuse(talk, BOB, VC, "vCloudService")
    talk.login(ADMIN, VC, "vCloudService")
    talk.login(ADMIN, VC, "vCloudService")
    talk.call(ADMIN, VC, "PowerOffVM_Task", vm("vm-1"))
    assert said(talk) == [("service_account_elsewhere", "vCloudService")] * 2
    assert talk.path("PowerOffVM_Task") == "VC:vCloudService"  # whoever it is, it is himself
    assert talk.cause("PowerOffVM_Task") == ("none", 1.0)


def test_a_services_session_used_from_elsewhere() -> None:
    talk = talk_of_a_site(session_from_two_addresses=False)
    talk.login(VCD, VC, "vCloudService")
    talk.call(BOB, VC, "Destroy_Task", vm("vm-1"), token=f"token-vCloudService-{VCD}-{VC}")
    assert said(talk) == [("service_account_elsewhere", "vCloudService")]


def test_behind_a_proxy_it_may_be_the_service() -> None:
    talk = talk_of_a_site()
    talk.analysis.services.proxy(PROXY)
    talk.login(PROXY, VC, "vCloudService")
    assert said(talk) == []


# ---- guessing


def test_a_series_of_refused_logins_is_one_alert() -> None:
    talk = talk_with()
    for number in range(30):
        refuse(talk, ADMIN, ESX1, f"user{number % 3}")
        refuse(talk, ADMIN, ESX2, "root")
    [(reason, value)] = said(talk)
    assert reason == "password_guessing"
    assert value == "5 refused logins in 0.1 s: user0, user1, user2"


@pytest.mark.parametrize(("apart_s", "count"), [(1, 1), (16, 0)])
def test_it_has_to_be_quick(apart_s: float, count: int) -> None:
    talk = talk_with()
    for _ in range(5):
        refuse(talk, BOB, VC)
        talk.wait(apart_s)
    assert len(said(talk)) == count


def test_who_mistypes_is_no_guesser_nor_is_a_proxy() -> None:
    talk = talk_with()
    for _ in range(4):
        refuse(talk, BOB, VC)
    talk.login(BOB, VC, "bob")
    talk.analysis.services.proxy(PROXY)
    for number in range(30):
        refuse(talk, PROXY, VC, f"user{number}")
    for _ in range(9):
        refuse(talk, BOB, VC, method=LoginMethod.CERTIFICATE)
    assert said(talk) == []


def test_a_guess_that_succeeds() -> None:
    talk = talk_with(direct_host_login=False)
    for _ in range(5):
        refuse(talk, ADMIN, ESX1)
    talk.login(BOB, ESX1, "root")
    for _ in range(2):
        talk.login(ADMIN, ESX1, "root")
    assert [reason for reason, _ in said(talk)] == ["password_guessing", "password_guessed"]
    assert [each.extra["value"] for each in talk.records if _is(each)][1] == "root"


def test_guessing_at_a_guest() -> None:
    talk = talk_with(guest_credentials_unencrypted=False)
    for _ in range(6):
        message = GuestLogin(
            api="vim25", operation="ValidateCredentialsInGuest", outcome=Outcome.FAILURE,
            target=WEB, guest_user="root", **talk.span(),
        )  # fmt: skip
        talk.say(BOB, VC, message)
    [(reason, value)] = said(talk)
    assert reason == "password_guessing" and value.endswith(": root")


def test_refused_tickets_count_too() -> None:
    talk = talk_with()
    for number in range(5):
        message = Login(
            api="authd", operation="SESSION", method=LoginMethod.TICKET, outcome=Outcome.FAILURE,
            ticket=f"t{number}", **talk.span(),
        )  # fmt: skip
        talk.say(BOB, ESX1, message, port=902)
    assert [reason for reason, _ in said(talk)] == ["password_guessing"]


def test_a_series_that_goes_on_is_told_of_again_after_an_hour() -> None:
    guessing = Guessing(2, 60 * SECOND)
    told = [
        second for second in range(0, 7300, 10) if guessing.failed("c", "s", "u", second * SECOND)
    ]
    assert told == [10, 3610, 7210]


def test_series_and_what_was_said_are_bounded() -> None:
    guessing, once = Guessing(2, 60 * SECOND, clients_max=3), Once(said_max=3)
    for number in range(5):
        for _ in range(2):
            guessing.failed(f"c{number}", "s", "u", SECOND)
        assert once.first(number) and not once.first(number)
    assert (guessing.shed, once.shed, len(once)) == (4, 2, 3)
    assert once.first(0)


def test_nmap_gives_itself_away() -> None:
    talk = talk_with()
    seen = ServerSeen(service="VC", operation_id="00000001-00000001", **talk.span())
    for _ in range(2):
        talk.say(BOB, VC, seen)
    talk.say(ALICE, VC, replace(seen, operation_id="", user_agent="x (Nmap Scripting Engine; y)"))
    assert said(talk) == [
        ("scanner", "nmap: operationID 00000001-00000001"),
        ("scanner", "nmap: Nmap Scripting Engine"),
    ]  # fmt: skip
    record = talk.records[0]
    assert (record.source.ip, record.to.ip, record.extra["record"]) == (BOB, VC, record.id)


# ---- switches


def everything(talk: Talk) -> None:
    """What makes each kind of alert fire, heartbeats aside."""
    talk.login(BOB, ESX1, "vpxuser")
    talk.login(ADMIN, ESX1, "root")
    for _ in range(5):
        refuse(talk, ALICE, VC)
    guest(talk)
    disk(talk, BOB, "bob")
    talk.say(BOB, VC, ServerSeen(service="VC", operation_id="00000001-00000001", **talk.span()))
    talk.call(ADMIN, VC, "Destroy_Task", vm("vm-7"), operation_id="HB-host-1@2", user="admin")


def test_each_alert_can_be_switched_off() -> None:
    policy = {"guest_operations_denied": ("all",), "disk_accounts": ("x",)}
    talk = talk_with(**policy)
    everything(talk)
    fired = {reason for reason, _ in said(talk)}
    assert fired == {
        "vpxuser_elsewhere", "direct_host_login", "password_guessing", "guest_operation", "scanner",
        "guest_credentials_unencrypted", "unusual_disk_access", "background_operation_id",
    }  # fmt: skip
    for reason in fired - {"vpxuser_elsewhere"}:
        talk = talk_with(**policy, **{reason: False})
        everything(talk)
        assert {each for each, _ in said(talk)} == fired - {reason}
    talk = talk_with(**policy, **dict.fromkeys(REASONS, False))
    everything(talk)
    assert said(talk) == []


def test_an_alert_names_the_record_that_shows_it() -> None:
    talk = talk_with(guest_operations_denied=("all",))
    guest(talk)
    talk.finish()
    action = talk.find("StartProgramInGuest")
    for alert in filter(_is, talk.records):
        assert alert.extra["record"] == action.id
        assert (alert.chain, alert.target) == (action.chain, action.target)
