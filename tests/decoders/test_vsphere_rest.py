"""The vSphere Automation API: sessions of /api and /rest, and what its calls do."""

import base64
import gzip
from typing import Any

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    OperationClass,
    Outcome,
    SessionExpired,
    SessionSeen,
    Target,
    TicketIssued,
    TransactionFlag,
)
from decoders.vsphere_rest import VsphereRest
from tests.decoders.crafting import hasher, only, rest, rest_json

decoder = VsphereRest(hasher)
BASIC = "Authorization: Basic " + base64.b64encode(b"bob@vsphere.local:s3cret").decode()
TOKEN = "vmware-api-session-id: 40c0ffee\r\nX-Request-ID: req-7"


def _decode(method: str, target: str, asked: Any, answered: Any, **others: Any) -> list[Message]:
    done = rest_json(method, target, asked, answered, **others)
    assert decoder.claims(done)
    return decoder.transaction(done)


@pytest.mark.parametrize(
    ("path", "answered"),
    [("/api/session", "40c0ffee"), ("/rest/com/vmware/cis/session", {"value": "40c0ffee"})],
)
def test_login_and_logout(path: str, answered: Any) -> None:
    login = only(_decode("POST", path, None, answered, head=BASIC, status=201))
    assert isinstance(login, Login)
    assert (login.user, login.method, login.outcome) == (
        "bob@vsphere.local",
        LoginMethod.BASIC,
        Outcome.SUCCESS,
    )
    assert login.new_tokens == (hasher("40c0ffee"),)
    assert "s3cret" not in repr(login)
    logout = only(_decode("DELETE", path, None, None, head=TOKEN, status=204))
    assert isinstance(logout, Logout)
    assert logout.token == login.new_tokens[0]


def test_login_refused() -> None:
    answered = {"error_type": "UNAUTHENTICATED", "messages": []}
    login = only(_decode("POST", "/api/session", None, answered, head=BASIC, status=401))
    assert (login.outcome, login.fault) == (Outcome.FAILURE, "UNAUTHENTICATED")
    assert (login.user, login.new_tokens) == ("bob@vsphere.local", ())
    login = only(decoder.transaction(rest("POST", "/api/session", head=BASIC, status=503)))
    assert login.fault == "HTTP 503"


def test_saml_login() -> None:
    assertion = (
        b"<s:Assertion xmlns:s='u'><s:Subject><s:NameID>alice@vsphere.local</s:NameID></s:Subject>"
        b"<s:Conditions><s:Condition><d:Delegate xmlns:d='v' DelegationInstant='1'><s:NameID>"
        b"machine-1</s:NameID></d:Delegate></s:Condition></s:Conditions></s:Assertion>"
    )
    token = base64.b64encode(gzip.compress(assertion)).decode()
    head = f'Authorization: SIGN token="{token}", nonce="1:x"'
    login = only(_decode("POST", "/api/session", None, "40c0ffee", head=head, status=201))
    assert (login.method, login.user, login.delegates) == (
        LoginMethod.SAML,
        "alice@vsphere.local",
        ("machine-1",),
    )


@pytest.mark.parametrize(
    ("method", "target", "answered"),
    [
        ("GET", "/api/session", {"user": "bob"}),
        ("POST", "/rest/com/vmware/cis/session?~action=get", {"value": {"user": "bob"}}),
    ],
)
def test_session_read(method: str, target: str, answered: Any) -> None:
    seen = only(_decode(method, target, None, answered, head=TOKEN))
    assert isinstance(seen, SessionSeen)
    assert (seen.user, seen.token) == ("bob", hasher("40c0ffee"))


@pytest.mark.parametrize(
    ("method", "target", "operation", "kind"),
    [
        ("POST", "/api/vcenter/vm/vm-39/power?action=stop", "power.stop", OperationClass.POWER),
        ("POST", "/rest/vcenter/vm/vm-39/power/stop", "power.stop", OperationClass.POWER),
        ("POST", "/api/vcenter/vm/vm-39?action=relocate", "relocate", OperationClass.UPDATE),
        ("DELETE", "/api/vcenter/vm/vm-39", "delete", OperationClass.DELETE),
        (
            "PATCH",
            "/api/vcenter/vm/vm-39/hardware/cpu",
            "hardware.cpu.update",
            OperationClass.UPDATE,
        ),
        ("PUT", "/api/vcenter/vm/vm-39/x", "x.set", OperationClass.UPDATE),
        (
            "DELETE",
            "/api/vcenter/vm/vm-39/hardware/disk/2000",
            "hardware.disk.delete",
            OperationClass.DELETE,
        ),
    ],
)
def test_actions_on_a_machine(
    method: str, target: str, operation: str, kind: OperationClass
) -> None:
    call = only(_decode(method, target, None, None, head=TOKEN, status=204))
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (f"vcenter.vm.{operation}", kind)
    assert call.target == Target("VirtualMachine", "vm-39")
    assert (call.token, call.operation_id) == (hasher("40c0ffee"), "req-7")


