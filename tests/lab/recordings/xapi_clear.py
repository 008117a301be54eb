"""Real: XenServer's own client, XenAPI, by XML-RPC; and JSON-RPC as Xen Orchestra writes it, by a
script. The server is an imitation."""

from typing import Any
from xmlrpc.client import dumps, loads

from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked

PORT = 8080
PASSWORDS = {"root": "X3n!server", "bob": "B0b!xen"}
MACHINES = {"web": "OpaqueRef:0b1f2c3d-1111-4222-8333-444455556666"}
TASK = "OpaqueRef:7a5c0000-1111-4222-8333-444455556666"
COPY = "OpaqueRef:9a0b1c2d-1111-4222-8333-444455556666"


def serve(recorder: Recorder) -> None:
    recorder.imitate("xapi_clear", PORT)


def ask(recorder: Recorder) -> None:
    recorder.ask("xapi_client.py")


def answer(asked: Asked) -> Answer:
    if asked.path == "/jsonrpc":
        called = asked.json()
        value, error = result(called["method"], called["params"])
        said = {"error": {"code": 1, "message": error[0], "data": error[1:]}} if error else {
            "result": value}  # fmt: skip
        return Answer({"jsonrpc": "2.0", "id": called["id"], **said})
    parameters, method = loads(asked.body.decode())
    value, error = result(str(method), list(parameters))
    answered: dict[str, Any] = {"Status": "Success", "Value": value}
    if error:
        answered = {"Status": "Failure", "ErrorDescription": error}
    body = dumps((answered,), methodresponse=True).encode()
    return Answer(body, headers={"Content-Type": "text/xml"})


def result(method: str, parameters: list[Any]) -> tuple[Any, list[str]]:
    """(value, error) as XenServer answers them."""
    if method == "session.login_with_password":
        user, password = parameters[:2]
        if PASSWORDS.get(user) != password:
            return "", ["SESSION_AUTHENTICATION_FAILED", user, "Authentication failure"]
        return f"OpaqueRef:5e55-{user}", []
    if method == "VM.get_by_name_label":
        return [MACHINES[parameters[1]]], []
    if method == "VM.hard_shutdown":
        return "", ["VM_BAD_POWER_STATE", parameters[1], "running", "halted"]
    if method == "task.get_status":
        return "success", []
    if method == "task.get_record":
        return {"uuid": "7a5c", "status": "success", "progress": 1.0}, []
    if method.startswith("Async."):
        return TASK, []
    return (COPY if method == "VM.clone" else ""), []
