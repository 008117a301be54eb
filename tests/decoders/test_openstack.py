"""OpenStack: Keystone's tokens, and what is asked of the services with them."""

from typing import Any

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    OperationClass,
    Outcome,
    SessionExpired,
    SessionSeen,
    Target,
    TicketIssued,
    Transaction,
    TransactionFlag,
)
from decoders.openstack import OpenStack
from tests.decoders.crafting import hasher, only, rest, rest_json

openstack = OpenStack(hasher)
TOKENS = "/v3/auth/tokens"
SERVER = "0b1f2c3d-1111-4222-8333-444455556666"
PROJECT = "5f0c1d2e3a4b4c5d8e9f0a1b2c3d4e5f"
HEAD = "X-Auth-Token: gAAAA-t0ken\r\nUser-Agent: python-novaclient"
ISSUED = {
    "token": {
        "methods": ["password"],
        "user": {"name": "bob", "id": "u1", "domain": {"name": "Default", "id": "default"}},
        "project": {"name": "web", "id": PROJECT},
        "expires_at": "2026-11-22T03:00:00Z",
    }
}


def identity(method: str, **of_method: object) -> dict[str, object]:
    return {"auth": {"identity": {"methods": [method], method: of_method}, "scope": {}}}


PASSWORD = identity(
    "password", user={"name": "bob", "password": "s3cret", "domain": {"name": "Default"}}
)


def decode(done: Transaction) -> list[Any]:
    assert openstack.claims(done)
    return list(openstack.transaction(done))


def issue(asked: object, answered: object = ISSUED, prefix: str = "") -> Transaction:
    return rest_json(
        "POST",
        f"{prefix}{TOKENS}",
        asked,
        answered,
        status=201,
        head="Content-Type: application/json",
        response_head="X-Subject-Token: gAAAA-new\r\nx-openstack-request-id: req-1",
    )


@pytest.mark.parametrize("prefix", ["", "/identity"])
def test_login(prefix: str) -> None:
    login = only(decode(issue(PASSWORD, prefix=prefix)))
    assert isinstance(login, Login)
    assert (login.api, login.operation) == ("openstack", f"POST {TOKENS}")
    assert (login.user, login.claimed) == ("bob@Default", "bob@Default")
    assert (login.method, login.outcome) == (LoginMethod.PASSWORD, Outcome.SUCCESS)
    assert login.new_tokens == (hasher("gAAAA-new"),)
    assert login.details[:2] == (("auth_method", "password"), ("project", "web"))
    assert "s3cret" not in repr(login)


def test_login_refused() -> None:
    error = {"error": {"code": 401, "message": "no", "title": "Unauthorized"}}
    login = only(decode(rest_json("POST", TOKENS, PASSWORD, error, status=401)))
    assert (login.outcome, login.fault, login.user, login.new_tokens) == (
        Outcome.FAILURE,
        "Unauthorized",
        "bob@Default",
        (),
    )


def test_login_by_application_credential() -> None:
    asked = identity("application_credential", id="ac1", secret="s3cret")
    answered = {"token": {**ISSUED["token"], "application_credential": {"name": "terraform"}}}
    login = only(decode(issue(asked, answered)))
    assert (login.method, login.user, login.claimed) == (LoginMethod.TOKEN, "bob@Default", "ac1")
    assert ("application_credential", "terraform") in login.details
    assert "s3cret" not in repr(login)


def test_a_token_is_exchanged() -> None:
    login = only(decode(issue(identity("token", id="gAAAA-old"))))
    assert (login.method, login.user) == (LoginMethod.TOKEN, "bob@Default")
    assert (login.token, login.new_tokens) == (hasher("gAAAA-old"), (hasher("gAAAA-new"),))
    assert "gAAAA" not in repr(login)


@pytest.mark.parametrize(("impersonation", "delegates"), [(True, ("u-trustee",)), (False, ())])
def test_a_trust_says_who_acts(impersonation: bool, delegates: tuple[str, ...]) -> None:
    trust = {
        "impersonation": impersonation,
        "trustor_user": {"id": "u-trustor"},
        "trustee_user": {"id": "u-trustee"},
    }
    answered = {"token": {**ISSUED["token"], "OS-TRUST:trust": trust}}
    login = only(decode(issue(PASSWORD, answered)))
    assert (login.user, login.delegates) == ("bob@Default", delegates)


