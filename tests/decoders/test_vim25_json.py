"""The JSON protocol says the same as its SOAP twin."""

from typing import Any

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    Message,
    ObjectSeen,
    OperationClass,
    Outcome,
    ServerSeen,
    Target,
    TaskChanged,
    TicketIssued,
)
from decoders.vim25 import Vim25
from tests.decoders.crafting import hasher, only, rest_json

vim25 = Vim25(hasher)
ROOT = "/sdk/vim25/8.0.3.0"
TOKEN = "vmware-api-session-id: 40c0ffee"


def _moref(kind: str, identifier: str) -> dict[str, str]:
    return {"_typeName": "ManagedObjectReference", "type": kind, "value": identifier}


def _decode(method: str, path: str, asked: Any, answered: Any, **others: Any) -> list[Message]:
    done = rest_json(method, ROOT + path, asked, answered, head=TOKEN, **others)
    assert vim25.claims(done)
    return vim25.transaction(done)


def test_login_and_logout() -> None:
    login = only(
        _decode(
            "POST",
            "/SessionManager/SessionManager/Login",
            {"userName": "bob", "password": "s3cret"},
            {"_typeName": "UserSession", "key": "k1", "userName": "VSPHERE.LOCAL\\bob"},
            response_head="vmware-api-session-id: fresh",
        )
    )
    assert isinstance(login, Login)
    assert (login.method, login.user, login.claimed) == (
        LoginMethod.PASSWORD,
        "VSPHERE.LOCAL\\bob",
        "bob",
    )
    assert (login.new_tokens, login.session) == ((hasher("fresh"),), hasher("k1"))
    logout = only(_decode("POST", "/SessionManager/SessionManager/Logout", None, None, status=204))
    assert isinstance(logout, Logout)
    assert logout.token == hasher("40c0ffee")


def test_fault() -> None:
    login = only(
        _decode(
            "POST",
            "/SessionManager/SessionManager/Login",
            {"userName": "bob", "password": "s3cret"},
            {"_typeName": "InvalidLogin", "faultMessage": []},
            status=500,
        )
    )
    assert (login.outcome, login.fault, login.user) == (Outcome.FAILURE, "InvalidLogin", "bob")


def test_action() -> None:
    call = only(
        _decode(
            "POST",
            "/VirtualMachine/vm%2D1/CloneVM_Task",
            {"folder": _moref("Folder", "group-v3"), "name": "web", "spec": {"powerOn": False}},
            _moref("Task", "task-9"),
        )
    )
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class, call.task) == (
        "CloneVM_Task",
        OperationClass.CREATE,
        "task-9",
    )
    assert call.target == Target("VirtualMachine", "vm-1")
    assert call.related == (
        Target("VirtualMachine", name="web"),
        Target("Folder", "group-v3"),
    )


def test_ticket() -> None:
    call, issued = _decode(
        "POST", "/VirtualMachine/vm-1/AcquireTicket", {"ticketType": "webmks"}, {"ticket": "52t"}
    )
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert (issued.kind, issued.ticket) == ("webmks", hasher("52t"))


def test_task_read_as_a_property() -> None:
    info = {
        "_typeName": "TaskInfo",
        "key": "task-9",
        "state": "error",
        "entity": _moref("VirtualMachine", "vm-1"),
        "error": {"fault": {"_typeName": "NoPermission"}, "localizedMessage": "no"},
        "reason": {"_typeName": "TaskReasonUser", "userName": "bob"},
    }
    change = only(_decode("GET", "/Task/task-9/info", None, info))
    assert isinstance(change, TaskChanged)
    assert (change.task, change.fault, change.user) == ("task-9", "NoPermission", "bob")
    assert change.entity == Target("VirtualMachine", "vm-1")


def test_inventory_and_service_content() -> None:
    answered = {
        "objects": [
            {
                "obj": _moref("VirtualMachine", "vm-1"),
                "propSet": [
                    {"name": "name", "val": {"_typeName": "string", "_value": "web"}},
                    {"name": "config.uuid", "val": {"_typeName": "string", "_value": "42-u"}},
                ],
            }
        ]
    }
    path = "/PropertyCollector/propertyCollector/RetrievePropertiesEx"
    seen = only(_decode("POST", path, {"specSet": []}, answered))
    assert isinstance(seen, ObjectSeen)
    assert (seen.target.name, seen.uuid) == ("web", "42-u")
    content = {"about": {"name": "VMware vCenter Server", "apiType": "VirtualCenter"}}
    server = only(_decode("GET", "/ServiceInstance/ServiceInstance/content", None, content))
    assert isinstance(server, ServerSeen)


@pytest.mark.parametrize("path", ["/VirtualMachine/vm-1", "/VirtualMachine/vm-1/name/extra"])
def test_other_paths_say_nothing(path: str) -> None:
    assert _decode("POST", path, {"name": "x"}, {}) == []