def test_creation() -> None:
    asked = {"name": "web", "guest_OS": "OTHER"}
    call = only(_decode("POST", "/api/vcenter/vm", asked, "vm-77", head=TOKEN, status=201))
    assert (call.operation, call.operation_class) == (
        "vcenter.vm.create",
        OperationClass.CREATE,
    )
    assert call.related == (
        Target("VirtualMachine", name="web"),
        Target("VirtualMachine", "vm-77"),
    )
    wrapped = {"spec": {"name": "web"}}
    call = only(_decode("POST", "/rest/vcenter/vm", wrapped, {"value": "vm-78"}, head=TOKEN))
    assert call.related[1] == Target("VirtualMachine", "vm-78")


def test_refused_with_the_error_of_each_api() -> None:
    answered = {"error_type": "NOT_ALLOWED_IN_CURRENT_STATE"}
    path = "/api/vcenter/vm/vm-39"
    call = only(_decode("DELETE", path, None, answered, head=TOKEN, status=400))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "NOT_ALLOWED_IN_CURRENT_STATE")
    typed = {"type": "com.vmware.vapi.std.errors.not_found", "value": {}}
    path = "/rest/vcenter/vm/vm-39"
    call = only(_decode("DELETE", path, None, typed, head=TOKEN, status=404))
    assert call.fault == "NOT_FOUND"


def test_expired() -> None:
    messages = _decode("GET", "/api/vcenter/vm", None, {}, head=TOKEN, status=401)
    assert isinstance(only(messages), SessionExpired)


def test_guest_process() -> None:
    asked = {
        "credentials": {
            "type": "USERNAME_PASSWORD",
            "user_name": "appadmin",
            "password": "s3cret",
            "interactive_session": True,
        },
        "spec": {"path": "/bin/sh", "arguments": "-c s3cret"},
    }
    target = "/api/vcenter/vm/vm-39/guest/processes?action=create"
    call = only(_decode("POST", target, asked, 2001, head=TOKEN, status=201))
    assert (call.operation_class, call.guest_user, call.guest_interactive) == (
        OperationClass.GUEST,
        "appadmin",
        True,
    )
    assert call.related == (Target("GuestProgram", name="/bin/sh"),)
    assert "s3cret" not in repr(call)


def test_console_ticket() -> None:
    target = "/api/vcenter/vm/vm-39/console/tickets"
    answered = {"ticket": "wss://esx1:443/ticket/52t1cket"}
    asked = {"type": "WEBMKS"}
    call, issued = _decode("POST", target, asked, answered, head=TOKEN, status=201)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert (call.operation_class, issued.ticket) == (
        OperationClass.CONSOLE,
        hasher("52t1cket"),
    )


def test_task_of_a_task_variant() -> None:
    target = "/api/vcenter/namespace-management/clusters/domain-c8?action=enable&vmw-task=true"
    call = only(_decode("POST", target, {}, "52aa:com.vmware.x", head=TOKEN, status=202))
    assert call.task == "52aa:com.vmware.x"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/vcenter/vm"),
        ("POST", "/api/content/library?action=find"),
        ("POST", "/rest/com/vmware/cis/tagging/tag-association?~action=list-attached-tags"),
    ],
)
def test_reads_are_no_actions(method: str, target: str) -> None:
    assert _decode(method, target, {}, {}, head=TOKEN) == []


def test_new_token_alone() -> None:
    flags = TransactionFlag.NEW_TOKEN
    messages = _decode("GET", "/api/vcenter/vm", None, [], head=TOKEN, flags=flags)
    assert isinstance(only(messages), SessionSeen)
    assert _decode("GET", "/api/vcenter/vm", None, {}, head=TOKEN, flags=flags, status=404) == []


@pytest.mark.parametrize(
    ("target", "head", "claimed"),
    [
        ("/api/session", "", True),
        ("/api/session", "Accept: application/*+xml\r\nx-vcloud-authorization: t", False),
        ("/rest/com/vmware/cis/session", "", True),
        ("/api/appliance/access/ssh", "", True),
        ("/api/vApp/vapp-1", "", False),
        ("/api", "", False),
        ("/sdk", "", False),
    ],
)
def test_claims(target: str, head: str, claimed: bool) -> None:
    assert decoder.claims(rest("POST", target, head=head)) is claimed


def test_credentials_on_every_request() -> None:
    assertion = b"<Assertion ID='_1'><Subject><NameID>bob@lab</NameID></Subject></Assertion>"
    packed = base64.b64encode(gzip.compress(assertion)).decode()
    for head in (BASIC, f'Authorization: SIGN token="{packed}"'):
        call = only(_decode("DELETE", "/api/vcenter/vm/vm-1", None, None, head=head, status=204))
        assert isinstance(call, Call)
        assert call.user in ("bob@vsphere.local", "bob@lab")
        assert (call.token, call.outcome) == ("", Outcome.SUCCESS)


def test_the_activation_id_of_the_task_below() -> None:
    head = f"{TOKEN}\r\nvapi-ctx-actid: act-9"
    call = only(_decode("POST", "/api/vcenter/vm/vm-1?action=relocate", {}, None, head=head))
    assert isinstance(call, Call)
    assert (call.activation_id, call.operation_id) == ("act-9", "req-7")


@pytest.mark.parametrize("action", ["hello", "check-permission", "list-members", "precheck"])
def test_what_only_asks(action: str) -> None:
    assert _decode("POST", f"/api/vcenter/system?action={action}", {}, None, head=TOKEN) == []
