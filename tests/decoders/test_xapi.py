"""XenAPI in XML-RPC and JSON-RPC: sessions, changes, tasks."""

import json
from typing import Any
from xmlrpc.client import dumps

import pytest

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Logout,
    OperationClass,
    Outcome,
    Target,
    TaskChanged,
    Transaction,
)
from decoders.xapi import Xapi
from tests.decoders.crafting import hasher, only, rest

xapi = Xapi(hasher)
SESSION = "OpaqueRef:5e55-10n"
VM = "OpaqueRef:0b1f2c3d"
MADE = "OpaqueRef:9a0b1c2d"


def done(value: object) -> dict[str, object]:
    return {"Status": "Success", "Value": value}


def failed(*errors: str) -> dict[str, object]:
    return {"Status": "Failure", "ErrorDescription": list(errors)}


def xml_rpc(method: str, parameters: tuple[Any, ...], answer: dict[str, object]) -> Transaction:
    return rest(
        "POST",
        "/RPC2",
        head="Content-Type: text/xml\r\nUser-Agent: Python-xmlrpc/3.11",
        body=dumps(parameters, method).encode(),
        response_body=dumps((answer,), methodresponse=True).encode(),
    )


def json_rpc(method: str, parameters: tuple[Any, ...], answer: dict[str, object]) -> Transaction:
    said: dict[str, object] = {"result": answer.get("Value")}
    if errors := answer.get("ErrorDescription"):
        assert isinstance(errors, list)
        said = {"error": {"code": 1, "message": errors[0], "data": errors[1:]}}
    asked = {"jsonrpc": "2.0", "method": method, "params": list(parameters), "id": 1}
    return rest(
        "POST",
        "/jsonrpc",
        head="Content-Type: application/json",
        body=json.dumps(asked).encode(),
        response_body=json.dumps({"jsonrpc": "2.0", "id": 1, **said}).encode(),
    )


def json_rpc_1(method: str, parameters: tuple[Any, ...], answer: dict[str, object]) -> Transaction:
    asked = {"method": method, "params": list(parameters), "id": 1}
    answered = {"result": answer, "error": None, "id": 1}
    return json_rpc(method, parameters, answer)._replace(
        request_body=json.dumps(asked).encode(), response_body=json.dumps(answered).encode()
    )


ENCODINGS = pytest.mark.parametrize("rpc", [xml_rpc, json_rpc, json_rpc_1])


def decode(transaction: Transaction) -> list[Any]:
    assert xapi.claims(transaction)
    return list(xapi.transaction(transaction))


@ENCODINGS
def test_login(rpc: Any) -> None:
    parameters = ("root", "s3cret", "1.0", "xo-server")
    login = only(decode(rpc("session.login_with_password", parameters, done(SESSION))))
    assert isinstance(login, Login)
    assert (login.user, login.method, login.outcome) == (
        "root",
        LoginMethod.PASSWORD,
        Outcome.SUCCESS,
    )
    assert login.new_tokens == (hasher(SESSION),)
    assert login.details == (("originator", "xo-server"),)
    assert "s3cret" not in repr(login) and SESSION not in repr(login)


@ENCODINGS
def test_login_refused(rpc: Any) -> None:
    answer = failed("SESSION_AUTHENTICATION_FAILED", "root", "s3cret")
    login = only(decode(rpc("session.login_with_password", ("root", "s3cret"), answer)))
    assert (login.outcome, login.fault, login.new_tokens) == (
        Outcome.FAILURE,
        "SESSION_AUTHENTICATION_FAILED",
        (),
    )
    assert "s3cret" not in repr(login)


@ENCODINGS
def test_logout(rpc: Any) -> None:
    logout = only(decode(rpc("session.logout", (SESSION,), done(""))))
    assert isinstance(logout, Logout)
    assert logout.token == hasher(SESSION)


