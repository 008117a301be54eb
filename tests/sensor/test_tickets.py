"""What an action got at vCenter is used at a host: logins by ticket, disks, consoles, bytes."""

from dataclasses import replace
from typing import Any

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Message,
    Moved,
    OperationClass,
    Outcome,
    Target,
    TicketIssued,
)
from sensor.opened import OPENED_MAX, Opened
from sensor.records import Record
from tests.sensor.talk import ADMIN, ALICE, BOB, ESX1, ESX2, VC, VCD, Talk, vm

BACKUP = "CORP\\svc-backup"
DISK = Target("VirtualDisk", name="[ds] web01/web01.vmdk")
FLOW = "flow:C1"  # what the decoder calls a session of TCP 902


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.login(ADMIN, VC, BACKUP)
    talk.records.clear()
    return talk


def issue(
    talk: Talk, client: str, server: str, ticket: str = "x", *, operation: str = "NfcGetVmFiles",
    **more: Any,
) -> None:  # fmt: skip
    """A call whose answer hands out a ticket."""
    span = talk.span()
    kind = OperationClass.CONSOLE if "Acquire" in operation else OperationClass.DISK
    fields = {"operation_class": kind, "port": 9, **span, **more}
    talk.call(client, server, operation, vm("vm-1", "web01"), **fields)
    issued = TicketIssued(kind="nfc", ticket=ticket, token=f"token-of-{client}", **span)
    talk.say(client, server, issued, port=9)


def session(talk: Talk, client: str, server: str, ticket: str = "x", **more: Any) -> list[Record]:
    """SESSION on TCP 902."""
    fields: dict[str, Any] = {
        "api": "authd", "operation": "SESSION", "method": LoginMethod.TICKET,
        "outcome": Outcome.SUCCESS, "new_tokens": (FLOW,), "ticket": ticket,
        **talk.span(), **more,
    }  # fmt: skip
    return talk.say(client, server, Login(**fields), port=902)


def open_disk(talk: Talk, client: str, server: str, **more: Any) -> Call:
    fields: dict[str, Any] = {
        "api": "nfc", "operation": "OPEN_FILE", "operation_class": OperationClass.DISK,
        "target": DISK, "outcome": Outcome.SUCCESS, "token": FLOW,
        "details": (("intent", "read"), ("client", "vddk")), **talk.span(), **more,
    }  # fmt: skip
    call = Call(**fields)
    talk.say(client, server, call, port=902)
    return call


def moved(talk: Talk, call: Call, to_server: int = 10, to_client: int = 4000) -> Moved:
    start_ns = call.time_ns
    return Moved(
        time_ns=start_ns, end_ns=talk.span()["end_ns"], token=FLOW, call_ns=start_ns,
        to_server_bytes=to_server, to_client_bytes=to_client,
    )  # fmt: skip


def test_a_login_by_ticket_has_the_chain_of_who_asked_for_it(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, ADMIN, ESX1)
    talk.finish()
    login = talk.find("SESSION")
    assert login.kind == "login" and login.op and login.op.method == "ticket"
    assert login.chain and login.chain.path == "VC:CORP\\\\svc-backup:ESX:?"
    assert login.chain.users == (BACKUP,)
    assert login.hop and login.hop.parent_id == talk.find("NfcGetVmFiles").id
    assert (login.hop.cause, login.hop.confidence) == ("explicit", 0.999)
    assert [(each.key, each.value, each.grade) for each in login.hop.evidence] == [
        ("ticket", "x", "proved")
    ]
    assert (login.to.service, login.to.user, login.source.user) == ("ESX", "", BACKUP)


def test_calls_of_its_session_inherit_it(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, ADMIN, ESX1)
    open_disk(talk, ADMIN, ESX1)
    talk.finish()
    assert talk.path("OPEN_FILE") == "VC:CORP\\\\svc-backup:ESX:?"
    record = talk.find("OPEN_FILE")
    assert record.hop and record.hop.parent_id == talk.find("NfcGetVmFiles").id
    assert record.extra["intent"] == "read" and record.extra["client"] == "vddk"
    assert record.target.name == DISK.name


