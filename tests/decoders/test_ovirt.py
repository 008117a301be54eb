"""oVirt: tokens of its SSO, Basic sessions, changes in XML and JSON."""

import base64
import struct
from typing import Any

import pytest

from decoders.message import (
    Login,
    LoginMethod,
    Logout,
    OperationClass,
    Outcome,
    SessionExpired,
    Target,
    TicketIssued,
    Transaction,
)
from decoders.ovirt import Ovirt
from tests.decoders.crafting import hasher, only, rest, rest_json

ovirt = Ovirt(hasher)
TOKEN = "/ovirt-engine/sso/oauth/token"
API = "/ovirt-engine/api"
VM = f"{API}/vms/0b1f2c3d-1111-4222-8333-444455556666"
VM_ID = "0b1f2c3d-1111-4222-8333-444455556666"
HEAD = "Authorization: Bearer t0ken\r\nContent-Type: application/xml\r\nCorrelation-Id: run-7"
FORM = "Content-Type: application/x-www-form-urlencoded"
PASSWORD = b"grant_type=password&scope=ovirt-app-api&username=admin%40internal&password=s3cret%26"


def decode(done: Transaction) -> list[Any]:
    assert ovirt.claims(done)
    return list(ovirt.transaction(done))


def change(
    method: str, target: str, asked: str = "", answered: str = "", status: int = 200
) -> list[Any]:
    return decode(
        rest(
            method,
            target,
            head=HEAD,
            body=asked.encode(),
            status=status,
            response_head="Content-Type: application/xml;charset=utf-8",
            response_body=answered.encode(),
        )
    )


def test_login() -> None:
    done = rest_json("POST", TOKEN, None, {"access_token": "t0ken", "scope": "s"}, head=FORM)
    login = only(decode(done._replace(request_body=PASSWORD)))
    assert isinstance(login, Login)
    assert (login.user, login.method) == ("admin@internal", LoginMethod.PASSWORD)
    assert login.new_tokens == (hasher("t0ken"),)
    assert "s3cret" not in repr(login) and "t0ken" not in repr(login)


def test_login_refused() -> None:
    answered = {"error_code": "access_denied", "error": "Cannot authenticate user"}
    done = rest_json("POST", TOKEN, None, answered, head=FORM, status=400)
    login = only(decode(done._replace(request_body=PASSWORD)))
    assert (login.outcome, login.fault, login.user) == (
        Outcome.FAILURE,
        "access_denied",
        "admin@internal",
    )


def test_parameters_in_the_query() -> None:
    target = f"{TOKEN}?{PASSWORD.decode()}"
    login = only(decode(rest_json("GET", target, None, {"access_token": "t0ken"})))
    assert (login.user, login.operation) == ("admin@internal", f"GET {TOKEN}")
    assert "s3cret" not in repr(login)


def ntlm(user: str) -> str:
    name = user.encode("utf-16-le")
    fields = [(0, 72), (0, 72), (0, 72), (len(name), 72)]
    spans = b"".join(struct.pack("<HHI", size, size, at) for size, at in fields)
    message = b"NTLMSSP\0\x03\0\0\0" + spans + bytes(16) + struct.pack("<I", 1) + bytes(8) + name
    return base64.b64encode(message).decode()


def test_negotiated_login() -> None:
    path = f"{TOKEN}-http-auth"
    head = f"Authorization: Negotiate {ntlm('bob')}\r\n{FORM}"
    done = rest_json("POST", path, None, {"access_token": "t0ken"}, head=head)
    login = only(decode(done))
    assert (login.user, login.method) == ("bob", LoginMethod.SSPI)
    challenge = "WWW-Authenticate: Negotiate abc"
    assert decode(rest("POST", path, head=head, status=401, response_head=challenge)) == []


@pytest.mark.parametrize("path", ["services/sso-logout", "sso/oauth/revoke"])
def test_logout(path: str) -> None:
    done = rest("POST", f"/ovirt-engine/{path}", head=FORM, body=b"scope=&token=t0ken")
    logout = only(decode(done))
    assert isinstance(logout, Logout)
    assert logout.token == hasher("t0ken")