def test_logout_and_validation_name_the_token_that_they_are_about() -> None:
    head = "X-Auth-Token: service\r\nX-Subject-Token: gAAAA-t0ken"
    logout = only(decode(rest("DELETE", TOKENS, head=head, status=204)))
    assert isinstance(logout, Logout)
    assert (logout.token, logout.sessions) == (hasher("gAAAA-t0ken"), ())
    seen = only(decode(rest_json("GET", TOKENS, None, ISSUED, head=head)))
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user) == (hasher("gAAAA-t0ken"), "bob@Default")
    assert decode(rest_json("GET", TOKENS, None, ISSUED, head=head, status=404)) == []


ACTIONS = [
    ("os-stop", OperationClass.POWER),
    ("os-start", OperationClass.POWER),
    ("reboot", OperationClass.POWER),
    ("suspend", OperationClass.POWER),
    ("shelve", OperationClass.POWER),
    ("rebuild", OperationClass.CREATE),
    ("createImage", OperationClass.CREATE),
    ("forceDelete", OperationClass.DELETE),
    ("os-migrateLive", OperationClass.UPDATE),
    ("resize", OperationClass.UPDATE),
    ("changePassword", OperationClass.UPDATE),
    ("os-resetState", OperationClass.UPDATE),
    ("restore", OperationClass.UPDATE),
    ("os-getVNCConsole", OperationClass.CONSOLE),
]


@pytest.mark.parametrize(("verb", "kind"), ACTIONS)
def test_actions_of_a_server(verb: str, kind: OperationClass) -> None:
    target = f"/v2.1/servers/{SERVER}/action"
    done = rest_json(
        "POST", target, {verb: {"adminPass": "s3cret"}}, {}, head=HEAD, status=202,
        response_head="x-compute-request-id: req-7",
    )  # fmt: skip
    call = only(decode(done))
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (f"servers.{verb}", kind)
    assert (call.target, call.related) == (Target("Server", SERVER), ())
    assert (call.token, call.request_id) == (hasher("gAAAA-t0ken"), "req-7")
    assert "s3cret" not in repr(call)


CHANGES = [
    ("POST", "/v2.1/servers", "servers.create", OperationClass.CREATE),
    ("POST", f"/compute/v2.1/{PROJECT}/servers", "servers.create", OperationClass.CREATE),
    ("PUT", f"/v2.1/servers/{SERVER}", "servers.update", OperationClass.UPDATE),
    ("DELETE", f"/v2.1/servers/{SERVER}", "servers.delete", OperationClass.DELETE),
    ("POST", f"/v3/{PROJECT}/volumes", "volumes.create", OperationClass.CREATE),
    ("DELETE", f"/v3/{PROJECT}/volumes/{SERVER}", "volumes.delete", OperationClass.DELETE),
    ("PATCH", f"/v2/images/{SERVER}", "images.update", OperationClass.UPDATE),
    ("PUT", f"/v2/images/{SERVER}/file", "images.file.update", OperationClass.UPDATE),
    ("POST", "/v2.0/ports", "ports.create", OperationClass.CREATE),
    ("DELETE", f"/v2.0/security-group-rules/{SERVER}", "security-group-rules.delete",
     OperationClass.DELETE),
    ("POST", "/v3/users", "users.create", OperationClass.CREATE),
    ("PUT", f"/v3/projects/{PROJECT}/users/{PROJECT}/roles/{PROJECT}",
     "projects.users.roles.update", OperationClass.UPDATE),
    ("POST", "/v3/OS-TRUST/trusts", "OS-TRUST.trusts.create", OperationClass.CREATE),
    ("POST", f"/v1/{PROJECT}/stacks", "stacks.create", OperationClass.CREATE),
    ("POST", f"/v2.1/servers/{SERVER}/os-volume_attachments",
     "servers.os-volume_attachments.create", OperationClass.CREATE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "operation", "kind"), CHANGES)
