"""Accounts inside guests: they end the chain of whoever asked."""

from typing import Any

import pytest

from decoders.message import (
    Call,
    GuestLogin,
    GuestLogout,
    Login,
    LoginMethod,
    OperationClass,
    Outcome,
    Target,
    TicketIssued,
)
from sensor.guests import Guests
from sensor.records import Record
from tests.sensor.talk import ADMIN, ALICE, BOB, ESX1, PROXY, VC, VCD, Talk, vapp, vm

BELOW = "VCD:bob@acme:VC:vCloudService"
WEB = vm("vm-1", "web")
APP = vapp("web")  # its machine has the same name


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.login(BOB, VCD, "bob@acme")
    talk.login(ADMIN, VC, "admin")
    talk.records.clear()
    return talk


def guest_call(talk: Talk, client: str, server: str, operation: str, **more: Any) -> None:
    fields = {"operation_class": OperationClass.GUEST, "guest_user": "appadmin", **more}
    talk.call(client, server, operation, fields.pop("target", WEB), **fields)


def login(talk: Talk, **more: Any) -> list[Record]:
    """AcquireCredentialsInGuest: a call, and the login that it is."""
    span = talk.span()
    outcome = more.get("outcome", Outcome.SUCCESS)
    guest_call(
        talk, ADMIN, VC, "AcquireCredentialsInGuest", port=9, outcome=outcome,
        fault=more.get("fault", ""), **span,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "api": "vim25", "operation": "AcquireCredentialsInGuest", "outcome": Outcome.SUCCESS,
        "target": WEB, "guest_user": "appadmin", "credential": "name_password", "ticket": "g",
        "token": f"token-admin-{ADMIN}-{VC}", **span, **more,
    }  # fmt: skip
    return talk.say(ADMIN, VC, GuestLogin(**fields), port=9)


def logout(talk: Talk, **more: Any) -> list[Record]:
    fields: dict[str, Any] = {
        "api": "vim25", "operation": "ReleaseCredentialsInGuest", "target": WEB, "ticket": "g",
        "token": f"token-admin-{ADMIN}-{VC}", **talk.span(), **more,
    }  # fmt: skip
    return talk.say(ADMIN, VC, GuestLogout(**fields), port=9)


def test_every_level_ends_in_the_guest_and_none_goes_through_it(talk: Talk) -> None:
    talk.call(BOB, VCD, "runScript", vapp("app"), request_id="q")
    guest_call(talk, VCD, VC, "StartProgramInGuest", operation_id="q", lasts=0.1)
    guest_call(talk, VC, ESX1, "StartProgramInGuest", target=vm("22", "web"), operation_id="q-1")
    talk.finish()
    assert talk.path("StartProgramInGuest", VC) == f"{BELOW}:GST:appadmin"
    assert talk.path("StartProgramInGuest", ESX1) == f"{BELOW}:ESX:vpxuser:GST:appadmin"
    record = talk.find("StartProgramInGuest", ESX1)
    assert record.chain and record.hop
    assert record.chain.services == ("VCD", "VC", "ESX", "GST") and record.chain.depth == 4
    assert record.chain.users == ("bob@acme", "vCloudService", "vpxuser", "appadmin")
    assert (record.hop.service, record.hop.user) == ("GST", "appadmin")
    assert (record.hop.index, record.hop.count) == (3, 4)
    assert (record.to.service, record.to.user, record.guest_user) == ("ESX", "vpxuser", "appadmin")
    assert (record.source.service, record.source.user) == ("VC", "vCloudService")
    assert record.hop.parent_id == talk.find("StartProgramInGuest", VC).id


@pytest.mark.parametrize(
    ("outcome", "grade"), [(Outcome.SUCCESS, "proved"), (Outcome.FAILURE, "claimed")]
)
def test_how_the_account_is_known_is_said(talk: Talk, outcome: Outcome, grade: str) -> None:
    guest_call(talk, ADMIN, VC, "StartProgramInGuest", outcome=outcome)
    talk.finish()
    hop = talk.find("StartProgramInGuest").hop
    assert hop and [(each.key, each.value, each.grade) for each in hop.evidence] == [
        ("guest_account", "appadmin", grade)
    ]


