"""Aria Automation: the two steps to a token, deployments and day-2 actions."""

import base64
import json
from typing import Any

import pytest

from decoders.aria import Aria
from decoders.message import (
    Login,
    LoginMethod,
    Logout,
    OperationClass,
    Outcome,
    SessionExpired,
    Target,
    Transaction,
)
from tests.decoders.crafting import hasher, only, rest, rest_json

aria = Aria(hasher)
ID = "4c8e7d6f-1111-4222-8333-444455556666"
OTHER = "9a0b1c2d-1111-4222-8333-444455556666"
HEAD = "Authorization: Bearer eyJ.t0ken.sig"


def jwt(claims: dict[str, str]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJh.{payload}.c2ln"


ACCESS = jwt({"sub": "vmware.com:77", "acct": "bob", "username": "bob"})


def decode(done: Transaction) -> list[Any]:
    assert aria.claims(done)
    return list(aria.transaction(done))


def test_a_password_buys_a_refresh_token() -> None:
    done = rest_json(
        "POST",
        "/csp/gateway/am/api/login?access_token",
        {"username": "bob", "password": "s3cret", "domain": "acme.test"},
        {"refresh_token": "r3fresh"},
    )
    login = only(decode(done))
    assert isinstance(login, Login)
    assert (login.user, login.method) == ("bob@acme.test", LoginMethod.PASSWORD)
    assert login.operation == "POST /csp/gateway/am/api/login"
    assert login.new_tokens == (hasher("r3fresh"),)
    assert "s3cret" not in repr(login) and "r3fresh" not in repr(login)


def test_the_refresh_token_buys_the_access_token() -> None:
    asked, answered = {"refreshToken": "r3fresh"}, {"tokenType": "Bearer", "token": ACCESS}
    login = only(decode(rest_json("POST", "/iaas/api/login", asked, answered)))
    assert (login.user, login.claimed, login.method) == ("bob", "", LoginMethod.TOKEN)
    assert (login.token, login.new_tokens) == (hasher("r3fresh"), (hasher(ACCESS),))
    assert "r3fresh" not in repr(login)


@pytest.mark.parametrize(
    "path",
    [
        "/csp/gateway/am/api/auth/api-tokens/authorize",
        "/tm/oauth/tenant/acme/token",
        "/tm/oauth/provider/token",
    ],
)
def test_a_form_buys_the_access_token(path: str) -> None:
    done = rest_json("POST", path, None, {"access_token": ACCESS, "id_token": "1d"})
    head = b"Content-Type: application/x-www-form-urlencoded"
    done = done._replace(request_head=head, request_body=b"refresh_token=r3fresh&grant_type=x")
    login = only(decode(done))
    assert (login.user, login.token) == ("bob", hasher("r3fresh"))
    assert login.new_tokens == (hasher(ACCESS), hasher("1d"))


def test_login_refused() -> None:
    asked = {"username": "eve", "password": "s3cret"}
    login = only(decode(rest_json("POST", "/csp/gateway/am/api/login", asked, {}, status=400)))
    assert (login.outcome, login.fault, login.user, login.new_tokens) == (
        Outcome.FAILURE,
        "HTTP 400",
        "eve",
        (),
    )


def test_version_7() -> None:
    asked = {"username": "bob@acme.test", "password": "s3cret", "tenant": "acme"}
    login = only(decode(rest_json("POST", "/identity/api/tokens", asked, {"id": "MTU1/x"})))
    assert (login.user, login.new_tokens) == ("bob@acme.test", (hasher("MTU1/x"),))
    logout = only(decode(rest("DELETE", "/identity/api/tokens/MTU1%2Fx", status=204)))
    assert isinstance(logout, Logout)
    assert (logout.token, logout.operation) == (hasher("MTU1/x"), "DELETE /identity/api/tokens")
    assert "MTU1" not in repr(logout)


def test_logout() -> None:
    done = rest_json("POST", "/csp/gateway/am/api/auth/logout", {"idToken": "1d"}, {}, head=HEAD)
    logout = only(decode(done))
    assert isinstance(logout, Logout)
    assert logout.token == hasher("eyJ.t0ken.sig")


DAY2 = f"/deployment/api/deployments/{ID}/resources/{OTHER}/requests"
CHANGES = [
    ("POST", f"/iaas/api/machines/{ID}/operations/power-off", {}, "iaas.machines.power-off",
     OperationClass.POWER),
    ("POST", "/iaas/api/machines", {"name": "web"}, "iaas.machines.create", OperationClass.CREATE),
    ("DELETE", f"/iaas/api/machines/{ID}", {}, "iaas.machines.delete", OperationClass.DELETE),
    ("PATCH", f"/iaas/api/networks/{ID}", {}, "iaas.networks.update", OperationClass.UPDATE),
    ("POST", DAY2, {"actionId": "Cloud.vSphere.Machine.PowerOff", "inputs": {"p": "s3cret"}},
     "deployment.deployments.resources.requests.PowerOff", OperationClass.POWER),
    ("POST", DAY2, {"actionId": "Cloud.vSphere.Machine.Remote.Console"},
     "deployment.deployments.resources.requests.Console", OperationClass.CONSOLE),
    ("POST", f"/deployment/api/deployments/{ID}/requests", {"actionId": "Deployment.Delete"},
     "deployment.deployments.requests.Delete", OperationClass.DELETE),
    ("DELETE", f"/deployment/api/deployments/{ID}", {}, "deployment.deployments.delete",
     OperationClass.DELETE),
    ("POST", f"/catalog/api/items/{ID}/request", {"deploymentName": "web"},
     "catalog.items.request.create", OperationClass.CREATE),
    ("POST", "/blueprint/api/blueprint-requests", {"deploymentName": "web"},
     "blueprint.blueprint-requests.create", OperationClass.CREATE),
    ("POST", f"/vco/api/workflows/{ID}/executions", {}, "vco.workflows.executions.create",
     OperationClass.CREATE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "asked", "operation", "kind"), CHANGES)
def test_changes(
    method: str, target: str, asked: object, operation: str, kind: OperationClass
) -> None:
    call = only(decode(rest_json(method, target, asked, {"id": "req-1"}, head=HEAD, status=202)))
    assert (call.operation, call.operation_class) == (operation, kind)
    assert (call.token, call.request_id) == (hasher("eyJ.t0ken.sig"), "req-1")
    assert "s3cret" not in repr(call)


def test_objects() -> None:
    call = only(decode(rest_json("POST", DAY2, {"actionId": "X.PowerOn"}, {}, head=HEAD)))
    assert call.target == Target("Resource", OTHER)
    asked = {"deploymentName": "web", "projectId": "p"}
    answered = [{"deploymentId": OTHER, "deploymentName": "web"}]
    target = f"/catalog/api/items/{ID}/request"
    call = only(decode(rest_json("POST", target, asked, answered, head=HEAD)))
    assert call.target == Target("CatalogItem", ID)
    assert call.related == (Target("Deployment", OTHER, "web"),)


def test_what_only_looks_says_nothing() -> None:
    assert decode(rest_json("POST", "/blueprint/api/blueprint-validation/validate", {}, {})) == []
    assert decode(rest("GET", "/iaas/api/machines", head=HEAD)) == []


def test_an_expired_token() -> None:
    _, expired = decode(rest("DELETE", f"/iaas/api/machines/{ID}", head=HEAD, status=401))
    assert isinstance(expired, SessionExpired)


@pytest.mark.parametrize(
    ("target", "claimed"),
    [("/iaas/api/machines", True), ("/api/session", False), ("/oauth/tenant/a/token", False)],
)
def test_claims(target: str, claimed: bool) -> None:
    assert aria.claims(rest("POST", target)) is claimed