def test_the_chain_goes_on_above_who_asked(talk: Talk) -> None:
    """A cloud's user had the console opened, and the cloud asked vCenter for it."""
    talk.login(BOB, VCD, "bob@acme")
    talk.call(BOB, VCD, "acquireMksTicket", operation_class=OperationClass.CONSOLE, request_id="q")
    issue(talk, VCD, VC, operation="AcquireTicket", operation_id="q")
    session(talk, BOB, ESX1)
    talk.finish()
    assert talk.path("SESSION") == "VCD:bob@acme:VC:vCloudService:ESX:?"


def test_who_asked_may_be_decided_later(talk: Talk) -> None:
    """The cloud's request ends after what it caused."""
    talk.login(BOB, VCD, "bob@acme")
    start = talk.span()
    issue(talk, VCD, VC, operation="AcquireTicket", operation_id="q")
    session(talk, BOB, ESX1)
    assert [each.op.name for each in talk.records if each.op] == ["Login"]
    asked = replace(
        _console_call(), **{**start, "end_ns": talk.now_ns}, token=f"token-bob@acme-{BOB}-{VCD}"
    )
    talk.say(BOB, VCD, asked)
    talk.finish()
    assert talk.path("SESSION") == "VCD:bob@acme:VC:vCloudService:ESX:?"
    assert talk.amendments() == []


def _console_call() -> Call:
    return Call(
        time_ns=0, end_ns=0, api="vcloud", operation="acquireMksTicket", request_id="q",
        operation_class=OperationClass.CONSOLE, outcome=Outcome.SUCCESS,
    )  # fmt: skip


def test_several_who_may_have_asked_stay_several(talk: Talk) -> None:
    for person, name in ((BOB, "bob@acme"), (ALICE, "alice@acme")):
        talk.login(person, VCD, name)
        talk.call(
            person, VCD, "acquireMksTicket", operation_class=OperationClass.CONSOLE, lasts=0.5
        )
    issue(talk, VCD, VC, operation="AcquireTicket")
    session(talk, BOB, ESX1)
    talk.finish()
    record = talk.find("SESSION")
    assert record.hop and record.hop.cause == "ambiguous"
    assert {each.path for each in record.hop.candidates} == {
        "VCD:bob@acme:VC:vCloudService:ESX:?", "VCD:alice@acme:VC:vCloudService:ESX:?",
        "?:?:VC:vCloudService:ESX:?",
    }  # fmt: skip
    assert record.chain and record.chain.path == "?:?:VC:vCloudService:ESX:?"


def test_a_ticket_of_the_host_itself_is_the_same_account(talk: Talk) -> None:
    talk.login(ADMIN, ESX1, "root")
    issue(talk, ADMIN, ESX1)
    session(talk, ADMIN, ESX1)
    open_disk(talk, ADMIN, ESX1)
    talk.finish()
    assert talk.path("SESSION") == talk.path("OPEN_FILE") == "ESX:root"
    assert talk.find("OPEN_FILE").to.user == "root"


def test_a_ticket_of_unknown_origin_names_nobody(talk: Talk) -> None:
    session(talk, ADMIN, ESX1, "never-issued")
    open_disk(talk, ADMIN, ESX1)
    talk.finish()
    for operation in ("SESSION", "OPEN_FILE"):
        assert talk.path(operation) == "ESX:?"
        assert talk.cause(operation) == ("none", 0.0)
        record = talk.find(operation)
        assert record.hop
        assert [(each.key, each.grade) for each in record.hop.evidence] == [("ticket", "claimed")]


def test_a_session_whose_login_was_not_seen_is_nobodys_own(talk: Talk) -> None:
    """It may have been by a ticket."""
    open_disk(talk, ADMIN, ESX1)
    talk.finish()
    assert talk.path("OPEN_FILE") == "ESX:?"
    assert talk.cause("OPEN_FILE") == ("none", 0.0)


def test_a_session_by_password_is_the_persons_own(talk: Talk) -> None:
    session(talk, ADMIN, ESX1, "", operation="USER", method=LoginMethod.PASSWORD, user="root")
    open_disk(talk, ADMIN, ESX1)
    talk.finish()
    assert talk.path("OPEN_FILE") == "ESX:root"
    assert talk.cause("OPEN_FILE") == ("none", 1.0)


