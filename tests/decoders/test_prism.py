"""Nutanix Prism: credentials and cookies, changes in the API's four versions, tasks."""

import base64
from typing import Any

import pytest

from decoders.message import (
    Login,
    LoginMethod,
    OperationClass,
    Outcome,
    SessionSeen,
    Target,
    TaskChanged,
    Transaction,
)
from decoders.prism import Prism
from tests.decoders.crafting import hasher, only, rest, rest_json

prism = Prism(hasher)
BASIC = "Authorization: Basic " + base64.b64encode(b"admin:s3cret").decode()
COOKIE = "Cookie: JSESSIONID=c00kie\r\nNTNX-Request-Id: run-7"
SET_COOKIE = "Set-Cookie: JSESSIONID=c00kie; Path=/; Secure; HttpOnly"
ME = "/api/nutanix/v3/users/me"
VM = "0b1f2c3d-1111-4222-8333-444455556666"
V2 = "/PrismGateway/services/rest/v2.0"
V3 = "/api/nutanix/v3"
V4 = "/api/vmm/v4.0/ahv/config"


def decode(done: Transaction) -> list[Any]:
    assert prism.claims(done)
    return list(prism.transaction(done))


def test_login() -> None:
    done = rest("GET", ME, head=BASIC, response_head=SET_COOKIE)
    login = only(decode(done))
    assert isinstance(login, Login)
    assert (login.user, login.method) == ("admin", LoginMethod.BASIC)
    assert login.new_tokens == (hasher("c00kie"),)
    assert "s3cret" not in repr(login) and "c00kie" not in repr(login)


def test_login_refused() -> None:
    answered = {"state": "ERROR", "message_list": [{"reason": "AUTHENTICATION_REQUIRED"}]}
    login = only(decode(rest_json("GET", ME, None, answered, head=BASIC, status=401)))
    assert (login.outcome, login.fault, login.user, login.new_tokens) == (
        Outcome.FAILURE,
        "AUTHENTICATION_REQUIRED",
        "admin",
        (),
    )


def test_login_by_form() -> None:
    form = "Content-Type: application/x-www-form-urlencoded"
    done = rest(
        "POST",
        "/PrismGateway/j_spring_security_check",
        head=form,
        body=b"j_username=bob%40acme.test&j_password=s3cret",
        response_head="Set-Cookie: NTNX_IGW_SESSION=c00kie; Path=/",
    )
    login = only(decode(done))
    assert (login.user, login.method) == ("bob@acme.test", LoginMethod.PASSWORD)
    assert login.new_tokens == (hasher("c00kie"),)


def test_a_change_that_logs_in_is_both() -> None:
    done = rest("DELETE", f"{V3}/vms/{VM}", head=BASIC, response_head=SET_COOKIE, status=202)
    login, call = decode(done)
    assert (login.user, call.user) == ("admin", "admin")
    assert call.operation == "vms.delete"


def test_whose_a_cookie_is() -> None:
    answered = {"status": {"name": "admin", "state": "COMPLETE"}}
    seen = only(decode(rest_json("GET", ME, None, answered, head=COOKIE)))
    assert isinstance(seen, SessionSeen)
    assert (seen.token, seen.user) == (hasher("c00kie"), "admin")


CHANGES: list[tuple[str, str, object, str, OperationClass]] = [
    ("POST", f"{V2}/vms", {}, "vms.create", OperationClass.CREATE),
    ("POST", f"{V2}/vms/{VM}/set_power_state", {"transition": "ACPI_SHUTDOWN"},
     "vms.power_acpi_shutdown", OperationClass.POWER),
    ("POST", "/PrismGateway/services/rest/v1/vms/1-2/power_op/on", {}, "vms.1-2.power_on",
     OperationClass.POWER),
    ("POST", f"{V2}/vms/{VM}/clone", {}, "vms.clone", OperationClass.CREATE),
    ("POST", "/api/nutanix/v2.0/snapshots", {}, "snapshots.create", OperationClass.CREATE),
    ("POST", f"{V3}/vms", {}, "vms.create", OperationClass.CREATE),
    ("PUT", f"{V3}/vms/{VM}", {}, "vms.update", OperationClass.UPDATE),
    ("DELETE", f"{V3}/vms/{VM}", {}, "vms.delete", OperationClass.DELETE),
    ("POST", f"{V3}/vms/{VM}/acpi_shutdown", {}, "vms.acpi_shutdown", OperationClass.POWER),
    ("POST", f"{V4}/vms/{VM}/$actions/power-on", {}, "vms.power-on", OperationClass.POWER),
    ("POST", f"{V4}/vms/{VM}/$actions/clone", {}, "vms.clone", OperationClass.CREATE),
    ("POST", f"{V4}/vms/{VM}/disks", {}, "vms.disks.create", OperationClass.CREATE),
    ("DELETE", "/api/networking/v4.0.b1/config/subnets/" + VM, {}, "subnets.delete",
     OperationClass.DELETE),
]  # fmt: skip