CHANGES = [
    ("VM.start", OperationClass.POWER),
    ("VM.clean_shutdown", OperationClass.POWER),
    ("VM.hard_reboot", OperationClass.POWER),
    ("VM.suspend", OperationClass.POWER),
    ("VM.destroy", OperationClass.DELETE),
    ("VM.snapshot", OperationClass.CREATE),
    ("VM.revert", OperationClass.UPDATE),
    ("VM.set_memory_limits", OperationClass.UPDATE),
    ("VM.pool_migrate", OperationClass.UPDATE),
    ("VM.call_plugin", OperationClass.GUEST),
    ("host.call_plugin", OperationClass.UPDATE),
    ("VBD.hot_unplug", OperationClass.UPDATE),
    ("VDI.resize", OperationClass.UPDATE),
    ("pool.join", OperationClass.UPDATE),
]


@ENCODINGS
@pytest.mark.parametrize(("method", "kind"), CHANGES)
def test_changes(rpc: Any, method: str, kind: OperationClass) -> None:
    call = only(decode(rpc(method, (SESSION, VM, False, True), done(""))))
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (method, kind)
    assert call.target == Target(method.partition(".")[0], VM)
    assert (call.token, call.outcome) == (hasher(SESSION), Outcome.SUCCESS)


@ENCODINGS
def test_an_asynchronous_call_makes_a_task(rpc: Any) -> None:
    call = only(decode(rpc("Async.VM.clone", (SESSION, VM, "web-2"), done(MADE))))
    assert (call.operation, call.task) == ("VM.clone", MADE)
    assert call.related == (Target("VM", name="web-2"),)
    call = only(decode(rpc("VM.clone", (SESSION, VM, "web-2"), done(MADE))))
    assert (call.task, call.related) == ("", (Target("VM", MADE, "web-2"),))


@ENCODINGS
@pytest.mark.parametrize(
    ("status", "outcome"), [("success", Outcome.SUCCESS), ("failure", Outcome.FAILURE)]
)
def test_a_task_ends(rpc: Any, status: str, outcome: Outcome) -> None:
    record = {"uuid": "u", "status": status, "progress": 1.0, "other_config": {}}
    for method, answer in (("task.get_status", status), ("task.get_record", record)):
        task = only(decode(rpc(method, (SESSION, MADE), done(answer))))
        assert isinstance(task, TaskChanged)
        assert (task.task, task.outcome) == (MADE, outcome)
    assert decode(rpc("task.get_status", (SESSION, MADE), done("pending"))) == []


@ENCODINGS
def test_a_refused_change(rpc: Any) -> None:
    call = only(decode(rpc("VM.start", (SESSION, VM), failed("VM_BAD_POWER_STATE", VM, "h"))))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "VM_BAD_POWER_STATE")


@ENCODINGS
def test_secrets_among_the_parameters(rpc: Any) -> None:
    cases = [
        ("session.change_password", (SESSION, "s3cret", "s3cret")),
        ("pool.join", (SESSION, "10.0.0.1", "root", "s3cret")),
        ("VM.add_to_xenstore_data", (SESSION, VM, "vm-data/pw", "s3cret")),
        ("host.call_plugin", (SESSION, VM, "plugin", "run", {"password": "s3cret"})),
    ]
    for method, parameters in cases:
        call = only(decode(rpc(method, parameters, done("s3cret"))))
        assert "s3cret" not in repr(call)


@ENCODINGS
def test_calls_of_other_programs_say_nothing(rpc: Any) -> None:
    assert decode(rpc("supervisor.startProcess", ("web",), done("true"))) == []


@ENCODINGS
def test_what_only_looks_says_nothing(rpc: Any) -> None:
    assert decode(rpc("VM.get_all_records", (SESSION,), done({}))) == []
    assert decode(rpc("event.from", (SESSION, ["*"], "", 30.0), done({}))) == []


@pytest.mark.parametrize(
    ("method", "target", "body", "claimed"),
    [
        ("POST", "/", b"<?xml version='1.0'?><methodCall>", True),
        ("POST", "/jsonrpc", b'{"method":"VM.start","params":[]}', True),
        ("POST", "/", b"<html>", False),
        ("GET", "/", b"<methodCall>", False),
        ("POST", "/sdk", b"<methodCall>", False),
    ],
)
def test_claims(method: str, target: str, body: bytes, claimed: bool) -> None:
    assert xapi.claims(rest(method, target, body=body)) is claimed