def test_candidates_end_in_the_guest_too(talk: Talk) -> None:
    talk.login(ALICE, VCD, "alice@acme")
    for person in (BOB, ALICE):
        talk.call(person, VCD, "runScript", APP, operation_class=OperationClass.GUEST,
                  lasts=0.5)  # fmt: skip
    guest_call(talk, VCD, VC, "StartProgramInGuest")
    talk.finish()
    hop = talk.find("StartProgramInGuest", VC).hop
    assert hop and hop.cause == "ambiguous"
    assert {each.path for each in hop.candidates} == {
        "VCD:bob@acme:VC:vCloudService:GST:appadmin", "VCD:alice@acme:VC:vCloudService:GST:appadmin"
    }  # fmt: skip
    assert talk.path("StartProgramInGuest", VC) == "VCD:?:VC:vCloudService:GST:appadmin"


def test_a_login_is_a_record_of_its_own(talk: Talk) -> None:
    said = login(talk, interactive=True)
    talk.finish()
    [record] = [each for each in talk.records if each.kind == "login"]
    assert said == [record]
    assert record.chain and record.chain.path == "VC:admin:GST:appadmin"
    action = next(each for each in talk.records if each.kind == "action")
    assert record.chain.id == record.id != action.id
    assert (record.to.service, record.to.user, record.to.session) == ("GST", "appadmin", "g")
    assert (record.to.ip, record.target.name, record.outcome) == (VC, "web", "success")
    assert record.op and (record.op.cls, record.op.method) == ("login", "name_password")
    assert record.extra == {"interactive": "true"}


def test_a_refused_login_says_so(talk: Talk) -> None:
    login(talk, outcome=Outcome.FAILURE, fault="InvalidGuestLogin", ticket="")
    talk.finish()
    [record] = [each for each in talk.records if each.kind == "login"]
    assert (record.outcome, record.fault) == ("failure", "InvalidGuestLogin")
    assert talk.analysis.gauges()["guest_sessions"] == 0


def test_a_login_waits_for_its_chain(talk: Talk) -> None:
    talk.call(BOB, VCD, "runScript", APP, operation_class=OperationClass.GUEST, lasts=0.5)
    span = talk.span()
    guest_call(talk, VCD, VC, "ValidateCredentialsInGuest", port=9, **span)
    message = GuestLogin(
        api="vim25", operation="ValidateCredentialsInGuest", outcome=Outcome.SUCCESS, target=WEB,
        guest_user="appadmin", **span,
    )  # fmt: skip
    assert talk.say(VCD, VC, message, port=9) == []
    talk.finish()
    [record] = [each for each in talk.records if each.kind == "login"]
    assert record.chain and record.chain.path == f"{BELOW}:GST:appadmin"
    assert record.hop and record.hop.cause == "correlated"


def test_a_login_through_a_proxy_whose_both_legs_are_seen_is_one(talk: Talk) -> None:
    outer = talk.span(lasts=0.010)
    inner = {"time_ns": outer["time_ns"] + 10**6, "end_ns": outer["end_ns"] - 10**6}
    for client, server, span in ((PROXY, VC, inner), (ADMIN, PROXY, outer)):
        call = Call(
            api="vim25", operation="ValidateCredentialsInGuest", token="t", target=WEB,
            operation_class=OperationClass.GUEST, guest_user="appadmin", **span,
        )  # fmt: skip
        talk.say(client, server, call, port=9)
        message = GuestLogin(
            api="vim25", operation=call.operation, outcome=Outcome.SUCCESS, target=WEB, token="t",
            guest_user="appadmin", **span,
        )  # fmt: skip
        talk.say(client, server, message, port=9)
    talk.finish()
    kinds = [each.kind for each in talk.records if each.amends == ""]
    assert (kinds.count("action"), kinds.count("login")) == (1, 1)
    last = next(each for each in reversed(talk.records) if each.to.service == "GST")
    assert last.source.ip == ADMIN