def test_basic_credentials_buy_a_session() -> None:
    basic = "Authorization: Basic " + base64.b64encode(b"admin@internal:s3cret").decode()
    set_cookie = "Set-Cookie: JSESSIONID=c00kie; Path=/ovirt-engine/api"
    login = only(decode(rest("GET", API, head=basic, response_head=set_cookie)))
    assert (login.method, login.user) == (LoginMethod.BASIC, "admin@internal")
    assert login.new_tokens == (hasher("c00kie"),)
    call = only(decode(rest("DELETE", VM, head=basic)))
    assert call.user == "admin@internal"
    assert "s3cret" not in repr((login, call))


CHANGES = [
    ("POST", f"{VM}/start", "vms.start", OperationClass.POWER),
    ("POST", f"{VM}/shutdown", "vms.shutdown", OperationClass.POWER),
    ("POST", f"{VM}/migrate", "vms.migrate", OperationClass.UPDATE),
    ("POST", f"{VM}/ticket", "vms.ticket", OperationClass.CONSOLE),
    ("POST", f"{VM}/graphicsconsoles/766e63/proxyticket", "vms.graphicsconsoles.proxyticket",
     OperationClass.CONSOLE),
    ("POST", f"{VM}/graphicsconsoles/7370696365/remoteviewerconnectionfile",
     "vms.graphicsconsoles.remoteviewerconnectionfile", OperationClass.CONSOLE),
    ("POST", f"{API}/vms", "vms.create", OperationClass.CREATE),
    ("PUT", VM, "vms.update", OperationClass.UPDATE),
    ("DELETE", VM, "vms.delete", OperationClass.DELETE),
    ("POST", f"{VM}/snapshots", "vms.snapshots.create", OperationClass.CREATE),
    ("POST", f"{VM}/diskattachments", "vms.diskattachments.create", OperationClass.CREATE),
    ("POST", f"{API}/hosts/{VM_ID}/deactivate", "hosts.deactivate", OperationClass.UPDATE),
    ("POST", f"{API}/users", "users.create", OperationClass.CREATE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "operation", "kind"), CHANGES)
def test_changes(method: str, target: str, operation: str, kind: OperationClass) -> None:
    asked = "<action><vm><initialization><root_password>s3cret</root_password></initialization>"
    call = only(change(method, target, asked))
    assert (call.operation, call.operation_class) == (operation, kind)
    assert (call.token, call.operation_id) == (hasher("t0ken"), "run-7")
    assert "s3cret" not in repr(call)


def test_objects_in_xml_and_json() -> None:
    answered = f'<vm href="/ovirt-engine/api/vms/{VM_ID}" id="{VM_ID}"><name>web</name></vm>'
    call = only(change("POST", f"{API}/vms?clone=true", "<vm><name>web</name></vm>", answered))
    made = (Target("VirtualMachine", VM_ID, "web"),)
    assert call.related == made
    head = HEAD.replace("xml", "json")
    done = rest_json("POST", f"{API}/vms", {"name": "web"}, {"id": VM_ID}, head=head)
    assert only(decode(done)).related == made


def test_a_correlation_id_may_be_a_parameter() -> None:
    done = rest("POST", f"{VM}/start?correlation_id=run-8", head="Authorization: Bearer t0ken")
    assert only(decode(done)).operation_id == "run-8"


def test_a_console_is_a_ticket() -> None:
    answered = "<action><ticket><expiry>120</expiry><value>c0nsole</value></ticket></action>"
    call, ticket = change("POST", f"{VM}/ticket", "<action/>", answered)
    assert isinstance(ticket, TicketIssued)
    assert ticket.ticket == hasher("c0nsole")
    assert call.target == ticket.target == Target("VirtualMachine", VM_ID)


def test_a_fault_in_xml() -> None:
    answered = "<fault><detail>[VM is running]</detail><reason>Operation Failed</reason></fault>"
    call = only(change("POST", f"{VM}/start", "<action/>", answered, status=409))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "Operation Failed")


def test_an_expired_token() -> None:
    assert isinstance(change("POST", f"{VM}/start", status=401)[-1], SessionExpired)


@pytest.mark.parametrize(
    ("target", "claimed"),
    [(API, True), (f"{API}/vms", True), ("/ovirt-engine/apix", False), ("/api/vms", False)],
)
def test_claims(target: str, claimed: bool) -> None:
    assert ovirt.claims(rest("POST", target)) is claimed