@pytest.mark.parametrize(("method", "target", "asked", "operation", "kind"), CHANGES)
def test_changes(
    method: str, target: str, asked: object, operation: str, kind: OperationClass
) -> None:
    call = only(decode(rest_json(method, target, asked, {}, head=COOKIE, status=202)))
    assert (call.operation, call.operation_class) == (operation, kind)
    assert (call.token, call.operation_id) == (hasher("c00kie"), "run-7")


@pytest.mark.parametrize(
    ("target", "answered"),
    [
        (f"{V2}/vms/{VM}", {"task_uuid": "t-1"}),
        (f"{V3}/vms/{VM}", {"status": {"execution_context": {"task_uuid": "t-1"}}}),
        (f"{V4}/vms/{VM}", {"data": {"$objectType": "prism.v4.config.TaskReference",
                                     "extId": "t-1"}}),
    ],
)  # fmt: skip
def test_a_task_is_begun(target: str, answered: object) -> None:
    call = only(decode(rest_json("DELETE", target, None, answered, head=COOKIE, status=202)))
    assert (call.task, call.target) == ("t-1", Target("VirtualMachine", VM))


@pytest.mark.parametrize(
    ("target", "answered", "outcome"),
    [
        (f"{V2}/tasks/{VM}", {"progress_status": "Succeeded"}, Outcome.SUCCESS),
        (f"{V3}/tasks/{VM}", {"status": "FAILED"}, Outcome.FAILURE),
        (f"/api/prism/v4.0/config/tasks/{VM}", {"data": {"status": "SUCCEEDED"}}, Outcome.SUCCESS),
    ],
)
def test_a_task_ends(target: str, answered: object, outcome: Outcome) -> None:
    task = only(decode(rest_json("GET", target, None, answered, head=COOKIE)))
    assert isinstance(task, TaskChanged)
    assert (task.task, task.outcome) == (VM, outcome)


def test_a_task_that_runs_says_nothing() -> None:
    target = f"{V3}/tasks/{VM}"
    assert decode(rest_json("GET", target, None, {"status": "RUNNING"}, head=COOKIE)) == []


def test_objects() -> None:
    asked = {"spec": {"name": "web", "resources": {"guest": {"user_data": "s3cret"}}}}
    answered = {"metadata": {"uuid": VM, "kind": "vm"}}
    call = only(decode(rest_json("POST", f"{V3}/vms", asked, answered, head=COOKIE)))
    assert call.related == (Target("VirtualMachine", VM, "web"),)
    assert "s3cret" not in repr(call)


def test_an_api_key_is_a_token() -> None:
    call = only(decode(rest("DELETE", f"{V4}/vms/{VM}", head="X-ntnx-api-key: k3y")))
    assert call.token == hasher("k3y")


def test_lists_are_posted_too() -> None:
    assert decode(rest_json("POST", f"{V3}/vms/list", {"kind": "vm"}, {}, head=COOKIE)) == []


@pytest.mark.parametrize(
    ("target", "claimed"),
    [
        (f"{V3}/vms", True),
        (f"{V2}/vms", True),
        (f"{V4}/vms", True),
        ("/api/vcenter/vm", False),
        ("/api/v4.0/vms", False),
    ],
)
def test_claims(target: str, claimed: bool) -> None:
    assert prism.claims(rest("POST", target)) is claimed