def test_vix_in_a_session_by_ticket_leads_to_who_asked_for_it(talk: Talk) -> None:
    span = talk.span()
    talk.call(
        ADMIN, VC, "AcquireTicket", WEB, operation_class=OperationClass.CONSOLE, port=9, **span
    )
    talk.say(ADMIN, VC, TicketIssued(kind="guestControl", ticket="x", **span), port=9)
    session = Login(
        api="authd", operation="USER", method=LoginMethod.TICKET, outcome=Outcome.SUCCESS,
        new_tokens=("flow:C1",), ticket="x", **talk.span(),
    )  # fmt: skip
    talk.say(ADMIN, ESX1, session, port=902)
    guest_call(talk, ADMIN, ESX1, "start program", api="vix", token="flow:C1", port=902)
    talk.finish()
    assert talk.path("start program") == "VC:admin:ESX:?:GST:appadmin"


def test_a_ticket_stands_for_the_account_until_it_is_released(talk: Talk) -> None:
    login(talk)
    guest_call(talk, ADMIN, VC, "ListFilesInGuest", guest_user="", guest_ticket="g")
    [record] = logout(talk)
    guest_call(talk, ADMIN, VC, "StartProgramInGuest", guest_user="", guest_ticket="g")
    talk.finish()
    assert talk.path("ListFilesInGuest") == "VC:admin:GST:appadmin"
    hop = talk.find("ListFilesInGuest").hop
    assert hop and [(each.key, each.grade) for each in hop.evidence] == [("guest_ticket", "proved")]
    assert (record.kind, record.to.user) == ("logout", "appadmin")
    assert record.chain and record.chain.path == "VC:admin:GST:appadmin"
    assert talk.path("StartProgramInGuest") == "VC:admin:GST:?"
    assert talk.analysis.gauges()["guest_sessions"] == 0


def test_a_session_over_before_its_login_is_decided_has_its_end(talk: Talk) -> None:
    talk.call(BOB, VCD, "runScript", APP, operation_class=OperationClass.GUEST, lasts=0.5)
    begun: dict[str, Any] = {
        "api": "vix", "token": f"token-vCloudService-{VCD}-{VC}", "target": WEB, "handle": "7",
        "guest_user": "appadmin",
    }  # fmt: skip
    login = GuestLogin(operation="log in", outcome=Outcome.SUCCESS, **begun, **talk.span())
    assert talk.say(VCD, VC, login, port=9) == []
    for _ in range(2):  # the second is of what is over
        closed = GuestLogout(operation="handle closed", **begun, **talk.span())
        assert talk.say(VCD, VC, closed, port=9) == []
    talk.finish()
    told = [each for each in talk.records if each.kind in ("login", "logout")]
    assert [each.op and each.op.name for each in told] == ["log in", "handle closed"]
    for record in told:
        assert record.chain and record.chain.path == f"{BELOW}:GST:appadmin"
        assert (record.to.service, record.to.user) == ("GST", "appadmin")


def test_an_account_that_a_credential_does_not_name_is_one_all_the_same(talk: Talk) -> None:
    span = talk.span()
    guest_call(talk, ADMIN, VC, "log in", port=9, guest_user="", **span)
    begun = GuestLogin(
        api="vix", operation="log in", token=f"token-admin-{ADMIN}-{VC}", credential="sspi",
        outcome=Outcome.SUCCESS, handle="7", **span,
    )  # fmt: skip
    talk.say(ADMIN, VC, begun, port=9)
    unnamed = (("credential", "root"),)
    guest_call(talk, ADMIN, VC, "StartProgramInGuest", guest_user="", details=unnamed)
    guest_call(talk, ADMIN, VC, "ListFilesInGuest", guest_user="")
    talk.finish()
    [record] = [each for each in talk.records if each.kind == "login"]
    assert record.chain and record.chain.path == talk.path("StartProgramInGuest")
    assert talk.path("StartProgramInGuest") == "VC:admin:GST:?"
    assert talk.path("ListFilesInGuest") == "VC:admin"