def test_changes(method: str, target: str, operation: str, kind: OperationClass) -> None:
    call = only(decode(rest(method, target, head=HEAD, status=202)))
    assert (call.operation, call.operation_class, call.outcome) == (
        operation,
        kind,
        Outcome.SUCCESS,
    )


def test_a_creation_names_what_it_made() -> None:
    asked = {"server": {"name": "web-1", "adminPass": "s3cret", "imageRef": "i"}}
    answered = {"server": {"id": SERVER, "adminPass": "s3cret"}}
    call = only(decode(rest_json("POST", "/v2.1/servers", asked, answered, head=HEAD)))
    assert call.related == (Target("Server", SERVER, "web-1"),)
    assert "s3cret" not in repr(call)


def test_an_attached_volume_is_related() -> None:
    target = f"/v2.1/servers/{SERVER}/os-volume_attachments"
    asked = {"volumeAttachment": {"volumeId": PROJECT}}
    call = only(decode(rest_json("POST", target, asked, {}, head=HEAD)))
    assert call.target == Target("Server", SERVER)
    assert call.related == (Target("Volume", PROJECT),)


@pytest.mark.parametrize(
    "url",
    [
        "http://nova:6080/vnc_auto.html?token=c0nsole&title=x",
        "http://nova:6080/vnc_auto.html?path=%3Ftoken%3Dc0nsole",
    ],
)
def test_a_console_is_a_ticket(url: str) -> None:
    target = f"/v2.1/servers/{SERVER}/remote-consoles"
    answered = {"remote_console": {"protocol": "vnc", "type": "novnc", "url": url}}
    call, ticket = decode(rest_json("POST", target, {"remote_console": {}}, answered, head=HEAD))
    assert isinstance(call, Call) and isinstance(ticket, TicketIssued)
    assert (call.operation, call.operation_class) == (
        "servers.remote-consoles",
        OperationClass.CONSOLE,
    )
    assert (ticket.ticket, ticket.target) == (hasher("c0nsole"), Target("Server", SERVER))


@pytest.mark.parametrize(
    ("answered", "fault"),
    [
        ({"itemNotFound": {"message": "gone", "code": 404}}, "itemNotFound"),
        ({"NeutronError": {"type": "PortNotFound", "message": "x"}}, "PortNotFound"),
        ({"error": {"type": "StackNotFound", "message": "x"}}, "StackNotFound"),
        ([], "HTTP 404"),
    ],
)
def test_faults(answered: object, fault: str) -> None:
    target = f"/v2.1/servers/{SERVER}"
    call = only(decode(rest_json("DELETE", target, None, answered, head=HEAD, status=404)))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, fault)


def test_an_expired_token() -> None:
    call, expired = decode(rest("DELETE", f"/v2.1/servers/{SERVER}", head=HEAD, status=401))
    assert isinstance(call, Call) and isinstance(expired, SessionExpired)
    assert expired.token == hasher("gAAAA-t0ken")


def test_what_only_looks_says_nothing() -> None:
    target = f"/v2.1/servers/{SERVER}/action"
    looked = {"os-getConsoleOutput": {"length": 10}}
    assert decode(rest_json("POST", target, looked, {}, head=HEAD)) == []
    assert decode(rest("GET", f"/v2.1/servers/{SERVER}", head=HEAD)) == []


def test_a_new_token_alone() -> None:
    done = rest("GET", "/v2.1/servers/detail", head=HEAD, flags=TransactionFlag.NEW_TOKEN)
    seen = only(decode(done))
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user) == (hasher("gAAAA-t0ken"), "")


@pytest.mark.parametrize(
    ("target", "head", "claimed"),
    [
        ("/v2.1/servers", HEAD, True),
        ("/v2.1/servers", "Authorization: Bearer x", False),
        ("/api/nutanix/v3/vms", HEAD, False),
        ("/redfish/v1/Systems/1", HEAD, False),
        ("/sdk", HEAD, False),
        (TOKENS, "", True),
    ],
)
def test_claims(target: str, head: str, claimed: bool) -> None:
    assert openstack.claims(rest("POST", target, head=head)) is claimed