def test_a_ticket_that_was_refused_says_whose_it_was(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, BOB, ESX1, outcome=Outcome.FAILURE, fault="530 Login incorrect", new_tokens=())
    talk.finish()
    record = talk.find("SESSION")
    assert (record.outcome, record.fault) == ("failure", "530 Login incorrect")
    assert talk.path("SESSION") == "VC:CORP\\\\svc-backup:ESX:?"


def test_a_ticket_shown_twice_is_told_of(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, ADMIN, ESX1)
    session(talk, BOB, ESX2, new_tokens=("flow:C2",))
    talk.finish()
    [alert] = [each for each in talk.records if each.reason == "ticket_reused"]
    assert (alert.source.ip, alert.extra["value"]) == (BOB, "x")
    assert alert.extra["record"] == talk.find("SESSION", ESX2).id


def test_a_consoles_ticket_is_for_one_use_too(talk: Talk) -> None:
    issue(talk, ADMIN, VC, operation="AcquireTicket")
    for client in (ADMIN, BOB):
        talk.call(
            client, ESX1, "GET /ticket", ticket="x", token="",
            operation_class=OperationClass.CONSOLE,
        )  # fmt: skip
    talk.finish()
    assert talk.alerts() == ["ticket_reused"]


def test_a_lease_is_used_for_each_of_its_disks(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    for _ in range(3):
        talk.call(
            ADMIN, ESX1, "GET /nfc", ticket="x", token="", operation_class=OperationClass.DISK
        )
    talk.finish()
    assert talk.alerts() == []
    assert talk.path("GET /nfc", ESX1, 2) == "VC:CORP\\\\svc-backup:ESX:?"


def test_what_is_opened_hours_later_still_leads_to_who_asked(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, ADMIN, ESX1)
    talk.wait(20 * 60)
    assert talk.analysis.gauges()["actions"] == 0
    open_disk(talk, ADMIN, ESX1)
    talk.finish()
    assert talk.path("OPEN_FILE") == "VC:CORP\\\\svc-backup:ESX:?"
    record = talk.find("OPEN_FILE")
    assert record.hop and record.hop.parent_id == talk.find("NfcGetVmFiles").id
    assert talk.cause("OPEN_FILE")[0] == "explicit"


def test_a_ticket_read_from_a_lease_leads_to_the_session_that_read_it(talk: Talk) -> None:
    """No action's answer has it, but who asked is known."""
    issued = TicketIssued(
        kind="nfc", ticket="x", token=f"token-{BACKUP}-{ADMIN}-{VC}", **talk.span()
    )
    talk.say(ADMIN, VC, issued, port=9)
    session(talk, ADMIN, ESX1)
    talk.finish()
    assert talk.path("SESSION") == "VC:CORP\\\\svc-backup:ESX:?"
    assert talk.cause("SESSION") == ("explicit", 0.999)


def test_a_ticket_read_from_a_lease_leads_to_the_export(talk: Talk) -> None:
    """As vCloud Director does it: the lease is returned, and its URLs are read later."""
    talk.login(BOB, VCD, "bob@acme")
    talk.call(BOB, VCD, "enableDownload", operation_class=OperationClass.DISK, request_id="q")
    lease = Target("HttpNfcLease", "session[]52l")
    talk.call(
        VCD, VC, "ExportVm", vm("vm-1"), [lease], operation_class=OperationClass.DISK,
        operation_id="q",
    )  # fmt: skip
    token = f"token-vCloudService-{VCD}-{VC}"
    for _ in range(2):  # it is polled
        read = TicketIssued(kind="nfc", ticket="x", token=token, lease=lease.id, **talk.span())
        talk.say(VCD, VC, read)
    talk.call(VCD, ESX1, "GET /nfc", ticket="x", token="", operation_class=OperationClass.DISK)
    talk.finish()
    assert talk.path("GET /nfc") == "VCD:bob@acme:VC:vCloudService:ESX:?"
    record = talk.find("GET /nfc")
    assert record.hop and record.hop.parent_id == talk.find("ExportVm").id


def test_a_ticket_read_again_is_the_same(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, ADMIN, ESX1)
    again = TicketIssued(kind="nfc", ticket="x", token=f"token-of-{ADMIN}", **talk.span())
    talk.say(ADMIN, VC, again, port=10)
    session(talk, BOB, ESX1)
    talk.finish()
    assert talk.alerts() == ["ticket_reused"]
    record = talk.find("SESSION", ESX1, 1)
    assert record.hop and record.hop.parent_id == talk.find("NfcGetVmFiles").id


def test_a_service_that_read_it_did_so_for_somebody(talk: Talk) -> None:
    issued = TicketIssued(
        kind="nfc", ticket="x", token=f"token-vCloudService-{VCD}-{VC}", **talk.span()
    )
    talk.say(VCD, VC, issued, port=9)
    session(talk, BOB, ESX1)
    talk.finish()
    assert talk.path("SESSION") == "?:?:VC:vCloudService:ESX:?"
    assert talk.cause("SESSION") == ("none", 0.0)


def test_an_issue_seen_after_its_use_amends(talk: Talk) -> None:
    session(talk, ADMIN, ESX1)
    open_disk(talk, ADMIN, ESX1)
    talk.wait(3)
    issue(talk, ADMIN, VC)
    talk.finish()
    assert talk.path("SESSION") == talk.path("OPEN_FILE") == "VC:CORP\\\\svc-backup:ESX:?"
    assert talk.amendments() == ["parent seen"] * 2


def test_bytes_are_told_when_a_disk_is_closed(talk: Talk) -> None:
    issue(talk, ADMIN, VC)
    session(talk, ADMIN, ESX1)
    call = open_disk(talk, ADMIN, ESX1)
    talk.wait(60)
    first = talk.find("OPEN_FILE")
    [closed] = talk.say(ADMIN, ESX1, moved(talk, call), port=902)
    assert (closed.kind, closed.reason, closed.amends) == ("chain", "closed", first.id)
    assert (closed.extra["bytes_to_server"], closed.extra["bytes_to_client"]) == ("10", "4000")
    assert closed.ts == call.time_ns and closed.ts_end > call.end_ns + 59 * 10**9
    assert closed.extra["intent"] == "read" and closed.chain == first.chain
    assert talk.say(ADMIN, ESX1, moved(talk, call), port=902) == []


def test_bytes_of_what_was_open_for_hours(talk: Talk) -> None:
    call = open_disk(talk, ADMIN, ESX1)
    talk.wait(4 * 3600)
    assert talk.analysis.gauges()["actions"] == 0
    first = talk.find("OPEN_FILE")
    [closed] = talk.say(ADMIN, ESX1, moved(talk, call, 0, 10**13), port=902)
    assert (closed.amends, closed.extra["bytes_to_client"]) == (first.id, str(10**13))
    assert closed.id != first.id
    assert talk.analysis.gauges()["open_disks"] == 0


def test_what_closes_at_once_is_one_record(talk: Talk) -> None:
    """Its chain is still to be decided: nothing has to be amended."""
    talk.login(BOB, VCD, "bob@acme")
    issue(talk, VCD, VC)
    session(talk, BOB, ESX1)
    call = open_disk(talk, BOB, ESX1)
    assert talk.say(BOB, ESX1, moved(talk, call), port=902) == []
    talk.finish()
    assert talk.find("OPEN_FILE").extra["bytes_to_client"] == "4000"
    assert talk.amendments() == []


def test_bytes_of_an_unknown_call_say_nothing(talk: Talk) -> None:
    unknown: Message = moved(talk, replace(_console_call(), time_ns=talk.now_ns))
    assert talk.say(ADMIN, ESX1, unknown) == []


def test_open_disks_are_bounded() -> None:
    opened = Opened()
    for number in range(OPENED_MAX + 3):
        opened.add(replace(_console_call(), api="nfc", token=FLOW, time_ns=number), number)
    assert (len(opened), opened.shed) == (OPENED_MAX, 3)