def test_a_process_is_named_by_its_number(talk: Talk) -> None:
    started = (Target("GuestProgram", name="/bin/id"), Target("GuestProcess", "77"))
    guest_call(talk, ADMIN, VC, "StartProgramInGuest", related=(*started, Target("X", "secret")))
    talk.finish()
    assert talk.find("StartProgramInGuest").extra["related"] == "/bin/id, 77"


def test_a_ticket_never_seen_issued_names_nobody(talk: Talk) -> None:
    guest_call(talk, ADMIN, VC, "StartProgramInGuest", guest_user="", guest_ticket="h")
    talk.finish()
    assert talk.path("StartProgramInGuest") == "VC:admin:GST:?"
    hop = talk.find("StartProgramInGuest").hop
    assert hop and [(each.key, each.grade) for each in hop.evidence] == [
        ("guest_ticket", "claimed")
    ]


def test_a_login_that_came_without_its_call_is_an_action_too(talk: Talk) -> None:
    message = GuestLogin(
        api="vix", operation="check user account", outcome=Outcome.SUCCESS, target=WEB,
        guest_user="appadmin", token="flow:C1", handle="7", **talk.span(),
    )  # fmt: skip
    talk.say(VC, ESX1, message, port=902)
    end = GuestLogout(
        api="vix", operation="logout in guest", token="flow:C1", handle="7", **talk.span()
    )
    talk.wait(3)
    [out] = talk.say(VC, ESX1, end, port=902)
    assert out.chain and out.chain.path.endswith(":ESX:?:GST:appadmin")
    assert (out.kind, out.to.service, out.to.user) == ("logout", "GST", "appadmin")
    assert {each.kind for each in talk.records} >= {"action", "login", "logout"}


def test_a_logout_of_what_was_never_seen_says_nothing(talk: Talk) -> None:
    assert logout(talk, ticket="h", target=vm("vm-9")) == []


def test_a_file_transfers_ticket_carries_the_account(talk: Talk) -> None:
    span = talk.span()
    guest_call(talk, ADMIN, VC, "InitiateFileTransferFromGuest", port=9, **span)
    talk.say(ADMIN, VC, TicketIssued(kind="guestfile", ticket="f", **span), port=9)
    talk.call(ADMIN, ESX1, "GET /guestFile", ticket="f", token="",
              operation_class=OperationClass.GUEST)  # fmt: skip
    talk.finish()
    assert talk.path("GET /guestFile") == "VC:admin:ESX:?:GST:appadmin"


def test_guest_sessions_are_bounded_and_age() -> None:
    guests = Guests(guests_max=3, idle_timeout_ns=100)
    for number in range(5):
        guests.login(
            GuestLogin(
                api="vim25", operation="x", outcome=Outcome.SUCCESS, guest_user="u",
                ticket=f"t{number}", target=vm(f"vm-{number}"), time_ns=number, end_ns=number,
            ),
            ESX1,
        )  # fmt: skip
    assert (len(guests), guests.shed) == (3, 2)
    assert (guests.user_of("t0"), guests.user_of("t4")) == ("", "u")
    guests.used("t2", 50)
    guests.age(120)
    assert len(guests) == 1 and guests.user_of("t2") == "u"
    guests.age(1000)
    assert len(guests) == 0


def test_nothing_of_a_guest_stands_in_other_actions(talk: Talk) -> None:
    call = Call(
        api="vim25", operation="PowerOffVM_Task", operation_class=OperationClass.POWER, target=WEB,
        guest_user="appadmin", token=f"token-admin-{ADMIN}-{VC}", **talk.span(),
    )  # fmt: skip
    talk.say(ADMIN, VC, call)
    talk.finish()
    assert talk.path("PowerOffVM_Task") == "VC:admin"
