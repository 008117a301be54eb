"""Real: requests, as scripts for Aria Automation use it. The server is an imitation, in clear."""

import base64
import json

from tests.lab.record import Recorder
from tests.lab.recordings.imitation import Answer, Asked

PORT = 8080
ID = "4c8e7d6f-1111-4222-8333-444455556666"
MADE = "9a0b1c2d-1111-4222-8333-444455556666"
REFRESH = "r3fresh-t0ken-0f-b0b"


def access_token() -> str:
    claims = json.dumps(
        {"sub": "vmware.com:77", "acct": "bob", "domain": "lab.test", "iss": "https://vra.lab"}
    ).encode()
    return f"eyJhbGciOiJSUzI1NiJ9.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2lnbg"


def serve(recorder: Recorder) -> None:
    recorder.imitate("aria_clear", PORT)


def ask(recorder: Recorder) -> None:
    recorder.ask("aria_client.py")


def answer(asked: Asked) -> Answer:
    if asked.path == "/csp/gateway/am/api/login":
        body = asked.json()
        if (body["username"], body["password"]) != ("bob", "B0b!aria"):
            return Answer({"message": "invalid credentials", "statusCode": 400}, 400)
        return Answer({"refresh_token": REFRESH})
    if asked.path == "/iaas/api/login":
        is_known = asked.json()["refreshToken"] == REFRESH
        token = {"tokenType": "Bearer", "token": access_token()}
        return Answer(token if is_known else {"message": "no"}, 200 if is_known else 403)
    if asked.headers.get("Authorization") != f"Bearer {access_token()}":
        return Answer({"message": "Unauthorized"}, 401)
    if asked.path.startswith("/catalog/api/items/"):
        return Answer([{"deploymentId": MADE, "deploymentName": "shop"}])
    if asked.path.endswith("/requests"):
        return Answer({"id": MADE, "deploymentId": ID, "requestedBy": "bob", "status": "PENDING"})
    if asked.path.startswith("/iaas/api/machines"):
        return Answer({"id": MADE, "progress": 0, "status": "INPROGRESS"}, 202)
    return Answer({})
