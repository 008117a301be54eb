"""Real: requests, as scripts for Nutanix use it. The server is an imitation, in clear."""

import base64

from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked

PORT = 9440
TASK = "7a5c0000-1111-4222-8333-444455556666"
ACCOUNTS = {"admin": "Pr1sm!admin", "bob@lab.test": "B0b!prism"}
SET_COOKIE = {"Set-Cookie": "NTNX_IGW_SESSION=pr1sm-c00kie; Path=/; HttpOnly"}


def serve(recorder: Recorder) -> None:
    recorder.imitate("prism_clear", PORT)


def ask(recorder: Recorder) -> None:
    recorder.ask("prism_client.py")


def allowed(asked: Asked) -> bool:
    encoded = asked.headers.get("Authorization", "").removeprefix("Basic ")
    name, _, password = base64.b64decode(encoded).decode().partition(":")
    has_cookie = "pr1sm-c00kie" in asked.headers.get("Cookie", "")
    return has_cookie or ACCOUNTS.get(name, "") == password != ""


def answer(asked: Asked) -> Answer:
    if not allowed(asked):
        reason = {"message": "Authentication required.", "reason": "AUTHENTICATION_REQUIRED"}
        return Answer({"state": "ERROR", "code": 401, "message_list": [reason]}, 401)
    path = asked.path
    if path.endswith("/users/me"):
        return Answer({"status": {"name": "bob@lab.test"}}, headers=SET_COOKIE)
    if "/tasks/" in path:
        return Answer({"status": "SUCCEEDED", "uuid": TASK})
    if "/v4." in path:
        reference = {"$objectType": "prism.v4.config.TaskReference", "extId": f"ZXJnb24=:{TASK}"}
        return Answer({"data": reference}, 202)
    if "/v2.0/" in path:
        return Answer({"task_uuid": TASK}, 201)
    made = {"metadata": {"uuid": "9a0b1c2d-1111-4222-8333-444455556666", "kind": "vm"}}
    state = {"state": "PENDING", "execution_context": {"task_uuid": TASK}}
    return Answer({"status": state} | made, 200 if path.endswith("/list") else 202)
